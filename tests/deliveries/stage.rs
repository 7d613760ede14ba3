//! The log and the worker of a story, and what its steps do to them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tocsin_alerts::answers::{self, Came};
use tocsin_alerts::calendar::{Calendar, Holidays, Hours};
use tocsin_alerts::channel::Channel;
use tocsin_alerts::channels::Channels;
use tocsin_alerts::clock::Clock as _;
use tocsin_alerts::contacts::Person;
use tocsin_alerts::decide::RetrySettings;
use tocsin_alerts::fuse;
use tocsin_alerts::gateways::{self, Fate};
use tocsin_alerts::ledger::reason_class;
use tocsin_alerts::phone_key::PhoneKey;
use tocsin_alerts::plan::next::Awaits;
use tocsin_alerts::retry;
use tocsin_alerts::stats::Stats;
use tocsin_alerts::worker::{Settings, Worker, WorkerError};
use tocsin_connectors::log::sqlite::SqliteLog;
use tocsin_pipeline::owed::warning_number;
use tocsin_schemas::codes::{
    AnswerKind, Category, Change, DeliveryState, Reason, Role, Rule, Severity, State,
};
use tocsin_schemas::ids::{IncidentId, Uscc};
use tocsin_schemas::log::{EventLog, NewRecord, TopicPartition};
use tocsin_schemas::records::{
    Alert, AlertFacts, Audience, Contact, Counters, Delivery, GovernanceEvent, Incident, Offset, Progress,
    Record,
};
use tocsin_schemas::time::Instant;
use tocsin_schemas::topics;
use tocsin_schemas::wire::{self, Encoding, OutputRecord, encode_in};
use tokio::sync::watch;

use crate::gate::{Gate, Hand, Phones, Ring};
use crate::parse::{Act, Setting, Story};
use crate::watched::Watched;

/// The town of every enterprise.
pub const TOWN: &str = "330784001";

/// One of the enterprises 甲 to 丁.
pub fn firm(name: &str) -> Result<Uscc, String> {
    let nth = ["甲", "乙", "丙", "丁"].iter().position(|known| *known == name);
    let nth = nth.ok_or_else(|| format!("{name} is no enterprise (甲 to 丁)"))?;
    let first = format!("91330784XX000000{nth}");
    let check = char::from(Uscc::check_symbol(first.as_bytes()).unwrap());
    Ok(format!("{first}{check}").parse().unwrap())
}

fn subject(name: &str) -> String {
    firm(name).map_or_else(|_| name.to_owned(), |uscc| uscc.to_string())
}

/// What is known of a case.
#[derive(Debug, Clone)]
struct Case {
    revision: u32,
    number: u32,
}

/// A worker that runs.
struct Running {
    task: tokio::task::JoinHandle<Result<Stats, WorkerError>>,
    /// How far it has read.
    read: Arc<Mutex<BTreeMap<TopicPartition, u64>>>,
    stats: watch::Receiver<Stats>,
}

pub struct Stage {
    dir: tempfile::TempDir,
    log: Arc<dyn EventLog>,
    pub clock: Arc<Hand>,
    pub phones: Arc<Phones>,
    settings: Settings,
    channels: Channels,
    cases: BTreeMap<char, Case>,
    versions: BTreeMap<String, u64>,
    events: u32,
    /// How many of them ask for what failed.
    retries: usize,
    worker: Option<Running>,
}

impl Stage {
    pub fn new(story: &Story) -> Result<Stage, String> {
        let dir = tempfile::tempdir().unwrap();
        let log = SqliteLog::open(&dir.path().join("log.db")).unwrap();
        log.ensure(&topics::settings(), false).unwrap();
        let phones: Arc<Phones> = Arc::default();
        let Setting { a_day, expire_hours, resend_unknown, channels, of_role, holidays, made_up, .. } =
            &story.setting;
        let mut table = Holidays::new();
        holidays.iter().map(|day| (day, false)).chain(made_up.iter().map(|day| (day, true))).for_each(
            |(day, work)| {
                table.add_year(day.year());
                table.add(*day, work).unwrap();
            },
        );
        let settings = Settings {
            calendar: Calendar::new(Hours::default(), table),
            expire_after: expire_hours.map(|hours| Duration::from_secs(hours * 3600)),
            per_phone_a_day: *a_day,
            awaits: story.setting.awaits.then(Awaits::default),
            mornings: story.setting.mornings,
            corrections_an_hour: story.setting.corrections,
            retry: RetrySettings {
                max_attempts: 4,
                resend_unknown: *resend_unknown,
                ..RetrySettings::default()
            },
            ..Settings::default()
        };
        let mut all: Vec<Arc<dyn Channel>> = Vec::new();
        for name in channels {
            let entry = gateways::find(name).ok_or_else(|| format!("{name} is no gateway"))?;
            all.push(Arc::new(Gate { name: entry.profile.name, phones: Arc::clone(&phones) }));
        }
        let mut channels = Channels::new(all);
        for (role, names) in of_role {
            channels.order_for(*role, names).map_err(|name| format!("{name} is no channel of 渠道"))?;
        }
        let mut stage = Stage {
            dir,
            log: Arc::new(log),
            clock: Hand::new(),
            phones,
            settings,
            channels,
            cases: BTreeMap::new(),
            versions: BTreeMap::new(),
            events: 0,
            retries: 0,
            worker: None,
        };
        stage.decided(story.steps[0].at);
        for act in &story.cast {
            stage.act(act, story.steps[0].at)?;
        }
        Ok(stage)
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("log.db")
    }

    /// What makes the hashes of phones, where no key is configured.
    pub fn log_id(&self) -> String {
        self.log.log_id().unwrap()
    }

    fn put(&self, records: &[NewRecord]) {
        self.log.writer("story").unwrap().append(records).unwrap();
    }

    /// Does what is written.
    pub fn act(&mut self, act: &Act, now: Instant) -> Result<(), String> {
        match act {
            Act::Contact { role, subject: of, rank, phone, until } => {
                let (of, key) = (subject(of), format!("{role}|{}|{rank}", subject(of)));
                let version = self.versions.entry(key.clone()).or_default();
                *version += 1;
                let contact = phone.as_ref().map(|phone| Contact {
                    role: *role,
                    subject: of,
                    rank: *rank,
                    name: "某人".into(),
                    phone: Some(phone.clone()),
                    addresses: BTreeMap::new(),
                    valid_from: None,
                    valid_to: *until,
                    verified_on: None,
                    version: *version,
                });
                let value = contact
                    .map(|contact| encode_in(&Record::Contact(contact), Encoding::SingleObject).unwrap());
                self.put(&[raw(topics::CONTACTS, key.into_bytes(), value)]);
            }
            Act::Owner { change, case, firm: of, severity, told } => {
                let told = told.iter().map(|name| firm(name)).collect::<Result<Vec<_>, _>>()?;
                self.owner(*change, *case, firm(of)?, *severity, &told, now);
            }
            Act::Warning { change, case, firm: of, level, grave, told, policy } => {
                let uscc = firm(of)?;
                let Case { revision, .. } = self.next(*case);
                let subject_of = |role: Role| match role {
                    Role::IndustryDuty => "33",
                    Role::EmergencyDuty => "330784",
                    _ => TOWN,
                };
                let audience = |role: &Role| Audience {
                    role: *role,
                    subject: subject_of(*role).into(),
                    year_to_date: None,
                };
                let alert = Alert {
                    rule: Rule::Escalation,
                    case_no: warning_number(uscc.as_str(), 1),
                    subject: uscc.to_string().into(),
                    audiences: told.iter().map(audience).collect(),
                    level: *level,
                    severity: None,
                    reason: policy.then_some(Reason::Policy),
                    count: 2,
                    facts: AlertFacts {
                        window_days: Some(365),
                        worst: Some(if *grave { Severity::Severe } else { Severity::Minor }),
                        severe_incident_ids: if *grave { vec![IncidentId(900)] } else { Vec::new() },
                        occurred_on: None,
                        cause: None,
                        ..self.blank(uscc, now).facts
                    },
                    ..self.blank(uscc, now)
                };
                self.put(&[output(&Alert {
                    alert_id: format!("{case}{revision}"),
                    change: *change,
                    revision,
                    ..alert
                })]);
                self.decided(now);
            }
            Act::Silence { subject: of, until, everything } => {
                let details =
                    format!("{{\"until\":\"{until}\",\"reason\":\"演练\",\"everything\":{everything}}}");
                self.governance("silence", subject(of), details, now);
            }
            Act::Release => {
                let details = format!("{{\"until\":\"{now}\",\"reason\":\"数据源已修复\"}}");
                self.governance(fuse::KIND, "*".to_owned(), details, now);
            }
            Act::Again { alert, phone, although } => {
                let failed = self.failed(alert, phone)?;
                let details = format!("{{\"reason\":\"已修复\",\"although_uncertain\":{although}}}");
                self.governance(retry::KIND, failed, details, now);
                self.retries += 1;
            }
            Act::Answers { phone, answers } => self.phones.answers(phone, answers),
            Act::Receipt { alert, phone, failed } => {
                let came = self.came(alert, phone, AnswerKind::Receipt, now)?;
                let fate = failed.map_or(Fate::Delivered, |code| Fate::Failed(code.into()));
                let answer = answers::gateway_said(came.1, &came.0.key, None, &fate, Some(now)).unwrap();
                self.put(&[output(&answer)]);
            }
            Act::Link { alert, phone, says } => {
                let (ring, came) = self.came(alert, phone, AnswerKind::Link, now)?;
                self.put(&[output(&answers::person_said(came, &ring.key, *says, Some(now)))]);
            }
            Act::Reply { phone, text } => {
                let ring = self.phones.rings().into_iter().rfind(|ring| ring.to == *phone);
                let ring = ring.ok_or_else(|| format!("{phone} has heard nothing"))?;
                let hash = self.deliveries()[&ring.key].phone_hash.clone().unwrap();
                let kind = AnswerKind::Reply;
                let came = Came { gateway: ring.channel.into(), kind, received_at: now };
                self.put(&[output(&answers::replied(came, hash, text, Some(now)))]);
            }
        }
        Ok(())
    }

    fn governance(&mut self, kind: &str, subject: String, details: String, now: Instant) {
        self.events += 1;
        let event = GovernanceEvent {
            event_id: format!("s{}", self.events),
            kind: kind.into(),
            subject,
            on: now.day(),
            version: 1,
            actor: "王主任".into(),
            approver: None,
            details,
        };
        let key = event.event_id.clone().into_bytes();
        let value = encode_in(&Record::Governance(event), Encoding::SingleObject).unwrap();
        self.put(&[raw(topics::GOVERNANCE, key, Some(value))]);
    }

    /// The delivery of this alert to this phone, or to nobody, that failed last.
    fn failed(&self, alert: &str, phone: &str) -> Result<String, String> {
        let hash = (phone != "无人").then(|| hash(&PhoneKey::new(self.log_id().as_bytes()), phone));
        let all = self.deliveries();
        let of = |d: &&Delivery| d.alert_id == alert && d.phone_hash == hash;
        // Of several of one minute the one over the channel that comes last by name.
        let place = |d: &&Delivery| (d.state == DeliveryState::Failed, d.at, d.channel.clone());
        let failed = all.values().filter(of).max_by_key(place);
        failed.map(|d| d.delivery_id.clone()).ok_or_else(|| format!("{phone} has no delivery of {alert}"))
    }

    /// The last message of this alert that this phone heard, and an answer to it that comes now.
    fn came(&self, alert: &str, phone: &str, kind: AnswerKind, now: Instant) -> Result<(Ring, Came), String> {
        let known = self.deliveries();
        let of = |key: &String| known.get(key).is_some_and(|d| d.alert_id == alert);
        let ring = self.phones.rings().into_iter().rfind(|r| r.to == phone && of(&r.key));
        let ring = ring.ok_or_else(|| format!("{phone} has not heard {alert}"))?;
        let came = Came { gateway: ring.channel.into(), kind, received_at: now };
        Ok((ring, came))
    }

    fn next(&mut self, case: char) -> Case {
        let number = u32::try_from(self.cases.len()).unwrap() + 1;
        let case = self.cases.entry(case).or_insert(Case { revision: 0, number });
        case.revision += 1;
        case.clone()
    }

    fn owner(
        &mut self,
        change: Change,
        letter: char,
        uscc: Uscc,
        severity: Severity,
        told: &[Uscc],
        now: Instant,
    ) {
        let Case { revision, number } = self.next(letter);
        let incident = IncidentId(number);
        let audience = |to: &Uscc| Audience {
            role: Role::Owner,
            subject: to.to_string().into(),
            year_to_date: Some(number),
        };
        let alert = Alert {
            alert_id: format!("{letter}{revision}"),
            case_no: incident.to_string().into(),
            subject: incident.to_string().into(),
            change,
            revision,
            audiences: told.iter().map(audience).collect(),
            severity: Some(severity),
            incident_ids: vec![incident],
            count: u32::from(change != Change::Corrected),
            ..self.blank(uscc, now)
        };
        let incident = Incident {
            incident_id: incident,
            uscc: Some(uscc),
            occurred_on: now.day().plus(-1),
            category: Category::Production,
            severity,
            persons: 1,
            state: if change == Change::Corrected { State::Refused } else { State::Counted },
            reports: Vec::new(),
            withdrawn: Vec::new(),
            first_arrived_at: now,
        };
        self.put(&[output(&incident), output(&alert)]);
        self.decided(now);
    }

    fn blank(&self, uscc: Uscc, now: Instant) -> Alert {
        Alert {
            alert_id: String::new(),
            case_no: "".into(),
            rule: Rule::OwnerIncident,
            change: Change::New,
            subject: "".into(),
            uscc,
            episode: 1,
            revision: 1,
            audiences: Vec::new(),
            level: None,
            severity: None,
            incident_ids: Vec::new(),
            reports: Vec::new(),
            count: 1,
            as_of: now.day(),
            decided_at: now,
            reason: None,
            policy_hash: "".into(),
            facts: AlertFacts {
                enterprise_name: Some("永康市长城五金工具制造有限责任公司".into()),
                short_name: Some("长城五金".into()),
                area: Some(TOWN.into()),
                occurred_on: Some(now.day().plus(-1)),
                cause: "03".parse().ok(),
                ..AlertFacts::default()
            },
        }
    }

    /// The pipeline has come so far: the books are added up beside it.
    fn decided(&self, now: Instant) {
        let progress = Progress {
            writer: "pipeline".into(),
            log_id: self.log.log_id().unwrap(),
            clock: Some(now),
            offsets: Vec::new(),
            counters: Counters::default(),
            policy_hash: "of a story".into(),
            next_incident: 1,
            lists: None,
        };
        self.put(&[output(&progress)]);
    }

    /// A new worker, as after a start.
    pub fn start(&mut self) {
        let log = Watched::new(Box::new(SqliteLog::open(&self.path()).unwrap()));
        let (read, log): (_, Arc<dyn EventLog>) = (log.read(), Arc::new(log));
        let worker =
            Worker::new(log, self.channels.clone(), Arc::clone(&self.clock) as _, self.settings.clone());
        let stats = worker.stats();
        let task = tokio::spawn(worker.run(std::future::pending()));
        self.worker = Some(Running { task, read, stats });
    }

    pub fn has_worker(&self) -> bool {
        self.worker.is_some()
    }

    /// As `kill -9` would: what it had not written is gone.
    pub async fn kill(&mut self) {
        if let Some(Running { task, .. }) = self.worker.take() {
            task.abort();
            let _ = task.await;
        }
    }

    /// Whether nothing is left to do at this hour: everything was taken in, and what is open waits for an hour that has
    /// not come, for a gateway that does not answer, or behind such a one.
    pub fn quiet(&self) -> Result<bool, String> {
        let Some(Running { task, read, stats }) = &self.worker else { return Ok(false) };
        if task.is_finished() {
            return Err("the worker ended by itself".to_owned());
        }
        for topic in [topics::CONTACTS, topics::GOVERNANCE] {
            for (partition, bounds) in (0..).zip(self.log.bounds(topic).unwrap()) {
                let at = TopicPartition { topic: topic.into(), partition };
                if read.lock().unwrap().get(&at).is_none_or(|next| *next < bounds.end) {
                    return Ok(false);
                }
            }
        }
        let stats = stats.borrow().clone();
        if stats.retries_seen < self.retries {
            return Ok(false);
        }
        let ends_of = |topic: &str| -> Vec<Offset> {
            let bounds = (0..).zip(self.log.bounds(topic).unwrap());
            bounds.map(|(partition, b)| Offset { topic: topic.into(), partition, next: b.end }).collect()
        };
        // An answer may end what is planned for another phone, and one that the planner passes on comes after it.
        let (answers, deliveries) = (ends_of(topics::ANSWERS), ends_of(topics::DELIVERIES));
        if stats.senders < deliveries.len() || !stats.heard(&answers, &deliveries) {
            return Ok(false);
        }
        let ends = ends_of(topics::ALERTS);
        if stats.settled(&ends) {
            return Ok(true);
        }
        let taken =
            |end: &Offset| stats.taken_in.iter().any(|o| o.partition == end.partition && o.next >= end.next);
        let all = self.deliveries();
        let sending = all.values().filter(|d| d.state.as_str() == "sending").count();
        // Or all that is open is to be tried again, in an hour perhaps, when the phone's window at the gateway opens.
        let window = |d: &Delivery| reason_class(d) == "window_used_up" && d.due_at > Some(self.clock.now());
        let open = |d: &&Delivery| ["planned", "sending", "uncertain"].contains(&d.state.as_str());
        let waits = all.values().any(window) && all.values().filter(open).all(window);
        let later = stats.next_due.is_none_or(|due| due > self.clock.now());
        Ok(ends.iter().all(taken)
            && later
            && stats.in_hand == stats.open
            && sending == self.phones.parked()
            && (sending > 0 || waits))
    }

    /// Every delivery as it stands, by its id.
    pub fn deliveries(&self) -> BTreeMap<String, Delivery> {
        let from: Vec<(TopicPartition, u64)> = (0..)
            .zip(self.log.bounds(topics::DELIVERIES).unwrap())
            .map(|(partition, b)| (TopicPartition { topic: topics::DELIVERIES.into(), partition }, b.first))
            .collect();
        let mut reader = self.log.reader(&from).unwrap();
        let mut all = BTreeMap::new();
        while !reader.caught_up().unwrap() {
            for record in reader.poll(10_000, Duration::from_millis(100)).unwrap() {
                let delivery: Delivery = wire::decode(&record.value.unwrap()).unwrap();
                all.insert(delivery.delivery_id.clone(), delivery);
            }
        }
        all
    }

    /// The program's own judge over the log.
    pub fn reconcile(&self) -> Result<(), String> {
        let done = Command::new(env!("CARGO_BIN_EXE_tocsin"))
            .args(["ledger", "reconcile", "--log-file"])
            .arg(self.path())
            .output()
            .unwrap();
        match done.status.code() {
            Some(0) => Ok(()),
            _ => Err(format!(
                "the books do not add up: {}{}",
                String::from_utf8_lossy(&done.stdout),
                String::from_utf8_lossy(&done.stderr)
            )),
        }
    }
}

/// The hash of one of a story's phones.
pub fn hash(key: &PhoneKey, phone: &str) -> String {
    key.phone(&Person {
        role: Role::Owner,
        subject: String::new(),
        rank: 1,
        version: 1,
        address: phone.to_owned(),
        phone: Some(phone.to_owned()),
    })
}

fn output<T: OutputRecord>(record: &T) -> NewRecord {
    raw(T::TOPIC, record.key(), Some(wire::encode(record)))
}

fn raw(topic: &str, key: Vec<u8>, value: Option<Vec<u8>>) -> NewRecord {
    NewRecord { topic: topic.into(), key, value, stamp: None, route: None }
}
