//! Which workers are there, and who does what: any number of them share the roles, without an operator.
//!
//! Every worker beats on the topic `members`, [`EVERY`] apart. Who has not beaten for [`GONE_MS`] of the log's own time
//! is gone; who leaves says so. The owner of a role is the member with the greatest hash of member and role, so all
//! compute the same, and a member more or less moves only its share.
//!
//! Ownership keeps the peace; safety is the writer's fence, and of what goes by hand the heartbeat's age, too
//! ([`super::hands`]). A role is taken over only when no member that is there says
//! that it holds it, so that who holds it can finish what is under way. One that is gone, or paused for too long, is
//! not asked: opening the role's writer fences it, and it ends at its next append.
//!
//! A restart keeps its name and takes everything of that name over at once, which ends an older process of that name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use sha2::{Digest, Sha256};
use tocsin_schemas::log::{EventLog, LogError, LogReader, LogWriter};
use tocsin_schemas::records::Heartbeat;

use super::WorkerError;
use super::reading::{Reading, from_first, to_end, writer};
use crate::codec::{self, topic};

/// How far heartbeats are apart.
pub(crate) const EVERY: Duration = Duration::from_secs(2);
/// After so long without one a member is gone, in milliseconds of the log's append time.
pub(crate) const GONE_MS: i64 = 10_000;
/// How long to look for a first heartbeat that was acknowledged and is not visible yet; without it the next one does.
const VISIBLE: Duration = Duration::from_secs(2);

/// A part of the work that one member does alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Role {
    /// Turns alerts into deliveries.
    Planner,
    /// Sends those of one partition.
    Sender(u32),
    /// The planner has found that the books fit together. Held with it, by no task of its own.
    Books,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Role::Planner => f.write_str("planner"),
            Role::Sender(partition) => write!(f, "sender.{partition}"),
            Role::Books => f.write_str("books"),
        }
    }
}

/// A member as last heard of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// What it said.
    pub beat: Heartbeat,
    /// When, by the log.
    pub stamp: i64,
}

/// Who is there. Pure.
#[derive(Debug, Default)]
pub(crate) struct View {
    members: BTreeMap<String, Seen>,
    newest: i64,
}

impl View {
    /// Takes in a heartbeat.
    pub fn apply(&mut self, beat: Heartbeat, stamp: i64) {
        self.newest = self.newest.max(stamp);
        self.members.insert(beat.name.clone(), Seen { beat, stamp });
    }

    /// Takes in one of this very process, which is what the log's clock says now: where that was set back, all others
    /// have from now on as long as ever to be heard of again.
    pub fn apply_own(&mut self, beat: Heartbeat, stamp: i64) {
        self.newest = stamp;
        self.members.values_mut().for_each(|seen| seen.stamp = seen.stamp.min(stamp));
        self.apply(beat, stamp);
    }

    fn here(&self) -> impl Iterator<Item = &Heartbeat> {
        let there = |seen: &&Seen| !seen.beat.leaving && self.newest - seen.stamp < GONE_MS;
        self.members.values().filter(there).map(|seen| &seen.beat)
    }

    /// Which start of this member was heard of last.
    fn run(&self, name: &str) -> Option<&String> {
        self.members.get(name).map(|seen| &seen.beat.run)
    }

    /// The names of those that are there.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.here().map(|beat| beat.name.as_str())
    }

    /// Whose this role is; `None` while nobody is there.
    pub fn owner(&self, role: Role) -> Option<&str> {
        let weight =
            |name: &str| Sha256::new().chain_update(name).chain_update([0]).chain_update(role.to_string());
        self.names().max_by_key(|name| (weight(name).finalize(), *name))
    }

    /// Whether another member that is there says that it holds this role.
    pub fn held_by_another(&self, role: Role, name: &str) -> bool {
        let role = role.to_string();
        self.here().any(|beat| beat.name != name && beat.holds.contains(&role))
    }
}

/// This worker's place among the members.
pub(crate) struct Members {
    log: Arc<dyn EventLog>,
    name: String,
    run: String,
    writer: Option<Box<dyn LogWriter>>,
    reader: Option<Box<dyn LogReader>>,
    view: View,
    reading: Reading,
}

impl Members {
    /// Joins under this name, which ends an older process of that name. Says nothing yet. Blocks.
    ///
    /// # Errors
    /// Those of the log.
    pub fn join(
        log: Arc<dyn EventLog>,
        name: &str,
        run: String,
        tries: u32,
        reading: Reading,
    ) -> Result<Members, WorkerError> {
        let writer = writer(&*log, &format!("member.{name}"), tries, &reading)?;
        let reader = from_first(&*log, &[topic::MEMBERS])?;
        Ok(Members {
            log,
            name: name.to_owned(),
            run,
            writer: Some(writer),
            reader: Some(reader),
            view: View::default(),
            reading,
        })
    }

    /// Who is there.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Says that this worker is there, and looks who else is. `true`: that was acknowledged.
    ///
    /// # Errors
    /// `Fenced`: a newer process has this name. What the log cannot do just now is no error: the next beat tries again,
    /// and who cannot beat for long enough loses its roles.
    pub async fn beat(
        mut self,
        holds: BTreeSet<Role>,
        leaving: bool,
    ) -> Result<(Members, bool), WorkerError> {
        tokio::task::spawn_blocking(move || match self.beat_and_look(&holds, leaving) {
            Err(WorkerError::Log(error)) if super::commit::passing(&error) => {
                tracing::warn!(%error, "cannot tell the other workers just now that this one is there");
                // What became of it is of no interest; a writer that does not know needs a successor.
                if let LogError::Uncertain { .. } = error {
                    self.writer = None;
                }
                Ok((self, false))
            }
            Err(error) => Err(error),
            Ok(()) => Ok((self, true)),
        })
        .await
        .map_err(|_| WorkerError::Died("heartbeat"))?
    }

    fn beat_and_look(&mut self, holds: &BTreeSet<Role>, leaving: bool) -> Result<(), WorkerError> {
        let beat = Heartbeat {
            name: self.name.clone(),
            run: self.run.clone(),
            holds: holds.iter().map(Role::to_string).collect(),
            leaving,
        };
        if self.writer.is_none() {
            self.writer = Some(self.successor()?);
        }
        let Some(writer) = &mut self.writer else { return Err(WorkerError::Died("heartbeat")) };
        writer.append(&[codec::encode(&beat)])?;
        self.look()?;
        // The first one may become visible a little later than it was acknowledged, and without it nothing is ours.
        let began = Monotonic::now();
        while self.view.run(&self.name) != Some(&self.run) && began.elapsed() < VISIBLE {
            std::thread::sleep(Duration::from_millis(5));
            self.look()?;
        }
        Ok(())
    }

    /// A writer in the place of one whose last append is unknown; unless a newer process has the name by now.
    fn successor(&self) -> Result<Box<dyn LogWriter>, WorkerError> {
        let writer = format!("member.{}", self.name);
        let mut newest = None;
        to_end(&*self.log, &mut *from_first(&*self.log, &[topic::MEMBERS])?, &self.reading, |record| {
            if record.key.as_deref() == Some(self.name.as_bytes())
                && let Some(value) = &record.value
            {
                newest = Some(codec::decode::<Heartbeat>(&record, value).map_err(WorkerError::Damaged)?);
            }
            Ok(())
        })?;
        match newest {
            Some(beat) if beat.run != self.run => Err(LogError::Fenced { writer }.into()),
            _ => Ok(self.log.writer(&writer)?),
        }
    }

    fn look(&mut self) -> Result<(), WorkerError> {
        let Members { log, reader, view, reading, name, run, .. } = self;
        let reader = match reader {
            Some(reader) => reader,
            none => none.insert(from_first(&**log, &[topic::MEMBERS])?),
        };
        to_end(&**log, &mut **reader, reading, |record| {
            if let Some(value) = &record.value {
                let beat: Heartbeat = codec::decode(&record, value).map_err(WorkerError::Damaged)?;
                match beat.name == *name && beat.run == *run {
                    true => view.apply_own(beat, record.stamp.0),
                    false => view.apply(beat, record.stamp.0),
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(name: &str, holds: &[Role], leaving: bool) -> Heartbeat {
        let holds = holds.iter().map(Role::to_string).collect();
        Heartbeat { name: name.into(), run: "1".into(), holds, leaving }
    }
    const ROLES: [Role; 7] = [
        Role::Planner,
        Role::Sender(0),
        Role::Sender(1),
        Role::Sender(2),
        Role::Sender(3),
        Role::Sender(4),
        Role::Sender(5),
    ];
    fn owners(view: &View) -> Vec<String> {
        ROLES.iter().map(|role| view.owner(*role).unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn one_more_takes_its_share_and_leaves_the_others_as_they_were() {
        let mut view = View::default();
        assert_eq!(view.owner(Role::Planner), None);
        view.apply(beat("a", &[], false), 0);
        assert!(owners(&view).iter().all(|owner| owner == "a"));
        view.apply(beat("b", &[], false), 1);
        let two = owners(&view);
        assert!(two.contains(&"a".to_owned()) && two.contains(&"b".to_owned()), "{two:?}");
        view.apply(beat("c", &[], false), 2);
        let three = owners(&view);
        for (before, after) in two.iter().zip(&three) {
            assert!(after == before || after == "c", "{two:?} {three:?}");
        }
        view.apply(beat("c", &[], true), 3);
        assert_eq!(owners(&view), two, "it left");
    }

    #[test]
    fn who_is_silent_for_ten_seconds_of_the_log_is_gone_and_holds_nothing() {
        let mut view = View::default();
        view.apply(beat("a", &[Role::Planner], false), 0);
        view.apply(beat("b", &[], false), GONE_MS - 1);
        assert!(view.held_by_another(Role::Planner, "b"));
        assert!(!view.held_by_another(Role::Planner, "a") && !view.held_by_another(Role::Sender(0), "b"));
        view.apply(beat("b", &[], false), GONE_MS);
        assert!(!view.held_by_another(Role::Planner, "b"));
        assert_eq!(view.names().collect::<Vec<_>>(), ["b"]);
        view.apply(beat("a", &[], false), GONE_MS + 1);
        assert_eq!(view.names().count(), 2, "back again");
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_nobody_out_and_gives_the_others_their_ten_seconds() {
        let (mut view, ahead) = (View::default(), 8 * 3_600_000);
        view.apply(beat("dead", &[Role::Planner], false), ahead);
        view.apply(beat("b", &[Role::Sender(0)], false), ahead);
        view.apply_own(beat("a", &[], false), ahead);
        view.apply_own(beat("a", &[], false), 1_000);
        assert_eq!(view.names().count(), 3, "they may be slow");
        assert!(view.held_by_another(Role::Planner, "a") && view.held_by_another(Role::Sender(0), "a"));
        view.apply(beat("b", &[Role::Sender(0)], false), 2_000);
        view.apply_own(beat("a", &[], false), 1_000 + GONE_MS);
        assert_eq!(view.names().collect::<Vec<_>>(), ["a", "b"]);
        assert!(!view.held_by_another(Role::Planner, "a") && view.held_by_another(Role::Sender(0), "a"));
    }
}
