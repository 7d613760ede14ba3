//! The reading thread: it reads, merges and gives to the door, so that this runs beside the engine. A batch
//! waits in the channel at most; while it does, more arrives in the log and the next batch grows.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tocsin_schemas::log::LogError;
use tocsin_schemas::records::Offset;
use tocsin_schemas::wire::SchemaIds;

use super::admit::{AtDoor, admit};
use super::clock::Stamp;
use super::inputs::{Inputs, Next};
use crate::run::stop::Stop;

/// How long one look at an idle log lasts. A commit ends it at once.
const LOOK: Duration = Duration::from_millis(500);
/// First and longest pause while the log cannot be reached.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Records at the door, in the order of decision.
#[derive(Debug)]
pub struct Batch {
    /// What the door made of each, and its stamp.
    pub records: Vec<(Stamp, AtDoor)>,
    /// The offsets after the batch.
    pub offsets: Vec<Offset>,
}

/// What the reading thread says.
#[derive(Debug)]
pub enum Feed {
    /// Records to decide on.
    Batch(Batch),
    /// Nothing is left of what was there: wall-clock midnights may join in.
    CaughtUp,
    /// Not caught up any more, or nobody knows.
    Behind,
    /// The ends seen at the start are reached.
    End,
    /// It cannot go on.
    Failed(LogError),
}

/// Starts it. It ends when the receiver is dropped, when `stop` is asked, after `End` and after `Failed`.
///
/// # Errors
/// The operating system has no thread left.
pub fn spawn(
    mut inputs: Inputs,
    schemas: Arc<dyn SchemaIds>,
    stop: Stop,
) -> std::io::Result<(Receiver<Feed>, JoinHandle<()>)> {
    let (sender, receiver) = sync_channel(1);
    let thread = std::thread::Builder::new()
        .name("feed".into())
        .spawn(move || read(&mut inputs, &*schemas, &stop, &sender))?;
    Ok((receiver, thread))
}

fn read(inputs: &mut Inputs, schemas: &dyn SchemaIds, stop: &Stop, sender: &SyncSender<Feed>) {
    let mut pause = PAUSE.0;
    while !stop.asked() {
        let next = inputs.next(LOOK);
        if next.is_ok() {
            pause = PAUSE.0;
        }
        let (feed, last) = match next {
            Ok(Next::Nothing) => continue,
            Ok(Next::CaughtUp) => (Feed::CaughtUp, false),
            Ok(Next::Behind) => (Feed::Behind, false),
            Ok(Next::End) => (Feed::End, true),
            Ok(Next::Batch(taken, offsets)) => {
                let at_door = |t: super::inputs::Taken| {
                    (Stamp { at: t.record.stamp, ahead: t.ahead }, admit(t.record, schemas))
                };
                (Feed::Batch(Batch { records: taken.into_iter().map(at_door).collect(), offsets }), false)
            }
            Err(error @ (LogError::Retry { .. } | LogError::Unreachable { .. })) => {
                tracing::warn!(%error, pause_ms = pause.as_millis(), "reading waits for the event log");
                std::thread::sleep(pause);
                pause = (pause * 2).min(PAUSE.1);
                inputs.fall_behind();
                (Feed::Behind, false)
            }
            Err(error) => (Feed::Failed(error), true),
        };
        if sender.send(feed).is_err() || last {
            return;
        }
    }
}
