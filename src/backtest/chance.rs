//! The false alarms to expect when nothing is wrong, beside the warnings that stood. Pure; the statistics are
//! `tocsin_pipeline::statistics::chance`, what they assume stands there and in docs/backtest.md.

use std::collections::BTreeMap;

use serde::Serialize;
use tocsin_pipeline::policy::Policies;
use tocsin_pipeline::statistics::chance::{Steps, firms_at_levels};
use tocsin_pipeline::{Exposure, statistics::Uncomputable};
use tocsin_schemas::codes::Level;
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::time::Day;

use super::tally::Span;

/// One policy's warnings by chance and in fact. Enterprises without a headcount are in neither.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Chance {
    /// Days of the window that the policy looks at on the last day.
    pub window_days: u16,
    /// Enterprises with a headcount in the days compared.
    pub enterprises: u64,
    /// Their mean insured persons, summed.
    pub insured: f64,
    /// Counted production incidents there in the days compared.
    pub incidents: u64,
    /// The severe and fatal ones among them.
    pub severe: u64,
    /// Incidents at enterprises without a headcount.
    pub without_headcount: u64,
    /// The city's rate: incidents for 1,000 insured persons in 365 days.
    pub per_thousand_a_year: Option<f64>,
    /// The first day whose window lies in the history as a whole, under the table of the last day.
    pub full_from: Option<Day>,
    /// Lowest level first.
    pub levels: Vec<LevelChance>,
    /// Why the chances of the levels are equal, or near to each other; null: one severe incident is not red, or there was none.
    pub note: Option<String>,
}

/// One level.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LevelChance {
    /// The level.
    pub level: Level,
    /// Incidents that reach it.
    pub count: u32,
    /// Enterprises that stand at this level or above on any one day by chance alone. `None`: cannot be computed.
    pub by_chance: Option<f64>,
    /// Enterprises that stood there, as the mean of the evenings from `full_from` on. `None`: there are none.
    pub stood: Option<f64>,
}

/// The days that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compared {
    /// The day of the first arrival of the history.
    pub first: Day,
    /// The first day compared.
    pub from: Day,
    /// The last one.
    pub to: Day,
}

impl Compared {
    /// How many days, both ends included.
    pub fn days(&self) -> i32 {
        self.to.0 - self.from.0 + 1
    }
}

/// Puts chance and fact side by side.
pub fn of(policies: &Policies, exposure: &Exposure, spans: &[Span], days: Compared) -> Chance {
    let table = policies.on(days.to);
    let e = &table.escalation;
    let counts = [e.blue, e.yellow, e.orange, e.red];
    let insured: f64 = exposure.insured.values().sum();
    let by_chance = by_chance(exposure, insured, e.window_days, days.days(), counts, e.severe_is_red).ok();
    // The window of this day begins with the first arrival's day.
    let full = days.first.plus(i32::from(e.window_days) - 1);
    let full_from = Some(full.max(days.from).max(table.effective_from)).filter(|day| *day <= days.to);
    let stood = full_from.map(|full| stood(exposure, spans, full, days.to));
    let person_days = insured * f64::from(days.days());
    Chance {
        window_days: e.window_days,
        enterprises: exposure.insured.len() as u64,
        insured,
        incidents: exposure.incidents,
        severe: exposure.severe,
        without_headcount: exposure.without_headcount,
        per_thousand_a_year: (person_days > 0.0)
            .then(|| exposure.incidents as f64 * 365.0 * 1_000.0 / person_days),
        full_from,
        levels: Level::ALL
            .iter()
            .enumerate()
            .map(|(at, level)| LevelChance {
                level: *level,
                count: counts[at],
                by_chance: by_chance.map(|firms| firms[at]),
                stood: stood.as_ref().map(|stood| stood.get(level).copied().unwrap_or(0.0)),
            })
            .collect(),
        note: note(exposure, e.severe_is_red),
    }
}

/// One severe incident that is red by itself stands at or above every level, so all have its chance in common.
fn note(exposure: &Exposure, severe_is_red: bool) -> Option<String> {
    let (all, severe) = (exposure.incidents, exposure.severe);
    if !severe_is_red || severe == 0 {
        return None;
    }
    let why = "one severe or fatal incident alone is red, and whoever is red stands at or above every level";
    Some(match severe == all {
        true => {
            format!("the chances of all levels are equal: {why}, and all {all} incidents are severe or fatal")
        }
        false => format!(
            "the chances of all levels have that of a severe incident in common: {why}; {severe} of {all} incidents are \
             severe or fatal"
        ),
    })
}

/// Each enterprise is given the city's own rate of the days compared: of all incidents the share that its headcount
/// has of all headcounts, and of the days the part that a window is.
fn by_chance(
    exposure: &Exposure,
    insured: f64,
    window_days: u16,
    days: i32,
    counts: [u32; 4],
    severe_is_red: bool,
) -> Result<[f64; 4], Uncomputable> {
    if insured <= 0.0 {
        return Err(Uncomputable::NoExposure);
    }
    if exposure.incidents == 0 {
        return Ok([0.0; 4]);
    }
    let in_window = exposure.incidents as f64 * f64::from(window_days) / f64::from(days);
    let severe = exposure.severe as f64 / exposure.incidents as f64;
    let expected = exposure.insured.values().map(|firm| in_window * firm / insured);
    let steps = Steps { counts: counts.map(u64::from), severe_is_last: severe_is_red };
    firms_at_levels(expected, severe, steps)
}

/// Enterprises with a headcount at each level or above, as the mean of the evenings of `from` to `to`.
fn stood(exposure: &Exposure, spans: &[Span], from: Day, to: Day) -> BTreeMap<Level, f64> {
    let mut by_firm: BTreeMap<(Level, Uscc), Vec<(Day, Day)>> = BTreeMap::new();
    for span in spans.iter().filter(|s| exposure.insured.contains_key(&s.uscc)) {
        for level in Level::ALL.iter().filter(|level| **level <= span.level) {
            let days = (span.from.max(from), span.until.min(to.plus(1)));
            by_firm.entry((*level, span.uscc)).or_default().push(days);
        }
    }
    let mut days: BTreeMap<Level, i32> = BTreeMap::new();
    by_firm.into_iter().for_each(|((level, _), spans)| *days.entry(level).or_default() += covered(spans));
    let all = f64::from(to.0 - from.0 + 1);
    days.into_iter().map(|(level, days)| (level, f64::from(days) / all)).collect()
}

/// How many days lie in any of these spans. They overlap where firms that are one by now had a level each.
fn covered(mut spans: Vec<(Day, Day)>) -> i32 {
    spans.sort_unstable();
    let (mut days, mut reached) = (0, Day(i32::MIN));
    for (from, until) in spans {
        let from = from.max(reached);
        days += (until.0 - from.0).max(0);
        reached = from.max(until);
    }
    days
}

/// How many evenings of `from` to `to` a level stood.
pub fn evenings(span: &Span, from: Day, to: Day) -> i64 {
    let (first, until) = (span.from.max(from), span.until.min(to.plus(1)));
    i64::from((until.0 - first.0).max(0))
}

#[cfg(test)]
mod tests {
    use super::super::successors::tests::uscc;
    use super::*;

    #[test]
    fn evenings_of_firms_that_are_one_by_now_count_once() {
        let day = |(from, until): &(i32, i32)| (Day(*from), Day(*until));
        let days = |spans: &[(i32, i32)]| covered(spans.iter().map(day).collect());
        assert_eq!(days(&[(5, 9), (1, 3)]), 6);
        assert_eq!(days(&[(1, 9), (2, 4), (8, 12)]), 11);
        // One that ended before the first evening, and one that began after the last.
        assert_eq!(days(&[(10, 4), (20, 15)]), 0);
    }

    /// Two firms of 100 and 300, 8 incidents in 730 days: a window of 365 days expects 1 and 3.
    #[test]
    fn expected_counts_follow_headcounts_and_days() {
        let exposure = Exposure {
            insured: BTreeMap::from([(uscc(1), 100.0), (uscc(2), 300.0)]),
            incidents: 8,
            severe: 0,
            without_headcount: 1,
        };
        let days = Compared { first: Day(0), from: Day(0), to: Day(729) };
        let policies = Policies::default().effective_from(Day(0)).unwrap();
        let span = |n, level, from, until| Span { uscc: uscc(n), level, from: Day(from), until: Day(until) };
        let spans = [
            span(1, Level::Blue, 100, 400),
            span(2, Level::Red, 700, 730),
            // No headcount, so in neither column.
            span(3, Level::Red, 0, 730),
        ];
        let found = of(&policies, &exposure, &spans, days);
        assert_eq!((found.full_from, found.enterprises, found.insured), (Some(Day(364)), 2, 400.0));
        assert_eq!(found.per_thousand_a_year, Some(10.0));
        let poisson = |e: f64, below: &[f64]| 1.0 - (-e).exp() * below.iter().sum::<f64>();
        let blue = poisson(1.0, &[1.0, 1.0]) + poisson(3.0, &[1.0, 3.0]);
        let red = poisson(1.0, &[1.0, 1.0, 0.5, 1.0 / 6.0, 1.0 / 24.0])
            + poisson(3.0, &[1.0, 3.0, 4.5, 4.5, 81.0 / 24.0]);
        assert_eq!(found.note, None);
        let by_chance: Vec<f64> = found.levels.iter().filter_map(|l| l.by_chance).collect();
        assert!((by_chance[0] - blue).abs() < 1e-12 && (by_chance[3] - red).abs() < 1e-12, "{by_chance:?}");
        // 366 evenings from day 364 on: blue on 36, red on 30 of them.
        let stood: Vec<f64> = found.levels.iter().filter_map(|l| l.stood).collect();
        assert_eq!(stood, [66.0 / 366.0, 30.0 / 366.0, 30.0 / 366.0, 30.0 / 366.0]);
    }

    #[test]
    fn where_one_severe_incident_is_red_a_note_says_why_the_chances_are_equal() {
        let days = Compared { first: Day(0), from: Day(0), to: Day(729) };
        let policies = Policies::default().effective_from(Day(0)).unwrap();
        let with = |severe| {
            let insured = BTreeMap::from([(uscc(1), 100.0)]);
            let exposure = Exposure { insured, incidents: 8, severe, without_headcount: 0 };
            of(&policies, &exposure, &[], days)
        };
        let (all, some) = (with(8), with(2));
        let chances: Vec<f64> = all.levels.iter().filter_map(|l| l.by_chance).collect();
        let expected = 1.0 - (-4.0f64).exp();
        assert!(chances.len() == 4 && chances.iter().all(|p| (p - expected).abs() < 1e-12), "{chances:?}");
        assert!(all.note.unwrap().contains("of all levels are equal"));
        assert!(some.note.unwrap().contains("2 of 8 incidents are severe or fatal"));
        assert!(some.levels[0].by_chance > some.levels[3].by_chance);
    }

    #[test]
    fn without_headcounts_there_is_no_chance_and_without_a_full_window_no_fact() {
        let policies = Policies::default().effective_from(Day(0)).unwrap();
        let days = Compared { first: Day(0), from: Day(0), to: Day(99) };
        let found = of(&policies, &Exposure::default(), &[], days);
        assert!(found.levels.iter().all(|l| l.by_chance.is_none() && l.stood.is_none()));
        assert_eq!((found.full_from, found.per_thousand_a_year), (None, None));
    }
}
