//! What the topic `policy` holds: TOML texts in the order in which they were published. The newest valid one is in
//! force; one that cannot be used, or may not follow the one before, changes nothing and stands in quarantine.
//!
//! One that decided last was let in, whatever the door would say of it today: an earlier release let the first day of a
//! policy be moved. It is not taken back, since nobody published that; what comes next is held against it.

use tocsin_pipeline::Policies;
use tocsin_schemas::door::{Refusal, RefusalReason};
use tocsin_schemas::log::{EventLog, LogError, LogRecord};
use tocsin_schemas::records::{Progress, Quarantined};
use tocsin_schemas::time::Instant;
use tocsin_schemas::topics::POLICY;

use super::follow::may_follow;
use crate::run::pipeline::admit::quarantined;
use crate::run::pipeline::start;

/// A policy of the topic.
#[derive(Debug, Clone)]
pub struct Published {
    /// Its number among the valid ones of the topic, from 1.
    pub version: u32,
    /// Where it stands.
    pub offset: u64,
    /// When it was published.
    pub published_at: Instant,
    /// What it says.
    pub policies: Policies,
}

/// What the topic holds.
#[derive(Debug, Default)]
pub struct Held {
    /// Those that can be used, oldest first.
    pub valid: Vec<Published>,
    /// Those that cannot, oldest first.
    pub refused: Vec<Quarantined>,
    /// The offset after them all.
    pub next: u64,
}

impl Held {
    /// The one in force, if there is one.
    pub fn newest(&self) -> Option<&Published> {
        self.valid.last()
    }

    /// The door for what comes after these.
    pub fn door(&self) -> Door {
        Door { newest: self.newest().map(|newest| newest.policies.clone()), decided: None }
    }
}

/// The policy that decided last, as `progress` has it.
#[derive(Debug, Clone)]
struct Decided {
    hash: String,
    /// The offset after the records of the topic that had been read by then.
    next: u64,
}

impl Decided {
    fn of(progress: Progress) -> Decided {
        let next = progress.offsets.iter().find(|o| o.topic == POLICY).map_or(0, |o| o.next);
        Decided { hash: progress.policy_hash, next }
    }

    fn by(&self, policies: &Policies, offset: u64) -> bool {
        offset < self.next && *self.hash == **policies.hash()
    }
}

/// The door of the topic. What a record is hangs on the log alone: on its text, its stamp, the valid one before, and
/// whether it has decided already.
#[derive(Debug, Clone, Default)]
pub struct Door {
    newest: Option<Policies>,
    decided: Option<Decided>,
}

impl Door {
    /// Judges the next record.
    ///
    /// # Errors
    /// What is wrong with the text, with line and column; or why it may not follow the one before
    /// ([`may_follow`]). The one before stays in force.
    pub fn admit(&mut self, record: &LogRecord) -> Result<Policies, Refusal> {
        let refused = |detail: String| Refusal { reason: RefusalReason::BadPolicy, detail };
        let raw = record.value.as_deref().unwrap_or_default();
        let policies = Policies::parse_bytes(raw).map_err(|e| refused(e.to_string()))?;
        let decided = self.decided.as_ref().is_some_and(|decided| decided.by(&policies, record.offset));
        if let Some(newest) = self.newest.as_ref().filter(|_| !decided) {
            may_follow(newest, &policies, record.stamp.day()).map_err(refused)?;
        }
        self.newest = Some(policies.clone());
        Ok(policies)
    }
}

/// Reads the topic to its present end.
///
/// # Errors
/// Those of the log.
pub fn read(log: &dyn EventLog) -> Result<Held, LogError> {
    let decided = match start::read_progress(log) {
        // Nothing was decided; who needs the topic says that it is missing.
        Err(LogError::MissingTopic { .. }) => None,
        progress => progress?.map(Decided::of),
    };
    let (mut held, mut door) = (Held::default(), Door { newest: None, decided });
    let ends = start::read_all(log, POLICY, &mut |record| {
        match door.admit(&record) {
            Ok(policies) => {
                let (version, offset) = (held.valid.len() as u32 + 1, record.offset);
                held.valid.push(Published { version, offset, published_at: record.stamp, policies });
            }
            Err(refusal) => held.refused.push(quarantined(&record, refusal)),
        }
        Ok(())
    })?;
    // It has one partition, for life. What was published while it was read is read by whoever goes on from here.
    held.next = ends.first().copied().unwrap_or_default();
    let next = held.next;
    held.valid.retain(|published| published.offset < next);
    held.refused.retain(|quarantined| quarantined.offset < next);
    Ok(held)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tocsin_schemas::door::MAX_RECORD_BYTES;
    use tocsin_schemas::log::NewRecord;

    use super::*;

    #[test]
    fn whatever_stands_on_the_topic_is_a_policy_or_refused_with_its_place() {
        let of = |value: Option<&[u8]>| {
            let (topic, value) = (Arc::from(POLICY), value.map(<[u8]>::to_vec));
            let record = LogRecord { topic, partition: 0, offset: 0, stamp: Instant(0), key: None, value };
            Door::default().admit(&record).map(|p| p.hash().to_string()).map_err(|r| r.to_string())
        };
        let text = Policies::default().to_toml().unwrap();
        assert_eq!(of(Some(text.as_bytes())), Ok(Policies::default().hash().to_string()));
        for (value, said) in [
            (None, "bad_policy: line 1, column 1: expected at least one [[policy]] table, found none"),
            (Some(&b"{}"[..]), "bad_policy: line 1, column 1: "),
            (Some(b"[[policy]]\neffective_from = \xFF"), "bad_policy: line 2, column 18: "),
        ] {
            let found = of(value).unwrap_err();
            assert!(found.starts_with(said), "{found}");
        }
        let long = vec![b'#'; MAX_RECORD_BYTES + 1];
        assert!(of(Some(&long)).unwrap_err().contains("at most 1048576 bytes, found 1048577"));
    }

    /// An earlier release let the first day of a policy be moved back, and may have decided by such a one since. That one
    /// still decides, is in force, and is what the next one has to follow.
    #[test]
    fn a_policy_that_decided_under_an_earlier_release_still_decides() {
        let dir = tempfile::tempdir().unwrap();
        let log = tocsin_connectors::log::sqlite::SqliteLog::open(&dir.path().join("log.db")).unwrap();
        log.ensure(&tocsin_schemas::topics::settings(), false).unwrap();
        let from = |day: &str| format!("[[policy]]\neffective_from = \"{day}\"\n");
        let of = |day: &str| Policies::parse(&from(day)).unwrap();
        for day in ["2020-11-20", "2009-07-01"] {
            let record = crate::policy::publish::record(&of(day), from(day), None);
            log.writer("policy").unwrap().append(&[record]).unwrap();
        }
        let begins =
            |held: &Held| held.valid.iter().map(|v| v.policies.begins().to_string()).collect::<Vec<_>>();
        let held = read(&log).unwrap();
        assert_eq!(
            (begins(&held), held.refused.len()),
            (vec!["2020-11-20".to_owned()], 1),
            "it never decided"
        );
        let decided = |day: &str, next| {
            let offset = tocsin_schemas::records::Offset { topic: POLICY.into(), partition: 0, next };
            let (writer, policy_hash) = ("pipeline".to_owned(), of(day).hash().to_string());
            let progress = Progress { writer, policy_hash, offsets: vec![offset], ..Progress::default() };
            let record = NewRecord {
                topic: Arc::from(tocsin_schemas::topics::PROGRESS),
                key: b"pipeline".to_vec(),
                value: Some(tocsin_schemas::wire::encode(&progress)),
                stamp: None,
                route: None,
            };
            log.writer("pipeline").unwrap().append(&[record]).unwrap();
            progress
        };
        // It had not been read when the other one decided.
        decided("2009-07-01", 1);
        assert_eq!(begins(&read(&log).unwrap()).len(), 1);
        let progress = decided("2009-07-01", 2);
        let held = read(&log).unwrap();
        assert_eq!((begins(&held).len(), held.refused.len()), (2, 0));
        let mut door = held.door();
        let started = crate::run::pipeline::policy::start(held, Some(&progress), &Policies::default());
        assert_eq!((started.decided.begins(), started.since.len()), (of("2009-07-01").begins(), 0));
        // What comes next follows it.
        let mut next = |day: &str| {
            let (topic, value) = (Arc::from(POLICY), Some(from(day).into_bytes()));
            door.admit(&LogRecord { topic, partition: 0, offset: 2, stamp: Instant(0), key: None, value })
                .is_ok()
        };
        assert!(next("2009-07-01"));
    }

    /// A log in which somebody publishes right after its ends were looked up.
    struct Busy(tocsin_connectors::log::sqlite::SqliteLog);

    impl EventLog for Busy {
        fn log_id(&self) -> Result<String, LogError> {
            self.0.log_id()
        }
        fn topics(&self) -> Result<Vec<tocsin_schemas::log::TopicSettings>, LogError> {
            self.0.topics()
        }
        fn ensure(
            &self,
            topics: &[tocsin_schemas::log::TopicSettings],
            dry_run: bool,
        ) -> Result<Vec<tocsin_schemas::log::TopicChange>, LogError> {
            self.0.ensure(topics, dry_run)
        }
        fn bounds(&self, topic: &str) -> Result<Vec<tocsin_schemas::log::Bounds>, LogError> {
            let bounds = self.0.bounds(topic)?;
            let wrong = tocsin_schemas::log::NewRecord {
                topic: Arc::from(POLICY),
                key: Vec::new(),
                value: Some(b"wrong".to_vec()),
                stamp: None,
                route: None,
            };
            self.0.writer("policy")?.append(&[wrong])?;
            Ok(bounds)
        }
        fn written(&self, topic: &str) -> Result<Vec<u64>, LogError> {
            self.0.written(topic)
        }
        fn reader(
            &self,
            from: &[(tocsin_schemas::log::TopicPartition, u64)],
        ) -> Result<Box<dyn tocsin_schemas::log::LogReader>, LogError> {
            self.0.reader(from)
        }
        fn writer(&self, name: &str) -> Result<Box<dyn tocsin_schemas::log::LogWriter>, LogError> {
            self.0.writer(name)
        }
    }

    /// The service reads on from `next`: what stands behind it is read again, so it is not to be here too.
    #[test]
    fn what_is_held_lies_before_the_offset_to_go_on_from() {
        let dir = tempfile::tempdir().unwrap();
        let log = tocsin_connectors::log::sqlite::SqliteLog::open(&dir.path().join("log.db")).unwrap();
        log.ensure(&tocsin_schemas::topics::settings(), false).unwrap();
        let text = Policies::default().to_toml().unwrap();
        let record = crate::policy::publish::record(&Policies::default(), text, None);
        log.writer("policy").unwrap().append(&[record]).unwrap();
        let held = read(&Busy(log)).unwrap();
        let refused: Vec<u64> = held.refused.iter().map(|q| q.offset).collect();
        assert!(refused.iter().all(|offset| *offset < held.next), "{refused:?} and next is {}", held.next);
    }
}
