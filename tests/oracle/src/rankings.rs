//! What `tocsin lists` ranks (S54, S27, S32), from scratch: loops over everything that arrived, and sums for the
//! probabilities.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_schemas::codes::{Category, EnterpriseStatus, Severity, State};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::Window;
use tocsin_schemas::time::{Day, Month};

use crate::cases::Found;
use crate::lists::at_least;
use crate::oracle::Oracle;
use crate::policy::RankingLimits;
use crate::rates::{Basis, Fraction, days};

/// An enterprise without injury.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct StreakSeen {
    pub uscc: Uscc,
    pub area: String,
    pub since: Day,
    /// `last_incident` or `first_headcount`.
    pub since_by: &'static str,
    pub days: i32,
    pub headcount: f64,
}

/// An industry in a year.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct IndustrySeen {
    pub industry: String,
    pub enterprises: u32,
    /// Of this year and the one before.
    pub incidents: [u32; 2],
    pub expected: Option<f64>,
    pub chance_of_as_many: Option<f64>,
    pub adjusted: Option<f64>,
    pub verdict: &'static str,
    pub candidates: Vec<BenchmarkSeen>,
    pub passed_over: BTreeMap<&'static str, u32>,
}

/// A candidate for a benchmark.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct BenchmarkSeen {
    pub uscc: Uscc,
    /// Of this year and the one before.
    pub incidents: [u32; 2],
    pub headcount: [f64; 2],
    pub fall_percent: f64,
    pub conditional_p: f64,
    pub few_before: bool,
}

/// A post, process and equipment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub struct HazardSeen {
    /// `industry` or `tag`.
    pub scope: &'static str,
    pub key: String,
    pub how: [String; 3],
    pub incidents: u32,
    pub persons: u32,
    pub severe: u32,
    pub lost_days: u64,
    pub persons_without_lost_days: u32,
    pub few: bool,
}

type Span = (Day, Day);

fn production<'a>(basis: &'a Basis<'_>, root: Uscc, span: Span) -> Vec<&'a Found> {
    let all = basis.incidents_of(root, span);
    all.into_iter().filter(|f| f.category == Category::Production).collect()
}

fn closed(basis: &Basis<'_>, root: &Uscc) -> bool {
    basis.registry.seen(root).is_some_and(|e| e.status == EnterpriseStatus::Closed)
}

impl Oracle {
    /// Streaks in their order, and how many have none, by reason; `None` before the first arrival.
    pub fn streaks(&self) -> Option<(Vec<StreakSeen>, BTreeMap<&'static str, u32>)> {
        let limits = self.limits()?.rankings;
        self.at_present(|basis| {
            let (mut streaks, mut without) = (Vec::new(), BTreeMap::new());
            for root in basis.registry.roots() {
                match streak(basis, root, limits) {
                    Ok(streak) => streaks.push(streak),
                    Err(why) => *without.entry(why).or_insert(0) += 1,
                }
            }
            streaks.sort_by(|a, b| {
                (b.days, b.headcount, a.uscc).partial_cmp(&(a.days, a.headcount, b.uscc)).expect("numbers")
            });
            (streaks, without)
        })
    }

    /// The industries of a year by code; `None` before the first arrival.
    pub fn industries(&self, year: i32) -> Option<Vec<IndustrySeen>> {
        let limits = self.limits()?.rankings;
        self.at_present(|basis| industries(basis, year, limits))
    }

    /// Hazards in their order; `None` before the first arrival.
    pub fn hazards(&self, window: Window) -> Option<Vec<HazardSeen>> {
        let limits = self.limits()?.rankings;
        self.at_present(|basis| hazards(basis, days(window, basis.day), limits))
    }
}

fn streak(basis: &Basis<'_>, root: Uscc, limits: RankingLimits) -> Result<StreakSeen, &'static str> {
    if closed(basis, &root) {
        return Err("closed");
    }
    let year = (basis.day.plus(-364), basis.day);
    let headcount = basis.headcount_of(root, year).ok_or("headcount_unknown")?.value();
    if headcount < f64::from(limits.streak_headcount) {
        return Err("too_small");
    }
    let ever = (Day::new(1900, 1, 1).expect("a day"), basis.day);
    let (since, since_by) = match production(basis, root, ever).iter().map(|f| f.occurred_on).max() {
        Some(day) => (day, "last_incident"),
        None => {
            let members = &basis.members[&root];
            let insured = |month: &Month| {
                members.iter().any(|u| basis.headcounts.get(&(*u, *month)).is_some_and(|n| *n > 0))
            };
            let months: BTreeSet<Month> = basis.headcounts.keys().map(|(_, month)| *month).collect();
            let first = months.into_iter().find(insured).expect("a headcount above 0");
            (first.first_day(), "first_headcount")
        }
    };
    let area = basis.registry.seen(&root).expect("registered").area.to_string();
    Ok(StreakSeen { uscc: root, area, since, since_by, days: basis.day.0 - since.0, headcount })
}

/// What belongs together in one year.
#[derive(Clone, Copy)]
struct Sum {
    incidents: u32,
    with_headcount: u32,
    headcount: Option<Fraction>,
}

fn sum(basis: &Basis<'_>, roots: &[Uscc], span: Span) -> Sum {
    let mut sum = Sum { incidents: 0, with_headcount: 0, headcount: None };
    for root in roots {
        let (incidents, heads) =
            (production(basis, *root, span).len() as u32, basis.headcount_of(*root, span));
        sum.incidents += incidents;
        if heads.is_some_and(|h| h.0 > 0) {
            sum.with_headcount += incidents;
        }
        sum.headcount = match (sum.headcount, heads) {
            (Some(a), Some(b)) => Some(a.plus(b)),
            (a, b) => a.or(b),
        };
    }
    sum
}

fn industries(basis: &Basis<'_>, year: i32, limits: RankingLimits) -> Vec<IndustrySeen> {
    let day = Day::new(year as i16, 12, 31).expect("a day").min(basis.day);
    let (span, before) = (days(Window::Year, day), days(Window::YearAgo, day));
    let roots: Vec<Uscc> = basis.registry.roots().into_iter().collect();
    let mut members: BTreeMap<String, Vec<Uscc>> = BTreeMap::new();
    for root in &roots {
        let division = basis.registry.seen(root).expect("registered").division().to_owned();
        members.entry(division).or_default().push(*root);
    }
    let city = sum(basis, &roots, span);
    let tested: BTreeMap<&String, Result<(f64, f64), &'static str>> = members
        .iter()
        .map(|(division, roots)| {
            let of = sum(basis, roots, span);
            let test = match (of.headcount, city.headcount) {
                (Some(Fraction(0, _)), _) => Err("headcount_zero"),
                (Some(_), Some(_)) if city.with_headcount == 0 => Err("no_city_rate"),
                (Some(h), Some(all)) => {
                    let expected = f64::from(city.with_headcount) * h.value() / all.value();
                    Ok((expected, at_least(of.with_headcount, expected)))
                }
                _ => Err("headcount_unknown"),
            };
            (division, test)
        })
        .collect();
    let ps: Vec<f64> = tested.values().filter_map(|t| t.ok()).map(|(_, p)| p).collect();
    // The smallest share of innocents at which it would be named.
    let adjusted = |p: f64| {
        let share = |t: &f64| t * ps.len() as f64 / ps.iter().filter(|p| *p <= t).count() as f64;
        ps.iter().filter(|t| **t >= p).map(share).fold(1.0, f64::min)
    };
    let mut all = Vec::new();
    for (division, roots) in &members {
        let (of, was) = (sum(basis, roots, span), sum(basis, roots, before));
        let q = tested[division].ok().map(|(_, p)| adjusted(p));
        let verdict = match (tested[division], q) {
            (Err(why), _) => why,
            _ if of.with_headcount < limits.industry_incidents => "few_incidents",
            (_, Some(q)) if q <= f64::from(limits.industry_innocent) / 1000.0 => "high",
            _ => "by_chance",
        };
        let (mut candidates, mut passed_over) = (Vec::new(), BTreeMap::new());
        for root in roots.iter().filter(|_| verdict == "high") {
            match benchmark(basis, *root, (span, before), of, limits) {
                Ok(candidate) => candidates.push(candidate),
                Err(why) => *passed_over.entry(why).or_insert(0) += 1,
            }
        }
        candidates.sort_by_key(|c: &BenchmarkSeen| c.uscc);
        all.push(IndustrySeen {
            industry: division.clone(),
            enterprises: roots.len() as u32,
            incidents: [of.incidents, was.incidents],
            expected: tested[division].ok().map(|(expected, _)| expected),
            chance_of_as_many: tested[division].ok().map(|(_, p)| p),
            adjusted: q,
            verdict,
            candidates,
            passed_over,
        });
    }
    all
}

fn benchmark(
    basis: &Basis<'_>,
    root: Uscc,
    (span, before): (Span, Span),
    industry: Sum,
    limits: RankingLimits,
) -> Result<BenchmarkSeen, &'static str> {
    if closed(basis, &root) {
        return Err("closed");
    }
    let headcount = basis.headcount_of(root, span).ok_or("headcount_unknown")?;
    if headcount.value() < f64::from(limits.benchmark_headcount) {
        return Err("too_small");
    }
    let this = production(basis, root, span);
    if this.iter().any(|f| f.severity >= Severity::Severe) {
        return Err("severe");
    }
    let was = basis.headcount_of(root, before).filter(|h| h.0 > 0).ok_or("no_rate_before")?;
    let (n, n_before) = (this.len() as u32, production(basis, root, before).len() as u32);
    if n_before == 0 {
        return Err("none_before");
    }
    // n / headcount <= (1 - fall) n_before / was, without a division.
    let left = 100 - i128::from(limits.benchmark_fall_percent);
    let now = i128::from(n) * headcount.1 * was.0 * 100;
    if now > i128::from(n_before) * was.1 * headcount.0 * left {
        return Err("not_fallen");
    }
    let of_all = industry.headcount.ok_or("headcount_unknown")?;
    if i128::from(n) * headcount.1 * of_all.0 >= i128::from(industry.with_headcount) * of_all.1 * headcount.0
    {
        return Err("not_below_industry");
    }
    let rate = f64::from(n) / headcount.value();
    let rate_before = f64::from(n_before) / was.value();
    Ok(BenchmarkSeen {
        uscc: root,
        incidents: [n, n_before],
        headcount: [headcount.value(), was.value()],
        fall_percent: (rate_before - rate) / rate_before * 100.0,
        conditional_p: at_most(n, n + n_before, headcount.value() / (headcount.value() + was.value())),
        few_before: n_before < limits.benchmark_sure_from,
    })
}

/// P(X <= k) of a binomial count, by adding up.
fn at_most(k: u32, n: u32, share: f64) -> f64 {
    let ways = |i: u32| (0..i).fold(1.0, |all, j| all * f64::from(n - j) / f64::from(j + 1));
    (0..=k).map(|i| ways(i) * share.powi(i as i32) * (1.0 - share).powi((n - i) as i32)).sum()
}

fn hazards(basis: &Basis<'_>, (from, to): Span, limits: RankingLimits) -> Vec<HazardSeen> {
    let mut all: BTreeMap<(&'static str, String, [String; 3]), HazardSeen> = BTreeMap::new();
    for found in &basis.counted {
        let within = from <= found.occurred_on && found.occurred_on <= to;
        if !within || found.state != State::Counted || found.category != Category::Production {
            continue;
        }
        let root = basis.registry.root(found.uscc.expect("a counted one has a uscc"));
        let enterprise = basis.registry.seen(&root).expect("registered");
        let how = found.how.clone().map(|text| text.unwrap_or_else(|| "unknown".to_owned()));
        let tags: BTreeSet<&String> = enterprise.tags.iter().collect();
        let mut groups = vec![("industry", enterprise.division().to_owned())];
        groups.extend(tags.into_iter().map(|tag| ("tag", tag.clone())));
        for (scope, key) in groups {
            let seen = all.entry((scope, key.clone(), how.clone())).or_insert_with(|| HazardSeen {
                scope,
                key,
                how: how.clone(),
                incidents: 0,
                persons: 0,
                severe: 0,
                lost_days: 0,
                persons_without_lost_days: 0,
                few: false,
            });
            seen.incidents += 1;
            seen.persons += found.persons;
            seen.severe += u32::from(found.severity >= Severity::Severe);
            seen.lost_days += found.lost_days.iter().flatten().map(|d| u64::from(*d)).sum::<u64>();
            seen.persons_without_lost_days += found.lost_days.iter().filter(|d| d.is_none()).count() as u32;
            seen.few = seen.incidents < limits.hazard_incidents;
        }
    }
    let mut rows: Vec<HazardSeen> = all.into_values().collect();
    // Already by text; a stable sort keeps that among equals.
    rows.sort_by_key(|h| (h.scope, h.key.clone(), u32::MAX - h.incidents, u64::MAX - h.lost_days));
    rows
}
