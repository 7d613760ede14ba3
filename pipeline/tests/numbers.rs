//! Numbers of incidents are never given twice, whatever the log lost (docs/glossary.md, I4).

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;

use tocsin_pipeline::policy::Policies;
use tocsin_pipeline::{Arrival, Engine, Memory, Options, Outcome};
use tocsin_schemas::door;
use tocsin_schemas::time::Instant;
use tocsin_schemas::wire::NoIds;

const FIRM: &str = "91330784XX0000027T";

fn engine() -> Engine {
    let policies = Policies::parse("[[policy]]\neffective_from = \"2025-01-01\"\n").unwrap();
    Engine::new(policies, Options { workers: 1 })
}

fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

fn arrival(topic: &str, arrived_at: Instant, json: String) -> Arrival {
    let admitted = door::admit(topic, json.as_bytes(), arrived_at, &NoIds).unwrap();
    Arrival { record: admitted.record, digest: admitted.digest, arrived_at }
}

fn registration(arrived_at: Instant) -> Arrival {
    let json = format!(
        r#"{{"uscc":"{FIRM}","version":1,"name":"A","area":"330784100","industry":"33","valid_from":"2025-01-01","status":"active"}}"#
    );
    arrival("registry.enterprises", arrived_at, json)
}

fn report(number: u32, arrived_at: Instant) -> Arrival {
    let json = format!(
        r#"{{"source":"hr","source_record_id":"{number}","version":1,"status":"accepted","occurred_on":"2025-02-{:02}","reported_at":"2025-03-01T08:00:00+08:00","uscc":"{FIRM}"}}"#,
        number + 1
    );
    arrival("reports.hr", arrived_at, json)
}

fn ids(outcomes: &[Outcome]) -> BTreeSet<String> {
    outcomes.iter().flat_map(|o| &o.alerts).map(|a| a.alert_id.clone()).collect()
}

/// Two incidents are told. Then the topic `incidents` is lost, and the operator accepts the difference.
fn after_a_loss(alerts_too: bool, next: u32) -> (Engine, BTreeSet<String>, Outcome) {
    let clock = at("2025-03-01T08:00:00+08:00");
    let past = || vec![registration(clock), report(1, clock), report(2, clock)];
    let told = engine().arrive(clock, past());
    let mut said = Memory::default();
    if alerts_too {
        told.iter().flat_map(|o| &o.alerts).for_each(|alert| said.alert(alert));
    }
    let mut recalled = Memory::default().with(said);
    recalled.given(next);
    let mut engine = engine();
    engine.recover(Some(clock));
    engine.load(past());
    let outcome = engine.resume(recalled);
    (engine, ids(&told), outcome)
}

#[test]
fn what_was_told_under_a_number_keeps_it_when_the_incidents_are_lost() {
    let (engine, before, again) = after_a_loss(true, 0);
    assert!(!again.silent(), "the loss is seen");
    assert_eq!(again.incidents.iter().map(|i| i.incident_id.0).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(engine.next_incident(), 5);
    let after = ids(&[again]);
    assert!(before.is_disjoint(&after), "an alert id stands for one message: {before:?} {after:?}");
}

#[test]
fn progress_remembers_the_numbers_when_the_alerts_are_lost_too() {
    let (engine, _, again) = after_a_loss(false, 3);
    assert_eq!(again.incidents.iter().map(|i| i.incident_id.0).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(engine.next_incident(), 5);
}
