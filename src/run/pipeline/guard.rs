//! Absence is never a cause (design.md section 4): a lost topic, another cluster or half a restore must not
//! be taken for a withdrawal. Pure: what was found against what `progress` says. Anything here stops the
//! service before it decides or sends anything.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tocsin_pipeline::lists::ListsFound;
use tocsin_schemas::log::{Bounds, Retention, TopicSettings};
use tocsin_schemas::records::Progress;
use tocsin_schemas::topics::{Direction, MEMBERS, PROGRESS, Topic};

/// What was found in the log.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Its id.
    pub log_id: String,
    /// Its topics.
    pub topics: Vec<TopicSettings>,
    /// First offset and committed end of each partition of each topic that was asked for.
    pub bounds: BTreeMap<Arc<str>, Vec<Bounds>>,
}

/// Why nothing may be decided.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Not there.
    #[error("topic {0} is missing: run `tocsin topics apply`")]
    MissingTopic(String),
    /// Partitions are for life, because keys would move.
    #[error("topic {topic} has {found} partitions, expected {wanted}: it is not the topic that Tocsin made")]
    Partitions {
        /// The topic.
        topic: String,
        /// In the catalogue.
        wanted: u32,
        /// In the log.
        found: u32,
    },
    /// Evidence would be deleted.
    #[error("topic {topic} is kept {found}, expected {wanted}: run `tocsin topics apply`")]
    Retention {
        /// The topic.
        topic: String,
        /// What it keeps.
        found: String,
        /// In the catalogue.
        wanted: String,
    },
    /// A decision could be larger than the topic takes, and the run would stand still before it.
    #[error("topic {topic} takes records of {found} bytes, expected {wanted}: run `tocsin topics apply`")]
    TooSmall {
        /// The topic.
        topic: String,
        /// In the catalogue.
        wanted: usize,
        /// In the log.
        found: usize,
    },
    /// Evidence was deleted.
    #[error(
        "topic {topic} partition {partition} begins at offset {first}: records before it were deleted; \
         restore the topic"
    )]
    Deleted {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// Its first offset.
        first: u64,
    },
    /// Progress has seen records that are not there.
    #[error(
        "topic {topic} partition {partition} ends at {end}, but progress has read to {next}: the topic was \
         emptied or half restored; restore it"
    )]
    EndBelow {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// Its committed end.
        end: u64,
        /// What progress says.
        next: u64,
    },
    /// Another cluster or file.
    #[error(
        "this log's id is {found}, but progress belongs to log {wanted}: the configuration names another log, or the log was made anew"
    )]
    OtherLog {
        /// In progress.
        wanted: String,
        /// The log's own.
        found: String,
    },
    /// What was said or told is there, in whole or in part, but not how far it goes.
    #[error(
        "there are records in {0}, but no progress of the pipeline: what was decided was lost, at least in part; \
         restore every topic that tocsin writes from one copy"
    )]
    ProgressLost(String),
}

/// Compares. `inputs` are the topics that the pipeline reads, `outputs` those that it writes.
pub fn check(
    found: &Found,
    inputs: &[&Topic],
    outputs: &[&Topic],
    progress: Option<&Progress>,
) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    for topic in inputs.iter().chain(outputs) {
        let name = topic.name.to_owned();
        let Some(is) = found.topics.iter().find(|t| *t.name == *name) else {
            troubles.push(Trouble::MissingTopic(name));
            continue;
        };
        if is.partitions != topic.partitions {
            troubles.push(Trouble::Partitions {
                topic: name,
                wanted: topic.partitions,
                found: is.partitions,
            });
            continue;
        }
        if topic.direction == Direction::Out && is.max_record_bytes < topic.max_record_bytes {
            let (wanted, found) = (topic.max_record_bytes, is.max_record_bytes);
            troubles.push(Trouble::TooSmall { topic: name.clone(), wanted, found });
        }
        let deletes = match topic.retention {
            Retention::Forever => is.retention != Retention::Forever,
            // The newest record of a key is what is so.
            Retention::Compacted => matches!(is.retention, Retention::Days(_)),
            Retention::Days(_) => false,
        };
        if deletes {
            let (found, wanted) = (retention(is.retention), retention(topic.retention));
            troubles.push(Trouble::Retention { topic: name, found, wanted });
            continue;
        }
        if topic.retention != Retention::Forever {
            continue;
        }
        for (partition, bounds) in numbered(found, topic.name) {
            if bounds.first > 0 {
                let topic = name.clone();
                troubles.push(Trouble::Deleted { topic, partition, first: bounds.first });
            }
        }
    }
    match progress {
        Some(progress) => against(found, progress, &mut troubles),
        None => {
            // Every one of them is written together with progress, or after it (`deliveries`, `answers`). An end above 0
            // is enough: what is kept by time may have gone since. `progress` and `members` have other writers.
            let own = |t: &&&Topic| ![PROGRESS, MEMBERS].contains(&t.name);
            let ever_written = |t: &&&Topic| numbered(found, t.name).any(|(_, b)| b.end > 0);
            let written: Vec<&str> =
                outputs.iter().filter(own).filter(ever_written).map(|t| t.name).collect();
            if !written.is_empty() {
                troubles.push(Trouble::ProgressLost(written.join(", ")));
            }
        }
    }
    troubles
}

fn against(found: &Found, progress: &Progress, troubles: &mut Vec<Trouble>) {
    if progress.log_id != found.log_id {
        let (wanted, found) = (progress.log_id.clone(), found.log_id.clone());
        troubles.push(Trouble::OtherLog { wanted, found });
        return;
    }
    for offset in &progress.offsets {
        let Some(bounds) = found.bounds.get(offset.topic.as_str()) else { continue };
        let end = bounds.get(offset.partition as usize).map_or(0, |b| b.end);
        if end < offset.next {
            troubles.push(Trouble::EndBelow {
                topic: offset.topic.clone(),
                partition: offset.partition,
                end,
                next: offset.next,
            });
        }
    }
}

/// How many events an error names.
const NAMED: usize = 5;

/// The topic `lists` does not hold what was written to it. A list that was frozen cannot be made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListsMissing {
    /// What it holds.
    pub found: ListsFound,
    /// How many records progress says; `None`: that is of a release that did not count them.
    pub wanted: Option<u32>,
}

impl fmt::Display for ListsMissing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ListsMissing { found: ListsFound { records, lost }, wanted } = self;
        write!(f, "the topic lists holds {records} records")?;
        if let Some(wanted) = wanted {
            write!(f, ", progress says {wanted}")?;
        }
        if !lost.is_empty() {
            let more = lost.len().checked_sub(NAMED).filter(|more| *more > 0);
            let more = more.map_or_else(String::new, |more| format!(" and {more} more"));
            let named = lost.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
            write!(f, ", and nothing of what event {named}{more} asked to freeze")?;
        }
        f.write_str(
            ": it was emptied or half restored; restore it. Accepted, the lists of this year and the last are made anew, \
             compared with what the next midnight takes, and what was frozen stays lost",
        )
    }
}

/// Compares what the topic `lists` holds with what progress says of it. A release that did not count may never have
/// written any: then what it would have frozen is no loss of this log.
pub fn lists(found: &ListsFound, wanted: Option<u32>) -> Option<ListsMissing> {
    let missing = match wanted {
        Some(wanted) => found.records != wanted || !found.lost.is_empty(),
        None => found.records > 0 && !found.lost.is_empty(),
    };
    missing.then(|| ListsMissing { found: found.clone(), wanted })
}

fn numbered<'a>(found: &'a Found, topic: &str) -> impl Iterator<Item = (u32, Bounds)> + use<'a> {
    found.bounds.get(topic).into_iter().flat_map(|all| (0..).zip(all.iter().copied()))
}

/// What a topic keeps, in words.
pub fn retention(retention: Retention) -> String {
    match retention {
        Retention::Forever => "for ever".into(),
        Retention::Compacted => "only the newest record of each key".into(),
        Retention::Days(0) => "less than a day, or by size".into(),
        Retention::Days(days) => format!("{days} days"),
    }
}

#[cfg(test)]
mod tests {
    use tocsin_schemas::records::Offset;
    use tocsin_schemas::topics::{self, Direction};

    use super::*;

    fn sound() -> Found {
        let mut found = Found { log_id: "one".into(), topics: topics::settings(), ..Found::default() };
        for topic in &found.topics {
            let bounds = vec![Bounds { first: 0, end: 10 }; topic.partitions as usize];
            found.bounds.insert(Arc::clone(&topic.name), bounds);
        }
        found
    }

    fn progress(next: u64) -> Progress {
        let offsets = vec![Offset { topic: "reports.hr".into(), partition: 1, next }];
        Progress { writer: "pipeline".into(), log_id: "one".into(), offsets, ..Progress::default() }
    }

    fn of(found: &Found, progress: Option<&Progress>) -> Vec<Trouble> {
        let input = [topics::topic("reports.hr").unwrap(), topics::topic(topics::CONTACTS).unwrap()];
        let output = [topics::topic(topics::ALERTS).unwrap(), topics::topic(topics::PROGRESS).unwrap()];
        check(found, &input, &output, progress)
    }

    #[test]
    fn a_log_as_it_should_be_is_no_trouble() {
        assert_eq!(of(&sound(), Some(&progress(10))), []);
        let mut empty = sound();
        empty.bounds.values_mut().flatten().for_each(|b| b.end = 0);
        assert_eq!(of(&empty, None), []);
    }

    #[test]
    fn an_emptied_topic_and_progress_ahead_are_named() {
        let trouble = of(&sound(), Some(&progress(11)));
        let expected = Trouble::EndBelow { topic: "reports.hr".into(), partition: 1, end: 10, next: 11 };
        assert_eq!(trouble, [expected]);
    }

    #[test]
    fn another_log_is_told_by_its_id() {
        let other = Found { log_id: "two".into(), ..sound() };
        let expected = Trouble::OtherLog { wanted: "one".into(), found: "two".into() };
        assert_eq!(of(&other, Some(&progress(3))), [expected]);
    }

    #[test]
    fn deleted_evidence_is_named_but_compaction_is_not() {
        let mut found = sound();
        found.bounds.get_mut("reports.hr").unwrap()[2].first = 4;
        found.bounds.get_mut("registry.contacts").unwrap()[0].first = 4;
        let expected = Trouble::Deleted { topic: "reports.hr".into(), partition: 2, first: 4 };
        assert_eq!(of(&found, Some(&progress(3))), [expected]);
    }

    #[test]
    fn a_missing_topic_limited_retention_and_other_partitions_are_named() {
        let mut found = sound();
        found.topics.retain(|t| &*t.name != "alerts");
        assert_eq!(
            of(&found, None),
            [Trouble::MissingTopic("alerts".into()), Trouble::ProgressLost("alerts".into())]
        );
        let mut found = sound();
        let hr = found.topics.iter_mut().find(|t| &*t.name == "reports.hr").unwrap();
        hr.retention = Retention::Days(7);
        let trouble = |topic: &str, wanted: &str| Trouble::Retention {
            topic: topic.into(),
            found: "7 days".into(),
            wanted: wanted.into(),
        };
        assert_eq!(of(&found, Some(&progress(3))), [trouble("reports.hr", "for ever")]);
        let mut found = sound();
        let contacts = found.topics.iter_mut().find(|t| &*t.name == "registry.contacts").unwrap();
        contacts.retention = Retention::Days(7);
        let expected = trouble("registry.contacts", "only the newest record of each key");
        assert_eq!(of(&found, Some(&progress(3))), [expected]);
        let mut found = sound();
        let hr = found.topics.iter_mut().find(|t| &*t.name == "reports.hr").unwrap();
        hr.partitions = 6;
        let expected = Trouble::Partitions { topic: "reports.hr".into(), wanted: 3, found: 6 };
        assert_eq!(of(&found, Some(&progress(3))), [expected]);
    }

    /// Every topic that Tocsin writes, as [`super::super::start::look`] asks.
    fn of_all(found: &Found, progress: Option<&Progress>) -> Vec<Trouble> {
        let written = |t: &&Topic| t.direction == Direction::Out && t.schema.is_some();
        let output: Vec<&Topic> = topics::catalogue().iter().filter(written).collect();
        check(found, &[], &output, progress)
    }

    #[test]
    fn whatever_was_written_without_progress_is_trouble() {
        for topic in ["alerts", "incidents", "rates", "lists", "quarantine", "deliveries", "answers"] {
            let mut found = sound();
            found.bounds.values_mut().flatten().for_each(|b| *b = Bounds { first: 0, end: 0 });
            found.bounds.get_mut("progress").unwrap()[3].end = 7;
            assert_eq!(of_all(&found, None), [], "another writer's progress says nothing");
            found.bounds.get_mut(topic).unwrap()[0].end = 1;
            assert_eq!(of_all(&found, None), [Trouble::ProgressLost(topic.into())]);
            assert_eq!(of_all(&found, Some(&progress(0))), []);
        }
        // As found after alerts, incidents and progress were lost while the others were kept.
        let mut found = sound();
        for topic in ["alerts", "incidents", "progress"] {
            found.bounds.get_mut(topic).unwrap().iter_mut().for_each(|b| b.end = 0);
        }
        let expected = Trouble::ProgressLost("rates, lists, deliveries, answers, quarantine".into());
        assert_eq!(of_all(&found, None), [expected]);
    }

    #[test]
    fn lists_that_are_not_there_are_counted_and_events_named() {
        let found = |records, lost: &[&str]| ListsFound {
            records,
            lost: lost.iter().map(|id| (*id).to_owned()).collect(),
        };
        for (found, wanted) in [(found(7, &[]), Some(7)), (found(0, &["G"]), None), (found(7, &[]), None)] {
            assert_eq!(lists(&found, wanted), None, "{found:?} {wanted:?}");
        }
        let said = |found: &ListsFound, wanted| lists(found, wanted).map(|missing| missing.to_string());
        let text = said(&found(6, &[]), Some(7)).unwrap();
        assert!(
            text.starts_with("the topic lists holds 6 records, progress says 7: it was emptied"),
            "{text}"
        );
        let text = said(&found(7, &["A", "B", "C", "D", "E", "F", "G"]), None).unwrap();
        assert!(
            text.contains("holds 7 records, and nothing of what event A, B, C, D, E and 2 more"),
            "{text}"
        );
        assert!(said(&found(8, &[]), Some(7)).is_some() && said(&found(7, &["G"]), Some(7)).is_some());
    }

    #[test]
    fn what_went_by_time_was_written_all_the_same() {
        let mut found = sound();
        found.bounds.values_mut().flatten().for_each(|b| *b = Bounds { first: 0, end: 0 });
        found.bounds.get_mut("quarantine").unwrap()[0] = Bounds { first: 9, end: 9 };
        assert_eq!(of_all(&found, None), [Trouble::ProgressLost("quarantine".into())]);
    }
}
