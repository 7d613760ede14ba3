//! `tocsin silence add`.

use std::sync::Arc;
use std::time::Duration;

use tocsin_alerts::silences::{Details, LONGEST_DAYS, Silence, subject_kind};
use tocsin_schemas::time::{Day, Instant};

use super::{Shown, Signed, known, topic};
use crate::exit::{CommandResult, Failure};
use crate::output::say;
use crate::run::wall::WallClock;
use crate::{config, open};

/// How long reading the registry and the contacts may take.
const READING: Duration = Duration::from_secs(120);

/// What is to be silent.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A USCC, an area code, an industry's division, a contact (role+subject+rank), a gateway in use, or "*".
    #[arg(value_name = "SUBJECT")]
    pub subject: String,
    /// The end: a day (its midnight, when it is over) or an instant such as 2026-12-01T18:00:00+08:00; at most 30 days
    /// ahead.
    #[arg(long, value_name = "DAY|INSTANT", value_parser = until)]
    pub until: Instant,
    /// Silence also what is severe, fatal or red, and corrections.
    #[arg(long)]
    pub everything: bool,
    #[command(flatten)]
    pub signed: Signed,
}

/// The end of a day, or an instant.
fn until(text: &str) -> Result<Instant, String> {
    if let Ok(day) = text.parse::<Day>() {
        return Ok(day.plus(1).midnight());
    }
    text.parse().map_err(|_| {
        "expected a day YYYY-MM-DD that the calendar has, or an instant, RFC 3339 with offset".to_owned()
    })
}

/// Runs it.
///
/// # Errors
/// A wrong call: a subject that is none or that nobody knows, an end that is past or too far ahead. A failure: the log.
pub fn run(args: &Args) -> CommandResult {
    let kind = subject_kind(&args.subject).map_err(|e| Failure::wrong_call(format!("SUBJECT: {e}")))?;
    let config = config::load(&args.signed.config)?;
    let wall = WallClock::new(config.clock_start);
    let now = wall.now();
    let (today, until) = (now.day(), args.until);
    let last = today.plus(LONGEST_DAYS + 1).midnight();
    if until <= now || until > last {
        let clock = if config.clock_start.is_some() { " by [clock] start" } else { "" };
        return Err(Failure::wrong_call(format!(
            "--until: expected an instant after {now}, which is now{clock}, and at most {LONGEST_DAYS} days ahead ({last}), found {until}"
        )));
    }
    let event_id = format!(
        "silence-{}-{}",
        today.to_string().replace('-', ""),
        data_encoding::BASE32_NOPAD.encode(&rand::random::<[u8; 5]>()).to_lowercase()
    );
    let details = Details { until, reason: args.signed.reason.clone(), everything: args.everything };
    let (subject, author) = (args.subject.clone(), args.signed.author.clone());
    let silence = Silence { event_id, version: 1, subject, on: today, author, details };
    let (log, schemas) = (open::open(&config, open::Missing::Refuse)?, Arc::clone(&config.schema_ids));
    let gateways: Vec<String> = config.gateways.all.iter().map(|gateway| gateway.name().to_owned()).collect();
    if !known::by_itself(&args.subject, &gateways) {
        let (subject, to_read, ids) = (args.subject.clone(), Arc::clone(&log), Arc::clone(&schemas));
        let nothing = move || known::nothing(&subject, &gateways, &*to_read, &*ids);
        if let Some(why) = open::within(READING, &config.log, nothing)? {
            return Err(Failure::wrong_call(format!("SUBJECT: {why}")));
        }
    }
    let written = silence.clone();
    open::writing(&config, "silence list", move || topic::append(&*log, &*schemas, &written, &wall))?;
    if args.signed.json {
        say!("{}", serde_json::to_string_pretty(&Shown::of(&silence, now)).map_err(Failure::failed)?);
        return Ok(());
    }
    let spared = if args.everything { "everything" } else { "all but grave news and corrections" };
    say!("{} is silent: {kind}, {spared}, until {until}", silence.subject);
    say!("end it before: tocsin silence end {} --config FILE --author NAME --reason TEXT", silence.event_id);
    Ok(())
}
