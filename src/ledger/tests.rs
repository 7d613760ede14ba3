//! The reconciliation over random histories, held against the oracle, and over books from which something was taken.
//! [`standings`]: what a digest, a twin, a township's morning and an answer make of a case.

mod standings;

use std::collections::{BTreeMap, HashMap};

use tocsin_alerts::ledger::delivery_id;
use tocsin_oracle::histories::{History, history};
use tocsin_oracle::{Oracle, OraclePolicy};
use tocsin_pipeline::owed::FirstCounting;
use tocsin_pipeline::policy::{Escalation, Merge, OwnerAlert, Policy, SeverityLimits};
use tocsin_pipeline::{Arrival, Engine, Options, Outcome, Policies};
use tocsin_schemas::codes::{Change, Role, Urgency};
use tocsin_schemas::ids::{IncidentId, ReportKey};
use tocsin_schemas::records::{Alert, Delivery, DeliveryState, Offset, Progress, Record};
use tocsin_schemas::time::Instant;
use tocsin_schemas::topics;

use super::answer::{Reconciliation, Step, What};
use super::books::Books;
use super::deliveries::csv;
use super::reconcile::reconcile;
use super::text;

/// A history, played by the engine and by the oracle, and delivered without trouble.
struct Played {
    books: Books,
    policies: Policies,
    oracle: Oracle,
    alerts: Vec<Alert>,
}

/// The oracle's tables, as far as alerts hang on them.
fn policies(tables: &[OraclePolicy]) -> Policies {
    let table = |t: &OraclePolicy| Policy {
        effective_from: t.effective_from,
        escalation: Escalation {
            window_days: t.window_days,
            blue: t.blue,
            yellow: t.yellow,
            orange: t.orange,
            red: t.red,
            severe_is_red: t.severe_is_red,
        },
        owner_alert: OwnerAlert { max_age_days: t.max_age_days as u32 },
        merge: Merge { case_days: t.case_days as u32, incident_minutes: t.incident_minutes as u32 },
        severity: SeverityLimits {
            severe_lost_days: t.severe_lost_days,
            severe_grade_max: t.severe_grade_max,
        },
        ..Policies::default().tables()[0].clone()
    };
    Policies::new(tables.iter().map(table).collect()).unwrap()
}

fn progress(writer: &str, clock: Option<Instant>, alerts: u64) -> Progress {
    Progress {
        writer: writer.to_owned(),
        clock,
        offsets: vec![Offset { topic: topics::ALERTS.to_owned(), partition: 0, next: alerts }],
        ..Progress::default()
    }
}

fn accepted(alert: &Alert, role: Role, subject: &str) -> Delivery {
    Delivery {
        delivery_id: delivery_id(&alert.alert_id, role, subject, "webhook", &[]),
        alert_id: alert.alert_id.clone(),
        case_no: alert.case_no.to_string(),
        uscc: alert.uscc,
        role,
        subject: subject.to_owned(),
        contact_rank: Some(1),
        contact_version: Some(1),
        channel: "webhook".to_owned(),
        template: "T1".to_owned(),
        state: DeliveryState::Accepted,
        reason: None,
        attempt: 1,
        at: alert.decided_at,
        due_at: None,
        gateway_ref: None,
        uncertain: false,
        contact_role: None,
        sent_at: None,
        contact_subject: None,
        phone_hash: None,
        address_hash: None,
        change: alert.change,
        urgency: Urgency::Daytime,
        decided_at: Some(alert.decided_at),
        episode: alert.episode,
        revision: alert.revision,
        area: None,
        slots: BTreeMap::new(),
    }
}

fn played(history: &History) -> Played {
    let mut in_force = policies(&history.policies);
    let mut engine = Engine::new(in_force.clone(), Options { workers: 1 });
    let mut oracle = Oracle::new(history.policies.clone());
    let (mut books, mut alerts) = (Books::default(), Vec::new());
    let mut first: HashMap<ReportKey, Instant> = HashMap::new();
    let mut keep = |books: &mut Books, outcomes: Vec<Outcome>| {
        for outcome in outcomes {
            outcome.incidents.into_iter().for_each(|incident| books.incident(incident));
            for alert in outcome.alerts {
                books.alert(alert.clone(), 0, alerts.len() as u64);
                alerts.push(alert);
            }
        }
    };
    for step in &history.steps {
        if let Some(tables) = &step.adopt {
            in_force = policies(tables);
            keep(&mut books, vec![engine.adopt(in_force.clone())]);
            oracle.adopt(tables.clone());
        }
        if step.arrivals.is_empty() {
            keep(&mut books, engine.tick_to(step.at.day()));
            oracle.tick_to(step.at.day());
            continue;
        }
        let batch = step.arrivals.iter().map(|(record, digest, arrived_at)| {
            if let Record::Report(report) = record
                && report.status.counts()
                && !report.source.only_suspects()
            {
                let at = first.entry(report.key()).or_insert(*arrived_at);
                *at = (*at).min(*arrived_at);
            }
            Arrival { record: record.clone(), digest: *digest, arrived_at: *arrived_at }
        });
        keep(&mut books, engine.arrive(step.at, batch));
        oracle.arrive(step.at, step.arrivals.clone());
    }
    for incident in engine.incidents() {
        if let Some(at) = incident.reports.iter().filter_map(|key| first.get(key)).min() {
            books.first_counting.insert(incident.incident_id, FirstCounting::At(*at));
        }
    }
    for alert in alerts.iter().filter(|a| a.change != Change::Suppressed) {
        for audience in &alert.audiences {
            let delivery = accepted(alert, audience.role, &audience.subject);
            books.delivery(delivery.delivery_id.clone().as_bytes(), Some(delivery));
        }
    }
    let decided = progress(crate::run::pipeline::WRITER, engine.clock(), 0);
    books.progress(Progress { next_incident: engine.next_incident(), ..decided });
    books.progress(progress(tocsin_alerts::worker::WRITER, engine.clock(), alerts.len() as u64));
    Played { books, policies: in_force, oracle, alerts }
}

impl Played {
    fn reconciled(&self) -> Reconciliation {
        reconcile(&self.books, Some(&self.policies), None)
    }

    /// The same without one alert; what was delivered of it stays.
    fn without(&mut self, alert_id: &str) -> Reconciliation {
        let taken = self.books.alerts.remove(alert_id).unwrap();
        let found = self.reconciled();
        self.books.alerts.insert(alert_id.to_owned(), taken);
        found
    }
}

fn suppressed(found: &Reconciliation) -> BTreeMap<String, u64> {
    let rows = found.rows.iter().filter(|r| r.what == What::Counted && r.standing.as_str() == "suppressed");
    rows.map(|row| (row.standing.reason().to_owned(), row.cases)).collect()
}

#[test]
fn random_histories_are_accounted_for_as_the_oracle_has_them() {
    let (mut cases, mut not_due) = (0, 0);
    for seed in 0..100 {
        let mut played = played(&history(seed, 40));
        let found = played.reconciled();
        assert_eq!(found.unaccounted, 0, "seed {seed}: {:#?}", found.missing);
        assert_eq!(played.oracle.unaccounted(), 0);
        let oracle: BTreeMap<String, u64> =
            played.oracle.not_due().into_iter().map(|(reason, n)| (reason.to_string(), n)).collect();
        assert_eq!(suppressed(&found), oracle, "seed {seed}");
        assert!(found.unjudged.is_empty(), "seed {seed}: {:?}", found.unjudged);
        cases += found.cases();
        not_due += oracle.values().sum::<u64>();
        // What the record alone does not say is never called wrong.
        played.books.first_counting.clear();
        let found = played.reconciled();
        assert_eq!(found.unaccounted, 0, "seed {seed}: {:#?}", found.missing);
    }
    println!("{cases} cases, {not_due} of them not due");
    assert!(cases > 1000 && not_due > 100, "{cases} cases, {not_due} not due: hardly anything was tried");
}

#[test]
fn one_alert_that_is_gone_is_one_case_without_an_alert() {
    let mut gone = 0;
    for seed in 0..60 {
        let mut played = played(&history(seed, 40));
        for alert in played.alerts.clone() {
            let later = |a: &&Alert| {
                a.rule == alert.rule
                    && a.subject == alert.subject
                    && (a.episode, a.revision) > (alert.episode, alert.revision)
            };
            // A decision that nobody is told of, and that nothing comes after, leaves no trace but itself.
            if alert.audiences.is_empty() && !played.alerts.iter().any(|a| later(&a)) {
                continue;
            }
            if alert.change == Change::Suppressed {
                continue;
            }
            let found = played.without(&alert.alert_id);
            let steps: Vec<Step> = found.missing.iter().map(|m| m.step).collect();
            assert_eq!(found.unaccounted, 1, "seed {seed}, without {alert:?}: {:#?}", found.missing);
            // Suppressed first and told later: without the telling the reason is wrong, too.
            let known = [Step::NoAlert, Step::WrongReason];
            assert!(steps.contains(&Step::NoAlert) && steps.iter().all(|s| known.contains(s)), "{steps:?}");
            assert!(found.missing.iter().all(|m| *m.case_no == *alert.case_no), "{:#?}", found.missing);
            gone += 1;
        }
    }
    assert!(gone > 500, "only {gone} were taken away");
}

#[test]
fn an_incident_without_a_record_is_missed_whether_it_was_told_or_not() {
    let mut played = played(&history(3, 60));
    let ids: Vec<IncidentId> = played.books.incidents.keys().copied().collect();
    assert!(ids.len() > 5);
    for id in ids {
        let taken = played.books.incidents.remove(&id).unwrap();
        let found = played.reconciled();
        let places: Vec<_> = found.missing.iter().map(|m| (m.case_no.clone(), m.step)).collect();
        assert_eq!((found.unaccounted, places), (1, vec![(id.to_string(), Step::NoIncident)]));
        played.books.incidents.insert(id, taken);
    }
}

/// Without its delivery, too, so that only `incidents` and policy can tell.
#[test]
fn an_incident_is_missed_though_nothing_at_all_is_left_of_its_alerts() {
    let (mut told, mut silent) = (0, 0);
    for seed in 0..60 {
        let mut played = played(&history(seed, 40));
        let counted: Vec<IncidentId> = played.books.incidents.keys().copied().collect();
        for id in counted {
            let before = played.reconciled();
            let case_no = id.to_string();
            let of = |case: &str| case == case_no;
            let (alerts, deliveries) = (played.books.alerts.clone(), played.books.deliveries.clone());
            played.books.alerts.retain(|_, a| !of(&a.case_no));
            played.books.deliveries.retain(|_, d| !of(&d.case_no));
            let found = played.reconciled();
            let counts = played.books.incidents[&id].state == tocsin_schemas::codes::State::Counted;
            assert_eq!(found.unaccounted, u64::from(counts), "seed {seed}, {id}: {:#?}", found.missing);
            if counts && before.cases_of(What::Counted) > 0 {
                let was_silent =
                    alerts.values().filter(|a| of(&a.case_no)).all(|a| a.change == Change::Suppressed);
                *(if was_silent { &mut silent } else { &mut told }) += 1;
            }
            (played.books.alerts, played.books.deliveries) = (alerts, deliveries);
        }
    }
    assert!(told > 200 && silent > 20, "{told} told ones and {silent} silent ones were taken away");
}

#[test]
fn one_delivery_that_is_gone_or_stuck_is_one_case_with_that_step() {
    let mut played = played(&history(3, 60));
    let ids: Vec<String> = played.books.deliveries.keys().cloned().collect();
    assert!(ids.len() > 10);
    for id in ids {
        let taken = played.books.deliveries.remove(&id).unwrap();
        let found = played.reconciled();
        let places: Vec<_> = found.missing.iter().map(|m| (&*m.case_no, m.step)).collect();
        assert_eq!((found.unaccounted, places), (1, vec![(&*taken.case_no, Step::NoDelivery)]));
        let changes: [(DeliveryState, bool, Option<&str>, Step); 4] = [
            (DeliveryState::Planned, false, None, Step::OpenWithoutDueTime),
            (DeliveryState::Planned, true, None, Step::LeftBehind),
            (DeliveryState::Sending, false, None, Step::LeftBehind),
            (DeliveryState::Failed, false, None, Step::NoReason),
        ];
        for (state, due, reason, step) in changes {
            let stuck = super::books::Sent { state, due, reason: reason.map(Into::into), ..taken.clone() };
            played.books.deliveries.insert(id.clone(), stuck);
            let found = played.reconciled();
            let steps: Vec<Step> = found.missing.iter().map(|m| m.step).collect();
            assert_eq!((found.unaccounted, steps), (1, vec![step]), "{state:?}");
        }
        played.books.deliveries.insert(id, taken);
    }
    assert_eq!(played.reconciled().unaccounted, 0);
}

#[test]
fn what_the_worker_has_not_taken_in_is_pending_and_so_is_what_has_a_due_time() {
    let mut played = played(&history(3, 60));
    let told = played.reconciled().count(What::Counted, "told");
    assert!(told > 3);
    played.books.progress(progress(tocsin_alerts::worker::WRITER, None, 0));
    let ids: Vec<String> = played.books.deliveries.keys().cloned().collect();
    for id in &ids {
        let sent = played.books.deliveries.get_mut(id).unwrap();
        (sent.state, sent.due) = (DeliveryState::Planned, true);
    }
    let found = played.reconciled();
    assert_eq!((found.unaccounted, found.count(What::Counted, "pending")), (0, told));
    assert_eq!(
        found.pending_since,
        played.alerts.iter().filter(|a| !a.audiences.is_empty()).map(|a| a.decided_at).min()
    );
    played.books.deliveries.clear();
    let found = played.reconciled();
    assert_eq!((found.unaccounted, found.count(What::Counted, "pending")), (0, told));
    assert_eq!(found.messages.keys().collect::<Vec<_>>(), ["not_taken_in"]);
}

#[test]
fn failed_and_skipped_ones_with_a_reason_are_accounted_for_by_it() {
    let mut played = played(&history(3, 60));
    let told = played.reconciled().count(What::Counted, "told");
    for (state, reason, standing) in [
        (DeliveryState::Failed, "no_contact", "not_delivered"),
        (DeliveryState::Skipped, "same_person", "told"),
    ] {
        for sent in played.books.deliveries.values_mut() {
            (sent.state, sent.reason) = (state, Some(reason.into()));
        }
        let found = played.reconciled();
        assert_eq!((found.unaccounted, found.count(What::Counted, standing)), (0, told), "{reason}");
    }
}

/// Beside a running service a transaction is seen in parts.
#[test]
fn only_what_two_looks_miss_is_missing() {
    let mut played = played(&history(3, 60));
    let id = played.alerts.iter().find(|a| a.change == Change::New).unwrap().alert_id.clone();
    let whole = played.reconciled();
    played.books.alerts.remove(&id);
    let first = reconcile(&played.books, Some(&played.policies), Some(&whole.in_sight));
    assert_eq!((first.unaccounted, first.missing.len()), (0, 0));
    assert_eq!(
        first.count(What::Counted, "pending")
            + first.count(What::NotCounted, "pending")
            + first.count(What::Warning, "pending"),
        1
    );
    let second = reconcile(&played.books, Some(&played.policies), Some(&first.in_sight));
    assert_eq!(second.unaccounted, 1);
}

/// It was told, but today the rule would find it too old: the policy changed, or the day of the accident.
fn too_old_by_hand(played: &Played, case_no: &str) -> bool {
    let id: IncidentId = case_no.parse().unwrap();
    let FirstCounting::At(first) = played.books.first_counting[&id] else { panic!("it counts") };
    let as_of = played.books.decided.as_ref().unwrap().clock.unwrap().day();
    let most = played.policies.on(as_of).owner_alert.max_age_days as i32;
    first.day().0.min(as_of.0) - played.books.incidents[&id].occurred_on.0 > most
}

/// The decider suppresses what is due: neither it nor its account would ever notice.
#[test]
fn a_reason_that_the_policy_does_not_bear_out_is_found() {
    let mut found = 0;
    for seed in 0..60 {
        let mut played = played(&history(seed, 40));
        let news: Vec<String> = played
            .alerts
            .iter()
            .filter(|a| a.change == Change::New && a.rule == tocsin_schemas::codes::Rule::OwnerIncident)
            .map(|a| a.alert_id.clone())
            .collect();
        for id in news {
            let said = played.books.alerts[&id].clone();
            let alone = played.books.alerts.values().filter(|a| a.subject == said.subject).count() == 1;
            let counted =
                |id: &IncidentId| played.books.incidents[id].state == tocsin_schemas::codes::State::Counted;
            if !alone || !said.subject.parse().is_ok_and(|id| counted(&id)) {
                continue;
            }
            let silenced = super::books::Said {
                change: Change::Suppressed,
                revision: 0,
                audiences: Vec::new(),
                reason: Some("too_old"),
                ..said.clone()
            };
            let deliveries = played.books.deliveries.clone();
            played.books.deliveries.retain(|_, d| d.case_no != said.case_no);
            played.books.alerts.insert(id.clone(), silenced);
            let steps: Vec<Step> = played.reconciled().missing.iter().map(|m| m.step).collect();
            let expected: &[Step] =
                if too_old_by_hand(&played, &said.subject) { &[] } else { &[Step::WrongReason] };
            assert_eq!(steps, expected, "seed {seed}, {said:?}");
            found += usize::from(!expected.is_empty());
            played.books.alerts.insert(id, said);
            played.books.deliveries = deliveries;
        }
    }
    assert!(found > 100, "only {found} were tried");
}

#[test]
fn whoever_was_rung_in_the_place_of_the_role_stands_in_table_and_csv() {
    let alert = played(&history(3, 60)).alerts.into_iter().find(|a| !a.audiences.is_empty()).unwrap();
    let subject = alert.uscc.to_string();
    let own = Delivery { contact_role: Some(Role::Owner), ..accepted(&alert, Role::Owner, &subject) };
    let other = Delivery {
        contact_role: Some(Role::TownshipDuty),
        contact_subject: Some("330784002".to_owned()),
        ..own.clone()
    };
    let table = text::deliveries(&[own.clone(), other.clone()], usize::MAX);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0][2..5], ["TO", "RUNG", "INSTEAD"], "{table}");
    assert_eq!(rows[1][2..5], ["owner", &*subject, "webhook"], "{table}");
    assert_eq!(rows[2][2..6], ["owner", &*subject, "township_duty", "330784002"], "{table}");
    assert!(!text::deliveries(std::slice::from_ref(&own), usize::MAX).contains("INSTEAD"));
    let csv = String::from_utf8(csv(&[own, other]).unwrap()).unwrap();
    let rows: Vec<&str> = csv.lines().collect();
    assert!(rows[0].ends_with(",phone_hash,contact_role,contact_subject"), "{csv}");
    assert!(rows[1].ends_with(",,owner,") && rows[2].ends_with(",,township_duty,330784002"), "{csv}");
}
