//! Reads what the books need out of the event log, and later what came since. Reading only: no writer is made, no
//! offset is kept, and a running service does not notice.
//!
//! The order matters beside a running service. Progress is read before `alerts` and `deliveries`: what it stands for is
//! then among what is read after it. `incidents` before `alerts`, `alerts` before `deliveries`: so that what is said is
//! said of something. What a look sees only a part of is settled by the next one ([`super::reconcile`]).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tocsin_pipeline::owed::FirstCounting;
use tocsin_schemas::ids::{IncidentId, ReportKey};
use tocsin_schemas::log::{EventLog, LogError, LogRecord, TopicPartition};
use tocsin_schemas::records::{Incident, Record};
use tocsin_schemas::time::Instant;
use tocsin_schemas::topics::{self, ALERTS, DELIVERIES, INCIDENTS, PROGRESS};
use tocsin_schemas::wire::{self, OutputRecord, SchemaIds};

use super::books::Books;
use crate::run::pipeline::admit::{AtDoor, admit};
use crate::run::pipeline::start::{Part, read_all, read_parts};

/// Books that are kept up to date with a log.
pub struct Tail {
    log: Arc<dyn EventLog>,
    /// What was read so far.
    pub books: Books,
    /// The next offset of each partition.
    next: BTreeMap<TopicPartition, u64>,
}

impl Tail {
    /// Empty books of this log.
    pub fn new(log: Arc<dyn EventLog>) -> Tail {
        Tail { log, books: Books::default(), next: BTreeMap::new() }
    }

    /// Reads on to the present ends, and calls `each` for every record.
    ///
    /// # Errors
    /// Those of the log; `Damaged` for a record of ours that cannot be read. What was read before it is in the books, and
    /// the call may be repeated.
    pub fn advance(&mut self, each: &dyn Fn(&'static str)) -> Result<(), LogError> {
        for topic in [PROGRESS, INCIDENTS, ALERTS, DELIVERIES] {
            self.topic(topic, &|| each(topic))?;
        }
        Ok(())
    }

    fn topic(&mut self, topic: &'static str, each: &dyn Fn()) -> Result<(), LogError> {
        let place = |partition| TopicPartition { topic: Arc::from(topic), partition };
        let mut parts = Vec::new();
        for (partition, bounds) in (0..).zip(self.log.bounds(topic)?) {
            let at = place(partition);
            // What compaction took away is superseded by what comes later.
            let from = self.next.get(&at).copied().unwrap_or(0).max(bounds.first);
            if from < bounds.end {
                parts.push(Part { at, from, upto: bounds.end });
            }
        }
        let (books, next) = (&mut self.books, &mut self.next);
        read_parts(&*self.log, &parts, &mut |record| {
            each();
            let (at, after) = (place(record.partition), record.offset + 1);
            enter(books, topic, record)?;
            next.insert(at, after);
            Ok(())
        })?;
        // Behind the last record there may be control records.
        for part in parts {
            let next = self.next.entry(part.at).or_default();
            *next = (*next).max(part.upto);
        }
        Ok(())
    }

    /// Looks up when counting reports of these incidents first arrived, so that their reasons can be judged. Reads every
    /// report up to the pipeline's progress.
    ///
    /// # Errors
    /// Those of the log.
    pub fn look_up(
        &mut self,
        incidents: &[IncidentId],
        schemas: &dyn SchemaIds,
        each: &dyn Fn(&'static str),
    ) -> Result<(), LogError> {
        let wanted: BTreeSet<IncidentId> = incidents.iter().copied().collect();
        let mut reports: BTreeMap<IncidentId, Vec<ReportKey>> = BTreeMap::new();
        read_all(&*self.log, INCIDENTS, &mut |record| {
            if let Some(incident) = own::<Incident>(&record)?
                && wanted.contains(&incident.incident_id)
            {
                reports.insert(incident.incident_id, incident.reports);
            }
            Ok(())
        })?;
        let mut first: HashMap<ReportKey, Option<Instant>> =
            reports.values().flatten().map(|key| (key.clone(), None)).collect();
        let upto: BTreeMap<(&str, u32), u64> = self
            .books
            .decided
            .iter()
            .flat_map(|p| &p.offsets)
            .map(|o| ((o.topic.as_str(), o.partition), o.next))
            .collect();
        for topic in topics::catalogue().iter().filter(|t| t.source.is_some_and(|s| !s.only_suspects())) {
            read_all(&*self.log, topic.name, &mut |record| {
                each(topic.name);
                let end = upto.get(&(topic.name, record.partition)).copied().unwrap_or(0);
                if record.offset >= end {
                    return Ok(());
                }
                if let AtDoor::In(arrival, _) = admit(record, schemas)
                    && let Record::Report(report) = &arrival.record
                    && report.status.counts()
                    && let Some(first) = first.get_mut(&report.key())
                {
                    let at = arrival.arrived_at;
                    *first = Some(first.map_or(at, |first| first.min(at)));
                }
                Ok(())
            })?;
        }
        for (id, keys) in reports {
            if let Some(at) = keys.iter().filter_map(|key| first.get(key).copied().flatten()).min() {
                self.books.first_counting.insert(id, FirstCounting::At(at));
            }
        }
        Ok(())
    }
}

fn enter(books: &mut Books, topic: &str, record: LogRecord) -> Result<(), LogError> {
    match topic {
        PROGRESS => own(&record)?.into_iter().for_each(|progress| books.progress(progress)),
        INCIDENTS => own(&record)?.into_iter().for_each(|incident| books.incident(incident)),
        ALERTS => {
            let (partition, offset) = (record.partition, record.offset);
            own(&record)?.into_iter().for_each(|alert| books.alert(alert, partition, offset));
        }
        _ => books.delivery(record.key.as_deref().unwrap_or_default(), own(&record)?),
    }
    Ok(())
}

/// A record that we wrote; `None`: a tombstone.
pub fn own<T: OutputRecord>(record: &LogRecord) -> Result<Option<T>, LogError> {
    record.value.as_deref().map(wire::decode).transpose().map_err(|e| {
        let (topic, partition, offset) = (&record.topic, record.partition, record.offset);
        LogError::Damaged(format!("{topic} partition {partition} offset {offset}: {e}"))
    })
}
