//! A stopwatch that stands still while the thread is ready to run and another process has its CPU.
//!
//! On a shared machine a thread that works for 200 µs is now and then put aside for milliseconds. That says
//! nothing about the work, and it is what the highest percentiles are made of. Linux counts that waiting
//! for each thread (`/proc/thread-self/schedstat`, second field, nanoseconds); it is taken off. Waiting for
//! a disk or a lock is not: that is the work's own.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// See the module's words. For the thread that made it.
pub struct Stopwatch(Option<File>);

/// How long a piece of work took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Took {
    /// Without waiting for a CPU.
    pub own: Duration,
    /// With it.
    pub wall: Duration,
}

impl Stopwatch {
    /// For the calling thread. Where the system does not count the waiting, wall time is all there is.
    pub fn new() -> Stopwatch {
        Stopwatch(File::open("/proc/thread-self/schedstat").ok())
    }

    /// Times a piece of work.
    pub fn time<T>(&self, work: impl FnOnce() -> T) -> (T, Took) {
        let before = self.waited();
        let begin = Instant::now();
        let made = work();
        let wall = begin.elapsed();
        let waited = self.waited().saturating_sub(before);
        (made, Took { own: wall.saturating_sub(waited), wall })
    }

    /// How long the thread has waited for a CPU so far.
    fn waited(&self) -> Duration {
        let mut text = [0; 64];
        let read = self.0.as_ref().and_then(|file| file.read_at(&mut text, 0).ok()).unwrap_or(0);
        let field = std::str::from_utf8(&text[..read]).ok().and_then(|t| t.split_whitespace().nth(1));
        Duration::from_nanos(field.and_then(|f| f.parse().ok()).unwrap_or(0))
    }
}

impl std::ops::AddAssign for Took {
    fn add_assign(&mut self, other: Took) {
        self.own += other.own;
        self.wall += other.wall;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_time_is_never_more_than_wall_time() {
        let stopwatch = Stopwatch::new();
        let (sum, took) = stopwatch.time(|| (0..10_000_000u64).fold(0, |a, b| a ^ b.wrapping_mul(a | 1)));
        std::hint::black_box(sum);
        assert!(took.own <= took.wall && took.wall > Duration::ZERO, "{took:?}");
    }
}
