//! Whether messages would find somebody: `registry.contacts` against the enterprises of the registry. Pure.
//!
//! Needed for a message, and so an error where it is missing: of each active enterprise an owner or a safety officer who
//! can be reached, of each of their areas a township's officer, of each of their industries its department, and the
//! city's emergency bureau. The rest is for the clerk to look at: people leave, and numbers pass to strangers
//! (people.md 5.4, rows 8 and 4).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tocsin_schemas::codes::{CITY, EnterpriseStatus, Role};
use tocsin_schemas::records::{Contact, Enterprise};
use tocsin_schemas::time::Day;

use super::{Contacts, Person, contact_key};
use crate::phone_key::PhoneKey;
use crate::refusals::Refusals;

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

/// Looks at them as of a day, for messages over the channels by which each role is told. `key`: the ledger's, by which
/// `refusals` name an address.
pub fn check(
    contacts: &Contacts,
    firms: &Firms,
    refusals: &Refusals,
    key: &PhoneKey,
    day: Day,
    channels: &dyn Fn(Role) -> Vec<String>,
) -> Findings {
    let refusal = |person: &Person, channel: &str| {
        refusals.of(&person.subject, channel, &key.address(person), Some(person.version))
    };
    let over = |role: Role, subject: &str, channel: &str| {
        let there = contacts.reachable(role, subject, day, channel);
        there.iter().any(|person| refusal(person, channel).is_none())
    };
    let reached = |role: Role, subject: &str| channels(role).iter().any(|name| over(role, subject, name));
    let nobody = |role: Role, subject: &str| {
        !reached(role, subject) && (role != Role::Owner || !reached(Role::SafetyOfficer, subject))
    };
    let mut found = Findings { day: Some(day), contacts: contacts.len(), ..Findings::default() };
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
        let over = |channel: &String| {
            let there = contacts.ever(contact.role, &contact.subject, channel);
            there
                .iter()
                .find(|person| person.rank == contact.rank)
                .and_then(|person| refusal(person, channel))
        };
        let refused: BTreeMap<_, _> =
            channels(contact.role).iter().filter_map(over).map(|refusal| (refusal.why, refusal.at)).collect();
        found.refused.extend(refused.into_iter().map(|(why, at)| Refused {
            contact: key_of(contact),
            why: why.to_owned(),
            day: at.day(),
        }));
        let in_force = contact.valid_to.is_none_or(|last| day <= last);
        if let (Some(phone), true, Role::Owner | Role::SafetyOfficer) =
            (phone(contact), in_force, contact.role)
        {
            let digits = phone.chars().filter(char::is_ascii_digit).collect();
            phones.entry(digits).or_default().entry(&contact.subject).or_insert_with(|| key_of(contact));
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
        found.ended.push(Dated { contact: key_of(contact), day: Some(last) });
        return;
    }
    if contact.verified_on.is_none_or(|on| on.plus(VERIFIED_DAYS) < day) {
        found.not_verified.push(Dated { contact: key_of(contact), day: contact.verified_on });
    }
    if let Some(phone) = phone(contact).filter(|phone| !is_mobile(phone)) {
        found.implausible_phones.push(Phone { contact: key_of(contact), phone: masked(phone) });
    }
}

fn key_of(contact: &Contact) -> String {
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

    use tocsin_schemas::records::{Delivery, DeliveryState};

    use super::*;
    use crate::fixtures::uscc;

    const TODAY: Day = Day(20_000);

    fn hash_key() -> PhoneKey {
        PhoneKey::new(b"k")
    }

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
            all.apply(key_of(c).as_bytes(), Some((c.clone(), [0; 32])));
        }
        firms.iter().for_each(|f| registry.apply(f.clone()));
        check(&all, &registry, &Refusals::default(), &hash_key(), TODAY, &|_| vec!["webhook".into()])
    }
    fn everybody() -> Vec<Contact> {
        vec![
            contact(Role::Owner, uscc().as_str(), "13812345678"),
            contact(Role::TownshipDuty, "330784001", "13912345678"),
            contact(Role::IndustryDuty, "33", "+8615012345678"),
            contact(Role::EmergencyDuty, CITY, "18712345678"),
        ]
    }

    /// What became of a message to a contact over a channel.
    fn ended(contact: &Contact, channel: &str, state: DeliveryState, reason: &str) -> Delivery {
        let (mut all, key) = (Contacts::new(), hash_key());
        all.apply(b"k", Some((contact.clone(), [0; 32])));
        let person = &all.ever(contact.role, &contact.subject, channel)[0];
        Delivery {
            reason: Some(reason.to_owned()),
            contact_role: Some(contact.role),
            contact_subject: Some(contact.subject.clone()),
            contact_rank: Some(contact.rank),
            contact_version: Some(contact.version as i64),
            channel: channel.into(),
            address_hash: Some(key.address(person)),
            ..crate::fixtures::delivery("a1", state)
        }
    }

    fn look_after(contacts: &[Contact], deliveries: &[Delivery]) -> Findings {
        let (mut all, mut firms, mut refusals) = (Contacts::new(), Firms::new(), Refusals::default());
        for c in contacts {
            all.apply(key_of(c).as_bytes(), Some((c.clone(), [0; 32])));
        }
        firms.apply(firm(1, "330784001", EnterpriseStatus::Active));
        for delivery in deliveries {
            refusals.apply(delivery);
        }
        let names = |_| vec!["aliyun".to_owned(), "webhook".to_owned()];
        check(&all, &firms, &refusals, &hash_key(), TODAY, &names)
    }

    #[test]
    fn an_address_that_was_refused_is_the_clerks_until_its_contact_is_registered_anew() {
        let found = |version: u64, state, reason: &str| {
            let told = Contact { version: 3, ..contact(Role::Owner, uscc().as_str(), "13812345678") };
            let now = Contact { version, ..told.clone() };
            let refused = look_after(&[now], &[ended(&told, "aliyun", state, reason)]).refused;
            refused.into_iter().map(|refused| refused.why).collect::<Vec<_>>()
        };
        assert_eq!(found(3, DeliveryState::Delivered, "not_ours"), ["not_ours"]);
        assert!(found(4, DeliveryState::Delivered, "not_ours").is_empty());
        assert_eq!(found(3, DeliveryState::Failed, "bounced"), ["bounced"]);
        assert!(found(3, DeliveryState::Failed, "carrier_failed").is_empty());
    }

    #[test]
    fn whoever_has_no_address_left_cannot_be_reached() {
        use DeliveryState::*;
        let all = everybody();
        let unreachable = |refused: &[Delivery]| look_after(&all, refused).unreachable_enterprises.len();
        let over = |channel| ended(&all[0], channel, Failed, "bounced");
        assert_eq!(unreachable(&[]), 0);
        assert_eq!(unreachable(&[over("aliyun")]), 0, "over the other one");
        assert_eq!(unreachable(&[over("aliyun"), over("webhook")]), 1);
        assert_eq!(unreachable(&[ended(&all[0], "aliyun", Delivered, "not_ours")]), 1, "over whichever");
    }

    #[test]
    fn a_number_that_bounced_reaches_nobody_else_who_has_it() {
        use DeliveryState::*;
        let mut all = everybody();
        // However it is written.
        all.push(contact(Role::SafetyOfficer, uscc().as_str(), "+86 138 1234 5678"));
        let bounced = ["aliyun", "webhook"].map(|channel| ended(&all[0], channel, Failed, "bounced"));
        let found = look_after(&all, &bounced);
        assert_eq!(found.unreachable_enterprises.len(), 1);
        let both = [key_of(&all[0]), key_of(&all[4])];
        let mut named: Vec<_> = found.refused.iter().map(|refused| refused.contact.clone()).collect();
        named.sort();
        assert_eq!(named, both);
        all[4].phone = Some("13912345670".into());
        let found = look_after(&all, &bounced);
        assert!(found.unreachable_enterprises.is_empty(), "the officer has another one");
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
        assert_eq!(found.ended, [Dated { contact: key_of(&all[0]), day: Some(TODAY.plus(-1)) }]);
        let not_verified: Vec<_> = found.not_verified.iter().map(|d| d.contact.clone()).collect();
        assert_eq!(not_verified, [key_of(&all[1]), key_of(&all[2])]);
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
