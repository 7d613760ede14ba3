//! The role that sends the deliveries of one partition: it asks [`decide`](crate::decide) what is due, writes that down,
//! asks the gateway, and writes down what came of it. All that goes to one phone is in one partition, so order, silence
//! and quota of a phone are decided in one place.
//!
//! # One turn
//! 1. *Decide*: which open deliveries are due now, and which end without a request. One that is due waits until its
//!    gateway may be called ([`gates`]), without a word in the ledger: the worst first, of these the oldest.
//! 2. *Commit*: one append with what was taken by hand ([`crate::worker::hands`]), the outcomes of the last turn, and those
//!    now `sending`.
//! 3. *Ask*: only after the append was acknowledged the requests of this turn start,
//!    one at a time for a person, and none whose append began more than [`STALE`] ago by the boot clock.
//! 4. *Wait* for an outcome, for more deliveries, for a gateway, for a due time of the clock, or for the stop. Where none of
//!    them comes for a moment ([`QUIET`]) and nothing is under way, the log may do what appends have put off.
//!
//! # Why a kill, a pause or a successor at any point is safe
//! - Before the append: nothing was asked; what was taken by hand is in no log, and whoever plans next plans it again.
//! - Between append and outcome: the ledger says `sending`. Whoever comes next does what the gateway's kind allows
//!   ([`crate::settle`]): sends it again with the same key and counts it, asks what became of it, or says unknown; and,
//!   but for the first kind, not before a request of the one before could not be under way any more.
//! - After the outcome's append: the delivery has ended, and an ended one is never looked at again.
//! - A paused one that wakes finds that its `sending` is stale and asks nobody, or fails at its next append, because
//!   its successor has opened the writer.

mod board;
mod digests;
mod elsewhere;
mod gates;
mod hold;
mod polls;
mod recalls;
mod receipts;
pub(crate) mod start;
mod turn;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tocsin_schemas::records::{Answer, DeliveryState, Offset};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock::wait_for;
use crate::codec::topic;
use crate::decide::Why;
use crate::gateways::Kind;
use crate::planner::Stop;
use crate::worker::commit::Committer;
use crate::worker::reading::{Reading, writer};
use crate::worker::{Shared, WRITER, WorkerError, looked_up, tail};
use board::{Board, Errand, Send};
pub(crate) use gates::Gates;
use gates::Present;
use polls::Polls;
use turn::{Done, Turn};

/// How long after the begin of its append a request may still start, by the boot clock.
pub(crate) const STALE: Duration = Duration::from_secs(5);

/// How long nothing comes before the log may do what appends have put off.
const QUIET: Duration = Duration::from_millis(3);

/// Sends until it is told to stop, then waits for the requests under way and records what came of them. Dropping the
/// future is as safe as a kill.
///
/// # Errors
/// See [`WorkerError`]. Nothing is written down to be sent after the cause.
pub(crate) async fn run(
    shared: Arc<Shared>,
    partition: u32,
    mut stop: watch::Receiver<Stop>,
    reading: Reading,
) -> Result<(), WorkerError> {
    let name = format!("{WRITER}.{partition}");
    let tries = shared.settings.append_tries;
    // First of all the writer: it ends what a dead sender of this partition has left open, behind which the planner's
    // reading waits.
    let (log, reads, writer_name) = (Arc::clone(&shared.log), reading.clone(), name.clone());
    let open = tokio::task::spawn_blocking(move || writer(&*log, &writer_name, tries, &reads));
    let opened = tokio::select! {
        _ = stop.changed() => return Ok(()),
        opened = open => opened.map_err(|_| WorkerError::Died("start"))??,
    };
    let mut guarded = shared.guarded.subscribe();
    tokio::select! {
        _ = stop.changed() => return Ok(()),
        _ = guarded.wait_for(|guarded| *guarded) => {}
    }
    // Before it reads back, so that it is told of everything that it does not find there.
    let mut hand = shared.hands.open(partition);
    let (log, reads, writer_name) = (Arc::clone(&shared.log), reading.clone(), name.clone());
    let gateways: Vec<&'static str> = shared.channels.all().map(|channel| channel.name()).collect();
    let now = shared.clock.now();
    let start = tokio::task::spawn_blocking(move || {
        start::read_back(&log, opened, &writer_name, partition, &gateways, now, &reads)
    });
    let started = tokio::select! {
        _ = stop.changed() => return Ok(()),
        started = start => started.map_err(|_| WorkerError::Died("start"))??,
    };
    tracing::info!(partition, open = started.ledger.open_len(), "the sender read back its partition");
    let started_at = started.tail.position().first().map_or(0, |(_, next)| *next);
    let mut tail = tail::spawn(
        Arc::clone(&shared.log),
        started.tail,
        Arc::clone(&shared.registry),
        started.recall,
        reading.clone(),
    );
    let place = |(partition, next)| Offset { topic: topic::ANSWERS.to_owned(), partition, next };
    let position = started.answers.position().into_iter();
    let answered_to: Vec<Offset> = position.map(|(at, next)| place((at.partition, next))).collect();
    let mut answers = tail::spawn::<Answer>(
        Arc::clone(&shared.log),
        started.answers,
        Arc::clone(&shared.registry),
        None,
        reading.clone(),
    );
    let mut turn = Turn {
        board: Board::new(),
        ledger: started.ledger,
        known: started.known,
        usage: started.usage,
        refusals: started.refusals,
        digests: started.digests,
        recent: started.recent,
        polls: Polls::default(),
        recalls: Vec::new(),
        by_hand: HashSet::new(),
        coming: HashSet::new(),
        replies: Vec::new(),
        taken_at: None,
        early: HashMap::new(),
        gates_due: None,
        due_now: false,
        looked: HashMap::new(),
        answers_from: started.answers_from,
        answered_to,
        warned: None,
        refused: HashMap::new(),
        committer: Committer::new(
            Arc::clone(&shared.log),
            name,
            started.writer,
            started.progress,
            started.log_id,
            shared.settings.append_tries,
            reading,
        ),
        partition,
        shared: &shared,
    };
    started.proven.iter().for_each(|channel| shared.gates.prove(channel));
    let present = Present { gates: &shared.gates, sender: partition };
    turn.take_over();
    turn.polls_from_the_past();
    shared.hands.writes(partition);
    turn.answers(started.came);
    let mut requests: JoinSet<Done> = JoinSet::new();
    let mut recalls: JoinSet<bool> = JoinSet::new();
    let mut asked: HashMap<tokio::task::Id, About> = HashMap::new();
    let mut stopping = None;
    let mut released = shared.registry.released();
    // Answers wait until the deliveries are known that were in the log when they were read.
    let mut held: Option<(tail::Batch<Answer>, Vec<u64>)> = None;
    let mut looking = None;
    let mut read_to = started_at;
    loop {
        let end = |written: &[u64]| written.get(partition as usize).copied().unwrap_or(0);
        if let Some((batch, _)) = held.take_if(|(_, written)| read_to >= end(written)) {
            turn.answered_to = batch.position.into_iter().map(place).collect();
            turn.answers(batch.records);
        }
        // An answer that waits for the outcome of a request is read again after a restart.
        if turn.early.is_empty() {
            turn.answers_from.clone_from(&turn.answered_to);
        }
        let freed = shared.gates.freed();
        tokio::pin!(freed);
        freed.as_mut().enable();
        while let Some(given) = hand.try_recv() {
            turn.take_by_hand(given);
        }
        let (sends, waits) = if stopping.is_none() { turn.decide() } else { (Vec::new(), false) };
        // After what is more pressing has had its turn at the gates.
        let (polls, polls_wait) = if stopping.is_none() { turn.polls() } else { (Vec::new(), false) };
        // What was taken by hand is this worker's for so long after it was taken.
        let began = turn.taken_at.take().unwrap_or_else(|| shared.clock.boot());
        turn.commit().await?;
        turn.reply();
        // One at a time: they pass no gate.
        if recalls.is_empty()
            && let Some(recall) = turn.recalls.pop()
        {
            recalls.spawn(recall.make());
        }
        for Send { seq, errand, pass } in sends {
            let Some(channel) = turn.channel(seq).cloned() else { continue };
            let asks = matches!(errand, Errand::Ask(_));
            // Only now: whoever waits for it finds it in the log.
            turn.count(|mine| mine.requests += u64::from(!asks));
            let clock = Arc::clone(&shared.clock);
            let task = requests.spawn(async move {
                match errand {
                    Errand::Ask(question) => {
                        let told = channel.ask(&question).await;
                        pass.answered(&told);
                        Done::Told(told)
                    }
                    // The gateway has no part in it.
                    Errand::Send(_) if clock.boot().saturating_sub(began) > STALE => Done::stale(),
                    Errand::Send(message) => {
                        let outcome = channel.send(&message).await;
                        pass.done(&outcome);
                        Done::Sent(outcome)
                    }
                }
            });
            asked.insert(task.id(), About::Open(seq, asks));
        }
        for poll in polls {
            let about = About::Accepted(poll.delivery_id.clone());
            let task = requests.spawn(async move { Done::Told(poll.make().await) });
            asked.insert(task.id(), about);
        }
        turn.publish();
        let taking_back = !recalls.is_empty() || !turn.recalls.is_empty();
        if stopping.is_some() && requests.is_empty() && !taking_back {
            break;
        }
        let idle = requests.is_empty() && !taking_back && stopping.is_none();
        let untidy = idle && turn.committer.is_untidy();
        let due = [turn.next_due(), turn.polls.next_due()].into_iter().flatten().min();
        tokio::select! {
            _ = stop.changed(), if stopping.is_none() => {
                tracing::info!(partition, under_way = requests.len(), "the sender stops when no request and no recall is under way");
                stopping = Some(tokio::time::Instant::now() + shared.settings.stop_grace);
                present.leave();
                hand.close();
            }
            () = until(stopping), if stopping.is_some() => {
                tracing::warn!(partition, under_way = requests.len(), "stopped with requests under way: settled at the next start");
                break;
            }
            Some(done) = requests.join_next_with_id() => {
                let mut next = Some(done);
                while let Some(done) = next {
                    let (id, done) = done.map_or_else(|e| (e.id(), None), |(id, done)| (id, Some(done)));
                    match asked.remove(&id) {
                        Some(About::Open(seq, asks)) => {
                            turn.finish(seq, &done.unwrap_or_else(|| Done::failed(asks)));
                        }
                        Some(About::Accepted(id)) => {
                            if let Done::Told(told) = done.unwrap_or_else(|| Done::failed(true)) {
                                turn.polled(&id, &told);
                            }
                        }
                        None => {}
                    }
                    next = requests.try_join_next_with_id();
                }
            }
            Some(gone) = recalls.join_next() => {
                turn.count(|mine| mine.recalled += u64::from(gone.unwrap_or(false)));
            }
            batch = tail.recv(), if stopping.is_none() => {
                let batch = batch.ok_or(WorkerError::Died("tail"))??;
                read_to = batch.position.iter().map(|(_, next)| *next).next().unwrap_or(read_to);
                turn.recall(batch.recalled);
                turn.take_in(batch.records);
            }
            Some(given) = hand.recv(), if stopping.is_none() => turn.take_by_hand(given),
            batch = answers.recv(), if stopping.is_none() && held.is_none() && looking.is_none() => {
                let batch = batch.ok_or(WorkerError::Died("tail"))??;
                looking = Some(Arc::clone(&shared).with_written(topic::DELIVERIES, batch));
            }
            found = looked_up(&mut looking), if stopping.is_none() => {
                looking = None;
                held = Some(found?);
            }
            _ = released.changed(), if stopping.is_none() => turn.board.look_at_held(Why::Fuse.as_str()),
            () = wait_for(&*shared.clock, due), if stopping.is_none() => {}
            () = freed, if (waits || polls_wait) && stopping.is_none() => {}
            () = tokio::time::sleep(QUIET), if untidy => turn.committer.tidy().await?,
        }
    }
    Ok(())
}

/// What a request is about.
enum About {
    /// An entry of the board, and whether it is a question.
    Open(u64, bool),
    /// A question about a delivery that its gateway has accepted.
    Accepted(String),
}

async fn until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl Turn<'_> {
    /// Everything that was open, in the order of its alerts. A request that was under way when the one before ended may
    /// be under way still, if that one is only paused: unless a key makes a second one harmless, it is left alone for
    /// so long.
    fn take_over(&mut self) {
        let mut open: Vec<_> = self.ledger.all_open().cloned().collect();
        open.sort_by_cached_key(board::place);
        let settings = &self.shared.settings;
        let wait = i64::try_from((STALE + settings.stop_grace).as_millis()).unwrap_or(i64::MAX);
        let safe = self.shared.clock.now().plus_millis(wait);
        for mut delivery in open {
            let kind = self.shared.channels.get(&delivery.channel).map(|channel| channel.kind());
            if delivery.state == DeliveryState::Sending && kind != Some(Kind::Idempotent) {
                delivery.due_at = Some(safe);
            }
            self.add(delivery);
        }
    }
}
