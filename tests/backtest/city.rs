//! A small made-up city as lines of a stream: a function of its seed, in the order of arrival.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::time::{Day, Instant};

pub const FIRMS: u32 = 30;
/// The last ones have no headcount.
pub const INSURED: u32 = 25;
const AREAS: u32 = 4;
const DAY: i64 = 86_400_000;

/// The first day, on which the register arrives.
pub fn first() -> Day {
    "2021-01-01".parse().unwrap()
}

/// One arrival.
#[derive(Clone)]
pub struct Line {
    pub topic: String,
    pub at: Instant,
    pub value: Value,
}

impl Line {
    pub fn text(&self) -> String {
        json!({"topic": self.topic, "arrived_at": self.at.to_string(), "value": self.value}).to_string()
    }
}

pub fn uscc(n: u32) -> String {
    let body = format!("91330784XX{n:07}");
    let check = Uscc::check_symbol(body.as_bytes()).unwrap();
    format!("{body}{}", check as char)
}

fn area(n: u32) -> String {
    format!("33078400{}", 1 + n % AREAS)
}

/// Three years: firms that move, headcounts that are restated, contacts, and injuries that several report, correct,
/// withdraw, or report too late.
pub fn lines(seed: u64) -> Vec<Line> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut lines = register();
    let mut reports = Vec::new();
    for n in 0..260u32 {
        let share: f64 = rng.random_range(0.0..1.0);
        let firm = (share * share * f64::from(FIRMS)) as u32;
        injury(n, firm, &mut rng, &mut reports);
        // Another one of the same morning, which is the same incident or not, as the policy says.
        if rng.random_ratio(1, 6) {
            let mut second = reports[reports.len() - 1].clone();
            second.value["source_record_id"] = json!(format!("S{n}"));
            second.value["version"] = json!(1);
            second.value["status"] = json!("reported");
            second.value["person_key"] = json!(format!("{:064x}", 900_000 + n));
            second.value["occurred_time"] = json!(format!("09:{:02}", rng.random_range(0..60)));
            second.at = second.at.plus_millis(rng.random_range(1_000..5 * DAY));
            reports.push(second);
        }
    }
    reports.retain(|line| line.at.day() < "2023-12-20".parse().unwrap());
    // A midnight that nobody's report comes near, so that the last day is always the same.
    reports.push(Line { at: "2023-12-31T12:00:00+08:00".parse().unwrap(), ..lines[0].clone() });
    lines.extend(reports);
    lines.sort_by_key(|line| line.at);
    lines
}

fn register() -> Vec<Line> {
    let at: Instant = first().midnight().plus_millis(8 * 3_600_000);
    let mut lines = Vec::new();
    let mut line =
        |topic: &str, at: Instant, value: Value| lines.push(Line { topic: topic.into(), at, value });
    for n in 0..FIRMS {
        let industry = if n % 2 == 0 { "3382" } else { "3311" };
        let enterprise = json!({"uscc": uscc(n), "version": 1, "name": format!("Firm {n}"), "area": area(n),
            "industry": industry, "valid_from": "2020-01-01", "status": "active"});
        line("registry.enterprises", at, enterprise.clone());
        if n % 7 == 0 {
            let mut moved = enterprise;
            (moved["version"], moved["area"]) = (json!(2), json!(area(n + 1)));
            moved["valid_from"] = json!("2022-05-01");
            line("registry.enterprises", at, moved);
        }
    }
    for n in 0..INSURED {
        for month in (0..36).filter(|m| n % 3 == 0 || m % 12 == 0) {
            let text = format!("{}-{:02}", 2021 + month / 12, 1 + month % 12);
            let insured = if n == 5 { 0 } else { 10 + 40 * (INSURED - n) + month };
            let headcount = json!({"uscc": uscc(n), "month": text, "insured": insured, "version": 1});
            line("registry.headcount", at, headcount);
        }
    }
    // Restated: what stood first is of no account.
    line("registry.headcount", at, json!({"uscc": uscc(0), "month": "2022-01", "insured": 3, "version": 2}));
    for n in 0..FIRMS {
        // Every sixth has nobody; two have one phone.
        if n % 6 != 0 {
            let phone = format!("1390000{:04}", n - n % 2);
            line("registry.contacts", at, contact("owner", &uscc(n), 1, &phone));
        }
    }
    for n in 0..AREAS {
        line("registry.contacts", at, contact("township_duty", &area(n), 1, &format!("1380000000{n}")));
    }
    // The township's number changes: the one at the end counts.
    let later = at.plus_millis(400 * DAY);
    line("registry.contacts", later, contact("township_duty", &area(1), 2, "13700000001"));
    line("registry.contacts", at, contact("emergency_duty", "330784", 1, "13600000001"));
    lines
}

fn contact(role: &str, subject: &str, version: u32, phone: &str) -> Value {
    json!({"role": role, "subject": subject, "name": "A", "phone": phone, "version": version})
}

fn injury(n: u32, firm: u32, rng: &mut ChaCha8Rng, reports: &mut Vec<Line>) {
    let occurred = first().plus(rng.random_range(-20..1_060));
    let after = |rng: &mut ChaCha8Rng, at: Instant, days: i64| {
        at.plus_millis(1_000 * rng.random_range(60..86_400 * days))
    };
    let late = rng.random_ratio(1, 12);
    let begin = occurred.midnight().max(first().plus(1).midnight());
    let at = if late { begin.plus_millis((20 + i64::from(n)) * DAY) } else { after(rng, begin, 6) };
    let mut value = json!({
        "source": "hr", "source_record_id": format!("H{n}"), "version": 1, "status": "accepted",
        "category": if rng.random_ratio(1, 10) { "commuting" } else { "production" },
        "occurred_on": occurred.to_string(), "occurred_time": format!("09:{:02}", rng.random_range(0..60)),
        "reported_at": at.to_string(), "uscc": uscc(firm), "person_key": format!("{n:064x}"), "cause": "14",
    });
    if rng.random_ratio(1, 9) {
        value["lost_days"] = json!(rng.random_range(60..160));
    }
    let mut push = |source: &str, at: Instant, value: &Value| {
        reports.push(Line { topic: format!("reports.{source}"), at, value: value.clone() });
    };
    push("hr", at, &value);
    if rng.random_ratio(1, 4) {
        let mut other = value.clone();
        (other["source"], other["source_record_id"]) = (json!("emergency"), json!(format!("E{n}")));
        other["occurred_on"] = json!(occurred.plus(rng.random_range(0..3)).to_string());
        let at = after(rng, at, 9);
        push("emergency", at, &other);
    }
    match rng.random_range(0..12) {
        0 => (value["version"], value["status"]) = (json!(2), json!("withdrawn")),
        1 => (value["version"], value["lost_days"]) = (json!(2), json!(200)),
        2 => (value["version"], value["status"]) = (json!(2), json!("refused")),
        _ => return,
    }
    let at = after(rng, at, 40);
    push("hr", at, &value);
}
