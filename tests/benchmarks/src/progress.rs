//! What a person sees while it runs: a bar where there is a terminal, plain lines where there is none.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Where long work shows itself. Everything goes to standard error.
pub struct Progress {
    bars: Option<MultiProgress>,
}

/// One piece of long work. It is taken off the screen when it is dropped.
pub struct Work(Option<ProgressBar>);

impl Progress {
    /// Bars if standard error is a terminal.
    pub fn new() -> Progress {
        Progress { bars: std::io::stderr().is_terminal().then(MultiProgress::new) }
    }

    /// Begins a piece of work of so many steps (reports, samples, ...); 0: nobody knows how many.
    pub fn work(&self, what: &str, steps: u64) -> Work {
        let Some(bars) = &self.bars else {
            eprintln!("{what}");
            return Work(None);
        };
        let bar = if steps == 0 { ProgressBar::new_spinner() } else { ProgressBar::new(steps) };
        let form = if steps == 0 {
            "{spinner} {msg} {elapsed}"
        } else {
            "{msg:48} {wide_bar} {human_pos}/{human_len} {eta}"
        };
        bar.set_style(ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(what.to_owned());
        let bar = bars.add(bar);
        bar.enable_steady_tick(Duration::from_millis(250));
        Work(Some(bar))
    }

    /// Says a line without disturbing the bars.
    pub fn say(&self, line: &str) {
        match &self.bars {
            Some(bars) => drop(bars.println(line)),
            None => eprintln!("{line}"),
        }
    }

    /// Takes everything off the screen.
    pub fn clear(&self) {
        if let Some(bars) = &self.bars {
            drop(bars.clear());
        }
    }
}

impl Work {
    /// So many steps are done.
    pub fn advance(&self, steps: u64) {
        if let Some(bar) = &self.0 {
            bar.inc(steps);
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
