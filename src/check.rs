//! `tocsin check-config`: the effective configuration without secrets, and whether what it points to is there.

use std::path::PathBuf;
use std::time::Duration;

use tocsin_schemas::log::LogError;

use crate::exit::{CommandResult, Failure};
use crate::run::alerts;
use crate::run::pipeline::start;
use crate::{config, open};

/// How long looking at the topics may take, so that the whole stays within 10 seconds.
const LIMIT: Duration = Duration::from_millis(5_000);

/// What to check.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit code 0: all is well. 1: something it points to is missing or unreachable. 2: the file is wrong.
It never takes longer than 10 seconds.")]
pub struct Args {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

/// Runs it: prints the effective configuration and one line for each thing that was looked at.
///
/// # Errors
/// See [`Failure`]: the first thing that is not as it should be; all of them are printed.
pub fn run(args: Args) -> CommandResult {
    let config = config::load(&args.config)?;
    println!("{config}");
    let mut first = None;
    let mut keep = |line: Result<String, Failure>| match line {
        Ok(line) => println!("ok: {line}"),
        Err(failure) => {
            println!("not ok: {}", failure.text());
            first.get_or_insert(failure);
        }
    };
    if config.webhook.is_some() {
        keep(alerts::channel(&config).map(|_| "[alerts.webhook] can be used (it was not called)".to_owned()));
    }
    match open::open(&config, open::Missing::Refuse) {
        Err(failure) => keep(Err(failure)),
        Ok(log) => {
            let looked = open::within(LIMIT, &config.log, move || {
                let progress = match start::read_progress(&*log) {
                    // Said with all other missing topics below.
                    Err(LogError::MissingTopic { .. }) => None,
                    progress => progress?,
                };
                let (found, troubles) = start::look(&*log, progress.as_ref())?;
                Ok((found.log_id, progress, troubles))
            });
            match looked {
                Err(failure) => keep(Err(failure)),
                Ok((log_id, progress, troubles)) => {
                    keep(Ok(format!("the event log answers; its id is {log_id}")));
                    let clock = progress.and_then(|p| p.clock);
                    keep(Ok(clock.map_or_else(
                        || "the pipeline has not decided anything yet".to_owned(),
                        |clock| format!("the pipeline has decided up to {clock}"),
                    )));
                    if troubles.is_empty() {
                        keep(Ok("every topic is there and complete".to_owned()));
                    }
                    troubles.iter().for_each(|trouble| keep(Err(Failure::failed(trouble))));
                }
            }
        }
    }
    first.map_or(Ok(()), Err)
}
