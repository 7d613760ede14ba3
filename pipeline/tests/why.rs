//! Everything that the engine ever says must be given again by `why` from the records alone, in random histories and
//! in every scenario. The engine is the judge: `why` recomputes from what had arrived, and knows nothing of its state.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a test may panic, read the environment and print"
)]

#[path = "subjected/log.rs"]
mod log;
#[path = "subjected/policies.rs"]
mod policies;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use log::{Log, played};
use tocsin_oracle::histories::history;
use tocsin_oracle::{History, OraclePolicy, Step, scenario};
use tocsin_pipeline::why::{
    AlertExplained, CaseView, Given, How, Known, LinkBy, Numbers, Records, Rules, SeverityWhy, Wanted, Why,
};
use tocsin_schemas::codes::{Change, Level, Reason, Rule, Source, State};
use tocsin_schemas::door::{admit, admit_line};
use tocsin_schemas::records::Alert;
use tocsin_schemas::wire::NoIds;

/// The part of the log that concerns an alert, as the command reads it: pass after pass.
fn concerning(log: &Records, alert: &Alert) -> Records {
    let mut wanted = Wanted::default();
    wanted.enterprise(alert.uscc);
    wanted.alert(alert);
    let mut records = Records::default();
    while !wanted.settled() {
        records.arrivals = log.arrivals.iter().filter(|k| wanted.wants(&k.arrival.record)).cloned().collect();
        records.alerts = log.alerts.iter().filter(|a| wanted.wants_alert(a)).cloned().collect();
        records.incidents = log.incidents.iter().filter(|i| wanted.wants_incident(i)).cloned().collect();
    }
    records
}

fn explained(log: &Log, alert: &Alert) -> AlertExplained {
    let of = |hash: &str| log.policies.iter().find(|p| hash == &**p.hash());
    let records = concerning(&log.records, alert);
    let why = Why::new(
        &records,
        Rules { at_hand: log.policies.last().unwrap(), of: &of, likely: &|_| None },
        log.clock,
    );
    why.alert(&alert.alert_id).unwrap()
}

#[derive(Default)]
struct Count {
    kinds: BTreeMap<String, u64>,
    /// The log's order says what was known.
    certain: u64,
    /// It does not: late records, records stamped ahead, several decisions at one instant.
    uncertain: u64,
    wrong: Vec<String>,
    unsettled: Vec<String>,
}

impl Count {
    fn take(&mut self, name: &str, history: &History) {
        let log = played(history);
        for (alert, had) in log.records.alerts.iter().zip(&log.known) {
            let found = explained(&log, alert);
            *self.kinds.entry(format!("{} {}", alert.rule, alert.change)).or_default() += 1;
            let midnight = alert.decided_at == alert.as_of.midnight();
            let by_then = |k: &Known| match midnight {
                // What comes at the very instant of a midnight may have come before or after this one.
                true if k.not_before == alert.decided_at => None,
                _ => Some(k.not_before <= alert.decided_at),
            };
            let all =
                || log.records.arrivals.iter().enumerate().all(|(i, k)| by_then(k) == Some(i < had.arrivals));
            let certain = !had.adopts && all();
            let guessed = !found.taken_later.is_empty() || !found.stamped_ahead.is_empty();
            *(if certain { &mut self.certain } else { &mut self.uncertain }) += 1;
            let mut since = log.records.arrivals[had.earlier..had.arrivals].iter();
            let late = since.any(|k| k.not_before < alert.decided_at);
            let needless = !late && !found.taken_last.is_empty();
            if !found.check.adds_up() || (certain && (guessed || needless)) {
                let list = if certain { &mut self.wrong } else { &mut self.unsettled };
                list.push(format!(
                    "{name}: {} {} of {} rev {} at {}: {:?}",
                    alert.rule, alert.change, alert.subject, alert.revision, alert.decided_at, found.check
                ));
            }
        }
    }
}

#[test]
fn every_alert_of_random_histories_adds_up() {
    let many = std::env::var("TOCSIN_TEST_HISTORIES").ok().and_then(|n| n.parse().ok()).unwrap_or(100);
    let mut count = Count::default();
    for seed in 0..many {
        let mut history = history(seed, 40);
        history.steps.iter_mut().for_each(|step| step.adopt = None);
        count.take(&format!("seed {seed}"), &history);
    }
    let unsettled = count.unsettled.len() as u64;
    let (certain, uncertain) = (count.certain, count.uncertain);
    writeln!(
        std::io::stdout().lock(),
        "{:?}\n{certain} whose records are certain, {uncertain} not, of these {unsettled} unsettled",
        count.kinds
    )
    .unwrap();
    assert!(count.wrong.is_empty(), "{} of all: {:#?}", count.wrong.len(), &count.wrong);
    assert!(certain > many * 10, "hardly any is certain");
    // The histories shuffle time as no office does. What cannot be told from the log must stay rare even there.
    assert!(unsettled * 100 <= uncertain, "{:#?}", count.unsettled);
}

/// A policy that was taken over changes what was so without a record of an injury. What was said before and after it
/// adds up under the policy of each; here and there `why` assumes an order of arrival that it need not, and says so.
#[test]
fn where_policies_are_taken_over_every_alert_still_adds_up() {
    let mut count = Count::default();
    for seed in 0..100 {
        count.take(&format!("seed {seed}"), &history(seed, 40));
    }
    let adds_not = |line: &&String| !line.ends_with("Check { differences: [], unchecked: [] }");
    let wrong: Vec<&String> = count.wrong.iter().filter(adds_not).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(count.wrong.len() as u64 * 500 <= count.certain, "{:#?}", count.wrong);
    assert!(count.unsettled.len() as u64 * 100 <= count.uncertain, "{:#?}", count.unsettled);
}

#[test]
fn every_alert_of_every_scenario_adds_up() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/scenarios");
    let mut count = Count::default();
    for (name, scenario) in &scenario::load(&folder).unwrap() {
        count.take(name, &scenario.history());
    }
    assert!(
        count.wrong.is_empty() && count.unsettled.is_empty(),
        "{:#?} {:#?}",
        count.wrong,
        count.unsettled
    );
    for kind in [
        "owner_incident new",
        "owner_incident upgraded",
        "owner_incident downgraded",
        "owner_incident corrected",
        "owner_incident suppressed",
        "escalation new",
        "escalation raised",
        "escalation eased",
        "escalation closed",
        "escalation added",
    ] {
        assert!(count.kinds.contains_key(kind), "{kind} never occurred");
    }
}

/// A town in which everything happens once: `tests/why/town.jsonl`, decided line by line.
fn town() -> Log {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/why/town.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let mut steps: Vec<Step> = Vec::new();
    for line in text.lines() {
        let line = admit_line(line.as_bytes()).unwrap();
        let at = line.arrived_at;
        let admitted = admit(&line.topic, line.value, at, &NoIds).unwrap();
        let arrival = (admitted.record, admitted.digest, at);
        match steps.last_mut().filter(|step| step.at == at) {
            Some(step) => step.arrivals.push(arrival),
            None => steps.push(Step { at, arrivals: vec![arrival], flagged: 0, adopt: None }),
        }
    }
    played(&History { policies: vec![OraclePolicy::from("2020-11-20".parse().unwrap())], steps })
}

/// The one alert of the town that is so.
fn the(log: &Log, rule: Rule, change: Change, so: impl Fn(&Alert) -> bool) -> AlertExplained {
    let all: Vec<&Alert> =
        log.records.alerts.iter().filter(|a| a.rule == rule && a.change == change && so(a)).collect();
    let [one] = all.as_slice() else { panic!("{} alerts are {rule} {change}", all.len()) };
    let found = explained(log, one);
    assert!(found.check.adds_up() && found.check.unchecked.is_empty(), "{:?}", found.check);
    found
}

fn keys(case: &CaseView) -> Vec<(String, How)> {
    case.reports.iter().map(|r| (r.report.to_string(), r.how)).collect()
}

#[test]
fn an_owners_first_message_names_sources_joins_and_links_as_they_were_known() {
    let town = town();
    let new = the(&town, Rule::OwnerIncident, Change::New, |a| a.count == 2 && a.subject == "000000018");
    let [incident] = new.incidents.as_slice() else { panic!("{:?}", new.incidents) };
    let [first, second] = incident.cases.as_slice() else { panic!("two persons: {incident:?}") };
    assert_eq!(keys(first), [("hr/HR-1".to_owned(), How::Keyed), ("health/H-1".to_owned(), How::Joined)]);
    assert_eq!(keys(second), [("hr/HR-2".to_owned(), How::Keyed)], "the employer's report came later");
    assert_eq!(first.person.as_ref().unwrap().len(), 6);
    let [link] = incident.links.as_slice() else { panic!("{:?}", incident.links) };
    assert_eq!(link.by, LinkBy::IncidentNo { source: Source::Hr, number: "2025-17".into() });
    let Numbers::OwnerIncident { days_after: Some(1), max_age_days: 90, ref told_before, .. } = new.numbers
    else {
        panic!("{:?}", new.numbers)
    };
    assert!(told_before.is_empty());
    let since: Vec<String> =
        new.since.reports.iter().map(|c| format!("{} {}", c.report, c.version.version)).collect();
    assert_eq!(since, ["employer/E-7 1", "hr/HR-1 2", "hr/HR-1 3", "hr/HR-1 1"]);
    let later: Vec<Change> = new.since.alerts.iter().map(|a| a.change).collect();
    assert_eq!(later, [Change::Upgraded, Change::Downgraded]);
}

#[test]
fn a_change_of_severity_names_the_report_and_the_version_that_stood_then() {
    let town = town();
    let up = the(&town, Rule::OwnerIncident, Change::Upgraded, |_| true);
    let [first, second] = up.incidents[0].cases.as_slice() else { panic!("{:?}", up.incidents) };
    let from = |key: &str| key.parse().unwrap();
    assert_eq!(first.severity_by, SeverityWhy::LostDays { days: 130, limit: 105, from: from("hr/HR-1") });
    let versions: Vec<(u64, bool)> =
        first.reports[0].versions.iter().map(|v| (v.version, v.stands)).collect();
    assert_eq!(versions, [(1, false), (2, true)]);
    assert!(second.fields.contains(&Given {
        field: "lost_days",
        value: "20".into(),
        from: from("employer/E-7")
    }));
    let down = the(&town, Rule::OwnerIncident, Change::Downgraded, |_| true);
    assert_eq!(down.incidents[0].cases[0].severity_by, SeverityWhy::Neither);
}

#[test]
fn a_correction_shows_what_it_took_back_and_what_it_found() {
    let town = town();
    let of = |reason| the(&town, Rule::OwnerIncident, Change::Corrected, |a| a.reason == Some(reason));
    let withdrawn = of(Reason::Withdrawn);
    let version = &withdrawn.incidents[0].cases[0].reports[0].versions;
    assert!(version.len() == 1 && version[0].stands, "as known before: {version:?}");
    assert!(withdrawn.became.is_empty());
    let refused = of(Reason::Refused);
    assert_eq!((refused.incidents[0].state, refused.became[0].state), (State::Counted, State::Refused));
    let host = of(Reason::HostChanged);
    assert_eq!((host.incidents[0].hosts.len(), host.became[0].hosts.len()), (1, 0));
    assert_eq!(host.incidents[0].links[0].by, {
        LinkBy::TimeAndCause { cause: "09".parse().unwrap(), minutes_apart: 20, limit: 30 }
    });
}

#[test]
fn what_was_due_and_not_said_has_its_days() {
    let old = the(&town(), Rule::OwnerIncident, Change::Suppressed, |_| true);
    let Numbers::OwnerIncident { days_after, max_age_days, .. } = old.numbers else {
        panic!("{:?}", old.numbers)
    };
    assert_eq!((days_after, max_age_days), (Some(141), 90));
}

#[test]
fn an_escalation_has_its_window_its_steps_and_what_left_it() {
    let town = town();
    let of = |change, so: &dyn Fn(&Alert) -> bool| the(&town, Rule::Escalation, change, so);
    let numbers = |e: &AlertExplained| match e.numbers {
        Numbers::Escalation { incidents, severe, reaches, told_before, .. } => {
            (incidents, severe, reaches, told_before)
        }
        Numbers::OwnerIncident { .. } => panic!("{:?}", e.numbers),
    };
    let new = of(Change::New, &|a| a.level == Some(Level::Blue));
    assert_eq!(numbers(&new), (2, 0, Some(Level::Blue), None));
    let added = of(Change::Added, &|_| true);
    assert_eq!(numbers(&added), (4, 2, Some(Level::Red), Some(Level::Red)));
    let raised = of(Change::Raised, &|a| a.count == 3);
    assert_eq!(numbers(&raised), (3, 1, Some(Level::Red), Some(Level::Blue)));
    let eased = of(Change::Eased, &|a| a.as_of.to_string() == "2025-05-09");
    assert_eq!(numbers(&eased), (2, 0, Some(Level::Blue), Some(Level::Yellow)));
    assert_eq!(eased.became[0].state, State::Refused, "what left the window");
    let closed = of(Change::Closed, &|a| a.reason == Some(Reason::Corrected));
    assert_eq!(numbers(&closed), (1, 0, None, Some(Level::Blue)));
    // Taken over: closed here, opened at the successor.
    let over = of(Change::Closed, &|a| a.reason == Some(Reason::Succeeded));
    let Numbers::Escalation { read_as: Some(heir), .. } = over.numbers else { panic!("{:?}", over.numbers) };
    let heirs = of(Change::New, &|a| a.uscc == heir);
    assert_eq!(numbers(&heirs), (4, 2, Some(Level::Red), None));
    assert!(heirs.incidents.iter().all(|i| i.read_as == Some(heir)));
}
