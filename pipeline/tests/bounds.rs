//! Input at its ends: what is very large, very many or empty costs no right number and no service.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may panic and read what the system says"
)]

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
        arrivals.push(arrival(
            "registry.headcount",
            &format!(r#"{{"uscc":"{uscc}","month":"2025-03","insured":4294967295,"version":1}}"#),
        ));
    }
    let mut engine = Engine::new(Policies::default(), Options { workers: 1 });
    engine.arrive(clock(), arrivals);
    let rates = engine.rates();
    let city = rates.iter().find(|r| r.scope == Scope::City).unwrap();
    assert_eq!(city.on(Window::Month).unwrap().headcount, Some(6000.0 * 4_294_967_295.0));
}

fn firm(version: u32, tags: &[String]) -> Arrival {
    let (uscc, tags) = (uscc(1), serde_json::to_string(tags).unwrap());
    arrival(
        "registry.enterprises",
        &format!(
            r#"{{"uscc":"{uscc}","version":{version},"name":"A","area":"330784100","industry":"33","valid_from":"2025-01-01","status":"active","tags":{tags}}}"#
        ),
    )
}

fn injury(n: u32) -> Arrival {
    let uscc = uscc(1);
    arrival(
        "reports.hr",
        &format!(
            r#"{{"source":"hr","source_record_id":"{n}","version":1,"status":"accepted","occurred_on":"2025-02-20","reported_at":"2025-03-01T08:00:00+08:00","uscc":"{uscc}"}}"#
        ),
    )
}

/// One record of the register within the door's 1 MiB names 80,000 tags. Each that is kept is a scope, and each injury
/// of that one firm writes a record of the topic `rates` for each of them.
#[test]
fn one_injury_changes_a_bounded_number_of_rates() {
    let tags: Vec<String> = (0..80_000).map(|n| format!("t{n}")).collect();
    let mut engine = Engine::new(Policies::default(), Options { workers: 1 });
    engine.arrive(clock(), [firm(1, &tags)]);
    let outcomes = engine.arrive(clock(), [injury(1)]);
    assert!(outcomes[0].rates.len() < 100, "{} rates", outcomes[0].rates.len());
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
    alert.subject = tocsin_schemas::ids::IncidentId(10_000_000).to_string().into();
    let records = Records { alerts: vec![alert.clone()], ..Records::default() };
    let of = |_: &str| Some(&policies);
    let why = Why::new(&records, Rules { at_hand: &policies, of: &of, likely: &|_| None }, clock());
    why.alert(&alert.alert_id).unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak: u64 = status
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:"))
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .trim()
        .parse()
        .unwrap();
    assert!(peak < 400_000, "{peak} kB at the peak");
}
