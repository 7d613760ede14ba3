//! `tocsin demo`: eight weeks of a simulated city in half a minute, with nothing to install.
//!
//! ```text
//! script (pure) -> log -> door -> engine -> log -> alert worker -> simulated gateways -> "phones"
//!                     the very parts that `run` and `replay` use
//! ```
//!
//! - [`city`], [`cast`], [`feeds`]: what exists and what the sources send: pure, from a seed
//! - [`clock`], [`gateway`]: the simulated clock, and the gateways on loopback
//! - [`story`], [`screen`]: what one sees
//! - [`summary`]: whether it adds up; if not, the exit code is 1
//! - [`simulation`]: the loop
//!
//! Everything goes in lockstep: an instant's records are decided and told before the clock moves on. So two
//! runs of one seed say the same, whatever the machine was doing meanwhile.

mod cast;
mod city;
mod clock;
mod feeds;
mod gateway;
mod screen;
mod simulation;
mod story;
mod summary;

use std::fs;
use std::path::{Path, PathBuf};

use tocsin_schemas::time::Instant;

use crate::exit::{CommandResult, Failure};
use crate::open;
use crate::output::{self, say};
use screen::Screen;
use summary::Summary;

/// How long the demo takes at speed 1, in seconds, if the machine keeps up.
pub(crate) const SECONDS: f64 = 27.0;
/// The log's file in the folder of `--keep`.
const LOG_FILE: &str = "tocsin.db";
/// The configuration that `--keep` leaves beside it.
const CONFIG_FILE: &str = "tocsin.toml";
/// The key of its phones' hashes, which that names.
const KEY_FILE: &str = "phone.key";

/// What to show.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Firms, people and telephones are made up. The gateways, a provider of SMS and a webhook, are simulated on
this machine's loopback; nothing leaves the machine. The exit code is 0 if everything adds up.

Examples:
  tocsin demo                        about 30 seconds
  tocsin demo --speed 10 --seed 7    another city, ten times as fast
  tocsin demo --keep here            and then: tocsin check-config --config here/tocsin.toml")]
pub struct Args {
    /// Which city: the same number gives the same city, messages and summary.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How many times as fast.
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = positive)]
    pub speed: f64,
    /// Leave the data in this folder, with a tocsin.toml that every command opens.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(n) if n.is_finite() && n > 0.0 => Ok(n),
        _ => Err("expected a number above 0".to_owned()),
    }
}

/// Runs it.
///
/// # Errors
/// A wrong call: the folder of `--keep` cannot be made or holds a log already. A failure: the disk, or a
/// summary that does not add up.
pub fn run(args: Args) -> CommandResult {
    let script = feeds::script(args.seed);
    let temporary;
    let folder = match &args.keep {
        Some(dir) => {
            fs::create_dir_all(dir)
                .map_err(|e| Failure::wrong_call(format!("cannot make the folder {}: {e}", dir.display())))?;
            for file in [LOG_FILE, CONFIG_FILE] {
                if dir.join(file).exists() {
                    return Err(Failure::wrong_call(format!(
                        "{} is there already: name another folder, or remove that file",
                        dir.join(file).display()
                    )));
                }
            }
            dir.as_path()
        }
        None => {
            temporary = tempfile::Builder::new()
                .prefix("tocsin-demo-")
                .tempdir()
                .map_err(|e| Failure::failed(format!("cannot make a temporary folder: {e}")))?;
            temporary.path()
        }
    };
    let mut screen = Screen::new(script.batches.len() as u64);
    introduce(&screen, &script, args.seed);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Failure::failed(format!("cannot start the runtime: {e}")))?;
    // What is to be kept is worth its time when nobody watches.
    let watched = || args.keep.is_some() || !output::unread();
    let log_file = folder.join(LOG_FILE);
    let outcome =
        runtime.block_on(simulation::run(&script, args.seed, &log_file, args.speed, &mut screen, &watched));
    runtime.shutdown_background();
    let Some((summary, end)) = outcome? else { return Ok(()) };
    print_summary(&screen, &summary);
    if let Some(dir) = &args.keep {
        open::one_file(&log_file)?;
        keep(dir, end)?;
    }
    if summary.holds() {
        return Ok(());
    }
    Err(Failure::failed(format!("the demo's summary does not add up in {} places", summary.failed().len())))
}

fn introduce(screen: &Screen, script: &feeds::Script, seed: u64) {
    let insured: u32 = script.city.firms.iter().filter_map(|f| f.insured).sum();
    let from = script.start;
    screen.say(&format!(
        "A simulated city (seed {seed}): {} firms, {insured} insured workers, {from} to {}.\n\
         A hospital, the emergency bureau, employers and HR report injuries; they repeat, contradict, correct \
         and take back.\n\
         Each owner is to be told once of each injury, each township warned once of each firm at risk.\n",
        script.city.firms.len(),
        from.plus(feeds::DAYS - 1)
    ));
}

fn print_summary(screen: &Screen, summary: &Summary) {
    let text = summary.text();
    say!();
    if !screen.live() {
        output::bytes(text.as_bytes());
    } else {
        for line in text.lines() {
            match line.trim_start() {
                l if l.starts_with("ok") => say!("  \u{1b}[32mok\u{1b}[0m{}", &l[2..]),
                l if l.starts_with("WRONG") => say!("  \u{1b}[31mWRONG\u{1b}[0m{}", &l[5..]),
                l => say!("\u{1b}[1m{l}\u{1b}[0m"),
            }
        }
    }
    say!("{}", if summary.holds() { "Everything adds up." } else { "This does NOT add up." });
}

/// Leaves a configuration beside the log.
fn keep(dir: &Path, end: Instant) -> CommandResult {
    let path = dir.join(CONFIG_FILE);
    let text = format!(
        "# What `tocsin demo` left. Relative paths are relative to this file.\n\
         \n\
         [log]\n\
         kind = \"embedded\"\n\
         path = \"{LOG_FILE}\"\n\
         \n\
         # The demo's phones are gone: put your own gateway here before you run the alerts half.\n\
         [alerts.webhook]\n\
         url = \"http://127.0.0.1:9/send\"\n\
         \n\
         [alerts]\n\
         phone_key = {{ file = \"{KEY_FILE}\" }}\n\
         \n\
         # The simulated weeks end here; the service goes on from this instant.\n\
         [clock]\n\
         start = \"{end}\"\n"
    );
    for (path, text) in [(&path, &*text), (&dir.join(KEY_FILE), simulation::PHONE_KEY)] {
        fs::write(path, text)
            .map_err(|e| Failure::failed(format!("cannot write {}: {e}", path.display())))?;
    }
    say!("The data is in {}; try: tocsin check-config --config {}", dir.display(), path.display());
    Ok(())
}
