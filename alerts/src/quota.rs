//! How often a phone may ring, and what stands for the messages that it may not. Pure.
//!
//! A gateway's published quotas ([`Limits`]) and the house's own ([`Quotas::per_phone_a_day`]) are kept here, so that
//! no message is ever lost to a refusal that nobody sees. Of each quota of more than one a slot is kept for what is
//! severe, fatal or red, and for corrections.
//!
//! | the quota is used up, and the message | then |
//! |---|---|
//! | is grave, or speaks of an earlier one | waits until the quota's window opens (`quota`) |
//! | is other news, and the window is that of a day | joins the digest of that phone (`in_digest`) |
//! | is other news, and the window is shorter | waits |
//!
//! # The digest
//! One for each phone, channel, role and subject, and for each day on which it goes out: the first on which the quota
//! is open again, when the message might ring. It is a delivery of its own, and what joins it ends naming it
//! (`in_digest:ID`), so its sum can be added up again by anybody from those that name it. A message that is corrected
//! before its digest went out leaves it, and one that becomes grave does too: then it no longer names it.
//!
//! What a township hears in an owner's place (T15, T18) stands in digests of its own with an officer's words (T14): the
//! owner's (T13) say 贵单位, and the year's count, which those do not have.

use std::collections::{BTreeMap, HashMap};

use tocsin_schemas::codes::{Change, Role, Urgency};
use tocsin_schemas::records::{Delivery, DeliveryState};
use tocsin_schemas::time::{Day, Instant};

use crate::calendar::Calendar;
use crate::decide::{self, Why};
use crate::gateways;
use crate::gateways::limits::{Limits, Per, Quota, Window};
use crate::ledger::{BOUNCED, CARRIER_FAILED, hash16};
use crate::texts::Template;

/// Windows up to this long are waited for, in milliseconds.
const SHORT_MS: i64 = 600_000;
/// What is older counts for no window.
const OLD_MS: i64 = 48 * 3_600_000;

/// The quotas of one channel.
#[derive(Debug, Clone, Copy)]
pub struct Quotas<'a> {
    /// What the gateway publishes.
    pub limits: &'a Limits,
    /// What the house allows a phone in a day, over any channel of it; `None`: no more than the gateways do.
    pub per_phone_a_day: Option<u32>,
}

/// What went out to the phones of one partition, and may have.
#[derive(Debug, Default)]
pub struct Usage {
    /// For each channel and phone what was sent when, by delivery, and its text.
    sent: HashMap<(String, String), BTreeMap<String, (Instant, String)>>,
}

impl Usage {
    /// Takes in a delivery as it stands now.
    pub fn apply(&mut self, delivery: &Delivery) {
        let Some(phone) = delivery.phone_hash.clone() else { return };
        let sent = self.sent.entry((delivery.channel.clone(), phone)).or_default();
        let may_count = match delivery.state {
            DeliveryState::Sending
            | DeliveryState::Uncertain
            | DeliveryState::Accepted
            | DeliveryState::Delivered => true,
            // The gateway took it, and counts it, whatever the carrier said later.
            DeliveryState::Failed if by_carrier(delivery) => true,
            DeliveryState::Planned | DeliveryState::Failed | DeliveryState::Skipped => delivery.uncertain,
        };
        match delivery.sent_at.filter(|_| may_count) {
            Some(at) => {
                sent.retain(|_, (when, _)| at.0.saturating_sub(when.0) < OLD_MS);
                sent.insert(delivery.delivery_id.clone(), (at, delivery.template.clone()));
            }
            None => drop(sent.remove(&delivery.delivery_id)),
        }
    }

    /// Whether this message may be sent now; if not, when it may.
    pub fn room(&self, delivery: &Delivery, quotas: Quotas<'_>, now: Instant) -> Result<(), Instant> {
        let Some(phone) = delivery.phone_hash.as_ref() else { return Ok(()) };
        let grave = delivery.urgency == Urgency::AtOnce || decide::looks_back(delivery.change);
        let house = quotas.per_phone_a_day.map(|max| Quota { max, per: Per::Phone, window: Window::Day });
        let mut opens = now;
        for quota in quotas.limits.quotas.iter().copied().chain(house) {
            // The number in each text makes every text another one.
            if quota.per == Per::PhoneAndText {
                continue;
            }
            let most = if grave || quota.max < 2 { quota.max } else { quota.max - 1 };
            let key = (delivery.channel.clone(), phone.clone());
            let mut in_window: Vec<Instant> = self
                .sent
                .get(&key)
                .into_iter()
                .flatten()
                .filter(|(id, (at, template))| {
                    **id != delivery.delivery_id
                        && (quota.per == Per::Phone || *template == delivery.template)
                        && counts(quota.window, *at, now)
                })
                .map(|(_, (at, _))| *at)
                .collect();
            in_window.sort_unstable();
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            if in_window.len() >= most {
                let oldest = in_window.len().checked_sub(most.max(1)).and_then(|at| in_window.get(at));
                opens = opens.max(end(quota.window, oldest.copied().unwrap_or(now), now));
            }
        }
        if opens > now { Err(opens) } else { Ok(()) }
    }
}

fn by_carrier(delivery: &Delivery) -> bool {
    matches!(delivery.reason.as_deref(), Some(BOUNCED | CARRIER_FAILED))
}

fn counts(window: Window, at: Instant, now: Instant) -> bool {
    match window {
        Window::Day => at.day() == now.day(),
        Window::Seconds(s) => now.0.saturating_sub(at.0) < i64::from(s) * 1000,
    }
}

/// When the window opens that is full since `oldest`.
fn end(window: Window, oldest: Instant, now: Instant) -> Instant {
    match window {
        Window::Day => now.day().plus(1).midnight(),
        Window::Seconds(s) => oldest.plus_millis(i64::from(s) * 1000),
    }
}

/// What becomes of a message that finds its quota used up until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// It waits.
    Wait,
    /// It joins the digest.
    Digest,
}

/// See the table of the module's page.
pub fn overflow(delivery: &Delivery, until: Instant, now: Instant) -> Overflow {
    let news = matches!(delivery.change, Change::New | Change::Raised) && delivery.urgency != Urgency::AtOnce;
    match news && !is_digest(delivery) && until.0 - now.0 > SHORT_MS {
        true => Overflow::Digest,
        false => Overflow::Wait,
    }
}

/// The prefix of a digest's number, which stands in the place of a case's.
const NUMBER: &str = "D";

/// Whether this delivery is a digest.
pub fn is_digest(delivery: &Delivery) -> bool {
    // A message of the morning's list has that text, too, and no number of a digest.
    let number = delivery.case_no.starts_with(NUMBER);
    number
        && [Template::T13, Template::T14, Template::T16]
            .iter()
            .any(|t| delivery.template.split('_').next() == Some(t.id()))
}

/// When the digest goes out that a message joins whose quota opens then.
pub fn digest_due(delivery: &Delivery, opens: Instant, calendar: &Calendar) -> Instant {
    let at = match delivery.urgency {
        Urgency::Morning => calendar.next_morning(opens),
        Urgency::Workday => calendar.next_office(opens),
        Urgency::AtOnce | Urgency::Daytime => opens,
    };
    calendar.next_open(at)
}

/// The id of the digest that goes out on this day.
pub fn digest_id(delivery: &Delivery, day: Day) -> String {
    let phone = delivery.phone_hash.as_deref().unwrap_or_default();
    let day = day.to_string();
    let mut parts = vec!["digest", phone, &delivery.channel, delivery.role.as_str(), &delivery.subject, &day];
    // The phone may be an owner's, too, who hears other words.
    if stands_in(delivery) {
        parts.push("stands_in");
    }
    data_encoding::BASE32_NOPAD.encode(&hash16(&parts))
}

/// Whether a digest is to the same phone, over the same channel and of the same kind as the one that a message would begin,
/// and goes out no later.
pub fn takes_in(digest: &Delivery, message: &Delivery, due: Instant) -> bool {
    let new = blank(message, due, due);
    let of = |d: &Delivery| {
        (d.phone_hash.clone(), d.channel.clone(), d.role, d.subject.clone(), d.template.clone())
    };
    is_digest(digest) && of(digest) == of(&new) && digest.due_at.is_none_or(|at| at <= due)
}

/// The number of the digests that go out on this day, in the place of a case's.
pub fn digest_number(day: Day) -> String {
    let date = day.date();
    format!("{NUMBER}{:02}{:02}{:02}", date.year() % 100, date.month(), date.day())
}

/// The digest with this message in it; `digest` is the one that stands, if one does.
pub fn joined(digest: Option<&Delivery>, message: &Delivery, due: Instant, now: Instant) -> Delivery {
    let mut digest = digest.cloned().unwrap_or_else(|| blank(message, due, now));
    change_count(&mut digest.slots, 1);
    speak_of(&mut digest.slots, message);
    Delivery { at: now, ..digest }
}

/// What the newest of a digest's messages says: the year's count, the number to quote, the town.
fn speak_of(slots: &mut BTreeMap<String, String>, message: &Delivery) {
    for (name, value) in &message.slots {
        if matches!(name.as_str(), YEARS_COUNT | "town" | "area") {
            slots.insert(name.clone(), value.clone());
        }
    }
    let (head, tail) = crate::texts::head_and_tail(&message.case_no);
    for (name, value) in [("id", message.case_no.as_str()), ("id_head", head), ("id_tail", tail)] {
        slots.insert(name.to_owned(), value.to_owned());
    }
}

/// The digest without one of its messages, which `by` has overtaken; `newest` is the newest that remains, as far as that
/// is known: without it the digest keeps the number that it names. `None`: that was the last one.
///
/// The year's count is that of the newest, or what `by` says it has become: one less than the digest says. Another figure is
/// of another year, since an accident counts in its own.
pub fn left(digest: &Delivery, newest: Option<&Delivery>, by: &Delivery, now: Instant) -> Option<Delivery> {
    let number = |slots: &BTreeMap<String, String>| slots.get(YEARS_COUNT)?.parse::<i64>().ok();
    let less = number(&digest.slots).zip(number(&by.slots)).is_some_and(|(was, is)| is == was - 1);
    let mut digest = Delivery { at: now, ..digest.clone() };
    if change_count(&mut digest.slots, -1) == 0 {
        return None;
    }
    if let Some(newest) = newest {
        speak_of(&mut digest.slots, newest);
    }
    if let Some(count) = by.slots.get(YEARS_COUNT).filter(|_| less) {
        digest.slots.insert(YEARS_COUNT.to_owned(), count.clone());
    }
    Some(digest)
}

/// How many messages a digest stands for.
pub fn count(digest: &Delivery) -> i64 {
    digest.slots.get(HOW_MANY).and_then(|k| k.parse().ok()).unwrap_or(0)
}

/// The slot of a text that says how many incidents the year has.
const YEARS_COUNT: &str = "n";
/// The slot of a digest's text that says how many it stands for.
const HOW_MANY: &str = "k";

fn change_count(slots: &mut BTreeMap<String, String>, by: i64) -> i64 {
    let before = slots.get(HOW_MANY).and_then(|k| k.parse::<i64>().ok()).unwrap_or(0);
    let after = (before + by).max(0);
    slots.insert(HOW_MANY.to_owned(), after.to_string());
    after
}

/// Whether a township hears it in an owner's place: its role is the owner's, its words are for an officer.
pub(crate) fn stands_in(delivery: &Delivery) -> bool {
    matches!(Template::of_wording(&delivery.template), Some(Template::T15 | Template::T18))
}

fn blank(message: &Delivery, due: Instant, now: Instant) -> Delivery {
    let day = due.day();
    let template = match message.role {
        _ if message.urgency == Urgency::Morning => Template::T16,
        Role::Owner | Role::SafetyOfficer if !stands_in(message) => Template::T13,
        _ => Template::T14,
    };
    let narrow = gateways::find(&message.channel).and_then(|entry| entry.profile.limits.variable_chars);
    // A number in one piece has up to 10 characters.
    let template = match narrow.is_some_and(|most| most < 10) {
        true => template.fallback_id(),
        false => template.id(),
    };
    Delivery {
        delivery_id: digest_id(message, day),
        case_no: digest_number(day),
        template: template.to_owned(),
        state: DeliveryState::Planned,
        reason: Some(Why::Digest.as_str().to_owned()),
        attempt: 0,
        at: now,
        due_at: Some(due),
        gateway_ref: None,
        uncertain: false,
        sent_at: None,
        change: Change::New,
        urgency: match message.urgency {
            Urgency::Morning => Urgency::Workday,
            other => other,
        },
        // It goes out with the day on which it is due, not with its first message's.
        decided_at: Some(now),
        slots: BTreeMap::new(),
        ..message.clone()
    }
}

#[cfg(test)]
mod tests;
