//! Why something was said: from an alert, an incident or an enterprise back to the records.
//!
//! A pure function of what the log holds. It takes the rules from where the engine has them ([`crate::cases`],
//! [`crate::incidents`], [`crate::decider`]) and only asks them for their reasons, so that it cannot say
//! something else than what decides. Then it holds what comes out against what was said: a number that the
//! records do not give again is a [`Difference`], never passed over.
//!
//! ```text
//! log --Wanted--> Records --Knowledge (as known at an instant)--> incidents, cases, reports   (views)
//!                    |                                                |
//!                    +-- alerts before this one (Memory) -------------+--> the rule again --> differences
//! ```
//!
//! What the log does not hold, and how it is met:
//! - *No order between partitions.* A record is decided at the clock, which is never before what its own
//!   partition brought earlier ([`Known::not_before`]). Where the plain reading (everything with that at most the
//!   decision's instant) does not give what was said, records that may have been taken in later are left out, the
//!   newest first; what was left out stands in [`AlertExplained::taken_later`].
//!   When a late record was taken in cannot be seen either, so what stood just before a correction may not follow from
//!   stamps: see [`AlertExplained::taken_last`].
//! - *Which incident keeps which number* is history: numbers are read from alerts and `incidents`, not recomputed.

mod apart;
mod before;
mod brought;
mod check;
mod knowledge;
mod listed;
mod picture;
pub(crate) mod since;
mod sum;
mod view;
mod wanted;
mod window;
mod year;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tocsin_schemas::codes::{Change, Role, Rule};
use tocsin_schemas::door::Flag;
use tocsin_schemas::ids::{IncidentId, ReportKey, Uscc};
use tocsin_schemas::records::{Alert, Audience, Incident};
use tocsin_schemas::time::{Day, Instant};

use self::knowledge::{Found, Knowledge};
pub use self::listed::{
    EntryExplained, EntrySince, EventView, HeadcountView, ListedExplained, MovedOnList, OnList,
    WholeExplained, Written, YearBefore, YearBy,
};
pub use self::since::FieldChange;
pub use self::view::{
    AlertExplained, ApartBy, ApartView, Brought, CaseView, Changed, Check, CountedBefore, Differ, Difference,
    EnterpriseExplained, Given, How, InYear, IncidentExplained, IncidentView, Left, LeftBy, LinkBy, LinkView,
    Numbers, Place, PolicyUsed, RefusedView, Registered, ReportView, Said, SeverityWhy, Since, Slip,
    StateWhy, TakenBy, UsedBecause, VersionView, YearCount,
};
pub use self::wanted::Wanted;
use crate::engine::Arrival;
use crate::lists::Refused;
use crate::policy::Policies;

/// An admitted record, and where the log holds it.
#[derive(Debug, Clone)]
pub struct Known {
    /// The record as it passed the door.
    pub arrival: Arrival,
    /// Its topic.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: u32,
    /// Its offset.
    pub offset: u64,
    /// The earliest clock at which it can have been decided: the latest arrival of its partition up to it.
    pub not_before: Instant,
    /// The earliest arrival after it in its partition: a record that is stamped later than that was stamped ahead of
    /// the clock, or what follows it is late.
    pub followed_at: Option<Instant>,
    /// What the door left out of it.
    pub flags: Vec<Flag>,
}

/// What the log holds of the things that are asked for: see [`Wanted`].
#[derive(Debug, Clone, Default)]
pub struct Records {
    /// Records in; of one partition in the order of offsets.
    pub arrivals: Vec<Known>,
    /// Alerts; those of one enterprise in the order of the log.
    pub alerts: Vec<Alert>,
    /// Incidents as last written.
    pub incidents: Vec<Incident>,
    /// Records of the topic `lists`, in its order.
    pub lists: Vec<Written>,
    /// Headcounts, as arrivals are; beside them, as no alert asks for any.
    pub headcounts: Vec<Known>,
    /// Events that ask to freeze a list, in the order of arrival.
    pub events: Vec<Known>,
    /// Reports that were refused at the door and name the enterprise, in the order of arrival.
    pub refused: Vec<RefusedAtDoor>,
}

/// A refused report as far as it can be read, and where the log holds it.
#[derive(Debug, Clone)]
pub struct RefusedAtDoor {
    /// What can be read of it.
    pub report: Refused,
    /// Where it stands.
    pub place: Place,
    /// The contract's reason.
    pub reason: String,
}

/// The policies that can be looked up.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// The one that decided last.
    pub at_hand: &'a Policies,
    /// By hash; `None`: not at hand.
    pub of: &'a dyn Fn(&str) -> Option<&'a Policies>,
    /// Where the hash is not at hand: the one that most likely decided at an instant. What adds up under it is checked;
    /// what does not proves nothing.
    pub likely: &'a dyn Fn(Instant) -> Option<&'a Policies>,
}

/// Explains. Everything is seen from `clock`: "now" is what the records say up to it.
pub struct Why<'a, 'r> {
    records: &'a Records,
    rules: Rules<'r>,
    clock: Instant,
    now: Knowledge,
}

impl<'a, 'r> Why<'a, 'r> {
    /// Over these records; `clock` is that of the progress with which they were read.
    pub fn new(records: &'a Records, rules: Rules<'r>, clock: Instant) -> Why<'a, 'r> {
        let all = vec![true; records.arrivals.len()];
        let now = Knowledge::at(records, &all, rules.at_hand, clock.day());
        Why { records, rules, clock, now }
    }

    /// One alert: what it stood on when it was decided, whether that adds up, and what came since.
    pub fn alert(&self, alert_id: &str) -> Option<AlertExplained> {
        let alert = self.records.alerts.iter().find(|a| a.alert_id == alert_id)?;
        Some(self.explain(alert))
    }

    /// One incident: as it stands, and every alert of it. `None`: neither a record nor an alert has the number.
    pub fn incident(&self, id: IncidentId) -> Option<IncidentExplained> {
        let record = self.records.incidents.iter().find(|i| i.incident_id == id).cloned();
        let of_it = |a: &&Alert| a.rule == Rule::OwnerIncident && a.subject == *id.to_string();
        let mut alerts: Vec<&Alert> = self.records.alerts.iter().filter(of_it).collect();
        alerts.sort_by_key(|a| (a.decided_at, a.revision));
        if record.is_none() && alerts.is_empty() {
            return None;
        }
        let mut keys: Vec<ReportKey> = record.iter().flat_map(|r| r.reports.clone()).collect();
        if keys.is_empty() {
            keys.extend(alerts.iter().flat_map(|a| a.reports.iter().cloned()));
        }
        let named_in = |a: &&Alert| a.rule == Rule::Escalation && a.incident_ids.contains(&id);
        Some(IncidentExplained {
            incident_id: id,
            as_of: self.clock.day(),
            incidents: self.now_of(&keys),
            differences: record.iter().flat_map(|r| check::record(r, &self.now)).collect(),
            alerts: alerts.into_iter().map(|a| self.explain(a)).collect(),
            named_in: self.records.alerts.iter().filter(named_in).cloned().collect(),
            record,
        })
    }

    /// One enterprise: its register, its incidents, and every alert about it. `None`: nothing names it.
    pub fn enterprise(&self, uscc: Uscc) -> Option<EnterpriseExplained> {
        let registered = since::register(self.records, uscc);
        let mut alerts: Vec<&Alert> = self.records.alerts.iter().filter(|a| concerns(a, uscc)).collect();
        alerts.sort_by_key(|a| a.decided_at);
        let here = |f: &&Found| {
            f.seen.uscc == Some(uscc) || f.seen.root == Some(uscc) || f.seen.hosts.contains(&uscc)
        };
        let mut found: Vec<&Found> = self.now.incidents.iter().filter(here).collect();
        found.sort_by(|a, b| {
            (a.seen.occurred_on, &a.seen.reports[0].key).cmp(&(b.seen.occurred_on, &b.seen.reports[0].key))
        });
        let refused = self.refused(uscc);
        if registered.is_empty() && alerts.is_empty() && found.is_empty() && refused.is_empty() {
            return None;
        }
        let numbers = self.numbers(None);
        let known: BTreeSet<IncidentId> = found.iter().filter_map(|f| picture::number(f, &numbers)).collect();
        let is_known = |i: &&Incident| known.contains(&i.incident_id);
        let written = self.records.incidents.iter().filter(is_known);
        Some(EnterpriseExplained {
            uscc,
            as_of: self.clock.day(),
            read_as: Some(self.now.registry.root(&uscc)).filter(|root| *root != uscc),
            registered,
            escalation: window::window(
                uscc,
                &self.now,
                self.rules.at_hand,
                self.clock.day(),
                &self.records.alerts,
            ),
            incidents: found
                .into_iter()
                .map(|f| picture::incident(f, &self.now, &numbers, self.rules.at_hand, self))
                .collect(),
            differences: written.flat_map(|r| check::record(r, &self.now)).collect(),
            alerts: alerts.into_iter().map(|a| self.explain(a)).collect(),
            refused,
            lists: self.entries(uscc),
        })
    }

    /// The refused reports that name an enterprise, or one that is read as it; not what was accepted under the same key.
    fn refused(&self, uscc: Uscc) -> Vec<RefusedView> {
        let names = |r: &&RefusedAtDoor| {
            r.report.glimpse.enterprises.iter().any(|u| self.now.registry.root(u) == uscc || *u == uscc)
        };
        let unknown = |key: &ReportKey| !self.now.reports.contains_key(key);
        let stands = |r: &&RefusedAtDoor| r.report.glimpse.key.as_ref().is_none_or(unknown);
        let view = |r: &RefusedAtDoor| RefusedView {
            report: r.report.glimpse.key.clone(),
            arrived_at: r.report.arrived_at,
            place: r.place.clone(),
            reason: r.reason.clone(),
            occurred_on: r.report.glimpse.occurred_on,
        };
        self.records.refused.iter().filter(names).filter(stands).map(view).collect()
    }

    /// Judges by the policy of a hash, as of a day. Where it is not at hand: by the one that was likely in force at the
    /// instant, if all adds up under it; else by either, which checks only what no policy moves.
    fn judged_by<T>(
        &self,
        (hash, decided_at, as_of): (&Arc<str>, Instant, Day),
        judge: impl Fn(&Policies, bool) -> T,
        check: impl Fn(&T) -> &Check,
    ) -> (T, &Policies, PolicyUsed) {
        let named = (self.rules.of)(hash);
        let likely = if named.is_none() { (self.rules.likely)(decided_at) } else { None };
        let policies = named.or(likely).unwrap_or(self.rules.at_hand);
        let tried = likely.map(|likely| judge(likely, true));
        let judged = match tried.filter(|judged| check(judged).adds_up()) {
            Some(judged) => judged,
            None => judge(policies, named.is_some()),
        };
        let used = PolicyUsed {
            hash: Arc::clone(hash),
            at_hand: named.is_some(),
            used_hash: Arc::clone(policies.hash()),
            used_because: match (named, likely) {
                (Some(_), _) => UsedBecause::Named,
                (None, Some(_)) => UsedBecause::Likely,
                (None, None) => UsedBecause::AtHand,
            },
            effective_from: named.or(likely).map(|_| policies.on(as_of).effective_from),
        };
        (judged, policies, used)
    }

    fn explain(&self, alert: &Alert) -> AlertExplained {
        let judge = |policies: &Policies, at_hand| check::alert(self, alert, policies, at_hand);
        let by = (&alert.policy_hash, alert.decided_at, alert.as_of);
        let (judged, policies, policy) = self.judged_by(by, judge, |judged| &judged.check);
        let numbers = self.numbers(Some(alert));
        // What an owner's message stood on is its own number, whatever the reports went by next at that instant.
        // What a correction took back stood beside others by the numbers of before its instant.
        let mut own = match alert.change {
            Change::Corrected => self.numbers_said(Some(alert), |a, upto| a.decided_at < upto.decided_at),
            _ => numbers.clone(),
        };
        if let (Rule::OwnerIncident, Ok(id)) = (alert.rule, alert.subject.parse::<IncidentId>()) {
            own.extend(alert.reports.iter().map(|key| (key.clone(), (id, true))));
        }
        let views = |founds: &[Found], of: &Knowledge, numbers: &picture::Numbers| {
            founds.iter().map(|f| picture::incident(f, of, numbers, policies, self)).collect::<Vec<_>>()
        };
        let brought = brought::brought(self, alert, &judged, policies);
        let since = since::since(self, alert, &judged, policies);
        AlertExplained {
            policy,
            brought,
            incidents: views(&judged.stood_on, judged.was.as_ref().unwrap_or(&judged.then), &own),
            became: views(&judged.became, &judged.then, &numbers),
            told_as: self.told_as(alert, |a| a.decided_at <= alert.decided_at),
            numbers: judged.numbers,
            taken_later: judged.taken_later.iter().map(|i| self.place(*i)).collect(),
            stamped_ahead: judged.stamped_ahead.iter().map(|i| self.place(*i)).collect(),
            taken_last: judged.taken_last.iter().map(|i| self.place(*i)).collect(),
            since,
            check: judged.check,
            alert: alert.clone(),
        }
    }

    /// The owners' messages of other numbers that spoke of any report of an owner's message.
    fn told_as(&self, alert: &Alert, when: impl Fn(&Alert) -> bool) -> Vec<Alert> {
        let other = |a: &&Alert| {
            a.rule == Rule::OwnerIncident
                && a.subject != alert.subject
                && a.change != Change::Suppressed
                && a.reports.iter().any(|key| alert.reports.contains(key))
        };
        let all = if alert.rule == Rule::OwnerIncident { self.records.alerts.as_slice() } else { &[] };
        let mut all: Vec<Alert> = all.iter().filter(other).filter(|a| when(a)).cloned().collect();
        all.sort_by(|a, b| {
            (a.decided_at, &a.subject, a.revision).cmp(&(b.decided_at, &b.subject, b.revision))
        });
        all
    }

    /// The incidents of now that hold any of these reports.
    fn now_of(&self, keys: &[ReportKey]) -> Vec<IncidentView> {
        let numbers = self.numbers(None);
        let holds = |f: &&Found| f.seen.reports.iter().any(|r| keys.contains(&r.key));
        let found = self.now.incidents.iter().filter(holds);
        found.map(|f| picture::incident(f, &self.now, &numbers, self.rules.at_hand, self)).collect()
    }

    /// The number under which each report was last spoken of; up to an alert, or up to now. What no alert
    /// speaks of has the number of its record.
    fn numbers(&self, upto: Option<&Alert>) -> picture::Numbers {
        self.numbers_said(upto, |a, upto| a.decided_at <= upto.decided_at)
    }

    /// The same of those alerts alone that are `said` before another one.
    fn numbers_said(
        &self,
        upto: Option<&Alert>,
        said_before: impl Fn(&Alert, &Alert) -> bool,
    ) -> picture::Numbers {
        let mut numbers = BTreeMap::new();
        for incident in &self.records.incidents {
            let keys = incident.reports.iter().chain(&incident.withdrawn);
            numbers.extend(keys.map(|key| (key.clone(), (incident.incident_id, upto.is_none()))));
        }
        let Some(upto) = upto else { return numbers };
        let earlier = |a: &&Alert| said_before(a, upto) && a.alert_id != upto.alert_id;
        let own = |a: &&Alert| a.rule == Rule::OwnerIncident && said_before(a, upto);
        let warnings = self.records.alerts.iter().filter(|a| a.rule == Rule::Escalation).filter(earlier);
        let mut alerts: Vec<&Alert> = self.records.alerts.iter().filter(own).chain(warnings).collect();
        alerts.sort_by_key(|a| (a.decided_at, a.rule == Rule::Escalation, a.revision));
        for alert in alerts {
            if alert.rule == Rule::Escalation {
                // It says which numbers its reports go by together: under none other than those.
                for key in &alert.reports {
                    let other = numbers.get_mut(key).filter(|(id, _)| !alert.incident_ids.contains(id));
                    other.into_iter().for_each(|(_, sure)| *sure = false);
                }
                continue;
            }
            let Ok(id) = alert.subject.parse::<IncidentId>() else { continue };
            // A correction lists its reports as they were before it, and of what nobody is told of nothing is said
            // when it ends or loses them.
            let left = matches!(alert.change, Change::Suppressed | Change::Corrected);
            // What a later message does not list any more has left.
            numbers.values_mut().filter(|(of, _)| *of == id).for_each(|(_, sure)| *sure = false);
            // What another number says at the same instant may stand before it here.
            let said = |key: &&ReportKey| {
                alert.change != Change::Corrected || numbers.get(*key).is_none_or(|(_, sure)| !sure)
            };
            let said: Vec<&ReportKey> = alert.reports.iter().filter(said).collect();
            for key in said {
                numbers.insert(key.clone(), (id, !left));
            }
        }
        numbers
    }

    /// Where the log holds a record.
    fn place(&self, index: usize) -> Place {
        let known = &self.records.arrivals[index];
        Place { topic: Arc::clone(&known.topic), partition: known.partition, offset: known.offset }
    }
}

/// Whether an alert is about an enterprise, or for its owner: of an incident at which it is the host, or was the employer.
pub fn concerns(alert: &Alert, uscc: Uscc) -> bool {
    let owner = |a: &Audience| a.role == Role::Owner && *a.subject == *uscc.as_str();
    alert.uscc == uscc || alert.audiences.iter().any(owner)
}
