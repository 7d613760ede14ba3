//! Whom an alert goes to, over which channel, in which order. Pure: no clock, no randomness, no I/O.
//! What follows the first deliveries is [`next`]'s.
//!
//! # The rules
//! 1. One delivery for each audience of an alert, to the first person and channel of its *chain*; a further one when
//!    that certainly did not come, or nobody answers in time ([`next`]).
//! 2. The chain: each contact of the role by rank, over each channel in the role's order. Behind an owner stand the
//!    safety officer and then the township's duty officer (S15), who is told that nobody could be reached (T15;
//!    of a host: T18, to the employer's township).
//! 3. What speaks of an earlier message (`corrected`, `downgraded`, `eased`, `closed`) goes to exactly those who were
//!    told, may have been or will be, over the channel that told them (where that is configured no more, to the same phone
//!    over another); nobody else hears it. Where the earlier ones
//!    certainly did not go out it is skipped (`nothing_to_correct`).
//! 4. `upgraded` and `raised` go to those and to whoever is first in the chain now: they are whole by themselves, and a
//!    death must not stay unsaid because an earlier message failed.
//! 5. The same words to the same phone in one alert go once (`same_person`), also where two gateways take them in different
//!    lengths; what becomes of them counts for both roles.
//! 6. A message that was overtaken by `corrected`, `closed`, `upgraded` or `raised` goes to nobody further.
//! 7. An address that bounced is not tried again, and one whose holder has said "not ours" not for that enterprise or
//!    area, until the contact is registered anew.
//! 8. Nobody in the chain: failed, `no_contact`.

mod again;
pub mod morning;
pub mod next;
pub mod share;
pub mod told;

use std::collections::{BTreeMap, HashMap};

use tocsin_schemas::codes::{Change, Role};
use tocsin_schemas::records::{Alert, Audience, Delivery, DeliveryState};
use tocsin_schemas::time::Instant;

use crate::channels::Channels;
use crate::contacts::{Contacts, Person, contact_key};
use crate::decide::{self, Urgency, Why, hold};
use crate::gateways;
use crate::ledger::delivery_id;
use crate::phone_key::PhoneKey;
use crate::texts::{self, Message, Template, TextError, Texts};
use next::Awaits;
use told::{ConversationKey, Heard, ShareKey, Told};

/// What planning rests on.
#[derive(Clone, Copy)]
pub struct Planner<'a> {
    /// Who was told what.
    pub told: &'a Told,
    /// Whom to reach.
    pub contacts: &'a Contacts,
    /// The texts.
    pub texts: &'a Texts,
    /// The gateways.
    pub channels: &'a Channels,
    /// What makes a phone's hash.
    pub key: &'a PhoneKey,
    /// Whether townships get a list in the morning.
    pub mornings: bool,
    /// What comes back, and for how long it is waited; `None`: nothing does.
    pub awaits: Option<&'a Awaits>,
    /// The present instant.
    pub now: Instant,
}

/// A delivery that enters the ledger: planned, or ended at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The delivery.
    pub delivery: Delivery,
    /// Why its text is the fallback, if it is.
    pub fallback: Option<TextError>,
}

/// One step of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    whom: Heard,
    /// The township, which stands in for an owner.
    stands_in: bool,
}

impl Planner<'_> {
    /// What is due for the audiences of an alert; those that have deliveries already are left out. Suppressed
    /// decisions and empty audiences give none.
    pub fn first(&self, alert: &Alert) -> Vec<Draft> {
        if alert.change == Change::Suppressed {
            return Vec::new();
        }
        let mut drafts = Vec::new();
        // Who is named twice is found among all audiences, those that were planned before a restart included.
        let mut said: HashMap<(String, String), String> = HashMap::new();
        for (at, audience) in alert.audiences.iter().enumerate() {
            let named_before = |a: &Audience| (a.role, &a.subject) == (audience.role, &audience.subject);
            if alert.audiences[..at].iter().any(named_before) {
                continue;
            }
            let known = self.told.share(ShareKey::new(alert, audience)).is_some();
            for (draft, words) in self.opening(alert, audience) {
                let phone = draft.delivery.phone_hash.clone();
                let twin = match (phone, words) {
                    (Some(phone), Some(words)) => {
                        let id = draft.delivery.delivery_id.clone();
                        let first = said.entry((phone, words)).or_insert_with(|| id.clone());
                        (*first != id).then(|| format!("{}:{first}", Why::SamePerson.as_str()))
                    }
                    _ => None,
                };
                match (known, twin) {
                    (true, _) => {}
                    (false, Some(why)) => drafts.push(self.ended(draft, DeliveryState::Skipped, &why)),
                    (false, None) => drafts.push(draft),
                }
            }
        }
        drafts
    }

    /// The deliveries by which an audience is told, with their words before a gateway shortens them.
    fn opening(&self, alert: &Alert, audience: &Audience) -> Vec<(Draft, Option<String>)> {
        let mut steps = match alert.change {
            change if decide::looks_back(change) || matches!(change, Change::Upgraded | Change::Raised) => {
                self.those_who_heard(alert, audience)
            }
            _ => Vec::new(),
        };
        if decide::looks_back(alert.change) && !steps.is_empty() {
            return steps.iter().map(|step| self.draft(alert, audience, step)).collect();
        }
        if decide::looks_back(alert.change) && self.told.has_past(ConversationKey::new(alert, audience)) {
            let draft = self.unheard(alert, audience);
            return vec![(self.ended(draft, DeliveryState::Skipped, Why::NothingToCorrect.as_str()), None)];
        }
        let first = self.levels(alert, audience).into_iter().flatten().next();
        if let Some(first) = first
            && steps.iter().all(|step| step.whom.phone_hash != first.whom.phone_hash)
        {
            steps.push(first);
        }
        if steps.is_empty() {
            let draft = self.unheard(alert, audience);
            return vec![(self.ended(draft, DeliveryState::Failed, Why::NoContact.as_str()), None)];
        }
        steps.iter().map(|step| self.draft(alert, audience, step)).collect()
    }

    /// Whoever was told of it before. Who has said that it is not theirs hears no more of it.
    fn those_who_heard(&self, alert: &Alert, audience: &Audience) -> Vec<Step> {
        let heard = self.told.heard_before(alert, audience).into_iter();
        let version = |whom: &Heard| self.contacts.version(whom.role, &whom.subject, whom.rank);
        let asked = heard.filter(|whom| !self.told.refuses(whom, version(whom)));
        let mut all: Vec<Step> = Vec::new();
        for whom in asked.map(|whom| self.over_another(whom)) {
            if all.iter().all(|known| known.whom != whom) {
                all.push(Step { stands_in: stands_in(audience, whom.role), whom });
            }
        }
        all
    }

    /// The same, but where the gateway that told them is configured no more: the same phone of the same place, over
    /// another one.
    fn over_another(&self, whom: Heard) -> Heard {
        if self.channels.get(&whom.channel).is_some() {
            return whom;
        }
        let over = self.channels.names(whom.role).iter().find_map(|channel| {
            let there = self.contacts.ever(whom.role, &whom.subject, channel);
            let same = there.iter().filter(|person| person.rank == whom.rank);
            let heard = same.map(|person| (self.heard(person, channel), person.version));
            heard
                .filter(|(over, _)| over.phone_hash == whom.phone_hash)
                .find_map(|(over, version)| (!self.told.refuses(&over, Some(version))).then_some(over))
        });
        over.unwrap_or(whom)
    }

    /// Who may be told, in order: the role itself, and those behind it.
    fn levels(&self, alert: &Alert, audience: &Audience) -> Vec<Vec<Step>> {
        let mut levels = vec![self.of_role(audience.role, &audience.subject, false)];
        if audience.role == Role::Owner {
            levels.push(self.of_role(Role::SafetyOfficer, &audience.subject, false));
            if let (Some(area), false) = (alert.facts.area.as_deref(), decide::looks_back(alert.change)) {
                levels.push(self.of_role(Role::TownshipDuty, area, true));
            }
        }
        levels
    }

    fn of_role(&self, role: Role, subject: &str, stands_in: bool) -> Vec<Step> {
        // By rank, and of one person by the role's order of channels.
        let mut by_rank: BTreeMap<(u32, usize), Step> = BTreeMap::new();
        for (at, channel) in self.channels.names(role).iter().enumerate() {
            for person in self.contacts.reachable(role, subject, self.now.day(), channel) {
                let whom = self.heard(&person, channel);
                if !self.told.refuses(&whom, Some(person.version)) {
                    by_rank.insert((person.rank, at), Step { whom, stands_in });
                }
            }
        }
        by_rank.into_values().collect()
    }

    fn heard(&self, person: &Person, channel: &str) -> Heard {
        Heard {
            role: person.role,
            subject: person.subject.clone(),
            rank: person.rank,
            channel: channel.to_owned(),
            phone_hash: self.key.phone(person),
            address_hash: self.key.address(person),
        }
    }

    fn id(&self, alert: &Alert, audience: &Audience, whom: &Heard) -> String {
        let contact = contact_key(whom.role, &whom.subject, whom.rank);
        let whose = [contact.as_str(), whom.address_hash.as_str()];
        delivery_id(&alert.alert_id, audience.role, &audience.subject, &whom.channel, &whose)
    }

    fn draft(&self, alert: &Alert, audience: &Audience, step: &Step) -> (Draft, Option<String>) {
        let whom = &step.whom;
        let profile = gateways::find(&whom.channel).map(|entry| entry.profile);
        let variable_chars = profile.and_then(|profile| profile.limits.variable_chars);
        // An alert knows name and area of the employer alone.
        let of_employer = audience.subject == alert.uscc.as_str();
        let template = match (step.stands_in, decide::looks_back(alert.change)) {
            (true, false) if of_employer => Ok(Template::T15),
            (true, false) => Ok(Template::T18),
            (true, true) => Ok(Template::T17),
            (false, _) => self.template(alert, audience.role),
        };
        let message = template.clone().and_then(|t| self.texts.render_as(t, alert, audience, variable_chars));
        let named = message.as_ref().map_or_else(
            |_| template.map_or("", Template::id).to_owned(),
            |message| message.wording().to_owned(),
        );
        let mut delivery = Delivery {
            delivery_id: self.id(alert, audience, whom),
            contact_role: Some(whom.role),
            contact_rank: Some(whom.rank),
            contact_subject: (audience.subject != whom.subject.as_str()).then(|| whom.subject.clone()),
            channel: whom.channel.clone(),
            template: named,
            phone_hash: Some(whom.phone_hash.clone()),
            address_hash: Some(whom.address_hash.clone()),
            ..self.blank(alert, audience)
        };
        match message {
            Ok(Message { template, slots, fallback, text }) => {
                delivery.slots = slots.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                // The words as no gateway shortens them: over two gateways the same is said, whatever each takes.
                let whole = variable_chars.map(|_| self.texts.render_as(template, alert, audience, None));
                let words = whole.and_then(Result::ok).map_or(text, |message| message.text);
                (Draft { delivery, fallback }, Some(words))
            }
            Err(error) => {
                let delivery = decide::end(&delivery, DeliveryState::Failed, error.reason(), self.now);
                (Draft { delivery, fallback: None }, None)
            }
        }
    }

    fn urgency(&self, alert: &Alert, role: Role) -> Urgency {
        if self.mornings { morning::urgency(alert, role) } else { hold::urgency(alert, role) }
    }

    fn template(&self, alert: &Alert, role: Role) -> Result<Template, TextError> {
        match self.urgency(alert, role) {
            Urgency::Morning => Ok(Template::T16),
            _ => texts::template(alert, role),
        }
    }

    /// A delivery that nobody was found for.
    fn unheard(&self, alert: &Alert, audience: &Audience) -> Draft {
        let template = self.template(alert, audience.role).map_or("", Template::id).to_owned();
        let channel = self.channels.names(audience.role).first().copied().unwrap_or_default();
        let delivery_id = delivery_id(&alert.alert_id, audience.role, &audience.subject, channel, &[]);
        let channel = channel.to_owned();
        let blank = self.blank(alert, audience);
        Draft { delivery: Delivery { delivery_id, template, channel, ..blank }, fallback: None }
    }

    fn ended(&self, draft: Draft, state: DeliveryState, reason: &str) -> Draft {
        // One that could not even be worded stays as it is.
        if draft.delivery.state != DeliveryState::Planned {
            return draft;
        }
        Draft { delivery: decide::end(&draft.delivery, state, reason, self.now), ..draft }
    }

    fn blank(&self, alert: &Alert, audience: &Audience) -> Delivery {
        Delivery {
            delivery_id: String::new(),
            alert_id: alert.alert_id.clone(),
            case_no: alert.case_no.to_string(),
            uscc: alert.uscc,
            role: audience.role,
            subject: audience.subject.to_string(),
            contact_rank: None,
            contact_version: None,
            channel: String::new(),
            template: String::new(),
            state: DeliveryState::Planned,
            reason: None,
            attempt: 0,
            at: self.now,
            due_at: Some(self.now),
            gateway_ref: None,
            uncertain: false,
            contact_role: None,
            sent_at: None,
            contact_subject: None,
            phone_hash: None,
            address_hash: None,
            change: alert.change,
            urgency: self.urgency(alert, audience.role),
            decided_at: Some(alert.decided_at),
            episode: alert.episode,
            revision: alert.revision,
            area: alert.facts.area.as_deref().map(str::to_owned),
            slots: BTreeMap::new(),
        }
    }
}

/// Whether a contact of this role stands in for this audience.
fn stands_in(audience: &Audience, role: Role) -> bool {
    audience.role == Role::Owner && role == Role::TownshipDuty
}

#[cfg(test)]
mod tests;
