//! The lists of a year (S11, S36), from scratch, and how they are held against the engine's.
//!
//! How the rates of all enterprises are spread is a fit, which is not repeated here: that the engine's numbers are the
//! best ones is checked by their likelihood, against others nearby. What follows from them is computed here by
//! summing and integrating.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use tocsin_schemas::codes::{
    Category, FittedBy, FreezeRefusal, List, ListClass, ListReason, RateReason, Severity, Undetermined,
};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::{Listed, Member, Model, Record, Reference, Whole};
use tocsin_schemas::time::{Day, Instant};

use crate::arrivals::Verdict;
use crate::beside::Spread;
use crate::histories::Step;
use crate::oracle::Oracle;
use crate::policy::{ListLimits, Tables};
use crate::rates::{Basis, Fraction};

/// An enterprise in a year.
#[derive(Debug, Clone, PartialEq)]
struct Firm {
    incidents: u32,
    persons: u32,
    severe: u32,
    headcount: Option<Fraction>,
}

impl Firm {
    /// One division of whole numbers.
    fn per_thousand(&self) -> Option<f64> {
        let headcount = self.headcount.filter(|h| h.0 > 0)?;
        Some(Fraction(i128::from(self.incidents) * 1000 * headcount.1, headcount.0).value())
    }
}

type Firms = BTreeMap<Uscc, Firm>;

/// The list that was last written down as frozen.
#[derive(Debug)]
pub(crate) struct LastFrozen {
    year: i32,
    event_id: String,
    tables: Tables,
    list: BTreeMap<Uscc, Member>,
}

/// What happened while lists were compared, for the census.
#[derive(Debug, Default, Clone, Copy)]
pub struct Compared {
    /// Enterprises that are key.
    pub key: u64,
    /// Enterprises that are general.
    pub general: u64,
    /// Tests that were made by a model and passed.
    pub by_model: u64,
    /// Tests that could not be made.
    pub undetermined: u64,
    /// Persistently key.
    pub persistent: u64,
    /// Lists that were frozen.
    pub frozen: u64,
    /// Those among them that are equal to the one before.
    pub frozen_again: u64,
    /// Wishes to freeze that were refused.
    pub refused: u64,
}

fn first(year: i32) -> Day {
    Day::new(year as i16, 1, 1).unwrap_or(Day(0))
}

/// First and last day of a list's year by `day`.
fn span(year: i32, day: Day) -> (Day, Day) {
    (first(year), first(year + 1).plus(-1).min(day))
}

fn length((from, to): (Day, Day)) -> u32 {
    (to.0 - from.0 + 1) as u32
}

fn firms(basis: &Basis<'_>, span: (Day, Day)) -> Firms {
    let firm = |root: Uscc| {
        let all = basis.incidents_of(root, span);
        let of: Vec<_> = all.iter().filter(|f| f.category == Category::Production).collect();
        let firm = Firm {
            incidents: of.len() as u32,
            persons: of.iter().map(|f| f.persons).sum(),
            severe: of.iter().filter(|f| f.severity >= Severity::Severe).count() as u32,
            headcount: basis.headcount_of(root, span),
        };
        (root, firm)
    };
    basis.registry.roots().into_iter().map(firm).collect()
}

/// Incidents, and headcount, of those with a headcount above 0.
fn total(firms: &Firms) -> (u32, Fraction) {
    let with = firms.values().filter_map(|f| Some((f.incidents, f.headcount.filter(|h| h.0 > 0)?)));
    with.fold((0, Fraction(0, 1)), |(n, heads), (incidents, h)| (n + incidents, heads.plus(h)))
}

/// Two numbers that were computed in different ways.
fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-3)
}

fn both_near(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => near(a, b),
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// P(X >= n) for a Poisson count, by summing up what is below.
pub(crate) fn at_least(n: u32, expected: f64) -> f64 {
    let mut term = (-expected).exp();
    let mut below = 0.0;
    for k in 0..n {
        below += term;
        term *= expected / f64::from(k + 1);
    }
    1.0 - below
}

/// P(X > x) of a gamma distribution, by Simpson's rule over the logarithm.
fn gamma_above(shape: f64, rate: f64, x: f64) -> f64 {
    // The density of ln X at t, but for a factor.
    let top = shape * (shape / rate).ln() - shape;
    let density = |t: f64| (shape * t - rate * t.exp() - top).exp();
    let integral = |from: f64, to: f64| {
        let steps = 4_000;
        let h = (to - from) / f64::from(steps);
        let at = |i: i32| density(from + f64::from(i) * h);
        let inner: f64 = (1..steps).map(|i| at(i) * if i % 2 == 1 { 4.0 } else { 2.0 }).sum();
        h / 3.0 * (at(0) + inner + at(steps))
    };
    let peak = (shape / rate).ln();
    // It falls like e^(shape t) to the left, and faster than that to the right: what is cut off is below e^-36. Where it is
    // narrow (e^t - 1 - t is at least t^2/3 within 1 of its peak) it is cut off nearer, or the steps would be wider than it.
    let (low, high) = match shape >= 120.0 {
        true => (peak - (120.0 / shape).sqrt(), peak + (120.0 / shape).sqrt()),
        false => (peak - 1.0 - 36.0 / shape, peak + 1.0 + (1.0 + 60.0 / shape).ln()),
    };
    let cut = x.ln().clamp(low, high);
    let (below, above) = (integral(low, cut), integral(cut, high));
    above / (below + above)
}

/// Logarithm of the negative-binomial likelihood, but for what does not hang on nu and alpha.
fn likelihood(firms: &[(u32, f64)], nu: f64, alpha: f64) -> f64 {
    let of = |(n, expected): &(u32, f64)| {
        let rising: f64 = (0..*n).map(|i| (nu + f64::from(i)).ln()).sum();
        rising + nu * (alpha / (alpha + expected)).ln() - f64::from(*n) * (alpha + expected).ln()
    };
    firms.iter().map(of).sum()
}

fn check_model(model: &Model, day: Day, firms: &Firms, days: u32, wrong: &mut String) {
    let with: Vec<(u32, f64)> = firms
        .values()
        .filter_map(|f| Some((f.incidents, f.headcount.filter(|h| h.0 > 0)?.value())))
        .collect();
    let (incidents, heads) = total(firms);
    let each = f64::from(incidents) / heads.value() * 365.0 / f64::from(days);
    let plain = (model.taken_on, model.firms, model.incidents) == (day, with.len() as u32, incidents);
    if !plain || !near(model.per_person_year, each) {
        let _ =
            writeln!(wrong, "  the model is of other firms: {model:?}, {} firms, {each} a year", with.len());
    }
    if model.fitted_by == FittedBy::Likelihood {
        let expected: Vec<(u32, f64)> =
            with.iter().map(|(n, h)| (*n, h * f64::from(incidents) / heads.value())).collect();
        let best = likelihood(&expected, model.nu, model.alpha);
        for (a, b) in [(1.02, 1.0), (0.98, 1.0), (1.0, 1.02), (1.0, 0.98), (1.02, 1.02), (0.98, 0.98)] {
            let other = likelihood(&expected, model.nu * a, model.alpha * b);
            if other > best + 1e-9 * best.abs().max(1.0) {
                let _ = writeln!(wrong, "  the model is not the likeliest: {model:?}, {other} > {best}");
            }
        }
    }
}

/// What enterprises of a year are tested with.
struct Tests<'a> {
    limits: ListLimits,
    city: Option<f64>,
    model: Option<&'a Model>,
}

impl Tests<'_> {
    fn headcount(firm: &Firm) -> Result<f64, Undetermined> {
        match firm.headcount {
            None => Err(Undetermined::HeadcountUnknown),
            Some(Fraction(0, _)) => Err(Undetermined::HeadcountZero),
            Some(h) => Ok(h.value()),
        }
    }

    fn city(&self) -> Result<f64, Undetermined> {
        self.city.filter(|rate| *rate > 0.0).ok_or(Undetermined::NoCityRate)
    }

    /// Shape and rate of what the firm's true rate a person may be, by the model.
    fn posterior(&self, firm: &Firm) -> Result<(f64, f64), Undetermined> {
        let headcount = Tests::headcount(firm)?;
        let (city, model) = (self.city()?, self.model.ok_or(Undetermined::NoModel)?);
        Ok((f64::from(firm.incidents) + model.nu, headcount + model.alpha * 1000.0 / city))
    }

    fn shrunken(&self, firm: &Firm) -> Result<f64, Undetermined> {
        self.posterior(firm).map(|(shape, rate)| 1000.0 * shape / rate)
    }

    fn chance_above(&self, firm: &Firm) -> Result<f64, Undetermined> {
        Tests::headcount(firm)?;
        let city = self.city()?;
        self.posterior(firm).map(|(shape, rate)| gamma_above(shape, rate, city / 1000.0))
    }

    fn as_many(&self, firm: &Firm) -> Result<f64, Undetermined> {
        let headcount = Tests::headcount(firm)?;
        Ok(at_least(firm.incidents, headcount * self.city()? / 1000.0))
    }

    fn several(&self, firm: &Firm) -> Result<bool, Undetermined> {
        if firm.incidents < self.limits.key_incidents {
            return Ok(false);
        }
        let outside = (1.0 - f64::from(self.limits.confidence) / 1000.0) / 2.0;
        Ok(self.chance_above(firm)? > 1.0 - outside)
    }

    fn high(&self, firm: &Firm) -> Result<bool, Undetermined> {
        if firm.incidents < self.limits.rate_incidents {
            return Ok(false);
        }
        Tests::headcount(firm)?;
        let high = f64::from(self.limits.rate_factor) / 1000.0 * self.city()?;
        let rare = self.as_many(firm)? < f64::from(self.limits.chance_below) / 1000.0;
        Ok(firm.per_thousand().is_some_and(|rate| rate > high) && rare)
    }

    fn member(&self, uscc: Uscc, firm: &Firm, key_years: impl Fn() -> u32) -> Member {
        let tests = [
            (ListReason::SeveralAndAboveAverage, self.several(firm)),
            (ListReason::HighRate, self.high(firm)),
            (ListReason::Severe, Ok(self.limits.severe_is_key && firm.severe > 0)),
        ];
        let mut reasons: Vec<ListReason> =
            tests.iter().filter(|(_, t)| *t == Ok(true)).map(|t| t.0).collect();
        let class = if reasons.is_empty() { ListClass::General } else { ListClass::Key };
        if reasons.is_empty() {
            reasons.push(ListReason::Incidents);
        }
        let key_years = if class == ListClass::Key { key_years() } else { 0 };
        Member {
            uscc,
            class,
            reasons,
            undetermined: tests.into_iter().filter_map(|(name, t)| Some((name, t.err()?))).collect(),
            incidents: firm.incidents,
            persons: firm.persons,
            severe: firm.severe,
            headcount: firm.headcount.map(Fraction::value),
            per_thousand: firm.per_thousand(),
            reason: match firm.headcount {
                None => Some(RateReason::HeadcountUnknown),
                Some(Fraction(0, _)) => Some(RateReason::HeadcountZero),
                Some(_) => None,
            },
            shrunken_per_thousand: self.shrunken(firm).ok(),
            chance_above_city: self.chance_above(firm).ok(),
            chance_of_as_many: self.as_many(firm).ok(),
            key_years,
            persistent: key_years >= self.limits.persistent_years,
        }
    }
}

/// How the firms are spread by the model of the clock's year, which the lists carry.
pub fn spread(lists: &[Listed], clock: Option<Instant>) -> Option<Spread> {
    let year = i32::from(clock?.day().year());
    let whole = lists.iter().find(|l| l.year == year && l.member.is_none())?;
    let model = whole.reference.as_ref()?.model.as_ref()?;
    Some(Spread { nu: model.nu, alpha: model.alpha, per_person_year: model.per_person_year })
}

/// Compares the lists after a step, and what was frozen in it; the oracle keeps what was. `left` are the lists of the
/// years before those two, as they last stood.
///
/// # Errors
/// What differs, as text for a person.
pub fn compare_lists(
    oracle: &mut Oracle,
    step: &Step,
    engine: &[Listed],
    frozen: &[Listed],
    left: &[Listed],
) -> Result<Compared, String> {
    let (mut wrong, mut seen) = (String::new(), Compared::default());
    let (Some(clock), Some(limits)) = (oracle.clock(), oracle.limits()) else { return Ok(seen) };
    let day = clock.day();
    let this_year = i32::from(day.year());
    let mut lists: BTreeMap<i32, BTreeMap<Uscc, Member>> = BTreeMap::new();
    for year in [this_year - 1, this_year] {
        let whole = engine.iter().find(|l| l.year == year && l.member.is_none());
        let reference = whole.and_then(|l| l.reference.as_ref());
        check_reference(oracle, year, reference, &mut wrong);
        let span = span(year, day);
        let tests = Tests {
            limits,
            city: reference.and_then(|r| r.per_thousand),
            model: reference.and_then(|r| r.model.as_ref()),
        };
        let list = oracle.at_present(|basis| {
            let was_key = |uscc: Uscc, before: i32| match oracle.frozen.get(&before) {
                Some(key) => key.iter().any(|former| *former == uscc || basis.registry.root(*former) == uscc),
                None if before == this_year - 1 && year == this_year => {
                    lists[&before].get(&uscc).is_some_and(|m| m.class == ListClass::Key)
                }
                // As the list last stood, which was judged while it was live.
                None => left.iter().filter(|l| l.year == before).filter_map(|l| l.member.as_ref()).any(|m| {
                    let own = m.uscc == uscc || basis.registry.root(m.uscc) == uscc;
                    own && m.class == ListClass::Key
                }),
            };
            let years = |uscc: Uscc| (1..).take_while(|back| was_key(uscc, year - back)).count() as u32 + 1;
            let on = firms(basis, span).into_iter().filter(|(_, firm)| firm.incidents > 0);
            on.map(|(uscc, firm)| (uscc, tests.member(uscc, &firm, || years(uscc)))).collect()
        });
        lists.insert(year, list.unwrap_or_default());
        same(year, engine, &lists[&year], whole, &mut wrong);
        if year < this_year {
            // It decides who is key for years running from this decision on.
            check_frozen(oracle, step, this_year, &lists[&year], frozen, &mut seen, &mut wrong);
        }
    }
    for member in lists.values().flat_map(BTreeMap::values) {
        match member.class {
            ListClass::Key => seen.key += 1,
            ListClass::General => seen.general += 1,
        }
        seen.by_model += u64::from(member.reasons.contains(&ListReason::SeveralAndAboveAverage));
        seen.undetermined += member.undetermined.len() as u64;
        seen.persistent += u64::from(member.persistent);
    }
    if wrong.is_empty() { Ok(seen) } else { Err(wrong) }
}

fn check_reference(oracle: &Oracle, year: i32, reference: Option<&Reference>, wrong: &mut String) {
    let (Some(midnight), Some(modelled)) = (&oracle.midnight, &oracle.modelled) else {
        if let Some(reference) = reference {
            let _ = writeln!(wrong, "  a reference without a midnight: {reference:?}");
        }
        return;
    };
    let Some(reference) = reference else {
        let _ = writeln!(wrong, "  no reference for {year}, though {} passed", midnight.day);
        return;
    };
    let (incidents, heads, known) = oracle.at_midnight(midnight, |basis| {
        let firms = firms(basis, span(year, midnight.day));
        let (incidents, heads) = total(&firms);
        (incidents, heads, firms.values().any(|f| f.headcount.is_some()))
    });
    let rate = || Fraction(i128::from(incidents) * 1000 * heads.1, heads.0).value();
    let headcount = known.then(|| heads.value());
    let expected = (midnight.day, incidents, headcount, (heads.0 > 0).then(rate), Some(modelled.day));
    let Reference { taken_on, incidents, headcount, per_thousand, modelled_on, model } = reference;
    let found = (*taken_on, *incidents, *headcount, *per_thousand, *modelled_on);
    if expected != found {
        let _ = writeln!(wrong, "  the reference of {year} differs: engine {found:?}\n  oracle {expected:?}");
    }
    if let Some(model) = model {
        let last = i32::from(modelled.day.year()) > year;
        let span = if last { span(year, modelled.day) } else { (modelled.day.plus(-364), modelled.day) };
        let firms = oracle.at_midnight(modelled, |basis| firms(basis, span));
        check_model(model, modelled.day, &firms, length(span), wrong);
    }
}

fn same(
    year: i32,
    engine: &[Listed],
    ours: &BTreeMap<Uscc, Member>,
    whole: Option<&Listed>,
    wrong: &mut String,
) {
    let theirs = engine.iter().filter(|l| l.year == year).filter_map(|l| l.member.as_ref());
    let theirs: BTreeMap<Uscc, &Member> = theirs.map(|m| (m.uscc, m)).collect();
    for uscc in theirs.keys().copied().chain(ours.keys().copied()).collect::<BTreeSet<Uscc>>() {
        let (engine, oracle) = (theirs.get(&uscc).copied(), ours.get(&uscc));
        if !engine.zip(oracle).is_some_and(|(a, b)| equal(a, b)) {
            let _ = writeln!(wrong, "  list of {year}: engine {engine:?}\n  oracle {oracle:?}");
        }
    }
    let count = |holds: fn(&&Member) -> bool| ours.values().filter(holds).count() as u32;
    let sizes = Whole {
        key: count(|m| m.class == ListClass::Key),
        persistent: count(|m| m.persistent),
        general: count(|m| m.class == ListClass::General),
        approver: None,
        refused: None,
        same_as: None,
    };
    if whole.and_then(|l| l.whole.as_ref()) != Some(&sizes) {
        let _ = writeln!(wrong, "  list of {year}: engine {whole:?}\n  oracle {sizes:?}");
    }
}

/// Equal, but for the last bits of what was integrated.
fn equal(a: &Member, b: &Member) -> bool {
    let plain = |m: &Member| Member {
        shrunken_per_thousand: None,
        chance_above_city: None,
        chance_of_as_many: None,
        ..m.clone()
    };
    plain(a) == plain(b)
        && both_near(a.shrunken_per_thousand, b.shrunken_per_thousand)
        && both_near(a.chance_above_city, b.chance_above_city)
        && both_near(a.chance_of_as_many, b.chance_of_as_many)
}

/// What the events of the step freeze, or why not.
fn check_frozen(
    oracle: &mut Oracle,
    step: &Step,
    this_year: i32,
    list: &BTreeMap<Uscc, Member>,
    frozen: &[Listed],
    seen: &mut Compared,
    wrong: &mut String,
) {
    let verdicts = &oracle.verdicts()[oracle.verdicts().len() - step.arrivals.len()..];
    let events: Vec<_> = step.arrivals.iter().zip(verdicts.to_vec()).collect();
    let mut expected: BTreeSet<String> = BTreeSet::new();
    for ((record, ..), verdict) in events {
        let Record::Governance(event) = record else { continue };
        let wish = event.kind == "freeze_list" && verdict == Verdict::Accepted;
        if !wish || !oracle.freezes.insert(event.event_id.clone()) {
            continue;
        }
        let year: Option<i32> = event.subject.parse().ok();
        let named = event.approver.as_ref().is_some_and(|name| !name.trim().is_empty());
        let refused = match year {
            None => Some(FreezeRefusal::NotAYear),
            Some(year) if year >= this_year => Some(FreezeRefusal::YearNotOver),
            Some(year) if year < this_year - 1 => Some(FreezeRefusal::YearTooOld),
            Some(_) if !named => Some(FreezeRefusal::NoApprover),
            Some(_) => None,
        };
        let of: Vec<&Listed> =
            frozen.iter().filter(|l| l.event_id.as_ref() == Some(&event.event_id)).collect();
        expected.insert(event.event_id.clone());
        let whole = of.iter().find_map(|l| l.whole.as_ref());
        if whole.map(|w| w.refused) != Some(refused) {
            let _ = writeln!(wrong, "  freezing {event:?}: engine {whole:?}, oracle {refused:?}");
        }
        let Some(year) = year.filter(|_| refused.is_none()) else {
            seen.refused += 1;
            continue;
        };
        seen.frozen += 1;
        // What was last frozen in full is not written again, but named.
        let equal_to = oracle
            .last_frozen
            .as_ref()
            .filter(|last| last.year == year && last.tables == oracle.tables && last.list == *list);
        let same_as = equal_to.map(|last| last.event_id.clone());
        if whole.map(|w| &w.same_as) != Some(&same_as) {
            let _ = writeln!(wrong, "  freezing {event:?}: engine {whole:?}, oracle the same as {same_as:?}");
        }
        if same_as.is_some() {
            seen.frozen_again += 1;
            if of.iter().any(|l| l.member.is_some()) {
                let _ = writeln!(wrong, "  what was frozen already is written again: {of:?}");
            }
            continue;
        }
        let members: BTreeMap<Uscc, &Member> =
            of.iter().filter_map(|l| l.member.as_ref()).map(|m| (m.uscc, m)).collect();
        let alike = members.len() == list.len()
            && list.iter().all(|(uscc, m)| members.get(uscc).is_some_and(|theirs| equal(theirs, m)));
        if !alike || of.iter().any(|l| l.list != List::Frozen || l.year != year) {
            let _ = writeln!(wrong, "  frozen list of {year}: engine {members:?}\n  oracle {list:?}");
        }
        let key = list.values().filter(|m| m.class == ListClass::Key).map(|m| m.uscc);
        oracle.frozen.insert(year, key.collect());
        let (event_id, tables, list) = (event.event_id.clone(), oracle.tables.clone(), list.clone());
        oracle.last_frozen = Some(LastFrozen { year, event_id, tables, list });
    }
    if frozen.iter().any(|l| l.event_id.as_ref().is_none_or(|event| !expected.contains(event))) {
        let _ = writeln!(wrong, "  frozen by no event of this step: {frozen:?}");
    }
}
