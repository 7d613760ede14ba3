//! What commands print, on outputs that may be closed before the end (`tocsin check-config … | head -1`).
//!
//! Whoever closed the pipe has read enough: nothing more is written, nothing is said of it, and the command
//! ends as it would have, with its own exit code, because work may depend on it (`topics apply`). The demo alone
//! has nothing to do but to be seen; it asks [`unread`] and ends. Any other error of the output, such as a full
//! disk behind it, makes a success a failure: see [`complete`].

use std::borrow::Cow;
use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::sync::Mutex;

use crate::exit::{CommandResult, Failure};

/// The first error of standard output.
static ERROR: Mutex<Option<io::Error>> = Mutex::new(None);

/// Prints a line on standard output, as `println!` does.
macro_rules! say {
    () => { $crate::output::line(format_args!("")) };
    ($($part:tt)*) => { $crate::output::line(format_args!($($part)*)) };
}
pub(crate) use say;

/// See [`say!`].
pub fn line(text: Arguments<'_>) {
    keep(writeln!(io::stdout().lock(), "{text}"));
}

/// Writes these bytes on standard output.
pub fn bytes(bytes: &[u8]) {
    keep(io::stdout().lock().write_all(bytes));
}

/// A text as one line of a page shows it: what moves a cursor, ends a line or turns the direction of writing could forge
/// what stands beside it, and pages are held up as evidence.
pub fn plain(text: &str) -> Cow<'_, str> {
    if text.chars().any(forges) {
        text.chars().map(|c| if forges(c) { '?' } else { c }).collect()
    } else {
        Cow::Borrowed(text)
    }
}

/// A probability, with two digits of it or of what it lacks of 1, whichever is less. Cut, not rounded: so it stands on the
/// same side of a limit of two digits as it did in the test.
pub fn probability(p: f64) -> String {
    let small = p <= 0.5;
    // Twelve digits first: 1 - 0.9 is a little less than 0.1.
    let exact = format!("{:.11e}", if small { p } else { 1.0 - p }.max(0.0));
    let parts =
        exact.split_once('e').and_then(|(digits, power)| Some((digits.get(..3)?, power.parse().ok()?)));
    let Some((digits, power)) = parts.filter(|(_, power): &(&str, i32)| *power <= 0) else {
        return p.to_string();
    };
    if small && power < -3 {
        return format!("{}e{power}", digits.trim_end_matches(".0"));
    }
    let rest: f64 = format!("{digits}e{power}").parse().unwrap_or_default();
    let decimals = power.unsigned_abs() as usize + 1;
    short(format!("{:.decimals$}", if small { rest } else { 1.0 - rest }))
}

/// A number of the policy with all its digits, without what arithmetic adds behind them.
pub fn digits(n: f64) -> String {
    short(format!("{n:.12}"))
}

fn short(text: String) -> String {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

fn forges(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A line for the person who called, on standard error. When nobody reads that there is nobody to tell.
pub fn tell(text: Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether standard output was closed by its reader.
pub fn unread() -> bool {
    error().as_ref().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe)
}

/// # Errors
/// A failure if something could not be printed for another reason than a closed pipe.
pub fn complete() -> CommandResult {
    keep(io::stdout().lock().flush());
    match &*error() {
        Some(e) if e.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("cannot write to standard output: {e}")))
        }
        _ => Ok(()),
    }
}

fn keep(written: io::Result<()>) {
    if let Err(e) = written {
        error().get_or_insert(e);
    }
}

fn error() -> std::sync::MutexGuard<'static, Option<io::Error>> {
    ERROR.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probability_stays_on_its_side_of_a_limit() {
        let shown = |all: &[f64]| all.iter().map(|p| probability(*p)).collect::<Vec<_>>().join(" ");
        assert_eq!(shown(&[0.0, 0.00963, 0.00996, 0.01, 0.435, 0.5]), "0 0.0096 0.0099 0.01 0.43 0.5");
        assert_eq!(
            shown(&[1.0, 0.9996, 0.97504, 0.975, 0.9749, 0.96, 0.9]),
            "1 0.9996 0.976 0.975 0.975 0.96 0.9"
        );
        assert_eq!(shown(&[0.00234, 0.000234, 2e-9, 1.0 - 2e-9]), "0.0023 2.3e-4 2e-9 0.999999998");
    }

    #[test]
    fn a_number_of_the_policy_has_its_own_digits() {
        assert_eq!(
            [0.07 * 100.0, 0.0004 * 100.0, 1.0 - (1.0 - 0.95) / 2.0].map(digits),
            ["7", "0.04", "0.975"]
        );
    }

    #[test]
    fn a_text_cannot_end_its_line_or_turn_it_round() {
        let forged = plain("press\r\n\u{1b}[2Jline\u{9b}1A\u{2028}\u{202e}txt\u{2069}");
        assert_eq!(forged, "press???[2Jline?1A??txt?");
        assert!(matches!(plain("永康 Works, “7”"), Cow::Borrowed(_)));
    }
}
