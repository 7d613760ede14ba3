//! Random histories, dense enough that rare things happen often.
//!
//! A history is a function of its seed. The world is tiny on purpose (a few enterprises, persons, days and
//! record ids), so that records meet: the same report again and again in other versions, two sources on one
//! day, times 29, 30 and 31 minutes apart, competing successors.

mod policies;

use std::fmt;

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tocsin_schemas::codes::{Category, EnterpriseStatus, Source, Status};
use tocsin_schemas::ids::{PersonKey, Uscc};
use tocsin_schemas::records::{Digest, Enterprise, GovernanceEvent, Headcount, Record, Report};
use tocsin_schemas::time::{Day, Instant, Month, TimeOfDay};

use self::policies::{adopted, policies};
use crate::door;
use crate::policy::OraclePolicy;

/// What arrives at one instant.
#[derive(Debug, Clone)]
pub struct Step {
    /// Another policy, taken over before anything of this step, at the clock as it then stands.
    pub adopt: Option<Vec<OraclePolicy>>,
    /// When the batch is decided; may lie before the clock.
    pub at: Instant,
    /// The records as the door accepted them, each with its own arrival. None: only midnights pass, up to
    /// and including that of `at`'s day.
    pub arrivals: Vec<(Record, Digest, Instant)>,
    /// How many of them came with a slip in an optional field.
    pub flagged: u32,
}

/// A policy and what arrives under it.
#[derive(Debug, Clone)]
pub struct History {
    /// The tables, at least one.
    pub policies: Vec<OraclePolicy>,
    /// In order.
    pub steps: Vec<Step>,
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for policy in &self.policies {
            writeln!(f, "{policy:?}")?;
        }
        for (n, step) in self.steps.iter().enumerate() {
            writeln!(f, "step {n} at {}", step.at)?;
            for policy in step.adopt.iter().flatten() {
                writeln!(f, "    adopts {policy:?}")?;
            }
            for (record, digest, arrived_at) in &step.arrivals {
                let own =
                    if *arrived_at == step.at { String::new() } else { format!(" arrived {arrived_at}") };
                writeln!(f, "    {} [{:02x}{:02x}]{own}", text(record), digest[0], digest[1])?;
            }
        }
        Ok(())
    }
}

fn text(record: &Record) -> String {
    match record {
        Record::Report(r) => {
            let mut t = format!("{} v{} {} {} {}", r.key(), r.version, r.status, r.category, r.occurred_on);
            let mut push = |name: &str, value: Option<String>| {
                if let Some(v) = value {
                    t.push_str(&format!(" {name} {v}"));
                }
            };
            push("time", r.occurred_time.map(|v| v.to_string()));
            push("uscc", r.uscc.map(|v| v.to_string()));
            push("host", r.host_uscc.map(|v| v.to_string()));
            push("person", r.person_key.map(|v| v.to_string()[..4].to_string()));
            push("no", r.incident_no.as_ref().map(ToString::to_string));
            push("cause", r.cause.map(|v| v.to_string()));
            push("lost", r.lost_days.map(|v| v.to_string()));
            push("grade", r.disability_grade.map(|v| v.to_string()));
            push("died", r.died_on.map(|v| v.to_string()));
            t
        }
        other => format!("{other:?}"),
    }
}

/// The `n`th enterprise of the tests, with a right check symbol.
pub fn uscc(n: usize) -> Uscc {
    let mut text = format!("91330784T{n:08}").into_bytes();
    text.push(Uscc::check_symbol(&text).unwrap_or(b'0'));
    String::from_utf8(text).unwrap_or_default().parse().expect("the check symbol was computed")
}

/// The key of the `n`th person of the tests.
pub fn person(n: u8) -> PersonKey {
    PersonKey([n; 32])
}

const DAY: i64 = 86_400_000;
const SOURCES: [Source; 12] = [
    Source::Hr,
    Source::Hr,
    Source::Hr,
    Source::Hr,
    Source::Emergency,
    Source::Emergency,
    Source::Construction,
    Source::Employer,
    Source::Police,
    Source::Health,
    Source::Health,
    Source::Health,
];

/// One random history of about `steps` steps.
pub fn history(seed: u64, steps: usize) -> History {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let starts = [(2023, 12, 20), (2024, 2, 20), (2024, 2, 27), (2020, 11, 1), (2025, 12, 1), (2023, 2, 25)];
    let (y, m, d) = pick(&mut rng, &starts);
    let start = Day::new(y, m, d).unwrap_or(Day(19_000));
    let enterprises = rng.random_range(3..=6);
    let policies = policies(&mut rng, start);
    let mut maker = Maker {
        rng,
        enterprises,
        reports: Vec::new(),
        hot: vec![start],
        start,
        today: start,
        others: Vec::new(),
        circle: Vec::new(),
    };
    // Of its own, so that what arrives is the same with and without adoptions.
    let mut adopting = ChaCha8Rng::seed_from_u64(!seed);
    // Whether one that is taken over has begun.
    let mut waiting = ChaCha8Rng::seed_from_u64(seed.rotate_left(32));
    let mut all = Vec::new();
    let mut clock = start.midnight().plus_millis(9 * 3_600_000);
    for n in 0..steps {
        let mut records = Vec::new();
        if n == 0 {
            for e in 0..enterprises {
                if e == 0 || maker.rng.random_bool(0.7) {
                    records.push(Record::Enterprise(maker.enterprise(e, true)));
                }
            }
        }
        let batch = if maker.rng.random_bool(0.12) { 0 } else { maker.rng.random_range(1..=4) };
        maker.today = clock.day();
        for _ in 0..batch {
            records.push(maker.record());
        }
        if !records.is_empty() && maker.rng.random_bool(0.1) {
            let again = pick(&mut maker.rng, &records);
            records.push(again);
        }
        let mut at = clock;
        if maker.rng.random_bool(0.04) {
            at = at.plus_millis(-maker.rng.random_range(1..3 * DAY));
        }
        let mut step = Step { adopt: None, at, arrivals: Vec::new(), flagged: 0 };
        if n > 0 && adopting.random_bool(0.05) {
            // A step of its own: what it makes may be gone after the next batch, and is compared before.
            let mut tables = adopted(&mut adopting, start);
            if waiting.random_bool(0.2) {
                let days = clock.day().0 - tables[0].effective_from.0 + waiting.random_range(1..=60);
                tables.iter_mut().for_each(|t| t.effective_from = t.effective_from.plus(days));
            }
            all.push(Step { adopt: Some(tables), ..step.clone() });
        }
        for record in records {
            let arrived_at = maker.arrived_at(at);
            let slip = maker.slip(&record);
            if let Some(admitted) = door::through(&record, slip, arrived_at) {
                step.flagged += u32::from(!admitted.flags.is_empty());
                step.arrivals.push((admitted.record, admitted.digest, arrived_at));
            }
        }
        all.push(step);
        clock = maker.later(clock);
    }
    History { policies, steps: all }
}

fn pick<T: Clone>(rng: &mut ChaCha8Rng, from: &[T]) -> T {
    from.choose(rng).expect("there is always something to choose from").clone()
}

/// Makes records of a small world.
struct Maker {
    rng: ChaCha8Rng,
    enterprises: usize,
    /// The newest version of each report made so far.
    reports: Vec<Report>,
    /// Days on which things happen again.
    hot: Vec<Day>,
    start: Day,
    today: Day,
    /// Registry records made so far, to be sent again or with other content.
    others: Vec<Record>,
    /// Registrations that are still to come and together close a circle.
    circle: Vec<Record>,
}

impl Maker {
    fn chance(&mut self, p: f64) -> bool {
        self.rng.random_bool(p)
    }

    fn later(&mut self, clock: Instant) -> Instant {
        let minutes = match self.rng.random_range(0..100) {
            0..10 => 0,
            10..35 => self.rng.random_range(1..600),
            35..80 => self.rng.random_range(600..4 * 1440),
            80..93 => self.rng.random_range(4..40) * 1440,
            93..98 => self.rng.random_range(40..130) * 1440,
            // To a midnight sharp, now and then a year later.
            _ => return clock.day().plus(*[1, 1, 2, 366].choose(&mut self.rng).unwrap_or(&1)).midnight(),
        };
        clock.plus_millis(minutes * 60_000)
    }

    fn arrived_at(&mut self, at: Instant) -> Instant {
        match self.rng.random_range(0..100) {
            0..5 => at.plus_millis(-self.rng.random_range(1..5 * DAY)),
            5..8 => at.plus_millis(-self.rng.random_range(5..200) * DAY),
            8 => at.plus_millis(self.rng.random_range(1..400) * DAY / 4),
            _ => at,
        }
    }

    /// Now and then a slip in an optional field of a report.
    fn slip(&mut self, record: &Record) -> Option<(&'static str, Value)> {
        if !matches!(record, Record::Report(_)) || !self.chance(0.04) {
            return None;
        }
        let slips = [
            ("lost_days", json!(-3)),
            ("cause", json!("99")),
            ("uscc", json!("91330784T000000000")),
            ("host_uscc", json!("none")),
            ("occurred_time", json!("25:00")),
            ("person_key", json!("ABC")),
            ("category", json!("leisure")),
            ("disability_grade", json!(11)),
            ("died_on", json!("yesterday")),
        ];
        Some(pick(&mut self.rng, &slips))
    }

    fn record(&mut self) -> Record {
        if !self.circle.is_empty() && self.chance(0.5) {
            return self.circle.remove(0);
        }
        match self.rng.random_range(0..100) {
            0..80 => Record::Report(self.report()),
            80..88 => {
                if self.circle.is_empty() && self.chance(0.08) {
                    self.circle = self.new_circle();
                }
                let which = self.rng.random_range(0..self.enterprises);
                let e = Record::Enterprise(self.enterprise(which, false));
                self.others.push(e.clone());
                e
            }
            88..90 => {
                let g = Record::Governance(self.freeze());
                self.others.push(g.clone());
                g
            }
            90..96 => {
                let h = Record::Headcount(self.headcount());
                self.others.push(h.clone());
                h
            }
            _ if !self.others.is_empty() => pick(&mut self.rng, &self.others),
            _ => Record::Report(self.report()),
        }
    }

    fn any_uscc(&mut self) -> Uscc {
        // Now and then one that nobody registers.
        let n = if self.chance(0.04) { 99 } else { self.rng.random_range(0..self.enterprises) };
        uscc(n)
    }

    fn day(&mut self) -> Day {
        let today = self.today;
        match self.rng.random_range(0..100) {
            0..35 => pick(&mut self.rng, &self.hot),
            35..75 => {
                let day = today.plus(-self.rng.random_range(0..6));
                self.hot.push(day);
                if self.hot.len() > 4 {
                    self.hot.remove(0);
                }
                day
            }
            75..85 => today.plus(-self.rng.random_range(88..=93)),
            85..88 => today.plus(-self.rng.random_range(362..=368)),
            88..92 => today.plus(-self.rng.random_range(6..500)),
            92..95 => Day::new(2024, 2, 29).filter(|d| *d <= today).unwrap_or(today),
            95..97 => Day::new(today.year() - 1, 12, 31).unwrap_or(today),
            _ => today.plus(1),
        }
    }

    fn report(&mut self) -> Report {
        let source = pick(&mut self.rng, &SOURCES);
        // Seven record ids of each source are alive at a time; they move on with the months.
        let from = (self.today.0 - self.start.0) / 60;
        let id = (from + self.rng.random_range(1..=7)).to_string();
        let known = self.reports.iter().position(|r| r.source == source && r.source_record_id == id.as_str());
        let Some(known) = known else {
            let report = self.new_report(source, &id);
            self.reports.push(report.clone());
            return report;
        };
        let mut report = self.reports[known].clone();
        match self.rng.random_range(0..100) {
            // The very same again.
            0..6 => return report,
            // The same version with other content.
            6..11 => self.change(&mut report),
            // A lower version, late.
            11..17 => {
                self.change(&mut report);
                report.version = self.rng.random_range(1..=report.version);
                return report;
            }
            _ => {
                report.version += self.rng.random_range(1..=2);
                self.change(&mut report);
            }
        }
        self.reports[known] = report.clone();
        report
    }

    fn new_report(&mut self, source: Source, id: &str) -> Report {
        let occurred_on = self.day();
        let mut r = Report {
            source,
            source_record_id: id.into(),
            version: self.rng.random_range(1..=2),
            status: Status::Reported,
            category: Category::Production,
            occurred_on,
            occurred_time: None,
            reported_at: Instant(1_700_000_000_000),
            uscc: Some(self.any_uscc()),
            employer_name: None,
            host_uscc: None,
            person_key: None,
            incident_no: None,
            cause: None,
            post: None,
            process: None,
            equipment: None,
            note: None,
            lost_days: None,
            disability_grade: None,
            died_on: None,
        };
        if self.chance(0.65) {
            r.person_key = Some(person(self.rng.random_range(1..=5)));
        }
        // Often it speaks of what another one speaks of.
        if self.chance(0.5) && !self.reports.is_empty() {
            let other = pick(&mut self.rng, &self.reports);
            r.uscc = other.uscc;
            r.occurred_on = other.occurred_on;
            if self.chance(0.6) {
                r.person_key = other.person_key;
            }
        }
        for _ in 0..2 {
            if self.chance(0.6) {
                self.touch(&mut r);
            }
        }
        if self.chance(0.05) {
            r.status = pick(&mut self.rng, &[Status::Withdrawn, Status::NotAccepted, Status::Refused]);
        }
        r
    }

    /// Another content, most often of one field.
    fn change(&mut self, r: &mut Report) {
        if matches!(r.status, Status::Withdrawn | Status::Refused | Status::NotAccepted) && self.chance(0.7) {
            r.status = pick(&mut self.rng, &[Status::Reported, Status::Accepted, Status::Recognised]);
            return;
        }
        match self.rng.random_range(0..10) {
            0 | 1 => r.status = Status::Withdrawn,
            2 => r.status = pick(&mut self.rng, Status::ALL),
            _ => self.touch(r),
        }
        if self.chance(0.2) {
            self.touch(r);
        }
    }

    fn touch(&mut self, r: &mut Report) {
        match self.rng.random_range(0..22) {
            0 | 1 => r.uscc = Some(self.any_uscc()),
            2 => r.uscc = if self.chance(0.3) { None } else { Some(self.any_uscc()) },
            3 => r.occurred_on = self.day(),
            4 => {
                r.occurred_on =
                    r.occurred_on.plus(pick(&mut self.rng, &[-4, -3, -1, 1, 3, 4])).min(self.today)
            }
            5 | 6 => {
                r.person_key =
                    if self.chance(0.4) { None } else { Some(person(self.rng.random_range(1..=5))) }
            }
            7 | 8 => r.host_uscc = if self.chance(0.35) { None } else { Some(self.any_uscc()) },
            9..=11 => {
                let no = format!("N{}", self.rng.random_range(1..=2));
                r.incident_no = if self.chance(0.3) { None } else { Some(no.as_str().into()) };
            }
            12..=14 => {
                let minutes = pick(&mut self.rng, &[0, 30, 60, 59, 61, 29, 31, 90, 1439]);
                r.occurred_time = if self.chance(0.15) { None } else { Some(TimeOfDay(minutes)) };
                r.cause = if self.chance(0.1) {
                    None
                } else {
                    pick(&mut self.rng, &["03", "03", "09"]).parse().ok()
                };
            }
            15 | 16 => {
                r.lost_days =
                    if self.chance(0.3) { None } else { Some(pick(&mut self.rng, &[3, 49, 50, 104, 105])) }
            }
            17 => {
                r.disability_grade =
                    if self.chance(0.4) { None } else { Some(pick(&mut self.rng, &[1, 4, 5, 6, 7, 10])) }
            }
            18 => r.died_on = if self.chance(0.4) { None } else { Some(r.occurred_on) },
            19 | 20 => {
                r.category =
                    if self.chance(0.5) { Category::Production } else { pick(&mut self.rng, Category::ALL) }
            }
            _ => r.reported_at = r.reported_at.plus_millis(1000),
        }
    }

    fn enterprise(&mut self, n: usize, first: bool) -> Enterprise {
        let version = if first { 1 } else { self.rng.random_range(1..=4) };
        let days = if first { self.rng.random_range(-400..30) } else { self.rng.random_range(-200..60) };
        let successor_of = (!first && self.chance(0.5)).then(|| self.any_uscc());
        Enterprise {
            uscc: uscc(n),
            version,
            name: format!("Works {n}").into(),
            short_name: None,
            area: pick(&mut self.rng, &["330784001", "330784002", "330784K01"]).into(),
            industry: pick(&mut self.rng, &["3311", "33", "5012"]).into(),
            valid_from: self.today.plus(days),
            status: pick(
                &mut self.rng,
                &[EnterpriseStatus::Active, EnterpriseStatus::Active, EnterpriseStatus::Closed],
            ),
            tags: [vec![], vec![], vec!["保温杯"], vec!["防盗门", "保温杯"]][self.rng.random_range(0..4)]
                .iter()
                .map(ToString::to_string)
                .collect(),
            successor_of,
        }
    }

    /// Somebody freezes the list of a year, rightly or not.
    fn freeze(&mut self) -> GovernanceEvent {
        let year = i32::from(self.today.year());
        let subject = match self.rng.random_range(0..10) {
            0..7 => (year - 1).to_string(),
            7 => year.to_string(),
            8 => (year - 2).to_string(),
            _ => "last year".to_owned(),
        };
        GovernanceEvent {
            event_id: format!("G{}", self.rng.random_range(1..=9)),
            kind: pick(&mut self.rng, &["freeze_list", "freeze_list", "freeze_list", "letter"]).to_owned(),
            subject,
            on: self.today,
            version: self.rng.random_range(1..=2),
            actor: "clerk".to_owned(),
            approver: pick(&mut self.rng, &[None, Some(" "), Some("the head"), Some("the head")])
                .map(ToOwned::to_owned),
            details: "{}".to_owned(),
        }
    }

    /// Two or three that claim each other in a circle, from about today on.
    fn new_circle(&mut self) -> Vec<Record> {
        let from = self.rng.random_range(0..self.enterprises);
        let many = self.rng.random_range(2..=3);
        let of = |n: usize| (from + n % many) % self.enterprises;
        let pairs: Vec<(usize, usize)> = (0..many).map(|n| (of(n), of(n + 1))).collect();
        let claims = |(heir, predecessor)| {
            let mut e = self.enterprise(heir, false);
            e.successor_of = Some(uscc(predecessor));
            e.valid_from = self.today.plus(self.rng.random_range(-20..=10));
            e.version = 4;
            Record::Enterprise(e)
        };
        pairs.into_iter().map(claims).collect()
    }

    fn headcount(&mut self) -> Headcount {
        let mut h = Headcount {
            uscc: self.any_uscc(),
            month: Month(self.today.month().0 - self.rng.random_range(-1..=14)),
            insured: pick(&mut self.rng, &[0, 0, 1, 5, 20, 100, 333]),
            version: self.rng.random_range(1..=3),
        };
        // Often of a month beside one that is known, and now and then about a hundred times as many.
        let known = |r: &Record| match r {
            Record::Headcount(h) if h.insured > 0 => Some(h.clone()),
            _ => None,
        };
        let others: Vec<Headcount> = self.others.iter().filter_map(known).collect();
        if !others.is_empty() && self.chance(0.35) {
            let other = pick(&mut self.rng, &others);
            h.uscc = other.uscc;
            h.month = Month(other.month.0 + pick(&mut self.rng, &[-1, 0, 1, 1]));
            if self.chance(0.4) {
                let times = pick(&mut self.rng, &[19, 20, 99, 100, 101]);
                h.insured = other.insured.saturating_mul(times).min(10_000_000);
            } else if other.insured >= 100 && self.chance(0.4) {
                h.insured = other.insured / 100;
            }
        }
        h
    }
}

/// The smallest history found for which `fails` still holds: steps, adoptions and records are left out as long as it
/// does.
pub fn shrink(history: &History, fails: &mut dyn FnMut(&History) -> bool) -> History {
    let mut best = history.clone();
    let mut chunk = best.steps.len().div_ceil(2);
    while chunk > 0 {
        let mut from = 0;
        while from < best.steps.len() {
            let mut fewer = best.clone();
            fewer.steps.drain(from..(from + chunk).min(best.steps.len()));
            if fails(&fewer) { best = fewer } else { from += chunk }
        }
        chunk /= 2;
    }
    for step in (0..best.steps.len()).rev() {
        let mut fewer = best.clone();
        if fewer.steps[step].adopt.take().is_some() && fails(&fewer) {
            best = fewer;
        }
        for record in (0..best.steps[step].arrivals.len()).rev() {
            let mut fewer = best.clone();
            fewer.steps[step].arrivals.remove(record);
            if fails(&fewer) {
                best = fewer;
            }
        }
    }
    best
}
