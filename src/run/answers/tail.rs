//! Keeps the index up to date, on a thread of its own. Reading only.

use std::sync::Arc;
use std::time::Duration;

use tocsin_schemas::door;
use tocsin_schemas::log::{EventLog, LogError, LogReader, LogRecord, TopicPartition};
use tocsin_schemas::records::Record;
use tocsin_schemas::topics::{ALERTS, ANSWERS, CONTACTS, DELIVERIES};
use tocsin_schemas::wire::SchemaIds;
use tokio::sync::watch;

use super::index::Index;
use crate::ledger::tail::own;

/// Records asked for at once, and how long one wait lasts: also how soon a stop is noticed.
const CHUNK: usize = 5_000;
const WAIT: Duration = Duration::from_millis(200);
/// The pause after trouble.
const PAUSE: Duration = Duration::from_secs(1);

/// Reads the topics from their beginning, and on until `stops`.
pub fn follow(
    log: Arc<dyn EventLog>,
    index: Index,
    schemas: Arc<dyn SchemaIds>,
    stops: watch::Receiver<bool>,
) {
    std::thread::spawn(move || {
        // A closed channel says that the service has ended.
        let ended = || *stops.borrow() || stops.has_changed().is_err();
        let mut reader: Option<Box<dyn LogReader>> = None;
        // What was there when it began to read. `None`: that is read.
        let mut awaited = Some(Vec::new());
        while !ended() {
            let read = match &mut reader {
                Some(reader) => take_in(&mut **reader, &index, &*schemas).map(|()| {
                    if let Some(ends) = &awaited
                        && reached(&**reader, ends)
                    {
                        awaited = None;
                        index.is_ready();
                    }
                }),
                None => open(&*log).map(|(opened, ends)| {
                    reader = Some(opened);
                    awaited = awaited.take().map(|_| ends);
                }),
            };
            if let Err(error) = read {
                tracing::warn!(%error, "what we gave cannot be read just now: answers to what is new have to come again");
                // What was compacted away meanwhile is no longer where the reader stands: from the beginning again.
                if let LogError::OffsetGone { .. } = error {
                    reader = None;
                }
                std::thread::sleep(PAUSE);
            }
        }
    });
}

/// A partition and an offset in it.
type Place = (TopicPartition, u64);

/// Whether all before these ends is read.
fn reached(reader: &dyn LogReader, ends: &[Place]) -> bool {
    let position = reader.position();
    let past = |(at, end): &Place| position.iter().any(|(of, next)| of == at && next >= end);
    ends.iter().all(past)
}

/// A reader of all topics from their beginning, and how far they are written: behind an append that is under way there may
/// be what others have given.
fn open(log: &dyn EventLog) -> Result<(Box<dyn LogReader>, Vec<Place>), LogError> {
    let (mut from, mut ends) = (Vec::new(), Vec::new());
    for topic in [ALERTS, DELIVERIES, ANSWERS, CONTACTS] {
        let (bounds, written) = (log.bounds(topic)?, log.written(topic)?);
        for (partition, (bounds, end)) in (0..).zip(bounds.into_iter().zip(written)) {
            let at = TopicPartition { topic: topic.into(), partition };
            ends.push((at.clone(), end));
            from.push((at, bounds.first));
        }
    }
    Ok((log.reader(&from)?, ends))
}

fn take_in(reader: &mut dyn LogReader, index: &Index, schemas: &dyn SchemaIds) -> Result<(), LogError> {
    for record in reader.poll(CHUNK, WAIT)? {
        if let Err(error) = enter(&record, index, schemas) {
            // Whoever owns the topic says so too, and stops; an answer to it is unknown here.
            tracing::debug!(%error, "left out of the index");
        }
    }
    Ok(())
}

fn enter(record: &LogRecord, index: &Index, schemas: &dyn SchemaIds) -> Result<(), LogError> {
    match &*record.topic {
        ALERTS => own(record)?.iter().for_each(|alert| index.alert(alert)),
        DELIVERIES => own(record)?.into_iter().for_each(|delivery| index.delivery(delivery)),
        ANSWERS => own(record)?.iter().for_each(|answer| index.answer(answer)),
        _ => {
            let key = record.key.clone().unwrap_or_default();
            match record
                .value
                .as_deref()
                .map(|value| door::admit(&record.topic, value, record.stamp, schemas))
            {
                None => index.contact(key, None),
                Some(Ok(admitted)) => {
                    if let Record::Contact(contact) = admitted.record {
                        index.contact(key, Some(&contact));
                    }
                }
                // The pipeline puts it into quarantine.
                Some(Err(_)) => {}
            }
        }
    }
    Ok(())
}
