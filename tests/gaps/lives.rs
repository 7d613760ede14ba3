//! One life of the worker after the other.
//!
//! A life is frozen (SIGSTOP), looked at, and let go again until some delivery is in the gap that is wanted; then it is
//! killed. It does nothing in between, so what was found is where the kill fell.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use rand::Rng as _;
use tocsin_connectors::log::sqlite::SqliteLog;
use tocsin_pipeline::owed::warning_number;
use tocsin_schemas::codes::{Category, Change, Level, Role, Rule, Severity, State};
use tocsin_schemas::ids::{IncidentId, Uscc};
use tocsin_schemas::log::{EventLog, LogError, LogReader, NewRecord, TopicPartition};
use tocsin_schemas::records::{
    Alert, AlertFacts, Audience, Contact, Counters, Delivery, DeliveryState, Incident, Progress, Record,
};
use tocsin_schemas::time::Instant;
use tocsin_schemas::topics;
use tocsin_schemas::wire::{self, Encoding, OutputRecord, encode_in};

use crate::gates::{Fast, Gates};
use crate::worker::CHILD;

/// A gap between two steps of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gap {
    /// Its alert can be read, and nothing is planned.
    Unplanned,
    /// It is planned, and nothing was sent.
    Planned,
    /// It stands as being sent, and the gateway has not got it.
    Unsent,
    /// The gateway has got it, and its answer is on its way.
    Unanswered,
    /// The answer is there, and the ledger does not say so.
    Unrecorded,
    /// An earlier kill hid its outcome, and that is not settled yet.
    Unsettled,
}

impl Gap {
    pub const ALL: [Gap; 6] =
        [Gap::Unplanned, Gap::Planned, Gap::Unsent, Gap::Unanswered, Gap::Unrecorded, Gap::Unsettled];
}

/// How long a life is looked at for the gap that is wanted; then it is killed as it is.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// How long the end may take: "not found" means "not sent" after half a minute of the machine's time.
const LIMIT: Duration = Duration::from_secs(180);
/// New enterprises of a life.
const NEW: u32 = 3;

pub struct Lives {
    dir: tempfile::TempDir,
    pub log: Arc<dyn EventLog>,
    pub gates: Gates,
    clock: Fast,
    /// Of each kill the gaps that some delivery was in.
    pub kills: Vec<BTreeSet<Gap>>,
    /// How many enterprises there are: each has an owner, a safety officer and a town of its own.
    pub told: u32,
    reader: Box<dyn LogReader>,
    /// Every delivery as last written.
    pub ledger: BTreeMap<String, Delivery>,
    /// Those whose last request began in this life.
    sending: BTreeSet<String>,
    /// Those that were uncertain at some time.
    pub ever_uncertain: BTreeSet<String>,
}

impl Lives {
    pub fn new() -> Lives {
        let dir = tempfile::tempdir().unwrap();
        let log = SqliteLog::open(&dir.path().join("log.db")).unwrap();
        log.ensure(&topics::settings(), false).unwrap();
        let clock = Fast::begins();
        let from: Vec<_> = (0..topics::topic(topics::DELIVERIES).unwrap().partitions)
            .map(|partition| (TopicPartition { topic: topics::DELIVERIES.into(), partition }, 0))
            .collect();
        let reader = log.reader(&from).unwrap();
        Lives {
            dir,
            gates: Gates::open(clock),
            log: Arc::new(log),
            clock,
            kills: Vec::new(),
            told: 0,
            reader,
            ledger: BTreeMap::new(),
            sending: BTreeSet::new(),
            ever_uncertain: BTreeSet::new(),
        }
    }

    pub fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("log.db")
    }

    /// One life and its end.
    pub fn one_more(&mut self) {
        self.publish();
        self.look().unwrap();
        self.sending.clear();
        let wanted = Gap::ALL[self.kills.len() % Gap::ALL.len()];
        let beats = self.beats();
        let mut child = self.start();
        let deadline = Monotonic::now() + Duration::from_secs(30);
        while self.beats() == beats {
            assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
            assert!(Monotonic::now() < deadline, "it does not begin");
            std::thread::sleep(Duration::from_millis(2));
        }
        let deadline = Monotonic::now() + PATIENCE;
        let gaps = loop {
            std::thread::sleep(Duration::from_micros(rand::rng().random_range(0..4_000)));
            signal(&child, "STOP");
            match self.gaps() {
                Ok(gaps) if gaps.contains(&wanted) || Monotonic::now() > deadline => break gaps,
                Ok(_) => {}
                // Frozen in the midst of telling readers where the file ends: nobody reads until it goes on.
                Err(LogError::Retry { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            signal(&child, "CONT");
        };
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself, before it was killed");
        child.kill().unwrap();
        child.wait().unwrap();
        self.kills.push(gaps);
    }

    fn start(&self) -> Child {
        let what = format!("{} http://{} {}", self.path().display(), self.gates.address, self.clock.began);
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["worker", "--exact", "--nocapture"]).env(CHILD, what);
        command.stdout(Stdio::null()).spawn().unwrap()
    }

    fn beats(&self) -> u64 {
        self.log.bounds(topics::MEMBERS).unwrap().iter().map(|b| b.end).sum()
    }

    /// Reads on in the ledger.
    pub fn look(&mut self) -> Result<(), LogError> {
        loop {
            let records = self.reader.poll(10_000, Duration::ZERO)?;
            if records.is_empty() {
                return Ok(());
            }
            for record in records {
                let delivery: Delivery = wire::decode(&record.value.unwrap()).unwrap();
                if delivery.state == DeliveryState::Sending {
                    self.sending.insert(delivery.delivery_id.clone());
                }
                if delivery.state == DeliveryState::Uncertain {
                    self.ever_uncertain.insert(delivery.delivery_id.clone());
                }
                self.ledger.insert(delivery.delivery_id.clone(), delivery);
            }
        }
    }

    /// Which gaps some delivery is in now.
    fn gaps(&mut self) -> Result<BTreeSet<Gap>, LogError> {
        // First what is on its way: what arrives meanwhile is then answered rather than on its way.
        let answering = self.gates.answering();
        self.look()?;
        let messages = self.gates.messages();
        let ids: BTreeSet<&str> = messages.iter().filter_map(|m| m.id.as_deref()).collect();
        let to: BTreeSet<&str> = messages.iter().map(|m| m.to.as_str()).collect();
        let rang = |d: &Delivery| match d.role {
            // The notices carry no id of ours.
            Role::SafetyOfficer => to.contains(&*user(&d.subject)),
            _ => ids.contains(&*d.delivery_id),
        };
        let mut gaps = BTreeSet::new();
        let mut unrecorded = 0;
        for d in self.ledger.values() {
            match d.state {
                DeliveryState::Planned if d.attempt == 0 => _ = gaps.insert(Gap::Planned),
                DeliveryState::Sending if !self.sending.contains(&d.delivery_id) => {
                    _ = gaps.insert(Gap::Unsettled);
                }
                DeliveryState::Sending if rang(d) => unrecorded += 1,
                DeliveryState::Sending => _ = gaps.insert(Gap::Unsent),
                DeliveryState::Uncertain => _ = gaps.insert(Gap::Unsettled),
                _ => {}
            }
        }
        if unrecorded > 0 && answering > 0 {
            gaps.insert(Gap::Unanswered);
        }
        if unrecorded > answering {
            gaps.insert(Gap::Unrecorded);
        }
        if self.ledger.len() < 3 * self.told as usize {
            gaps.insert(Gap::Unplanned);
        }
        Ok(gaps)
    }

    /// New alerts, each person's first and only one, and the books beside them.
    fn publish(&mut self) {
        let mut records = Vec::new();
        for n in self.told..self.told + NEW {
            let (firm, town) = (firm(n), format!("town{n}"));
            records.push(contact(Role::Owner, firm.as_str(), n));
            records.push(contact(Role::SafetyOfficer, firm.as_str(), n));
            records.push(contact(Role::TownshipDuty, &town, n));
            let incident = Incident {
                incident_id: IncidentId(n + 1),
                uscc: Some(firm),
                occurred_on: self.clock.day(),
                category: Category::Production,
                severity: Severity::Minor,
                persons: 1,
                state: State::Counted,
                reports: Vec::new(),
                withdrawn: Vec::new(),
                first_arrived_at: self.clock.instant(),
            };
            records.push(output(&incident));
            records.push(output(&message(n, firm, self.clock)));
            records.push(output(&warning(n, firm, &town, self.clock)));
        }
        let progress = Progress {
            writer: "pipeline".into(),
            log_id: self.log.log_id().unwrap(),
            clock: Some(self.clock.instant()),
            offsets: Vec::new(),
            counters: Counters::default(),
            policy_hash: "of a test".into(),
            next_incident: 1,
            lists: None,
        };
        records.push(output(&progress));
        self.log.writer("test").unwrap().append(&records).unwrap();
        self.told += NEW;
    }

    /// The last life, which is left in peace until all is done; and one more, which must find nothing to do.
    pub fn finish(&mut self) {
        let mut child = self.start();
        let deadline = Monotonic::now() + LIMIT;
        loop {
            self.look().unwrap();
            let ended = self.ledger.values().filter(|d| tocsin_alerts::ledger::terminal(d.state)).count();
            if ended == self.ledger.len() && ended == 3 * self.told as usize {
                break;
            }
            if Monotonic::now() > deadline {
                let left: Vec<&Delivery> =
                    self.ledger.values().filter(|d| !tocsin_alerts::ledger::terminal(d.state)).collect();
                panic!("{ended} of {} have ended: {left:#?}", 3 * self.told);
            }
            assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
            std::thread::sleep(Duration::from_millis(20));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        self.look().unwrap();
        let (rings, before) = (self.gates.messages().len(), self.ledger.clone());
        let beats = self.beats();
        let mut child = self.start();
        // Three heartbeats: it has taken everything over, and looked around.
        while self.beats() < beats + 3 {
            assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
            std::thread::sleep(Duration::from_millis(20));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        self.look().unwrap();
        assert_eq!(
            (self.gates.messages().len(), self.ledger.len()),
            (rings, before.len()),
            "a further life tells"
        );
        for (id, now) in &self.ledger {
            let was = &before[id];
            // A gateway that is asked what became of it says that it came.
            let came = (was.state, now.state) == (DeliveryState::Accepted, DeliveryState::Delivered);
            assert!(was.attempt == now.attempt && (came || was.state == now.state), "{was:?}, then {now:?}");
        }
    }
}

impl Fast {
    fn instant(self) -> Instant {
        Instant(self.millis())
    }
    fn day(self) -> tocsin_schemas::time::Day {
        self.instant().day()
    }
}

fn signal(child: &Child, name: &str) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    let signal = if name == "STOP" { rustix::process::Signal::STOP } else { rustix::process::Signal::CONT };
    rustix::process::kill_process(pid, signal).unwrap();
    if name == "CONT" {
        return;
    }
    let deadline = Monotonic::now() + Duration::from_secs(10);
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        let state = stat.rsplit_once(") ").unwrap().1.chars().next().unwrap();
        // `Z`: it has ended by itself; the caller says so.
        if state == 'T' || state == 'Z' {
            return;
        }
        assert!(Monotonic::now() < deadline, "it does not stand still");
    }
}

/// An enterprise of its own for each number.
fn firm(n: u32) -> Uscc {
    let first = format!("91330784Y{n:08}");
    format!("{first}{}", char::from(Uscc::check_symbol(first.as_bytes()).unwrap())).parse().unwrap()
}

/// The DingTalk user of a subject: the notices carry no id of ours, so each goes to somebody of its own.
pub fn user(subject: &str) -> String {
    format!("user-{subject}")
}

fn contact(role: Role, subject: &str, n: u32) -> NewRecord {
    let kind = match role {
        Role::Owner => 8,
        Role::SafetyOfficer => 7,
        _ => 6,
    };
    let addresses = match role {
        Role::SafetyOfficer => [("dingtalk_notice".to_owned(), user(subject))].into(),
        _ => BTreeMap::new(),
    };
    let contact = Contact {
        role,
        subject: subject.into(),
        rank: 1,
        name: "某人".into(),
        phone: Some(format!("13{kind}{n:08}")),
        addresses,
        valid_from: None,
        valid_to: None,
        verified_on: None,
        version: 1,
    };
    let value = encode_in(&Record::Contact(contact), Encoding::SingleObject).unwrap();
    let key = format!("{role}|{subject}|1").into_bytes();
    NewRecord { topic: topics::CONTACTS.into(), key, value: Some(value), stamp: None, route: None }
}

/// To the owner and the safety officer of an enterprise.
fn message(n: u32, firm: Uscc, clock: Fast) -> Alert {
    let (incident, day) = (IncidentId(n + 1), clock.day());
    let audience = |role| Audience { role, subject: firm.to_string().into(), year_to_date: Some(1) };
    Alert {
        alert_id: format!("M{n:07}"),
        case_no: incident.to_string().into(),
        rule: Rule::OwnerIncident,
        change: Change::New,
        subject: incident.to_string().into(),
        uscc: firm,
        episode: 1,
        revision: 1,
        audiences: vec![audience(Role::Owner), audience(Role::SafetyOfficer)],
        level: None,
        severity: Some(Severity::Minor),
        incident_ids: vec![incident],
        reports: Vec::new(),
        count: 1,
        as_of: day,
        decided_at: clock.instant(),
        reason: None,
        policy_hash: "".into(),
        facts: AlertFacts {
            enterprise_name: Some("永康市长城五金工具制造有限责任公司".into()),
            short_name: Some("长城五金".into()),
            area: Some("330784001".into()),
            occurred_on: Some(day),
            cause: "03".parse().ok(),
            ..AlertFacts::default()
        },
    }
}

fn warning(n: u32, firm: Uscc, town: &str, clock: Fast) -> Alert {
    let alert = message(n, firm, clock);
    Alert {
        alert_id: format!("W{n:07}"),
        rule: Rule::Escalation,
        case_no: warning_number(firm.as_str(), 1),
        subject: firm.to_string().into(),
        audiences: vec![Audience { role: Role::TownshipDuty, subject: town.into(), year_to_date: None }],
        level: Some(Level::Blue),
        severity: None,
        count: 2,
        facts: AlertFacts {
            window_days: Some(365),
            worst: Some(Severity::Minor),
            occurred_on: None,
            cause: None,
            ..alert.facts.clone()
        },
        ..alert
    }
}

fn output<T: OutputRecord>(record: &T) -> NewRecord {
    let value = Some(wire::encode(record));
    NewRecord { topic: T::TOPIC.into(), key: record.key(), value, stamp: None, route: record.route() }
}
