//! `tocsin corrections release`: a governance event.

use std::sync::Arc;

use tocsin_alerts::fuse::{Details, KIND};
use tocsin_schemas::records::{Delivery, GovernanceEvent};
use tocsin_schemas::time::Instant;

use super::held;
use crate::exit::{CommandResult, Failure};
use crate::governance;
use crate::output::say;
use crate::run::wall::WallClock;
use crate::silence::Signed;
use crate::{config, open};

/// Of several who write at once each is heard.
const WRITER: &str = "corrections";

/// Up to when.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Let go of what was decided up to this instant, such as 2026-12-01T18:00:00+08:00; left out: up to now.
    #[arg(long, value_name = "INSTANT")]
    pub until: Option<Instant>,
    #[command(flatten)]
    pub signed: Signed,
}

/// Runs it.
///
/// # Errors
/// A wrong call: an instant that is still to come. A failure: the log.
pub fn run(args: &Args) -> CommandResult {
    let config = config::load(&args.signed.config)?;
    let wall = WallClock::new(config.clock_start);
    let now = wall.now();
    let until = args.until.unwrap_or(now);
    if until > now {
        return Err(Failure::wrong_call(format!(
            "--until: expected an instant up to now ({now}), found {until}: nobody has looked at what is still to come"
        )));
    }
    let details = Details { until, reason: args.signed.reason.clone() };
    let event = GovernanceEvent {
        event_id: format!("corrections-{}", until.0),
        kind: KIND.to_owned(),
        subject: "*".to_owned(),
        on: now.day(),
        version: u64::try_from(now.0).unwrap_or(1),
        actor: args.signed.author.clone(),
        approver: None,
        details: serde_json::to_string(&details).map_err(Failure::failed)?,
    };
    let (log, schemas) = (open::open(&config, open::Missing::Refuse)?, Arc::clone(&config.schema_ids));
    let written = event.clone();
    let goes = open::writing(&config, "corrections held", move || {
        let before = held::releases(&*log, &*schemas)?;
        let there = || Ok(held::releases(&*log, &*schemas)?.cover(until));
        governance::append(&*log, WRITER, &[written], &wall, there)?;
        // Only counted: whether it can be has no part in the release.
        let goes = |d: &Delivery| held::decided_at(d) <= until && !before.cover(held::decided_at(d));
        Ok(held::stopped(&*log).map(|all| all.values().filter(|d| goes(d)).count()).ok())
    })?;
    let goes = goes.map_or("not counted".to_owned(), |n| n.to_string());
    match args.signed.json {
        true => say!("{}", serde_json::to_string_pretty(&event).map_err(Failure::failed)?),
        false => {
            say!(
                "held corrections decided up to {until} that now go out: {goes}; the fuse counts anew from there"
            );
        }
    }
    Ok(())
}
