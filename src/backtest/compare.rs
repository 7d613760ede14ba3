//! Two tallies side by side: the report, as `--json` prints it field by field (docs/backtest.md). Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use tocsin_alerts::contacts::Contacts;
use tocsin_pipeline::policy::Policies;
use tocsin_schemas::codes::{Change, Level, Reason, Rule};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::time::Day;

use super::chance::{self, Chance, Compared};
use super::engines::Ran;
use super::history::Read;
use super::listed::{self, ListDifference, ListRow};
use super::phones::{self, Phones};
use super::tally::{Days, Said};

/// Something under OLD and under NEW.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Pair<T> {
    /// Under OLD.
    pub old: T,
    /// Under NEW.
    pub new: T,
}

/// A count under both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Under OLD.
    pub old: u64,
    /// Under NEW.
    pub new: u64,
    /// NEW less OLD.
    pub difference: i64,
}

/// What was compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The first day compared.
    pub from: Day,
    /// The last one.
    pub to: Day,
    /// How many days.
    pub days: i32,
    /// The history.
    pub history: HistoryRead,
    /// The policies.
    pub policies: Pair<PolicyUsed>,
    /// Alerts by rule and change.
    pub alerts: Vec<AlertRow>,
    /// Days of enterprises on which anything was said.
    pub enterprise_days: EnterpriseDays,
    /// Escalations that opened at a level or rose to it.
    pub escalations: Vec<LevelRow>,
    /// The same by area.
    pub areas: Vec<AreaRow>,
    /// Enterprises that stood at a level or above at any time.
    pub enterprises: Vec<EnterprisesRow>,
    /// Evenings at each level, summed over enterprises.
    pub level_days: Vec<LevelRow>,
    /// Enterprises on the lists of the years compared, as the lists last stood (S11).
    pub lists: Vec<ListRow>,
    /// Messages.
    pub messages: Pair<Messages>,
    /// Incidents that nobody is told of, by reason.
    pub not_due: Vec<ReasonRow>,
    /// False alarms to expect.
    pub by_chance: Pair<Chance>,
    /// What to know when reading it.
    pub notes: Vec<String>,
    /// What was said under one policy alone, by day and enterprise.
    pub differences: Vec<Difference>,
    /// Enterprises that stand otherwise on the list of a year.
    pub list_differences: Vec<ListDifference>,
}

/// The history as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HistoryRead {
    /// The day of the first arrival.
    pub first_on: Day,
    /// Lines or records.
    pub records: u64,
    /// Refused ones among them.
    pub refused: u64,
}

/// One of the policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyUsed {
    /// Where it comes from.
    pub from: String,
    /// SHA-256 (hex) over its values, with the day of `--policy-from` if that was given.
    pub hash: Arc<str>,
    /// The days on which its tables begin.
    pub effective_from: Vec<Day>,
}

/// Alerts of one rule and change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AlertRow {
    /// The rule.
    pub rule: Rule,
    /// The change.
    pub change: Change,
    /// How many.
    #[serde(flatten)]
    pub counts: Counts,
    /// Those that NEW does not say of that enterprise on that day.
    pub only_old: u64,
    /// Those that OLD does not say.
    pub only_new: u64,
}

/// Days of enterprises on which at least one policy says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct EnterpriseDays {
    /// Both say the same.
    pub same: u64,
    /// OLD alone says something.
    pub only_old: u64,
    /// NEW alone says something.
    pub only_new: u64,
    /// Both say something, but not the same.
    pub other: u64,
}

/// A count at a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LevelRow {
    /// The level.
    pub level: Level,
    /// How many.
    #[serde(flatten)]
    pub counts: Counts,
}

/// A count at a level in an area.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AreaRow {
    /// The area on the day of the decision.
    pub area: Arc<str>,
    /// The level.
    pub level: Level,
    /// How many.
    #[serde(flatten)]
    pub counts: Counts,
}

/// Enterprises at a level or above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct EnterprisesRow {
    /// The level.
    pub level: Level,
    /// How many.
    #[serde(flatten)]
    pub counts: Counts,
    /// Those that do not stand there under NEW.
    pub only_old: u64,
    /// Those that do not stand there under OLD.
    pub only_new: u64,
}

/// A count with a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ReasonRow {
    /// The reason.
    pub reason: Reason,
    /// How many.
    #[serde(flatten)]
    pub counts: Counts,
}

/// The messages of one policy: one for each audience of each alert.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Messages {
    /// How many.
    pub messages: u64,
    /// As a mean over the days compared.
    pub a_day: f64,
    /// The day with the most, the first of several.
    pub busiest: Option<Busiest>,
    /// By phone; absent if the history knows no contacts.
    pub phones: Option<Phones>,
}

/// The busiest day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Busiest {
    /// The day.
    pub on: Day,
    /// Its messages.
    pub messages: u64,
}

/// One day of one enterprise on which the policies differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The day.
    pub on: Day,
    /// The enterprise.
    pub uscc: Uscc,
    /// Its name, where registered.
    pub name: Option<Arc<str>>,
    /// Its area.
    pub area: Option<Arc<str>>,
    /// What OLD says and NEW does not.
    pub old: Vec<Times>,
    /// What NEW says and OLD does not.
    pub new: Vec<Times>,
}

/// Something that is said, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Times {
    /// What.
    #[serde(flatten)]
    pub said: Said,
    /// How often on that day.
    pub times: u64,
}

/// One side before it is compared.
pub struct Side {
    /// Where the policy comes from.
    pub from: String,
    /// The policy.
    pub policies: Policies,
    /// What it said.
    pub ran: Ran,
}

impl Counts {
    /// With the difference.
    pub fn new(old: u64, new: u64) -> Counts {
        Counts { old, new, difference: new as i64 - old as i64 }
    }
}

impl Report {
    /// Compares.
    pub fn of(old: &Side, new: &Side, days: Compared, read: Read, contacts: &Contacts) -> Report {
        let (was, is) = (&old.ran.tally, &new.ran.tally);
        let differences = differences(old, new);
        let years: BTreeSet<i32> = (days.from.year()..=days.to.year()).map(i32::from).collect();
        let named =
            |uscc: &Uscc| is.known.get(uscc).or_else(|| was.known.get(uscc)).cloned().unwrap_or_default();
        Report {
            from: days.from,
            to: days.to,
            days: days.days(),
            history: HistoryRead { first_on: days.first, records: read.records, refused: read.refused },
            policies: Pair { old: used(old), new: used(new) },
            alerts: alerts(old, new, &differences),
            enterprise_days: enterprise_days(&was.days, &is.days),
            escalations: by_level(
                &sums(was.reached.iter().map(|((level, _), n)| (*level, *n))),
                &sums(is.reached.iter().map(|((level, _), n)| (*level, *n))),
            ),
            areas: both(&was.reached, &is.reached)
                .into_iter()
                .map(|((level, area), counts)| AreaRow { area, level, counts })
                .collect(),
            enterprises: Level::ALL.iter().map(|level| enterprises(old, new, *level)).collect(),
            level_days: by_level(&level_days(old, days), &level_days(new, days)),
            messages: Pair { old: messages(old, days, contacts), new: messages(new, days, contacts) },
            not_due: both(&not_due(old, days), &not_due(new, days))
                .into_iter()
                .map(|(reason, counts)| ReasonRow { reason, counts })
                .collect(),
            by_chance: Pair { old: by_chance(old, days), new: by_chance(new, days) },
            notes: notes(old, new, days),
            lists: listed::rows(&was.lists, &is.lists, &years),
            list_differences: listed::differences(&was.lists, &is.lists, &years, named),
            differences,
        }
    }
}

fn used(side: &Side) -> PolicyUsed {
    PolicyUsed {
        from: side.from.clone(),
        hash: Arc::clone(side.policies.hash()),
        effective_from: side.policies.tables().iter().map(|t| t.effective_from).collect(),
    }
}

/// The counts of every key that either has.
fn both<K: Ord + Clone>(old: &BTreeMap<K, u64>, new: &BTreeMap<K, u64>) -> Vec<(K, Counts)> {
    let keys: BTreeSet<&K> = old.keys().chain(new.keys()).collect();
    let of = |counts: &BTreeMap<K, u64>, key: &K| counts.get(key).copied().unwrap_or(0);
    keys.into_iter().map(|key| (key.clone(), Counts::new(of(old, key), of(new, key)))).collect()
}

fn sums<K: Ord>(counts: impl Iterator<Item = (K, u64)>) -> BTreeMap<K, u64> {
    let mut sums = BTreeMap::new();
    for (key, n) in counts {
        *sums.entry(key).or_default() += n;
    }
    sums
}

/// A row for every level, zeros too.
fn by_level(old: &BTreeMap<Level, u64>, new: &BTreeMap<Level, u64>) -> Vec<LevelRow> {
    let of = |counts: &BTreeMap<Level, u64>, level: &Level| counts.get(level).copied().unwrap_or(0);
    let row = |level: &Level| LevelRow { level: *level, counts: Counts::new(of(old, level), of(new, level)) };
    Level::ALL.iter().map(row).collect()
}

fn level_days(side: &Side, days: Compared) -> BTreeMap<Level, u64> {
    let spans = side.ran.tally.spans(days.to);
    sums(spans.iter().map(|s| (s.level, chance::evenings(s, days.from, days.to).unsigned_abs())))
}

/// Of the whole history what the engine says at its end, as `replay` does. Of some of its days what was decided in them.
fn not_due(side: &Side, days: Compared) -> BTreeMap<Reason, u64> {
    match days.from == days.first {
        true => side.ran.not_due.clone(),
        false => side.ran.tally.not_due(&side.ran.counted),
    }
}

fn by_chance(side: &Side, days: Compared) -> Chance {
    let mut spans = side.ran.tally.spans(days.to);
    // People and injuries are those of whoever took an enterprise over, so are its evenings.
    spans.iter_mut().for_each(|s| s.uscc = side.ran.roots.get(&s.uscc).copied().unwrap_or(s.uscc));
    chance::of(&side.policies, &side.ran.exposure, &spans, days)
}

fn enterprises(old: &Side, new: &Side, level: Level) -> EnterprisesRow {
    let at = |side: &Side| -> BTreeSet<Uscc> {
        side.ran.tally.stood.range(level..).flat_map(|(_, firms)| firms).copied().collect()
    };
    let (was, is) = (at(old), at(new));
    EnterprisesRow {
        level,
        counts: Counts::new(was.len() as u64, is.len() as u64),
        only_old: was.difference(&is).count() as u64,
        only_new: is.difference(&was).count() as u64,
    }
}

/// Alerts by rule and change; those of one policy alone are those of the differences.
fn alerts(old: &Side, new: &Side, differences: &[Difference]) -> Vec<AlertRow> {
    let only = |of: fn(&Difference) -> &Vec<Times>| {
        sums(differences.iter().flat_map(of).map(|t| ((t.said.rule, t.said.change), t.times)))
    };
    let (only_old, only_new) = (only(|d| &d.old), only(|d| &d.new));
    both(&old.ran.tally.alerts, &new.ran.tally.alerts)
        .into_iter()
        .map(|((rule, change), counts)| AlertRow {
            rule,
            change,
            counts,
            only_old: only_old.get(&(rule, change)).copied().unwrap_or(0),
            only_new: only_new.get(&(rule, change)).copied().unwrap_or(0),
        })
        .collect()
}

fn enterprise_days(old: &Days, new: &Days) -> EnterpriseDays {
    let mut days = EnterpriseDays::default();
    for (day, was) in old {
        match new.get(day) {
            None => days.only_old += 1,
            Some(is) if is == was => days.same += 1,
            Some(_) => days.other += 1,
        }
    }
    days.only_new = new.keys().filter(|day| !old.contains_key(day)).count() as u64;
    days
}

fn differences(old: &Side, new: &Side) -> Vec<Difference> {
    let (was, is) = (&old.ran.tally, &new.ran.tally);
    let keys: BTreeSet<&(Day, Uscc)> = was.days.keys().chain(is.days.keys()).collect();
    let nothing = BTreeMap::new();
    let more = |than: &BTreeMap<Said, u64>, this: &BTreeMap<Said, u64>| -> Vec<Times> {
        this.iter()
            .map(|(said, n)| (said, n.saturating_sub(than.get(said).copied().unwrap_or(0))))
            .filter(|(_, times)| *times > 0)
            .map(|(said, times)| Times { said: said.clone(), times })
            .collect()
    };
    let mut differences = Vec::new();
    for key in keys {
        let (a, b) = (was.days.get(key).unwrap_or(&nothing), is.days.get(key).unwrap_or(&nothing));
        let (old, new) = (more(b, a), more(a, b));
        if old.is_empty() && new.is_empty() {
            continue;
        }
        let (on, uscc) = *key;
        let known = is.known.get(&uscc).or_else(|| was.known.get(&uscc)).cloned().unwrap_or_default();
        differences.push(Difference { on, uscc, name: known.name, area: known.area, old, new });
    }
    differences
}

fn messages(side: &Side, days: Compared, contacts: &Contacts) -> Messages {
    let sent = &side.ran.tally.sent;
    let by_day = sums(sent.iter().map(|s| (s.on, s.to.len() as u64)));
    let messages: u64 = by_day.values().sum();
    let busiest = by_day.iter().max_by_key(|(on, n)| (**n, std::cmp::Reverse(**on)));
    Messages {
        messages,
        a_day: messages as f64 / f64::from(days.days()),
        busiest: busiest.map(|(on, messages)| Busiest { on: *on, messages: *messages }),
        phones: phones::count(sent, contacts),
    }
}

/// What would mislead if it were not said.
fn notes(old: &Side, new: &Side, days: Compared) -> Vec<String> {
    let mut notes = Vec::new();
    if old.policies.hash() == new.policies.hash() {
        notes.push("OLD and NEW are the same policy: nothing can differ".to_owned());
    }
    for (name, side) in [("OLD", old), ("NEW", new)] {
        let begins = side.policies.begins();
        if begins > days.from {
            notes.push(format!(
                "{name} takes effect on {begins}, after the first day compared: before that day it says nothing"
            ));
        }
        let tables = side.policies.tables();
        let later: Vec<String> =
            tables.iter().map(|t| t.effective_from).filter(|d| *d > days.to).map(|d| d.to_string()).collect();
        if !later.is_empty() {
            let how = if name == "NEW" { " (--table DATE runs one as if it had held)" } else { "" };
            notes.push(format!(
                "{name} has tables that begin after the last day compared and play no part: {}{how}",
                later.join(", ")
            ));
        }
        if tables.iter().any(|t| {
            t.effective_from > days.from && t.effective_from <= days.to && t.effective_from != begins
        }) {
            notes.push(format!(
                "{name} changes its table within the days compared: by chance is meant under the table of {}",
                side.policies.on(days.to).effective_from
            ));
        }
    }
    notes
}
