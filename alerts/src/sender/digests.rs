//! What a quota leaves over: messages that wait, and digests that stand for them ([`crate::quota`]).

use std::collections::HashMap;

use tocsin_schemas::records::{Delivery, DeliveryState};
use tocsin_schemas::time::Instant;

use super::turn::Turn;
use crate::decide::{self, Urgency, Why};
use crate::gateways::{self, limits};
use crate::ledger::{self, ThreadKey};
use crate::quota::{self, Overflow, Quotas};

/// Which messages of each thread a digest stands for.
#[derive(Debug, Default)]
pub(crate) struct Digests {
    members: HashMap<ThreadKey, Vec<Delivery>>,
}

impl Digests {
    /// Those of this thread.
    pub fn of(&self, thread: ThreadKey) -> &[Delivery] {
        self.members.get(&thread).map_or(&[], Vec::as_slice)
    }

    /// The newest message that this digest stands for, but for one.
    fn newest_but(&self, digest_id: &str, but: &str) -> Option<&Delivery> {
        let members = self.members.values().flatten();
        let others = members.filter(|member| of(member) == Some(digest_id) && member.delivery_id != but);
        others.max_by_key(|member| super::board::place(member))
    }

    /// Takes in a delivery as it stands now.
    pub fn apply(&mut self, delivery: &Delivery) {
        let thread = ThreadKey::of(delivery);
        if let Some(members) = self.members.get_mut(&thread) {
            members.retain(|member| member.delivery_id != delivery.delivery_id);
            if members.is_empty() {
                self.members.remove(&thread);
            }
        }
        if of(delivery).is_some() {
            self.members.entry(thread).or_default().push(delivery.clone());
        }
    }
}

/// The digest that stands for this delivery, if one does.
pub(crate) fn of(delivery: &Delivery) -> Option<&str> {
    ledger::stands_for(delivery).filter(|_| ledger::reason_class(delivery) == Why::InDigest.as_str())
}

impl Turn<'_> {
    /// Whether its phone may not ring now; then it waits, or is in a digest by now.
    pub fn over_its_quota(&mut self, seq: u64, now: Instant) -> bool {
        let Some(delivery) = self.board.get(seq).map(|entry| entry.delivery.clone()) else { return true };
        let settings = &self.shared.settings;
        let profile = gateways::find(&delivery.channel).map(|entry| entry.profile);
        let quotas = Quotas {
            limits: profile.map_or(&limits::NO_LIMITS, |profile| &profile.limits),
            per_phone_a_day: settings.per_phone_a_day,
        };
        let Err(opens) = self.usage.room(&delivery, quotas, now) else { return false };
        match quota::overflow(&delivery, opens, now) {
            Overflow::Wait => {
                let at = match delivery.urgency {
                    Urgency::AtOnce => opens,
                    _ => settings.calendar.next_open(opens),
                };
                self.hold(seq, at, Why::Quota, now);
            }
            Overflow::Digest => self.join(seq, &delivery, opens, now),
        }
        true
    }

    /// Whether it goes into the morning's list; then it is in it by now.
    pub fn in_the_morning(&mut self, seq: u64, now: Instant) -> bool {
        let delivery = self.board.get(seq).map(|entry| &entry.delivery);
        let Some(delivery) = delivery.filter(|d| d.urgency == Urgency::Morning && d.attempt == 0).cloned()
        else {
            return false;
        };
        self.join(seq, &delivery, now, now);
        true
    }

    /// It ends, and the digest of its phone stands for it.
    fn join(&mut self, seq: u64, delivery: &Delivery, opens: Instant, now: Instant) {
        let mut due = quota::digest_due(delivery, opens, &self.shared.settings.calendar);
        // One that went out already, or is about to, takes in nothing more.
        let id = loop {
            let id = quota::digest_id(delivery, due.day());
            let under_way = self.ledger.open(&id).is_some() && self.unsent(&id).is_none();
            if self.ledger.ended(&id).is_none() && !under_way {
                break id;
            }
            let next = due.day().plus(1).midnight();
            due = quota::digest_due(delivery, next, &self.shared.settings.calendar);
        };
        // One that waits for its phone's quota takes it in, whatever its day: else they come faster than they go.
        let id = match self.unsent(&id) {
            Some(_) => id,
            None => self.waiting_digest(delivery, due).unwrap_or(id),
        };
        let standing = self.unsent(&id).map(|(at, digest)| (at, digest.clone()));
        let digest = quota::joined(standing.as_ref().map(|(_, digest)| digest), delivery, due, now);
        self.end(seq, DeliveryState::Skipped, &format!("{}:{id}", Why::InDigest.as_str()), now);
        self.record(&digest);
        match standing {
            Some((at, _)) => self.board.changed(at, digest),
            None => self.add(digest),
        }
    }

    fn waiting_digest(&self, message: &Delivery, due: Instant) -> Option<String> {
        let open = self.ledger.all_open().filter(|d| quota::takes_in(d, message, due));
        let unsent = open.filter(|d| self.unsent(&d.delivery_id).is_some());
        unsent.min_by_key(|d| (d.due_at, d.delivery_id.clone())).map(|d| d.delivery_id.clone())
    }

    /// A digest that certainly has not gone out and is not about to.
    fn unsent(&self, id: &str) -> Option<(u64, &Delivery)> {
        self.board.at_rest(id).filter(|(_, d)| d.state == DeliveryState::Planned && !d.uncertain)
    }

    /// A message that follows others in digests which have not gone out: those leave them. Whether there is nothing left
    /// to say, because nobody has heard of any of it.
    pub fn leaves_its_digest(&mut self, seq: u64, now: Instant) -> bool {
        let Some(entry) = self.board.get(seq) else { return false };
        let (change, thread) = (entry.delivery.change, entry.thread);
        if !decide::looks_back(change) && !decide::supersedes(change) {
            return false;
        }
        let members = self.digests.of(thread).to_vec();
        let (unheard, heard): (Vec<Delivery>, Vec<Delivery>) =
            members.into_iter().partition(|member| of(member).is_some_and(|id| self.unsent(id).is_some()));
        if unheard.is_empty() {
            return false;
        }
        // Something else of the thread rang, or stood in a digest that did.
        let told = !heard.is_empty() || self.ledger.past(thread).last_out.is_some();
        if decide::supersedes(change) {
            let by = entry.delivery.clone();
            unheard.iter().for_each(|member| self.leave(member, &by, now));
        }
        // Less grave than was known, and the digest does not say how grave: it still stands for it.
        let over = decide::looks_back(change) && !told;
        if over {
            self.end(seq, DeliveryState::Skipped, Why::NothingToCorrect.as_str(), now);
        }
        over
    }

    /// A message that another has overtaken leaves its digest, which goes out without it.
    fn leave(&mut self, member: &Delivery, by: &Delivery, now: Instant) {
        let Some((at, digest)) = of(member).and_then(|id| self.unsent(id)) else { return };
        let newest = self.digests.newest_but(&digest.delivery_id, &member.delivery_id);
        let left = quota::left(digest, newest, by, now);
        let ended = decide::end(digest, DeliveryState::Skipped, Why::NothingToCorrect.as_str(), now);
        match left {
            Some(left) => {
                self.board.changed(at, left.clone());
                self.record(&left);
            }
            None => {
                self.board.remove(at);
                self.record(&ended);
            }
        }
        self.record(&decide::end(member, DeliveryState::Skipped, Why::Superseded.as_str(), now));
    }
}
