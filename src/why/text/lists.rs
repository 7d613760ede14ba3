//! The pages of a list and of an entry on it.

use tocsin_pipeline::why::{
    EntryExplained, EventView, HeadcountView, ListedExplained, WholeExplained, YearBefore, YearBy,
};
use tocsin_schemas::codes::{List, ListClass, ListReason};
use tocsin_schemas::records::{Listed, Member, Model, Reference};
use tocsin_schemas::time::Instant;

use super::super::deep::Again;
use super::{Page, changed, counted, policy, registered};
use crate::output::{digits, probability};

/// So many of a list are shown; JSON has all.
const SHOWN: usize = 200;

impl Page<'_> {
    pub(super) fn listed(&mut self, why: &ListedExplained) {
        match why {
            ListedExplained::Entry(entry) => self.entry(entry),
            ListedExplained::Whole(whole) => self.whole(whole),
        }
    }

    /// The entries of an enterprise, a line each.
    pub(super) fn entries(&mut self, all: &[EntryExplained]) {
        if all.is_empty() {
            return;
        }
        self.head("The lists that it is or was on");
        for entry in all {
            let off = if entry.taken_off { ", taken off since" } else { "" };
            let adds_up = match (entry.check.adds_up(), checked(entry)) {
                (false, _) => "IT DOES NOT ADD UP",
                (true, false) => "not checked",
                (true, true) => "adds up",
            };
            let (key, said) = (&entry.key, said(entry.member()));
            self.line(1, format!("{key}: {said}{off}; {adds_up} (tocsin why '{key}')"));
        }
    }

    fn entry(&mut self, why: &EntryExplained) {
        let (listed, member) = (&why.entry, why.member());
        let name = why.name.as_deref().unwrap_or("not registered");
        self.line(0, format!("LIST OF {}: {} {name}, {}", listed.year, member.uscc, said(member)));
        self.line(0, format!("entry {}, decided {}, as of {}", why.key, listed.decided_at, listed.as_of));
        if listed.list == List::Frozen {
            let by = listed.event_id.as_deref().unwrap_or("an unknown event");
            let approved = match why.approved {
                Some(true) => "approved by a named person",
                Some(false) => "approved by nobody with a name",
                None => "and the list as a whole is not in the topic",
            };
            self.line(0, format!("frozen with event {by}, {approved}"));
            if !why.frozen_again.is_empty() {
                self.line(
                    0,
                    format!("and, without any change, again with event {}", why.frozen_again.join(", ")),
                );
            }
        }
        self.head("By which rule");
        self.tests(why);
        self.line(1, policy(&why.policy));
        self.head("What it was compared with");
        self.reference(listed.reference.as_ref());
        self.chances(member);
        self.years(why);
        self.head("The incidents that count, as known at the decision");
        self.incidents(1, &why.incidents);
        self.head("The headcounts of the mean, as known at the decision");
        if why.headcounts.is_empty() {
            self.line(1, "no month of the year has one");
        }
        why.headcounts.iter().for_each(|h| self.line(1, insured(h)));
        self.order(&why.taken_later, "can have been decided by then, but what was written only follows if it was taken in later (it came late, or at the same instant)");
        self.order(&why.stamped_ahead, "is stamped later, but what was written only follows if it was known (its stamp was ahead of the clock)");
        self.head("What came since");
        self.after(why);
        self.head("Does it add up");
        match (why.check.unchecked.as_slice(), why.years_unknown) {
            _ if !why.check.adds_up() => {}
            ([], false) => self.line(
                1,
                "yes: class, reasons, tests, incidents, persons, headcount, rates, chances and years running come out \
                 again from the records above, with the city's rate and the model as the entry names them",
            ),
            ([], true) => self.line(
                1,
                "all but the years running, which are not checked: the topic does not hold the list of the year before \
                 any more as it stood then",
            ),
            (unchecked, years_unknown) => self.line(
                1,
                format!(
                    "not checked: {} (the policy that decided is not at hand); {} come out again",
                    unchecked.join(", "),
                    if years_unknown {
                        "nor the years running; headcount and city's rate"
                    } else {
                        "headcount, city's rate and years running"
                    }
                ),
            ),
        }
        self.differences(&why.check.differences);
    }

    fn tests(&mut self, why: &EntryExplained) {
        let (member, limits) = (why.member(), &why.limits);
        self.line(
            1,
            "S11: key (重点) by any of three tests, general (一般) with an incident and none of them; production incidents \
             of the calendar year",
        );
        let (persons, days) = (counted(member.persons.into(), "person"), counted(why.days.into(), "day"));
        self.line(
            1,
            format!(
                "{}, {persons}, severe or fatal {}, from {} to {} ({days})",
                counted(member.incidents.into(), "incident"),
                member.severe,
                why.from,
                why.to
            ),
        );
        self.line(
            1,
            match (member.headcount, member.per_thousand) {
                (Some(heads), Some(rate)) => format!(
                    "mean headcount {}: {} incidents for each thousand insured persons, not annualised",
                    number(heads),
                    number(rate)
                ),
                _ => format!(
                    "no rate: {}",
                    member.reason.map_or_else(|| "unknown why".to_owned(), |reason| reason.to_string())
                ),
            },
        );
        let percent = digits(limits.confidence * 100.0);
        let severe = if limits.severe_is_key { "a severe or fatal incident" } else { "switched off" };
        let tests = [
            (
                ListReason::SeveralAndAboveAverage,
                format!(
                    "{} incidents or more, and the lower end of the {percent} % interval of the shrunken rate above the city's: \
                     a probability above {} that the true rate is",
                    limits.key_incidents,
                    digits(1.0 - (1.0 - limits.confidence) / 2.0)
                ),
            ),
            (
                ListReason::HighRate,
                format!(
                    "{} incidents or more, a rate above {} times the city's, and chance alone gives as many less often \
                     than {}",
                    limits.rate_incidents,
                    digits(limits.rate_factor),
                    digits(limits.chance_below)
                ),
            ),
            (ListReason::Severe, severe.to_owned()),
        ];
        for (reason, what) in tests {
            let holds = match member.undetermined.get(&reason) {
                Some(why) => format!("CANNOT BE TESTED ({why})"),
                None if member.reasons.contains(&reason) => "holds".to_owned(),
                None => "does not hold".to_owned(),
            };
            self.line(2, format!("{reason}: {holds} ({what})"));
        }
    }

    fn reference(&mut self, reference: Option<&Reference>) {
        let Some(r) = reference else {
            self.line(1, "nothing: no midnight of the year had passed");
            return;
        };
        let rate = match (r.per_thousand, r.headcount) {
            (Some(rate), Some(heads)) => format!(
                "{} for each thousand: {} at enterprises with a headcount, {} insured",
                number(rate),
                counted(r.incidents.into(), "incident"),
                number(heads)
            ),
            _ => "none, as no enterprise has a headcount".to_owned(),
        };
        self.line(1, format!("the city's rate, taken at the midnight that began {}: {rate}", r.taken_on));
        let model = match (&r.model, r.modelled_on) {
            (Some(m), _) => format!("the rates of all enterprises, {}", modelled(m, number)),
            (None, Some(day)) => {
                format!("no model of the rates of all enterprises: tried at the midnight that began {day}")
            }
            (None, None) => "no model of the rates of all enterprises yet".to_owned(),
        };
        self.line(1, model);
        let here =
            if self.deep { "made again at the end of this page" } else { "not made again here: --deep does" };
        self.line(1, format!("both are made of the records of every enterprise, and are {here}"));
        self.line(1, "later midnights compare with later ones: what replay and `tocsin lists` show beside it is theirs");
    }

    /// What it was compared with, made again.
    pub(super) fn deep(&mut self, again: &Again) {
        self.head("The city's rate and the model, made again from the records of every enterprise (--deep)");
        self.line(1, format!("{} records were read", again.records));
        if again.differences.is_empty() {
            self.line(1, "they come out again as the entry names them");
        }
        for d in &again.differences {
            self.line(1, format!("{}: said {}; the records give {}", d.field, d.said, d.recomputed));
        }
    }

    fn chances(&mut self, member: &Member) {
        let known = |value: Option<f64>, shown: fn(f64) -> String| {
            value.map_or_else(|| "cannot be computed".to_owned(), shown)
        };
        self.line(
            1,
            format!("its rate shrunken towards all others: {}", known(member.shrunken_per_thousand, number)),
        );
        self.line(
            1,
            format!(
                "the probability that its true rate is above the city's: {}",
                known(member.chance_above_city, probability)
            ),
        );
        self.line(
            1,
            format!(
                "how often chance alone gives as many incidents: {}",
                known(member.chance_of_as_many, probability)
            ),
        );
    }

    fn years(&mut self, why: &EntryExplained) {
        let member = why.member();
        if member.class != ListClass::Key {
            return;
        }
        self.head("For how many years running (S36)");
        why.years.iter().for_each(|year| self.line(1, before(year)));
        let persistent = if member.persistent { "persistently so" } else { "not persistently so" };
        let (years, limit) = (counted(member.key_years.into(), "year"), why.limits.persistent_years);
        self.line(1, format!("key for {years} running: {persistent}, which begins with {limit}"));
    }

    fn after(&mut self, why: &EntryExplained) {
        let since = &why.since;
        let mut lines: Vec<(Instant, String)> = Vec::new();
        lines.extend(since.reports.iter().map(|c| (c.version.arrived_at, changed(c))));
        lines.extend(since.registered.iter().map(|r| (r.arrived_at, registered(r))));
        lines.extend(
            since
                .headcounts
                .iter()
                .map(|h| (h.arrived_at, format!("{} headcount {}", h.arrived_at, insured(h)))),
        );
        lines.sort_by_key(|(at, _)| *at);
        if lines.is_empty() {
            self.line(1, "no record: every report and headcount stands as it stood");
        }
        lines.iter().for_each(|(_, text)| self.line(1, text));
        self.line(1, format!("now: incidents that count in the year {}", since.incidents));
        match (why.entry.list, &since.live) {
            (List::Annual, _) if why.taken_off => self.line(1, "the enterprise was taken off the list"),
            (List::Annual, _) => self.line(1, "the entry stands as it was written"),
            (List::Frozen, None) => self.line(1, "the enterprise is not on the live list of that year"),
            (List::Frozen, Some(live)) => {
                let same = if since.moved.is_empty() { ", and says the same" } else { "" };
                self.line(
                    1,
                    format!("the live entry {} was last written {}{same}", live.key(), live.decided_at),
                );
            }
        }
        for (field, frozen, live) in &since.moved {
            self.line(2, format!("{field}: frozen {frozen}, live {live}"));
        }
    }

    fn whole(&mut self, why: &WholeExplained) {
        let listed = &why.entry;
        self.line(0, format!("LIST {}: {}", why.key, sizes(listed)));
        self.line(0, format!("decided {}, as of {}", listed.decided_at, listed.as_of));
        if listed.list == List::Frozen {
            self.head("The event that asked for it");
            why.events.iter().for_each(|e| self.line(1, event(e)));
        }
        let refused = listed.whole.as_ref().is_some_and(|whole| whole.refused.is_some());
        if !refused {
            self.head("What it was compared with");
            self.reference(listed.reference.as_ref());
            self.head("Who is on it");
            if why.members.is_empty() {
                self.line(1, "nobody");
            }
        }
        for member in why.members.iter().take(SHOWN) {
            let persistent = if member.persistent { ", for years running" } else { "" };
            self.line(1, format!("{} {}{persistent}", member.uscc, member.class));
        }
        if let Some(more) = why.members.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            self.line(1, format!("and {more} more: --json has all"));
        }
        if listed.list == List::Frozen && !refused {
            self.head("What the live list of the year says otherwise");
            if why.moved.is_empty() {
                self.line(1, "nothing");
            }
            let class = |of: Option<ListClass>| of.map_or_else(|| "not on it".to_owned(), |c| c.to_string());
            for moved in why.moved.iter().take(SHOWN) {
                let (frozen, live) = (class(moved.frozen), class(moved.live));
                self.line(1, format!("{}: frozen {frozen}, live {live}", moved.uscc));
            }
        }
        self.head("Does it add up");
        if why.check.adds_up() {
            self.line(
                1,
                match listed.list {
                    List::Annual => "yes: the sizes are those of its entries. Each entry has a page of its own",
                    List::Frozen => "yes: the sizes are those of its entries, and the event gives what was made of it. Each \
                                     entry has a page of its own",
                },
            );
        }
        self.differences(&why.check.differences);
    }
}

/// A model in words, with its numbers as the page has them or with every digit.
pub fn modelled(m: &Model, number: fn(f64) -> String) -> String {
    format!(
        "modelled at the midnight that began {} by {}: {} with {}, {} for each person-year, gamma of shape {} and rate {}",
        m.taken_on,
        m.fitted_by,
        counted(m.firms.into(), "enterprise"),
        counted(m.incidents.into(), "incident"),
        number(m.per_person_year),
        number(m.nu),
        number(m.alpha)
    )
}

/// Whether all of it could be checked.
fn checked(entry: &EntryExplained) -> bool {
    entry.check.unchecked.is_empty() && !entry.years_unknown
}

fn said(member: &Member) -> String {
    let class = match member.class {
        ListClass::Key => "key (重点)",
        ListClass::General => "general (一般)",
    };
    let reasons: Vec<String> = member.reasons.iter().map(ToString::to_string).collect();
    let open = if member.undetermined.is_empty() { "" } else { "; a test could not be made" };
    format!("{class} because of {}{open}", reasons.join(", "))
}

fn sizes(listed: &Listed) -> String {
    let Some(whole) = &listed.whole else { return "of unknown size".to_owned() };
    if let Some(refused) = whole.refused {
        return format!("not frozen ({refused})");
    }
    let approved = match (listed.list, &whole.approver) {
        (List::Annual, _) => "",
        (List::Frozen, Some(_)) => "; approved by a named person",
        (List::Frozen, None) => "; approved by nobody with a name",
    };
    let same = whole.same_as.as_ref().map_or_else(String::new, |event| {
        format!("; equal to what event {event} froze, whose entries it has")
    });
    format!(
        "key {}, of these for years running {}; general {}{approved}{same}",
        whole.key, whole.persistent, whole.general
    )
}

fn event(e: &EventView) -> String {
    let approved = if e.approved { "approved by a named person" } else { "approved by nobody with a name" };
    let fate = e.refused.map_or_else(String::new, |refused| format!(", which is refused ({refused})"));
    format!(
        "version {}: {} of {:?}, {approved}{fate}, arrived {}  {}",
        e.version, e.kind, e.subject, e.arrived_at, e.place
    )
}

fn before(year: &YearBefore) -> String {
    let key = match year.key {
        Some(true) => "key",
        Some(false) => "not key",
        None => "not key, as far as the topic still says",
    };
    match &year.by {
        YearBy::Frozen { event_id } => {
            format!("{}: {key}, by the list that event {event_id} froze", year.year)
        }
        YearBy::Live => format!("{}: {key}, by the live list, as nobody had frozen it", year.year),
        YearBy::NotFrozen => {
            format!("{}: {key}, by its list as that last stood: nobody froze one", year.year)
        }
        YearBy::NoList => format!("{0}: {key}: the topic had no list of {0}", year.year),
    }
}

fn insured(h: &HeadcountView) -> String {
    format!(
        "{} {}: {} insured, version {}, arrived {}  {}",
        h.month, h.uscc, h.insured, h.version, h.arrived_at, h.place
    )
}

/// So that people can read it: four digits behind the point, more of what is small.
fn number(value: f64) -> String {
    let text =
        if value != 0.0 && value.abs() < 0.001 { format!("{value:.2e}") } else { format!("{value:.4}") };
    match text.contains('.') && !text.contains('e') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}
