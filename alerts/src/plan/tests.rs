//! Who is told, against people who can be reached and what was said before. Expected by hand from the rules of the
//! module's page.

use std::sync::Arc;

use tocsin_schemas::codes::{Level, Reason, Severity};
use tocsin_schemas::records::Contact;

use super::next::Further;
use super::*;
use crate::channel::{Channel, Outcome, Outgoing};
use crate::clock::BoxFuture;
use crate::fixtures::{audience, escalation, owner_alert, uscc};
use crate::gateways::{Kind, Question};

pub(super) const NOW: Instant = Instant(1_000_000);
pub(super) const AREA: &str = "330784001";

/// A channel that nobody sends over.
struct Named(&'static str);

impl Channel for Named {
    fn name(&self) -> &'static str {
        self.0
    }
    fn send<'a>(&'a self, _: &'a Outgoing) -> BoxFuture<'a, Outcome> {
        unreachable!("a plan sends nothing")
    }
    fn kind(&self) -> Kind {
        Kind::Idempotent
    }
    fn not_found_counts_after_ms(&self) -> i64 {
        0
    }
    fn ask<'a>(&'a self, _: &'a Question) -> BoxFuture<'a, gateways::Told> {
        unreachable!("a plan asks nothing")
    }
}

/// What a plan rests on, in a house with these channels.
pub(super) struct House {
    pub told: Told,
    pub contacts: Contacts,
    pub channels: Channels,
    pub key: PhoneKey,
    pub awaits: Option<Awaits>,
    pub now: Instant,
}

impl House {
    pub fn new(channels: &[&'static str]) -> House {
        let channels = channels.iter().map(|name| Arc::new(Named(name)) as Arc<dyn Channel>);
        House {
            told: Told::new(),
            contacts: Contacts::new(),
            channels: Channels::new(channels),
            key: PhoneKey::new(b"key"),
            awaits: None,
            now: NOW,
        }
    }
    /// A contact with a phone; `version` rises by itself.
    pub fn knows(&mut self, role: Role, subject: &str, rank: u32, phone: &str) {
        let contact = Contact {
            role,
            subject: subject.into(),
            rank,
            name: "甲".into(),
            phone: Some(phone.into()),
            addresses: BTreeMap::new(),
            valid_from: None,
            valid_to: None,
            verified_on: None,
            version: self.contacts.len() as u64 + 1,
        };
        let version = contact.version;
        self.contacts
            .apply(format!("{role}+{subject}+{rank}").as_bytes(), Some((contact, [version as u8; 32])));
    }
    pub fn owner(&mut self, rank: u32, phone: &str) {
        self.knows(Role::Owner, uscc().as_str(), rank, phone);
    }
    pub fn ask<T>(&self, ask: impl FnOnce(&Planner<'_>) -> T) -> T {
        let House { told, contacts, channels, key, awaits, now } = self;
        let (texts, awaits, now) = (&Texts::built_in(), awaits.as_ref(), *now);
        ask(&Planner { told, contacts, texts, channels, key, mornings: false, awaits, now })
    }
    fn plan(&self, alert: &Alert) -> Vec<Delivery> {
        self.ask(|p| p.first(alert)).into_iter().map(|draft| draft.delivery).collect()
    }
    /// Plans, and takes it in.
    pub fn tell(&mut self, alert: &Alert) -> Vec<Delivery> {
        let planned = self.plan(alert);
        for d in &planned {
            self.told.apply(d);
        }
        planned
    }
    pub fn ends(&mut self, delivery: &Delivery, state: DeliveryState, reason: &str) {
        let reason = (!reason.is_empty()).then(|| reason.to_owned());
        self.told.apply(&Delivery { state, reason, due_at: None, ..delivery.clone() });
    }
    pub fn further(&self, alert: &Alert) -> Further {
        self.ask(|p| p.further(alert, &alert.audiences[0]))
    }
    /// Takes the next step of the first audience, and says whom it goes to over what.
    pub fn next(&mut self, alert: &Alert) -> Option<(String, String, Delivery)> {
        match self.further(alert) {
            Further::Plan(draft) => {
                self.told.apply(&draft.delivery);
                let d = draft.delivery;
                Some((who(&d), d.channel.clone(), d))
            }
            Further::Done => None,
            Further::Wait(_) => panic!("something is under way"),
        }
    }
}

/// Role and rank of the contact.
pub(super) fn who(delivery: &Delivery) -> String {
    format!("{}+{}", delivery.contact_role.unwrap(), delivery.contact_rank.unwrap())
}

pub(super) fn new_alert() -> Alert {
    owner_alert("a1", Change::New, Severity::Minor)
}
pub(super) fn followed(id: &str, change: Change) -> Alert {
    let severity = if change == Change::Upgraded { Severity::Fatal } else { Severity::Minor };
    Alert { revision: 2, ..owner_alert(id, change, severity) }
}

#[test]
fn each_audience_is_planned_once_for_ever() {
    let mut house = House::new(&["webhook"]);
    house.owner(1, "one");
    house.knows(Role::Owner, "host", 1, "two");
    let mut alert = new_alert();
    alert.audiences.push(audience(Role::Owner, "host"));
    let first = house.tell(&alert);
    assert_eq!(first.len(), 2);
    assert!(first.iter().all(|d| d.state == DeliveryState::Planned && d.phone_hash.is_some()));
    assert!(house.plan(&alert).is_empty());
    house.ends(&first[0], DeliveryState::Accepted, "");
    // Another phone by now: what was said stays said.
    house.owner(1, "three");
    assert!(house.plan(&alert).is_empty());
    assert_eq!(house.further(&alert), Further::Done);
}

#[test]
fn nothing_is_planned_for_a_decision_that_nobody_is_told_of() {
    let mut house = House::new(&["webhook"]);
    house.owner(1, "one");
    assert!(house.plan(&owner_alert("a", Change::Suppressed, Severity::Minor)).is_empty());
    let expired = Alert { audiences: Vec::new(), ..escalation(Change::Closed, None, 0) };
    assert!(house.plan(&expired).is_empty());
}

#[test]
fn a_delivery_stands_for_itself() {
    let mut house = House::new(&["webhook"]);
    house.owner(2, "13900000001");
    let alert = new_alert();
    let [d] = &house.plan(&alert)[..] else { panic!("one delivery") };
    assert_eq!((d.change, d.decided_at, d.episode, d.revision), (Change::New, Some(alert.decided_at), 1, 1));
    assert_eq!(
        (d.contact_role, d.contact_rank, d.contact_subject.as_deref()),
        (Some(Role::Owner), Some(2), None)
    );
    assert_eq!((d.area.as_deref(), d.urgency), (Some(AREA), crate::decide::Urgency::Daytime));
    let (text, slots) = Texts::built_in().filled(&d.template, &d.slots).unwrap();
    let expected = texts::render(&alert, &alert.audiences[0]).unwrap();
    assert_eq!((text, slots), (expected.text, expected.slots));
    assert!(!format!("{d:?}").contains("139"), "no phone");
}

#[test]
fn who_does_not_get_it_is_followed_by_the_next_channel_person_officer_and_township() {
    let mut house = House::new(&["aliyun", "webhook"]);
    for (role, subject, rank, phone) in [
        (Role::Owner, uscc().as_str(), 2, "o2"),
        (Role::Owner, uscc().as_str(), 1, "o1"),
        (Role::SafetyOfficer, uscc().as_str(), 1, "s1"),
        (Role::TownshipDuty, AREA, 1, "t1"),
        (Role::TownshipDuty, "330784002", 1, "another's"),
    ] {
        house.knows(role, subject, rank, phone);
    }
    let alert = new_alert();
    let first = house.tell(&alert);
    assert_eq!((first.len(), who(&first[0]), first[0].channel.as_str()), (1, "owner+1".into(), "aliyun"));
    assert_eq!(house.further(&alert), Further::Wait(None));
    house.ends(&first[0], DeliveryState::Failed, "bad_number");
    let mut steps = Vec::new();
    let mut ids = vec![first[0].delivery_id.clone()];
    let mut last = None;
    while let Some((who, channel, delivery)) = house.next(&alert) {
        house.ends(&delivery, DeliveryState::Failed, "bad_number");
        ids.push(delivery.delivery_id.clone());
        steps.push((who, channel));
        last = Some(delivery);
    }
    let expected = [
        ("owner+1", "webhook"),
        ("owner+2", "aliyun"),
        ("owner+2", "webhook"),
        ("safety_officer+1", "aliyun"),
        ("safety_officer+1", "webhook"),
        ("township_duty+1", "aliyun"),
        ("township_duty+1", "webhook"),
    ];
    assert_eq!(steps, expected.map(|(who, channel)| (who.to_owned(), channel.to_owned())));
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 8, "each its own key");
    let last = last.unwrap();
    assert_eq!((last.template.as_str(), last.contact_subject.as_deref()), ("T15", Some(AREA)));
    let (text, _) = Texts::built_in().filled(&last.template, &last.slots).unwrap();
    assert!(text.contains("长城五金") && text.contains("请上门告知"), "{text}");
}

#[test]
fn nobody_further_is_tried_when_it_may_have_come_or_was_overtaken() {
    for (state, reason, uncertain, overtaken) in [
        (DeliveryState::Accepted, "", false, false),
        (DeliveryState::Failed, "unknown:timeout", true, false),
        (DeliveryState::Failed, "bad_number", false, true),
        (DeliveryState::Skipped, "superseded", false, false),
        (DeliveryState::Failed, "expired", false, false),
        (DeliveryState::Skipped, "silenced:s1", false, false),
    ] {
        let mut house = House::new(&["webhook"]);
        house.owner(1, "one");
        house.owner(2, "two");
        let first = house.tell(&new_alert());
        house.ends(&Delivery { uncertain, ..first[0].clone() }, state, reason);
        if overtaken {
            // Also once that one is over, and after a restart: the ledger knows.
            let next = house.tell(&followed("a2", Change::Upgraded));
            house.ends(&next[0], DeliveryState::Accepted, "");
        }
        assert_eq!(house.further(&new_alert()), Further::Done, "{state} {reason}");
    }
}

#[test]
fn whoever_has_the_role_now_is_told_when_the_contact_changed_before_it_went_out() {
    let mut house = House::new(&["webhook"]);
    house.owner(1, "old");
    let first = house.tell(&new_alert());
    house.owner(1, "new");
    house.ends(&first[0], DeliveryState::Skipped, "contact_changed");
    let (who, _, next) = house.next(&new_alert()).unwrap();
    assert_eq!(who, "owner+1");
    assert_ne!(next.phone_hash, first[0].phone_hash);
}

#[test]
fn a_correction_goes_to_exactly_those_who_were_told_over_the_channel_that_told_them() {
    let mut house = House::new(&["aliyun", "webhook"]);
    house.owner(1, "one");
    house.owner(2, "two");
    let first = house.tell(&new_alert());
    house.ends(&first[0], DeliveryState::Failed, "bad_number");
    let (_, channel, second) = house.next(&new_alert()).unwrap();
    assert_eq!(channel, "webhook");
    house.ends(&second, DeliveryState::Delivered, "");
    // Somebody new is asked first by now.
    house.knows(Role::Owner, uscc().as_str(), 0, "new");
    let corrected = house.tell(&followed("a2", Change::Corrected));
    let of = |d: &Delivery| (d.channel.clone(), d.phone_hash.clone(), d.contact_rank);
    assert_eq!(corrected.iter().map(of).collect::<Vec<_>>(), [of(&second)]);
    // Who is told of a death: those who heard, and whoever is first now.
    let upgraded = house.plan(&followed("a3", Change::Upgraded));
    assert_eq!(upgraded.iter().map(|d| d.contact_rank.unwrap()).collect::<Vec<_>>(), [1, 0]);
    // A correction that fails goes to nobody else.
    house.ends(&corrected[0], DeliveryState::Failed, "bad_number");
    assert_eq!(
        house.further(&followed("a2", Change::Corrected)),
        Further::Wait(None),
        "while more may hear it"
    );
    assert!(!house.told.close(&new_alert(), &new_alert().audiences[0]).is_empty());
    assert_eq!(house.further(&followed("a2", Change::Corrected)), Further::Done);
}

#[test]
fn a_correction_of_what_a_gateway_told_that_is_gone_goes_to_the_same_phone_over_another() {
    let mut house = House::new(&["aliyun"]);
    house.owner(1, "one");
    let first = house.tell(&new_alert());
    house.ends(&first[0], DeliveryState::Delivered, "");
    house.channels = House::new(&["tencent"]).channels;
    let of = |d: &Delivery| (d.channel.clone(), d.phone_hash.clone(), d.state);
    let corrected = house.plan(&followed("a2", Change::Corrected));
    let wanted = ("tencent".to_owned(), first[0].phone_hash.clone(), DeliveryState::Planned);
    assert_eq!(corrected.iter().map(of).collect::<Vec<_>>(), [wanted]);
    // Said over the former one before that was taken away, or perhaps said: not once more.
    for (state, uncertain) in [(DeliveryState::Accepted, false), (DeliveryState::Failed, true)] {
        let mut house = House::new(&["aliyun"]);
        house.owner(1, "one");
        let first = house.tell(&new_alert());
        house.ends(&first[0], DeliveryState::Delivered, "");
        let corrected = house.tell(&followed("a2", Change::Corrected));
        house.ends(&Delivery { uncertain, ..corrected[0].clone() }, state, "no_channel");
        house.channels = House::new(&["tencent"]).channels;
        let further = house.further(&followed("a2", Change::Corrected));
        assert!(!matches!(further, Further::Plan(_)), "{state}: {further:?}");
    }
    // Whoever has the place by now never heard it.
    house.owner(1, "another");
    let corrected = house.plan(&followed("a2", Change::Corrected));
    assert_eq!(
        corrected.iter().map(|d| (&*d.channel, &d.phone_hash)).collect::<Vec<_>>(),
        [("aliyun", &first[0].phone_hash)]
    );
    house.owner(1, "one");
    // Where that number has bounced over the one, over a third.
    house.channels = House::new(&["tencent", "webhook"]).channels;
    let mut elsewhere = owner_alert("b1", Change::New, Severity::Minor);
    elsewhere.case_no = "another".into();
    elsewhere.subject = "another".into();
    let bounced = house.tell(&elsewhere);
    assert_eq!(bounced[0].channel, "tencent");
    house.ends(&bounced[0], DeliveryState::Failed, "bounced");
    assert_eq!(house.plan(&followed("a2", Change::Corrected))[0].channel, "webhook");
    // Said over that, and the first one is back: not once more.
    let corrected = house.tell(&followed("a2", Change::Corrected));
    house.ends(&corrected[0], DeliveryState::Accepted, "");
    house.channels = House::new(&["aliyun", "webhook"]).channels;
    let further = house.further(&followed("a2", Change::Corrected));
    assert!(!matches!(further, Further::Plan(_)), "{further:?}");
}

#[test]
fn a_correction_follows_a_message_that_is_still_under_way_and_none_that_certainly_failed() {
    let mut house = House::new(&["webhook"]);
    house.owner(1, "one");
    let first = house.tell(&new_alert());
    let follows = house.plan(&followed("a2", Change::Corrected));
    assert_eq!((follows[0].state, &follows[0].phone_hash), (DeliveryState::Planned, &first[0].phone_hash));
    house.ends(&first[0], DeliveryState::Failed, "bad_number");
    let [skipped] = &house.plan(&followed("a2", Change::Corrected))[..] else { panic!("one") };
    assert_eq!(skipped.state, DeliveryState::Skipped);
    assert_eq!(skipped.reason.as_deref(), Some("nothing_to_correct"));
    // Nothing is known of what was said: it is not known that nothing was.
    let unheard = House::new(&["webhook"]).plan(&followed("a2", Change::Corrected));
    assert_eq!(unheard[0].reason.as_deref(), Some("no_contact"));
}

#[test]
fn the_township_that_stood_in_for_an_owner_hears_the_correction_too() {
    let mut house = House::new(&["webhook"]);
    house.knows(Role::TownshipDuty, AREA, 1, "town");
    let first = house.tell(&new_alert());
    assert_eq!((who(&first[0]), first[0].template.as_str()), ("township_duty+1".into(), "T15"));
    house.ends(&first[0], DeliveryState::Accepted, "");
    let corrected = house.plan(&followed("a2", Change::Corrected));
    assert_eq!((who(&corrected[0]), corrected[0].template.as_str()), ("township_duty+1".into(), "T17"));
    let (text, _) = Texts::built_in().filled("T17", &corrected[0].slots).unwrap();
    assert!(text.contains("辖区长城五金的事故已"), "{text}");
    let moved = Alert { reason: Some(Reason::Moved), ..followed("a4", Change::Corrected) };
    assert!(house.plan(&moved)[0].slots["act"] == "移出该企业", "who reads it is not the enterprise");
    let lessened = Alert { severity: Some(Severity::Minor), ..followed("a5", Change::Downgraded) };
    assert!(house.plan(&lessened)[0].slots["act"] == "更正为轻伤");
    let upgraded = house.plan(&followed("a3", Change::Upgraded));
    assert_eq!((upgraded.len(), upgraded[0].template.as_str()), (1, "T15"), "once, though it is first too");
}

/// The alert names the employer and its township, of which neither is the host's.
#[test]
fn of_a_host_that_cannot_be_reached_nobody_says_that_the_employer_could_not() {
    let mut house = House::new(&["webhook"]);
    house.knows(Role::TownshipDuty, AREA, 1, "town");
    house.knows(Role::Owner, uscc().as_str(), 1, "owner");
    let mut alert = new_alert();
    alert.audiences.push(audience(Role::Owner, "host"));
    let planned = house.tell(&alert);
    let told: Vec<_> = planned.iter().map(|d| (d.subject.as_str(), who(d), d.template.as_str())).collect();
    let (owner, town) = ("owner+1".to_owned(), "township_duty+1".to_owned());
    assert_eq!(told, [(uscc().as_str(), owner, "T1"), ("host", town, "T18")]);
    let (text, _) = Texts::built_in().filled("T18", &planned[1].slots).unwrap();
    assert!(text.contains("长城五金职工轻伤，用工单位未能通知到，请转告"), "{text}");
}

#[test]
fn one_person_reads_the_same_words_once() {
    let mut house = House::new(&["webhook"]);
    let mut alert = escalation(Change::New, Some(Level::Red), 5);
    alert.audiences.push(audience(Role::IndustryDuty, "33"));
    alert.audiences.push(audience(Role::EmergencyDuty, "330784"));
    house.knows(Role::TownshipDuty, AREA, 1, "13900000001");
    house.knows(Role::IndustryDuty, "33", 1, "other");
    house.knows(Role::EmergencyDuty, "330784", 1, "+86 139 0000 0001");
    let planned = house.tell(&alert);
    let states: Vec<_> = planned.iter().map(|d| (d.role, d.state, d.reason.as_deref())).collect();
    assert_eq!(
        states,
        [
            (Role::TownshipDuty, DeliveryState::Planned, None),
            (Role::IndustryDuty, DeliveryState::Planned, None),
            (
                Role::EmergencyDuty,
                DeliveryState::Skipped,
                Some(&*format!("same_person:{}", planned[0].delivery_id))
            ),
        ]
    );
    // Who read it in another role hears the correction in his own.
    for d in &planned[..2] {
        house.ends(d, DeliveryState::Accepted, "");
    }
    let closed = Alert {
        alert_id: "e2".into(),
        audiences: alert.audiences.clone(),
        revision: 2,
        ..escalation(Change::Closed, None, 1)
    };
    let states: Vec<_> = house.plan(&closed).iter().map(|d| (d.role, d.state)).collect();
    assert_eq!(
        states,
        [
            (Role::TownshipDuty, DeliveryState::Planned),
            (Role::IndustryDuty, DeliveryState::Planned),
            (Role::EmergencyDuty, DeliveryState::Skipped),
        ]
    );
    // An owner of two enterprises hears of both: the counts of the year differ.
    let mut house = House::new(&["webhook"]);
    let mut alert = new_alert();
    alert.audiences.push(Audience { year_to_date: Some(9), ..audience(Role::Owner, "host") });
    house.owner(1, "same");
    house.knows(Role::Owner, "host", 1, "same");
    let planned = house.plan(&alert);
    assert!(planned.len() == 2 && planned.iter().all(|d| d.state == DeliveryState::Planned));
}

#[test]
fn what_cannot_be_told_fails_in_sight() {
    let mut house = House::new(&["webhook"]);
    let [nobody] = &house.plan(&new_alert())[..] else { panic!("one") };
    assert_eq!((nobody.state, nobody.reason.as_deref()), (DeliveryState::Failed, Some("no_contact")));
    house.owner(1, "one");
    let mut alert = new_alert();
    alert.facts.occurred_on = None;
    let [unworded] = &house.tell(&alert)[..] else { panic!("one") };
    assert_eq!((unworded.state, unworded.reason.as_deref()), (DeliveryState::Failed, Some("missing_fact")));
    assert_eq!(house.further(&alert), Further::Done, "it is missing for everybody");
}

#[test]
fn the_ledger_names_the_wording_that_the_gateways_variables_have_room_for() {
    let alert = escalation(Change::New, Some(Level::Blue), 2);
    for (channel, expected) in [("webhook", "T7"), ("aliyun", "T7"), ("tencent", "T7_fallback")] {
        let mut house = House::new(&[channel]);
        house.knows(Role::TownshipDuty, AREA, 1, "town");
        let drafts = house.ask(|p| p.first(&alert));
        assert_eq!(drafts[0].delivery.template, expected, "{channel}");
        assert_eq!(drafts[0].fallback.is_some(), channel == "tencent");
        // No room in the fallback either: it fails in sight, and nothing is cut.
        let long = Alert { alert_id: "e9".into(), case_no: "12345678901".into(), ..alert.clone() };
        if channel == "tencent" {
            let [failed] = &house.tell(&long)[..] else { panic!("one") };
            assert_eq!(failed.reason.as_deref(), Some("variable_too_long"));
        }
    }
}

#[test]
fn a_role_may_have_an_order_of_its_own() {
    let mut house = House::new(&["aliyun", "webhook"]);
    house.channels.order_for(Role::Owner, &["webhook".to_owned()]).unwrap();
    let unknown = house.channels.order_for(Role::Owner, &["pigeon".to_owned()]);
    assert_eq!(unknown, Err("pigeon".to_owned()));
    house.owner(1, "one");
    house.knows(Role::TownshipDuty, AREA, 1, "town");
    assert_eq!(house.plan(&new_alert())[0].channel, "webhook");
    assert_eq!(house.plan(&escalation(Change::New, Some(Level::Blue), 2))[0].channel, "aliyun");
}

#[test]
fn one_phone_hears_a_correction_once_though_two_gateways_told_it_in_different_words() {
    for change in [Change::Corrected, Change::Upgraded] {
        let mut house = House { awaits: Some(next::Awaits::default()), ..House::new(&["aliyun", "tencent"]) };
        house.owner(1, "o1");
        let first = house.tell(&new_alert()).remove(0);
        house.ends(&first, DeliveryState::Accepted, "");
        house.ends(&first, DeliveryState::Failed, "carrier_failed");
        let (_, channel, second) = house.next(&new_alert()).unwrap();
        assert_eq!((channel.as_str(), second.template.as_str()), ("tencent", "T1_fallback"));
        house.ends(&second, DeliveryState::Delivered, "");
        let planned = house.tell(&followed("a2", change));
        let stand = |d: &Delivery| (d.channel.clone(), d.state, crate::ledger::reason_class(d).to_owned());
        assert_eq!(
            planned.iter().map(stand).collect::<Vec<_>>(),
            [
                ("tencent".to_owned(), DeliveryState::Planned, String::new()),
                ("aliyun".to_owned(), DeliveryState::Skipped, "same_person".to_owned()),
            ],
            "{change}: over the gateway that brought the last one"
        );
    }
}
