//! The books: what `incidents`, `alerts`, `deliveries` and `progress` say, folded record by record. Pure.
//!
//! Records of different topics may come in any order, and again; of one key the last one counts. Only what the
//! reconciliation asks for is held.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use compact_str::{CompactString, ToCompactString};
use tocsin_alerts::{ledger, quota};
use tocsin_pipeline::owed::FirstCounting;
use tocsin_schemas::codes::{Change, DeliveryState, Role, Rule, Severity};
use tocsin_schemas::ids::{IncidentId, Uscc};
use tocsin_schemas::records::{Alert, Delivery, Incident, Progress};
use tocsin_schemas::time::Instant;
use tocsin_schemas::topics;

/// What stands in the log.
#[derive(Debug, Default)]
pub struct Books {
    /// Each incident as last written, without its lists of reports.
    pub incidents: BTreeMap<IncidentId, Incident>,
    /// When a counting report of an incident first arrived, where somebody looked that up.
    pub first_counting: HashMap<IncidentId, FirstCounting>,
    /// Each decision, by its id.
    pub alerts: HashMap<String, Said>,
    /// Each delivery as last written, by its id.
    pub deliveries: HashMap<String, Sent>,
    /// The last progress of the pipeline.
    pub decided: Option<Progress>,
    /// The last progress of the alert worker.
    pub delivered: Option<Progress>,
    /// Each reason once: there are a few, of many deliveries.
    reasons: HashMap<String, Arc<str>>,
    /// The ids that retries of what failed have.
    retries: HashSet<String>,
}

/// An alert, as far as the books need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Which rule.
    pub rule: Rule,
    /// What it changes.
    pub change: Change,
    /// The number that people quote.
    pub case_no: CompactString,
    /// The incident or the enterprise.
    pub subject: CompactString,
    /// The enterprise that it is about.
    pub uscc: Uscc,
    /// Counts openings of an escalation.
    pub episode: u32,
    /// Counts the messages of the episode from 1; 0 of a suppressed one.
    pub revision: u32,
    /// Who is to be told.
    pub audiences: Vec<(Role, CompactString)>,
    /// As told.
    pub severity: Option<Severity>,
    /// The reason, by its text.
    pub reason: Option<&'static str>,
    /// When it was decided.
    pub decided_at: Instant,
    /// Where it stands in `alerts`.
    pub partition: u32,
    /// See `partition`.
    pub offset: u64,
}

/// A delivery, as far as the books need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The alert that it delivers.
    pub alert_id: String,
    /// The alert's case.
    pub case_no: CompactString,
    /// The enterprise that it is about.
    pub uscc: Uscc,
    /// The role told.
    pub role: Role,
    /// Whose role.
    pub subject: CompactString,
    /// How far it has come.
    pub state: DeliveryState,
    /// Why, where the state alone does not say it: the reason's class, of which there are a few.
    pub reason: Option<Arc<str>>,
    /// The delivery that stands for this one: its digest, or its twin to the same phone.
    pub leader: Option<Box<str>>,
    /// Whether it is a digest. Alert, role and subject are then those of the first message that joined it.
    pub digest: bool,
    /// When this state was entered.
    pub at: Instant,
    /// Whether a next attempt has a time.
    pub due: bool,
}

impl Books {
    /// Takes a record of `incidents`.
    pub fn incident(&mut self, incident: Incident) {
        let id = incident.incident_id;
        // What was looked up was looked up for the reports of the record before.
        self.first_counting.remove(&id);
        self.incidents.insert(id, Incident { reports: Vec::new(), withdrawn: Vec::new(), ..incident });
    }

    /// Takes a record of `alerts`, which stands there.
    pub fn alert(&mut self, alert: Alert, partition: u32, offset: u64) {
        let said = Said {
            rule: alert.rule,
            change: alert.change,
            case_no: alert.case_no,
            subject: alert.subject,
            uscc: alert.uscc,
            episode: alert.episode,
            revision: alert.revision,
            audiences: alert.audiences.into_iter().map(|a| (a.role, a.subject)).collect(),
            severity: alert.severity,
            reason: alert.reason.map(|reason| reason.as_str()),
            decided_at: alert.decided_at,
            partition,
            offset,
        };
        self.alerts.insert(alert.alert_id, said);
    }

    /// Takes a record of `deliveries`; `None` in place of one: there is nothing under this key any more.
    pub fn delivery(&mut self, key: &[u8], delivery: Option<Delivery>) {
        let Some(d) = delivery else {
            self.deliveries.remove(&*String::from_utf8_lossy(key));
            return;
        };
        // Ids in reasons would make as many reasons as there are deliveries.
        let reason = d.reason.as_ref().map(|_| {
            let class = ledger::reason_class(&d);
            let known = self.reasons.get(class).map(Arc::clone);
            known.unwrap_or_else(|| {
                let fresh: Arc<str> = Arc::from(class);
                self.reasons.insert(class.to_owned(), Arc::clone(&fresh));
                fresh
            })
        });
        if d.state == DeliveryState::Failed {
            self.retries.insert(ledger::retry_id(&d.delivery_id));
        }
        let (leader, digest) = (ledger::stands_for(&d).map(Box::from), quota::is_digest(&d));
        let sent = Sent {
            alert_id: d.alert_id,
            case_no: d.case_no.to_compact_string(),
            uscc: d.uscc,
            role: d.role,
            subject: d.subject.to_compact_string(),
            state: d.state,
            reason,
            leader,
            digest,
            at: d.at,
            due: d.due_at.is_some(),
        };
        self.deliveries.insert(d.delivery_id, sent);
    }

    /// Whether it says after all what another one failed to say. It then hangs on whoever asked for it, not on its alert.
    pub fn is_retry(&self, sent: &Sent) -> bool {
        let mut known = self.retries.iter().filter_map(|id| self.deliveries.get(&**id));
        known.any(|known| std::ptr::eq(known, sent))
    }

    /// Takes a record of `progress`.
    pub fn progress(&mut self, progress: Progress) {
        match progress.writer.as_str() {
            crate::run::pipeline::WRITER => self.decided = Some(progress),
            tocsin_alerts::worker::WRITER => self.delivered = Some(progress),
            _ => {}
        }
    }

    /// Whether the alert worker is past this place of `alerts`: then every delivery of the alert there has ended.
    pub fn passed(&self, partition: u32, offset: u64) -> bool {
        let here =
            |o: &&tocsin_schemas::records::Offset| o.topic == topics::ALERTS && o.partition == partition;
        let next = self.delivered.as_ref().and_then(|p| p.offsets.iter().find(here)).map(|o| o.next);
        next.is_some_and(|next| offset < next)
    }
}
