//! (g) A midnight: of a city of 12,000 firms, every one of a year; of five million firms, the turn of a month and of a
//! year among ordinary ones.
//!
//! What is timed is how long the engine stands still: until it knows what is so, what is to be said and which rates and
//! entries are others. Those are made out by who writes them down, in the service a thread of its own: how long that takes
//! is timed beside it and said in the note. The city's bar is 5 ms, and on the first of a month, which fits two models at the same time on
//! two cores, *and the fits*: the longer of two such fits, timed alone, is added to the bar of those midnights.
//!
//! A midnight of the city lasts some milliseconds, and which of 365 was the slowest differed from run to run: a second core
//! that is somebody else's for a moment. So the same year is run five times, each by a new engine, and a midnight takes
//! the median of its five times; the slowest single time is said in the note.
//!
//! At most midnights a few windows lose a day and gain one. At the turn of a month every mean headcount may change,
//! at New Year every count of the year goes. There is no floor to measure: the bars are what a service may stand still.
//!
//! Incidents are half a firm a year in the city, and a fifth of that in the country, for two years; the large firms have more.
//! Headcounts of the city are of every month, of the country of four months around the days that are timed.

use std::collections::BTreeMap;
use std::hint::black_box;

use hashbrown::HashMap;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tocsin_pipeline::statistics::Observed;
use tocsin_pipeline::statistics::shrinkage::Prior;
use tocsin_pipeline::{Arrival, Engine};
use tocsin_schemas::codes::{Category, Cause, Source, Status};
use tocsin_schemas::ids::{PersonKey, Uscc};
use tocsin_schemas::records::{Record, Report};
use tocsin_schemas::time::{Day, TimeOfDay};

use super::stopwatch::{Stopwatch, Took};
use super::{engine, make_out};
use crate::progress::Progress;
use crate::table::{Figure, Goal, Row, grouped};
use crate::workload::{firms, first_day, uscc};
use crate::{Failure, Options};

/// Which place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Which {
    /// 12,000 firms.
    City,
    /// Five million.
    Country,
}

/// A place to tick.
struct Place {
    which: Which,
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
    /// Whether the fits come on top of that.
    and_fits: bool,
    /// How often the same days are run.
    runs: usize,
}

/// A midnight, in milliseconds.
struct Tick {
    took: f64,
    /// Until all that changed was made out.
    made_out: f64,
    changed: usize,
    day: Day,
}

impl Tick {
    /// One midnight of several runs.
    fn median<'a>(runs: impl Iterator<Item = &'a Tick>) -> Tick {
        let runs: Vec<&Tick> = runs.collect();
        let of = |time: fn(&Tick) -> f64| super::median(runs.iter().map(|tick| time(tick)));
        let Tick { changed, day, .. } = *runs[0];
        Tick { took: of(|tick| tick.took), made_out: of(|tick| tick.made_out), changed, day }
    }
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
        which: Which::City,
        name: "a city",
        firms,
        incidents: firms / 2,
        months: first_day().month().0..=first_day().month().0 + 36,
        from: third_year,
        days: 365,
        bar: 5.0,
        and_fits: true,
        runs: 5,
    };
    let firms = options.size(5_000_000);
    let year = third_year.month().0;
    let country = Place {
        which: Which::Country,
        name: "a country",
        firms,
        incidents: firms / 10,
        months: year - 2..=year + 1,
        from: third_year.plus(-6),
        days: 42,
        bar: 2_000.0,
        and_fits: false,
        runs: 1,
    };
    let mut rows = Vec::new();
    let asked = |place: &Place| options.place.is_none_or(|which| which == place.which);
    for place in [city, country].into_iter().filter(asked) {
        rows.extend(place.measure(options, progress)?);
    }
    Ok(rows)
}

impl Place {
    fn measure(&self, options: &Options, progress: &Progress) -> Result<[Row; 2], Failure> {
        let stopwatch = Stopwatch::new();
        let (mut engine, first) = self.days(options, progress, &stopwatch)?;
        let mut runs = vec![first];
        while runs.len() < self.runs {
            let (again, ticks) = self.days(options, progress, &stopwatch)?;
            engine = again;
            runs.push(ticks);
        }
        let single = runs.iter().flatten().map(|tick| tick.took).fold(0.0, f64::max);
        let mut ticks: Vec<Tick> =
            (0..runs[0].len()).map(|day| Tick::median(runs.iter().map(|run| &run[day]))).collect();
        let fits = self.fits(&engine, &stopwatch)?;
        let firsts: Vec<f64> =
            ticks.iter().filter(|tick| tick.day.date().day() == 1).map(|tick| tick.took).collect();
        ticks.sort_by(|a, b| a.took.total_cmp(&b.took));
        let fitted = if self.and_fits { fits } else { 0.0 };
        let bar = |tick: &Tick| self.bar + if tick.day.date().day() == 1 { fitted } else { 0.0 };
        let over = |tick: &Tick| tick.took / bar(tick);
        let median = &ticks[ticks.len() / 2];
        let worst = ticks.iter().max_by(|a, b| over(a).total_cmp(&over(b))).unwrap_or(median);
        let slowest = ticks.iter().rev().take(5).map(|tick| format!("{} {:.1} ms", tick.day, tick.took));
        let row = |what: &str, tick: &Tick| {
            let firms = grouped(self.firms.into());
            Row::costs(
                'g',
                format!("{what} of {} of {firms} firms", self.name),
                Figure::new(tick.took, "ms"),
                Figure::new(bar(tick), "ms"),
            )
            .goal(Goal::AtMost(1.0))
        };
        let runs = match self.runs {
            1 => "run once".to_owned(),
            n => format!("each the median of {n} runs, the slowest single one {single:.1} ms"),
        };
        let in_bar = if self.and_fits { "in the bar of the firsts of a month" } else { "not in the bar" };
        Ok([
            row("a midnight (median)", median).note(format!(
                "the floor is the bar, not measured; {} midnights, {runs}; the slowest: {}; the firsts of a month: {:.1} ms (median)",
                ticks.len(),
                slowest.collect::<Vec<_>>().join(", "),
                super::median(firsts),
            )),
            row("the midnight nearest its bar", worst).note(format!(
                "it is {}; a fit of the model takes {fits:.2} ms ({in_bar}); {} changed rates and entries were then made out in {:.1} ms",
                worst.day,
                grouped(worst.changed as i64),
                worst.made_out
            )),
        ])
    }

    /// Runs the days that are timed, on a new engine: how long each midnight took, in their order.
    fn days(
        &self,
        options: &Options,
        progress: &Progress,
        stopwatch: &Stopwatch,
    ) -> Result<(Engine, Vec<Tick>), Failure> {
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
        let mut ticks: Vec<Tick> = Vec::new();
        let work = progress.work("(g) midnights", self.days as u64);
        for day in 0..self.days {
            let today = self.from.plus(day);
            let (outcomes, took) = stopwatch.time(|| engine.tick_to(today));
            let changed = outcomes.iter().map(|o| o.rates.len() + o.lists.len()).sum();
            let ((), made_out) = stopwatch.time(|| {
                outcomes.iter().for_each(make_out);
            });
            drop(outcomes);
            let ms = |took: Took| took.own.as_secs_f64() * 1e3;
            ticks.push(Tick { took: ms(took), made_out: ms(made_out), changed, day: today });
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
        Ok((engine, ticks))
    }

    /// How long the longer of the two fits takes, in milliseconds: of the last 365 days, and of the year before.
    fn fits(&self, engine: &Engine, stopwatch: &Stopwatch) -> Result<f64, Failure> {
        let last = self.from.plus(self.days - 1);
        let mut counts: HashMap<Uscc, Vec<Day>> = HashMap::new();
        for incident in engine.incidents() {
            if let Some(uscc) = incident.uscc {
                counts.entry(uscc).or_default().push(incident.occurred_on);
            }
        }
        let mut longest = 0.0_f64;
        for (from, to) in [(last.plus(-364), last), (last.plus(-729), last.plus(-365))] {
            let exposure = engine.exposure(from, to);
            if exposure.insured.is_empty() {
                continue; // The country has headcounts of its last months only.
            }
            let insured: f64 = exposure.insured.values().sum();
            let mut alike: BTreeMap<(u64, u64), u32> = BTreeMap::new();
            for (uscc, insured) in &exposure.insured {
                let days = counts.get(uscc).map_or(&[][..], Vec::as_slice);
                let count = days.iter().filter(|day| (from..=to).contains(day)).count() as u64;
                *alike.entry((count, insured.to_bits())).or_default() += 1;
            }
            let each = exposure.incidents as f64 / insured;
            let observed = |((count, insured), many): (&(u64, u64), &u32)| {
                (Observed { count: *count, exposure: f64::from_bits(*insured) * each }, *many)
            };
            let firms: Vec<(Observed, u32)> = alike.iter().map(observed).collect();
            let times = (0..5).map(|_| stopwatch.time(|| black_box(Prior::fit_alike(&firms))));
            let times: Result<Vec<f64>, _> =
                times.map(|(fitted, took)| fitted.map(|_| took.own.as_secs_f64() * 1e3)).collect();
            longest = longest.max(super::median(times.map_err(|why| format!("no model fits: {why}"))?));
        }
        Ok(longest)
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
