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

/// So many digits of a probability are shown: one more than a limit of the policy is thought to have.
const PROBABILITY_DIGITS: usize = 4;

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

/// A probability, rounded to four digits of it or of what it lacks of 1, whichever is less; with more of them where those
/// would end in a number of three digits or fewer, which may be a limit of the policy, that it is not. So it stands on
/// its own side of each such limit, and on one only if it is that.
pub fn probability(p: f64) -> String {
    let p = p.clamp(0.0, 1.0);
    let small = p <= 0.5;
    let rest = if small { p } else { 1.0 - p };
    // What arithmetic adds: 1 - 0.9 is a little less than 0.1.
    let noise = f64::max(rest * 1e-11, if small { 0.0 } else { f64::EPSILON });
    let rounded = |digits: usize| {
        let text = format!("{rest:.*e}", digits - 1);
        let (mantissa, power) = text.split_once('e')?;
        Some((short(mantissa.to_owned()), power.parse::<i32>().ok()?, text.parse::<f64>().ok()?))
    };
    let count = |mantissa: &str| mantissa.bytes().filter(u8::is_ascii_digit).count();
    let own = |(mantissa, _, shown): &(String, i32, f64)| {
        count(mantissa) >= PROBABILITY_DIGITS || (shown - rest).abs() <= noise
    };
    // Twelve digits are within the noise.
    let Some((mantissa, power, shown)) = (PROBABILITY_DIGITS..=12).filter_map(rounded).find(own) else {
        return p.to_string();
    };
    if small && power < -3 {
        return format!("{mantissa}e{power}");
    }
    let decimals = power.unsigned_abs() as usize + count(&mantissa) - 1;
    short(format!("{:.decimals$}", if small { shown } else { 1.0 - shown }))
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

    fn probabilities(all: &[f64]) -> String {
        all.iter().map(|p| probability(*p)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_probability_is_rounded_and_not_cut() {
        assert_eq!(
            probabilities(&[0.8003545, 0.9998623, 0.890595, 0.019819, 0.010828]),
            "0.8004 0.9998623 0.8906 0.01982 0.01083"
        );
        assert_eq!(probabilities(&[0.0, 0.00963, 0.01, 0.05, 0.435, 0.5]), "0 0.00963 0.01 0.05 0.435 0.5");
        assert_eq!(
            probabilities(&[1.0, 0.9996, 0.97504, 0.975, 0.9749, 0.96, 0.9]),
            "1 0.9996 0.97504 0.975 0.9749 0.96 0.9"
        );
        assert_eq!(
            probabilities(&[0.00234, 0.000234, 0.000234567, 2e-9, 1.0 - 2e-9]),
            "0.00234 2.34e-4 2.346e-4 2e-9 0.999999998"
        );
        assert_eq!(
            probabilities(&[f64::MIN_POSITIVE, 1.0 - f64::EPSILON]),
            "2.225e-308 0.999999999999999778"
        );
    }

    #[test]
    fn a_probability_never_looks_like_a_limit_that_it_is_not() {
        assert_eq!(
            probabilities(&[0.00999999, 0.0100001, 0.97499999, 0.97500001, 0.0499999, 0.0500001]),
            "0.00999999 0.0100001 0.97499999 0.97500001 0.0499999 0.0500001"
        );
        assert_eq!(probabilities(&[0.49999, 0.50004, 0.000999999]), "0.49999 0.50004 9.99999e-4");
        // Any limit of three digits, and what lies beside it.
        for limit in (1..1000).map(|n| f64::from(n) / 1000.0) {
            for beside in [1e-3, 1e-5, 1e-7, 1e-9, 1e-10] {
                let by = beside * limit.min(1.0 - limit);
                for (p, less) in [(limit - by, true), (limit + by, false)] {
                    let shown: f64 = probability(p).parse().unwrap();
                    assert!(if less { shown < limit } else { shown > limit }, "{p} beside {limit}: {shown}");
                }
            }
            assert_eq!(probability(limit), limit.to_string());
        }
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
