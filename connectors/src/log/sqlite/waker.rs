//! How a waiting reader learns of a commit.
//!
//! A commit by this process bumps a generation and wakes at once the waiting readers of the partitions that it wrote
//! to, and no others: a worker has a dozen of them, and all at once they would keep the one that is meant waiting for a
//! processor. A commit by another process is seen by `PRAGMA data_version`, a number in shared memory that SQLite changes with
//! every commit of anybody else; asking costs a few microseconds and reads no page. Of all readers that
//! wait in this process, one asks on behalf of all, so idling costs the same however many there are.
//!
//! Here is also the door that all writers go through, of this process and others, see [`Waker::begin`].

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tocsin_schemas::log::LogError;

use super::errors::Place;
use super::schema;

/// How often another process's commits are looked for. The contract allows 50 ms until a reader wakes.
const LOOK_EVERY: Duration = Duration::from_millis(30);

/// The wakers of this process, one for each file.
static WAKERS: LazyLock<Mutex<HashMap<PathBuf, Weak<Waker>>>> = LazyLock::new(Mutex::default);

/// What all readers and writers of one file in this process share.
pub(super) struct Waker {
    state: Mutex<State>,
    /// Only used by the reader that looks, never while `state` is held for long.
    eye: Mutex<Connection>,
    /// The lock file of the door.
    door: Mutex<File>,
}

struct State {
    /// Rises with every commit that was noticed.
    generation: u64,
    /// The last one that wrote to each partition.
    wrote: HashMap<i64, u64>,
    /// The last one of which it is not known where it wrote.
    anywhere: u64,
    waiting: Vec<Arc<Waiter>>,
    /// Some waiting reader is looking for other processes' commits.
    looking: bool,
    data_version: i64,
}

/// Who waits, and for which partitions.
pub(super) struct Waiter {
    parts: Vec<i64>,
    wake: Condvar,
}

impl Waiter {
    /// Of these partitions, by their ids.
    pub(super) fn new(parts: Vec<i64>) -> Arc<Waiter> {
        Arc::new(Waiter { parts, wake: Condvar::new() })
    }
}

impl State {
    /// Whether there may be something for this one since then.
    fn news(&self, seen: u64, waiter: &Waiter) -> bool {
        let wrote = |part: &i64| self.wrote.get(part).is_some_and(|at| *at > seen);
        self.anywhere > seen || waiter.parts.iter().any(wrote)
    }

    fn wake_all(&mut self) {
        self.generation += 1;
        self.anywhere = self.generation;
        self.waiting.iter().for_each(|waiter| waiter.wake.notify_one());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing here is left half changed by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The door is a file beside the log, because locks on the log itself belong to SQLite.
fn open_door(path: &Path) -> std::io::Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push("-door");
    let name = PathBuf::from(name);
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&name) {
        Ok(door) => {
            // Who looks at a log as root must not shut its owner out. Only what was made just now is given away, and only
            // root may do that; anybody else made it as who he is.
            let log = std::fs::metadata(path)?;
            let _ = std::os::unix::fs::fchown(&door, Some(log.uid()), Some(log.gid()));
            Ok(door)
        }
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => OpenOptions::new().write(true).open(&name),
        Err(e) => Err(e),
    }
}

/// The door, locked against other processes until dropped.
struct Locked<'a>(&'a File);

impl Locked<'_> {
    fn new(door: &File) -> rusqlite::Result<Locked<'_>> {
        let mut tries = 0;
        while let Err(e) = door.try_lock() {
            tries += 1;
            if !schema::wait_for_others(tries) {
                let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
                return Err(rusqlite::Error::SqliteFailure(busy, Some(format!("waiting for a turn: {e}"))));
            }
        }
        Ok(Locked(door))
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // An error here means that the descriptor is gone, and the lock with it.
        let _ = self.0.unlock();
    }
}

fn data_version(eye: &Connection) -> rusqlite::Result<i64> {
    eye.prepare_cached("PRAGMA data_version")?.query_row([], |r| r.get(0))
}

impl Waker {
    /// The waker of this file, made with a connection of its own if there is none yet.
    pub(super) fn of(
        path: &Path,
        place: &Place,
        connect: impl FnOnce() -> Result<Connection, LogError>,
    ) -> Result<Arc<Waker>, LogError> {
        let mut wakers = lock(&WAKERS);
        if let Some(waker) = wakers.get(path).and_then(Weak::upgrade) {
            return Ok(waker);
        }
        let waker = Arc::new(Waker {
            state: Mutex::new(State {
                generation: 0,
                wrote: HashMap::new(),
                anywhere: 0,
                waiting: Vec::new(),
                looking: false,
                data_version: -1,
            }),
            eye: Mutex::new(connect()?),
            door: Mutex::new(open_door(path).map_err(|e| place.unreachable(&e))?),
        });
        wakers.retain(|_, w| w.strong_count() > 0);
        wakers.insert(path.to_owned(), Arc::downgrade(&waker));
        Ok(waker)
    }

    /// Begins a writing transaction, in turn.
    ///
    /// SQLite lets one writer in at a time, but whoever waits only looks now and then: a writer that
    /// comes back at once would keep all others out. So all go through one door: who stands in it waits
    /// for the file, and nobody else tries before he is in. Another program that holds the file is waited
    /// for as long as the busy handler says.
    pub(super) fn begin<'a>(&self, conn: &'a Connection) -> rusqlite::Result<Transaction<'a>> {
        let door = lock(&self.door);
        let _locked = Locked::new(&door)?;
        Transaction::new_unchecked(conn, TransactionBehavior::Immediate)
    }

    /// The same without waiting at the door; `None`: somebody stands in it, or it cannot be locked, which the next append
    /// says.
    pub(super) fn try_begin<'a>(&self, conn: &'a Connection) -> rusqlite::Result<Option<Transaction<'a>>> {
        let door = match self.door.try_lock() {
            Ok(door) => door,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(None),
        };
        let Ok(()) = door.try_lock() else { return Ok(None) };
        let _locked = Locked(&door);
        Transaction::new_unchecked(conn, TransactionBehavior::Immediate).map(Some)
    }

    /// The state of knowledge to compare with: take it *before* reading, then nothing is missed.
    pub(super) fn generation(&self) -> u64 {
        lock(&self.state).generation
    }

    /// A writer of this process has committed to these partitions.
    pub(super) fn committed(&self, parts: impl Iterator<Item = i64>) {
        let mut state = lock(&self.state);
        state.generation += 1;
        let (generation, before) = (state.generation, state.generation - 1);
        state.wrote.extend(parts.map(|part| (part, generation)));
        let meant = state.waiting.iter().filter(|waiter| state.news(before, waiter));
        meant.for_each(|waiter| waiter.wake.notify_one());
    }

    /// Waits until a commit after `seen` was noticed that may have brought this one something, or the deadline has passed.
    /// Whether one was.
    pub(super) fn wait(&self, seen: u64, waiter: &Arc<Waiter>, deadline: Instant) -> bool {
        let mut state = lock(&self.state);
        state.waiting.push(Arc::clone(waiter));
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let news = state.news(seen, waiter);
            if news || left.is_zero() {
                state.waiting.retain(|other| !Arc::ptr_eq(other, waiter));
                if let Some(other) = state.waiting.first().filter(|_| !state.looking) {
                    // Whoever still waits must take over the looking.
                    other.wake.notify_one();
                }
                return news;
            }
            if state.looking {
                state = waiter.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            state.looking = true;
            state = self.look(state, seen, waiter, deadline);
            state.looking = false;
        }
    }

    fn look<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        seen: u64,
        waiter: &Waiter,
        deadline: Instant,
    ) -> MutexGuard<'a, State> {
        loop {
            let now = data_version(&lock(&self.eye));
            match now {
                Ok(version) if version == state.data_version => {}
                Ok(version) => {
                    state.data_version = version;
                    state.wake_all();
                }
                // The reader's own query will meet the same trouble and say so.
                Err(e) => {
                    tracing::debug!(error = %e, "could not look for commits of other processes");
                    state.wake_all();
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.news(seen, waiter) || left.is_zero() {
                return state;
            }
            let pause = left.min(LOOK_EVERY);
            state = waiter.wake.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
            if state.news(seen, waiter) {
                return state;
            }
        }
    }
}
