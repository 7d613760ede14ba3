//! Who was told what, of all deliveries: the planner's fold of the topic `deliveries`. Pure.
//!
//! - A *share* is one audience of one alert: how many of its deliveries are open, whether one of them ended so that
//!   nothing more is due, and which were tried.
//! - A *conversation* is what one role and subject hears of one case, on whichever phone: who was told, or may have
//!   been, so that a correction reaches them and nobody else.

use std::collections::{BTreeMap, HashMap, HashSet};

use tocsin_schemas::codes::{Role, Urgency};
use tocsin_schemas::records::{Alert, Audience, Delivery, DeliveryState};
use tocsin_schemas::time::Instant;

use crate::decide::{self, Why};
use crate::ledger::{Applied, Ledger, ThreadKey, hash16, maybe_out, terminal};

/// One audience of one alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShareKey([u8; 16]);

impl ShareKey {
    /// That of an alert's audience.
    pub fn new(alert: &Alert, audience: &Audience) -> ShareKey {
        ShareKey::of(&alert.alert_id, audience.role, &audience.subject)
    }
    fn of(alert_id: &str, role: Role, subject: &str) -> ShareKey {
        ShareKey(hash16(&["share", alert_id, role.as_str(), subject]))
    }
}

/// What one role and subject hears of one case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConversationKey([u8; 16]);

impl ConversationKey {
    /// That of an alert's audience.
    pub fn new(alert: &Alert, audience: &Audience) -> ConversationKey {
        ConversationKey::of(&alert.case_no, audience.role, &audience.subject)
    }
    fn of(case_no: &str, role: Role, subject: &str) -> ConversationKey {
        ConversationKey(hash16(&["conversation", case_no, role.as_str(), subject]))
    }
}

/// How far a share has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Share {
    /// Its deliveries that are open.
    pub open: u32,
    /// One has ended so that nothing more is due.
    pub over: bool,
    /// The ids of all its deliveries, until it is over.
    pub tried: Vec<String>,
}

/// Somebody who was told, or may have been, or will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// The role of the contact.
    pub role: Role,
    /// Whose role.
    pub subject: String,
    /// The contact's rank.
    pub rank: u32,
    /// Over which channel.
    pub channel: String,
    /// The hash of the phone.
    pub phone_hash: String,
    /// The hash of the address on the channel.
    pub address_hash: String,
}

impl Heard {
    /// Whoever this delivery goes to; `None` where nobody was found.
    fn of(delivery: &Delivery) -> Option<Heard> {
        Some(Heard {
            role: delivery.contact_role?,
            subject: delivery.contact_subject.clone().unwrap_or_else(|| delivery.subject.clone()),
            rank: delivery.contact_rank?,
            channel: delivery.channel.clone(),
            phone_hash: delivery.phone_hash.clone()?,
            address_hash: delivery.address_hash.clone()?,
        })
    }
    fn same(&self, other: &Heard) -> bool {
        (&self.channel, &self.address_hash) == (&other.channel, &other.address_hash)
    }
}

#[derive(Debug, Default)]
struct Conversation {
    ended: u32,
    heard: Vec<Heard>,
    open: HashSet<String>,
    /// The latest alert that takes the place of those before it: when it was decided, episode, revision.
    overtakes: Option<(Instant, u32, u32)>,
}

/// Of a thread's open deliveries, how many there are, how many are held themselves, and how many overtake those.
#[derive(Debug, Clone, Copy, Default)]
struct Waiting {
    open: usize,
    held: usize,
    overtaking: usize,
}

impl Waiting {
    fn of(delivery: &Delivery) -> Waiting {
        let held = decide::waits(delivery);
        let overtakes = decide::supersedes(delivery.change) || delivery.urgency == Urgency::AtOnce;
        Waiting { open: 1, held: usize::from(held), overtaking: usize::from(overtakes && !held) }
    }
    /// All of them wait when one does, unless another is about to pass it.
    fn held(self) -> usize {
        if self.held > 0 && self.overtaking == 0 { self.open } else { 0 }
    }
}

/// The fold.
#[derive(Debug, Default)]
pub struct Told {
    ledger: Ledger,
    shares: HashMap<ShareKey, Share>,
    conversations: HashMap<ConversationKey, Conversation>,
    threads: HashMap<ThreadKey, Waiting>,
    held: usize,
    /// When each held one is due, and its thread.
    dues: BTreeMap<(Instant, String), ThreadKey>,
}

impl Told {
    /// Nobody was told anything.
    pub fn new() -> Told {
        Told::default()
    }

    /// Takes in one record of the topic, in the order of its partition; says whose share it is of.
    pub fn apply(&mut self, delivery: &Delivery) -> ShareKey {
        let id = &delivery.delivery_id;
        let key = ShareKey::of(&delivery.alert_id, delivery.role, &delivery.subject);
        let known = self.ledger.open(id);
        let before = known.map(Waiting::of).unwrap_or_default();
        let was_due = known.filter(|d| decide::waits(d)).and_then(|d| d.due_at);
        let applied = self.ledger.apply(delivery.clone());
        if applied == Applied::Nothing {
            return key;
        }
        let open = !terminal(delivery.state);
        if let Some(due) = was_due {
            self.dues.remove(&(due, id.clone()));
        }
        if let Some(due) = delivery.due_at.filter(|_| decide::waits(delivery)) {
            self.dues.insert((due, id.clone()), ThreadKey::of(delivery));
        }
        let after = if open { Waiting::of(delivery) } else { Waiting::default() };
        self.count_held(ThreadKey::of(delivery), before, after);
        let share = self.shares.entry(key).or_default();
        if applied == Applied::First {
            share.tried.push(id.clone());
        }
        share.open = (share.open + u32::from(open)).saturating_sub(u32::from(applied == Applied::Open));
        share.over |= !open && is_over(delivery);
        if share.over && share.open == 0 {
            // Kept for ever, so as small as can be.
            share.tried = Vec::new();
        }
        let of = ConversationKey::of(&delivery.case_no, delivery.role, &delivery.subject);
        let conversation = self.conversations.entry(of).or_default();
        if let Some(decided) = delivery.decided_at.filter(|_| decide::supersedes(delivery.change)) {
            let this = Some((decided, delivery.episode, delivery.revision));
            conversation.overtakes = conversation.overtakes.max(this);
        }
        if open {
            conversation.open.insert(id.clone());
            return key;
        }
        conversation.open.remove(id);
        conversation.ended += u32::from(applied != Applied::MovedOn);
        if let Some(heard) = Heard::of(delivery).filter(|_| maybe_out(delivery))
            && conversation.heard.iter().all(|known| !known.same(&heard))
        {
            conversation.heard.push(heard);
        }
        key
    }

    fn count_held(&mut self, thread: ThreadKey, before: Waiting, after: Waiting) {
        let of = self.threads.entry(thread).or_default();
        let had = of.held();
        let moved = |all: usize, before: usize, after: usize| all + after - before;
        *of = Waiting {
            open: moved(of.open, before.open, after.open),
            held: moved(of.held, before.held, after.held),
            overtaking: moved(of.overtaking, before.overtaking, after.overtaking),
        };
        self.held = moved(self.held, had, of.held());
        if of.open == 0 {
            self.threads.remove(&thread);
        }
    }

    /// How far this share has come.
    pub fn share(&self, key: ShareKey) -> Option<&Share> {
        self.shares.get(&key)
    }

    /// Nothing more is due for this share: nobody is left to try.
    pub fn close(&mut self, key: ShareKey) {
        if let Some(share) = self.shares.get_mut(&key).filter(|share| share.open == 0) {
            *share = Share { over: true, ..Share::default() };
        }
    }

    /// Whoever was told in this conversation, or may have been, or will be, each channel and address once.
    pub fn heard(&self, of: ConversationKey) -> Vec<Heard> {
        let Some(conversation) = self.conversations.get(&of) else { return Vec::new() };
        let mut heard = conversation.heard.clone();
        let mut open: Vec<&Delivery> =
            conversation.open.iter().filter_map(|id| self.ledger.open(id)).collect();
        open.sort_by_key(|d| (d.at, &d.delivery_id));
        for person in open.into_iter().filter_map(Heard::of) {
            if heard.iter().all(|known| !known.same(&person)) {
                heard.push(person);
            }
        }
        heard
    }

    /// Whether a later message of this conversation takes the place of this alert's.
    pub fn overtaken(&self, alert: &Alert, audience: &Audience) -> bool {
        let conversation = self.conversations.get(&ConversationKey::new(alert, audience));
        let this = Some((alert.decided_at, alert.episode, alert.revision));
        conversation.is_some_and(|c| c.overtakes > this)
    }

    /// Whether messages of this conversation have ended.
    pub fn has_past(&self, of: ConversationKey) -> bool {
        self.conversations.get(&of).is_some_and(|c| c.ended > 0)
    }

    /// All deliveries.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// How many open ones are held now until a morning or a workday, those behind them in their threads included.
    pub fn held(&self, now: Instant) -> usize {
        let due: HashSet<ThreadKey> =
            self.dues.range(..(now.plus_millis(1), String::new())).map(|(_, thread)| *thread).collect();
        // Their time has come, though nobody has looked at them yet.
        let over: usize = due.iter().filter_map(|thread| self.threads.get(thread)).map(|of| of.held()).sum();
        self.held - over
    }
}

/// Whether a delivery that ended like this leaves nothing more to do for its share; else the next channel or person is
/// tried. One that may have come is never sent to somebody else as well.
fn is_over(delivery: &Delivery) -> bool {
    match delivery.state {
        DeliveryState::Failed if delivery.uncertain => true,
        DeliveryState::Failed => {
            let reason = delivery.reason.as_deref().unwrap_or_default();
            let ends = [Why::NoContact, Why::NeverSettled, Why::Silenced, Why::Expired, Why::Superseded];
            // A fact that is missing is missing for everybody.
            let ours = ["missing_fact", "no_template", "unreadable_text"];
            ends.iter().map(|why| why.as_str()).chain(ours).any(|end| {
                reason.strip_prefix(end).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
            })
        }
        DeliveryState::Skipped => delivery.reason.as_deref() != Some(Why::ContactChanged.as_str()),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{delivery, uscc};

    fn to(phone: &str, delivery: Delivery) -> Delivery {
        Delivery {
            contact_role: Some(Role::Owner),
            contact_rank: Some(1),
            phone_hash: Some(phone.into()),
            address_hash: Some(phone.into()),
            delivery_id: format!("{}-{phone}", delivery.delivery_id),
            ..delivery
        }
    }
    fn ended(delivery: Delivery, state: DeliveryState, reason: &str) -> Delivery {
        Delivery { state, reason: (!reason.is_empty()).then(|| reason.into()), ..delivery }
    }
    fn share(told: &Told, alert: &str) -> Share {
        told.share(ShareKey::of(alert, Role::Owner, uscc().as_str())).cloned().unwrap_or_default()
    }

    #[test]
    fn a_share_is_over_when_somebody_may_have_heard_and_open_while_somebody_may() {
        use DeliveryState::*;
        for (state, reason, uncertain, over) in [
            (Accepted, "", false, true),
            (Delivered, "", false, true),
            (Skipped, "same_person", false, true),
            (Skipped, "contact_changed", false, false),
            (Failed, "http_404", false, false),
            (Failed, "gave_up:timeout", false, false),
            (Failed, "gave_up:timeout", true, true),
            (Failed, "contact_changed", true, true),
            (Failed, "contact_changed", false, false),
            (Failed, "no_contact", false, true),
            (Failed, "expired", false, true),
            (Failed, "silenced:s1", false, true),
            (Failed, "missing_fact", false, true),
            (Failed, "variable_too_long", false, false),
        ] {
            let mut told = Told::new();
            let planned = to("p", delivery("a1", Planned));
            told.apply(&planned);
            assert_eq!((share(&told, "a1").open, share(&told, "a1").over), (1, false));
            told.apply(&Delivery { uncertain, ..ended(planned, state, reason) });
            let share = share(&told, "a1");
            let tried = usize::from(!over);
            assert_eq!((share.open, share.over, share.tried.len()), (0, over, tried), "{state} {reason}");
        }
    }

    #[test]
    fn those_who_heard_or_will_are_named_once() {
        use DeliveryState::*;
        let mut told = Told::new();
        let of = ConversationKey::of(&delivery("a1", Planned).case_no, Role::Owner, uscc().as_str());
        assert!(told.heard(of).is_empty() && !told.has_past(of));
        told.apply(&to("p", ended(delivery("a1", Failed), Failed, "http_404")));
        assert!(told.heard(of).is_empty() && told.has_past(of), "certainly not told");
        told.apply(&to("q", delivery("a1", Accepted)));
        told.apply(&to("q", delivery("a2", Accepted)));
        told.apply(&to("r", delivery("a2", Planned)));
        let phones: Vec<String> = told.heard(of).into_iter().map(|h| h.phone_hash).collect();
        assert_eq!(phones, ["q", "r"]);
        told.apply(&to("r", ended(delivery("a2", Failed), Failed, "http_404")));
        assert_eq!(told.heard(of).len(), 1, "it did not go out");
        told.apply(&to("r", delivery("a2", Delivered)));
        assert_eq!(told.heard(of).len(), 2, "it did after all");
    }

    #[test]
    fn what_is_behind_a_held_one_in_its_thread_is_held_too() {
        use DeliveryState::*;
        let mut told = Told::new();
        let first = to("p", delivery("a1", Planned));
        let second = to("p", delivery("a2", Planned));
        told.apply(&first);
        told.apply(&second);
        told.apply(&to("q", delivery("a1", Planned)));
        assert_eq!(told.held(Instant(0)), 0);
        told.apply(&ended(first.clone(), Planned, "quiet_hours"));
        assert_eq!(told.held(Instant(0)), 2, "not the other phone's");
        told.apply(&ended(first.clone(), Sending, ""));
        assert_eq!(told.held(Instant(0)), 0);
        told.apply(&ended(second.clone(), Planned, "holiday"));
        told.apply(&ended(first, Accepted, ""));
        assert_eq!(told.held(Instant(0)), 1);
        told.apply(&ended(second, Accepted, ""));
        assert_eq!(told.held(Instant(0)), 0);
    }
}
