//! What arrives, in the order in which it is decided.
//!
//! Two phases. *Behind*: partitions are merged by arrival time up to goals (the committed ends as last
//! looked up); one that is at its goal holds nobody up. *Live*: whatever one poll brings is a batch.
//! Between them: [`Next::CaughtUp`], after which wall-clock midnights may join in.
//!
//! Order in a batch: registry first, then by arrival time, then by the catalogue's order of topics, partition and
//! offset. With [`Order::Arrivals`] registry comes first only among equal times. Governance events have their turn like
//! reports, and at equal times after them: one freezes the list of a year as it stands at its decision (S11), so it must
//! not be decided before what had arrived before it.
//!
//! While behind, a partition with a long backlog has a reader of its own, because a common one would have
//! to hold everything that it brings of the others; the short ones share one.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tocsin_schemas::log::{EventLog, LogError, LogReader, LogRecord, TopicPartition};
use tocsin_schemas::records::Offset;
use tocsin_schemas::time::Instant;
use tocsin_schemas::topics::{self, Direction, Topic};

/// A backlog from which a partition gets a reader of its own.
const LONG: u64 = 20_000;
/// How long a reader that is behind waits at once before its position is looked at again.
const GLANCE: Duration = Duration::from_millis(5);
/// After how many looks at the ends a trickle that never stops counts as caught up.
const LOOKS: u32 = 3;

/// In which order records are handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Service: registry and policy are read to their end before the first report.
    Service,
    /// Strictly by the records' own times; equal times are never parted.
    Arrivals,
}

/// How to hand out.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// In which order.
    pub order: Order,
    /// The most records of a batch (more only to keep equal times together).
    pub max_batch: usize,
    /// How long a live batch that is not full waits for more.
    pub linger: Duration,
    /// Whether to end at the ends seen at the start.
    pub until_end: bool,
}

/// A record to decide on.
#[derive(Debug)]
pub struct Taken {
    /// The record.
    pub record: LogRecord,
    /// Of the registry, or a policy: it comes before its turn.
    pub ahead: bool,
}

/// What comes next.
#[derive(Debug)]
pub enum Next {
    /// Records, and for every partition the offset after what was handed out so far.
    Batch(Vec<Taken>, Vec<Offset>),
    /// Nothing is left of what was there at the last look.
    CaughtUp,
    /// More than a batch waits again: until the next `CaughtUp` the clock follows the arrivals alone.
    Behind,
    /// The ends seen at the start are reached.
    End,
    /// Nothing new within the wait.
    Nothing,
}

/// The topics that the pipeline decides on, in the catalogue's order.
pub fn input_topics() -> impl Iterator<Item = &'static Topic> {
    topics::catalogue().iter().filter(|t| t.direction == Direction::In)
}

struct Lane {
    at: TopicPartition,
    /// Reports and governance events: what is not read ahead.
    in_turn: bool,
    /// Its place among lanes with equal times.
    rank: usize,
    buffer: VecDeque<LogRecord>,
    /// The offset of the next record that its reader brings.
    read: u64,
    goal: u64,
}

impl Lane {
    fn next(&self) -> u64 {
        self.buffer.front().map_or(self.read, |r| r.offset)
    }
    fn starving(&self) -> bool {
        self.buffer.is_empty() && self.read < self.goal
    }
}

struct Reader {
    inner: Box<dyn LogReader>,
    lanes: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    First,
    Behind,
    Live,
}

/// All input partitions.
pub struct Inputs {
    log: Arc<dyn EventLog>,
    options: Options,
    lanes: Vec<Lane>,
    by_topic: HashMap<Arc<str>, Vec<usize>>,
    readers: Vec<Reader>,
    phase: Phase,
    /// Whether the one reader has every lane.
    shared: bool,
    /// Looks at the ends since the last long backlog.
    looks: u32,
    /// Records of registry and policy that wait for the first report.
    ahead: Vec<LogRecord>,
}

impl Inputs {
    /// From these offsets on, with the present ends as goals.
    ///
    /// # Errors
    /// Those of the log.
    pub fn new(
        log: Arc<dyn EventLog>,
        from: &[(TopicPartition, u64)],
        options: Options,
    ) -> Result<Inputs, LogError> {
        let mut lanes = Vec::new();
        let mut by_topic: HashMap<Arc<str>, Vec<usize>> = HashMap::new();
        for (at, offset) in from {
            let place = topics::catalogue().iter().position(|t| *t.name == *at.topic);
            let report = place.is_some_and(|p| topics::catalogue()[p].source.is_some());
            let in_turn = report || &*at.topic == topics::GOVERNANCE;
            let rank = usize::from(in_turn) * 1000 + place.unwrap_or(999);
            by_topic.entry(Arc::clone(&at.topic)).or_default().push(lanes.len());
            let (buffer, read, goal) = (VecDeque::new(), *offset, *offset);
            lanes.push(Lane { at: at.clone(), in_turn, rank, buffer, read, goal });
        }
        let (readers, ahead) = (Vec::new(), Vec::new());
        let (phase, shared, looks) = (Phase::First, false, 0);
        let mut inputs = Inputs { log, options, lanes, by_topic, readers, phase, shared, looks, ahead };
        inputs.look_up_goals()?;
        inputs.open_readers()?;
        Ok(inputs)
    }

    /// What comes next; while there is nothing it waits up to `wait`.
    ///
    /// # Errors
    /// Those of the log. After `Retry` and `Unreachable` the call may be repeated: nothing is skipped.
    pub fn next(&mut self, wait: Duration) -> Result<Next, LogError> {
        match self.phase {
            Phase::First | Phase::Behind => self.next_behind(wait),
            Phase::Live => self.next_live(wait),
        }
    }

    /// The offset after what was handed out, for every partition, sorted.
    pub fn offsets(&self) -> Vec<Offset> {
        let mut offsets: Vec<Offset> = self.lanes.iter().map(|lane| self.offset_of(lane)).collect();
        offsets.sort();
        offsets
    }

    fn offset_of(&self, lane: &Lane) -> Offset {
        let next = if self.options.until_end { lane.next().min(lane.goal) } else { lane.next() };
        Offset { topic: lane.at.topic.to_string(), partition: lane.at.partition, next }
    }

    fn next_behind(&mut self, wait: Duration) -> Result<Next, LogError> {
        if self.phase == Phase::First && self.options.order == Order::Service {
            while let Some(starving) = self.lanes.iter().position(|l| !l.in_turn && l.starving()) {
                if !self.fill(starving, wait)? {
                    return Ok(Next::Nothing);
                }
                for lane in self.lanes.iter_mut().filter(|l| !l.in_turn) {
                    self.ahead.extend(lane.buffer.drain(..));
                }
            }
        }
        let Some(mut batch) = self.merge(wait)? else { return Ok(Next::Nothing) };
        self.phase = Phase::Behind;
        if !self.ahead.is_empty() {
            let mut all = std::mem::take(&mut self.ahead);
            all.append(&mut batch);
            batch = all;
        }
        if !batch.is_empty() {
            let taken = self.in_order(batch);
            return Ok(Next::Batch(taken, self.offsets()));
        }
        if self.options.until_end {
            return Ok(Next::End);
        }
        self.look_up_goals()?;
        let left: u64 = self.lanes.iter().map(|l| l.goal.saturating_sub(l.read)).sum();
        if left > LONG {
            self.open_readers()?;
            return Ok(Next::Nothing);
        }
        if !self.shared {
            let reader = self.reader_of((0..self.lanes.len()).collect())?;
            self.readers = vec![reader];
            self.shared = true;
        }
        if left > 0 && self.looks < LOOKS {
            self.looks += 1;
            return Ok(Next::Nothing);
        }
        self.looks = 0;
        self.phase = Phase::Live;
        Ok(Next::CaughtUp)
    }

    /// After trouble with the log: nobody knows how much waits, so the next batches are merged.
    pub fn fall_behind(&mut self) {
        if self.phase == Phase::Live {
            self.phase = Phase::Behind;
        }
    }

    fn next_live(&mut self, wait: Duration) -> Result<Next, LogError> {
        let max = self.options.max_batch;
        let Some(reader) = self.readers.first_mut() else { return Ok(Next::Nothing) };
        let mut records = reader.inner.poll(max, wait)?;
        if !records.is_empty() && records.len() < max && !self.options.linger.is_zero() {
            // An error here comes again at the next poll; what is at hand goes on.
            records.extend(reader.inner.poll(max - records.len(), self.options.linger).unwrap_or_default());
        }
        let full = records.len() >= max;
        for record in &records {
            // To ask the reader for every position would take longer than to decide on one report.
            if let Some(lane) = self.lane_of(record) {
                self.lanes[lane].read = record.offset + 1;
            }
        }
        if full {
            // More than one batch waits: merge, so that the clock follows all partitions together.
            self.take_in(records);
            self.phase = Phase::Behind;
            self.look_up_goals()?;
            return Ok(Next::Behind);
        }
        if records.is_empty() {
            return Ok(Next::Nothing);
        }
        let rank = |r: &LogRecord| self.lane_of(r).map_or(usize::MAX, |lane| self.lanes[lane].rank);
        records.sort_by_cached_key(|r| (r.stamp, rank(r), r.partition, r.offset));
        let taken = self.in_order(records);
        Ok(Next::Batch(taken, self.offsets()))
    }

    /// Up to a batch of records by arrival time; empty when every goal is reached, `None` when a reader
    /// brought nothing within the wait (what was merged so far goes back).
    fn merge(&mut self, wait: Duration) -> Result<Option<Vec<LogRecord>>, LogError> {
        while let Some(starving) = self.lanes.iter().position(Lane::starving) {
            if !self.fill(starving, wait)? {
                return Ok(None);
            }
        }
        let key = |lanes: &[Lane], lane: usize| {
            lanes[lane].buffer.front().map(|r| Reverse((r.stamp, lanes[lane].rank, r.partition, lane)))
        };
        let mut heads: BinaryHeap<Reverse<(Instant, usize, u32, usize)>> =
            (0..self.lanes.len()).filter_map(|lane| key(&self.lanes, lane)).collect();
        let held: usize = self.lanes.iter().map(|l| l.buffer.len()).sum();
        let mut batch = Vec::with_capacity(held.min(self.options.max_batch));
        while let Some(Reverse((stamp, _, _, lane))) = heads.pop() {
            let full = batch.len() >= self.options.max_batch;
            let parted = batch.last().is_none_or(|last: &LogRecord| last.stamp != stamp);
            if full && (parted || self.options.order == Order::Service) {
                break;
            }
            batch.extend(self.lanes[lane].buffer.pop_front());
            if self.lanes[lane].starving() {
                match self.fill(lane, wait) {
                    Ok(true) => {}
                    // A batch may end anywhere in service; equal times are kept together otherwise.
                    stuck if self.options.order == Order::Arrivals => {
                        self.put_back(batch);
                        return stuck.map(|_| None);
                    }
                    _ => break,
                }
            }
            heads.extend(key(&self.lanes, lane));
        }
        Ok(Some(batch))
    }

    fn put_back(&mut self, batch: Vec<LogRecord>) {
        for record in batch.into_iter().rev() {
            if let Some(lane) = self.lane_of(&record) {
                self.lanes[lane].buffer.push_front(record);
            }
        }
    }

    /// Polls the reader of a starving lane until it starves no more; false if the wait was in vain.
    fn fill(&mut self, lane: usize, wait: Duration) -> Result<bool, LogError> {
        let Some(number) = self.readers.iter().position(|r| r.lanes.contains(&lane)) else {
            return Ok(false);
        };
        let deadline = std::time::Instant::now() + wait;
        while self.lanes[lane].starving() {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            let reader = &mut self.readers[number];
            // In short waits: where the rest is control records, none comes, and only the position moves.
            let records = reader.inner.poll(self.options.max_batch.max(1000), left.min(GLANCE))?;
            for ((_, read), lane) in reader.inner.position().into_iter().zip(&reader.lanes) {
                self.lanes[*lane].read = read;
            }
            let nothing = records.is_empty();
            self.take_in(records);
            if nothing && left.is_zero() && self.lanes[lane].starving() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn take_in(&mut self, records: Vec<LogRecord>) {
        for record in records {
            let Some(lane) = self.lane_of(&record) else { continue };
            let lane = &mut self.lanes[lane];
            if !self.options.until_end || record.offset < lane.goal {
                lane.buffer.push_back(record);
            }
        }
    }

    fn lane_of(&self, record: &LogRecord) -> Option<usize> {
        let lanes = self.by_topic.get(&record.topic)?;
        lanes.iter().copied().find(|lane| self.lanes[*lane].at.partition == record.partition)
    }

    fn in_order(&self, records: Vec<LogRecord>) -> Vec<Taken> {
        if self.options.order == Order::Arrivals {
            return records.into_iter().map(|record| Taken { record, ahead: false }).collect();
        }
        let in_turn = |r: &LogRecord| self.lane_of(r).is_some_and(|lane| self.lanes[lane].in_turn);
        let mut taken: Vec<Taken> =
            records.into_iter().map(|record| Taken { ahead: !in_turn(&record), record }).collect();
        // Nearly always there are reports alone, in order already.
        taken.sort_by_key(|t| !t.ahead);
        taken
    }

    fn look_up_goals(&mut self) -> Result<(), LogError> {
        for (topic, lanes) in &self.by_topic {
            let bounds = self.log.bounds(topic)?;
            for lane in lanes {
                let lane = &mut self.lanes[*lane];
                if let Some(b) = bounds.get(lane.at.partition as usize) {
                    lane.goal = b.end;
                }
            }
        }
        Ok(())
    }

    /// One reader for all short backlogs, one for each long one. Nothing may be buffered.
    fn open_readers(&mut self) -> Result<(), LogError> {
        self.readers.clear();
        self.shared = false;
        let behind = |lane: &usize| self.lanes[*lane].goal.saturating_sub(self.lanes[*lane].read);
        let (long, short): (Vec<usize>, Vec<usize>) =
            (0..self.lanes.len()).filter(|lane| behind(lane) > 0).partition(|lane| behind(lane) > LONG);
        for lanes in long.into_iter().map(|lane| vec![lane]).chain([short]) {
            if !lanes.is_empty() {
                let reader = self.reader_of(lanes)?;
                self.readers.push(reader);
            }
        }
        Ok(())
    }

    fn reader_of(&self, lanes: Vec<usize>) -> Result<Reader, LogError> {
        let from: Vec<(TopicPartition, u64)> =
            lanes.iter().map(|lane| (self.lanes[*lane].at.clone(), self.lanes[*lane].read)).collect();
        Ok(Reader { inner: self.log.reader(&from)?, lanes })
    }
}

#[cfg(test)]
mod tests;
