//! `tocsin policy check FILE`.

use std::path::PathBuf;

use super::{read, tables};
use crate::exit::CommandResult;
use crate::output::say;

/// What to check.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The policy file.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Runs it.
///
/// # Errors
/// A wrong call: the first thing that is wrong with the file.
pub fn run(args: &Args) -> CommandResult {
    let policies = read(&args.file)?;
    let (file, tables, begins) = (args.file.display(), tables(&policies), policies.begins());
    say!("{file}: {tables}, in force from {begins}, hash {}", policies.hash());
    Ok(())
}
