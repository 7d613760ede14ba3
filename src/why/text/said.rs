//! What was said to whom, as far as the ledger knows it.

use std::fmt::Write as _;

use tocsin_alerts::texts::Texts;
use tocsin_alerts::{ledger, quota};
use tocsin_pipeline::why::{AlertExplained, Numbers, YearCount};
use tocsin_schemas::codes::{Change, DeliveryState, Role, Says, Severity};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::{Alert, Delivery};

use super::{Page, place_name};
use crate::ledger::rung;

impl<'a> Page<'a> {
    pub(super) fn said(&mut self, why: &AlertExplained) {
        let alert = &why.alert;
        let years = match &why.numbers {
            Numbers::OwnerIncident { year, .. } => year.as_slice(),
            Numbers::Escalation { .. } => &[],
        };
        if alert.audiences.is_empty() {
            self.line(
                1,
                match alert.change {
                    Change::Suppressed => "nobody: it was not due, and why is the reason above",
                    _ => "nobody: recorded, not sent",
                },
            );
        }
        for audience in &alert.audiences {
            let whose = place(audience.role, &audience.subject);
            let is_it = |count: &&YearCount| *count.subject.as_str() == *audience.subject;
            match years.iter().find(is_it).and_then(|count| count.name.as_deref()) {
                Some(name) => self.line(1, format!("{whose} {name}")),
                None => self.line(1, whose),
            }
            let own = |d: &&Delivery| {
                let to = d.role == audience.role && *d.subject == *audience.subject;
                // A digest has the alert of the first message that joined it, and is not its delivery.
                d.alert_id == alert.alert_id && to && !quota::is_digest(d)
            };
            let mut found = false;
            for d in self.deliveries.iter().filter(own) {
                found = true;
                let text = self.delivery(d);
                self.line(2, text);
                self.filled("", d);
                if let Some(digest) = self.digest(d) {
                    self.filled("the digest is ", digest);
                }
            }
            if !found {
                self.line(
                    2,
                    match self.delivered {
                        true => "the ledger has no delivery to it",
                        false => "decided, and not sent from this log: a replay sends nothing, nor does `tocsin run --only pipeline`",
                    },
                );
            }
        }
    }

    fn delivery(&self, d: &Delivery) -> String {
        let mut text = fate(d, &format!(" by {} (text {})", d.channel, d.template));
        if let Some(rank) = d.contact_rank {
            let _ = write!(text, ", to contact {rank}");
        }
        if let Some((role, subject)) = rung(d) {
            let of = if d.contact_rank.is_some() { " of" } else { ", to" };
            let _ = write!(text, "{of} {}", place(role, subject));
        }
        if let Some(version) = d.contact_version {
            let _ = write!(text, " as registered in version {version}");
        }
        if d.attempt > 1 {
            let _ = write!(text, ", {} attempts", d.attempt);
        }
        match (ledger::said(d), &d.reason) {
            (Some(says), _) => text += answered(says),
            (None, Some(reason)) => text.extend([", ", reason]),
            (None, None) => {}
        }
        if let Some(digest) = self.digest(d) {
            let (template, fate) = (&digest.template, fate(digest, ""));
            let _ = match out(digest) {
                true => write!(text, ": told in that digest (text {template}): {fate}"),
                false => write!(text, ": that digest (text {template}) is not told: {fate}"),
            };
            if let Some(reason) = digest.reason.as_ref().filter(|_| ledger::terminal(digest.state)) {
                let _ = write!(text, ", {reason}");
            }
            if let Some(due) = digest.due_at {
                let _ = write!(text, ", due {due}");
            }
        }
        if d.uncertain {
            text.push_str(", some attempt may have arrived although no yes was seen");
        }
        if let Some(due) = d.due_at {
            let _ = write!(text, ", next attempt {due}");
        }
        text
    }

    /// With what a text was filled, and its words if somebody can have read them. The words of the day are not on record:
    /// those that are built in today stand for them, and say so.
    fn filled(&mut self, whose: &str, d: &Delivery) {
        if d.slots.is_empty() {
            return;
        }
        let slots: Vec<String> = d.slots.iter().map(|(name, value)| format!("{name} {value}")).collect();
        self.line(3, format!("{whose}filled with: {}", slots.join(", ")));
        if !out(d) && !d.uncertain {
            return;
        }
        if let Ok((text, _)) = Texts::built_in().filled(&d.template, &d.slots) {
            self.line(3, format!("in today's built-in wording (a configured one may differ): {text}"));
        }
    }

    /// The digest that a message joined instead of being sent.
    fn digest(&self, d: &Delivery) -> Option<&'a Delivery> {
        self.stands_for(d).filter(|d| quota::is_digest(d))
    }

    /// The delivery that says what this one does not say itself.
    fn stands_for(&self, d: &Delivery) -> Option<&'a Delivery> {
        let id = ledger::stands_for(d)?;
        self.deliveries.iter().chain(self.beside).find(|other| other.delivery_id == id)
    }

    /// For whom something was decided before an owner's message, and, where the ledger has it, who was told.
    pub(super) fn before(&mut self, alert: &Alert, decided_for: &[Uscc], severity: Option<Severity>) {
        let all: Vec<String> = decided_for.iter().map(ToString::to_string).collect();
        self.line(
            1,
            match (all.as_slice(), severity) {
                ([], None) => "decided before: nothing for anybody".to_owned(),
                ([], Some(_)) => "decided before: nothing that was not corrected since".to_owned(),
                (all, Some(severity)) => {
                    format!("decided before: an alert for {}, as {severity}", all.join(", "))
                }
                (all, None) => format!("decided before: an alert for {}", all.join(", ")),
            },
        );
        for uscc in decided_for {
            if let Some(became) = self.heard(alert, *uscc) {
                self.line(2, format!("{uscc} was {became}"));
            }
        }
    }

    /// Whether an enterprise was told of the case before this alert. `None`: no delivery says it.
    fn heard(&self, alert: &Alert, uscc: Uscc) -> Option<String> {
        let before = |d: &&Delivery| {
            d.role == Role::Owner
                && *d.subject == *uscc.as_str()
                && d.case_no == *alert.case_no
                && (d.episode, d.revision) < (alert.episode, alert.revision)
                && !quota::is_digest(d)
        };
        // One that stands for others says what became of them.
        let all = self.deliveries.iter().chain(self.beside).filter(before);
        let mut all: Vec<(&Delivery, &Delivery)> =
            all.map(|d| (d, self.stands_for(d).unwrap_or(d))).collect();
        all.sort_by_key(|(d, told)| (out(told), d.revision, told.at));
        let is_out = |(_, told): &&(&Delivery, &Delivery)| out(told);
        // Another office of the same enterprise is that enterprise.
        let of_it = |told| rung(told).is_none_or(|(_, subject)| subject == uscc.as_str());
        let own = all.iter().rev().find(|pair| is_out(pair) && of_it(pair.1));
        if let Some((_, told)) = own {
            let digest = if quota::is_digest(told) { ", in a digest" } else { "" };
            return Some(format!("told of it{digest}: {}", fate(told, "")));
        }
        let elsewhere = all.iter().rev().find(is_out).and_then(|(_, told)| Some((rung(told)?, told)));
        if let Some(((role, subject), told)) = elsewhere {
            let by = place(role, subject);
            return Some(format!("not told of it; in its place was told {by}: {}", fate(told, "")));
        }
        let (_, last) = all.last()?;
        let ended = ledger::terminal(last.state);
        let yet = if ended { "" } else { " yet" };
        let reason = last.reason.as_ref().filter(|_| ended);
        let reason = reason.map(|reason| format!(", {reason}")).unwrap_or_default();
        let doubt = if last.uncertain { ", though some attempt may have arrived" } else { "" };
        Some(format!("not told of it{yet}: {}{reason}{doubt}", last.state))
    }
}

/// When it was sent, by which channel in which text, and its state. What others tell of it (the gateway's yes, a receipt)
/// is *known since* then: where the gateway has to be asked the message may have come many hours before. What the
/// ledger itself decides is so since then.
fn fate(d: &Delivery, by: &str) -> String {
    let (state, at) = (d.state, d.at);
    let by_others = match state {
        DeliveryState::Accepted
        | DeliveryState::Delivered
        | DeliveryState::Failed
        | DeliveryState::Uncertain => true,
        DeliveryState::Planned | DeliveryState::Sending | DeliveryState::Skipped => false,
    };
    match (d.sent_at, by_others) {
        // The ledger's instant is that of the answer, whenever the phone rang.
        (Some(sent), _) if ledger::said(d).is_some() => format!("sent {sent}{by}, {state}, answered {at}"),
        (Some(sent), _) if out(d) => format!("sent {sent}{by}, {state}: known since {at}"),
        (Some(tried), true) => format!("last tried {tried}{by}, {state}: known since {at}"),
        (Some(tried), false) => format!("last tried {tried}{by}, {state} since {at}"),
        (None, true) => format!("{state}{by}, known since {at}"),
        (None, false) => format!("{state}{by} since {at}"),
    }
}

/// Whether a gateway has taken it.
fn out(d: &Delivery) -> bool {
    matches!(d.state, DeliveryState::Accepted | DeliveryState::Delivered)
}

fn place(role: Role, subject: &str) -> String {
    format!("{role} of {}", place_name(subject))
}

/// What the person has answered who got a message, after how it came.
fn answered(says: Says) -> &'static str {
    match says {
        Says::Acknowledged => ", and the person has answered that it was read (acknowledged)",
        Says::WithdrawnClaim => ", and the person says that the case was withdrawn (withdrawn_claim)",
        Says::NotOurs => ", and the person says that it is not theirs (not_ours)",
        Says::Failed | Says::Delivered | Says::Other => "",
    }
}
