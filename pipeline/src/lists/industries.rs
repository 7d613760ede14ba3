//! Industries with many incidents and a high rate in a year (多发高发), and which of their enterprises could be a
//! benchmark (S27, 一地一标杆).
//!
//! The notice gives no figure for "many" and "high". An industry (two digits) is named when it has `industry_incidents`
//! or more in the year, and more than chance explains: the exact Poisson tail of its incidents against what the city's
//! rate gives for its headcount, adjusted by Benjamini and Hochberg over all industries that can be tested, is at most
//! `industry_innocent`. A raw rate alone would name the industry with three small workshops.
//!
//! A candidate of such an industry has `benchmark_headcount` or more insured persons, no severe or fatal incident in the
//! year, a rate at least `benchmark_fall_percent` below that of the year before, and one below its industry's. A
//! percentage misleads below some eight incidents, so beside it stands the conditional binomial p of the fall
//! ([`crate::statistics::fall`]), and the strongest evidence comes first. Who becomes one is for people to say.
//!
//! The year before is looked at over the same days ([`Window::YearAgo`]). All comparisons are of whole numbers.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use compact_str::CompactString;
use differential_dataflow::difference::Semigroup;
use serde::Serialize;
use tocsin_schemas::codes::{IndustryVerdict, NoBenchmark, RateReason};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::Window;
use tocsin_schemas::time::Day;

use super::live::per_thousand;
use super::{Firm, Year};
use crate::dataflow::{PARTS, Sum};
use crate::policy::Lists as Limits;
use crate::statistics::{Observed, discoveries, fall, tail};
use crate::windows::days;

/// The industries of a year.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Industries {
    /// The calendar year.
    pub year: i32,
    /// Its first day, and the last one looked at: the end of the year, or the as-of day while it runs.
    pub from: Day,
    /// See `from`.
    pub to: Day,
    /// The same days of the year before.
    pub before_from: Day,
    /// See `before_from`.
    pub before_to: Day,
    /// The years in which a registered enterprise has a counted production incident or insured persons.
    pub years: Vec<i32>,
    /// The city's figures.
    pub city: YearFigures,
    /// The city's figures of the year before.
    pub city_before: YearFigures,
    /// Every industry of a registered enterprise: those named first, each part by p and code.
    pub industries: Vec<Industry>,
}

/// A year's figures of the city or an industry. Production incidents only.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct YearFigures {
    /// Counted incidents.
    pub incidents: u32,
    /// The severe and fatal ones among them.
    pub severe: u32,
    /// Those at enterprises with a headcount above 0: the numerator.
    pub incidents_with_headcount: u32,
    /// The sum of the mean insured persons; null where nobody has a record.
    pub headcount: Option<f64>,
    /// A thousand times the one over the other, not annualised.
    pub per_thousand: Option<f64>,
    /// Why that cannot be computed.
    pub reason: Option<RateReason>,
}

/// An industry in a year.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Industry {
    /// Its two digits.
    pub industry: String,
    /// Registered enterprises, closed ones too.
    pub enterprises: u32,
    /// Its figures of the year.
    pub figures: YearFigures,
    /// Its figures of the year before.
    pub before: YearFigures,
    /// Incidents that the city's rate gives for its headcount.
    pub expected: Option<f64>,
    /// How often chance alone gives as many as it has, or more.
    pub chance_of_as_many: Option<f64>,
    /// The same, adjusted for all industries that were tested.
    pub adjusted: Option<f64>,
    /// Whether it is named, or why not.
    pub verdict: IndustryVerdict,
    /// Enterprises that could be a benchmark, if it is named; the strongest evidence of a fall first.
    pub candidates: Vec<Candidate>,
    /// Its other enterprises by reason, if it is named.
    pub passed_over: BTreeMap<NoBenchmark, u32>,
}

/// An enterprise that could be a benchmark.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidate {
    /// The enterprise.
    pub uscc: Uscc,
    /// Its registered name.
    pub name: Arc<str>,
    /// Its responsible area.
    pub area: String,
    /// Incidents of the year.
    pub incidents: u32,
    /// Mean insured persons of the year.
    pub headcount: f64,
    /// Incidents for each thousand insured persons, not annualised.
    pub per_thousand: f64,
    /// Incidents of the year before.
    pub incidents_before: u32,
    /// Mean insured persons of the year before.
    pub headcount_before: f64,
    /// Its rate of the year before.
    pub per_thousand_before: f64,
    /// By how many percent the rate fell.
    pub fall_percent: f64,
    /// How often, at an unchanged rate, as few of all its incidents or fewer fall into this year.
    pub conditional_p: Option<f64>,
    /// Whether the year before had too few incidents for the fall to say much.
    pub few_before: bool,
}

/// An enterprise in the two years.
struct Pair<'a> {
    firm: &'a Firm,
    now: Year,
    before: Year,
}

#[derive(Default)]
struct Group<'a> {
    now: Sum,
    before: Sum,
    members: Vec<Pair<'a>>,
}

/// The industries of a year as seen from a day of it or after it.
pub(crate) fn judge<'a>(
    firms: impl IntoIterator<Item = &'a Firm>,
    year: i32,
    as_of: Day,
    limits: &Limits,
) -> Industries {
    let last = i16::try_from(year).ok().and_then(|year| Day::new(year, 12, 31));
    let day = last.map_or(as_of, |last| last.min(as_of));
    let (span, span_before) = (days(Window::Year, day), days(Window::YearAgo, day));
    let mut city = Group::default();
    let mut groups: BTreeMap<CompactString, Group<'_>> = BTreeMap::new();
    let mut years: BTreeSet<i32> = BTreeSet::new();
    for firm in firms {
        let happened = firm.incidents.iter().map(|i| i.on);
        let insured =
            firm.insured.iter().filter(|(_, insured)| **insured > 0).map(|(month, _)| month.first_day());
        years.extend(happened.chain(insured).filter(|on| *on <= as_of).map(|on| i32::from(on.year())));
        let (now, before) = (firm.over(span), firm.over(span_before));
        let group = groups.entry(firm.division.clone()).or_default();
        for sums in [&mut city, &mut *group] {
            sums.now.plus_equals(&Sum::of(now.tally, now.heads));
            sums.before.plus_equals(&Sum::of(before.tally, before.heads));
        }
        group.members.push(Pair { firm, now, before });
    }
    let expected: Vec<Result<f64, IndustryVerdict>> =
        groups.values().map(|group| expected(&group.now, &city.now)).collect();
    // Out of its range only where nothing at all is expected.
    let chance = |(group, expected): (&Group<'_>, &Result<f64, IndustryVerdict>)| {
        let expected = (*expected)?;
        tail::at_least(count(group.now.with_headcount).into(), expected)
            .map_err(|_| IndustryVerdict::NoCityRate)
    };
    let chances: Vec<Result<f64, IndustryVerdict>> = groups.values().zip(&expected).map(chance).collect();
    let tested: Vec<f64> = chances.iter().filter_map(|p| p.ok()).collect();
    // None of them is out of 0 to 1.
    let mut adjusted = discoveries::adjusted(&tested).unwrap_or_default().into_iter();
    let mut industries: Vec<Industry> = Vec::new();
    for (((division, group), expected), chance) in groups.iter().zip(expected).zip(chances) {
        let adjusted = chance.ok().and_then(|_| adjusted.next());
        let verdict = match (chance, adjusted) {
            (Err(why), _) => why,
            _ if count(group.now.with_headcount) < limits.industry_incidents => IndustryVerdict::FewIncidents,
            (Ok(_), Some(q)) if q <= limits.industry_innocent => IndustryVerdict::High,
            _ => IndustryVerdict::ByChance,
        };
        let (candidates, passed_over) = match verdict {
            IndustryVerdict::High => candidates(group, limits),
            _ => (Vec::new(), BTreeMap::new()),
        };
        industries.push(Industry {
            industry: division.to_string(),
            enterprises: group.members.len() as u32,
            figures: figures(&group.now),
            before: figures(&group.before),
            expected: expected.ok(),
            chance_of_as_many: chance.ok(),
            adjusted,
            verdict,
            candidates,
            passed_over,
        });
    }
    let rank = |i: &Industry| (i.verdict != IndustryVerdict::High, i.chance_of_as_many.unwrap_or(2.0));
    industries.sort_by(|a, b| {
        let ((a_last, a_chance), (b_last, b_chance)) = (rank(a), rank(b));
        a_last.cmp(&b_last).then(a_chance.total_cmp(&b_chance)).then(a.industry.cmp(&b.industry))
    });
    Industries {
        year,
        from: span.0,
        to: span.1,
        before_from: span_before.0,
        before_to: span_before.1,
        years: years.into_iter().collect(),
        city: figures(&city.now),
        city_before: figures(&city.before),
        industries,
    }
}

fn count(n: i32) -> u32 {
    n.max(0).unsigned_abs()
}

/// What the city's rate gives for an industry's headcount; above 0.
fn expected(industry: &Sum, city: &Sum) -> Result<f64, IndustryVerdict> {
    if industry.known == 0 {
        return Err(IndustryVerdict::HeadcountUnknown);
    }
    if industry.headcount_parts == 0 {
        return Err(IndustryVerdict::HeadcountZero);
    }
    if city.with_headcount == 0 {
        return Err(IndustryVerdict::NoCityRate);
    }
    Ok(f64::from(city.with_headcount) * (industry.headcount_parts as f64 / city.headcount_parts as f64))
}

fn figures(sum: &Sum) -> YearFigures {
    let reason = match (sum.known, sum.headcount_parts) {
        (0, _) => Some(RateReason::HeadcountUnknown),
        (_, 0) => Some(RateReason::HeadcountZero),
        _ => None,
    };
    YearFigures {
        incidents: count(sum.tally.incidents),
        severe: count(sum.tally.severe),
        incidents_with_headcount: count(sum.with_headcount),
        headcount: (sum.known > 0).then(|| sum.headcount_parts as f64 / PARTS as f64),
        per_thousand: per_thousand(sum),
        reason,
    }
}

fn candidates(group: &Group<'_>, limits: &Limits) -> (Vec<Candidate>, BTreeMap<NoBenchmark, u32>) {
    let (mut candidates, mut passed_over) = (Vec::new(), BTreeMap::new());
    for pair in &group.members {
        match pair.candidate(&group.now, limits) {
            Ok(candidate) => candidates.push(candidate),
            Err(why) => *passed_over.entry(why).or_default() += 1,
        }
    }
    candidates.sort_by(Candidate::before_other);
    (candidates, passed_over)
}

impl Candidate {
    fn before_other(&self, other: &Candidate) -> Ordering {
        let p = |c: &Candidate| c.conditional_p.unwrap_or(2.0);
        p(self)
            .total_cmp(&p(other))
            .then(other.headcount.total_cmp(&self.headcount))
            .then(self.uscc.cmp(&other.uscc))
    }
}

impl Pair<'_> {
    fn candidate(&self, industry: &Sum, limits: &Limits) -> Result<Candidate, NoBenchmark> {
        let Pair { firm, now, before } = self;
        if !firm.active {
            return Err(NoBenchmark::Closed);
        }
        let (parts, headcount) =
            now.heads.parts().zip(now.headcount()).ok_or(NoBenchmark::HeadcountUnknown)?;
        if headcount < f64::from(limits.benchmark_headcount) {
            return Err(NoBenchmark::TooSmall);
        }
        if now.tally.severe > 0 {
            return Err(NoBenchmark::Severe);
        }
        let known = before.heads.parts().filter(|parts| *parts > 0).zip(before.headcount());
        let (parts_before, headcount_before) = known.ok_or(NoBenchmark::NoRateBefore)?;
        if before.incidents() == 0 {
            return Err(NoBenchmark::NoneBefore);
        }
        // Rates as fractions: one is below the other when the products crosswise are.
        let (n, n_before) = (i128::from(now.incidents()), i128::from(before.incidents()));
        let left = 100 - i128::from(limits.benchmark_fall_percent);
        if n * parts_before * 100 > n_before * parts * left {
            return Err(NoBenchmark::NotFallen);
        }
        if n * industry.headcount_parts >= i128::from(industry.with_headcount) * parts {
            return Err(NoBenchmark::NotBelowIndustry);
        }
        let (per_thousand, per_thousand_before) =
            now.per_thousand().zip(before.per_thousand()).ok_or(NoBenchmark::NoRateBefore)?;
        let observed = |count: u32, exposure: f64| Observed { count: count.into(), exposure };
        let (was, is) =
            (observed(before.incidents(), headcount_before), observed(now.incidents(), headcount));
        Ok(Candidate {
            uscc: firm.uscc,
            name: Arc::clone(&firm.name),
            area: firm.area.to_string(),
            incidents: now.incidents(),
            headcount,
            per_thousand,
            incidents_before: before.incidents(),
            headcount_before,
            per_thousand_before,
            fall_percent: 100.0 * (1.0 - per_thousand / per_thousand_before),
            conditional_p: fall::conditional_p(was, is).ok(),
            few_before: before.incidents() < limits.benchmark_sure_from,
        })
    }
}
