//! What was said to whom: who was really rung, what a digest told, what was heard of the message before; and what left a
//! warning since then.

use std::collections::BTreeMap;

use tocsin_alerts::quota;
use tocsin_alerts::texts::Texts;
use tocsin_schemas::codes::{Change, DeliveryState, Level, Reason, Role};
use tocsin_schemas::records::{Alert, Delivery};

use super::super::asked::Asked;
use super::super::{Source, answer, not_found, read, text};
use super::{alerts, ask, replayed, source, to_the_owner, town, upgraded, write};

/// The page of an alert after these deliveries were written.
fn page(source: &Source, alert: &Alert, deliveries: &[Delivery]) -> String {
    write(source, deliveries);
    text::of(&ask(source, &alert.alert_id).unwrap())
}

/// The lines of a page that contain this.
fn lines<'p>(page: &'p str, what: &str) -> Vec<&'p str> {
    page.lines().filter(|line| line.contains(what)).map(str::trim).collect()
}

/// A delivery that was sent, and of which a poll of the gateway said two days later that it came.
pub(super) fn delivered(d: &Delivery) -> Delivery {
    let slots = [("M", "3"), ("D", "3"), ("sev", "重伤"), ("cause", "机械伤害"), ("id", "000000018")];
    Delivery {
        slots: slots.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        state: DeliveryState::Delivered,
        sent_at: Some("2025-04-10T09:00:05+08:00".parse().unwrap()),
        at: "2025-04-12T11:00:00+08:00".parse().unwrap(),
        ..d.clone()
    }
}

/// When a state is known may be long after the message rang.
#[test]
fn when_a_message_was_sent_stands_before_when_its_fate_was_known() {
    let town = replayed(&town(), None);
    let source = source(&town);
    let alert = upgraded(&source);
    let one = to_the_owner(&alert);
    let (tried, at) = (Some("2025-04-10T09:00:05+08:00".parse().unwrap()), "2025-04-10T09:00:07+08:00");
    let sent = "sent 2025-04-10T09:00:05+08:00 by webhook (text T2)";
    let to = "to contact 1 as registered";
    for (state, sent_at, words) in [
        (DeliveryState::Accepted, tried, format!("{sent}, accepted: known since {at}, {to}")),
        (DeliveryState::Failed, tried, format!("last tried {}, failed: known since {at}, {to}", &sent[5..])),
        (DeliveryState::Planned, tried, format!("last tried {}, planned since {at}, {to}", &sent[5..])),
        (DeliveryState::Accepted, None, format!("accepted by webhook (text T2), known since {at}, {to}")),
        (DeliveryState::Failed, None, format!("failed by webhook (text T2), known since {at}, {to}")),
        (DeliveryState::Planned, None, format!("planned by webhook (text T2) since {at}, {to}")),
        (DeliveryState::Skipped, None, format!("skipped by webhook (text T2) since {at}, {to}")),
    ] {
        let shown = page(&source, &alert, &[Delivery { state, sent_at, ..one.clone() }]);
        let of = lines(&shown, " by webhook (text ");
        assert!(of.len() == 1 && of[0].starts_with(&words), "{words}: {of:?}");
    }
    let shown = page(&source, &alert, &[delivered(&one)]);
    let words = format!("{sent}, delivered: known since 2025-04-12T11:00:00+08:00, {to}");
    assert!(shown.contains(&words), "{shown}");
}

/// The figures that the message named, and its words as far as they are known: only of one that can have been read.
#[test]
fn what_the_message_said_stands_under_its_delivery() {
    let town = replayed(&town(), None);
    let source = source(&town);
    let alert = upgraded(&source);
    let one = delivered(&to_the_owner(&alert));
    let (text, _) = Texts::built_in().filled(&one.template, &one.slots).unwrap();
    let worded = format!("in today's built-in wording (a configured one may differ): {text}");
    let filled = "filled with: D 3, M 3, cause 机械伤害, id 000000018, sev 重伤";
    let after = |d: &Delivery| {
        let shown = page(&source, &alert, std::slice::from_ref(d));
        let mut after = shown.lines().skip_while(|line| !line.contains(" by webhook (text "));
        after.next().unwrap();
        after.take(2).map(|line| line.trim().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(after(&one), [filled.to_owned(), worded]);
    // Nobody read it; the texts have changed since; a record of an earlier release.
    let skipped =
        Delivery { state: DeliveryState::Skipped, reason: Some("superseded".into()), ..one.clone() };
    assert_eq!(after(&skipped), [filled, ""]);
    assert_eq!(after(&Delivery { template: "T99".into(), ..one.clone() }), [filled, ""]);
    assert_eq!(after(&Delivery { slots: BTreeMap::new(), ..one }), ["", "What came since"]);
}

/// In words, once: the headline says it, and so does each line that names the alert.
#[test]
fn the_headline_gives_the_reason() {
    let town = replayed(&town(), None);
    let source = source(&town);
    let mut seen = 0;
    for alert in alerts(&source) {
        let Some(reason) = alert.reason else { continue };
        let end = format!(" ({reason})");
        let page = text::of(&ask(&source, &alert.alert_id).unwrap());
        assert!(page.lines().next().unwrap().ends_with(&end), "{page}");
        for id in [&*alert.case_no, alert.uscc.as_str()] {
            let page = text::of(&ask(&source, id).unwrap());
            for line in lines(&page, &format!(" alert {}: ", alert.alert_id)) {
                assert!(line.ends_with(&end) && line.matches(&end).count() == 1, "{line}");
                seen += 1;
            }
        }
    }
    assert!(seen > 5, "{seen}");
}

#[test]
fn who_was_rung_in_the_place_of_the_owner_is_named() {
    let town = replayed(&town(), None);
    let source = source(&town);
    let alert = upgraded(&source);
    let own = Delivery { contact_role: Some(Role::Owner), ..to_the_owner(&alert) };
    let shown = page(&source, &alert, std::slice::from_ref(&own));
    assert!(shown.contains(", to contact 1 as registered in version 3, 2 attempts"), "{shown}");
    for (role, subject, words) in [
        (Role::TownshipDuty, Some("330784002"), "to contact 1 of township_duty of 330784002 西城街道"),
        (Role::SafetyOfficer, None, "to contact 1 of safety_officer of 91330784XX00000190"),
    ] {
        let contact_subject = subject.map(str::to_owned);
        let other = Delivery { contact_role: Some(role), contact_subject, ..own.clone() };
        let shown = page(&source, &alert, &[other]);
        assert!(shown.contains(&format!(", {words} as registered in version 3")), "{words}: {shown}");
    }
}

#[test]
fn of_the_message_before_it_is_said_what_is_known_of_it() {
    let town = replayed(&town(), None);
    let source = source(&town);
    let alert = upgraded(&source);
    let first =
        alerts(&source).into_iter().find(|a| a.case_no == alert.case_no && a.change == Change::New).unwrap();
    let before = |page: &str| {
        let (_, after) = page.split_once("decided before: ").unwrap();
        let lines = after.lines().take_while(|line| !line.trim().starts_with("policy "));
        lines.map(str::trim).collect::<Vec<_>>().join("; ")
    };
    let uscc = alert.uscc;
    let decided = format!("an alert for {uscc}, as minor");
    // Nothing was delivered from a replay's log.
    assert_eq!(before(&page(&source, &alert, &[])), decided);
    let delivery = Delivery { delivery_id: "F".into(), ..to_the_owner(&first) };
    let skipped = |reason: &str| Delivery {
        state: DeliveryState::Skipped,
        reason: Some(reason.into()),
        ..delivery.clone()
    };
    let digest =
        Delivery { delivery_id: "G".into(), ..quota::joined(None, &delivery, delivery.at, delivery.at) };
    let told = Delivery { state: DeliveryState::Accepted, reason: None, ..digest.clone() };
    let sent = delivered(&delivery);
    for (deliveries, words) in [
        (vec![skipped("superseded")], "not told of it: skipped, superseded"),
        (vec![skipped("in_digest:G"), digest], "not told of it yet: planned"),
        (vec![told], "told of it, in a digest: accepted"),
        (
            vec![sent.clone()],
            "told of it: sent 2025-04-10T09:00:05+08:00, delivered: known since 2025-04-12T11:00:00+08:00",
        ),
        (vec![delivery.clone()], "told of it: accepted, known since 2025-04-10T09:00:07+08:00"),
        (
            vec![Delivery { contact_role: Some(Role::SafetyOfficer), ..delivery.clone() }],
            "told of it: accepted",
        ),
        (
            vec![Delivery {
                contact_role: Some(Role::TownshipDuty),
                contact_subject: Some("330784001".into()),
                ..delivery.clone()
            }],
            "not told of it; in its place was told township_duty of 330784001 东城街道: accepted",
        ),
    ] {
        let shown = page(&source, &alert, &deliveries);
        let expected = format!("{decided}; {uscc} was {words}");
        assert!(before(&shown).starts_with(&expected), "{expected}: {shown}");
    }
}

#[test]
fn a_message_in_a_digest_says_how_and_when_the_digest_was_told() {
    let town = replayed(&town(), None);
    let source = source(&town);
    let alert = upgraded(&source);
    let one = to_the_owner(&alert);
    let digest = Delivery { delivery_id: "G".into(), ..quota::joined(None, &one, one.at, one.at) };
    let member = Delivery { state: DeliveryState::Skipped, reason: Some("in_digest:G".into()), ..one };
    // It carries the alert of another member, the first that joined it.
    let digest = Delivery { alert_id: "A".repeat(26), at: digest.at.plus_millis(3_600_000), ..digest };
    let shown = page(&source, &alert, &[member, digest.clone()]);
    let shown = lines(&shown, "in_digest:G");
    assert_eq!(shown.len(), 1);
    assert!(
        shown[0]
            .contains(", in_digest:G: that digest (text T13) is not told: planned since 2025-04-10T10:00:07")
    );
    let sent_at = Some("2025-04-10T10:00:05+08:00".parse().unwrap());
    let told = Delivery { state: DeliveryState::Accepted, reason: None, sent_at, ..digest };
    let shown = page(&source, &alert, &[told]);
    assert!(
        shown.contains("the digest is filled with: id 000000018, id_head 00000, id_tail 0018, k 1"),
        "{shown}"
    );
    let shown = lines(&shown, "in_digest:G");
    assert!(
        shown[0]
            .contains(", in_digest:G: told in that digest (text T13): sent 2025-04-10T10:00:05+08:00, accepted: known since 2025-04-10T10:00:07"),
        "{shown:?}"
    );
}

#[test]
fn the_id_of_a_digest_leads_to_the_command_that_shows_it() {
    let town = replayed(&town(), None);
    let source = source(&town);
    let one = to_the_owner(&upgraded(&source));
    let id = "G".repeat(26);
    let digest = Delivery { delivery_id: id.clone(), ..quota::joined(None, &one, one.at, one.at) };
    let of = |id: &str| {
        let asked = Asked::parse(id).unwrap();
        let found = read::find(&*source.log, &*source.schemas, &asked).unwrap();
        assert!(answer(&source, &asked, found.as_ref()).is_none());
        not_found(&asked, found.as_ref()).text().to_owned()
    };
    assert!(!of(&id).contains("ledger show"));
    write(&source, &[digest]);
    let said = of(&id);
    assert!(said.contains("is a digest") && said.contains(&format!("tocsin ledger show {id}")), "{said}");
    assert_eq!(said.lines().count(), 1);
}

/// The forms of ids stand there, once.
#[test]
fn an_error_is_one_short_line_that_points_to_the_help() {
    let town = replayed(&town(), None);
    let source = source(&town);
    let asked = Asked::parse("EAAAAAAAAA").unwrap();
    let found = read::find(&*source.log, &*source.schemas, &asked).unwrap();
    let mut all = vec![not_found(&asked, found.as_ref()).text().to_owned()];
    all.extend(
        ["nothing", "000000019", "91330784XX00000191", "annual|x"].map(|id| Asked::parse(id).unwrap_err()),
    );
    for said in all {
        assert!(said.contains("tocsin why --help"), "{said}");
        assert!(said.lines().count() == 1 && !said.contains("SOURCE/ID"), "{said}");
    }
}

/// Of the message before, not of all that the episode ever counted.
#[test]
fn an_escalation_says_what_left_it_since_the_message_before_and_why() {
    let town = replayed(&town(), None);
    let source = source(&town);
    let all = alerts(&source);
    let page = |change: Change| {
        let of = |a: &&Alert| {
            let corrected = a.change == change && a.reason == Some(Reason::Corrected);
            corrected && a.level != Some(Level::Red) && a.as_of.to_string().starts_with("2025-05")
        };
        text::of(&ask(&source, &all.iter().find(of).unwrap().alert_id).unwrap())
    };
    let part = |page: &str| {
        let (_, after) = page.split_once("\nSince message ").unwrap();
        after.split_once("\nWhat brought it about").unwrap().0.to_owned()
    };
    let eased = part(&page(Change::Eased));
    assert!(eased.contains("3 counted then, 1 left since, none new: 2"), "{eased}");
    assert!(
        eased.contains("Counted in it, and does not count any more, as its state says")
            && eased.contains("hr/HR-3"),
        "{eased}"
    );
    // Refused before: the message before did not count it.
    let closed = part(&page(Change::Closed));
    assert!(closed.contains("2 counted then, 1 left since, none new: 1"), "{closed}");
    assert!(closed.contains("Counted in it, and all its reports were withdrawn"), "{closed}");
    assert!(!closed.contains("hr/HR-3"), "{closed}");
}
