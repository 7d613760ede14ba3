//! The server that answers come to, in `tocsin run`: its port, its index of what we gave, its writer.
//!
//! It runs beside the worker and knows nothing of it but the topics. Its writer has a name of its own; answers may be
//! written by any number of servers in any order, so a second one only needs another name (`[alerts.answers] writer`).

mod index;
mod tail;

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Registry;
use tocsin_alerts::answers::http::{self, Counts, Door, NotDurable, Outcome, Parts, Rates, Sink};
use tocsin_alerts::gateways::Secret;
use tocsin_alerts::texts::Texts;
use tocsin_schemas::log::{EventLog, LogError, LogWriter, NewRecord};
use tocsin_schemas::records::Answer;
use tocsin_schemas::topics::ANSWERS;
use tocsin_schemas::wire::{self, OutputRecord, SchemaIds};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::index::{Index, KEPT};
use super::wall::WallClock;
use crate::config::{Config, answers::Answers};
use crate::exit::{CommandResult, Failure};

/// Opens the port and serves until `stops`; `None`: nothing is configured. The task ends before only with a failure that ends
/// the service.
///
/// # Errors
/// The port cannot be opened, or the writer's name cannot be taken over.
pub async fn start(
    log: &Arc<dyn EventLog>,
    config: &Config,
    texts: Arc<Texts>,
    wall: WallClock,
    registry: &mut Registry,
    mut stops: watch::Receiver<bool>,
) -> Result<Option<JoinHandle<CommandResult>>, Failure> {
    let Some(answers) = config.answers_server()?.cloned() else { return Ok(None) };
    let counts = Counts::default();
    registry.register_collector(Box::new(Metrics(counts.clone())));
    let index = Index::new(texts, answers.phones.clone(), KEPT);
    let schemas: Arc<dyn SchemaIds> = Arc::clone(&config.schema_ids) as Arc<dyn SchemaIds>;
    tail::follow(Arc::clone(log), index.clone(), schemas, stops.clone());
    let (fenced, mut is_fenced) = watch::channel(false);
    let pen = Arc::new(Pen::open(log, &answers, wall, index.clone(), fenced)?);
    let parts = parts(&answers, config, index, pen, wall, counts);
    let cannot = |e| Failure::failed(format!("[alerts.answers] listen: cannot open {}: {e}", answers.listen));
    let listener = tokio::net::TcpListener::bind(answers.listen).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    tracing::info!(%address, public_url = %answers.public_url, "answers are taken in");
    Ok(Some(tokio::spawn(async move {
        let ends = async {
            tokio::select! {
                // The senders live as long as this task.
                _ = stops.wait_for(|asked| *asked) => false,
                _ = is_fenced.wait_for(|fenced| *fenced) => true,
            }
        };
        let (ended, ending) = tokio::sync::oneshot::channel();
        let stop = async move {
            let _ = ended.send(ends.await);
        };
        http::serve(listener, http::router(parts), stop).await;
        match ending.await {
            Ok(true) => Err(Failure::failed(format!(
                "answers: another process writes under the name {}: give each server its own [alerts.answers] writer",
                answers.writer
            ))),
            _ => Ok(()),
        }
    })))
}

fn parts(
    answers: &Answers,
    config: &Config,
    index: Index,
    pen: Arc<Pen>,
    wall: WallClock,
    counts: Counts,
) -> Parts {
    let sink: Sink = Arc::new(move |answers| {
        let pen = Arc::clone(&pen);
        Box::pin(async move {
            let written = tokio::task::spawn_blocking(move || pen.write(&answers)).await;
            written.unwrap_or(Err(NotDurable))
        })
    });
    let secret = |secret: &crate::config::secret::Secret| Secret::new(secret.expose());
    let door =
        Door::new(secret(&answers.secret), answers.allow.clone(), answers.proxy.clone(), Rates::default());
    Parts {
        door: Arc::new(door),
        links: Some(answers.links.clone()),
        phones: Some(answers.phones.clone()),
        webhook: config
            .gateways
            .find("webhook")
            // Without it this service does not start.
            .and_then(|webhook| webhook.secrets.get("secret")?.get().ok())
            .map(secret),
        call: answers.call.clone(),
        given: Arc::new(index),
        sink,
        clock: Arc::new(wall),
        counts,
    }
}

/// Writes answers, one append after the other.
struct Pen {
    log: Arc<dyn EventLog>,
    name: String,
    wall: WallClock,
    index: Index,
    writer: Mutex<Option<Box<dyn LogWriter>>>,
    fenced: watch::Sender<bool>,
}

impl Pen {
    fn open(
        log: &Arc<dyn EventLog>,
        answers: &Answers,
        wall: WallClock,
        index: Index,
        fenced: watch::Sender<bool>,
    ) -> Result<Pen, LogError> {
        let (log, name) = (Arc::clone(log), answers.writer.clone());
        let writer = Mutex::new(Some(log.writer(&name)?));
        Ok(Pen { log, name, wall, index, writer, fenced })
    }

    /// Appends all of them. After an append of unknown outcome they are written again when they come again: the same answer has
    /// the same id, and counts once.
    fn write(&self, answers: &[Answer]) -> Result<(), NotDurable> {
        let record = |answer: &Answer| NewRecord {
            topic: ANSWERS.into(),
            key: OutputRecord::key(answer),
            value: Some(wire::encode(answer)),
            stamp: self.wall.stamp(),
            route: None,
        };
        let records: Vec<NewRecord> = answers.iter().map(record).collect();
        let mut place = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if *self.fenced.borrow() {
            return Err(NotDurable);
        }
        let appended = match place.take() {
            Some(writer) => Ok(writer),
            None => self.log.writer(&self.name),
        }
        .and_then(|mut writer| writer.append(&records).map(|()| writer));
        match appended {
            Ok(writer) => {
                *place = Some(writer);
                answers.iter().for_each(|answer| self.index.answer(answer));
                Ok(())
            }
            Err(LogError::Fenced { .. }) => {
                self.fenced.send_replace(true);
                Err(NotDurable)
            }
            Err(error) => {
                tracing::warn!(%error, "answers cannot be written: whoever pushed them is asked to come again");
                Err(NotDurable)
            }
        }
    }
}

/// The counters of the server.
#[derive(Debug)]
struct Metrics(Counts);

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let help = "Answers, and requests that were none, by what was done with them";
        let mut family = encoder.encode_descriptor("tocsin_answers", help, None, MetricType::Counter)?;
        for outcome in Outcome::ALL {
            let counter = ConstCounter::new(self.0.get(*outcome));
            counter.encode(family.encode_family(&[("outcome", outcome.as_str())])?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_a_series_from_the_start() {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Metrics(Counts::default())));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for outcome in Outcome::ALL {
            let line = format!("tocsin_answers_total{{outcome=\"{}\"}} 0", outcome.as_str());
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}
