//! The role that turns alerts into deliveries: it alone reads the progress of `alerts`, and it alone decides to whom
//! an alert goes ([`crate::plan`]).
//!
//! # One turn
//! 1. *Take in* alerts, and what became of deliveries.
//! 2. *Plan*: the first deliveries of new alerts, and the next person where one certainly did not come or nobody answers.
//! 3. *Offer* the first messages of a case to their senders, if they are in this worker, which write them down together
//!    with what they decide ([`crate::worker::hands`]).
//! 4. *Commit*: one append with the others, and twice a second with the progress, which is held back before the first alert
//!    whose audiences are not all over.
//!
//! Of an append a kill leaves all or nothing; of an alert whose messages are in several it may leave some. The deliveries are
//! read back, and no audience that has one is planned again.

pub(crate) mod merge;
mod promises;
mod reader;
mod retries;
pub(crate) mod start;
pub(crate) mod turns;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tocsin_schemas::codes::{Change, DeliveryState};
use tocsin_schemas::log::TopicPartition;
use tocsin_schemas::records::{Alert, Answer, Audience, Delivery, Offset};
use tocsin_schemas::time::Instant;
use tokio::sync::watch;
use tokio::time::Instant as Monotonic;

use crate::answers;
use crate::clock::wait_for;
use crate::codec::topic;
use crate::decide::{self, Urgency, Why};
use crate::fuse;
use crate::ledger::{retry_id, stands_for};
use crate::plan::morning::{self, Listed};
use crate::plan::next::Further;
use crate::plan::told::{ConversationKey, ShareKey, Told};
use crate::plan::{Draft, Planner};
use crate::retry::{self, Beside, Refusal, Request};
use crate::worker::commit::Committer;
use crate::worker::hands::Offer;
use crate::worker::reading::Reading;
use crate::worker::recall::{Known, Recalled};
use crate::worker::{Shared, WRITER, WorkerError, looked_up, record, tail};
use merge::Merge;
use promises::Promises;
use retries::{Found, Retries};

pub(crate) use turns::PATIENCE as TURN_PATIENCE;

/// Of more in one turn nobody waits for the first: one append of all costs less than one of each sender.
const GIVEN_AT_ONCE: usize = 8;
/// How soon progress that moved is written.
const PROGRESS_WITHIN: Duration = Duration::from_millis(500);
/// So many times as many may be open as long as they wait for some gateways only: what is open is held in memory.
const BEHIND_ONE: usize = 5;
/// How long a stop waits until what the senders wrote last is visible.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How far a worker's stop has come, as its roles see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Go on.
    No,
    /// Stop when nothing is under way.
    Yes,
}

/// Plans until it is told to stop, and then writes its progress.
///
/// # Errors
/// See [`WorkerError`].
pub(crate) async fn run(
    shared: Arc<Shared>,
    mut stop: watch::Receiver<Stop>,
    reading: Reading,
) -> Result<(), WorkerError> {
    let tries = shared.settings.append_tries;
    let (log, accept) = (Arc::clone(&shared.log), shared.accept_difference);
    let (patience, reads) = (shared.settings.turn_patience, reading.clone());
    let now = shared.clock.now();
    let start =
        tokio::task::spawn_blocking(move || start::read_back(&log, accept, patience, tries, now, &reads));
    let started = tokio::select! {
        _ = stop.changed() => return Ok(()),
        started = start => started.map_err(|_| WorkerError::Died("start"))??,
    };
    tracing::info!(open = started.told.ledger().open_len(), "the planner read back its state");
    let merge = Merge::new(Arc::clone(&shared.log), started.alerts, started.turns, shared.settings.max_batch);
    let recalls = started.recall.map_or([None, None, None], |all| all.map(Some));
    let [of_alerts, of_deliveries, mut of_retries] = recalls;
    let mut alerts = reader::spawn(merge, Arc::clone(&shared.registry), of_alerts, reading.clone());
    let place = |(at, next): (TopicPartition, u64)| (at.partition, next);
    let read_to = started.deliveries.position().into_iter().map(place).collect();
    let mut deliveries = tail::spawn(
        Arc::clone(&shared.log),
        started.deliveries,
        Arc::clone(&shared.registry),
        of_deliveries,
        reading.clone(),
    );
    let answered_to = started.answers.position().into_iter().map(place).collect();
    let mut answers = tail::spawn::<Answer>(
        Arc::clone(&shared.log),
        started.answers,
        Arc::clone(&shared.registry),
        None,
        reading.clone(),
    );
    let writer = started.writer;
    let (log, log_id) = (Arc::clone(&shared.log), started.log_id);
    let writes = reading.clone();
    let committer = Committer::new(log, WRITER.to_owned(), writer, started.progress, log_id, tries, writes);
    let mut turn = Turn {
        shared: &shared,
        told: started.told,
        known: started.known,
        promises: Promises::default(),
        committer,
        taken_in: started.from,
        answered_to,
        read_to,
        progress_due: None,
        relayed: HashSet::new(),
        retries: Retries::default(),
        known_at: None,
        planned: Vec::new(),
    };
    // Before anything that was planned goes out: somebody may have answered since.
    turn.relay_all();
    // A sender may write first, and a ledger without any progress stops the next start.
    turn.committer.wants_progress = !turn.committer.has_progress();
    turn.commit().await?;
    // The books fit together: the senders may go on with what was planned before.
    shared.guarded.send_replace(true);
    let reached = |read_to: &[(u32, u64)], written: &[u64]| {
        let next = |partition| read_to.iter().find(|(of, _)| *of == partition).map_or(0, |(_, next)| *next);
        (0..).zip(written).all(|(partition, end)| next(partition) >= *end)
    };
    // Answers wait until the deliveries are known that were in the log when they were read.
    let mut held: Option<(tail::Batch<Answer>, Vec<u64>)> = None;
    let mut looking = None;
    // Also what was asked for while no planner was there.
    let (mut asked, mut finding) = (shared.registry.asked(), None);
    asked.mark_changed();
    loop {
        if let Some((came, _)) = held.take_if(|(_, written)| reached(&turn.read_to, written)) {
            turn.said(&came.records);
            turn.answered_to = came.position;
        }
        turn.look_at_what_is_due();
        turn.commit().await?;
        turn.publish();
        if *stop.borrow() == Stop::Yes {
            break;
        }
        let room = turn.has_room();
        tokio::select! {
            _ = stop.changed() => {}
            batch = alerts.recv(), if room => {
                turn.take_in(batch.ok_or(WorkerError::Died("reader"))??);
            }
            batch = deliveries.recv() => {
                let batch = batch.ok_or(WorkerError::Died("tail"))??;
                turn.read_to = batch.position;
                turn.recall(batch.recalled);
                turn.heard(batch.records);
            }
            batch = answers.recv(), if held.is_none() && looking.is_none() => {
                let batch = batch.ok_or(WorkerError::Died("tail"))??;
                if batch.records.is_empty() {
                    turn.answered_to = batch.position;
                } else {
                    looking = Some(Arc::clone(&shared).with_written(topic::DELIVERIES, batch));
                }
            }
            found = looked_up(&mut looking) => {
                looking = None;
                held = Some(found?);
            }
            Ok(()) = asked.changed(), if finding.is_none() => {
                let requests = turn.new_requests();
                finding = (!requests.is_empty())
                    .then(|| retries::look_up(&shared, requests, of_retries.take(), &reading));
            }
            found = looked_up(&mut finding) => {
                finding = None;
                let looked = found?;
                of_retries = looked.recall;
                turn.recall(looked.recalled);
                turn.say_after_all(looked.found);
            }
            () = at(turn.progress_due) => turn.committer.wants_progress = true,
            () = wait_for(&*shared.clock, turn.promises.next_due()) => {}
        }
    }
    // The senders have stopped before: their last words are taken in, so that the next start need not.
    let ends = shared.ends(topic::DELIVERIES).await.unwrap_or_default();
    let until = Monotonic::now() + LAST_WORDS;
    let behind = |read_to: &[(u32, u64)]| {
        ends.iter().any(|(p, end)| read_to.iter().find(|(q, _)| q == p).is_none_or(|(_, next)| next < end))
    };
    while behind(&turn.read_to) {
        match tokio::time::timeout_at(until, deliveries.recv()).await {
            Ok(Some(batch)) => {
                let batch = batch?;
                turn.read_to = batch.position;
                turn.recall(batch.recalled);
                turn.heard(batch.records);
            }
            Ok(None) | Err(_) => break,
        }
    }
    turn.committer.wants_progress = turn.progress_due.is_some();
    turn.commit().await?;
    turn.publish();
    Ok(())
}

/// A correction that is held because there are too many, for somebody to look at.
fn hold_by_fuse(delivery: Delivery) -> Delivery {
    tracing::error!(
        alert_id = %delivery.alert_id,
        case_no = %delivery.case_no,
        "the fuse of corrections holds this one: look whether a feed is broken; then `tocsin corrections release`"
    );
    let decided = delivery.decided_at.unwrap_or(delivery.at);
    let due_at = Some(decided.plus_millis(fuse::LOOKED_AT_WITHIN_MS));
    Delivery { reason: Some(Why::Fuse.as_str().to_owned()), due_at, ..delivery }
}

async fn at(due: Option<Monotonic>) {
    match due {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn alerts_offset(partition: u32, next: u64) -> Offset {
    Offset { topic: topic::ALERTS.to_owned(), partition, next }
}

fn offsets(topic: &str, position: &[(u32, u64)]) -> Vec<Offset> {
    let offset = |(partition, next): &(u32, u64)| Offset {
        topic: topic.to_owned(),
        partition: *partition,
        next: *next,
    };
    position.iter().map(offset).collect()
}

/// What the planner holds between its steps.
struct Turn<'a> {
    shared: &'a Shared,
    told: Told,
    /// The cases of which everything is known.
    known: Known,
    promises: Promises,
    committer: Committer,
    taken_in: Vec<Offset>,
    /// For each partition of `answers` the offset after the last one taken in.
    answered_to: Vec<(u32, u64)>,
    /// The same of `deliveries`.
    read_to: Vec<(u32, u64)>,
    /// When progress that moved is to be written.
    progress_due: Option<Monotonic>,
    /// The deliveries, and their attempts, whose senders were told that somebody else has answered.
    relayed: HashSet<(String, u32)>,
    retries: Retries,
    /// When it was known to all ends who is to be reached and what is silent.
    known_at: Option<std::time::Instant>,
    /// What this turn has planned, and whether it is of the first message of its case.
    planned: Vec<(String, bool)>,
}

impl Turn<'_> {
    /// Whether more alerts are taken in: not too many are open, or at least not at every gateway. What one has before it
    /// keeps nobody from being told over another.
    fn has_room(&self) -> bool {
        let (ledger, most) = (self.told.ledger(), self.shared.settings.max_open);
        let open = ledger.open_len() - self.told.held(self.shared.clock.now());
        let gateways = || self.shared.channels.all().map(|channel| channel.name());
        let share = most / gateways().count().max(1);
        open < most || (open < most * BEHIND_ONE && gateways().any(|name| ledger.open_over(name) < share))
    }

    /// Takes in everything of cases that come up, before anything else of them is.
    fn recall(&mut self, recalled: Recalled) {
        let mut moved = BTreeSet::new();
        for delivery in recalled.taken_in(&self.known) {
            let shares = self.told.recall(&delivery);
            moved.extend(shares.into_iter().filter_map(|share| self.promises.of(share)));
        }
        for seq in moved {
            self.look_at(seq);
        }
    }

    fn take_in(&mut self, batch: reader::Batch) {
        self.known_at = Some(batch.at);
        self.recall(batch.recalled);
        let (mut read, mut silent) = (0, 0);
        if !batch.alerts.is_empty() {
            self.progress_due.get_or_insert_with(|| Monotonic::now() + PROGRESS_WITHIN);
        }
        for alert in batch.alerts {
            let (place, mut alert) = ((alert.partition, alert.offset), alert.alert);
            if self.shared.settings.mornings {
                let told = |audience: &Audience| {
                    let planned = self.told.share(ShareKey::new(&alert, audience)).is_some();
                    match self.told.last(ConversationKey::new(&alert, audience)) {
                        _ if planned => Listed::ByThis,
                        None | Some(Change::Corrected) => Listed::No,
                        Some(_) => Listed::Before,
                    }
                };
                let reads = morning::township(&alert, told);
                alert.audiences.extend(reads);
            }
            let alert = Arc::new(alert);
            read += 1;
            silent += u64::from(alert.audiences.is_empty() || alert.change == Change::Suppressed);
            if alert.change == Change::Suppressed {
                continue;
            }
            let drafts = self.with_planner(|planner| planner.first(&alert));
            let released = self.shared.registry.known().releases.until();
            let most = self.shared.settings.corrections_an_hour;
            let fused = self.told.corrections().blows(most, &alert, released);
            for mut draft in drafts {
                let rings = draft.delivery.urgency != Urgency::Morning;
                if fused && rings && draft.delivery.state == DeliveryState::Planned {
                    draft.delivery = hold_by_fuse(draft.delivery);
                }
                self.plan(draft, alert.revision == 1);
            }
            if let Some(seq) = self.promises.add(alert, place) {
                self.look_at(seq);
            }
        }
        self.taken_in = batch.taken_in;
        self.shared.stats.change(|stats| {
            stats.alerts_read += read;
            stats.alerts_silent += silent;
            stats.out_of_turn = batch.out_of_turn;
        });
    }

    /// Takes in what became of deliveries.
    fn heard(&mut self, deliveries: Vec<Delivery>) {
        let mut moved = BTreeSet::new();
        for delivery in deliveries {
            let shares = self.told.apply(&delivery);
            moved.extend(shares.into_iter().filter_map(|share| self.promises.of(share)));
        }
        for seq in moved {
            self.look_at(seq);
        }
    }

    /// Takes in what persons have answered.
    fn said(&mut self, answers: &[Answer]) {
        let moved: BTreeSet<ShareKey> = answers.iter().flat_map(|answer| self.told.answer(answer)).collect();
        for seq in moved.into_iter().filter_map(|share| self.promises.of(share)).collect::<BTreeSet<_>>() {
            self.look_at(seq);
        }
    }

    /// Looks again at what waits for an instant that has come: an answer or a receipt is overdue.
    fn look_at_what_is_due(&mut self) {
        for seq in self.promises.due(self.shared.clock.now()) {
            self.look_at(seq);
        }
    }

    /// Plans what is due further for this alert, and lets go of it when nothing is; then those that waited for that.
    fn look_at(&mut self, seq: u64) {
        let mut queue = vec![seq];
        while let Some(seq) = queue.pop() {
            queue.extend(self.look_at_one(seq));
        }
    }

    fn look_at_one(&mut self, seq: u64) -> Vec<u64> {
        let Some(alert) = self.promises.get(seq).map(|promise| Arc::clone(&promise.alert)) else {
            return Vec::new();
        };
        let (mut over, mut due) = (true, None::<Instant>);
        for audience in &alert.audiences {
            self.relay(ShareKey::new(&alert, audience));
            loop {
                match self.with_planner(|planner| planner.further(&alert, audience)) {
                    Further::Done => break,
                    Further::Wait(until) => {
                        over = false;
                        due = due.into_iter().chain(until).min();
                        break;
                    }
                    // One that cannot be worded ends at once, and the next one is tried.
                    Further::Plan(draft) => self.plan(*draft, false),
                }
            }
        }
        if !over {
            self.promises.wait(seq, due);
            return Vec::new();
        }
        self.promises.remove(seq);
        self.progress_due.get_or_insert_with(|| Monotonic::now() + PROGRESS_WITHIN);
        let closed = alert.audiences.iter().flat_map(|audience| self.told.close(&alert, audience));
        closed.collect::<Vec<_>>().into_iter().filter_map(|share| self.promises.of(share)).collect()
    }

    /// Somebody of this audience has answered: whoever sends what is still planned for others of it is told.
    fn relay(&mut self, share: ShareKey) {
        let Some(says) = self.told.answered(share) else { return };
        let Some(share) = self.told.share(share) else { return };
        let now = self.shared.clock.now();
        for one in &share.tries {
            let planned = self.told.ledger().open(&one.id).filter(|d| d.state == DeliveryState::Planned);
            // Whoever was told what is wrong hears it, whatever another has answered.
            let Some(delivery) = planned.filter(|d| !decide::looks_back(d.change)) else { continue };
            if self.relayed.insert((one.id.clone(), delivery.attempt)) {
                self.committer.answers.push(answers::relayed(delivery, says, now));
            }
        }
    }

    /// The same of every audience of which something is planned.
    fn relay_all(&mut self) {
        for share in self.told.with_open() {
            self.relay(share);
        }
    }

    fn new_requests(&mut self) -> Vec<Request> {
        let known = self.shared.registry.known();
        self.retries.new_ones(known.retries.all(), self.told.ledger(), self.shared.clock.now())
    }

    /// Plans what somebody has asked to be said after all, or says in the log of this process why not.
    fn say_after_all(&mut self, found: Vec<Found>) {
        self.retries.answered();
        for Found { request, of } in found {
            let refused = |why: &str, next_step: &str| {
                tracing::warn!(
                    event_id = %request.event_id,
                    delivery_id = %request.delivery_id,
                    reason = why,
                    "a retry is refused: {next_step}"
                );
            };
            let Some((failed, alert, others)) = of else {
                refused(
                    "unknown",
                    "no delivery of this log has that id: compare it with `tocsin ledger find`",
                );
                continue;
            };
            let although = request.details.although_uncertain;
            if let Some(why) = self.refusal(&failed, &alert, &others, although) {
                refused(why.as_str(), why.next_step());
            // Asked for by two events, it is said once.
            } else if !self.told.ledger().knows(&retry_id(&failed.delivery_id)) {
                let draft = self.with_planner(|planner| planner.again(&alert, &failed));
                self.plan(draft, false);
            }
        }
    }

    /// Why this delivery is not said after all. `others`: those of its alert, as they were looked up with it.
    fn refusal(
        &self,
        failed: &Delivery,
        alert: &Alert,
        others: &[Delivery],
        although: bool,
    ) -> Option<Refusal> {
        let (now, settings) = (self.shared.clock.now(), &self.shared.settings);
        let ledger = self.told.ledger();
        // What was planned for another request of this turn is in no log yet.
        let same = |d: &Delivery| (d.alert_id.clone(), d.role, d.subject.clone());
        let open = ledger.all_open().any(|d| d.delivery_id != failed.delivery_id && same(d) == same(failed));
        let beside = Beside {
            later: self.told.later(alert, ConversationKey::told_by(failed)),
            told_otherwise: open || others.iter().any(|other| retry::tells(other, although)),
            expired: retry::is_expired(failed, &settings.calendar, settings.expire_after, now),
        };
        // A late receipt may have come since it was looked up.
        let stands = ledger.ended(&failed.delivery_id) == Some(DeliveryState::Failed);
        retry::refusal(failed, beside, although, now).or((!stands).then_some(Refusal::NotFailed))
    }

    fn with_planner<T>(&self, ask: impl FnOnce(&Planner<'_>) -> T) -> T {
        let shared = self.shared;
        let known = shared.registry.known();
        ask(&Planner {
            told: &self.told,
            contacts: &known.contacts,
            texts: &shared.texts,
            channels: &shared.channels,
            key: &shared.phone_key,
            mornings: shared.settings.mornings,
            awaits: shared.settings.awaits.as_ref(),
            now: shared.clock.now(),
        })
    }

    /// `is_first`: it is of the first message of its case.
    fn plan(&mut self, draft: Draft, is_first: bool) {
        let delivery = draft.delivery;
        if let Some(why) = &draft.fallback {
            tracing::info!(
                delivery_id = %delivery.delivery_id,
                text = delivery.template,
                reason = why.reason(),
                "the fallback is sent: {why}"
            );
        }
        record(&delivery);
        self.told.apply(&delivery);
        debug_assert!(matches!(
            delivery.state,
            DeliveryState::Planned | DeliveryState::Failed | DeliveryState::Skipped
        ));
        self.planned.push((delivery.delivery_id.clone(), is_first));
        self.committer.deliveries.push(delivery);
    }

    /// Has what was planned written down: the first messages of cases by the senders beside it, all else by itself.
    async fn commit(&mut self) -> Result<(), WorkerError> {
        let offers = self.offer();
        self.append().await?;
        let mut left = HashSet::new();
        for offer in offers {
            left.extend(offer.left().await?);
        }
        if !left.is_empty() {
            let ledger = self.told.ledger();
            self.committer.deliveries.extend(left.iter().filter_map(|id| ledger.open(id)).cloned());
            self.append().await?;
        }
        self.shared.hands.written();
        Ok(())
    }

    /// Takes what is offered out of what the planner writes.
    fn offer(&mut self) -> Vec<Offer> {
        let by_hand = self.planned.len() <= GIVEN_AT_ONCE;
        // What another one stands for is in one append with that.
        let named: HashSet<&str> = self.committer.deliveries.iter().filter_map(stands_for).collect();
        let ledger = self.told.ledger();
        let planned = self.planned.iter();
        let open = planned.filter_map(|(id, is_first)| {
            Some((ledger.open(id)?, *is_first && by_hand && !named.contains(&**id)))
        });
        let (offered, offers): (Vec<_>, Vec<_>) =
            self.shared.hands.offer(open, self.known_at).into_iter().unzip();
        self.planned.clear();
        let offered: HashSet<String> = offered.into_iter().flatten().collect();
        if !offered.is_empty() {
            self.committer.deliveries.retain(|delivery| !offered.contains(&delivery.delivery_id));
        }
        offers
    }

    async fn append(&mut self) -> Result<(), WorkerError> {
        let progress = self.promises.held_back(&self.taken_in);
        if self.committer.commit(progress, self.shared.clock.now()).await? {
            self.progress_due = None;
        }
        Ok(())
    }

    fn publish(&self) {
        let known = self.shared.registry.known();
        let (contacts_refused, silences_refused) = self.shared.registry.refused();
        let now = self.shared.clock.now();
        self.shared.stats.change(|stats| {
            stats.taken_in.clone_from(&self.taken_in);
            stats.answers_planned = offsets(topic::ANSWERS, &self.answered_to);
            stats.deliveries_planned = offsets(topic::DELIVERIES, &self.read_to);
            stats.open = self.told.ledger().open_len();
            stats.held = self.told.held(now);
            stats.fused = self.told.corrections().held();
            stats.awaiting = self.promises.waiting();
            stats.deliveries = self.told.ledger().counts();
            stats.progress = self.committer.progress_of(topic::ALERTS);
            stats.contacts = known.contacts.len();
            stats.retries_seen = self.retries.done();
            stats.silences = known.silences.in_force(now);
            stats.contacts_refused = contacts_refused;
            stats.silences_refused = silences_refused;
        });
    }
}
