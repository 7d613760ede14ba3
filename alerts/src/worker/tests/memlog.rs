//! An event log in memory, for this crate's tests alone: it can be killed at any append.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use tocsin_schemas::index::{Ask, LedgerIndex};
use tocsin_schemas::log::*;
use tocsin_schemas::partition::partition_of;
use tocsin_schemas::records::Delivery;
use tocsin_schemas::time::Instant;

/// What the next append does instead of committing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Commits: nothing special.
    None,
    /// Fails; nothing is written.
    Retry,
    /// Fails, because the disk is full; nothing is written.
    NoSpace,
    /// Is written, but the writer is not told.
    UncertainWritten,
    /// Is not written, and the writer cannot know.
    UncertainLost,
    /// The process dies before the append.
    DieBefore,
    /// The process dies after the append.
    DieAfter,
}

#[derive(Default)]
struct State {
    topics: BTreeMap<String, Vec<Vec<LogRecord>>>,
    epochs: HashMap<String, u64>,
    faults: VecDeque<Fault>,
    /// Whether heartbeats meet faults too.
    beats_fail_too: bool,
    appends: usize,
    /// What each append of deliveries brought, with its writer.
    ledgers: Vec<(String, Vec<LogRecord>)>,
    /// The log's own time, in milliseconds.
    now: i64,
    /// Partitions of `alerts` in which nothing from this offset on is visible yet.
    unseen: HashMap<u32, usize>,
    /// Topics in whose partitions nothing from this offset on is visible yet, to whom reads so many partitions at most.
    behind: HashMap<String, (usize, usize)>,
    /// How often somebody looked for more in one of these, in vain.
    in_vain: usize,
    /// A topic of which nothing comes, though there is more.
    stuck: Option<String>,
    /// What the next look-ups of how far is written fail with.
    no_written: VecDeque<LogError>,
    /// What the next makings of a writer fail with.
    no_writer: VecDeque<LogError>,
    /// It keeps no index.
    no_index: bool,
    /// Its writers always have something put off; how often each was let do it.
    untidy: Option<HashMap<String, usize>>,
}

impl State {
    /// What a reader may see.
    fn visible(&self, topic: &str, partition: u32, reads: usize) -> &[LogRecord] {
        let all = &self.topics[topic][partition as usize];
        let unseen = self.unseen.get(&partition).filter(|_| topic == "alerts");
        let seen = unseen.map_or(all.len(), |from| all.len().min(*from));
        let behind = self.behind.get(topic).filter(|(_, most)| reads <= *most);
        &all[..behind.map_or(seen, |(from, _)| seen.min(*from))]
    }
}

pub struct MemLog {
    id: String,
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl MemLog {
    pub fn new(id: &str) -> Arc<MemLog> {
        let log = MemLog { id: id.into(), shared: Arc::default() };
        for (topic, partitions) in [
            ("alerts", 3),
            ("registry.contacts", 1),
            ("governance.events", 1),
            ("deliveries", 3),
            ("progress", 4),
            ("members", 1),
            ("answers", 2),
        ] {
            log.state().topics.insert(topic.into(), vec![Vec::new(); partitions]);
        }
        Arc::new(log)
    }
    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.0.lock().unwrap()
    }
    pub fn faults(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults = faults.into_iter().collect();
    }
    /// The log's time goes on by so many milliseconds.
    pub fn time_passes(&self, ms: i64) {
        self.state().now += ms;
    }
    /// Its writers always have something put off.
    pub fn untidy(&self) {
        self.state().untidy = Some(HashMap::new());
    }
    /// How often this writer was let do it.
    pub fn tidied(&self, writer: &str) -> usize {
        self.state().untidy.as_ref().and_then(|tidied| tidied.get(writer)).copied().unwrap_or(0)
    }
    /// It keeps no index of deliveries: everything is read, as on Kafka.
    pub fn without_index(&self) {
        self.state().no_index = true;
    }
    /// Heartbeats meet the next faults too.
    pub fn beats_fail_too(&self) {
        self.state().beats_fail_too = true;
    }
    /// Appends of every writer so far, but for heartbeats.
    pub fn appends(&self) -> usize {
        self.state().appends
    }
    /// Each append of deliveries, with its writer.
    pub fn ledgers(&self) -> Vec<(String, Vec<LogRecord>)> {
        self.state().ledgers.clone()
    }
    pub fn records(&self, topic: &str) -> Vec<LogRecord> {
        self.state().topics[topic].concat()
    }
    /// A log with the same content under another id.
    pub fn copy_as(&self, id: &str) -> Arc<MemLog> {
        let copy = MemLog::new(id);
        copy.state().topics = self.state().topics.clone();
        copy.state().no_index = self.state().no_index;
        copy
    }
    pub fn empty(&self, topic: &str) {
        self.state().topics.get_mut(topic).unwrap().iter_mut().for_each(Vec::clear);
    }
    /// One partition more.
    pub fn grow(&self, topic: &str) {
        self.state().topics.get_mut(topic).unwrap().push(Vec::new());
    }
    /// From now on what is appended to the partition of `alerts` with this key becomes visible only after
    /// [`MemLog::show`], as the parts of a transaction become visible one by one.
    pub fn hide(&self, key: &str) {
        let mut state = self.state();
        let partition = place(key.as_bytes(), state.topics["alerts"].len());
        let from = state.topics["alerts"][partition].len();
        state.unseen.insert(partition as u32, from);
    }
    /// What stands in the topic's partitions from this offset on is visible only after [`MemLog::show`], as if another
    /// writer's append had stayed open before it; for readers of so many partitions at most.
    pub fn open_at(&self, topic: &str, offset: usize, most: usize) {
        self.state().behind.insert(topic.into(), (offset, most));
    }
    /// How often somebody who waited for what is behind an open append got nothing.
    pub fn in_vain(&self) -> usize {
        self.state().in_vain
    }
    /// Everything is visible.
    pub fn show(&self) {
        let mut state = self.state();
        state.unseen.clear();
        state.behind.clear();
        drop(state);
        self.shared.1.notify_all();
    }
    /// From now on nothing comes of this topic, though its end says that there is something.
    pub fn stick(&self, topic: &str) {
        self.state().stuck = Some(topic.into());
    }
    /// The next makings of a writer fail.
    pub fn no_writer(&self, errors: impl IntoIterator<Item = LogError>) {
        self.state().no_writer = errors.into_iter().collect();
    }
    /// The next look-ups of how far is written fail. How many of these are left to fail: [`MemLog::unwritten`].
    pub fn no_written(&self, errors: impl IntoIterator<Item = LogError>) {
        self.state().no_written = errors.into_iter().collect();
    }
    pub fn unwritten(&self) -> usize {
        self.state().no_written.len()
    }
    pub fn put(&self, records: &[NewRecord]) {
        commit(&mut self.state(), records);
        self.shared.1.notify_all();
    }
}

fn place(key: &[u8], partitions: usize) -> usize {
    partition_of(key, u32::try_from(partitions).unwrap()) as usize
}

fn commit(state: &mut State, records: &[NewRecord]) -> Vec<LogRecord> {
    let now = state.now;
    let mut written = Vec::new();
    for record in records {
        let partitions = state.topics.get_mut(&*record.topic).expect("a known topic");
        let partition = place(record.routed_by(), partitions.len());
        let offset = partitions[partition].len() as u64;
        let record = LogRecord {
            topic: Arc::clone(&record.topic),
            partition: partition as u32,
            offset,
            stamp: Instant(now),
            key: Some(record.key.clone()),
            value: record.value.clone(),
        };
        partitions[partition].push(record.clone());
        written.push(record);
    }
    written
}

/// The worker only reads and writes: a log may refuse it everything else.
fn no_admin() -> LogError {
    LogError::Refused { place: "memory".into(), why: "the worker has no business with topics".into() }
}

impl EventLog for MemLog {
    fn log_id(&self) -> Result<String, LogError> {
        Ok(self.id.clone())
    }
    fn topics(&self) -> Result<Vec<TopicSettings>, LogError> {
        Err(no_admin())
    }
    fn ensure(&self, _: &[TopicSettings], _: bool) -> Result<Vec<TopicChange>, LogError> {
        Err(no_admin())
    }
    fn bounds(&self, topic: &str) -> Result<Vec<Bounds>, LogError> {
        let state = self.state();
        let partitions = state.topics.get(topic).ok_or(LogError::MissingTopic { topic: topic.into() })?;
        let end = |partition| state.visible(topic, partition, 0).len() as u64;
        Ok((0..partitions.len() as u32).map(|p| Bounds { first: 0, end: end(p) }).collect())
    }
    fn written(&self, topic: &str) -> Result<Vec<u64>, LogError> {
        let mut state = self.state();
        if let Some(error) = state.no_written.pop_front() {
            return Err(error);
        }
        let partitions = state.topics.get(topic).ok_or(LogError::MissingTopic { topic: topic.into() })?;
        Ok(partitions.iter().map(|records| records.len() as u64).collect())
    }
    fn reader(&self, from: &[(TopicPartition, u64)]) -> Result<Box<dyn LogReader>, LogError> {
        Ok(Box::new(MemReader { shared: Arc::clone(&self.shared), at: from.to_vec() }))
    }
    /// A log in which something committed is not visible yet has none.
    fn index(&self, _: Option<GoingOn<'_>>) -> Result<Option<Box<dyn LedgerIndex>>, LogError> {
        let state = self.state();
        let none =
            state.no_index || !state.behind.is_empty() || !state.unseen.is_empty() || state.stuck.is_some();
        let index = || {
            let (shared, seen) = (Arc::clone(&self.shared), Vec::new());
            let index = MemIndex { shared, seen, by_key: BTreeMap::new(), by_case: HashMap::new() };
            Box::new(index) as Box<dyn LedgerIndex>
        };
        Ok((!none).then(index))
    }
    fn writer(&self, name: &str) -> Result<Box<dyn LogWriter>, LogError> {
        let mut state = self.state();
        if let Some(error) = state.no_writer.pop_front() {
            return Err(error);
        }
        let epoch = state.epochs.entry(name.into()).or_default();
        *epoch += 1;
        Ok(Box::new(MemWriter { shared: Arc::clone(&self.shared), name: name.into(), epoch: *epoch }))
    }
}

struct MemReader {
    shared: Arc<(Mutex<State>, Condvar)>,
    at: Vec<(TopicPartition, u64)>,
}

impl MemReader {
    fn take(at: &mut [(TopicPartition, u64)], state: &State, max: usize) -> Vec<LogRecord> {
        let mut out = Vec::new();
        let reads = at.len();
        for (tp, next) in at {
            if state.stuck.as_deref() == Some(&*tp.topic) {
                continue;
            }
            let all = state.visible(&tp.topic, tp.partition, reads);
            let some = all.iter().skip(*next as usize).take(max - out.len());
            out.extend(some.cloned());
            *next += out.iter().filter(|r| r.partition == tp.partition && r.topic == tp.topic).count() as u64;
        }
        out
    }
}

impl LogReader for MemReader {
    fn poll(&mut self, max: usize, wait: Duration) -> Result<Vec<LogRecord>, LogError> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.0.lock().unwrap();
        let out = MemReader::take(&mut self.at, &state, max);
        if !out.is_empty() {
            return Ok(out);
        }
        let reads = self.at.len();
        let held = |(tp, _): &(TopicPartition, u64)| {
            state.behind.get(&*tp.topic).is_some_and(|(_, most)| reads <= *most)
        };
        if self.at.iter().any(held) {
            state.in_vain += 1;
        }
        state = shared.1.wait_timeout(state, wait).unwrap().0;
        Ok(MemReader::take(&mut self.at, &state, max))
    }
    fn position(&self) -> Vec<(TopicPartition, u64)> {
        self.at.clone()
    }
    fn caught_up(&mut self) -> Result<bool, LogError> {
        let state = self.shared.0.lock().unwrap();
        let end = |tp: &TopicPartition| state.visible(&tp.topic, tp.partition, self.at.len()).len() as u64;
        let behind = |(tp, next): &(TopicPartition, u64)| *next < end(tp);
        Ok(!self.at.iter().any(behind))
    }
}

/// Finds what an index finds, by looking at everything; only cases have a table.
struct MemIndex {
    shared: Arc<(Mutex<State>, Condvar)>,
    seen: Vec<usize>,
    by_key: BTreeMap<Key, Vec<(LogRecord, Option<Delivery>)>>,
    by_case: HashMap<String, BTreeSet<Key>>,
}

/// A delivery's partition and key.
type Key = (u32, Vec<u8>);

impl MemIndex {
    fn catch_up(&mut self) {
        let state = self.shared.0.lock().unwrap();
        for (partition, records) in (0..).zip(&state.topics["deliveries"]) {
            if self.seen.len() <= partition {
                self.seen.push(0);
            }
            for record in &records[self.seen[partition]..] {
                let value = record.value.as_ref();
                let decoded: Option<Delivery> =
                    value.and_then(|value| tocsin_schemas::wire::decode(value).ok());
                let key = (record.partition, record.key.clone().unwrap());
                if let Some(delivery) = &decoded {
                    self.by_case.entry(delivery.case_no.clone()).or_default().insert(key.clone());
                }
                self.by_key.entry(key).or_default().push((record.clone(), decoded));
            }
            self.seen[partition] = records.len();
        }
    }

    fn covers(ask: &Ask<'_>, records: &[(LogRecord, Option<Delivery>)]) -> bool {
        let mut decoded = records.iter().map(|(_, delivery)| delivery.as_ref());
        match ask {
            Ask::Open => decoded.next_back().is_some_and(|last| last.is_none_or(|d| ask.covers(d))),
            _ => decoded.flatten().any(|d| ask.covers(d)),
        }
    }
}

impl LedgerIndex for MemIndex {
    fn look_up(
        &mut self,
        asks: &[Ask<'_>],
        partition: Option<u32>,
        each: &mut dyn FnMut(LogRecord) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        self.catch_up();
        let mut found: BTreeSet<&Key> = BTreeSet::new();
        for ask in asks {
            match ask {
                Ask::Case(case) => found.extend(self.by_case.get(*case).into_iter().flatten()),
                _ => found.extend(
                    self.by_key.iter().filter(|(_, all)| MemIndex::covers(ask, all)).map(|(key, _)| key),
                ),
            }
        }
        let found = found.into_iter().filter(|(of, _)| partition.is_none_or(|only| only == *of));
        let mut records = found.flat_map(|key| &self.by_key[key]);
        records.try_for_each(|(record, _)| each(record.clone()))
    }
}

struct MemWriter {
    shared: Arc<(Mutex<State>, Condvar)>,
    name: String,
    epoch: u64,
}

impl LogWriter for MemWriter {
    fn append(&mut self, records: &[NewRecord]) -> Result<(), LogError> {
        let mut state = self.shared.0.lock().unwrap();
        let dead = LogError::Damaged("killed".into());
        let uncertain = LogError::Uncertain { why: "a test".into() };
        if state.epochs[&self.name] != self.epoch {
            return Err(LogError::Fenced { writer: self.name.clone() });
        }
        // Heartbeats come by time, so they would make any count of appends a game of chance.
        let beat = records.iter().all(|record| &*record.topic == "members") && !state.beats_fail_too;
        state.appends += usize::from(!beat);
        let fault = if beat { None } else { state.faults.pop_front() }.unwrap_or(Fault::None);
        if matches!(fault, Fault::None | Fault::UncertainWritten | Fault::DieAfter) {
            let mut written = commit(&mut state, records);
            written.retain(|record| &*record.topic == "deliveries");
            if !written.is_empty() {
                state.ledgers.push((self.name.clone(), written));
            }
            self.shared.1.notify_all();
        }
        match fault {
            Fault::None => Ok(()),
            Fault::Retry => Err(LogError::Retry { what: "append", why: "a test".into() }),
            Fault::NoSpace => Err(LogError::NoSpace { place: "memory".into() }),
            Fault::UncertainWritten | Fault::UncertainLost => Err(uncertain),
            Fault::DieBefore | Fault::DieAfter => Err(dead),
        }
    }

    fn is_untidy(&self) -> bool {
        self.shared.0.lock().unwrap().untidy.is_some()
    }

    fn tidy(&mut self) -> Result<(), LogError> {
        let mut state = self.shared.0.lock().unwrap();
        let tidied = state.untidy.iter_mut().map(|tidied| tidied.entry(self.name.clone()).or_default());
        tidied.for_each(|times| *times += 1);
        Ok(())
    }
}
