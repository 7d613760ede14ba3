//! Log lines on standard error, so that standard output stays for what a command was asked for.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::exit::{CommandResult, Failure};

/// Starts logging: `--log` wins over `RUST_LOG`, and what neither says is `info`.
///
/// # Errors
/// A filter that cannot be read is a wrong call.
pub fn start(filter: &Option<String>) -> CommandResult {
    let text = filter.as_deref().unwrap_or("info");
    let filter = EnvFilter::try_new(text).map_err(|e| {
        Failure::wrong_call(format!(
            "--log {text:?}: {e}; expected a level such as info or tocsin=debug,warn"
        ))
    })?;
    let to_terminal = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(to_terminal)
        .with_target(false)
        // It would panic where standard error is closed; a service goes on without its log lines.
        .log_internal_errors(false)
        .init();
    Ok(())
}
