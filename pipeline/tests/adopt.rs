//! Taking another policy over: what it says at once, and that it is said once. Random histories do the rest, against
//! the oracle (`oracle.rs`).

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use tocsin_pipeline::{Arrival, Engine, Memory, Occasion, Options, Outcome, Policies};
use tocsin_schemas::codes::{Reason, Rule};
use tocsin_schemas::door;
use tocsin_schemas::time::Instant;
use tocsin_schemas::wire::NoIds;

const FIRM: &str = "91330784XX0000027T";
const FROM: &str = "[[policy]]\neffective_from = \"2025-01-01\"\n";

fn policy(rest: &str) -> Policies {
    Policies::parse(&format!("{FROM}{rest}")).unwrap()
}

fn from(day: &str, rest: &str) -> Policies {
    Policies::parse(&format!("[[policy]]\neffective_from = \"{day}\"\n{rest}")).unwrap()
}

fn engine(rest: &str) -> Engine {
    Engine::new(policy(rest), Options { workers: 1 })
}

fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

fn clock() -> Instant {
    at("2025-03-01T08:00:00+08:00")
}

fn arrival(topic: &str, json: String) -> Arrival {
    let admitted = door::admit(topic, json.as_bytes(), clock(), &NoIds).unwrap();
    Arrival { record: admitted.record, digest: admitted.digest, arrived_at: clock() }
}

/// A firm and its injuries: on each of these days of February 2025 one, with so many lost days.
fn past(injuries: &[(u32, u32)]) -> Vec<Arrival> {
    let firm = format!(
        r#"{{"uscc":"{FIRM}","version":1,"name":"A","area":"330784100","industry":"33","valid_from":"2025-01-01","status":"active"}}"#
    );
    let report = |(day, lost): &(u32, u32)| {
        format!(
            r#"{{"source":"hr","source_record_id":"{day}","version":1,"status":"accepted","occurred_on":"2025-02-{day:02}","reported_at":"2025-03-01T08:00:00+08:00","uscc":"{FIRM}","lost_days":{lost}}}"#
        )
    };
    let reports = injuries.iter().map(|injury| arrival("reports.hr", report(injury)));
    [arrival("registry.enterprises", firm)].into_iter().chain(reports).collect()
}

/// `change level reason` of warnings, `change severity` of what owners are told.
fn said(outcome: &Outcome) -> Vec<String> {
    let word = |a: &tocsin_schemas::records::Alert| match a.rule {
        Rule::Escalation => {
            let level = a.level.map_or("-", |l| l.as_str());
            format!("{} {level} {}", a.change, a.reason.map_or("-", Reason::as_str))
        }
        Rule::OwnerIncident => format!("{} {}", a.change, a.severity.unwrap()),
    };
    outcome.alerts.iter().map(word).collect()
}

#[test]
fn before_the_first_arrival_it_says_nothing_and_decides_from_then_on() {
    let mut engine = engine("");
    let outcome = engine.adopt(policy("escalation.blue = 1"));
    assert!(outcome.silent() && outcome.rates.is_empty());
    let outcomes = engine.arrive(clock(), past(&[(2, 1)]));
    assert_eq!(said(&outcomes[0]), ["new blue -", "new minor"]);
    assert_eq!(outcomes[0].alerts[0].policy_hash, *policy("escalation.blue = 1").hash());
}

#[test]
fn an_equal_one_and_one_that_changes_nothing_yet_say_nothing() {
    let mut engine = engine("");
    engine.arrive(clock(), past(&[(2, 1), (3, 1)]));
    let later =
        "\n[[policy]]\neffective_from = \"2025-06-01\"\nescalation.blue = 1\nseverity.severe_lost_days = 9";
    for rest in ["", later, ""] {
        let outcome = engine.adopt(policy(rest));
        assert_eq!((outcome.occasion, outcome.decided_at), (Occasion::Policy, clock()));
        assert!(outcome.silent() && outcome.rates.is_empty(), "{outcome:?}");
        assert_eq!(engine.policies().hash(), policy(rest).hash());
    }
}

#[test]
fn what_it_makes_of_the_present_is_said_once_with_its_reason_at_the_clock_as_it_stands() {
    let mut engine = engine("");
    engine.arrive(clock(), past(&[(2, 1), (20, 60)]));
    let mut ids = Vec::new();
    for (rest, expected) in [
        ("escalation.yellow = 2", vec!["raised yellow policy"]),
        ("escalation.yellow = 2", vec![]),
        ("escalation.window_days = 20", vec!["closed - policy"]),
        ("severity.severe_lost_days = 50", vec!["new red policy", "upgraded severe"]),
        ("", vec!["eased blue policy", "downgraded minor"]),
    ] {
        let outcome = engine.adopt(policy(rest));
        assert_eq!(said(&outcome), expected, "{rest}");
        assert_eq!(outcome.decided_at, clock());
        assert!(outcome.alerts.iter().all(|a| a.policy_hash == *policy(rest).hash()));
        ids.extend(outcome.alerts.into_iter().map(|a| a.alert_id));
    }
    let said = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), said);
    assert_eq!(engine.accounts().unaccounted, 0);
}

/// Whoever was told hears the correction, whatever the days of the policy; what is new waits for its first day.
#[test]
fn one_that_has_not_begun_takes_back_what_was_told_and_says_nothing_new() {
    let mut engine = engine("");
    engine.arrive(clock(), past(&[(2, 1), (20, 1)]));
    let outcome = engine.adopt(from("2025-04-01", ""));
    assert!(outcome.silent(), "{outcome:?}");
    let gone = r#"{"source":"hr","source_record_id":"2","version":2,"status":"withdrawn","occurred_on":"2025-02-02","reported_at":"2025-03-01T08:00:00+08:00"}"#;
    let outcomes = engine.arrive(at("2025-03-02T08:00:00+08:00"), [arrival("reports.hr", gone.to_owned())]);
    let last = outcomes.last().unwrap();
    assert_eq!(said(last), ["closed - corrected", "corrected minor"]);
    let closed = &last.alerts[0];
    assert_eq!(closed.audiences.len(), 1, "the township was told of it: {closed:?}");
    let again = past(&[(2, 1), (20, 1), (21, 1)]).remove(3);
    let outcomes = engine.arrive(at("2025-03-03T08:00:00+08:00"), [again]);
    assert_eq!(said(outcomes.last().unwrap()), ["suppressed minor"]);
    let begins = engine.tick_to("2025-04-01".parse().unwrap()).pop().unwrap();
    assert_eq!(said(&begins), ["new blue -"]);
}

#[test]
fn what_its_first_table_lowers_is_said_at_once_and_not_lost_at_its_first_midnight() {
    let mut engine = engine("");
    engine.arrive(clock(), past(&[(2, 1), (20, 1)]));
    let outcome = engine.adopt(from("2025-04-01", "escalation.blue = 3"));
    assert_eq!(said(&outcome), ["closed - policy"]);
    assert_eq!(outcome.alerts[0].audiences.len(), 1);
    assert!(engine.tick_to("2025-04-02".parse().unwrap()).iter().all(Outcome::silent));
}

/// A restart after it finds nothing to say, under the policy that decided last; under another one it says so.
#[test]
fn a_restart_under_the_policy_that_was_taken_over_is_silent() {
    let mut first = engine("");
    let mut outcomes = first.arrive(clock(), past(&[(2, 1), (20, 60)]));
    let strict = "severity.severe_lost_days = 50\nescalation.yellow = 2";
    outcomes.push(first.adopt(policy(strict)));
    let restart = |rest: &str| {
        let (mut written, mut heard) = (Memory::default(), Memory::default());
        for outcome in &outcomes {
            outcome.incidents.iter().cloned().for_each(|i| written.incident(i));
            outcome.alerts.iter().for_each(|a| heard.alert(a));
        }
        written.index();
        let mut again = engine(rest);
        again.recover(Some(clock()));
        again.load(past(&[(2, 1), (20, 60)]));
        let mut recalled = written.with(heard);
        recalled.decided_by(policy(strict).hash());
        again.resume(recalled)
    };
    let outcome = restart(strict);
    assert!(outcome.silent(), "{outcome:?}");
    assert_eq!(outcome.occasion, Occasion::Batch);
    let outcome = restart("");
    assert_eq!(outcome.occasion, Occasion::Policy);
    assert_eq!(said(&outcome), ["eased blue policy", "downgraded minor"]);
}
