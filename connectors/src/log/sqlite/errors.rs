//! SQLite's error codes in the words of the contract.

use std::path::Path;

use rusqlite::{Error, ErrorCode};
use tocsin_schemas::log::LogError;

/// `SQLITE_IOERR_SHMSIZE`: the shared-memory file beside the log could not grow, which on a healthy disk
/// means that it is full (every other write reports a full disk as `SQLITE_FULL`).
const IOERR_SHMSIZE: i32 = 4874;

/// Where a log stands, to say so in errors.
#[derive(Debug, Clone)]
pub(super) struct Place(std::sync::Arc<str>);

impl Place {
    pub(super) fn new(path: &Path) -> Place {
        Place(path.display().to_string().into())
    }

    /// A file-system error at opening.
    pub(super) fn unreachable(&self, e: &std::io::Error) -> LogError {
        let (place, why) = (self.0.to_string(), e.to_string());
        match e.kind() {
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                LogError::Refused { place, why }
            }
            std::io::ErrorKind::StorageFull => LogError::NoSpace { place },
            _ => LogError::Unreachable { place, why },
        }
    }

    /// The file is there, but this process may not use it.
    pub(super) fn refused(&self, why: &str) -> LogError {
        LogError::Refused { place: self.0.to_string(), why: why.to_owned() }
    }

    /// The file is there, but is not what it should be.
    pub(super) fn damaged(&self, why: &str) -> LogError {
        LogError::Damaged(format!("{}: {why}", self.0))
    }

    /// An error of anything but a commit: nothing was written.
    pub(super) fn error(&self, what: &'static str, e: Error) -> LogError {
        let place = self.0.to_string();
        let Error::SqliteFailure(code, text) = &e else {
            // A value of the wrong type, a missing row: the tables are not as this code made them.
            return self.damaged(&format!("could not {what}: {e}"));
        };
        let why = text.clone().unwrap_or_else(|| code.to_string());
        match code.code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
                LogError::Retry { what, why: format!("{place} is held by another process: {why}") }
            }
            ErrorCode::DiskFull => LogError::NoSpace { place },
            ErrorCode::SystemIoFailure if code.extended_code == IOERR_SHMSIZE => LogError::NoSpace { place },
            ErrorCode::NotADatabase => {
                self.damaged("not an event log of Tocsin, nor any SQLite file: is the path right?")
            }
            ErrorCode::PermissionDenied
            | ErrorCode::ReadOnly
            | ErrorCode::AuthorizationForStatementDenied => LogError::Refused { place, why },
            ErrorCode::CannotOpen | ErrorCode::SystemIoFailure | ErrorCode::NoLargeFileSupport => {
                LogError::Unreachable { place, why: format!("could not {what}: {why}") }
            }
            _ => self.damaged(&format!("could not {what}: {why}")),
        }
    }

    /// An error of a commit. A full disk left the commit's own frame unwritten; after any other failure
    /// of the file system (a failed sync) the frame may yet be found by whoever opens the file next.
    pub(super) fn commit_error(&self, e: Error) -> LogError {
        match self.error("commit", e) {
            LogError::Unreachable { why, .. } => LogError::Uncertain { why },
            other => other,
        }
    }
}
