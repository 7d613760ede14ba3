//! `tocsin check-config`: the effective configuration without secrets, and whether what it points to is there.

use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use tocsin_alerts::gateways::Endpoint;
use tocsin_alerts::gateways::guard::{LeadsInside, NoSuchName};
use tocsin_schemas::log::LogError;

use crate::config::secret::Kept;
use crate::exit::{CommandResult, Failure};
use crate::output::say;
use crate::policy::topic;
use crate::run::alerts;
use crate::run::pipeline::guard::Trouble;
use crate::run::pipeline::start;
use crate::run::wall::WallClock;
use crate::seal::{self, Sealed};
use crate::{config, open, templates};

/// How long looking at the topics may take.
const LIMIT: Duration = Duration::from_millis(5_000);

/// How long looking up the gateways' names may take, all at once.
const NAME_LIMIT: Duration = Duration::from_secs(2);

/// What to check.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit code 0: all is well. 1: something it points to is missing or unreachable. 2: the file is wrong.
It takes a few seconds; where neither the network nor the event log answers, up to half a minute.")]
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
    let asked = Instant::now();
    let clients = config.gateways.all.iter().map(|gateway| {
        let client = alerts::client(gateway);
        let lookup = client.as_ref().ok().map(|client| Lookup::begin(client.gateway().endpoint()));
        (gateway, client.map_err(Failure::wrong_call), lookup)
    });
    let clients: Vec<_> = clients.collect();
    for (gateway, client, lookup) in clients {
        let section = &gateway.section;
        if let Err(missing) = gateway.settings() {
            keep(Err(Failure::failed(format!("[{section}] {missing}"))));
            continue;
        }
        keep(client.map(|_| format!("[{section}] can be used (it was not called)")));
        match lookup.map(|lookup| lookup.said(section, asked + NAME_LIMIT)) {
            Some(Leads::Said(line)) => keep(line),
            Some(Leads::NobodyKnows(why)) => say!("warning: [{section}] {why}"),
            Some(Leads::Itself) | None => {}
        }
    }
    if let Some(Err(missing)) = config.phone_key.as_ref().map(Kept::get) {
        keep(Err(Failure::failed(format!("[alerts] phone_key: {missing}"))));
    }
    if let Some(Err(missing)) = &config.answers.server {
        keep(Err(Failure::failed(missing)));
    }
    if let Some(Ok(answers)) = &config.answers.server {
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
    if let Some(warning) = config.calendar.warning(WallClock::new(config.clock_start).now().day()) {
        say!("warning: {warning}");
    }
    match open::open(&config, open::Missing::Refuse) {
        Err(failure) => keep(Err(failure)),
        Ok(log) => {
            match seal::look(&config) {
                Err(failure) => {
                    say!("warning: how contacts are stored could not be looked up: {}", failure.text())
                }
                Ok(Sealed::Empty) => {}
                Ok(Sealed::All(line)) => keep(Ok(line)),
                Ok(Sealed::NotAll(line)) => say!("warning: {line}"),
                Ok(Sealed::NoKey(line)) => keep(Err(Failure::failed(line))),
            }
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

/// Where a gateway's name leads.
enum Leads {
    /// To addresses, that may be called or not.
    Said(Result<String, Failure>),
    /// Without a network nobody can tell; the service may run elsewhere.
    NobodyKnows(String),
    /// It names an address.
    Itself,
}

/// How many addresses a name has, and one of them that is inside; `None`: it is an address itself.
type Found = Result<Option<(usize, Option<LeadsInside>)>, NoSuchName>;

/// A gateway's name, as it is being looked up.
struct Lookup {
    allowed: bool,
    host: String,
    found: Receiver<Found>,
}

impl Lookup {
    fn begin(endpoint: &Endpoint) -> Lookup {
        let (allowed, host, endpoint) = (endpoint.allow_private, endpoint.host(), endpoint.clone());
        let (sender, found) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            // Nobody listens any more when the time was over.
            let _ = sender.send(endpoint.look_up());
        });
        Lookup { allowed, host, found }
    }

    fn said(self, section: &str, until: Instant) -> Leads {
        let Lookup { allowed, host, found } = self;
        match found.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Ok(None)) => Leads::Itself,
            Ok(Ok(Some((_, Some(LeadsInside(what)))))) if !allowed => {
                Leads::Said(Err(Failure::failed(format!(
                    "[{section}] {host} leads to {what} here: every request would fail as leads_inside. Set \
                     allow_private = true if the gateway really is there"
                ))))
            }
            Ok(Ok(Some((_, Some(LeadsInside(what)))))) => {
                Leads::Said(Ok(format!("[{section}] {host} leads to {what}, as allow_private lets it")))
            }
            Ok(Ok(Some((count, None)))) => {
                Leads::Said(Ok(format!("[{section}] {host} leads to public addresses ({count})")))
            }
            Ok(Err(error)) => Leads::NobodyKnows(format!("{host}: {error}")),
            Err(_) => Leads::NobodyKnows(format!(
                "{host}: the resolver of this machine has not answered within {} s",
                NAME_LIMIT.as_secs()
            )),
        }
    }
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
