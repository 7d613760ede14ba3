//! The stream: 10,000 reports about the injured of 600 firms within 60 days, from seven sources, that
//! repeat, correct, contradict and take back; with the registry and the contacts they need. Made from a
//! seed. Nothing here knows what Tocsin makes of it.

use std::collections::BTreeMap;

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::time::{Day, Instant};

/// One record as it arrives.
pub struct Line {
    pub topic: &'static str,
    pub key: String,
    pub value: Value,
    pub at: Instant,
}

pub struct Stream {
    /// In the order of arrival, no two at the same instant.
    pub lines: Vec<Line>,
    /// How many of them are reports.
    pub reports: usize,
    /// Whose phone it is: (role, subject) of everybody who can be reached.
    pub phones: BTreeMap<(String, String), String>,
}

const FIRMS: usize = 600;
const REPORTS: usize = 10_000;
const DAYS: i32 = 60;
const SOURCES: [(&str, &str); 7] = [
    ("hr", "reports.hr"),
    ("emergency", "reports.emergency"),
    ("construction", "reports.construction"),
    ("transport", "reports.transport"),
    ("employer", "reports.employer"),
    ("police", "reports.police"),
    ("health", "reports.health"),
];
const AREAS: [&str; 4] = ["330784001", "330784002", "330784003", "330784100"];
const INDUSTRIES: [&str; 5] = ["33", "3460", "21", "3811", "47"];

fn uscc(n: usize) -> String {
    let first = format!("91330784Y{n:08}");
    let check = Uscc::check_symbol(first.as_bytes()).unwrap();
    format!("{first}{}", char::from(check))
}

struct Sent {
    topic: &'static str,
    value: Value,
}

pub fn stream(seed: u64) -> Stream {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let first_day: Day = "2025-03-01".parse().unwrap();
    let mut stream = Stream { lines: Vec::new(), reports: 0, phones: BTreeMap::new() };
    registry(&mut stream, &mut rng, first_day);
    // Arrival times: random steps that fill the days, at least one millisecond each.
    let step = i64::from(DAYS) * 86_400_000 / REPORTS as i64;
    let mut at = first_day.plus(1).midnight();
    let mut sent: Vec<Sent> = Vec::new();
    let mut events = 0;
    while stream.reports < REPORTS {
        at = at.plus_millis(rng.random_range(1..2 * step));
        let recent = sent.len().saturating_sub(400);
        let of = if sent.is_empty() { 0 } else { rng.random_range(recent..sent.len()) };
        let roll = if sent.len() < 50 { 0 } else { rng.random_range(0..100) };
        let report = match roll {
            0..45 => {
                events += 1;
                first_report(&mut rng, events, at)
            }
            45..60 => another_source(&mut rng, &sent[of], stream.reports),
            60..75 => newer_version(&mut rng, &sent[of]),
            75..82 => withdrawn(&sent[of]),
            82..92 => {
                let again = &sent[of];
                Sent { topic: again.topic, value: again.value.clone() }
            }
            92..95 => stale_or_conflict(&mut rng, &sent[of]),
            95..98 => bad(&mut rng, &sent[of]),
            _ => slip(&sent[of]),
        };
        let key = report.value["source_record_id"].as_str().unwrap().to_owned();
        stream.lines.push(Line { topic: report.topic, key, value: report.value.clone(), at });
        stream.reports += 1;
        if roll < 82 {
            sent.push(report);
        }
    }
    stream
}

fn registry(stream: &mut Stream, rng: &mut ChaCha8Rng, day: Day) {
    let mut at = day.midnight().plus_millis(8 * 3_600_000);
    let mut push = |topic, key: String, value| {
        at = at.plus_millis(1);
        stream.lines.push(Line { topic, key, value, at });
    };
    for n in 0..FIRMS {
        let (uscc, area, industry) = (uscc(n), AREAS[n % AREAS.len()], INDUSTRIES[n % INDUSTRIES.len()]);
        let firm = json!({"uscc": uscc, "version": 1, "name": format!("永康第{n}厂"), "area": area,
            "industry": industry, "valid_from": "2015-01-01", "status": "active"});
        push("registry.enterprises", uscc.clone(), firm);
        let headcount =
            json!({"uscc": uscc, "month": "2025-03", "insured": rng.random_range(5..400), "version": 1});
        push("registry.headcount", format!("{uscc}|2025-03"), headcount);
    }
    let mut people: Vec<(String, String, String)> = Vec::new();
    for n in (0..FIRMS).filter(|n| n % 10 != 9) {
        // Every twentieth owner has two firms and one phone.
        let phone = if n % 20 == 1 { n - 1 } else { n };
        people.push(("owner".into(), uscc(n), format!("owner-{phone}")));
    }
    for area in AREAS {
        people.push(("township_duty".into(), area.into(), format!("township-{area}")));
    }
    for industry in INDUSTRIES.map(|i| &i[..2]) {
        people.push(("industry_duty".into(), industry.into(), format!("industry-{industry}")));
    }
    people.push(("emergency_duty".into(), "330784".into(), "emergency".into()));
    for (role, subject, phone) in people {
        let contact = json!({"role": role, "subject": subject, "rank": 1, "name": "某人",
            "addresses": {"webhook": phone}, "version": 1});
        push("registry.contacts", format!("{role}|{subject}|1"), contact);
        stream.phones.insert((role, subject), phone);
    }
}

fn first_report(rng: &mut ChaCha8Rng, event: usize, at: Instant) -> Sent {
    let (source, topic) = SOURCES[rng.random_range(0..SOURCES.len())];
    // Most are fresh; some come after the 90 days, and leave the window of 365 days within the stream.
    let age = match rng.random_range(0..20) {
        0 => rng.random_range(88..93),
        1 => rng.random_range(310..365),
        _ => rng.random_range(0..20),
    };
    let mut value = json!({"source": source, "source_record_id": format!("{source}-{event}"), "version": 1,
        "status": "reported", "occurred_on": at.day().plus(-age).to_string(), "reported_at": at.to_string(),
        "uscc": uscc(rng.random_range(0..FIRMS)), "cause": format!("{:02}", rng.random_range(1..6))});
    if rng.random_bool(0.7) {
        value["person_key"] = json!(format!("{event:064x}"));
    }
    if rng.random_bool(0.3) {
        value["occurred_time"] =
            json!(format!("{:02}:{:02}", rng.random_range(7..18), rng.random_range(0..60)));
    }
    if rng.random_bool(0.1) {
        value["host_uscc"] = json!(uscc(rng.random_range(0..FIRMS)));
    }
    match rng.random_range(0..30) {
        0 => value["died_on"] = value["occurred_on"].clone(),
        1 | 2 => value["lost_days"] = json!(120),
        _ => value["lost_days"] = json!(rng.random_range(1..60)),
    }
    Sent { topic, value }
}

/// The same person, told by somebody else.
fn another_source(rng: &mut ChaCha8Rng, of: &Sent, number: usize) -> Sent {
    let (source, topic) = SOURCES[rng.random_range(0..SOURCES.len())];
    let mut value = of.value.clone();
    value["source"] = json!(source);
    value["source_record_id"] = json!(format!("{source}-again-{number}"));
    value["version"] = json!(1);
    value["status"] = json!("reported");
    if rng.random_bool(0.3) {
        value.as_object_mut().unwrap().remove("person_key");
    }
    Sent { topic, value }
}

fn next(of: &Sent) -> Sent {
    let mut value = of.value.clone();
    value["version"] = json!(value["version"].as_u64().unwrap() + 1);
    Sent { topic: of.topic, value }
}

fn newer_version(rng: &mut ChaCha8Rng, of: &Sent) -> Sent {
    let mut newer = next(of);
    let value = &mut newer.value;
    match rng.random_range(0..7) {
        0 => value["lost_days"] = json!(200),
        1 => value["lost_days"] = json!(3),
        2 => value["died_on"] = value["occurred_on"].clone(),
        3 => value["uscc"] = json!(uscc(rng.random_range(0..FIRMS))),
        4 => value["status"] = json!("not_accepted"),
        5 => value["host_uscc"] = json!(uscc(rng.random_range(0..FIRMS))),
        _ => value["status"] = json!("recognised"),
    }
    newer
}

fn withdrawn(of: &Sent) -> Sent {
    let mut newer = next(of);
    newer.value["status"] = json!("withdrawn");
    newer
}

fn stale_or_conflict(rng: &mut ChaCha8Rng, of: &Sent) -> Sent {
    let mut value = of.value.clone();
    value["process"] = json!(format!("工序{}", rng.random_range(0..1000)));
    Sent { topic: of.topic, value }
}

fn bad(rng: &mut ChaCha8Rng, of: &Sent) -> Sent {
    let mut newer = next(of);
    match rng.random_range(0..3) {
        0 => newer.value["status"] = json!("unheard_of"),
        1 => newer.value["occurred_on"] = json!("1989-12-31"),
        _ => newer.value["version"] = json!(0),
    }
    newer
}

fn slip(of: &Sent) -> Sent {
    let mut newer = next(of);
    newer.value["disability_grade"] = json!(77);
    newer
}
