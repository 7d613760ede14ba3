//! One life of the process after the other, each ended by `kill -9`.
//!
//! A life is frozen (SIGSTOP) at the moment of its death, looked at, and then killed: it does nothing in
//! between, so this is a kill at that moment, and what was open or in flight is known rather than guessed.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rustix::process::{Pid, Signal, kill_process};
use tocsin_schemas::log::{LogWriter, NewRecord};

use crate::city::{Line, Stream};
use crate::gateway::Gateway;
use crate::house::{House, Running, until};
use crate::verdict::Reference;
use crate::watch::{Ends, Seen, Watch};

/// Several lines of a slice to a transaction, many transactions to a slice.
const BATCH: usize = 10;

/// The moment at which a life is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// With a transaction open, after some of the work.
    Transaction,
    /// With a request in flight, after some of the work.
    Request,
    /// Whatever is under way, after some of the work.
    Work,
    /// Whatever is under way, after some time: mostly while it reads back what was decided.
    Start,
}

/// How a life ended.
pub struct Kill {
    pub wanted: Moment,
    /// Keys of requests that the gateway had taken and not answered.
    pub in_flight: Vec<String>,
    /// Ends of the output partitions after it.
    pub ends: Ends,
    /// How long the life was.
    pub lived: Duration,
}

pub struct Lives<'s> {
    pub house: House,
    pub gateway: Gateway,
    pub watch: Watch,
    pub kills: Vec<Kill>,
    stream: &'s Stream,
    writer: Box<dyn LogWriter>,
    /// How many lines are in the log.
    pub published: usize,
    slices: Vec<Range<usize>>,
    /// How many records were decided on when last seen (an aborted transaction may have said it).
    decided: u64,
    random: ChaCha8Rng,
}

impl<'s> Lives<'s> {
    /// The stream is published in as many slices as there are lives, if each is to find something new.
    pub fn new(address: &str, stream: &'s Stream, seed: u64, kills: usize) -> Lives<'s> {
        let lives = kills + 4;
        let house = House::kafka(address);
        let writer = house.log.writer("test").unwrap();
        // The registry comes whole with the first reports.
        let registry = stream.lines.len() - stream.reports;
        let cut = |n: usize| if n == 0 { 0 } else { registry + stream.reports * n / lives };
        let slices = (0..lives).rev().map(|n| cut(n)..cut(n + 1)).collect();
        Lives {
            house,
            gateway: Gateway::open(),
            watch: Watch::start(address),
            kills: Vec::new(),
            stream,
            writer,
            published: 0,
            slices,
            decided: 0,
            random: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    pub fn all_published(&self) -> bool {
        self.slices.is_empty()
    }

    fn publish(&mut self) {
        let Some(slice) = self.slices.pop() else { return };
        self.published = slice.end;
        let records: Vec<NewRecord> = self.stream.lines[slice].iter().map(record).collect();
        self.writer.append(&records).unwrap();
    }

    fn start(&mut self) -> Running {
        let url = self.gateway.url(self.kills.len());
        self.house.configure(&url, &format!("concurrency = 16\n[pipeline]\nmax_batch = {BATCH}\n"));
        self.watch.skip();
        self.house.run(&["--clock", "arrivals"])
    }

    /// One life and its end.
    pub fn one_more(&mut self) {
        self.publish();
        let moment = match self.kills.len() % 5 {
            0 | 2 => Moment::Transaction,
            1 | 3 => Moment::Request,
            4 if self.kills.len() % 10 == 4 => Moment::Work,
            _ => Moment::Start,
        };
        let began = Monotonic::now();
        let mut run = self.start();
        if moment == Moment::Start {
            std::thread::sleep(Duration::from_millis(self.random.random_range(0..1_200)));
        } else {
            self.work(&mut run);
        }
        match moment {
            Moment::Transaction => self.freeze_in_transaction(&mut run),
            Moment::Request => self.freeze_with_a_request(&run),
            Moment::Work => {
                std::thread::sleep(Duration::from_millis(self.random.random_range(0..60)));
                freeze(&run);
            }
            Moment::Start => freeze(&run),
        }
        assert!(run.alive(), "it ended by itself, before it was killed: {}", run.said());
        let in_flight = self.gateway.in_flight(self.kills.len());
        run.signal("KILL");
        assert_eq!(run.ends_within(Duration::from_secs(10)), None, "killed by a signal");
        // What it had handed to the network is still on its way into the broker.
        std::thread::sleep(Duration::from_millis(20));
        let ends = self.watch.ends();
        self.kills.push(Kill { wanted: moment, in_flight, ends, lived: began.elapsed() });
    }

    /// Waits until a random part of what is there has been decided.
    fn work(&mut self, run: &mut Running) {
        let all = self.published as u64;
        let target = self.random.random_range(self.decided.min(all - 1)..all);
        let deadline = Monotonic::now() + Duration::from_secs(30);
        while self.decided <= target {
            if let Some(Seen { arrived: Some(arrived), .. }) = self.watch.next(Duration::from_millis(50)) {
                self.decided = arrived;
            }
            assert!(run.alive(), "it ended by itself: {}", run.said());
            assert!(Monotonic::now() < deadline, "{} of {target}: {}", self.decided, run.said());
        }
    }

    /// Freezes it whenever a record comes in, until one is found whose transaction is open. If there is no
    /// more to come, it is frozen as it is.
    fn freeze_in_transaction(&mut self, run: &mut Running) {
        for _ in 0..self.random.random_range(0..8) {
            self.watch.next(Duration::from_millis(5));
        }
        let mut quiet = 0;
        while quiet < 30 {
            self.watch.skip();
            let Some(seen) = self.watch.next(Duration::from_millis(50)) else {
                quiet += 1;
                continue;
            };
            freeze(run);
            // A commit that it had handed to the network takes effect now, or never.
            std::thread::sleep(Duration::from_millis(10));
            let stable = self.house.log.bounds(&seen.topic).unwrap()[seen.partition as usize].end;
            if stable <= seen.offset as u64 {
                return;
            }
            thaw(run);
        }
        freeze(run);
    }

    /// Holds answers back until a request waits for one; if none comes, it is frozen as it is.
    fn freeze_with_a_request(&mut self, run: &Running) {
        let life = self.kills.len();
        self.gateway.hold(life);
        let deadline = Monotonic::now() + Duration::from_millis(1_500);
        while self.gateway.in_flight(life).is_empty() && Monotonic::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(self.random.random_range(0..30)));
        freeze(run);
    }

    /// The last life, which is left in peace until all is done; and one more, which must find nothing to do. How
    /// long that one took to catch up.
    pub fn finish(&mut self, reference: &Reference) -> Duration {
        let run = self.start();
        let all = self.stream.lines.len() as u64;
        until("everything is decided", || self.house.progress().is_some_and(|p| p.counters.arrived() == all));
        let deadline = Monotonic::now() + Duration::from_secs(60);
        while reference.untold(&self.gateway.rings()) > 0 {
            if Monotonic::now() > deadline {
                panic!("{}\n{}", reference.why_untold(&self.house, &self.gateway.rings()), run.said());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(run.stop(), Some(0));
        let (alerts, rings) = (self.house.alerts(), self.gateway.rings().len());
        let began = Monotonic::now();
        let run = self.house.run_caught_up(&["--clock", "arrivals"]);
        let took = began.elapsed();
        assert_eq!(run.stop(), Some(0));
        assert_eq!((self.house.alerts(), self.gateway.rings().len()), (alerts, rings));
        took
    }
}

fn record(line: &Line) -> NewRecord {
    NewRecord {
        topic: Arc::from(line.topic),
        key: line.key.as_bytes().to_vec(),
        value: Some(line.value.to_string().into_bytes()),
        stamp: Some(line.at),
        route: None,
    }
}

fn pid(run: &Running) -> Pid {
    Pid::from_raw(run.id() as i32).unwrap()
}

/// Stops it where it is, and returns once it has stopped.
fn freeze(run: &Running) {
    kill_process(pid(run), Signal::STOP).unwrap();
    until("it stands still", || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", run.id())).unwrap();
        let state = stat.rsplit_once(") ").unwrap().1.chars().next().unwrap();
        // `Z`: it has ended by itself; the caller says so.
        state == 'T' || state == 'Z'
    });
}

fn thaw(run: &Running) {
    kill_process(pid(run), Signal::CONT).unwrap();
}
