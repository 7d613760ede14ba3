//! The ids that we gave, read out of the topics beside the worker: which delivery an answer is of, and what its page shows.
//!
//! Memory is bounded: the newest [`Index::new`]'s so many deliveries and alerts, and the hashes of contacts' phones. What was
//! forgotten is unknown; its gateway can still be asked. No phone is held.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tocsin_alerts::answers::http::{Case, Given};
use tocsin_alerts::answers::link::Prefix;
use tocsin_alerts::ledger;
use tocsin_alerts::phone_key::PhoneKey;
use tocsin_alerts::texts::Texts;
use tocsin_schemas::codes::{AnswerKind, Role, Says};
use tocsin_schemas::records::{Alert, Answer, Contact, Delivery};

/// So many deliveries, and so many alerts, are remembered: months of a city.
pub const KEPT: usize = 100_000;

/// What one audience was told.
type Told = (Role, Arc<str>, Arc<str>);

#[derive(Debug)]
struct Entry {
    delivery: Delivery,
    said: Option<Says>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<String, Entry>,
    /// By (gateway, its own number).
    numbers: HashMap<(String, String), String>,
    prefixes: HashMap<Prefix, String>,
    /// The ids in the order in which they were first seen.
    order: VecDeque<String>,
    texts: HashMap<String, Vec<Told>>,
    alerts: VecDeque<String>,
    /// Version and hashes by the key of the contact, and how many contacts have each hash.
    contacts: HashMap<Vec<u8>, (u64, BTreeSet<String>)>,
    phones: HashMap<String, usize>,
}

/// The index. Cheap to clone; all clones are the same.
#[derive(Debug, Clone)]
pub struct Index {
    inner: Arc<Mutex<Inner>>,
    /// What was in the topics at the start is read.
    ready: Arc<AtomicBool>,
    texts: Arc<Texts>,
    hasher: PhoneKey,
    kept: usize,
}

impl Index {
    /// Empty; it words messages by these texts.
    pub fn new(texts: Arc<Texts>, hasher: PhoneKey, kept: usize) -> Index {
        Index { inner: Arc::default(), ready: Arc::default(), texts, hasher, kept }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was in the topics at the start is read.
    pub fn is_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    /// Takes in a state of a delivery. One for which no request was made was given to nobody.
    pub fn delivery(&self, delivery: Delivery) {
        if delivery.attempt == 0 {
            return;
        }
        let mut guard = self.inner();
        let inner = &mut *guard;
        let id = delivery.delivery_id.clone();
        // Also where the answer itself was read before its delivery.
        let says = ledger::said(&delivery);
        if let Some(number) = &delivery.gateway_ref {
            inner.numbers.insert((delivery.channel.clone(), number.clone()), id.clone());
        }
        match inner.entries.get_mut(&id) {
            Some(entry) => {
                if let Some(before) =
                    entry.delivery.gateway_ref.take().filter(|n| Some(n) != delivery.gateway_ref.as_ref())
                {
                    inner.numbers.remove(&(entry.delivery.channel.clone(), before));
                }
                entry.said = entry.said.max(says);
                entry.delivery = delivery;
            }
            None => {
                inner.prefixes.extend(Prefix::of(&id).map(|prefix| (prefix, id.clone())));
                inner.order.push_back(id.clone());
                inner.entries.insert(id, Entry { delivery, said: says });
            }
        }
        while inner.order.len() > self.kept {
            let Some(oldest) = inner.order.pop_front() else { return };
            let Some(gone) = inner.entries.remove(&oldest) else { continue };
            if let Some(number) = gone.delivery.gateway_ref {
                inner.numbers.remove(&(gone.delivery.channel, number));
            }
            if let Some(prefix) = Prefix::of(&oldest) {
                inner.prefixes.remove(&prefix);
            }
        }
    }

    /// Takes in an alert: what each of its audiences is told.
    pub fn alert(&self, alert: &Alert) {
        let told: Vec<Told> = alert
            .audiences
            .iter()
            .filter_map(|audience| {
                let text = self.texts.render(alert, audience, None).ok()?.text;
                Some((audience.role, Arc::from(audience.subject.as_str()), Arc::from(text)))
            })
            .collect();
        if told.is_empty() {
            return;
        }
        let mut inner = self.inner();
        if inner.texts.insert(alert.alert_id.clone(), told).is_none() {
            inner.alerts.push_back(alert.alert_id.clone());
        }
        while inner.alerts.len() > self.kept {
            if let Some(oldest) = inner.alerts.pop_front() {
                inner.texts.remove(&oldest);
            }
        }
    }

    /// Takes in an answer: a link that was used is used up.
    pub fn answer(&self, answer: &Answer) {
        let own = answer.kind != AnswerKind::Relayed;
        let person = Some(answer.says).filter(|says| own && says.by_person() && *says != Says::Other);
        if let (Some(says), Some(id)) = (person, &answer.delivery_id)
            && let Some(entry) = self.inner().entries.get_mut(id)
        {
            entry.said = entry.said.max(Some(says));
        }
    }

    /// Takes in a contact, or that there is none any more under this key. One older than the known one is none, as for the
    /// workers who ring it.
    pub fn contact(&self, key: Vec<u8>, contact: Option<&Contact>) {
        let numbers = contact.into_iter().flat_map(|c| c.phone.iter().chain(c.addresses.values()));
        let hashes: BTreeSet<String> = numbers.filter_map(|number| self.hasher.number(number)).collect();
        let mut inner = self.inner();
        let version = contact.map_or(0, |c| c.version);
        if contact.is_some() && inner.contacts.get(&key).is_some_and(|(known, _)| *known > version) {
            return;
        }
        for hash in &hashes {
            *inner.phones.entry(hash.clone()).or_default() += 1;
        }
        let former = match contact {
            Some(_) => inner.contacts.insert(key, (version, hashes)),
            None => inner.contacts.remove(&key),
        };
        for gone in former.map(|(_, hashes)| hashes).unwrap_or_default() {
            if let Some(n) = inner.phones.get_mut(&gone) {
                *n -= 1;
                if *n == 0 {
                    inner.phones.remove(&gone);
                }
            }
        }
    }

    fn case(inner: &Inner, id: &str) -> Option<Case> {
        let Entry { delivery: d, said } = inner.entries.get(id)?;
        let texts = inner.texts.get(&d.alert_id).map_or(&[][..], Vec::as_slice);
        let told = texts.iter().find(|(role, subject, _)| *role == d.role && **subject == *d.subject);
        Some(Case {
            delivery_id: d.delivery_id.clone(),
            gateway: d.channel.clone(),
            case_no: d.case_no.clone(),
            template: d.template.clone(),
            text: told.map(|(.., text)| text.to_string()),
            said: *said,
        })
    }
}

impl Given for Index {
    fn ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }
    fn delivery(&self, delivery_id: &str) -> Option<Case> {
        Index::case(&self.inner(), delivery_id)
    }
    fn numbered(&self, gateway: &str, gateway_ref: &str) -> Option<Case> {
        let inner = self.inner();
        let id = inner.numbers.get(&(gateway.to_owned(), gateway_ref.to_owned()))?;
        Index::case(&inner, id)
    }
    fn linked(&self, prefix: Prefix) -> Option<Case> {
        let inner = self.inner();
        Index::case(&inner, inner.prefixes.get(&prefix)?)
    }
    fn has_phone(&self, phone_hash: &str) -> bool {
        self.inner().phones.contains_key(phone_hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use tocsin_alerts::answers::{Came, person_said};
    use tocsin_alerts::ledger::delivery_id;
    use tocsin_schemas::codes::{AnswerKind, Change, Urgency};
    use tocsin_schemas::records::DeliveryState;
    use tocsin_schemas::time::Instant;

    fn index(kept: usize) -> Index {
        Index::new(Texts::built_in(), PhoneKey::new(&[1; 32]), kept)
    }

    fn delivery(n: u32, attempt: u32, number: Option<&str>) -> Delivery {
        Delivery {
            delivery_id: delivery_id(&n.to_string(), Role::Owner, "s", "aliyun", &[]),
            alert_id: n.to_string(),
            case_no: "000000901".into(),
            uscc: "91330784XX00000190".parse().unwrap(),
            role: Role::Owner,
            subject: "s".into(),
            contact_rank: None,
            contact_version: None,
            channel: "aliyun".into(),
            template: "T1".into(),
            state: DeliveryState::Sending,
            reason: None,
            attempt,
            at: Instant(0),
            due_at: None,
            gateway_ref: number.map(Into::into),
            uncertain: false,
            contact_role: None,
            sent_at: None,
            contact_subject: None,
            phone_hash: None,
            address_hash: None,
            change: Change::New,
            urgency: Urgency::Daytime,
            decided_at: None,
            episode: 1,
            revision: 1,
            area: None,
            slots: Default::default(),
        }
    }

    #[test]
    fn what_was_given_is_found_by_each_of_its_names_and_what_was_not_is_unknown() {
        let index = index(10);
        index.delivery(delivery(1, 0, None));
        let id = delivery(1, 1, None).delivery_id;
        assert!(Given::delivery(&index, &id).is_none(), "no request was made");
        index.delivery(delivery(1, 1, Some("r1")));
        index.delivery(delivery(1, 2, Some("r2")));
        let found = |case: Option<Case>| case.map(|case| case.delivery_id);
        assert_eq!(found(Given::delivery(&index, &id)), Some(id.clone()));
        assert_eq!(found(index.numbered("aliyun", "r2")), Some(id.clone()));
        assert_eq!(found(index.linked(Prefix::of(&id).unwrap())), Some(id.clone()));
        assert_eq!(found(index.numbered("tencent", "r2")), None);
        let said = |says| {
            let came = Came { gateway: "aliyun".into(), kind: AnswerKind::Link, received_at: Instant(0) };
            index.answer(&person_said(came, &id, says, None));
            Given::delivery(&index, &id).unwrap().said
        };
        assert_eq!(said(Says::Other), None);
        assert_eq!(said(Says::NotOurs), Some(Says::NotOurs));
        assert_eq!(said(Says::Acknowledged), Some(Says::NotOurs));
    }

    #[test]
    fn what_was_answered_stands_in_the_delivery_whichever_is_read_first() {
        let answered = |n| Delivery {
            state: DeliveryState::Delivered,
            reason: Some(Says::Acknowledged.as_str().into()),
            ..delivery(n, 1, Some("r"))
        };
        let said = |index: &Index| Given::delivery(index, &answered(1).delivery_id).unwrap().said;
        let known = index(10);
        known.delivery(delivery(1, 1, None));
        known.delivery(answered(1));
        let new = index(10);
        new.delivery(answered(1));
        assert_eq!((said(&known), said(&new)), (Some(Says::Acknowledged), Some(Says::Acknowledged)));
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_goes_with_all_its_names() {
        let index = index(100);
        for n in 0..1000 {
            index.delivery(delivery(n, 1, Some(&format!("r{n}"))));
            index.delivery(delivery(n, 2, Some(&format!("s{n}"))));
        }
        let inner = index.inner();
        let sizes = [inner.entries.len(), inner.numbers.len(), inner.prefixes.len(), inner.order.len()];
        assert_eq!(sizes, [100; 4]);
        assert!(inner.numbers.contains_key(&("aliyun".into(), "s999".into())));
        assert!(!inner.numbers.contains_key(&("aliyun".into(), "s899".into())));
    }

    #[test]
    fn a_phone_is_known_while_some_contact_has_it() {
        let index = index(1);
        let contact = |phone: &str, version| Contact {
            role: Role::Owner,
            subject: "s".into(),
            rank: 1,
            name: "甲".into(),
            phone: Some(phone.into()),
            addresses: BTreeMap::new(),
            valid_from: None,
            valid_to: None,
            verified_on: None,
            version,
        };
        let knows = |phone: &str| index.has_phone(&PhoneKey::new(&[1; 32]).number(phone).unwrap());
        index.contact(b"a".to_vec(), Some(&contact("13800138000", 1)));
        index.contact(b"b".to_vec(), Some(&contact("+86 13800138000", 1)));
        assert!(knows("13800138000") && !knows("13800138001"));
        index.contact(b"a".to_vec(), Some(&contact("13800138001", 2)));
        assert!(knows("13800138000") && knows("13800138001"));
        index.contact(b"b".to_vec(), None);
        assert!(!knows("13800138000") && knows("13800138001"));
        index.contact(b"a".to_vec(), Some(&contact("13800138000", 1)));
        assert!(!knows("13800138000") && knows("13800138001"), "an older one, imported again");
        assert!(!format!("{index:?}").contains("138001380"));
    }
}
