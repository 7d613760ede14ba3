//! Whether messages would find somebody: `registry.contacts` against the enterprises of the registry. Pure.
//!
//! Needed for a message, and so an error where it is missing: of each active enterprise an owner or a safety officer who
//! can be reached, of each of their areas a township's officer, of each of their industries its department, and the
//! city's emergency bureau. The rest is for the clerk to look at: people leave, and numbers pass to strangers
//! (people.md 5.4, rows 8 and 4).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tocsin_schemas::codes::{CITY, EnterpriseStatus, Role, Says};
use tocsin_schemas::records::{Contact, Delivery, DeliveryState, Enterprise};
use tocsin_schemas::time::{Day, Instant};

use super::{Contacts, Person, contact_key};
use crate::ledger::BOUNCED;

/// A contact is verified anew within so many days (people.md 5.4: yearly).
const VERIFIED_DAYS: i32 = 365;

/// The enterprises of the registry as they stand on a day.
#[derive(Debug, Default)]
pub struct Firms {
    versions: BTreeMap<String, Vec<Enterprise>>,
}

impl Firms {
    /// No enterprise.
    pub fn new() -> Firms {
        Firms::default()
    }

    /// Takes in a version.
    pub fn apply(&mut self, version: Enterprise) {
        self.versions.entry(version.uscc.to_string()).or_default().push(version);
    }

    /// Those that are in business on a day: of each the newest version that has begun, else the earliest one.
    pub fn active(&self, day: Day) -> impl Iterator<Item = &Enterprise> {
        let of_day = move |versions: &[Enterprise]| -> Option<usize> {
            let numbered = || versions.iter().enumerate();
            let begun = numbered().filter(|(_, v)| v.valid_from <= day).max_by_key(|(_, v)| v.version);
            begun.or_else(|| numbered().min_by_key(|(_, v)| (v.valid_from, v.version))).map(|(at, _)| at)
        };
        let all = self.versions.values().filter_map(move |versions| versions.get(of_day(versions)?));
        all.filter(|v| v.status == EnterpriseStatus::Active)
    }
}

/// What a look at the contacts found. Nothing personal: contacts by their keys, phones masked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Findings {
    /// The day it was looked at.
    pub day: Option<Day>,
    /// Contacts known, and enterprises in business.
    pub contacts: usize,
    /// See `contacts`.
    pub enterprises: usize,
    /// Enterprises without an owner or safety officer who can be reached.
    pub unreachable_enterprises: Vec<Firm>,
    /// Roles that messages of these enterprises are due to, and that nobody can be reached for: `role+subject`.
    pub unfilled_roles: Vec<String>,
    /// Contacts whose validity has ended.
    pub ended: Vec<Dated>,
    /// Contacts that were verified over a year ago, or never (`day` is absent).
    pub not_verified: Vec<Dated>,
    /// Phones that are no mobile numbers of mainland China.
    pub implausible_phones: Vec<Phone>,
    /// Phones that stand for several enterprises, the most first.
    pub shared_phones: Vec<SharedPhone>,
    /// Contacts whose address is not tried any more, until they are registered anew.
    pub refused: Vec<Refused>,
}

/// A contact whose address is not tried any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Role, subject and rank.
    pub contact: String,
    /// `not_ours`: whoever has it says that it is not theirs. `bounced`: the carrier says that nobody has it.
    pub why: String,
    /// Since when.
    pub day: Day,
}

/// Addresses that were refused, read out of `deliveries`: the newest word on each contact and, of what bounced, channel.
#[derive(Debug, Default)]
pub struct Refusals {
    /// Why, when, and up to which version of the contact; of whoever says that it is not theirs there is no channel.
    by_contact: BTreeMap<(String, Option<String>), (String, Instant, i64)>,
}

impl Refusals {
    /// Takes in a delivery as it stands.
    pub fn apply(&mut self, delivery: &Delivery) {
        let (why, channel) = match (delivery.state, delivery.reason.as_deref()) {
            (DeliveryState::Delivered, Some(says)) if says == Says::NotOurs.as_str() => (says, None),
            (DeliveryState::Failed, Some(BOUNCED)) => (BOUNCED, Some(delivery.channel.clone())),
            _ => return,
        };
        let (Some(role), Some(rank)) = (delivery.contact_role, delivery.contact_rank) else { return };
        let subject = delivery.contact_subject.as_ref().unwrap_or(&delivery.subject);
        let this = (why.to_owned(), delivery.at, delivery.contact_version.unwrap_or(i64::MAX));
        let known = self
            .by_contact
            .entry((contact_key(role, subject, rank), channel))
            .or_insert_with(|| this.clone());
        if known.1 < this.1 {
            *known = this;
        }
    }

    /// Those contacts that were not registered anew since.
    pub fn of(&self, contacts: &Contacts) -> Vec<Refused> {
        let version_of = |contact: &Contact| (key(contact), contact.version);
        let versions: BTreeMap<String, u64> = contacts.all().map(version_of).collect();
        let refused = self.by_contact.iter().filter_map(|((contact, _), (why, at, upto))| {
            let is = versions.get(contact)?;
            let same = covers(*upto, *is);
            same.then(|| Refused { contact: contact.clone(), why: why.clone(), day: at.day() })
        });
        refused.collect()
    }

    /// Whether this person is not tried over this channel any more.
    fn refuse(&self, person: &Person, channel: &str) -> bool {
        [None, Some(channel.to_owned())].into_iter().any(|channel| {
            let known = self.by_contact.get(&(person.key(), channel));
            known.is_some_and(|(_, _, upto)| covers(*upto, person.version))
        })
    }
}

/// An enterprise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the fields are those of the registry")]
pub struct Firm {
    pub uscc: String,
    pub name: String,
    pub area: String,
}

/// A contact and the day that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dated {
    /// Role, subject and rank.
    pub contact: String,
    /// The day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<Day>,
}

/// A contact and its masked phone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Phone {
    /// Role, subject and rank.
    pub contact: String,
    /// Masked.
    pub phone: String,
}

/// One phone of several enterprises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SharedPhone {
    /// Masked.
    pub phone: String,
    /// How many enterprises.
    pub enterprises: usize,
    /// One of their contacts, to begin with.
    pub first_contact: String,
}

impl Findings {
    /// Whether a message that is due would find nobody.
    pub fn incomplete(&self) -> bool {
        !self.unreachable_enterprises.is_empty() || !self.unfilled_roles.is_empty()
    }
}

/// Looks at them as of a day, for messages over the channels by which each role is told.
pub fn check(
    contacts: &Contacts,
    firms: &Firms,
    refusals: &Refusals,
    day: Day,
    channels: &dyn Fn(Role) -> Vec<String>,
) -> Findings {
    let over = |role: Role, subject: &str, channel: &str| {
        let there = contacts.reachable(role, subject, day, channel);
        there.iter().any(|person| !refusals.refuse(person, channel))
    };
    let reached = |role: Role, subject: &str| channels(role).iter().any(|name| over(role, subject, name));
    let nobody = |role: Role, subject: &str| {
        !reached(role, subject) && (role != Role::Owner || !reached(Role::SafetyOfficer, subject))
    };
    let refused = refusals.of(contacts);
    let mut found = Findings { day: Some(day), contacts: contacts.len(), refused, ..Findings::default() };
    let mut roles = BTreeSet::new();
    for firm in firms.active(day) {
        found.enterprises += 1;
        roles.insert((Role::TownshipDuty, firm.area.to_string()));
        roles.insert((Role::IndustryDuty, firm.division().to_owned()));
        roles.insert((Role::EmergencyDuty, CITY.to_owned()));
        if nobody(Role::Owner, firm.uscc.as_str()) {
            let (uscc, name) = (firm.uscc.to_string(), firm.name.to_string());
            found.unreachable_enterprises.push(Firm { uscc, name, area: firm.area.to_string() });
        }
    }
    let unfilled = roles.iter().filter(|(role, subject)| nobody(*role, subject));
    found.unfilled_roles = unfilled.map(|(role, subject)| format!("{role}+{subject}")).collect();
    let mut phones: BTreeMap<String, BTreeMap<&str, String>> = BTreeMap::new();
    for contact in contacts.all() {
        look_at(contact, day, &mut found);
        let in_force = contact.valid_to.is_none_or(|last| day <= last);
        if let (Some(phone), true, Role::Owner | Role::SafetyOfficer) =
            (phone(contact), in_force, contact.role)
        {
            let digits = phone.chars().filter(char::is_ascii_digit).collect();
            phones.entry(digits).or_default().entry(&contact.subject).or_insert_with(|| key(contact));
        }
    }
    let shared = phones.iter().filter(|(_, firms)| firms.len() > 1);
    let shared = shared.map(|(phone, firms)| SharedPhone {
        phone: masked(phone),
        enterprises: firms.len(),
        first_contact: firms.values().next().cloned().unwrap_or_default(),
    });
    found.shared_phones = shared.collect();
    found.shared_phones.sort_by_key(|s| std::cmp::Reverse(s.enterprises));
    found
}

fn look_at(contact: &Contact, day: Day, found: &mut Findings) {
    if let Some(last) = contact.valid_to.filter(|last| *last < day) {
        // Whoever has left needs no verified phone.
        found.ended.push(Dated { contact: key(contact), day: Some(last) });
        return;
    }
    if contact.verified_on.is_none_or(|on| on.plus(VERIFIED_DAYS) < day) {
        found.not_verified.push(Dated { contact: key(contact), day: contact.verified_on });
    }
    if let Some(phone) = phone(contact).filter(|phone| !is_mobile(phone)) {
        found.implausible_phones.push(Phone { contact: key(contact), phone: masked(phone) });
    }
}

/// Whether what was said up to this version of a contact holds for that one.
fn covers(upto: i64, version: u64) -> bool {
    i64::try_from(version).is_ok_and(|is| is <= upto)
}

fn key(contact: &Contact) -> String {
    contact_key(contact.role, &contact.subject, contact.rank)
}

fn phone(contact: &Contact) -> Option<&str> {
    contact.phone.as_deref().map(str::trim).filter(|phone| !phone.is_empty())
}

/// Eleven digits that begin with 13 to 19, with or without the country's prefix.
fn is_mobile(phone: &str) -> bool {
    let bare = ["+86", "0086"].iter().find_map(|prefix| phone.strip_prefix(prefix)).unwrap_or(phone).trim();
    let digits = bare.as_bytes();
    digits.len() == 11
        && digits.iter().all(u8::is_ascii_digit)
        && digits[0] == b'1'
        && (b'3'..=b'9').contains(&digits[1])
}

/// At most the first three and the last two characters of a number that is long enough to keep its secret.
pub fn masked(phone: &str) -> String {
    let chars: Vec<char> = phone.chars().collect();
    let shown = |at: usize| chars.len() >= 10 && (at < 3 || at + 2 >= chars.len());
    chars.iter().enumerate().take(24).map(|(at, c)| if shown(at) { *c } else { '*' }).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::fixtures::uscc;

    const TODAY: Day = Day(20_000);

    fn firm(version: u64, area: &str, status: EnterpriseStatus) -> Enterprise {
        Enterprise {
            uscc: uscc(),
            version,
            name: "长城五金".into(),
            short_name: None,
            area: area.into(),
            industry: "3311".into(),
            valid_from: TODAY.plus(version as i32 - 2),
            status,
            tags: Vec::new(),
            successor_of: None,
        }
    }
    fn contact(role: Role, subject: &str, phone: &str) -> Contact {
        Contact {
            role,
            subject: subject.into(),
            rank: 1,
            name: "张三".into(),
            phone: Some(phone.into()),
            addresses: BTreeMap::new(),
            valid_from: None,
            valid_to: None,
            verified_on: Some(TODAY.plus(-365)),
            version: 1,
        }
    }
    fn look(contacts: &[Contact], firms: &[Enterprise]) -> Findings {
        let (mut all, mut registry) = (Contacts::new(), Firms::new());
        for c in contacts {
            all.apply(key(c).as_bytes(), Some((c.clone(), [0; 32])));
        }
        firms.iter().for_each(|f| registry.apply(f.clone()));
        check(&all, &registry, &Refusals::default(), TODAY, &|_| vec!["webhook".into()])
    }
    fn everybody() -> Vec<Contact> {
        vec![
            contact(Role::Owner, uscc().as_str(), "13812345678"),
            contact(Role::TownshipDuty, "330784001", "13912345678"),
            contact(Role::IndustryDuty, "33", "+8615012345678"),
            contact(Role::EmergencyDuty, CITY, "18712345678"),
        ]
    }

    #[test]
    fn an_address_that_was_refused_is_the_clerks_until_its_contact_is_registered_anew() {
        let sent = |state, reason: &str, version| Delivery {
            reason: Some(reason.to_owned()),
            contact_role: Some(Role::Owner),
            contact_rank: Some(1),
            contact_version: Some(version),
            ..crate::fixtures::delivery("a1", state)
        };
        let subject = crate::fixtures::uscc().to_string();
        let found = |version: u64, delivery: &Delivery| {
            let (mut contacts, mut refusals) = (Contacts::new(), Refusals::default());
            let contact = Contact {
                role: Role::Owner,
                subject: subject.clone(),
                rank: 1,
                name: "甲".into(),
                phone: Some("1".into()),
                addresses: BTreeMap::new(),
                valid_from: None,
                valid_to: None,
                verified_on: None,
                version,
            };
            contacts.apply(b"k", Some((contact, [0; 32])));
            refusals.apply(delivery);
            refusals.of(&contacts).into_iter().map(|refused| refused.why).collect::<Vec<_>>()
        };
        let no = sent(DeliveryState::Delivered, "not_ours", 3);
        assert_eq!(found(3, &no), ["not_ours"]);
        assert!(found(4, &no).is_empty());
        assert_eq!(found(3, &sent(DeliveryState::Failed, "bounced", 3)), ["bounced"]);
        assert!(found(3, &sent(DeliveryState::Failed, "carrier_failed", 3)).is_empty());
    }

    #[test]
    fn whoever_has_no_address_left_cannot_be_reached() {
        let (mut contacts, mut firms, mut refusals) = (Contacts::new(), Firms::new(), Refusals::default());
        for c in everybody() {
            contacts.apply(key(&c).as_bytes(), Some((c, [0; 32])));
        }
        firms.apply(firm(1, "330784001", EnterpriseStatus::Active));
        let names = |_| vec!["aliyun".to_owned(), "webhook".to_owned()];
        let unreachable = |refusals: &Refusals| {
            check(&contacts, &firms, refusals, TODAY, &names).unreachable_enterprises.len()
        };
        let bounced = |channel: &str| Delivery {
            reason: Some(BOUNCED.into()),
            contact_role: Some(Role::Owner),
            contact_rank: Some(1),
            contact_version: Some(1),
            channel: channel.into(),
            ..crate::fixtures::delivery("a1", DeliveryState::Failed)
        };
        assert_eq!(unreachable(&refusals), 0);
        refusals.apply(&bounced("aliyun"));
        assert_eq!(unreachable(&refusals), 0, "over the other one");
        refusals.apply(&bounced("webhook"));
        assert_eq!(unreachable(&refusals), 1);
        let mut not_ours = Refusals::default();
        let says = Some("not_ours".into());
        not_ours.apply(&Delivery { state: DeliveryState::Delivered, reason: says, ..bounced("aliyun") });
        assert_eq!(unreachable(&not_ours), 1, "over whichever");
    }

    #[test]
    fn nothing_is_found_where_nothing_is_wrong() {
        let found = look(&everybody(), &[firm(1, "330784001", EnterpriseStatus::Active)]);
        let nothing = Findings { day: Some(TODAY), contacts: 4, enterprises: 1, ..Findings::default() };
        assert_eq!(found, nothing);
    }

    #[test]
    fn whoever_is_missing_is_named_and_a_closed_enterprise_misses_nobody() {
        let found = look(&[], &[firm(1, "330784001", EnterpriseStatus::Active)]);
        assert!(found.incomplete());
        assert_eq!(found.unreachable_enterprises[0].uscc, uscc().as_str());
        let roles = ["township_duty+330784001", "industry_duty+33", "emergency_duty+330784"];
        assert_eq!(found.unfilled_roles, roles);
        let officer = [contact(Role::SafetyOfficer, uscc().as_str(), "13812345678")];
        let found = look(&officer, &[firm(1, "330784001", EnterpriseStatus::Active)]);
        assert!(found.unreachable_enterprises.is_empty(), "the officer stands in");
        // Version 2 is of today; version 3 begins tomorrow.
        let moves = [
            firm(1, "330784001", EnterpriseStatus::Active),
            firm(2, "330784002", EnterpriseStatus::Active),
            firm(3, "330784003", EnterpriseStatus::Closed),
        ];
        assert_eq!(look(&[], &moves).unfilled_roles[0], "township_duty+330784002");
        assert!(!look(&[], &[firm(1, "330784001", EnterpriseStatus::Closed)]).incomplete());
    }

    #[test]
    fn a_contact_that_is_over_reaches_nobody() {
        let mut all = everybody();
        all[0].valid_to = Some(TODAY.plus(-1));
        all[1].verified_on = Some(TODAY.plus(-366));
        all[2].verified_on = None;
        let found = look(&all, &[firm(1, "330784001", EnterpriseStatus::Active)]);
        assert_eq!(found.unreachable_enterprises.len(), 1);
        assert_eq!(found.ended, [Dated { contact: key(&all[0]), day: Some(TODAY.plus(-1)) }]);
        let not_verified: Vec<_> = found.not_verified.iter().map(|d| d.contact.clone()).collect();
        assert_eq!(not_verified, [key(&all[1]), key(&all[2])]);
    }

    #[test]
    fn phones_are_looked_at_and_never_shown() {
        let all = [
            contact(Role::Owner, "a", "0579-87101234"),
            contact(Role::Owner, "b", "12812345678"),
            contact(Role::Owner, "c", "138 1234 5678"),
            contact(Role::SafetyOfficer, "d", "13812345678"),
            contact(Role::Owner, "d", "13812345678"),
            contact(Role::Clerk, CITY, "13812345678"),
        ];
        let found = look(&all, &[]);
        let bad: Vec<_> = found.implausible_phones.iter().map(|p| p.contact.as_str()).collect();
        assert_eq!(bad, ["owner+a+1", "owner+b+1", "owner+c+1"]);
        assert_eq!(found.shared_phones.len(), 1, "that of c and d, however it is written");
        assert_eq!((&*found.shared_phones[0].phone, found.shared_phones[0].enterprises), ("138******78", 2));
        let shown = serde_json::to_string(&found).unwrap();
        assert!(!shown.contains("12345") && !shown.contains("87101") && !shown.contains("张三"), "{shown}");
    }
}
