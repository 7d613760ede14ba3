//! Two replays, counted from their files by plain code that knows nothing of the command's own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};
use tocsin_schemas::time::Day;

use crate::city::{self, Line};

const LEVELS: [&str; 4] = ["blue", "yellow", "orange", "red"];

/// What a replay left.
pub struct Replayed {
    pub alerts: Vec<Value>,
    pub incidents: Vec<Value>,
    pub summary: Value,
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

impl Replayed {
    pub fn read(dir: &Path) -> Replayed {
        let summary = std::fs::read_to_string(dir.join("summary.json")).unwrap();
        Replayed {
            alerts: lines(&dir.join("alerts.jsonl")),
            incidents: lines(&dir.join("incidents.jsonl")),
            summary: serde_json::from_str(&summary).unwrap(),
        }
    }

    fn within(&self, from: Day, to: Day) -> impl Iterator<Item = &Value> {
        self.alerts.iter().filter(move |a| (from..=to).contains(&day(&a["as_of"])))
    }
}

fn day(value: &Value) -> Day {
    value.as_str().unwrap().parse().unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// The enterprise of an alert. There are no hosts in this city: an incident's alert goes to its own enterprise.
fn enterprise(alert: &Value) -> String {
    if alert["rule"] == "escalation" {
        text(&alert["subject"])
    } else {
        text(&alert["audiences"][0]["subject"])
    }
}

type Counts = BTreeMap<String, i64>;

fn counted<'a>(alerts: impl Iterator<Item = &'a Value>, key: impl Fn(&Value) -> Option<String>) -> Counts {
    let mut counts = Counts::new();
    for key in alerts.filter_map(key) {
        *counts.entry(key).or_default() += 1;
    }
    counts
}

/// Rows by key: [old, new, difference].
fn side_by_side(old: &Counts, new: &Counts) -> BTreeMap<String, [i64; 3]> {
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    keys.into_iter()
        .map(|key| {
            let (a, b) = (old.get(key).copied().unwrap_or(0), new.get(key).copied().unwrap_or(0));
            (key.clone(), [a, b, b - a])
        })
        .collect()
}

/// The rows of a table of the report in the same form; rows of zeros are left out, as nobody counts those.
fn rows(table: &Value, key: impl Fn(&Value) -> String) -> BTreeMap<String, [i64; 3]> {
    let n = |row: &Value, name: &str| row[name].as_i64().unwrap();
    let rows = table.as_array().unwrap().iter();
    rows.map(|row| (key(row), [n(row, "old"), n(row, "new"), n(row, "difference")]))
        .filter(|(_, counts)| counts != &[0, 0, 0])
        .collect()
}

/// Asserts that the report says of these days what the two replays say.
pub fn assert_equal(report: &Value, old: &Replayed, new: &Replayed, from: Day, to: Day) {
    let both = |key: &dyn Fn(&Value) -> Option<String>| {
        side_by_side(&counted(old.within(from, to), key), &counted(new.within(from, to), key))
    };
    let by_rule = |a: &Value| Some(format!("{} {}", text(&a["rule"]), text(&a["change"])));
    assert_eq!(rows(&report["alerts"], |r| by_rule(r).unwrap()), both(&by_rule), "alerts");

    let reached = |a: &Value| {
        let rose = a["rule"] == "escalation" && (a["change"] == "new" || a["change"] == "raised");
        rose.then(|| text(&a["level"]))
    };
    assert_eq!(rows(&report["escalations"], |r| text(&r["level"])), both(&reached), "escalations");

    // The township that is told is that of the enterprise's area.
    let by_area = |a: &Value| {
        let told = a["audiences"].as_array()?.iter().find(|t| t["role"] == "township_duty")?;
        Some(format!("{} {}", text(&told["subject"]), reached(a)?))
    };
    let key = |r: &Value| format!("{} {}", text(&r["area"]), text(&r["level"]));
    assert_eq!(rows(&report["areas"], key), both(&by_area), "areas");

    same_things(report, old, new, from, to);
    levels(report, old, new, from, to);
    for (side, replayed) in [("old", old), ("new", new)] {
        messages(&report["messages"][side], replayed, from, to);
    }
}

/// What each enterprise was told on each day, as lines of text.
fn said(replayed: &Replayed, from: Day, to: Day) -> BTreeMap<(String, String), BTreeMap<String, i64>> {
    let mut days: BTreeMap<(String, String), BTreeMap<String, i64>> = BTreeMap::new();
    for a in replayed.within(from, to) {
        *days.entry((text(&a["as_of"]), enterprise(a))).or_default().entry(line(a)).or_default() += 1;
    }
    days
}

fn same_things(report: &Value, old: &Replayed, new: &Replayed, from: Day, to: Day) {
    let (was, is) = (said(old, from, to), said(new, from, to));
    let mut only: BTreeMap<String, [i64; 2]> = BTreeMap::new();
    let mut differing: BTreeSet<(String, String)> = BTreeSet::new();
    let mut days = [0; 4];
    let none = BTreeMap::new();
    let keys: BTreeSet<_> = was.keys().chain(is.keys()).collect();
    for key in keys {
        let (a, b) = (was.get(key).unwrap_or(&none), is.get(key).unwrap_or(&none));
        days[match (a == b, a.is_empty(), b.is_empty()) {
            (true, _, _) => 0,
            (_, _, true) => 1,
            (_, true, _) => 2,
            _ => 3,
        }] += 1;
        for line in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
            let n = b.get(line).copied().unwrap_or(0) - a.get(line).copied().unwrap_or(0);
            if n != 0 {
                differing.insert(key.clone());
                let parts: Vec<&str> = line.split('|').collect();
                let entry = only.entry(format!("{} {}", parts[0], parts[1])).or_default();
                entry[usize::from(n > 0)] += n.abs();
            }
        }
    }
    let d = &report["enterprise_days"];
    let found = ["same", "only_old", "only_new", "other"].map(|name| d[name].as_i64().unwrap());
    assert_eq!(found, days, "days of enterprises");
    for row in report["alerts"].as_array().unwrap() {
        let key = format!("{} {}", row["rule"], row["change"]);
        let expected = only.remove(&key).unwrap_or_default();
        assert_eq!([&row["only_old"], &row["only_new"]], [&json!(expected[0]), &json!(expected[1])], "{key}");
    }
    assert!(only.is_empty(), "not in the report: {only:?}");
    let listed = report["differences"].as_array().unwrap();
    assert_eq!(listed.len(), differing.len());
    for (row, key) in listed.iter().zip(&differing) {
        assert_eq!((text(&row["on"]), text(&row["uscc"])), *key);
        let (a, b) = (was.get(key).unwrap_or(&none), is.get(key).unwrap_or(&none));
        assert_eq!(as_lines(&row["old"]), left_over(a, b), "{row}");
        assert_eq!(as_lines(&row["new"]), left_over(b, a), "{row}");
    }
}

/// What the first says oftener than the second, and how much oftener.
fn left_over(this: &BTreeMap<String, i64>, than: &BTreeMap<String, i64>) -> BTreeMap<String, i64> {
    let more = this.iter().map(|(line, n)| (line.clone(), n - than.get(line).copied().unwrap_or(0)));
    more.filter(|(_, n)| *n > 0).collect()
}

/// One side of a row of differences, as lines of text.
fn as_lines(side: &Value) -> BTreeMap<String, i64> {
    side.as_array().unwrap().iter().map(|said| (line(said), said["times"].as_i64().unwrap())).collect()
}

/// What is said, as a line of text: the fields that make two alerts the same.
fn line(said: &Value) -> String {
    let audiences = said["audiences"].as_array().unwrap().iter();
    let mut audiences: Vec<String> = audiences.map(Value::to_string).collect();
    audiences.sort();
    let words = ["rule", "change", "level", "severity", "reason"].map(|name| said[name].to_string());
    format!("{}|{audiences:?}", words.join("|"))
}

/// The level of each enterprise on the evening of each day, found by going through the days one by one.
fn evenings(replayed: &Replayed, from: Day, to: Day) -> BTreeMap<Day, BTreeMap<String, usize>> {
    let mut open: BTreeMap<String, usize> = BTreeMap::new();
    let mut evenings = BTreeMap::new();
    let mut alerts = replayed.alerts.iter().filter(|a| a["rule"] == "escalation").peekable();
    let start = alerts.peek().map_or(from, |a| day(&a["as_of"])).min(from);
    for on in start.0..=to.0 {
        while let Some(a) = alerts.next_if(|a| day(&a["as_of"]) <= Day(on)) {
            match a["level"].as_str() {
                Some(level) => {
                    open.insert(text(&a["subject"]), LEVELS.iter().position(|l| *l == level).unwrap())
                }
                None => open.remove(a["subject"].as_str().unwrap()),
            };
        }
        if Day(on) >= from {
            evenings.insert(Day(on), open.clone());
        }
    }
    evenings
}

fn levels(report: &Value, old: &Replayed, new: &Replayed, from: Day, to: Day) {
    let of = |replayed: &Replayed| {
        let mut counts = Counts::new();
        for level in evenings(replayed, from, to).values().flat_map(BTreeMap::values) {
            *counts.entry(LEVELS[*level].to_owned()).or_default() += 1;
        }
        counts
    };
    let found = rows(&report["level_days"], |r| text(&r["level"]));
    assert_eq!(found, side_by_side(&of(old), &of(new)), "days at each level");

    // At any time: on an evening before or of a day compared, or said on one of them.
    let stood = |replayed: &Replayed, least: usize| -> BTreeSet<String> {
        let mut firms: BTreeSet<String> = BTreeSet::new();
        for (_, open) in evenings(replayed, from, to) {
            firms.extend(open.into_iter().filter(|(_, level)| *level >= least).map(|(firm, _)| firm));
        }
        let at = |a: &Value| LEVELS.iter().position(|l| a["level"].as_str() == Some(*l));
        let said = replayed.within(from, to).filter(|a| at(a).is_some_and(|level| level >= least));
        firms.extend(said.map(enterprise));
        // What was open in the evening before and ended in the course of the first day is not meant.
        firms
    };
    for (least, row) in report["enterprises"].as_array().unwrap().iter().enumerate() {
        let (was, is) = (stood(old, least), stood(new, least));
        let expected = json!([was.len(), is.len(), was.difference(&is).count(), is.difference(&was).count()]);
        assert_eq!(json!([row["old"], row["new"], row["only_old"], row["only_new"]]), expected, "{row}");
    }
}

fn messages(found: &Value, replayed: &Replayed, from: Day, to: Day) {
    let mut by_day: BTreeMap<Day, u64> = BTreeMap::new();
    for a in replayed.within(from, to) {
        let told = a["audiences"].as_array().unwrap().len() as u64;
        if told > 0 {
            *by_day.entry(day(&a["as_of"])).or_default() += told;
        }
    }
    let all: u64 = by_day.values().sum();
    assert_eq!(found["messages"], json!(all));
    assert_eq!(found["a_day"].as_f64().unwrap(), all as f64 / f64::from(to.0 - from.0 + 1));
    let Some(most) = by_day.values().max() else {
        assert_eq!(found["busiest"], Value::Null);
        return;
    };
    let first = by_day.iter().find(|(_, n)| *n == most).unwrap().0;
    assert_eq!(found["busiest"], json!({"on": first.to_string(), "messages": most}));
}

/// Asserts the counts by phone, from the lines of contacts.
pub fn assert_phones(report: &Value, stream: &[Line], old: &Replayed, new: &Replayed, from: Day, to: Day) {
    let mut phones: BTreeMap<(String, String), (i64, String)> = BTreeMap::new();
    for line in stream.iter().filter(|l| l.topic == "registry.contacts") {
        let v = &line.value;
        let (version, phone) = (v["version"].as_i64().unwrap(), text(&v["phone"]));
        let at = phones.entry((text(&v["role"]), text(&v["subject"]))).or_default();
        if version >= at.0 {
            *at = (version, phone);
        }
    }
    for (side, replayed) in [("old", old), ("new", new)] {
        let (mut nobody, mut by_phone) = (0, BTreeMap::<&str, BTreeMap<String, u64>>::new());
        for a in replayed.within(from, to) {
            for t in a["audiences"].as_array().unwrap() {
                match phones.get(&(text(&t["role"]), text(&t["subject"]))) {
                    None => nobody += 1,
                    Some((_, phone)) => {
                        *by_phone.entry(phone).or_default().entry(text(&a["as_of"])).or_default() += 1;
                    }
                }
            }
        }
        let totals: Vec<u64> = by_phone.values().map(|days| days.values().sum()).collect();
        let found = &report["messages"][side]["phones"];
        assert_eq!(found["nobody"], json!(nobody), "{side}");
        assert_eq!(found["messages"], json!(totals.iter().sum::<u64>()));
        assert_eq!(found["phones"], json!(totals.len()));
        assert_eq!(found["most"], json!(totals.iter().max().unwrap_or(&0)));
        let on_a_day = by_phone.values().flat_map(BTreeMap::values).max().unwrap_or(&0);
        assert_eq!(found["most_on_a_day"], json!(on_a_day));
        let mean = (!totals.is_empty()).then(|| totals.iter().sum::<u64>() as f64 / totals.len() as f64);
        assert_eq!(found["mean"].as_f64(), mean);
    }
}

/// Asserts the incidents that nobody was told of: of the whole history, what the summary says.
pub fn assert_not_due(report: &Value, old: &Replayed, new: &Replayed) {
    let of = |r: &Replayed| -> Counts {
        let reasons = r.summary["not_due"].as_object().unwrap().iter();
        reasons.map(|(reason, n)| (reason.clone(), n.as_i64().unwrap())).collect()
    };
    let found = rows(&report["not_due"], |r| text(&r["reason"]));
    assert_eq!(found, side_by_side(&of(old), &of(new)));
    assert!(!found.is_empty(), "the city has late reports");
}

/// Asserts one side of the false alarms: expected counts from the lines, Poisson terms summed one by one.
pub fn assert_chance(
    found: &Value,
    stream: &[Line],
    replayed: &Replayed,
    (from, to): (Day, Day),
    steps: [u64; 4],
    window: i32,
    severe_is_red: bool,
) {
    let mut months: BTreeMap<(String, String), (i64, f64)> = BTreeMap::new();
    let (first_month, last_month) = (from.to_string()[..7].to_owned(), to.to_string()[..7].to_owned());
    for line in stream.iter().filter(|l| l.topic == "registry.headcount") {
        let v = &line.value;
        let (uscc, month) = (text(&v["uscc"]), text(&v["month"]));
        if (&first_month..=&last_month).contains(&&month) {
            let at = months.entry((uscc, month)).or_insert((0, 0.0));
            if v["version"].as_i64().unwrap() >= at.0 {
                *at = (v["version"].as_i64().unwrap(), v["insured"].as_f64().unwrap());
            }
        }
    }
    let mut firms: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for ((uscc, _), (_, insured)) in months {
        firms.entry(uscc).or_default().push(insured);
    }
    let firms: BTreeMap<String, f64> = firms
        .into_iter()
        .map(|(uscc, all)| (uscc, all.iter().sum::<f64>() / all.len() as f64))
        .filter(|(_, mean)| *mean > 0.0)
        .collect();
    let counts = replayed.incidents.iter().filter(|i| {
        i["state"] == "counted"
            && i["category"] == "production"
            && (from..=to).contains(&day(&i["occurred_on"]))
    });
    let there: Vec<&Value> =
        counts.clone().filter(|i| firms.contains_key(i["uscc"].as_str().unwrap())).collect();
    let severe = there.iter().filter(|i| i["severity"] != "minor").count();
    assert_eq!(found["incidents"], json!(there.len()));
    assert_eq!(found["severe"], json!(severe));
    assert_eq!(found["without_headcount"], json!(counts.count() - there.len()));
    assert_eq!(found["enterprises"], json!(firms.len()));
    let insured: f64 = firms.values().sum();
    let days = f64::from(to.0 - from.0 + 1);
    let share = if severe_is_red { severe as f64 / there.len() as f64 } else { 0.0 };
    let full = city::first().plus(window - 1).max(from);
    assert_eq!(found["full_from"], json!(full.to_string()));
    let evenings = evenings(replayed, full, to);
    for (at, row) in found["levels"].as_array().unwrap().iter().enumerate() {
        let expected = there.len() as f64 / days * f64::from(window) / insured;
        let by_chance: f64 = firms
            .values()
            .map(|firm| {
                let (severe, other) = (expected * firm * share, expected * firm * (1.0 - share));
                let (mut term, mut below) = ((-other).exp(), 0.0);
                for j in 0..steps[at] {
                    below += term;
                    term *= other / (j + 1) as f64;
                }
                1.0 - (-severe).exp() * below
            })
            .sum();
        let shown = row["by_chance"].as_f64().unwrap();
        assert!((shown - by_chance).abs() < 1e-9, "{row}: expected {by_chance}");
        let stood: usize = evenings
            .values()
            .map(|open| {
                open.iter().filter(|(firm, level)| **level >= at && firms.contains_key(*firm)).count()
            })
            .sum();
        let mean = stood as f64 / evenings.len() as f64;
        assert!((row["stood"].as_f64().unwrap() - mean).abs() < 1e-9, "{row}: expected {mean}");
    }
}
