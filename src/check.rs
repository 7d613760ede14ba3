//! `tocsin check-config`: the effective configuration without secrets, and whether what it points to is there.

use std::path::PathBuf;
use std::time::Duration;

use tocsin_schemas::log::LogError;

use crate::exit::{CommandResult, Failure};
use crate::output::say;
use crate::policy::topic;
use crate::run::alerts;
use crate::run::pipeline::guard::Trouble;
use crate::run::pipeline::start;
use crate::{config, open, templates};

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
/// See [`Failure`]: how many things are not as they should be; its kind is that of the first one. Each is
/// printed once, on standard output.
pub fn run(args: Args) -> CommandResult {
    let config = config::load(&args.config)?;
    say!("{config}");
    let mut failures = Vec::new();
    let mut keep = |line: Result<String, Failure>| match line {
        Ok(line) => say!("ok: {line}"),
        Err(failure) => {
            say!("not ok: {}", failure.text());
            failures.push(failure);
        }
    };
    if config.webhook.is_some() {
        keep(alerts::channel(&config).map(|_| "[alerts.webhook] can be used (it was not called)".to_owned()));
    }
    if let Some(answers) = &config.answers.server {
        keep(Ok("[alerts.answers] can be used (its port was not opened)".to_owned()));
        if answers.allow.iter().any(|network| network.prefix_len() == 0) {
            say!("note: [alerts.answers] allow lets every address push: whoever knows the secret path may");
        }
    }
    if config.texts_folder.is_some() {
        let read = templates::source::for_service(&config);
        keep(read.map(|_| "[alerts.templates] the texts break no rule".to_owned()));
    }
    for line in templates::source::approvals(&config) {
        keep(line);
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
                let policies = match topic::read(&*log) {
                    Err(LogError::MissingTopic { .. }) => topic::Held::default(),
                    held => held?,
                };
                Ok((found.log_id, progress, troubles, policies))
            });
            match looked {
                Err(failure) => keep(Err(failure)),
                Ok((log_id, progress, troubles, policies)) => {
                    keep(Ok(format!("the event log answers; its id is {log_id}")));
                    let clock = progress.and_then(|p| p.clock);
                    keep(Ok(clock.map_or_else(
                        || "the pipeline has not decided anything yet".to_owned(),
                        |clock| format!("the pipeline has decided up to {clock}"),
                    )));
                    keep(Ok(policy_line(&config, policies.newest())));
                    if troubles.is_empty() {
                        keep(Ok("every topic is there and complete".to_owned()));
                    }
                    say_troubles(&troubles).into_iter().for_each(|line| keep(Err(Failure::failed(line))));
                }
            }
        }
    }
    // What is wrong was said above, each thing once.
    let what = match failures.len() {
        1 => "one thing is".to_owned(),
        n => format!("{n} things are"),
    };
    let end = format!("{what} not as expected: see \"not ok\" above");
    Err(match failures.into_iter().next() {
        None => return Ok(()),
        Some(Failure::WrongCall(_)) => Failure::WrongCall(end),
        Some(Failure::Failed(_)) => Failure::Failed(end),
    })
}

/// Which policy is in force, and what the configured one has to do with it.
fn policy_line(config: &config::Config, newest: Option<&topic::Published>) -> String {
    let Some(newest) = newest else {
        return "no policy is published yet: the first `tocsin run` publishes the configured one".to_owned();
    };
    let (version, hash) = (newest.version, newest.policies.hash());
    let in_force = format!("the policy in force is version {version} of the topic policy, hash {hash}");
    match &config.policy_file {
        Some(file) if hash != config.policies.hash() => format!(
            "{in_force}; {} says otherwise and is not used: tocsin policy diff and publish",
            file.display()
        ),
        _ => in_force,
    }
}

/// One line for each trouble; topics that are missing share one, because one command makes them all.
fn say_troubles(troubles: &[Trouble]) -> Vec<String> {
    let missing: Vec<&str> = troubles
        .iter()
        .filter_map(|trouble| match trouble {
            Trouble::MissingTopic(name) => Some(name.as_str()),
            _ => None,
        })
        .collect();
    let others = troubles.iter().filter(|trouble| !matches!(trouble, Trouble::MissingTopic(_)));
    let mut lines: Vec<String> = others.map(ToString::to_string).collect();
    match missing.as_slice() {
        [] => {}
        [one] => lines.insert(0, Trouble::MissingTopic((*one).to_owned()).to_string()),
        many => lines.insert(
            0,
            format!("{} topics are missing ({}): run `tocsin topics apply`", many.len(), many.join(", ")),
        ),
    }
    lines
}
