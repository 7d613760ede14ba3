//! A made-up city and what its bureaus, hospitals and employers report: a function of its seed.
//!
//! What it holds:
//! - 50,000 enterprises in all divisions of industry and [`AREAS`] areas; one in fifty moves to another area
//!   on a later day, a few are succeeded by another. 4,000 large ones have a headcount every month, 16,000
//!   one a year, the rest none. Large enterprises have more incidents: seven in ten incidents fall anywhere,
//!   three in ten mostly on the large ones.
//! - 100,000 incidents a year from 2014 on (274 a day), so a window of 365 days is full from the first
//!   hundred thousand on, and what grows after that is history. Each is reported 0 to 20 days later.
//! - On 1,000 incidents about 1,250 reports: more sources follow the first one within 20 days. Some of
//!   them know no person key (2 in 100), some name a host (2 in 100), some incidents have several injured
//!   (3 in 100, under one `incident_no`). Beside those, corrections (5 in 100 reports get a second version,
//!   more lost days mostly), withdrawals (1 in 100), the very same record again (2 in 100).
//!
//! Reports come in the order of arrival and are made as they are asked for: the city is small, however many
//! incidents it has. Each carries its digest, so that whoever takes it in does only that.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::RangeInclusive;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tocsin_pipeline::{Arrival, Policies};
use tocsin_schemas::areas::divisions;
use tocsin_schemas::codes::{Category, Cause, EnterpriseStatus, Source, Status};
use tocsin_schemas::door;
use tocsin_schemas::ids::{PersonKey, Uscc};
use tocsin_schemas::records::{Enterprise, Headcount, Record, Report};
use tocsin_schemas::time::{Day, Instant, Month, TimeOfDay};

/// Enterprises in the register.
pub const ENTERPRISES: u32 = 50_000;
/// Areas of the city.
pub const AREAS: u32 = 30;
/// Incidents on each day.
pub const INCIDENTS_A_DAY: u32 = 274;

/// Enterprises with a headcount for each month: the first ones, which are the large ones.
const MONTHLY: u32 = 4_000;
/// Enterprises with at least one headcount a year.
const YEARLY: u32 = 20_000;
/// The years that have headcounts.
const YEARS: std::ops::Range<i32> = 2013..2026;
const DAY: i64 = 86_400_000;

/// The first day of reports.
pub fn first_day() -> Day {
    Day::new(2014, 1, 1).unwrap_or(Day(16_071))
}

/// The contract's default policy, in force from before the first report, so that everything is told.
pub fn policies() -> Result<Policies, tocsin_pipeline::policy::PolicyError> {
    Policies::default().effective_from(first_day())
}

/// The `n`th enterprise's code, with a right check symbol.
pub fn uscc(n: u32) -> Uscc {
    let mut text = format!("91330784M{n:08}");
    text.extend(Uscc::check_symbol(text.as_bytes()).map(char::from));
    text.parse().unwrap_or_else(|why| unreachable!("{text}: {why}"))
}

/// The register as it stands before the first report: enterprises, then headcounts. Some 880,000 records,
/// made as they are asked for.
pub fn register(seed: u64) -> impl Iterator<Item = Arrival> {
    let at = first_day().plus(-1).midnight();
    let arrival = move |record: Record| Arrival { digest: door::digest(&record), record, arrived_at: at };
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x5245_4749_5354_4552);
    let enterprises = (0..ENTERPRISES).flat_map(move |n| versions(n, &mut rng)).map(Record::Enterprise);
    let headcounts = (0..YEARLY).flat_map(|n| {
        let months = YEARS.flat_map(|year| (0..12).map(move |m| Month(year * 12 + m)));
        months.filter(move |m| n < MONTHLY || m.0 % 12 == 0).map(move |month| {
            // Large ones first: 2,000 people down to 5. A few have nobody at all.
            let size = 5 + 1_000_000 / (500 + 3 * n);
            let insured =
                if n % 997 == 996 { 0 } else { size + (n * 31 + month.0 as u32 * 7) % (size / 5 + 1) };
            Record::Headcount(Headcount { uscc: uscc(n), month, insured, version: 1 })
        })
    });
    enterprises.chain(headcounts).map(arrival)
}

/// One or two dated versions of the `n`th enterprise.
fn versions(n: u32, rng: &mut ChaCha8Rng) -> Vec<Enterprise> {
    let divisions = divisions();
    let later = |rng: &mut ChaCha8Rng| first_day().plus(rng.random_range(30..4_000));
    let division = divisions[rng.random_range(0..divisions.len())].code;
    let first = Enterprise {
        uscc: uscc(n),
        version: 1,
        name: format!("第{n}五金制品有限公司").into(),
        short_name: Some(format!("五金{n}").into()),
        area: area(rng.random_range(0..AREAS)).into(),
        industry: format!("{division}1{}", rng.random_range(0..10)),
        valid_from: first_day().plus(-rng.random_range(1..3_000)),
        status: EnterpriseStatus::Active,
        tags: Vec::new(),
        successor_of: None,
    };
    let second = match rng.random_range(0..1_000) {
        // One in fifty moves.
        0..20 => Some(Enterprise {
            version: 2,
            area: area(rng.random_range(0..AREAS)).into(),
            valid_from: later(rng),
            ..first.clone()
        }),
        // One in a thousand takes its neighbour over.
        20 => Some(Enterprise {
            version: 2,
            valid_from: later(rng),
            successor_of: Some(uscc((n + 1) % ENTERPRISES)),
            ..first.clone()
        }),
        _ => None,
    };
    std::iter::once(first).chain(second).collect()
}

fn area(n: u32) -> String {
    format!("330784{:03}", n + 1)
}

/// Plain firms, each registered once and with the headcounts of these months (as numbers).
pub fn firms(count: u32, months: RangeInclusive<i32>, seed: u64) -> impl Iterator<Item = Record> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x4649_524d_5321);
    (0..count).flat_map(move |n| {
        let enterprise = Record::Enterprise(firm(n, &mut rng));
        let headcounts = months.clone().map(move |month| {
            let insured = 5 + 1_000_000 / (500 + 3 * (n % 12_000)) + month as u32 % 7;
            Record::Headcount(Headcount { uscc: uscc(n), month: Month(month), insured, version: 1 })
        });
        std::iter::once(enterprise).chain(headcounts)
    })
}

fn firm(n: u32, rng: &mut ChaCha8Rng) -> Enterprise {
    let divisions = divisions();
    Enterprise {
        uscc: uscc(n),
        version: 1,
        name: format!("第{n}五金制品有限公司").into(),
        short_name: None,
        area: format!("330784{:03}", rng.random_range(1..=16)).into(),
        industry: divisions[rng.random_range(0..divisions.len())].code.to_owned(),
        valid_from: first_day(),
        status: EnterpriseStatus::Active,
        tags: Vec::new(),
        successor_of: None,
    }
}

/// The reports in the order of arrival, without an end.
pub struct Reports {
    rng: ChaCha8Rng,
    day: Day,
    /// Incidents of `day` that were not begun yet.
    left: u32,
    begun: u64,
    persons: u64,
    records: u64,
    pushed: u64,
    /// What is still to arrive, by arrival and order of making.
    coming: BinaryHeap<Reverse<Coming>>,
}

/// A report on its way.
struct Coming {
    at: Instant,
    number: u64,
    report: Box<Report>,
}

impl Reports {
    /// From the first day on.
    pub fn new(seed: u64) -> Reports {
        Reports {
            rng: ChaCha8Rng::seed_from_u64(seed),
            day: first_day(),
            left: INCIDENTS_A_DAY,
            begun: 0,
            persons: 0,
            records: 0,
            pushed: 0,
            coming: BinaryHeap::new(),
        }
    }

    /// Incidents that were begun: those that something was reported of, and at most a day's that will be.
    /// An engine that took all reports so far has a few less: reports without a key join others.
    pub fn incidents(&self) -> u64 {
        self.begun
    }

    /// The next so many reports.
    pub fn take_next(&mut self, many: usize) -> Vec<Arrival> {
        self.by_ref().take(many).collect()
    }

    /// A day's incidents and everything that will be said of them.
    fn begin(&mut self) {
        let day = self.day;
        for _ in 0..self.left {
            self.incident(day);
        }
        self.left = INCIDENTS_A_DAY;
        self.day = day.plus(1);
    }

    /// One incident whose first report arrives on `day`.
    fn incident(&mut self, day: Day) {
        self.begun += 1;
        let rng = &mut self.rng;
        let first_at = Instant(day.midnight().0 + rng.random_range(0..DAY));
        // Most are reported within two days, the last after twenty.
        let late = rng.random_range(0.0..1.0f64);
        let occurred_on = day.plus(-((late * late * late * 20.99) as i32));
        let employer = employer(rng);
        let several = rng.random_ratio(3, 100);
        let injured = if several { rng.random_range(2..=3) } else { 1 };
        let number = several.then(|| format!("E{}", self.begun));
        let minutes = TimeOfDay(rng.random_range(0..1440));
        let cause = cause(rng);
        let host = rng.random_ratio(2, 100).then(|| uscc(rng.random_range(0..ENTERPRISES)));
        for _ in 0..injured {
            let rng = &mut self.rng;
            let person = match rng.random_ratio(3, 100) && self.persons > 0 {
                true => rng.random_range(0..self.persons),
                false => {
                    self.persons += 1;
                    self.persons - 1
                }
            };
            let source = first_source(rng);
            let report = Report {
                source,
                source_record_id: "".into(),
                version: 1,
                status: Status::Reported,
                category: category(rng),
                occurred_on,
                occurred_time: rng.random_ratio(6, 10).then_some(minutes),
                reported_at: first_at,
                uscc: Some(employer),
                employer_name: Some(format!("五金制品有限公司{}", employer.as_str()).into()),
                host_uscc: host,
                person_key: Some(person_key(person)),
                incident_no: number.as_ref().map(Into::into),
                cause: rng.random_ratio(7, 10).then_some(cause),
                post: Some("冲压工".into()),
                process: Some("冲压".into()),
                equipment: None,
                note: None,
                lost_days: rng.random_ratio(1, 2).then(|| rng.random_range(1..60)),
                disability_grade: None,
                died_on: None,
            };
            self.person(report, first_at);
        }
    }

    /// Everything that the sources say of one injured person, `report` first.
    fn person(&mut self, report: Report, first_at: Instant) {
        let source = report.source;
        let mut sources = vec![source];
        // A second source for one in five, a third for one in twenty.
        for share in [20, 5] {
            if self.rng.random_ratio(share, 100) {
                let other = Source::ALL[self.rng.random_range(0..Source::ALL.len())];
                if !sources.contains(&other) {
                    sources.push(other);
                }
            }
        }
        for (nth, source) in sources.into_iter().enumerate() {
            let at = if nth == 0 { first_at } else { self.later(first_at) };
            let rng = &mut self.rng;
            let mut said = report.clone();
            said.source = source;
            said.reported_at = at;
            if nth > 0 {
                said.incident_no = None;
                said.lost_days = None;
            }
            if rng.random_ratio(2, 100) {
                said.person_key = None;
            }
            if rng.random_ratio(3, 100) {
                said.lost_days = Some(rng.random_range(105..300));
            }
            if rng.random_ratio(2, 1_000) {
                said.died_on = Some(said.occurred_on);
            }
            self.records += 1;
            said.source_record_id = format!("{}-{:07}", said.occurred_on.year(), self.records).into();
            self.versions(said, at);
        }
    }

    /// One report and its later versions.
    fn versions(&mut self, report: Report, at: Instant) {
        let mut last = at;
        if self.rng.random_ratio(2, 100) {
            let again = self.later(at);
            self.push(report.clone(), again);
        }
        let mut corrected = report.clone();
        self.push(report, at);
        if self.rng.random_ratio(5, 100) {
            last = self.later(last);
            corrected.version += 1;
            match self.rng.random_range(0..10) {
                0..6 => corrected.lost_days = Some(self.rng.random_range(1..200)),
                6 => corrected.status = Status::Recognised,
                7 => corrected.status = Status::Refused,
                8 => corrected.disability_grade = Some(self.rng.random_range(1..=10)),
                _ => corrected.occurred_on = corrected.occurred_on.plus(-1),
            }
            self.push(corrected.clone(), last);
        }
        if self.rng.random_ratio(1, 100) {
            last = self.later(last);
            corrected.version += 1;
            corrected.status = Status::Withdrawn;
            self.push(corrected, last);
        }
    }

    /// Up to twenty days later, mostly within two.
    fn later(&mut self, at: Instant) -> Instant {
        let share = self.rng.random_range(0.0..1.0f64);
        Instant(at.0 + 60_000 + (share * share * share * 20.0 * DAY as f64) as i64)
    }

    fn push(&mut self, report: Report, at: Instant) {
        self.pushed += 1;
        let number = self.pushed;
        self.coming.push(Reverse(Coming { at, number, report: Box::new(report) }));
    }
}

impl Iterator for Reports {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        // Nothing that begins on a later day can arrive before this day is over.
        while self.coming.peek().is_none_or(|c| c.0.at >= self.day.midnight()) {
            self.begin();
        }
        let Reverse(Coming { at, report, .. }) = self.coming.pop()?;
        let record = Record::Report(*report);
        Some(Arrival { digest: door::digest(&record), record, arrived_at: at })
    }
}

impl PartialEq for Coming {
    fn eq(&self, other: &Coming) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Coming {}
impl PartialOrd for Coming {
    fn partial_cmp(&self, other: &Coming) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Coming {
    fn cmp(&self, other: &Coming) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// Seven in ten anywhere, three in ten mostly at the large ones.
fn employer(rng: &mut ChaCha8Rng) -> Uscc {
    let n = if rng.random_ratio(7, 10) {
        rng.random_range(0..ENTERPRISES)
    } else {
        let share = rng.random_range(0.0..1.0f64);
        (share * share * f64::from(ENTERPRISES)) as u32
    };
    uscc(n)
}

fn first_source(rng: &mut ChaCha8Rng) -> Source {
    match rng.random_range(0..100) {
        0..55 => Source::Hr,
        55..65 => Source::Emergency,
        65..70 => Source::Construction,
        70..73 => Source::MarketSupervision,
        73..78 => Source::Transport,
        78..85 => Source::Employer,
        85..88 => Source::Police,
        _ => Source::Health,
    }
}

fn category(rng: &mut ChaCha8Rng) -> Category {
    match rng.random_range(0..100) {
        0..85 => Category::Production,
        85..95 => Category::Commuting,
        95..98 => Category::SuddenIllness,
        _ => Category::OccupationalDisease,
    }
}

fn cause(rng: &mut ChaCha8Rng) -> Cause {
    let text = format!("{:02}", rng.random_range(1..=20));
    text.parse().unwrap_or_else(|why| unreachable!("{text}: {why}"))
}

/// The key of the `n`th person: as well spread as a real keyed hash.
fn person_key(n: u64) -> PersonKey {
    let mut key = [0; 32];
    ChaCha8Rng::seed_from_u64(n).fill(&mut key);
    PersonKey(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_tells_the_same_in_order_of_arrival() {
        let (one, two): (Vec<_>, Vec<_>) =
            (Reports::new(7).take(5_000).collect(), Reports::new(7).take(5_000).collect());
        assert!(one.iter().zip(&two).all(|(a, b)| a.digest == b.digest && a.arrived_at == b.arrived_at));
        assert!(one.windows(2).all(|pair| pair[0].arrived_at <= pair[1].arrived_at));
        assert!(Reports::new(8).take(5_000).zip(&one).any(|(a, b)| a.digest != b.digest));
    }

    #[test]
    fn reports_and_incidents_are_in_proportion() {
        let mut reports = Reports::new(1);
        let all = reports.take_next(100_000);
        let share = all.len() as f64 / reports.incidents() as f64;
        assert!((1.2..1.5).contains(&share), "{share} arrivals an incident");
        let with = |what: fn(&Report) -> bool| {
            all.iter().filter(|a| matches!(&a.record, Record::Report(r) if what(r))).count()
        };
        assert!(with(|r| r.person_key.is_none()) > 1_000);
        assert!(with(|r| r.status == Status::Withdrawn) > 500);
        assert!(with(|r| r.version > 1) > 3_000);
        assert!(with(|r| r.host_uscc.is_some()) > 1_000);
        assert!(with(|r| r.incident_no.is_some()) > 3_000);
    }

    #[test]
    fn nothing_is_reported_before_it_occurred() {
        for arrival in Reports::new(3).take(20_000) {
            let Record::Report(report) = &arrival.record else { continue };
            assert!(report.occurred_on <= arrival.arrived_at.day());
        }
    }

    #[test]
    fn the_register_is_complete() {
        let mut counts = [0u32; 2];
        for arrival in register(1) {
            match arrival.record {
                Record::Enterprise(_) => counts[0] += 1,
                Record::Headcount(_) => counts[1] += 1,
                _ => {}
            }
        }
        assert!(counts[0] > ENTERPRISES && counts[0] < ENTERPRISES + 2_000, "{counts:?}");
        assert_eq!(counts[1], (MONTHLY * 12 + (YEARLY - MONTHLY)) * YEARS.len() as u32);
    }
}
