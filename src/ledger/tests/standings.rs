//! How a case stands whose messages went out in another delivery, to somebody whom no alert names, or were answered.

use std::sync::Arc;

use tocsin_alerts::{ledger, quota};
use tocsin_connectors::log::sqlite::SqliteLog;
use tocsin_oracle::histories::history;
use tocsin_schemas::codes::{Role, Rule, State};
use tocsin_schemas::ids::IncidentId;
use tocsin_schemas::log::{EventLog, NewRecord};
use tocsin_schemas::records::{Alert, Delivery, DeliveryState};
use tocsin_schemas::{topics, wire};

use super::super::answer::{Step, What};
use super::super::deliveries::Found;
use super::super::text;
use super::{Played, accepted, played};

/// A counted incident that one message told, to one audience, and the delivery of it.
fn lone_message(played: &Played) -> (Alert, Delivery) {
    lone_messages(played).remove(0)
}

fn lone_messages(played: &Played) -> Vec<(Alert, Delivery)> {
    let alone = |alert: &&Alert| {
        let counted = |id: IncidentId| played.books.incidents[&id].state == State::Counted;
        alert.rule == Rule::OwnerIncident
            && alert.audiences.len() == 1
            && alert.case_no.parse().is_ok_and(counted)
            && played.alerts.iter().filter(|a| a.case_no == alert.case_no).count() == 1
    };
    let alerts = played.alerts.iter().filter(alone).cloned();
    let sent = |alert: Alert| {
        let delivery = accepted(&alert, alert.audiences[0].role, &alert.audiences[0].subject);
        (alert, delivery)
    };
    alerts.map(sent).collect()
}

impl Played {
    fn deliver(&mut self, delivery: &Delivery, state: DeliveryState, reason: Option<&str>) {
        let delivery = Delivery { state, reason: reason.map(Into::into), ..delivery.clone() };
        self.books.delivery(delivery.delivery_id.clone().as_bytes(), Some(delivery));
    }

    /// Standing and reason of the counted incidents that are not told, by their numbers.
    fn not_told(&self) -> Vec<(String, String, u64)> {
        let found = self.reconciled();
        let rows = found.rows.iter().filter(|row| row.what == What::Counted);
        rows.filter(|row| !["told", "suppressed"].contains(&row.standing.as_str()))
            .map(|row| (row.standing.as_str().to_owned(), row.standing.reason().to_owned(), row.cases))
            .collect()
    }

    fn steps(&self) -> Vec<Step> {
        self.reconciled().missing.iter().map(|m| m.step).collect()
    }
}

fn standing(standing: &str, reason: &str, cases: u64) -> Vec<(String, String, u64)> {
    vec![(standing.to_owned(), reason.to_owned(), cases)]
}

/// The digest carries the alert and the audience of the first message that joined it.
#[test]
fn a_message_in_a_digest_stands_as_the_digest_does() {
    use DeliveryState::*;
    let mut played = played(&history(3, 60));
    assert_eq!(played.not_told(), []);
    let members: Vec<Delivery> = lone_messages(&played).into_iter().take(2).map(|(_, d)| d).collect();
    let (first, second) = (&members[0], &members[1]);
    let due = first.at.plus_millis(60_000);
    let digest = quota::joined(None, first, due, first.at);
    assert!(quota::is_digest(&digest));
    let why = format!("in_digest:{}", digest.delivery_id);
    for member in &members {
        played.deliver(member, Skipped, Some(&why));
    }
    for (state, reason, expected) in [
        (Planned, "digest", standing("pending", "planned", 2)),
        (Sending, "digest", standing("pending", "sending", 2)),
        (Accepted, "digest", vec![]),
        (Delivered, "acknowledged", vec![]),
        (Failed, "bounced", standing("not_delivered", "bounced", 2)),
    ] {
        played.deliver(&digest, state, Some(reason));
        assert_eq!(played.not_told(), expected, "{state}");
        // However many digests there are, they are one reason.
        let found = played.reconciled();
        assert_eq!(
            (found.unaccounted, &found.messages["skipped"]),
            (0, &[("in_digest".to_owned(), 2)].into())
        );
    }
    // The first is corrected before the digest goes out: the digest is the other one's alone.
    played.deliver(&digest, Planned, Some("digest"));
    played.deliver(first, Skipped, Some("superseded"));
    assert_eq!(played.steps(), []);
    // It is gone, or nothing will move it: that is missing of whom it stands for.
    let places = |played: &Played| -> Vec<(String, Step)> {
        played.reconciled().missing.iter().map(|m| (m.case_no.clone(), m.step)).collect()
    };
    let stuck = Delivery { due_at: None, ..digest.clone() };
    played.deliver(&stuck, Planned, Some("digest"));
    assert_eq!(places(&played), [(second.case_no.clone(), Step::OpenWithoutDueTime)]);
    played.books.deliveries.remove(&digest.delivery_id);
    assert_eq!(places(&played), [(second.case_no.clone(), Step::NoDelivery)]);
    // The alert of its first message is gone: that is missing of this case, not of the digest's number.
    played.deliver(&digest, Accepted, None);
    assert_eq!(played.steps(), []);
    let found = played.without(&first.alert_id);
    assert_eq!(found.unaccounted, 1);
    assert!(found.missing.iter().all(|m| m.case_no == first.case_no), "{:#?}", found.missing);
}

#[test]
fn a_twin_to_the_same_phone_stands_as_the_one_that_goes_out() {
    use DeliveryState::*;
    let mut played = played(&history(3, 60));
    let (alert, lead) = lone_message(&played);
    let said = played.books.alerts.get_mut(&alert.alert_id).unwrap();
    said.audiences.push((Role::SafetyOfficer, lead.subject.as_str().into()));
    let twin = accepted(&alert, Role::SafetyOfficer, &lead.subject);
    played.deliver(&twin, Skipped, Some(&format!("same_person:{}", lead.delivery_id)));
    for (state, reason, expected) in [
        (Accepted, None, vec![]),
        (Failed, Some("bounced"), standing("not_delivered", "bounced", 1)),
        (Sending, None, standing("unaccounted", "left_behind", 1)),
    ] {
        played.deliver(&lead, state, reason);
        assert_eq!(played.not_told(), expected, "{state}");
        assert_eq!(played.reconciled().messages["skipped"], [("same_person".to_owned(), 1)].into());
    }
    // The one that goes out has joined a digest.
    let digest = quota::joined(None, &lead, lead.at.plus_millis(60_000), lead.at);
    played.deliver(&lead, Skipped, Some(&format!("in_digest:{}", digest.delivery_id)));
    played.deliver(&digest, Planned, Some("digest"));
    assert_eq!(played.not_told(), standing("pending", "planned", 1));
    played.deliver(&digest, Delivered, None);
    assert_eq!(played.not_told(), []);
    // Two that name each other were told by nobody.
    played.deliver(&lead, Skipped, Some(&format!("same_person:{}", twin.delivery_id)));
    assert_eq!(played.steps(), [Step::NoDelivery, Step::NoDelivery]);
}

/// The alert worker adds a township that reads of an incident in the morning: the alert does not name it.
#[test]
fn an_audience_that_only_deliveries_has_is_judged_too() {
    use DeliveryState::*;
    let mut played = played(&history(3, 60));
    let (alert, owner) = lone_message(&played);
    let town = accepted(&alert, Role::TownshipDuty, "331082003000");
    let due = Delivery { due_at: Some(town.at), ..town.clone() };
    for (delivery, state, reason, expected) in [
        (&town, Planned, None, standing("unaccounted", "open_without_due_time", 1)),
        (&due, Planned, None, standing("unaccounted", "left_behind", 1)),
        (&town, Failed, None, standing("unaccounted", "no_reason", 1)),
        (&town, Failed, Some("no_contact"), standing("not_delivered", "no_contact", 1)),
        (&town, Accepted, None, vec![]),
    ] {
        played.deliver(delivery, state, reason);
        assert_eq!(played.not_told(), expected, "{state} {reason:?}");
        let accused: Vec<_> = played.reconciled().missing.iter().map(|m| m.role).collect();
        assert!(accused.iter().all(|role| *role == Some(Role::TownshipDuty)), "{accused:?}");
    }
    // It waits in the morning's list.
    let list = quota::joined(None, &town, town.at.plus_millis(60_000), town.at);
    played.deliver(&town, Skipped, Some(&format!("in_digest:{}", list.delivery_id)));
    played.deliver(&list, Planned, Some("digest"));
    assert_eq!(played.not_told(), standing("pending", "planned", 1));
    played.deliver(&list, Accepted, None);
    assert_eq!(played.not_told(), []);
    // It takes the place of nobody.
    played.books.deliveries.remove(&owner.delivery_id);
    assert_eq!(played.steps(), [Step::NoDelivery]);
}

/// What the audience was told before does not hold any more, or not as it was told.
#[test]
fn a_later_message_that_was_due_and_not_sent_is_not_told() {
    use DeliveryState::*;
    let mut played = played(&history(3, 60));
    let (alert, _) = lone_message(&played);
    let raised = Alert { alert_id: "RAISED".to_owned(), revision: alert.revision + 1, ..alert.clone() };
    let again = Alert { alert_id: "AGAIN".to_owned(), revision: alert.revision + 2, ..alert.clone() };
    let audience = &alert.audiences[0];
    let [second, third] = [&raised, &again].map(|alert| {
        let sent = accepted(alert, audience.role, &audience.subject);
        played.books.alert(alert.clone(), 0, 0);
        sent
    });
    played.deliver(&third, Accepted, None);
    for (state, reason, expected) in [
        (Skipped, "silenced:EVENT", standing("not_delivered", "silenced", 1)),
        (Skipped, "contact_changed", standing("not_delivered", "contact_changed", 1)),
        (Failed, "silenced:EVENT", standing("not_delivered", "silenced", 1)),
        // A newer one takes its place, there was nothing to say, or somebody had answered.
        (Skipped, "answered", vec![]),
        (Skipped, "superseded", vec![]),
        (Skipped, "nothing_to_correct", vec![]),
    ] {
        played.deliver(&second, state, Some(reason));
        assert_eq!(played.not_told(), [], "{state} {reason}: the next message was heard");
        played.deliver(&third, Skipped, Some("nothing_to_correct"));
        assert_eq!(played.not_told(), expected, "{state} {reason}");
        played.deliver(&third, Accepted, None);
    }
}

/// The alert is over, and the retry hangs on whoever asked for it.
#[test]
fn what_is_said_after_all_is_under_way_though_its_alert_is_over() {
    use DeliveryState::*;
    let mut played = played(&history(3, 60));
    let (_, first) = lone_message(&played);
    played.deliver(&first, Failed, Some("http_404"));
    assert_eq!(played.not_told(), standing("not_delivered", "http_404", 1));
    let delivery_id = ledger::retry_id(&first.delivery_id);
    let at = first.at.plus_millis(1);
    let again = Delivery { delivery_id, at, due_at: Some(at), ..first.clone() };
    let why = format!("retry:{}", first.delivery_id);
    for (state, reason, expected) in [
        (Planned, Some(&*why), standing("pending", "planned", 1)),
        (Sending, None, standing("pending", "sending", 1)),
        (Uncertain, Some("unknown:timeout"), standing("pending", "uncertain", 1)),
        (Failed, Some("http_404"), standing("not_delivered", "http_404", 1)),
        (Accepted, None, vec![]),
    ] {
        played.deliver(&again, state, reason);
        assert_eq!(played.not_told(), expected, "{state}");
    }
}

#[test]
fn who_has_answered_is_told_unless_it_is_not_theirs() {
    use DeliveryState::*;
    let mut played = played(&history(3, 60));
    let (_, first) = lone_message(&played);
    for (reason, expected) in [
        ("acknowledged", vec![]),
        ("withdrawn_claim", vec![]),
        ("not_ours", standing("not_delivered", "not_ours", 1)),
    ] {
        played.deliver(&first, Delivered, Some(reason));
        assert_eq!(played.not_told(), expected, "{reason}");
        let found = played.reconciled();
        assert_eq!((found.unaccounted, &found.messages["delivered"]), (0, &[(reason.to_owned(), 1)].into()));
    }
    // The next person of the audience is under way, has got it, has not got it.
    let next = Delivery { delivery_id: "NEXT".to_owned(), at: first.at.plus_millis(1), ..first.clone() };
    for (state, reason, expected) in [
        (Sending, None, standing("unaccounted", "left_behind", 1)),
        (Accepted, None, vec![]),
        (Failed, Some("bounced"), standing("not_delivered", "bounced", 1)),
    ] {
        played.deliver(&next, state, reason);
        assert_eq!(played.not_told(), expected, "{state}");
    }
}

#[test]
fn a_page_shows_what_a_person_said_and_a_digest_by_itself() {
    let played = played(&history(3, 60));
    let (alert, sent) = lone_message(&played);
    let reason = Some("not_ours".to_owned());
    let member = Delivery { state: DeliveryState::Delivered, reason, ..sent };
    let digest = quota::joined(None, &member, member.at, member.at);
    let steps = vec![member.clone(), digest.clone()];
    let page = text::show(&Found { alerts: vec![alert], steps, ..Found::default() });
    let (of_alert, digests) = page.split_once("Digests; ").unwrap();
    assert!(of_alert.contains(&member.delivery_id) && of_alert.contains("not_ours"), "{page}");
    assert!(!of_alert.contains(&digest.delivery_id) && digests.contains(&digest.delivery_id), "{page}");
    assert!(!page.contains("not in alerts"), "{page}");
}

#[test]
fn a_digest_is_shown_with_what_it_stands_for_and_with_nothing_else_of_its_phone() {
    let played = played(&history(3, 60));
    let to = |phone: &str, (_, sent): (Alert, Delivery)| Delivery { phone_hash: Some(phone.into()), ..sent };
    let mut all = lone_messages(&played).into_iter();
    let [one, two, alone] = [(); 3].map(|()| to("A", all.next().unwrap()));
    let other = to("B", all.next().unwrap());
    let digest = quota::joined(None, &one, one.at, one.at);
    let in_it = |d: &Delivery| Delivery {
        state: DeliveryState::Skipped,
        reason: Some(format!("in_digest:{}", digest.delivery_id)),
        ..d.clone()
    };
    let dir = tempfile::tempdir().unwrap();
    let log: Arc<dyn EventLog> = Arc::new(SqliteLog::open(&dir.path().join("log.db")).unwrap());
    log.ensure(&topics::settings(), false).unwrap();
    // The second one was in it, and left it before it went out.
    let left = Delivery { reason: Some("superseded".into()), ..in_it(&two) };
    let records = [in_it(&one), in_it(&two), alone, other, digest.clone(), left].map(|d| NewRecord {
        topic: topics::DELIVERIES.into(),
        key: d.delivery_id.clone().into_bytes(),
        value: Some(wire::encode(&d)),
        stamp: None,
        route: None,
    });
    let mut writer = log.writer("test").unwrap();
    let (first, rest) = records.split_at(5);
    writer.append(first).unwrap();
    let members = |steps: &[Delivery]| super::super::deliveries::members(&log, steps).unwrap();
    let mut both = [in_it(&one), in_it(&two)];
    both.sort_by(|a, b| (a.at, &a.delivery_id).cmp(&(b.at, &b.delivery_id)));
    assert_eq!(members(&[digest.clone(), one.clone()]), both);
    writer.append(rest).unwrap();
    let members = members(std::slice::from_ref(&digest));
    assert_eq!(members, [in_it(&one)]);
    let page = text::show(&Found { steps: vec![digest], members, ..Found::default() });
    let (_, inside) = page.split_once("In them, 1:").unwrap();
    assert!(inside.contains(&one.delivery_id) && !inside.contains(&two.delivery_id), "{page}");
}
