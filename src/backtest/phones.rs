//! How many messages each phone would get. Pure: what was sent and the contacts in, counts out; no phone leaves
//! this file.
//!
//! Whom a role stands for is found as delivery finds it (`tocsin_alerts::contacts`), on the day of the decision. The
//! contacts are those that stand at the end of the history: their topic keeps only the newest, so a log cannot say
//! whose number it was years ago, and the question is who would get the messages from now on.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use tocsin_alerts::contacts::Contacts;
use tocsin_alerts::gateways::webhook;
use tocsin_schemas::codes::Role;
use tocsin_schemas::time::Day;

use super::tally::Sent;

/// Messages by phone.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Phones {
    /// Messages to a phone.
    pub messages: u64,
    /// Messages to a role that nobody holds, or whose holder has no phone.
    pub nobody: u64,
    /// Messages left out, because the same person gets the same words of the same alert.
    pub same_person: u64,
    /// Phones that would ring at least once.
    pub phones: u64,
    /// Messages for each of these phones.
    pub mean: Option<f64>,
    /// The most to one phone.
    pub most: u64,
    /// The most to one phone on one day.
    pub most_on_a_day: u64,
}

/// Counts; `None`: the history knows no contacts.
pub fn count(sent: &[Sent], contacts: &Contacts) -> Option<Phones> {
    if contacts.is_empty() {
        return None;
    }
    let (mut nobody, mut same_person) = (0, 0);
    let mut by_phone: HashMap<String, HashMap<Day, u64>> = HashMap::new();
    let mut asked: HashMap<(Role, &str, Day), Option<String>> = HashMap::new();
    for Sent { on, to } in sent {
        let mut told: HashSet<(&str, &str)> = HashSet::new();
        let mut phones = Vec::with_capacity(to.len());
        for (audience, _) in to {
            let person = asked.entry((audience.role, &audience.subject, *on)).or_insert_with(|| {
                let people = contacts.resolve(audience.role, &audience.subject, *on, webhook::NAME);
                people.into_iter().next().map(|person| person.address)
            });
            phones.push(person.clone());
        }
        for (phone, (_, words)) in phones.iter().zip(to) {
            match (phone, words) {
                (None, _) => nobody += 1,
                (Some(phone), Some(words)) if !told.insert((phone, words)) => same_person += 1,
                (Some(phone), _) => {
                    *by_phone.entry(phone.clone()).or_default().entry(*on).or_default() += 1;
                }
            }
        }
    }
    let totals: Vec<u64> = by_phone.values().map(|days| days.values().sum()).collect();
    let messages: u64 = totals.iter().sum();
    let phones = totals.len() as u64;
    Some(Phones {
        messages,
        nobody,
        same_person,
        phones,
        mean: (phones > 0).then(|| messages as f64 / phones as f64),
        most: totals.into_iter().max().unwrap_or(0),
        most_on_a_day: by_phone.values().flat_map(HashMap::values).copied().max().unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tocsin_schemas::records::{Audience, Contact};

    use super::*;

    fn contact(role: Role, subject: &str, phone: &str) -> Contact {
        Contact {
            role,
            subject: subject.into(),
            rank: 1,
            name: "甲".into(),
            phone: Some(phone.into()),
            addresses: BTreeMap::new(),
            valid_from: None,
            valid_to: None,
            verified_on: None,
            version: 1,
        }
    }

    fn sent(on: i32, to: &[(Role, &str, Option<&str>)]) -> Sent {
        let audience =
            |role: Role, subject: &str| Audience { role, subject: subject.into(), year_to_date: None };
        let to = to.iter().map(|(r, s, words)| (audience(*r, s), words.map(Into::into))).collect();
        Sent { on: Day(on), to }
    }

    #[test]
    fn one_person_in_two_roles_is_one_phone_and_the_same_words_ring_once() {
        let mut contacts = Contacts::new();
        let all = [
            contact(Role::TownshipDuty, "a", "1"),
            contact(Role::IndustryDuty, "33", "1"),
            contact(Role::SafetyOfficer, "firm", "2"),
        ];
        for (n, c) in all.into_iter().enumerate() {
            contacts.apply(&[n as u8], Some((c, [0; 32])));
        }
        let both = |words| [(Role::TownshipDuty, "a", Some("x")), (Role::IndustryDuty, "33", Some(words))];
        let sent = [
            sent(1, &both("x")),
            sent(1, &both("y")),
            sent(2, &[(Role::TownshipDuty, "a", None)]),
            // The owner's stand-in, and a township without anybody.
            sent(2, &[(Role::Owner, "firm", None)]),
            sent(2, &[(Role::TownshipDuty, "b", None)]),
        ];
        let found = count(&sent, &contacts).unwrap();
        let expected = Phones {
            messages: 5,
            nobody: 1,
            same_person: 1,
            phones: 2,
            mean: Some(2.5),
            most: 4,
            most_on_a_day: 3,
        };
        assert_eq!(found, expected);
        assert_eq!(count(&sent, &Contacts::new()), None);
    }
}
