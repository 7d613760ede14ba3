//! Which policy decides: what `progress` says of it, what the topic `policy` says, and what is configured. Pure.
//!
//! - Which policy *decided* is in `progress.policy_hash`. A restart rebuilds under that one, so that whatever differs
//!   then is the records' doing, never the policy's.
//! - The newest valid record of the topic (`crate::policy::follow`: one that may follow the one before) is *in force*. Where it is another one, it is taken over once the past was
//!   found in order: its publication is a cause that has a name and a record, so nobody need accept a difference.
//! - The configured one is published where the topic has no valid record, and else only compared.

use std::sync::Arc;

use tocsin_pipeline::Policies;
use tocsin_schemas::log::LogRecord;
use tocsin_schemas::records::{Counters, Progress, Quarantined};
use tocsin_schemas::topics::POLICY;

use super::admit::quarantined;
use crate::policy::topic::{Door, Held};

/// What a start makes of all this.
#[derive(Debug)]
pub struct Start {
    /// The policy that decided so far, or the one in force where nothing was decided yet.
    pub decided: Policies,
    /// What came on the topic since, and is to be taken next.
    pub since: Vec<Arrived>,
    /// The offset after it.
    pub next: u64,
    /// For telling what comes from now on.
    pub standing: Standing,
    /// Nothing valid is published: the configured one is to be.
    pub publish: bool,
    /// The policy in force is not the configured one.
    pub differs: bool,
}

/// A record of the topic at the door.
#[derive(Debug)]
pub enum Arrived {
    /// It can be used.
    Valid(Box<Policies>),
    /// It cannot; the old one stays in force.
    Refused(Box<Quarantined>),
}

/// What the topic said so far.
#[derive(Debug)]
pub struct Standing {
    /// Hash of the policy that the last valid record, or else `progress`, names; or that is about to be published.
    hash: Option<Arc<str>>,
    /// Whether a valid record was read.
    published: bool,
    /// For what comes after all that was read.
    door: Door,
}

/// What some records of the topic come to.
#[derive(Debug, Default)]
pub struct Taken {
    /// The policy in force after them, if one of them is valid.
    pub newest: Option<Policies>,
    /// Those that cannot be used.
    pub refused: Vec<Quarantined>,
    /// What became of them. A record of our own is not counted: it did not arrive.
    pub counters: Counters,
}

/// Puts together what a start found.
pub fn start(held: Held, progress: Option<&Progress>, configured: &Policies) -> Start {
    let offset = progress.and_then(|p| p.offsets.iter().find(|o| o.topic == POLICY)).map_or(0, |o| o.next);
    let published = held.valid.iter().any(|v| v.offset < offset);
    let publish = held.valid.is_empty();
    let door = held.door();
    let in_force = held.newest().map_or(configured, |newest| &newest.policies);
    let differs = in_force.hash() != configured.hash();
    let decided = match progress {
        None => in_force,
        Some(progress) => {
            let all = || held.valid.iter().rev().map(|v| &v.policies);
            let of_old = held.valid.iter().rev().find(|v| v.offset < offset).map(|v| &v.policies);
            // An equal hash is an equal policy, wherever it stands. None has it after a release that knows
            // further fields: then the newest that had been read is the one, completed with their defaults.
            let named = all().chain([configured]).find(|p| **p.hash() == *progress.policy_hash);
            named.or(of_old).unwrap_or(configured)
        }
    };
    let decided = decided.clone();
    let hash = (publish || progress.is_some()).then(|| Arc::clone(decided.hash()));
    let valid = held.valid.into_iter().filter(|v| v.offset >= offset);
    let refused = held.refused.into_iter().filter(|q| q.offset >= offset);
    let since = valid
        .map(|v| Arrived::Valid(Box::new(v.policies)))
        .chain(refused.map(|q| Arrived::Refused(Box::new(q))))
        .collect();
    Start { decided, since, next: held.next, standing: Standing { hash, published, door }, publish, differs }
}

impl Standing {
    /// Gives the next record of the topic to its door.
    pub fn judge(&mut self, record: &LogRecord) -> Arrived {
        match self.door.admit(record) {
            Ok(policies) => Arrived::Valid(Box::new(policies)),
            Err(refusal) => Arrived::Refused(Box::new(quarantined(record, refusal))),
        }
    }

    /// Takes records of the topic in their order. Of several the last one is in force; those before it never were.
    pub fn take(&mut self, records: impl IntoIterator<Item = Arrived>) -> Taken {
        let mut taken = Taken::default();
        for record in records {
            match record {
                Arrived::Refused(quarantined) => {
                    taken.counters.quarantined += 1;
                    taken.refused.push(*quarantined);
                }
                Arrived::Valid(policies) => {
                    let same = self.hash.as_ref() == Some(policies.hash());
                    match (same, self.published) {
                        (true, true) => taken.counters.duplicates += 1,
                        // The one that decides already, and the topic's first: we published it ourselves.
                        (true, false) => {}
                        (false, _) => taken.counters.accepted += 1,
                    }
                    self.published = true;
                    self.hash = Some(Arc::clone(policies.hash()));
                    taken.newest = Some(*policies);
                }
            }
        }
        taken
    }
}

/// Adds what became of some records to what became of those before.
pub fn add(counters: &mut Counters, more: Counters) {
    counters.accepted += more.accepted;
    counters.duplicates += more.duplicates;
    counters.quarantined += more.quarantined;
}

#[cfg(test)]
mod tests {
    use tocsin_schemas::records::Offset;
    use tocsin_schemas::time::Instant;

    use super::*;
    use crate::policy::topic::Published;

    fn policy(n: u32) -> Policies {
        let text = format!("[[policy]]\neffective_from = \"2020-11-20\"\nowner_alert.max_age_days = {n}\n");
        Policies::parse(&text).unwrap()
    }

    fn held(valid: &[(u64, u32)], refused: &[u64], next: u64) -> Held {
        let published = |(number, (offset, n)): (usize, &(u64, u32))| Published {
            version: number as u32 + 1,
            offset: *offset,
            published_at: Instant(0),
            policies: policy(*n),
        };
        let bad = |offset: &u64| Quarantined {
            topic: POLICY.into(),
            partition: 0,
            offset: *offset,
            arrived_at: Instant(0),
            reason: "bad_policy".into(),
            detail: String::new(),
            raw: Vec::new(),
            raw_length: 0,
            raw_sha256: String::new(),
        };
        let valid = valid.iter().enumerate().map(published).collect();
        Held { valid, refused: refused.iter().map(bad).collect(), next }
    }

    fn progress(decided: u32, next: Option<u64>) -> Progress {
        let offset = |next| Offset { topic: POLICY.into(), partition: 0, next };
        Progress {
            policy_hash: policy(decided).hash().to_string(),
            offsets: next.map(offset).into_iter().collect(),
            ..Progress::default()
        }
    }

    /// Which one decided, which one is taken over, and what becomes of the records in between.
    fn begin(held: Held, progress: Option<&Progress>, configured: u32) -> (u32, Option<u32>, [u64; 3]) {
        let mut start = start(held, progress, &policy(configured));
        let taken = start.standing.take(start.since);
        let number = |p: &Policies| p.tables()[0].owner_alert.max_age_days;
        let c = taken.counters;
        let newest = taken.newest.as_ref().filter(|n| n.hash() != start.decided.hash());
        (number(&start.decided), newest.map(number), [c.accepted, c.duplicates, c.quarantined])
    }

    #[test]
    fn a_first_start_decides_by_the_topic_else_by_what_is_configured() {
        assert!(start(held(&[], &[], 0), None, &policy(1)).publish);
        assert_eq!(begin(held(&[], &[], 0), None, 1), (1, None, [0, 0, 0]));
        assert_eq!(begin(held(&[(0, 2), (1, 2)], &[], 2), None, 1), (2, None, [1, 1, 0]));
        let only_wrong = held(&[], &[0], 1);
        assert!(start(only_wrong, None, &policy(1)).publish, "a wrong one is none");
        assert_eq!(begin(held(&[], &[0], 1), None, 1), (1, None, [0, 0, 1]));
    }

    #[test]
    fn a_restart_rebuilds_under_what_decided_and_then_takes_over_what_came_since() {
        let read = progress(1, Some(1));
        assert_eq!(begin(held(&[(0, 1)], &[], 1), Some(&read), 1), (1, None, [0, 0, 0]));
        assert_eq!(begin(held(&[(0, 1), (1, 2)], &[], 2), Some(&read), 1), (1, Some(2), [1, 0, 0]));
        // Of two, the last one; one that came back to what decided changes nothing.
        assert_eq!(begin(held(&[(0, 1), (1, 2), (2, 3)], &[], 3), Some(&read), 1), (1, Some(3), [2, 0, 0]));
        assert_eq!(begin(held(&[(0, 1), (1, 2), (2, 1)], &[], 3), Some(&read), 1), (1, None, [2, 0, 0]));
        // A wrong one after it leaves the old one in force.
        assert_eq!(begin(held(&[(0, 1)], &[1], 2), Some(&read), 1), (1, None, [0, 0, 1]));
        assert_eq!(begin(held(&[(0, 1), (1, 1)], &[], 2), Some(&read), 1), (1, None, [0, 1, 0]));
    }

    #[test]
    fn another_file_changes_nothing_once_a_policy_is_published() {
        let read = progress(1, Some(1));
        let found = start(held(&[(0, 1)], &[], 1), Some(&read), &policy(2));
        assert!(found.differs && !found.publish && found.since.is_empty());
        assert_eq!(found.decided, policy(1));
    }

    /// From before the topic was read: the configured one decided, or else the guard will find out.
    #[test]
    fn progress_that_knows_nothing_of_the_topic() {
        assert_eq!(begin(held(&[], &[], 0), Some(&progress(1, None)), 1), (1, None, [0, 0, 0]));
        assert_eq!(begin(held(&[], &[], 0), Some(&progress(1, None)), 2), (2, None, [0, 0, 0]));
        assert_eq!(begin(held(&[(0, 3)], &[], 1), Some(&progress(1, None)), 1), (1, Some(3), [1, 0, 0]));
    }

    #[test]
    fn our_own_publication_is_no_arrival() {
        // Killed between publishing and reading it.
        assert_eq!(begin(held(&[(0, 1)], &[], 1), Some(&progress(1, Some(0))), 1), (1, None, [0, 0, 0]));
        // At the very first start.
        let mut standing = start(held(&[], &[], 0), None, &policy(1)).standing;
        assert_eq!(standing.take([Arrived::Valid(Box::new(policy(1)))]).counters, Counters::default());
        // The same while running.
        let mut standing = start(held(&[], &[], 0), Some(&progress(1, Some(0))), &policy(1)).standing;
        let mut take = |n| standing.take([Arrived::Valid(Box::new(policy(n)))]).counters;
        assert_eq!(take(1), Counters::default());
        assert_eq!(take(1), Counters { duplicates: 1, ..Counters::default() });
        assert_eq!(take(2), Counters { accepted: 1, ..Counters::default() });
    }

    /// A release that knows further fields gives every policy another hash.
    #[test]
    fn a_hash_that_nobody_has_is_of_the_newest_that_had_been_read() {
        let unknown = Progress { policy_hash: "other".into(), ..progress(1, Some(2)) };
        assert_eq!(
            begin(held(&[(0, 1), (1, 2), (2, 3)], &[], 3), Some(&unknown), 9),
            (2, Some(3), [1, 0, 0])
        );
    }
}
