//! From a rule's verdict to a complete alert: numbers, lists, names and counts as of the decision.

use std::sync::Arc;

use compact_str::{CompactString, ToCompactString, format_compact};
use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha256};
use tocsin_schemas::codes::{Change, Level, Reason, Role, Rule, Severity};
use tocsin_schemas::ids::{IncidentId, Uscc};
use tocsin_schemas::records::{Alert, AlertFacts, Audience, Window};
use tocsin_schemas::time::Day;

use super::book::year_of;
use super::entry::Entry;
use super::escalation::{self, Now, Verdict, warning_number};
use super::owner_incident::{self, Message};
use super::{Context, Decider, Said, Touched};
use crate::windows;

impl Decider {
    /// Brings the index up to date with one incident.
    pub(super) fn rebook(&mut self, id: IncidentId, touch: &Touched, as_of: Day) {
        if let Some(former) = touch.former.as_deref() {
            self.book.strike(former, id);
        }
        let entry = self.entries.get(id);
        if let Some(now) = entry.and_then(Entry::seen) {
            self.book.enter(now, id, as_of);
        }
    }

    /// S15 for one touched incident: its record if it changed, and its messages.
    pub(super) fn tell_owners(
        &mut self,
        id: IncidentId,
        touch: &Touched,
        context: &Context<'_>,
        said: &mut Said,
    ) {
        let Some(entry) = self.entry(id) else { return };
        let record = entry.record(id);
        let seen = entry.seen().cloned();
        let former = touch.before.as_ref().and_then(|b| b.uscc);
        let messages = owner_incident::decide(
            &entry.told,
            seen.as_deref().ok_or(touch.end),
            former,
            context.policies,
            context.as_of,
        );
        for message in messages {
            let alert = self.owner_alert(id, touch, &message, context);
            if let Some(entry) = self.entries.get_mut(id) {
                entry.told.hear(&message);
            }
            said.alerts.push(alert);
        }
        let silent = self.entry(id).is_some_and(|e| e.counted() && e.told.to.is_empty());
        if silent {
            self.keep_silent(id, context.as_of);
        } else {
            self.silent.remove(&id);
            self.ahead.remove(&id);
        }
        if touch.before.as_ref() != Some(&record) {
            said.incidents.push(record);
        }
    }

    fn owner_alert(
        &self,
        id: IncidentId,
        touch: &Touched,
        message: &Message,
        context: &Context<'_>,
    ) -> Alert {
        let corrected = message.change == Change::Corrected;
        let entry = self.entry(id);
        let seen = entry.and_then(Entry::seen);
        let suppressed = message.change == Change::Suppressed;
        let revision = if suppressed { 0 } else { entry.map_or(0, |e| e.told.revision) + 1 };
        // What a correction takes back is the incident as it stood; everything else speaks of the present.
        let (reports, occurred_on, cause, count, home) = match (&touch.before, seen) {
            (Some(before), _) if corrected => {
                let cause = touch.former.as_ref().and_then(|s| s.cause);
                (before.reports.clone(), before.occurred_on, cause, 0, before.uscc)
            }
            (_, Some(s)) => {
                (s.reports.iter().map(|r| r.key.clone()).collect(), s.occurred_on, s.cause, s.persons, s.uscc)
            }
            // An ended incident only has corrections, and those have a record before them.
            _ => (Vec::new(), context.as_of, None, 0, None),
        };
        let to = &message.to;
        let uscc =
            if corrected { home.filter(|u| to.contains(u)).or(to.iter().min().copied()) } else { home };
        let uscc = uscc.or(home).unwrap_or_else(|| unreachable!("a message has an enterprise"));
        let year = year_of(occurred_on, context.as_of);
        let year_to_date =
            |u: &Uscc| year.map(|days| self.book.of_year(u, context.registry, days).count() as u32);
        let audiences = to
            .iter()
            .map(|u| Audience {
                role: Role::Owner,
                subject: u.as_str().into(),
                year_to_date: year_to_date(u),
            })
            .collect();
        let subject = id.to_compact_string();
        Alert {
            alert_id: alert_id(
                Rule::OwnerIncident,
                &subject,
                1,
                revision,
                message.reason.filter(|_| suppressed),
            ),
            case_no: subject.clone(),
            rule: Rule::OwnerIncident,
            change: message.change,
            subject,
            uscc,
            episode: 1,
            revision,
            audiences,
            level: None,
            severity: Some(message.severity),
            incident_ids: vec![id],
            reports,
            count,
            as_of: context.as_of,
            decided_at: context.decided_at,
            reason: message.reason,
            policy_hash: Arc::clone(context.policies.hash()),
            facts: AlertFacts { occurred_on: Some(occurred_on), cause, ..names(&uscc, context) },
        }
    }

    /// S20 for one touched enterprise.
    pub(super) fn escalate(&mut self, uscc: Uscc, context: &Context<'_>, said: &mut Said) {
        let steps = &context.policies.on(context.as_of).escalation;
        let window = Decider::window(context.policies, context.as_of);
        let total = context.figures.tally(&uscc, window);
        let now = Now {
            incidents: total.incidents,
            severe: total.severe,
            succeeded: context.registry.root(&uscc) != uscc,
            begun: context.policies.begun_on(context.as_of),
            occasion: context.occasion,
        };
        let open = self.escalations.get(&uscc).and_then(|e| e.open.as_ref());
        let severe_ids = || self.listed(&uscc, window, context.as_of).1;
        let under_old = || self.under_yesterday(&uscc, context);
        let Some(verdict) = escalation::decide(open, steps, now, severe_ids, under_old) else { return };
        let alert = self.escalation_alert(uscc, window, &verdict, context);
        let state = self.escalations.entry(uscc).or_default();
        state.hear(&alert);
        said.alerts.push(alert);
    }

    fn escalation_alert(
        &self,
        uscc: Uscc,
        window: Window,
        verdict: &Verdict,
        context: &Context<'_>,
    ) -> Alert {
        let state = self.escalations.get(&uscc);
        let open = state.and_then(|e| e.open.as_ref());
        let episodes = state.map_or(0, |e| e.episodes);
        let episode = if open.is_some() { episodes } else { episodes + 1 };
        let revision = open.map_or(0, |o| o.revision) + 1;
        let succeeded = context.registry.root(&uscc) != uscc;
        let (incident_ids, severe_incident_ids) =
            if succeeded { Default::default() } else { self.listed(&uscc, window, context.as_of) };
        // No report stands in two incidents.
        let (mut reports, mut worst) = (Vec::new(), None);
        for entry in incident_ids.iter().filter_map(|id| self.entry(*id)) {
            entry.list_reports(&mut reports);
            worst = worst.max(entry.seen().map(|s| s.severity));
        }
        let audiences = escalation::told_of(verdict, open, context.registry.profile(&uscc))
            .into_iter()
            .map(|(role, subject)| Audience { role, subject, year_to_date: None })
            .collect();
        let subject = CompactString::from(uscc.as_str());
        Alert {
            alert_id: alert_id(Rule::Escalation, &subject, episode, revision, None),
            case_no: warning_number(&subject, episode),
            rule: Rule::Escalation,
            change: verdict.change,
            subject,
            uscc,
            episode,
            revision,
            audiences,
            level: verdict.level,
            severity: None,
            count: incident_ids.len() as u32,
            incident_ids,
            reports,
            as_of: context.as_of,
            decided_at: context.decided_at,
            reason: verdict.reason,
            policy_hash: Arc::clone(context.policies.hash()),
            facts: AlertFacts {
                window_days: match window {
                    Window::Rolling(days) => Some(u32::from(days)),
                    _ => None,
                },
                severe_incident_ids,
                worst,
                ..names(&uscc, context)
            },
        }
    }

    /// Counted production incidents of an enterprise in a window, and the severe and fatal ones among them.
    fn listed(&self, uscc: &Uscc, window: Window, as_of: Day) -> (Vec<IncidentId>, Vec<IncidentId>) {
        let all = escalation::listed(&self.book, uscc, windows::days(window, as_of));
        let severe = all.iter().filter(|(_, severity)| *severity >= Severity::Severe);
        (all.iter().map(|(id, _)| *id).collect(), severe.map(|(id, _)| *id).collect())
    }

    /// See [`escalation::under_yesterday`].
    fn under_yesterday(&self, uscc: &Uscc, context: &Context<'_>) -> Option<Option<Level>> {
        escalation::under_yesterday(&self.book, uscc, context.policies, context.as_of)
    }
}

impl super::entry::Told {
    /// Takes in one of its own messages.
    fn hear(&mut self, message: &Message) {
        if message.change == Change::Suppressed {
            self.suppressed.extend(message.reason);
            return;
        }
        self.revision += 1;
        if message.change == Change::Corrected {
            self.to.retain(|u| !message.to.contains(u));
        } else {
            self.severity = Some(message.severity);
            for uscc in &message.to {
                if !self.ever_to.contains(uscc) {
                    self.ever_to.push(*uscc);
                }
                if !self.to.contains(uscc) {
                    self.to.push(*uscc);
                }
            }
            self.to.sort_unstable();
        }
    }
}

fn names(uscc: &Uscc, context: &Context<'_>) -> AlertFacts {
    let enterprise = context.registry.in_force(uscc);
    AlertFacts {
        enterprise_name: enterprise.map(|e| Arc::clone(&e.name)),
        short_name: enterprise.and_then(|e| e.short_name.clone()),
        area: enterprise.map(|e| Arc::clone(&e.area)),
        ..AlertFacts::default()
    }
}

/// Names a decision for ever: no offset, float or clock in it. 26 characters.
fn alert_id(rule: Rule, subject: &str, episode: u32, revision: u32, reason: Option<Reason>) -> String {
    let reason = reason.map_or("", Reason::as_str);
    let mut hash = Sha256::new();
    for part in [rule.as_str(), "|", subject, &format_compact!("|{episode}|{revision}|"), reason] {
        hash.update(part);
    }
    let hash = hash.finalize();
    BASE32_NOPAD.encode(&hash[..16])
}
