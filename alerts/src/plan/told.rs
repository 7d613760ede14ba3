//! Who was told what, of all deliveries: the planner's fold of the topic `deliveries`. Pure.
//!
//! - A *share* is one audience of one alert: its deliveries and what came of each, until nothing more is due ([`share`](super::share)).
//! - A *conversation* is what one role and subject hears of one case, on whichever phone: who was told, or may have
//!   been, so that a correction reaches them and nobody else.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use tocsin_schemas::codes::{AnswerKind, Change, Role, Says, Urgency};
use tocsin_schemas::records::{Alert, Answer, Audience, Delivery, DeliveryState};
use tocsin_schemas::time::Instant;

use super::share::{Fate, Share, Standing, Try};
use crate::answers::{self, SentTo};
use crate::decide::{self, Why};
use crate::fuse::Counted;
use crate::ledger::{Applied, Ledger, ThreadKey, hash16, maybe_out, stands_for, terminal};
use crate::quota;
use crate::refusals::Refusals;

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
    /// That of whom a delivery tells.
    pub fn told_by(delivery: &Delivery) -> ConversationKey {
        ConversationKey::of(&delivery.case_no, delivery.role, &delivery.subject)
    }
    fn of(case_no: &str, role: Role, subject: &str) -> ConversationKey {
        ConversationKey(hash16(&["conversation", case_no, role.as_str(), subject]))
    }
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

/// How long after a message an SMS may answer it, in milliseconds.
const ANSWERED_WITHIN_MS: i64 = 72 * 3_600_000;

/// A delivery that stands for others.
#[derive(Debug)]
struct Leader {
    standing: Standing,
    followers: Vec<ShareKey>,
}

/// Where an alert stands among those of its conversation: when it was decided, episode, revision.
pub type Order = (Instant, u32, u32);

fn order(alert: &Alert) -> Order {
    (alert.decided_at, alert.episode, alert.revision)
}

/// Where the alert of a delivery stands.
pub fn order_of(delivery: &Delivery) -> Order {
    (delivery.decided_at.unwrap_or(delivery.at), delivery.episode, delivery.revision)
}

/// Somebody who was told over a channel, or may have been.
#[derive(Debug)]
struct Known {
    whom: Heard,
    /// The earliest alert that told them.
    since: Order,
    /// The carrier has said since that it did not bring the last one.
    lost: bool,
}

#[derive(Debug, Default)]
struct Conversation {
    /// The shares that are not closed.
    unfinished: BTreeSet<(Order, ShareKey)>,
    ended: u32,
    heard: Vec<Known>,
    open: HashSet<String>,
    /// The latest alert, and what it changes.
    last: Option<(Order, Change)>,
    /// The latest alert that takes the place of those before it.
    overtakes: Option<Order>,
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
    /// While something is read back: what is not of an alert that is not over is closed.
    reading_back: bool,
    /// The alerts that were not over at the start.
    promised: Arc<HashSet<String>>,
    shares: HashMap<ShareKey, Share>,
    /// The deliveries of shares that are not closed.
    tries: HashMap<String, ShareKey>,
    leaders: HashMap<String, Leader>,
    /// Addresses that are not tried again.
    refused: Refusals,
    corrections: Counted,
    /// What persons have said, by delivery, whether its sender has written it down already or not.
    said: HashMap<String, Says>,
    /// What went out to each phone in the last days, so that an SMS finds what it answers.
    sent_to: HashMap<String, Vec<SentTo>>,
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

    /// Nobody was told anything yet that is known, when these alerts (by id) are not over: of what is read back of others
    /// ([`Told::recall`]) nothing more is due.
    pub fn with_promised(promised: Arc<HashSet<String>>) -> Told {
        Told { promised, ..Told::default() }
    }

    /// Reads back a record that was written before the start, or before anything was known of its case: all that there are
    /// of a case, in the order of their partition. Says for which shares something may follow.
    pub fn recall(&mut self, delivery: &Delivery) -> Vec<ShareKey> {
        self.reading_back = true;
        let moved = self.apply(delivery);
        self.reading_back = false;
        moved
    }

    /// Reads back what counts whatever the case: which addresses are not tried again, what was sent to a phone, and the
    /// corrections of the last hour. All records of these deliveries, those of one in their order.
    pub fn recall_recent<'a>(&mut self, deliveries: impl IntoIterator<Item = &'a Delivery>) {
        let mut ledger = Ledger::new();
        for delivery in deliveries {
            if ledger.apply(delivery.clone()) != Applied::Nothing {
                self.of_all(delivery);
            }
        }
    }

    /// Takes in one record of the topic, in the order of its partition; says for which shares something may follow.
    pub fn apply(&mut self, delivery: &Delivery) -> Vec<ShareKey> {
        let id = &delivery.delivery_id;
        let known = self.ledger.open(id);
        let before = known.map(Waiting::of).unwrap_or_default();
        let was_due = known.filter(|d| decide::waits(d)).and_then(|d| d.due_at);
        let applied = self.ledger.apply(delivery.clone());
        if applied == Applied::Nothing {
            return Vec::new();
        }
        let open = !terminal(delivery.state);
        if let Some(due) = was_due {
            self.dues.remove(&(due, id.clone()));
        }
        // What the fuse holds is held whatever the time.
        let fused = delivery.reason.as_deref() == Some(Why::Fuse.as_str());
        if let Some(due) = delivery.due_at.filter(|_| decide::waits(delivery) && !fused) {
            self.dues.insert((due, id.clone()), ThreadKey::of(delivery));
        }
        let after = if open { Waiting::of(delivery) } else { Waiting::default() };
        self.count_held(ThreadKey::of(delivery), before, after);
        self.of_all(delivery);
        let mut moved = self.of_share(delivery);
        if let Some(leader) = self.leaders.get_mut(id) {
            leader.standing = Standing::of(delivery);
            moved.extend(&leader.followers);
        }
        let of = ConversationKey::told_by(delivery);
        let conversation = self.conversations.entry(of).or_default();
        conversation.last = conversation.last.max(Some((order_of(delivery), delivery.change)));
        if let Some(decided) = delivery.decided_at.filter(|_| decide::supersedes(delivery.change)) {
            let this = Some((decided, delivery.episode, delivery.revision));
            conversation.overtakes = conversation.overtakes.max(this);
        }
        if open {
            conversation.open.insert(id.clone());
            return moved;
        }
        conversation.open.remove(id);
        conversation.ended += u32::from(applied != Applied::MovedOn);
        if let Some(whom) = Heard::of(delivery) {
            let (since, told) = (order_of(delivery), maybe_out(delivery));
            match conversation.heard.iter_mut().find(|known| known.whom.same(&whom)) {
                Some(known) if told => (known.since, known.lost) = (since.min(known.since), false),
                Some(known) => known.lost |= applied == Applied::MovedOn,
                None if told => conversation.heard.push(Known { whom, since, lost: false }),
                None => {}
            }
        }
        moved
    }

    /// What counts for other cases, too.
    fn of_all(&mut self, delivery: &Delivery) {
        self.refused.apply(delivery);
        // What goes into a list rings nobody.
        if decide::looks_back(delivery.change) && delivery.urgency != Urgency::Morning {
            let held = delivery.reason.as_deref() == Some(Why::Fuse.as_str());
            let ended = matches!(delivery.state, DeliveryState::Skipped | DeliveryState::Failed);
            let counts = !ended || delivery.attempt > 0;
            let (decided, id) = (order_of(delivery).0, &delivery.delivery_id);
            self.corrections.apply(decided, &delivery.alert_id, id, counts, held);
        }
        self.note_sent(delivery);
    }

    /// Takes it into its share; a digest is of none, those that it stands for are.
    fn of_share(&mut self, delivery: &Delivery) -> Vec<ShareKey> {
        if quota::is_digest(delivery) {
            return Vec::new();
        }
        let key = ShareKey::of(&delivery.alert_id, delivery.role, &delivery.subject);
        let kept = !self.reading_back || self.promised.contains(&delivery.alert_id);
        let share = self.shares.entry(key).or_insert_with(|| {
            let of = ConversationKey::told_by(delivery);
            if kept {
                self.conversations.entry(of).or_default().unfinished.insert((order_of(delivery), key));
            }
            Share { tries: Vec::new(), closed: !kept }
        });
        if share.closed {
            return vec![key];
        }
        let leader = stands_for(delivery).map(str::to_owned);
        let this = Try {
            id: delivery.delivery_id.clone(),
            whom: Heard::of(delivery),
            standing: Standing::of(delivery),
            leader: leader.clone(),
        };
        match share.tries.iter_mut().find(|known| known.id == this.id) {
            Some(known) => *known = this,
            None => {
                self.tries.insert(this.id.clone(), key);
                share.tries.push(this);
            }
        }
        if let Some(id) = leader {
            let ledger = &self.ledger;
            let leader = self.leaders.entry(id).or_insert_with_key(|id| {
                let ended = ledger.how(id).map(|how| Standing::ended(how, delivery.at));
                // One that is not known yet is on its way.
                let open = Standing { fate: Fate::Open, said: None, at: delivery.at };
                Leader { standing: ended.unwrap_or(open), followers: Vec::new() }
            });
            if !leader.followers.contains(&key) {
                leader.followers.push(key);
            }
        }
        vec![key]
    }

    fn note_sent(&mut self, delivery: &Delivery) {
        let Some(phone) = &delivery.phone_hash else { return };
        let sent = SentTo::of(delivery);
        if sent.is_none() && !self.sent_to.contains_key(phone) {
            return;
        }
        let all = self.sent_to.entry(phone.clone()).or_default();
        let now = delivery.at;
        all.retain(|known| {
            known.delivery_id != delivery.delivery_id && now.0.saturating_sub(known.at.0) < ANSWERED_WITHIN_MS
        });
        all.extend(sent);
    }

    /// Takes in what a person has said; says for which shares something may follow. What a gateway says stands in the
    /// ledger soon enough; a person's answer must not be late for the next one who would be asked.
    pub fn answer(&mut self, answer: &Answer) -> Vec<ShareKey> {
        if !answer.says.by_person() || answer.says == Says::Other || answer.kind == AnswerKind::Relayed {
            return Vec::new();
        }
        let by_phone = || {
            let sent = self.sent_to.get(answer.phone_hash.as_ref()?)?;
            let believed = |to: &&SentTo| answer.received_at.0.saturating_sub(to.at.0) < ANSWERED_WITHIN_MS;
            answers::replied_to(answer, sent.iter().filter(believed).cloned())
        };
        let Some(id) = answer.delivery_id.clone().or_else(by_phone) else { return Vec::new() };
        let of =
            |share: &Share| share.tries.iter().any(|one| one.id == id || one.leader.as_ref() == Some(&id));
        let moved: Vec<ShareKey> =
            self.shares.iter().filter(|(_, share)| of(share)).map(|(key, _)| *key).collect();
        if !moved.is_empty() {
            let said = self.said.entry(id).or_insert(answer.says);
            *said = answer.says.max(*said);
        }
        moved
    }

    /// Whether this contact's address is not tried again: it bounced, or its holder has said that it is not theirs; and
    /// the contact was not registered anew since. Without a version: however it is registered.
    pub fn refuses(&self, whom: &Heard, version: Option<u64>) -> bool {
        self.refused.of(&whom.subject, &whom.channel, &whom.address_hash, version).is_some()
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

    /// How a delivery of a share stands: by itself, or as the one that stands for it.
    pub fn standing(&self, of: &Try) -> Standing {
        let leader = of.leader.as_ref().and_then(|id| Some((id, self.leaders.get(id)?.standing)));
        let (id, mut standing) = leader.unwrap_or((&of.id, of.standing));
        standing.said = standing.said.max(self.said.get(id).copied());
        match standing.said {
            // Under way again: what the gateway says of that is waited for.
            _ if matches!(standing.fate, Fate::Open | Fate::Stalled) => {}
            Some(Says::NotOurs) => standing.fate = Fate::Lost,
            Some(_) if standing.fate == Fate::Out || standing.fate == Fate::Lost => {
                standing.fate = Fate::Reached
            }
            _ => {}
        }
        standing
    }

    /// What a person has said of this share's messages that ends the asking.
    pub fn answered(&self, key: ShareKey) -> Option<Says> {
        let said = self.share(key)?.tries.iter().filter_map(|one| self.standing(one).said);
        said.filter(|says| matches!(says, Says::Acknowledged | Says::WithdrawnClaim)).max()
    }

    /// The shares of which something is open.
    pub fn with_open(&self) -> Vec<ShareKey> {
        let key = |d: &Delivery| ShareKey::of(&d.alert_id, d.role, &d.subject);
        self.ledger.all_open().map(key).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Nothing more is due for this audience. Says which later ones of its conversation may have waited for that.
    pub fn close(&mut self, alert: &Alert, audience: &Audience) -> Vec<ShareKey> {
        let key = ShareKey::new(alert, audience);
        let Some(share) = self.shares.get_mut(&key).filter(|share| !share.closed) else { return Vec::new() };
        let tries = std::mem::take(&mut share.tries);
        share.closed = true;
        for one in &tries {
            self.tries.remove(&one.id);
            self.said.remove(&one.id);
        }
        for id in tries.into_iter().filter_map(|one| one.leader) {
            if let Some(leader) = self.leaders.get_mut(&id) {
                leader.followers.retain(|follower| *follower != key);
                if leader.followers.is_empty() {
                    self.leaders.remove(&id);
                }
            }
        }
        let Some(conversation) = self.conversations.get_mut(&ConversationKey::new(alert, audience)) else {
            return Vec::new();
        };
        conversation.unfinished.retain(|(_, other)| *other != key);
        conversation.unfinished.iter().map(|(_, other)| *other).collect()
    }

    /// Whether something may still follow for an earlier alert of this conversation.
    pub fn unfinished_before(&self, alert: &Alert, audience: &Audience) -> bool {
        let conversation = self.conversations.get(&ConversationKey::new(alert, audience));
        let first = conversation.and_then(|c| c.unfinished.first());
        first.is_some_and(|(earliest, _)| *earliest < order(alert))
    }

    /// Whoever was told in the conversation of this alert before it, or may have been, or will be, each channel and
    /// address once; those last whose carrier did not bring it.
    pub fn heard_before(&self, alert: &Alert, audience: &Audience) -> Vec<Heard> {
        let Some(conversation) = self.conversations.get(&ConversationKey::new(alert, audience)) else {
            return Vec::new();
        };
        let before = order(alert);
        let known = conversation.heard.iter().filter(|known| known.since < before);
        let (lost, told): (Vec<&Known>, Vec<&Known>) = known.partition(|known| known.lost);
        let mut heard: Vec<Heard> = told.into_iter().map(|known| known.whom.clone()).collect();
        let mut open: Vec<&Delivery> =
            conversation.open.iter().filter_map(|id| self.ledger.open(id)).collect();
        open.retain(|d| order_of(d) < before);
        open.sort_by_key(|d| (d.at, &d.delivery_id));
        let lost = lost.into_iter().map(|known| known.whom.clone());
        for person in open.into_iter().filter_map(Heard::of).chain(lost) {
            if heard.iter().all(|known| !known.same(&person)) {
                heard.push(person);
            }
        }
        heard
    }

    /// Whether a later message of this conversation takes the place of this alert's.
    pub fn overtaken(&self, alert: &Alert, audience: &Audience) -> bool {
        let conversation = self.conversations.get(&ConversationKey::new(alert, audience));
        conversation.is_some_and(|c| c.overtakes > Some(order(alert)))
    }

    /// Whether a later message of this conversation was decided, whatever it says.
    pub fn later(&self, alert: &Alert, audience: ConversationKey) -> bool {
        let last = self.conversations.get(&audience).and_then(|c| c.last);
        last.is_some_and(|(last, _)| last > order(alert))
    }

    /// What was said last in this conversation, or is about to be.
    pub fn last(&self, of: ConversationKey) -> Option<Change> {
        self.conversations.get(&of)?.last.map(|(_, change)| change)
    }

    /// Whether messages of this conversation have ended.
    pub fn has_past(&self, of: ConversationKey) -> bool {
        self.conversations.get(&of).is_some_and(|c| c.ended > 0)
    }

    /// The corrections of the last hour.
    pub fn corrections(&self) -> &Counted {
        &self.corrections
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

#[cfg(test)]
#[path = "told_tests.rs"]
mod tests;
