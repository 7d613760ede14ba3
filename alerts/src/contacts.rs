//! Whom to reach for a role: the fold of `registry.contacts`, and the choice at delivery time.
//!
//! The fold keeps the newest version of each (role, subject, rank); a tombstone takes a contact away. The
//! topic is compacted by the log in the order of offsets, so a stale lower version written after a higher
//! one is ignored here while both are there.
//!
//! # Fallback
//! An owner whom nobody can be reached for falls back to the `safety_officer` of the same enterprise
//! (S15). The third step of S15, the township's duty officer, does not stand in for an owner: he is told that nobody
//! could be reached, and visits ([`crate::plan`]).

pub mod check;

use std::collections::{BTreeMap, HashMap};

use tocsin_schemas::codes::Role;
use tocsin_schemas::records::{Contact, Digest};
use tocsin_schemas::time::Day;

use crate::gateways;

/// Every contact as it stands now.
#[derive(Debug, Default)]
pub struct Contacts {
    by_key: HashMap<Vec<u8>, Place>,
    places: BTreeMap<Place, (Contact, Digest)>,
}

/// Role, subject and rank.
type Place = (Role, String, u32);

/// A person who can be reached over the channel asked for. Holds personal data: not to be logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    /// The role of the contact: that of the audience, or the one fallen back to.
    pub role: Role,
    /// Whose role.
    pub subject: String,
    /// The contact's rank: 1 is asked first.
    pub rank: u32,
    /// The contact's version.
    pub version: u64,
    /// The channel's own address of the person, else the phone.
    pub address: String,
    /// The phone, where there is one: by it the same person is known on every channel.
    pub phone: Option<String>,
}

impl std::fmt::Debug for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Person({}/{}/{} v{})", self.role, self.subject, self.rank, self.version)
    }
}

impl Person {
    /// The key of the contact, by which a silence names it: no phone, no name.
    pub fn key(&self) -> String {
        contact_key(self.role, &self.subject, self.rank)
    }
}

/// The key of a contact (`registry.contacts`).
pub fn contact_key(role: Role, subject: &str, rank: u32) -> String {
    format!("{role}+{subject}+{rank}")
}

impl Contacts {
    /// Nobody known.
    pub fn new() -> Contacts {
        Contacts::default()
    }

    /// Takes in one record of the topic, with the digest of its canonical JSON: `None` is a tombstone for
    /// its key. Of two with the same version the one with the greater digest stands.
    pub fn apply(&mut self, key: &[u8], contact: Option<(Contact, Digest)>) {
        let Some((contact, digest)) = contact else {
            if let Some(place) = self.by_key.remove(key) {
                self.places.remove(&place);
            }
            return;
        };
        let place = (contact.role, contact.subject.clone(), contact.rank);
        let newness = (contact.version, digest);
        if self.places.get(&place).is_some_and(|(known, digest)| (known.version, *digest) > newness) {
            return;
        }
        self.by_key.insert(key.to_vec(), place.clone());
        self.places.insert(place, (contact, digest));
    }

    /// All of them, by role, subject and rank.
    pub fn all(&self) -> impl Iterator<Item = &Contact> {
        self.places.values().map(|(contact, _)| contact)
    }

    /// The version of the contact at this place.
    pub fn version(&self, role: Role, subject: &str, rank: u32) -> Option<u64> {
        self.places.get(&(role, subject.to_owned(), rank)).map(|(contact, _)| contact.version)
    }

    /// Whose role this is: every subject that has a contact for it, in order.
    pub fn subjects(&self, role: Role) -> Vec<&str> {
        let of_role = self.places.range((role, String::new(), 0)..).take_while(|((of, ..), _)| *of == role);
        let mut subjects: Vec<&str> = of_role.map(|((_, subject, _), _)| subject.as_str()).collect();
        subjects.dedup();
        subjects
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether nobody is known.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Who can be reached for this role on this day over this channel, the first to ask first. Owners fall
    /// back as the module's page says. Empty: nobody.
    pub fn resolve(&self, role: Role, subject: &str, day: Day, channel: &str) -> Vec<Person> {
        let own = self.reachable(role, subject, day, channel);
        if own.is_empty() && role == Role::Owner {
            return self.reachable(Role::SafetyOfficer, subject, day, channel);
        }
        own
    }

    /// As [`Contacts::resolve`], without falling back.
    pub fn reachable(&self, role: Role, subject: &str, day: Day, channel: &str) -> Vec<Person> {
        self.with_address(role, subject, Some(day), channel)
    }

    /// Whoever stands in the registry for this role, whether the contact is valid now or not.
    pub fn ever(&self, role: Role, subject: &str, channel: &str) -> Vec<Person> {
        self.with_address(role, subject, None, channel)
    }

    fn with_address(&self, role: Role, subject: &str, day: Option<Day>, channel: &str) -> Vec<Person> {
        let (from, to) = ((role, subject.to_owned(), 0), (role, subject.to_owned(), u32::MAX));
        self.places
            .range(from..=to)
            .map(|(_, (contact, _))| contact)
            .filter(|c| {
                let valid = |day| {
                    c.valid_from.is_none_or(|from| from <= day) && c.valid_to.is_none_or(|to| day <= to)
                };
                day.is_none_or(valid)
            })
            .filter_map(|c| {
                let phone = c.phone.as_ref().filter(|_| !gateways::by_own_address(channel));
                let candidates = [c.addresses.get(channel), phone];
                let address = candidates.into_iter().flatten().map(|a| a.trim()).find(|a| !a.is_empty())?;
                Some(Person {
                    role,
                    subject: subject.to_owned(),
                    rank: c.rank,
                    version: c.version,
                    address: address.to_owned(),
                    phone: c.phone.as_deref().map(str::trim).filter(|p| !p.is_empty()).map(str::to_owned),
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(role: Role, subject: &str, rank: u32, version: u64, phone: Option<&str>) -> Contact {
        Contact {
            role,
            subject: subject.into(),
            rank,
            name: "甲".into(),
            phone: phone.map(Into::into),
            addresses: BTreeMap::new(),
            valid_from: None,
            valid_to: None,
            verified_on: None,
            version,
        }
    }
    fn fold(contacts: &[Contact]) -> Contacts {
        let mut all = Contacts::new();
        for c in contacts {
            all.apply(key(c).as_bytes(), Some((c.clone(), [0; 32])));
        }
        all
    }
    fn key(c: &Contact) -> String {
        format!("{}+{}+{}", c.role, c.subject, c.rank)
    }
    const DAY: Day = Day(20_000);
    fn asked(all: &Contacts, role: Role) -> Vec<(u32, String)> {
        all.resolve(role, "s", DAY, "webhook").into_iter().map(|p| (p.rank, p.address)).collect()
    }

    #[test]
    fn the_lowest_rank_with_an_address_is_asked_first() {
        let all = fold(&[
            contact(Role::Owner, "s", 2, 1, Some("two")),
            contact(Role::Owner, "s", 1, 1, None),
            contact(Role::Owner, "s", 10, 1, Some("ten")),
            contact(Role::Owner, "t", 1, 1, Some("another's")),
        ]);
        assert_eq!(asked(&all, Role::Owner), [(2, "two".into()), (10, "ten".into())]);
    }

    #[test]
    fn the_channels_own_address_comes_before_the_phone() {
        let mut c = contact(Role::Owner, "s", 1, 1, Some("phone"));
        c.addresses.insert("webhook".into(), "hook".into());
        c.addresses.insert("other".into(), "no".into());
        assert_eq!(asked(&fold(&[c]), Role::Owner), [(1, "hook".into())]);
    }

    #[test]
    fn a_blank_address_of_the_channel_does_not_hide_the_phone() {
        for blank in ["", "  "] {
            let mut c = contact(Role::Owner, "s", 1, 1, Some(" phone "));
            c.addresses.insert("webhook".into(), blank.into());
            assert_eq!(asked(&fold(&[c.clone()]), Role::Owner), [(1, "phone".into())]);
            c.phone = None;
            assert_eq!(asked(&fold(&[c]), Role::Owner), []);
        }
    }

    #[test]
    fn a_stale_version_is_ignored_and_a_tombstone_takes_away() {
        let new = contact(Role::Owner, "s", 1, 3, Some("new"));
        let mut all = fold(&[new.clone(), contact(Role::Owner, "s", 1, 2, Some("old"))]);
        assert_eq!(asked(&all, Role::Owner), [(1, "new".into())]);
        let mut other = contact(Role::Owner, "s", 1, 3, Some("greater digest"));
        all.apply(key(&other).as_bytes(), Some((other.clone(), [2; 32])));
        other.phone = Some("smaller digest".into());
        all.apply(key(&other).as_bytes(), Some((other, [1; 32])));
        assert_eq!(asked(&all, Role::Owner), [(1, "greater digest".into())]);
        all.apply(key(&new).as_bytes(), None);
        assert!(asked(&all, Role::Owner).is_empty() && all.is_empty());
    }

    #[test]
    fn both_ends_of_the_validity_count() {
        for (from, to, reached) in [(0, 0, true), (1, 5, false), (-5, -1, false), (-1, 0, true), (0, 1, true)]
        {
            let mut c = contact(Role::Owner, "s", 1, 1, Some("p"));
            (c.valid_from, c.valid_to) = (Some(DAY.plus(from)), Some(DAY.plus(to)));
            assert_eq!(!asked(&fold(&[c]), Role::Owner).is_empty(), reached, "{from} {to}");
        }
    }

    #[test]
    fn an_unreachable_owner_falls_back_to_the_safety_officer_and_nobody_else_does() {
        let all = fold(&[
            contact(Role::Owner, "s", 1, 1, Some("  ")),
            contact(Role::SafetyOfficer, "s", 1, 1, Some("officer")),
        ]);
        assert_eq!(asked(&all, Role::Owner), [(1, "officer".into())]);
        assert!(asked(&all, Role::TownshipDuty).is_empty());
    }
}
