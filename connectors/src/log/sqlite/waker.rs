//! How a waiting reader learns of a commit.
//!
//! A commit by this process bumps a generation and wakes every waiting reader at once. A commit by
//! another process is seen by `PRAGMA data_version`, a number in shared memory that SQLite changes with
//! every commit of anybody else; asking costs a few microseconds and reads no page. Of all readers that
//! wait in this process, one asks on behalf of all, so idling costs the same however many there are.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tocsin_schemas::log::LogError;

/// How often another process's commits are looked for. The contract allows 50 ms until a reader wakes.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The wakers of this process, one for each file.
static WAKERS: LazyLock<Mutex<HashMap<PathBuf, Weak<Waker>>>> = LazyLock::new(Mutex::default);

/// What all readers and writers of one file in this process share.
pub(super) struct Waker {
    state: Mutex<State>,
    changed: Condvar,
    /// Only used by the reader that looks, never while `state` is held for long.
    eye: Mutex<Connection>,
    write_turn: Mutex<()>,
}

struct State {
    /// Rises with every commit that was noticed.
    generation: u64,
    /// Some waiting reader is looking for other processes' commits.
    looking: bool,
    data_version: i64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing here is left half changed by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn data_version(eye: &Connection) -> rusqlite::Result<i64> {
    eye.prepare_cached("PRAGMA data_version")?.query_row([], |r| r.get(0))
}

impl Waker {
    /// The waker of this file, made with a connection of its own if there is none yet.
    pub(super) fn of(
        path: &Path,
        connect: impl FnOnce() -> Result<Connection, LogError>,
    ) -> Result<Arc<Waker>, LogError> {
        let mut wakers = lock(&WAKERS);
        if let Some(waker) = wakers.get(path).and_then(Weak::upgrade) {
            return Ok(waker);
        }
        let waker = Arc::new(Waker {
            state: Mutex::new(State { generation: 0, looking: false, data_version: -1 }),
            changed: Condvar::new(),
            eye: Mutex::new(connect()?),
            write_turn: Mutex::new(()),
        });
        wakers.retain(|_, w| w.strong_count() > 0);
        wakers.insert(path.to_owned(), Arc::downgrade(&waker));
        Ok(waker)
    }

    /// Writers of this process take turns here rather than at the file, where they would have to poll.
    pub(super) fn turn_to_write(&self) -> MutexGuard<'_, ()> {
        lock(&self.write_turn)
    }

    /// The state of knowledge to compare with: take it *before* reading, then nothing is missed.
    pub(super) fn generation(&self) -> u64 {
        lock(&self.state).generation
    }

    /// A writer of this process has committed.
    pub(super) fn committed(&self) {
        lock(&self.state).generation += 1;
        self.changed.notify_all();
    }

    /// Waits until a commit after `seen` was noticed, or the deadline has passed.
    pub(super) fn wait(&self, seen: u64, deadline: Instant) {
        let mut state = lock(&self.state);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if state.generation != seen || left.is_zero() {
                return;
            }
            if state.looking {
                state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            state.looking = true;
            state = self.look(state, seen, deadline);
            state.looking = false;
            // Whoever still waits must take over the looking.
            self.changed.notify_all();
        }
    }

    fn look<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        seen: u64,
        deadline: Instant,
    ) -> MutexGuard<'a, State> {
        loop {
            let now = data_version(&lock(&self.eye));
            match now {
                Ok(version) if version == state.data_version => {}
                Ok(version) => {
                    state.data_version = version;
                    state.generation += 1;
                    self.changed.notify_all();
                }
                // The reader's own query will meet the same trouble and say so.
                Err(e) => {
                    tracing::debug!(error = %e, "could not look for commits of other processes");
                    state.generation += 1;
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.generation != seen || left.is_zero() {
                return state;
            }
            let pause = left.min(LOOK_EVERY);
            state = self.changed.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
            if state.generation != seen {
                return state;
            }
        }
    }
}
