//! Rates at the as-of day (records.md sections 3 and 5), every row from scratch.

use std::collections::{BTreeMap, BTreeSet};

use jiff::ToSpan;
use jiff::civil::Date;
use tocsin_schemas::areas::sector;
use tocsin_schemas::codes::{CITY, Category, RateReason, Scope, State};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::{Rate, Window};
use tocsin_schemas::time::{Day, Month};

use crate::beside::{self, Spread};
use crate::cases::Found;
use crate::policy::OraclePolicy;
use crate::registry::Registry;

/// The seven windows of `rates.jsonl`.
pub const WINDOWS: [Window; 7] = [
    Window::Rolling(30),
    Window::Rolling(90),
    Window::Rolling(365),
    Window::Month,
    Window::Quarter,
    Window::Year,
    Window::YearAgo,
];

/// First and last day of a window seen from `day`.
pub(crate) fn days(window: Window, day: Day) -> (Day, Day) {
    let date = day.date();
    let first_of = |year: i16, month: i8| Day::new(year, month, 1).unwrap_or(day);
    match window {
        Window::Rolling(n) => (day.plus(1 - i32::from(n)), day),
        Window::Month => (first_of(date.year(), date.month()), day),
        Window::Quarter => (first_of(date.year(), (date.month() - 1) / 3 * 3 + 1), day),
        Window::Year => (first_of(date.year(), 1), day),
        Window::YearAgo => {
            let ago = date.checked_sub(1.year()).unwrap_or(Date::MIN);
            (first_of(ago.year(), 1), Day::from_date(ago))
        }
    }
}

/// An exact mean: a sum over a number of months.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fraction(pub(crate) i128, pub(crate) i128);

impl Fraction {
    pub(crate) fn plus(self, other: Fraction) -> Fraction {
        Fraction(self.0 * other.1 + other.0 * self.1, self.1 * other.1).reduced()
    }
    fn reduced(self) -> Fraction {
        let (mut a, mut b) = (self.0, self.1);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        if a == 0 { self } else { Fraction(self.0 / a, self.1 / a) }
    }
    /// Correctly rounded as long as both parts are below 2^53, which headcounts of a city are.
    pub(crate) fn value(self) -> f64 {
        self.0 as f64 / self.1 as f64
    }
}

/// Everything that rates are made of.
pub(crate) struct Basis<'a> {
    pub(crate) registry: &'a Registry<'a>,
    pub(crate) headcounts: &'a BTreeMap<(Uscc, Month), u32>,
    /// The counted incidents of registered enterprises.
    pub(crate) counted: Vec<&'a Found>,
    /// The same by the enterprise that they are read as.
    read_as: BTreeMap<Uscc, Vec<&'a Found>>,
    /// The registered enterprises that are read as each.
    pub(crate) members: BTreeMap<Uscc, Vec<Uscc>>,
    pub(crate) day: Day,
    policy: &'a OraclePolicy,
    spread: Option<Spread>,
}

impl<'a> Basis<'a> {
    pub(crate) fn new(
        registry: &'a Registry<'a>,
        headcounts: &'a BTreeMap<(Uscc, Month), u32>,
        incidents: &'a [Found],
        day: Day,
        policy: &'a OraclePolicy,
        spread: Option<Spread>,
    ) -> Basis<'a> {
        let mut basis = Basis {
            registry,
            headcounts,
            counted: Vec::new(),
            read_as: BTreeMap::new(),
            members: BTreeMap::new(),
            day,
            policy,
            spread,
        };
        for found in incidents.iter().filter(|f| f.state == State::Counted) {
            if let Some(uscc) = found.uscc.filter(|u| registry.registered(u)) {
                basis.counted.push(found);
                basis.read_as.entry(registry.root(uscc)).or_default().push(found);
            }
        }
        for uscc in registry.all() {
            basis.members.entry(registry.root(uscc)).or_default().push(uscc);
        }
        basis
    }

    /// Counted incidents that are read as this enterprise's, in the window.
    pub(crate) fn incidents_of(&self, root: Uscc, (from, to): (Day, Day)) -> Vec<&Found> {
        let fits = |f: &&&Found| from <= f.occurred_on && f.occurred_on <= to;
        self.read_as.get(&root).into_iter().flatten().filter(fits).copied().collect()
    }

    /// Mean insured persons of the months with a record.
    pub(crate) fn headcount_of(&self, root: Uscc, (from, to): (Day, Day)) -> Option<Fraction> {
        let members = &self.members[&root];
        let (mut sum, mut months) = (0i128, 0i128);
        for month in from.month().0..=to.month().0 {
            let records: Vec<u32> =
                members.iter().filter_map(|u| self.headcounts.get(&(*u, Month(month))).copied()).collect();
            if !records.is_empty() {
                sum += records.iter().map(|n| i128::from(*n)).sum::<i128>();
                months += 1;
            }
        }
        (months > 0).then_some(Fraction(sum, months).reduced())
    }

    fn row(&self, scope: Scope, key: String, members: &BTreeSet<Uscc>, window: Window) -> Rate {
        let mut rate = Rate {
            scope,
            key,
            window,
            as_of: self.day,
            incidents: 0,
            persons: 0,
            incidents_with_headcount: 0,
            headcount: None,
            per_thousand: None,
            reason: None,
            low: None,
            high: None,
            shrunken: None,
            shrunken_reason: None,
            rankable: false,
            other: BTreeMap::new(),
        };
        let span = days(window, self.day);
        let mut total: Option<Fraction> = None;
        for member in members {
            let headcount = self.headcount_of(*member, span);
            let above_zero = headcount.is_some_and(|h| h.0 > 0);
            for f in self.incidents_of(*member, span) {
                if f.category == Category::Production {
                    rate.incidents += 1;
                    rate.persons += f.persons;
                    rate.incidents_with_headcount += u32::from(above_zero);
                } else {
                    *rate.other.entry(f.category).or_default() += 1;
                }
            }
            total = match (total, headcount) {
                (Some(t), Some(h)) => Some(t.plus(h)),
                (t, h) => t.or(h),
            };
        }
        rate.headcount = total.map(Fraction::value);
        match total {
            None => rate.reason = Some(RateReason::HeadcountUnknown),
            Some(Fraction(0, _)) => rate.reason = Some(RateReason::HeadcountZero),
            Some(Fraction(sum, months)) => {
                let thousand = i128::from(rate.incidents_with_headcount) * 1000 * months;
                rate.per_thousand = Some(Fraction(thousand, sum).value());
            }
        }
        rate
    }

    /// All rows, sorted by scope, key and window as `rates.jsonl` names them.
    pub(crate) fn rows(&self) -> Vec<Rate> {
        let mut groups: BTreeMap<(Scope, String), BTreeSet<Uscc>> = BTreeMap::new();
        groups.insert((Scope::City, CITY.to_string()), BTreeSet::new());
        for root in self.registry.roots() {
            let Some(e) = self.registry.seen(&root) else { continue };
            let shown = [Window::Rolling(365), Window::Year, Window::YearAgo].iter().any(|w| {
                self.incidents_of(root, days(*w, self.day)).iter().any(|f| f.category == Category::Production)
            });
            if shown {
                groups.insert((Scope::Enterprise, root.to_string()), BTreeSet::from([root]));
            }
            groups.entry((Scope::Industry, e.division().to_string())).or_default().insert(root);
            groups.entry((Scope::Area, e.area.to_string())).or_default().insert(root);
            groups.entry((Scope::City, CITY.to_string())).or_default().insert(root);
            if let Some(sector) = sector(e.division()) {
                groups.entry((Scope::Sector, sector.to_string())).or_default().insert(root);
            }
            for tag in &e.tags {
                groups.entry((Scope::Tag, tag.clone())).or_default().insert(root);
            }
        }
        let mut rows = Vec::new();
        for ((scope, key), members) in groups {
            rows.extend(WINDOWS.iter().map(|w| self.row(scope, key.clone(), &members, *w)));
        }
        rows.extend(self.circumstances());
        for row in &mut rows {
            beside::complete(row, self.policy, self.spread);
        }
        rows
    }

    /// Rows by cause and by period, of whatever happened in any window: counts without a headcount.
    fn circumstances(&self) -> Vec<Rate> {
        let mut groups: BTreeMap<(Scope, String), Vec<&Found>> = BTreeMap::new();
        for found in &self.counted {
            let date = found.occurred_on.date();
            let clock = found.time.map(|t| t.to_string());
            let hour = clock.map_or("unknown".to_owned(), |text| text[..2].to_owned());
            let shift = match hour.as_str() {
                "unknown" => "unknown",
                early if early < "08" => "night",
                late if late >= "16" => "evening",
                _ => "day",
            };
            let weekdays = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
            let name = date.strftime("%A").to_string();
            let weekday = 1 + weekdays.iter().position(|w| *w == name).unwrap_or(99);
            let buckets = [
                (Scope::Cause, found.cause.map_or("unknown".to_owned(), |c| c.to_string())),
                (Scope::Hour, hour.clone()),
                (Scope::Shift, shift.to_owned()),
                (Scope::Weekday, weekday.to_string()),
                (Scope::Month, date.strftime("%m").to_string()),
                (Scope::Quarter, ((date.month() + 2) / 3).to_string()),
            ];
            for bucket in buckets {
                groups.entry(bucket).or_default().push(found);
            }
        }
        let mut rows = Vec::new();
        for ((scope, key), found) in groups {
            let row = |window: &Window| {
                let (from, to) = days(*window, self.day);
                let within: Vec<&&Found> =
                    found.iter().filter(|f| from <= f.occurred_on && f.occurred_on <= to).collect();
                let production = || within.iter().filter(|f| f.category == Category::Production);
                let mut other = BTreeMap::new();
                for f in within.iter().filter(|f| f.category != Category::Production) {
                    *other.entry(f.category).or_default() += 1;
                }
                Rate {
                    scope,
                    key: key.clone(),
                    window: *window,
                    as_of: self.day,
                    incidents: production().count() as u32,
                    persons: production().map(|f| f.persons).sum(),
                    incidents_with_headcount: 0,
                    headcount: None,
                    per_thousand: None,
                    reason: Some(RateReason::NoHeadcount),
                    low: None,
                    high: None,
                    shrunken: None,
                    shrunken_reason: None,
                    rankable: false,
                    other,
                }
            };
            let of_group: Vec<Rate> = WINDOWS.iter().map(row).collect();
            if of_group.iter().any(|r| r.incidents > 0 || !r.other.is_empty()) {
                rows.extend(of_group);
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_seen_from_a_leap_day() {
        let day = |t: &str| t.parse::<Day>().unwrap();
        let seen = |w| days(w, day("2024-02-29"));
        assert_eq!(seen(Window::Rolling(30)), (day("2024-01-31"), day("2024-02-29")));
        assert_eq!(seen(Window::Rolling(365)), (day("2023-03-02"), day("2024-02-29")));
        assert_eq!(seen(Window::Month), (day("2024-02-01"), day("2024-02-29")));
        assert_eq!(seen(Window::Quarter), (day("2024-01-01"), day("2024-02-29")));
        assert_eq!(seen(Window::Year), (day("2024-01-01"), day("2024-02-29")));
        assert_eq!(seen(Window::YearAgo), (day("2023-01-01"), day("2023-02-28")));
        assert_eq!(days(Window::Quarter, day("2025-12-31")), (day("2025-10-01"), day("2025-12-31")));
        assert_eq!(days(Window::YearAgo, day("2025-03-01")), (day("2024-01-01"), day("2024-03-01")));
    }

    #[test]
    fn means_are_added_exactly_and_divided_once() {
        // 100/3 + 50/4 = 550/12 = 275/6; 2 incidents in a thousand of that: 12000/275.
        let sum = Fraction(100, 3).plus(Fraction(50, 4));
        assert_eq!(sum, Fraction(275, 6));
        assert_eq!(sum.value(), 275.0 / 6.0);
        assert_eq!(Fraction(0, 3).reduced(), Fraction(0, 1));
        assert_eq!(Fraction(0, 3).plus(Fraction(0, 2)), Fraction(0, 1));
    }
}
