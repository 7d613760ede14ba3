//! What the path through a real log costs, against bare clients of the same log in the same run.
//!
//! - [`a`]: one report at a time
//! - [`c`]: reports a second from Kafka to Kafka
//! - [`e`]: the start on a full log
//! - [`bare`]: the clients of the floors
//! - [`service`]: the real program on a log
//! - [`history`]: the made-up city's records on a log

pub mod a;
pub mod bare;
pub mod c;
pub mod e;
mod history;
pub mod service;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::Failure;

/// A measurement has many steps that must work, and none that it could go on without: they panic, and this
/// makes the panic the measurement's failure, so that the other measurements still run.
pub fn caught<T>(measure: impl FnOnce() -> T) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(measure)).map_err(|panic| {
        let text =
            panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        text.unwrap_or("it panicked without words").to_owned().into()
    })
}

/// The value below which this part of the sorted times lies.
pub fn quantile(times: &[Duration], q: f64) -> Duration {
    let last = times.len().saturating_sub(1);
    times.get((times.len() as f64 * q) as usize).or(times.get(last)).copied().unwrap_or_default()
}

/// The middle one; of an even number the higher of the two.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
