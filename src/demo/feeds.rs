//! What the sources of the simulated city send, and when: eight weeks of hospital, HR, emergency bureau and
//! employer feeds that repeat, contradict, correct and take back. Pure: a city and a seed in, a script out.
//!
//! The script is the *cause*; nothing in here knows what Tocsin makes of it.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tocsin_schemas::time::{Day, Instant};

use super::cast;
use super::city::{self, CAST, City, Firm};

/// Days that are simulated.
pub const DAYS: i32 = 56;
/// Hours of a day at which feeds deliver.
const HOURS: [i32; 6] = [8, 10, 12, 14, 16, 18];

/// One record as a source sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where to.
    pub topic: &'static str,
    /// The key.
    pub key: String,
    /// The bytes; not always JSON.
    pub value: Vec<u8>,
}

/// Everything that arrives at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// When.
    pub at: Instant,
    /// What.
    pub lines: Vec<Line>,
}

/// The whole simulation.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    /// The first day.
    pub start: Day,
    /// The city.
    pub city: City,
    /// What arrives, in order of time.
    pub batches: Vec<Batch>,
}

/// When something arrives: the day of the simulation, and the place in [`HOURS`].
pub type Slot = (i32, usize);

/// Collects lines by slot.
pub struct Writer {
    /// The first day.
    pub start: Day,
    slots: BTreeMap<Slot, Vec<Line>>,
}

impl Writer {
    /// A line that arrives at a slot; a slot past the end of the simulation is dropped.
    pub fn line(&mut self, at: Slot, topic: &'static str, key: &str, value: Vec<u8>) {
        if at.0 < DAYS {
            self.slots.entry(at).or_default().push(Line { topic, key: key.to_owned(), value });
        }
    }
    /// A record as JSON.
    pub fn json(&mut self, at: Slot, topic: &'static str, key: &str, value: &Value) {
        self.line(at, topic, key, value.to_string().into_bytes());
    }
    /// A report; topic and key follow from its fields.
    pub fn report(&mut self, at: Slot, value: &Value) {
        let topic = match value["source"].as_str() {
            Some("hr") => "reports.hr",
            Some("emergency") => "reports.emergency",
            Some("employer") => "reports.employer",
            _ => "reports.health",
        };
        let key = value["source_record_id"].as_str().unwrap_or_default().to_owned();
        self.json(at, topic, &key, value);
    }
    /// The day of a slot, moved.
    pub fn day(&self, day: i32) -> Day {
        self.start.plus(day)
    }
}

/// The instant of a slot.
pub fn instant(start: Day, (day, hour): Slot) -> Instant {
    start.plus(day).midnight().plus_millis(i64::from(HOURS[hour.min(5)]) * 3_600_000)
}

/// What stands for a person: a hash, as a source's connector would make it.
pub fn person_key(seed: u64, number: u32) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(format!("demo {seed} person {number}")))
}

/// The script of a seed. Equal for equal seeds.
pub fn script(seed: u64) -> Script {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let start = Day::new(2026, 3, 2).unwrap_or(Day(20_514));
    let city = City::new(&mut rng);
    let mut out = Writer { start, slots: BTreeMap::new() };
    for (topic, key, value) in city.registry(start) {
        out.json((0, 0), topic, &key, &value);
    }
    let late = &city.firms[city::UNREGISTERED];
    let (topic, key, value) = city::enterprise(late, start);
    out.json((late.registered_on_day, 0), topic, &key, &value);
    cast::write(&city, seed, &mut out);
    everyday(&city, seed, &mut rng, &mut out);
    slips(&city, &mut rng, &mut out);
    let batches =
        out.slots.into_iter().map(|(slot, lines)| Batch { at: instant(start, slot), lines }).collect();
    Script { start, city, batches }
}

/// One injured person, as it really was.
struct Injury<'a> {
    firm: &'a Firm,
    host: Option<&'a Firm>,
    number: u32,
    day: i32,
    time: Option<String>,
    cause: String,
    category: &'static str,
    lost_days: u32,
    died: bool,
}

const CAUSES: [&str; 10] = ["03", "03", "03", "01", "01", "02", "04", "05", "07", "09"];

/// What happens to all firms but those of the cast.
fn everyday(city: &City, seed: u64, rng: &mut ChaCha8Rng, out: &mut Writer) {
    let weights: Vec<f64> =
        city.firms.iter().map(|f| f.risk * f64::from(f.insured.unwrap_or(40) + 30)).collect();
    let total: f64 = weights.iter().sum();
    let mut number = 1000;
    for day in 0..DAYS {
        let today = [0, 1, 1, 1, 2, 2, 3][rng.random_range(0..7)];
        for _ in 0..today {
            let mut at = rng.random_range(0.0..total);
            let firm = city.firms.iter().zip(&weights).find(|(_, w)| {
                at -= **w;
                at <= 0.0
            });
            let firm = firm.map_or(&city.firms[CAST], |(firm, _)| firm);
            // Some are found out long after: nobody is told of those over 90 days old.
            let found_out_late = rng.random_bool(0.05);
            let occurred = if found_out_late { day - rng.random_range(85..140) } else { day };
            let time = rng
                .random_bool(0.8)
                .then(|| format!("{:02}:{:02}", rng.random_range(7..19), rng.random_range(0..12) * 5));
            let cause = CAUSES[rng.random_range(0..CAUSES.len())];
            let category = match rng.random_range(0..20) {
                0 | 1 => "commuting",
                2 => "sudden_illness",
                3 => "occupational_disease",
                _ => "production",
            };
            let persons = if category == "production" && rng.random_bool(0.08) { 2 } else { 1 };
            for _ in 0..persons {
                number += 1;
                let injury = Injury {
                    firm,
                    host: rng
                        .random_bool(0.04)
                        .then(|| &city.firms[rng.random_range(CAST..city.firms.len())]),
                    number,
                    day: occurred,
                    time: time.clone(),
                    cause: cause.to_owned(),
                    category,
                    lost_days: rng.random_range(3..80),
                    died: rng.random_bool(0.01),
                };
                tell(&injury, day, persons > 1, city, seed, rng, out);
            }
        }
    }
}

/// A report with what its source knows; `more` adds and replaces.
fn report(injury: &Injury<'_>, source: &str, version: u32, seed: u64, start: Day, more: Value) -> Value {
    let day = start.plus(injury.day);
    let mut value = json!({
        "source": source, "source_record_id": format!("{}-{:05}", source.to_uppercase(), injury.number),
        "version": version, "status": "reported", "category": injury.category,
        "occurred_on": day.to_string(), "reported_at": day.midnight().plus_millis(36_000_000).to_string(),
        "uscc": injury.firm.uscc.as_str(), "person_key": person_key(seed, injury.number),
    });
    if let Some(time) = &injury.time {
        value["occurred_time"] = json!(time);
    }
    if let (Some(fields), Value::Object(more)) = (value.as_object_mut(), more) {
        for (name, field) in more {
            fields.insert(name, field);
        }
    }
    value
}

/// Who tells of an injury, when, and how it is told again.
fn tell(
    injury: &Injury<'_>,
    heard: i32,
    several: bool,
    city: &City,
    seed: u64,
    rng: &mut ChaCha8Rng,
    out: &mut Writer,
) {
    let start = out.start;
    let say = |at: Slot, value: Value, rng: &mut ChaCha8Rng, out: &mut Writer| {
        out.report(at, &value);
        if rng.random_bool(0.08) {
            // Sent twice: a source that was not sure.
            let again = if rng.random_bool(0.5) { at } else { (at.0 + 1, rng.random_range(0..6)) };
            out.report(again, &value);
        }
    };
    let hospital = rng.random_bool(0.65);
    if hospital {
        let mut value = report(injury, "health", 1, seed, start, json!({}));
        if rng.random_bool(0.3) {
            value["uscc"] = Value::Null;
            value["employer_name"] = json!(injury.firm.name);
        }
        say((heard, rng.random_range(0..6)), value, rng, out);
        if rng.random_bool(0.08) {
            // Nobody files a claim: it stays a suspicion.
            return;
        }
    }
    if several || injury.died || rng.random_bool(0.12) {
        let mut value = report(injury, "emergency", 1, seed, start, json!({"cause": injury.cause}));
        if rng.random_bool(0.5) {
            value["person_key"] = Value::Null;
        }
        if injury.died {
            value["died_on"] = json!(start.plus(injury.day).to_string());
        }
        say((heard, 3 + rng.random_range(0..3)), value, rng, out);
    }
    if rng.random_bool(0.2) {
        let mut value = report(injury, "employer", 1, seed, start, json!({"cause": injury.cause}));
        if rng.random_bool(0.3) {
            value["person_key"] = Value::Null;
        }
        say((heard + 1, rng.random_range(0..6)), value, rng, out);
    }

    let facts = json!({"cause": injury.cause, "lost_days": injury.lost_days});
    let mut filed = report(injury, "hr", 1, seed, start, facts);
    if let Some(host) = injury.host {
        filed["host_uscc"] = json!(host.uscc.as_str());
    }
    if injury.died {
        filed["died_on"] = json!(start.plus(injury.day).to_string());
    }
    let mut day = heard + rng.random_range(1..5);
    let hour = rng.random_range(0..6);
    let right = filed["uscc"].clone();
    let turn = rng.random_range(0..100);
    if turn < 3 {
        // A slip of the clerk: the wrong firm at first.
        filed["uscc"] = json!(city.firms[rng.random_range(CAST..city.firms.len())].uscc.as_str());
    } else if turn < 6 {
        filed["disability_grade"] = json!(14);
    }
    let first = filed.clone();
    say((day, hour), filed.clone(), rng, out);

    filed["uscc"] = right;
    filed["version"] = json!(2);
    filed["status"] = json!("accepted");
    match turn {
        90..=92 => filed["status"] = json!("refused"),
        93..=94 => filed["lost_days"] = json!(120),
        95..=97 => filed["status"] = json!("withdrawn"),
        98 => filed["category"] = json!("commuting"),
        _ => {}
    }
    day += rng.random_range(3..10);
    say((day, hour), filed.clone(), rng, out);
    if filed["status"] == "withdrawn" && hospital && rng.random_bool(0.5) {
        let gone = report(injury, "health", 2, seed, start, json!({"status": "withdrawn"}));
        say((day + 1, 1), gone, rng, out);
    }
    if rng.random_bool(0.03) {
        out.report((day + 1, 0), &first);
    }
    if rng.random_bool(0.03) {
        let mut other = filed.clone();
        other["post"] = json!("冲压工");
        out.report((day + 1, 2), &other);
    }
    if filed["status"] == "accepted" && rng.random_bool(0.6) {
        filed["version"] = json!(3);
        filed["status"] = json!("recognised");
        say((day + rng.random_range(5..15), hour), filed, rng, out);
    }
}

/// What no source should send, and sources do: refused at the door, each with its reason.
fn slips(city: &City, rng: &mut ChaCha8Rng, out: &mut Writer) {
    let firm = &city.firms[CAST + 1];
    let good = |n: i32, out: &Writer| {
        json!({"source": "hr", "source_record_id": format!("SLIP-{n}"), "version": 1, "status": "reported",
            "occurred_on": out.day(n).to_string(), "reported_at": instant(out.start, (n, 0)).to_string(),
            "uscc": firm.uscc.as_str()})
    };
    for n in (2..DAYS).step_by(5) {
        let mut value = good(n, out);
        let at = (n, rng.random_range(0..6));
        match n / 5 % 6 {
            0 => {
                let text = value.to_string();
                out.line(at, "reports.hr", "", text.as_bytes()[..text.len() / 2].to_vec());
                continue;
            }
            1 => value["occurred_on"] = Value::Null,
            2 => value["status"] = json!("perhaps"),
            3 => value["occurred_on"] = json!(out.day(n + 40).to_string()),
            4 => value["version"] = json!(0),
            _ => value["occurred_on"] = json!("1979-05-01"),
        }
        out.report(at, &value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_script() {
        assert_eq!(script(3), script(3));
        assert_ne!(script(3).batches, script(4).batches);
    }

    #[test]
    fn batches_come_in_order_and_each_instant_once() {
        let script = script(1);
        assert!(script.batches.windows(2).all(|w| w[0].at < w[1].at));
        assert!(script.batches.iter().all(|b| !b.lines.is_empty()));
        assert!(script.batches.last().is_some_and(|b| b.at.day() <= script.start.plus(DAYS)));
    }

    #[test]
    fn the_feeds_repeat_correct_withdraw_and_slip() {
        let script = script(1);
        let lines: Vec<&Line> = script.batches.iter().flat_map(|b| &b.lines).collect();
        let reports = lines.iter().filter(|l| l.topic.starts_with("reports.")).count();
        assert!((250..900).contains(&reports), "{reports}");
        let repeated = lines.iter().enumerate().filter(|(i, l)| lines[..*i].contains(l)).count();
        assert!(repeated > 5, "{repeated}");
        let text: Vec<String> =
            lines.iter().map(|l| String::from_utf8_lossy(&l.value).into_owned()).collect();
        for wanted in ["withdrawn", "refused", "host_uscc", "\"version\":2", "perhaps", "\"person_key\":null"]
        {
            assert!(text.iter().any(|t| t.contains(wanted)), "{wanted}");
        }
        assert!(lines.iter().any(|l| serde_json::from_slice::<Value>(&l.value).is_err()));
    }
}
