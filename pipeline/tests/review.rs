//! Faults that a fresh reading found. Each test here fails.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use tocsin_pipeline::{Arrival, Engine, Options, Policies};
use tocsin_schemas::codes::Scope;
use tocsin_schemas::door;
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::Window;
use tocsin_schemas::time::Instant;
use tocsin_schemas::wire::NoIds;

fn clock() -> Instant {
    "2025-03-01T08:00:00+08:00".parse().unwrap()
}

fn arrival(topic: &str, json: &str) -> Arrival {
    let admitted = door::admit(topic, json.as_bytes(), clock(), &NoIds).unwrap();
    Arrival { record: admitted.record, digest: admitted.digest, arrived_at: clock() }
}

fn uscc(n: u32) -> String {
    let body = format!("91330784XX{n:07}");
    let check = Uscc::check_symbol(body.as_bytes()).unwrap();
    format!("{body}{}", check as char)
}

/// 6,000 firms whose source exports "unknown" as 4294967295: the city's headcount runs over an i64 of parts.
#[test]
fn the_headcount_of_a_city_of_the_greatest_headcounts_is_right() {
    let mut arrivals = Vec::new();
    for n in 0..6000 {
        let uscc = uscc(n);
        arrivals.push(arrival("registry.enterprises", &format!(
            r#"{{"uscc":"{uscc}","version":1,"name":"A","area":"330784100","industry":"33","valid_from":"2025-01-01","status":"active"}}"#
        )));
        arrivals.push(arrival("registry.headcount", &format!(
            r#"{{"uscc":"{uscc}","month":"2025-03","insured":4294967295,"version":1}}"#
        )));
    }
    let mut engine = Engine::new(Policies::default(), Options { workers: 1 });
    engine.arrive(clock(), arrivals);
    let rates = engine.rates();
    let city = rates.iter().find(|r| r.scope == Scope::City).unwrap();
    assert_eq!(city.on(Window::Month).unwrap().headcount, Some(6000.0 * 4_294_967_295.0));
}

fn firm(version: u32, tags: &[String]) -> Arrival {
    let (uscc, tags) = (uscc(1), serde_json::to_string(tags).unwrap());
    arrival("registry.enterprises", &format!(
        r#"{{"uscc":"{uscc}","version":{version},"name":"A","area":"330784100","industry":"33","valid_from":"2025-01-01","status":"active","tags":{tags}}}"#
    ))
}

fn injury(n: u32) -> Arrival {
    let uscc = uscc(1);
    arrival("reports.hr", &format!(
        r#"{{"source":"hr","source_record_id":"{n}","version":1,"status":"accepted","occurred_on":"2025-02-20","reported_at":"2025-03-01T08:00:00+08:00","uscc":"{uscc}"}}"#
    ))
}

/// One record of the register within the door's 1 MiB names 80,000 tags: each is a scope, and each further injury of
/// that one firm writes a record of the topic `rates` for each of them.
#[test]
fn one_injury_changes_a_bounded_number_of_rates() {
    let tags: Vec<String> = (0..80_000).map(|n| format!("t{n}")).collect();
    let mut engine = Engine::new(Policies::default(), Options { workers: 1 });
    engine.arrive(clock(), [firm(1, &tags)]);
    let began = std::time::Instant::now();
    let outcomes = engine.arrive(clock(), [injury(1)]);
    println!("{:?} for one injury, {} rates", began.elapsed(), outcomes[0].rates.len());
    // The tags go again, by a correction of that version's days.
    engine.arrive(clock(), [firm(2, &[])]);
    engine.arrive(clock(), [injury(2)]);
    let began = std::time::Instant::now();
    engine.arrive(clock(), [injury(3)]);
    println!("{:?} for one injury after the tags are gone", began.elapsed());
    assert!(outcomes[0].rates.len() < 100, "{} rates", outcomes[0].rates.len());
}

fn blue_then_put_off(engine: &mut Engine) {
    let from = |day: &str| Policies::parse(&format!("[[policy]]\neffective_from = \"{day}\"\n")).unwrap();
    *engine = Engine::new(from("2025-01-01"), Options { workers: 1 });
    engine.arrive(clock(), [firm(1, &[]), injury(1), injury(2)]);
    // `policy publish` refuses this one, the topic does not.
    engine.adopt(from("2025-06-01"));
}

/// A report is withdrawn while the policy in force has not begun: that the warning ends is the record's doing, and
/// who was told has to hear of it.
#[test]
fn a_correction_before_the_policy_begins_is_not_called_an_expiry() {
    let mut engine = Engine::new(Policies::default(), Options { workers: 1 });
    blue_then_put_off(&mut engine);
    let uscc = uscc(1);
    let withdrawn = format!(
        r#"{{"source":"hr","source_record_id":"2","version":2,"status":"withdrawn","occurred_on":"2025-02-20","reported_at":"2025-03-01T08:00:00+08:00","uscc":"{uscc}"}}"#
    );
    engine.arrive("2025-04-01T08:00:00+08:00".parse().unwrap(), [arrival("reports.hr", &withdrawn)]);
    let outcomes = engine.tick_to("2025-06-01".parse().unwrap());
    let closed: Vec<_> = outcomes.iter().flat_map(|o| &o.alerts).filter(|a| a.level.is_none()).collect();
    assert_eq!(closed.len(), 1);
    assert_ne!(closed[0].reason, Some(tocsin_schemas::codes::Reason::Expired), "{:?}", closed[0].audiences);
}

/// The text of an empty tag is no cluster.
#[test]
fn an_empty_tag_is_no_scope() {
    let mut engine = Engine::new(Policies::default(), Options { workers: 1 });
    engine.arrive(clock(), [firm(1, &[String::new(), " ".into(), "x".into(), "x ".into()])]);
    let tags: Vec<String> =
        engine.rates().iter().filter(|r| r.scope == Scope::Tag).map(|r| r.key.clone()).collect();
    assert_eq!(tags, ["x"]);
}

/// What `why` holds is to be that of the answer, whatever number the incident has.
#[test]
fn why_of_the_ten_millionth_incident_is_as_cheap_as_of_the_first() {
    use tocsin_pipeline::why::{Records, Rules, Why};
    let mut engine = Engine::new(Policies::default(), Options { workers: 1 });
    let outcomes = engine.arrive(clock(), [firm(1, &[]), injury(1)]);
    let mut alert = outcomes[0].alerts[0].clone();
    let policies = Policies::default();
    let time = |number: u32, alert: &mut tocsin_schemas::records::Alert| {
        alert.subject = tocsin_schemas::ids::IncidentId(number).to_string().into();
        let records = Records { alerts: vec![alert.clone()], ..Records::default() };
        let of = |_: &str| Some(&policies);
        let began = std::time::Instant::now();
        let why = Why::new(&records, Rules { at_hand: &policies, of: &of }, clock());
        why.alert(&alert.alert_id).unwrap();
        began.elapsed()
    };
    let (first, last) = (time(1, &mut alert), time(10_000_000, &mut alert));
    println!("{first:?} {last:?}");
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak: u64 = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap().trim().trim_end_matches(" kB").trim().parse().unwrap();
    assert!(peak < 400_000, "{peak} kB at the peak");
}
