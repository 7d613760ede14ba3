//! `tocsin run`: the service, both halves in one process.

pub mod alerts;
pub mod answers;
pub mod books;
pub mod metrics;
pub mod pipeline;
pub mod stop;
pub mod tidy;
pub mod wall;

use std::path::PathBuf;
use std::sync::Arc;

use prometheus_client::registry::Registry;
use tocsin_alerts::admission::Admission;
use tocsin_alerts::clock::{Clock as _, SystemClock};
use tocsin_alerts::stats::Stats;
use tocsin_alerts::texts::Texts;
use tocsin_alerts::worker::Worker;
use tocsin_schemas::log::EventLog;
use tocsin_schemas::records::Offset;
use tocsin_schemas::topics;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use self::pipeline::How;
use self::stop::Stop;
use self::wall::WallClock;
use crate::config::{self, Config, LogConfig};
use crate::exit::{CommandResult, Failure};
use crate::open;
use crate::output::say;
use crate::templates::source;

/// How to run the service.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  tocsin run --config tocsin.toml                    both halves, until SIGTERM or Ctrl-C
  tocsin run --config tocsin.toml --only pipeline    decide only; another process tells
  tocsin run --config tocsin.toml --clock arrivals --until-end
                                                     a stream that carries its own arrival times

SIGTERM and Ctrl-C finish the transaction in hand and exit with 0; a second one exits at once.
A second `run` of the same half takes over: the first one stops within 5 seconds, with exit code 1. Several that
deliver (--only alerts) share the work if each has a --member of its own.")]
pub struct Args {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Run one half only.
    #[arg(long, value_enum, value_name = "HALF")]
    pub only: Option<Half>,
    /// What moves the clock: the wall clock and the log's append times, or the arrival times that the
    /// records themselves carry as their time stamps.
    #[arg(long, value_enum, default_value_t = ClockKind::Wall)]
    pub clock: ClockKind,
    /// Stop when everything that is in the log at the start has been decided.
    #[arg(long)]
    pub until_end: bool,
    /// Go on although what should have been said differs from what was said, or the ledger of deliveries
    /// from its progress. Look at the counts of a run without it first: each difference is a message to
    /// somebody.
    #[arg(long)]
    pub accept_difference: bool,
    /// Let the clock jump by more than 35 days.
    #[arg(long)]
    pub accept_clock: bool,
    /// The name of this process among those that deliver alerts. Processes of different names share the work; a second
    /// one of the same name takes it over.
    #[arg(long, value_name = "NAME", default_value = "main", value_parser = member)]
    pub member: String,
}

/// A name that can stand in a key and in a log line.
fn member(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    match (1..=64).contains(&text.len()) && text.chars().all(plain) {
        true => Ok(text.to_owned()),
        false => Err("expected 1 to 64 letters, digits, - _ or .".to_owned()),
    }
}

/// One half of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Half {
    /// Reports in, alerts out.
    Pipeline,
    /// Alerts in, people told.
    Alerts,
}

/// What moves the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ClockKind {
    /// The log's append times while behind, wall-clock midnights once caught up.
    Wall,
    /// The records' own time stamps, and nothing else.
    Arrivals,
}

/// Runs the service until it is stopped, fails, or has reached the end.
///
/// # Errors
/// See [`Failure`]. A failure of one half stops both, with its reason.
pub fn run(args: Args) -> CommandResult {
    let config = config::load(&args.config)?;
    let wants = |half| args.only.is_none_or(|only| only == half);
    let told = || {
        let texts = source::for_service(&config)?;
        Ok::<_, Failure>((alerts::gateways(&config, &texts)?, texts))
    };
    let told = wants(Half::Alerts).then(told).transpose()?;
    let log = open::open(&config, open::Missing::Refuse)?;
    if config.contacts.is_none() {
        tracing::warn!("contacts are stored as they are: [log] contacts_key encrypts them");
    }
    let wall = WallClock::new(config.clock_start);
    if let Some(start) = config.clock_start {
        tracing::warn!(%start, "[clock] start is set: this is a test, not the real time");
    }
    let how = How {
        clock: args.clock,
        until_end: args.until_end,
        accept_difference: args.accept_difference,
        accept_clock: args.accept_clock,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Failure::failed(format!("cannot start the runtime: {e}")))?;
    let texts = told.as_ref().map(|(_, texts)| Arc::clone(texts));
    let admissions = told.as_ref().map(|(gateways, _)| gateways.admissions.clone()).unwrap_or_default();
    let worker = told.map(|(gateways, texts)| {
        let telling = (gateways.channels, texts);
        let worker = alerts::worker(Arc::clone(&log), telling, &config, wall, args.clock, &args.member)?;
        Ok::<_, Failure>(worker.accepting_difference(args.accept_difference))
    });
    let worker = worker.transpose()?;
    let pipeline = wants(Half::Pipeline).then_some(how);
    let embedded = match &config.log {
        LogConfig::Embedded { path, .. } => Some(path.clone()),
        LogConfig::Kafka { .. } => None,
    };
    let outcome = runtime.block_on(service(
        log,
        config,
        wall,
        pipeline,
        worker.zip(texts),
        (admissions, args.until_end),
    ));
    // What still blocks (a client that waits for its broker) must not hold the exit up.
    runtime.shutdown_background();
    // After a clean end the file alone is the log: an operator copies it.
    if let (Some(path), Ok(())) = (embedded, &outcome)
        && let Err(error) = open::one_file(&path)
    {
        tracing::warn!(%error, "the journal (NAME-wal) still holds the newest records: copy it together with the file");
    }
    outcome
}

async fn service(
    log: Arc<dyn EventLog>,
    config: Config,
    wall: WallClock,
    how: Option<How>,
    telling: Option<(Worker, Arc<Texts>)>,
    (admissions, until_end): (Vec<Admission>, bool),
) -> CommandResult {
    let stop = Stop::default();
    let (stop_worker, worker_stops) = watch::channel(false);
    let mut registry = Registry::default();
    metrics::GatewayMetrics::register(&mut registry, admissions);
    let (worker, texts) = telling.unzip();
    let stats = worker.as_ref().map(Worker::stats);
    if let Some(stats) = stats.clone() {
        metrics::WorkerMetrics::register(&mut registry, stats);
    }
    let mut answers = match texts {
        Some(texts) => {
            answers::start(&log, &config, texts, wall, &mut registry, worker_stops.clone()).await?
        }
        None => None,
    };
    if let Some(metrics) = &config.metrics {
        books::watch(Arc::clone(&log), metrics, config.policies.clone(), wall, registry).await?;
    }
    signals(stop.clone(), stop_worker.clone())?;
    let (ready, is_ready) = oneshot::channel();
    let (in_order, is_in_order) = oneshot::channel();
    let tidying = tokio::spawn(tidy::run(Arc::clone(&log), wall, is_in_order));
    let mut pipeline = match how {
        None => {
            // Nothing to wait for; the receivers are alive.
            let _ = ready.send(());
            let _ = in_order.send(None);
            None
        }
        Some(how) => {
            let (log, stop, accepted) = (Arc::clone(&log), stop.clone(), how.accept_clock);
            Some(tokio::task::spawn_blocking(move || {
                pipeline::run(log, &config, how, wall, stop, move |clock| {
                    // Without the alerts half nobody listens.
                    let _ = ready.send(());
                    let clock = clock.filter(|_| !accepted);
                    let _ = in_order.send(Some(clock.unwrap_or_else(|| SystemClock.now())));
                })
            }))
        }
    };
    let mut worker = worker.map(|worker| {
        let mut stops = worker_stops.clone();
        tokio::spawn(async move {
            // Nobody is told anything before the pipeline has found its past in order. When it did not,
            // the stop follows.
            if is_ready.await.is_err() {
                return Ok(());
            }
            let stop = async move {
                // The sender lives as long as this process.
                let _ = stops.wait_for(|asked| *asked).await;
            };
            worker.run(stop).await.map(|_| ())
        })
    });
    let mut outcome: CommandResult = Ok(());
    let mut settling: Option<JoinHandle<()>> = None;
    if until_end && pipeline.is_none() {
        settling = settle(&log, stats.as_ref(), &stop_worker)?;
    }
    while pipeline.is_some() || worker.is_some() {
        tokio::select! {
            ended = join(&mut pipeline), if pipeline.is_some() => {
                pipeline = None;
                match ended {
                    Ok(Ok(done)) if until_end => {
                        say!(
                            "decided on {} records in {} transactions: {} alerts",
                            done.records, done.commits, done.alerts
                        );
                        settling = settle(&log, stats.as_ref(), &stop_worker)?;
                    }
                    Ok(Ok(done)) => {
                        tracing::info!(
                            records = done.records,
                            alerts = done.alerts,
                            for_the_clerk = done.findings,
                            "pipeline stopped"
                        );
                    }
                    Ok(Err(failure)) => keep_first(&mut outcome, failure),
                    Err(_) => keep_first(&mut outcome, Failure::failed("the pipeline died; see the lines above")),
                }
                if settling.is_none() {
                    stop.ask();
                    stop_worker.send_replace(true);
                }
            }
            ended = join(&mut worker), if worker.is_some() => {
                worker = None;
                match ended {
                    Ok(Ok(())) => tracing::info!("alert worker stopped"),
                    Ok(Err(error)) => keep_first(&mut outcome, Failure::failed(format!("alerts: {error}"))),
                    Err(_) => keep_first(&mut outcome, Failure::failed("the alert worker died; see the lines above")),
                }
                stop.ask();
                stop_worker.send_replace(true);
            }
            ended = join(&mut answers), if answers.is_some() => {
                answers = None;
                match ended {
                    Ok(Ok(())) => tracing::info!("answers are not taken in any more"),
                    Ok(Err(failure)) => keep_first(&mut outcome, failure),
                    Err(_) => keep_first(&mut outcome, Failure::failed("the server of answers died; see the lines above")),
                }
                stop.ask();
                stop_worker.send_replace(true);
            }
        }
    }
    if let Some(settling) = settling {
        settling.abort();
    }
    tidying.abort();
    outcome
}

async fn join<T>(task: &mut Option<JoinHandle<T>>) -> Result<T, tokio::task::JoinError> {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}

/// The first failure is the cause; what follows from it is only logged.
fn keep_first(outcome: &mut CommandResult, failure: Failure) {
    match outcome {
        Ok(()) => *outcome = Err(failure),
        Err(_) => tracing::warn!(failure = failure.text(), "and then"),
    }
}

/// At the end of a stream: stops the worker once every alert is through. `None`: there is no worker.
fn settle(
    log: &Arc<dyn EventLog>,
    stats: Option<&watch::Receiver<Stats>>,
    stop_worker: &watch::Sender<bool>,
) -> Result<Option<JoinHandle<()>>, Failure> {
    let Some(mut stats) = stats.cloned() else { return Ok(None) };
    let topic = topics::ALERTS;
    let ends: Vec<Offset> = (0..)
        .zip(log.bounds(topic)?)
        .map(|(partition, b)| Offset { topic: topic.to_owned(), partition, next: b.end })
        .collect();
    let stop_worker = stop_worker.clone();
    Ok(Some(tokio::spawn(async move {
        // An error means that the worker has ended already, with its own reason.
        if let Ok(stats) = tocsin_alerts::stats::settled(&mut stats, &ends).await {
            if stats.held > 0 {
                say!("{} messages are held for a morning or a workday: a later run sends them", stats.held);
            }
            if stats.awaiting > 0 {
                say!("{} alerts wait for an answer or a receipt: a later run asks on", stats.awaiting);
            }
        }
        stop_worker.send_replace(true);
    })))
}

/// The first SIGTERM or Ctrl-C asks for the stop, the second one ends the process.
fn signals(stop: Stop, stop_worker: watch::Sender<bool>) -> CommandResult {
    let failed = |e| Failure::failed(format!("cannot listen for signals: {e}"));
    let mut term = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    tokio::spawn(async move {
        let mut asked = false;
        loop {
            tokio::select! {
                _ = term.recv() => {}
                _ = interrupt.recv() => {}
            }
            if asked {
                tracing::warn!("second signal: out at once; nothing acknowledged is lost");
                std::process::exit(1);
            }
            asked = true;
            tracing::info!("stopping: finishing what is in hand; a second signal ends at once");
            stop.ask();
            stop_worker.send_replace(true);
        }
    });
    Ok(())
}
