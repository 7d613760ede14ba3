//! `tocsin corrections`: what the fuse of corrections holds (`tocsin_alerts::fuse`), and who lets it go.

mod held;
mod release;

use crate::exit::CommandResult;

/// What to do with corrections that are held.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub what: What,
}

/// What to do with corrections that are held.
#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// Show the corrections that are held, by the hour in which they were decided.
    Held(held::Args),
    /// Let go of what was decided up to now, after somebody has looked.
    ///
    /// What is not to go out at all is silenced: `tocsin silence add SUBJECT --everything`.
    Release(release::Args),
}

/// Runs it.
///
/// # Errors
/// See [`crate::exit::Failure`].
pub fn run(args: Args) -> CommandResult {
    match args.what {
        What::Held(args) => held::run(&args),
        What::Release(args) => release::run(&args),
    }
}
