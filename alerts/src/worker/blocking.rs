//! Where the loops wait for what blocks.

use tokio::runtime::{Handle, RuntimeFlavor};

use super::WorkerError;

/// Does what blocks, and gives its result: on this very thread where the runtime has others for its tasks, which saves
/// the way to a blocking thread and back between a decision and its request; else on a blocking thread.
///
/// # Errors
/// `Died`, with this name, if it panicked on a blocking thread.
pub(crate) async fn blocking<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, WorkerError> {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => Ok(tokio::task::block_in_place(work)),
        _ => tokio::task::spawn_blocking(work).await.map_err(|_| WorkerError::Died(name)),
    }
}
