//! How a command ends: 0 when it did what it was asked, 2 for a wrong call, configuration or policy (fix
//! the words and call again), 1 for everything else (the world has to change: a broker, a disk, a topic).

use std::process::ExitCode;

use tocsin_schemas::log::LogError;

use crate::output;

/// Why a command did not do what it was asked. The text is one line that says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// A wrong call, configuration or policy: exit code 2.
    WrongCall(String),
    /// A failure outside the call: exit code 1.
    Failed(String),
}

/// What every command returns.
pub type CommandResult = Result<(), Failure>;

impl Failure {
    /// A wrong call, configuration or policy.
    pub fn wrong_call(text: impl std::fmt::Display) -> Failure {
        Failure::WrongCall(text.to_string())
    }

    /// A failure outside the call.
    pub fn failed(text: impl std::fmt::Display) -> Failure {
        Failure::Failed(text.to_string())
    }

    /// The text.
    pub fn text(&self) -> &str {
        match self {
            Failure::WrongCall(text) | Failure::Failed(text) => text,
        }
    }

    /// Says it on standard error and gives the exit code.
    pub fn report(&self) -> ExitCode {
        output::tell(format_args!("tocsin: {}", self.text()));
        match self {
            Failure::WrongCall(_) => ExitCode::from(2),
            Failure::Failed(_) => ExitCode::from(1),
        }
    }
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Failure {
        Failure::failed(error)
    }
}
