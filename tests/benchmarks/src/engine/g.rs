//! (g) A midnight: of a city of 12,000 firms, every one of a year; of five million firms, the turn of a month and of a
//! year among ordinary ones.
//!
//! At most midnights a few windows lose a day and gain one. At the turn of a month every mean headcount may change,
//! at New Year every count of the year goes. There is no floor to measure: the bars are what a service may stand still.
//!
//! Incidents are half a firm a year in the city, and a fifth of that in the country, for two years; the large firms have more.
//! Headcounts of the city are of every month, of the country of four months around the days that are timed.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tocsin_pipeline::Arrival;
use tocsin_schemas::codes::{Category, Cause, Source, Status};
use tocsin_schemas::ids::PersonKey;
use tocsin_schemas::records::{Record, Report};
use tocsin_schemas::time::{Day, TimeOfDay};

use super::engine;
use super::stopwatch::Stopwatch;
use crate::progress::Progress;
use crate::table::{Figure, Goal, Row, grouped};
use crate::workload::{firms, first_day, uscc};
use crate::{Failure, Options};

/// A place to tick.
struct Place {
    name: &'static str,
    firms: u32,
    /// Incidents a year.
    incidents: u32,
    /// The months that have headcounts.
    months: std::ops::RangeInclusive<i32>,
    /// The first day that is timed, and how many.
    from: Day,
    days: i32,
    /// What a midnight may take, in milliseconds.
    bar: f64,
}

/// Records given to the engine at once.
const PIECE: usize = 20_000;

/// Measures.
///
/// # Errors
/// A wrong policy: a mistake in this program.
pub fn run(options: &Options, progress: &Progress) -> Result<Vec<Row>, Failure> {
    let third_year = Day(first_day().0 + 731);
    let firms = options.size(12_000);
    let city = Place {
        name: "a city",
        firms,
        incidents: firms / 2,
        months: first_day().month().0..=first_day().month().0 + 36,
        from: third_year,
        days: 365,
        bar: 5.0,
    };
    let firms = options.size(5_000_000);
    let year = third_year.month().0;
    let country = Place {
        name: "a country",
        firms,
        incidents: firms / 10,
        months: year - 2..=year + 1,
        from: third_year.plus(-6),
        days: 42,
        bar: 2_000.0,
    };
    let mut rows = Vec::new();
    for place in [city, country] {
        rows.extend(place.measure(options, progress)?);
    }
    Ok(rows)
}

impl Place {
    fn measure(&self, options: &Options, progress: &Progress) -> Result<[Row; 2], Failure> {
        let mut engine = engine()?;
        let first = first_day();
        let mut rng = ChaCha8Rng::seed_from_u64(options.seed ^ 0x6d69_646e);
        let months = self.months.clone().count() as u64;
        let total = u64::from(self.firms) * (1 + months) + u64::from(self.incidents) * 2;
        let work =
            progress.work(&format!("(g) {} of {} firms", self.name, grouped(self.firms.into())), total);
        let mut piece = Vec::with_capacity(PIECE);
        let mut n = 0_u64;
        let mut take = |record: Record, at: Day, piece: &mut Vec<Arrival>| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&n.to_le_bytes());
            n += 1;
            piece.push(Arrival { record, digest, arrived_at: at.midnight() });
            if piece.len() == PIECE {
                drop(engine.arrive(at.midnight(), std::mem::take(piece)));
                work.advance(PIECE as u64);
            }
        };
        for record in firms(self.firms, self.months.clone(), options.seed) {
            take(record, first, &mut piece);
        }
        let until = self.from.0 - first.0;
        let daily = |day: i32| {
            let share = |day: i32| i64::from(self.incidents) * i64::from(day) / 365;
            share(day + 1) - share(day)
        };
        for day in 0..until {
            for nth in 0..daily(day) {
                let n = day as u64 * 100_000 + nth as u64;
                take(report(n, self.firms, first.plus(day), &mut rng), first.plus(day), &mut piece);
            }
        }
        drop(engine.arrive(self.from.plus(-1).midnight(), piece));
        drop(work);
        let stopwatch = Stopwatch::new();
        let mut ticks: Vec<(f64, Day)> = Vec::new();
        let work = progress.work("(g) midnights", self.days as u64);
        for day in 0..self.days {
            let today = self.from.plus(day);
            let (outcomes, took) = stopwatch.time(|| engine.tick_to(today));
            drop(outcomes);
            ticks.push((took.own.as_secs_f64() * 1e3, today));
            work.advance(1);
            let reports = (0..daily(until + day)).map(|i| {
                let n = (1 << 40) + (day as u64) * 100_000 + i as u64;
                let mut digest = [1; 32];
                digest[..8].copy_from_slice(&n.to_le_bytes());
                Arrival {
                    record: report(n, self.firms, today, &mut rng),
                    digest,
                    arrived_at: today.midnight(),
                }
            });
            drop(engine.arrive(today.midnight(), reports.collect::<Vec<_>>()));
        }
        ticks.sort_by(|a, b| a.0.total_cmp(&b.0));
        let bar = Figure::new(self.bar, "ms");
        let (median, worst) = (ticks[ticks.len() / 2].0, ticks[ticks.len() - 1].0);
        let slowest: Vec<String> =
            ticks.iter().rev().take(5).map(|(ms, day)| format!("{day} {ms:.1} ms")).collect();
        let row = |what: &str, ms: f64| {
            let firms = grouped(self.firms.into());
            Row::costs('g', format!("{what} of {} of {firms} firms", self.name), Figure::new(ms, "ms"), bar)
                .goal(Goal::AtMost(1.0))
        };
        Ok([
            row("a midnight (median)", median).note(format!(
                "the floor is the bar, not measured; {} midnights, the slowest: {}",
                ticks.len(),
                slowest.join(", ")
            )),
            row("the slowest midnight", worst),
        ])
    }
}

fn report(n: u64, firms: u32, occurred_on: Day, rng: &mut ChaCha8Rng) -> Record {
    let share = rng.random_range(0.0..1.0f64);
    let firm = ((share * share * f64::from(firms)) as u32).min(firms - 1);
    let mut person = [0; 32];
    rng.fill(&mut person);
    Record::Report(Report {
        source: Source::Hr,
        source_record_id: format!("G{n}").into(),
        version: 1,
        status: Status::Reported,
        category: Category::Production,
        occurred_on,
        occurred_time: Some(TimeOfDay(rng.random_range(0..1440))),
        reported_at: occurred_on.midnight(),
        uscc: Some(uscc(firm)),
        employer_name: None,
        host_uscc: None,
        person_key: Some(PersonKey(person)),
        incident_no: None,
        cause: "03".parse::<Cause>().ok(),
        post: None,
        process: None,
        equipment: None,
        note: None,
        lost_days: Some(rng.random_range(1..110)),
        disability_grade: None,
        died_on: None,
    })
}
