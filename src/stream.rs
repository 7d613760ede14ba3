//! A file of arrivals, line by line, and the policy to run over it: what `replay` and `backtest` both need.

use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use tocsin_pipeline::Policies;
use tocsin_schemas::door::{self, LineRefusal, MAX_RECORD_BYTES, Refusal, RefusalReason};
use tocsin_schemas::records::Quarantined;
use tocsin_schemas::time::Day;

use crate::exit::Failure;
use crate::run::pipeline::clock;

/// How far a day after the last arrival may lie: as far as an arrival may after the one before.
pub const MOST_DAYS: i32 = clock::FAR_DAYS;
/// So many midnights are one step.
pub const TICKS: i32 = 30;

/// The longest line that is read whole: a record of the largest size, written in a wasteful way, with its envelope. A file
/// without line feeds must not fill the memory.
const LONGEST: usize = 4 * MAX_RECORD_BYTES;

/// One line as it came, without its end.
#[derive(Debug)]
pub struct Line {
    /// From 1.
    pub number: u64,
    /// Its bytes; of one that is too long those that quarantine keeps.
    pub raw: Vec<u8>,
    /// What it took in the file, its end included.
    pub bytes: u64,
    /// It was not read whole.
    too_long: bool,
}

impl Line {
    /// The arrival on it.
    ///
    /// # Errors
    /// Why it is none: see [`door::admit_line`]; or it is too long, whatever its beginning says.
    pub fn admit(&self) -> Result<door::Line<'_>, LineRefusal> {
        if !self.too_long {
            return door::admit_line(&self.raw);
        }
        let detail = format!("a line has at most {LONGEST} bytes, here are {}", self.bytes);
        Err(LineRefusal { refusal: Refusal { reason: RefusalReason::Undecodable, detail }, topic: None })
    }
}

/// The lines of a stream. Moves its bar.
pub struct Lines {
    reader: Box<dyn BufRead>,
    number: u64,
    bar: ProgressBar,
}

impl Lines {
    /// Opens a stream; its bar is shown if standard error is a terminal.
    ///
    /// # Errors
    /// A wrong call: it cannot be read, or is a folder.
    pub fn open(path: &Path) -> Result<Lines, Failure> {
        let stream = File::open(path)
            .map_err(|e| Failure::wrong_call(format!("cannot read the stream {}: {e}", path.display())))?;
        let about = stream.metadata();
        if about.as_ref().is_ok_and(|m| m.is_dir()) {
            let text = format!("the stream {} is a folder, expected a file of lines", path.display());
            return Err(Failure::wrong_call(text));
        }
        let form = "{bar:40} {percent}%  {bytes}/{total_bytes}  {eta} left";
        let bar = bar(about.map_or(0, |m| m.len()), form);
        Ok(Lines { reader: Box::new(BufReader::with_capacity(1 << 16, stream)), number: 0, bar })
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// A failure: the file cannot be read any further.
    pub fn next(&mut self) -> Result<Option<Line>, Failure> {
        let mut raw = Vec::new();
        // Two more: its end is not a part of it.
        let limit = LONGEST as u64 + 2;
        let failed = |e| Failure::failed(format!("cannot read the stream: {e}"));
        let mut bytes =
            Read::take(&mut self.reader, limit).read_until(b'\n', &mut raw).map_err(failed)? as u64;
        if bytes == 0 {
            return Ok(None);
        }
        if raw.last() == Some(&b'\n') {
            raw.pop();
        } else {
            bytes += self.reader.skip_until(b'\n').map_err(failed)? as u64;
        }
        if raw.last() == Some(&b'\r') {
            raw.pop();
        }
        let too_long = raw.len() > LONGEST;
        if too_long {
            raw.truncate(Quarantined::RAW_LIMIT);
            raw.shrink_to_fit();
        }
        self.number += 1;
        self.bar.inc(bytes);
        Ok(Some(Line { number: self.number, raw, bytes, too_long }))
    }

    /// How many lines came so far.
    pub fn count(&self) -> u64 {
        self.number
    }
}

impl Drop for Lines {
    /// Takes the bar off the screen.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A bar on standard error, if that is a terminal.
pub fn bar(length: u64, form: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(form);
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// A bar over the midnights after the last arrival, if they are many.
pub fn days_bar(last: Day, to: Day) -> ProgressBar {
    let days = to.0 - last.0;
    if days <= TICKS {
        return ProgressBar::hidden();
    }
    bar(days.unsigned_abs().into(), "{bar:40} {percent}%  midnights up to {msg}  {eta} left")
}

/// Lets `tick` pass the midnights after `last` up to the one that begins `to`, a portion at a time.
///
/// # Errors
/// Those of `tick`.
pub fn midnights(
    last: Day,
    to: Day,
    mut tick: impl FnMut(Day) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let bar = days_bar(last, to);
    let mut day = last;
    while day < to {
        let next = day.plus(TICKS).min(to);
        tick(next)?;
        bar.inc((next.0 - day.0).unsigned_abs().into());
        bar.set_message(next.to_string());
        day = next;
    }
    bar.finish_and_clear();
    Ok(())
}

/// That a day, given as `option`, is not a century or more after the last arrival.
///
/// # Errors
/// A wrong call.
pub fn near(option: &str, day: Day, last: Day) -> Result<(), Failure> {
    if day <= last.plus(MOST_DAYS) {
        return Ok(());
    }
    Err(Failure::wrong_call(format!(
        "{option} {day} is more than {} years after the last arrival's day {last}: expected a day up to {}",
        MOST_DAYS / 365,
        last.plus(MOST_DAYS)
    )))
}

/// `policies`, in force from `from` on instead if that is given.
///
/// # Errors
/// A wrong call: it has several tables.
pub fn effective(policies: Policies, from: Option<Day>) -> Result<Policies, Failure> {
    match from {
        None => Ok(policies),
        Some(day) => policies.effective_from(day).map_err(Failure::wrong_call),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Vec<Line> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stream.jsonl");
        std::fs::write(&path, text).unwrap();
        let mut lines = Lines::open(&path).unwrap();
        std::iter::from_fn(|| lines.next().unwrap()).collect()
    }

    #[test]
    fn a_line_without_an_end_is_not_kept_and_the_next_one_has_its_number() {
        let sound = |spaces: usize| {
            let line = r#"{"topic":"reports.hr","arrived_at":"2025-03-01T08:00:00+08:00","value":{}}"#;
            format!("{line}{}", " ".repeat(spaces - line.len())).into_bytes()
        };
        for end in [&b"\n"[..], b"\r\n"] {
            let [longest, longer, endless] = [LONGEST, LONGEST + 1, 3 * LONGEST].map(sound);
            let found = lines(&[&longest, end, &longer, end, &endless, end, b"{}", end, &endless].concat());
            let numbers: Vec<u64> = found.iter().map(|line| line.number).collect();
            assert_eq!(numbers, [1, 2, 3, 4, 5]);
            assert!(found[0].admit().is_ok() && found[0].raw.len() == LONGEST);
            for (place, length) in [(1, LONGEST + 1), (2, 3 * LONGEST)] {
                let LineRefusal { refusal, topic } = found[place].admit().unwrap_err();
                assert_eq!((refusal.reason, topic), (RefusalReason::Undecodable, None));
                let bytes = length + end.len();
                assert_eq!(refusal.detail, format!("a line has at most {LONGEST} bytes, here are {bytes}"));
                assert_eq!(found[place].raw.len(), Quarantined::RAW_LIMIT);
            }
            assert_eq!(found[3].raw, b"{}");
            assert_eq!((found[4].bytes, found[4].raw.len()), (3 * LONGEST as u64, Quarantined::RAW_LIMIT));
        }
        assert!(lines(b"").is_empty());
    }
}
