//! Golden timelines: on which day what arrives, and what must be said. See `tests/scenarios/README.md` for
//! the notation.
//!
//! The expected messages are written by hand from the contract, never taken from a program; the oracle is bound by
//! them as much as the engine.

mod parse;
mod run;
mod words;

use std::collections::BTreeMap;
use std::path::Path;

use tocsin_schemas::codes::{Change, Level, Reason, Role, Rule, Scope, Severity, State};
use tocsin_schemas::ids::{ReportKey, Uscc};
use tocsin_schemas::records::Window;
use tocsin_schemas::time::{Day, Month};

pub use run::{Schedule, run, run_with};

use crate::histories::{History, Step};
use crate::policy::OraclePolicy;

/// One file.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its title in Chinese, and in English.
    pub title: String,
    /// Why it matters, in one sentence.
    pub why: String,
    /// The tables in force; at least one.
    pub policies: Vec<OraclePolicy>,
    /// What arrives, and what must follow.
    pub scenes: Vec<Scene>,
}

/// One instant of a scenario.
#[derive(Debug, Clone)]
pub struct Scene {
    /// The line of the file, from 1.
    pub line: usize,
    /// What arrives; nothing: the midnights up to this instant's day.
    pub step: Step,
    /// What is said is written, be it that nothing is.
    pub(crate) spoken: bool,
    pub(crate) said: Vec<Expected>,
    /// What the clerk is shown: exactly this.
    pub(crate) shown: Vec<Shown>,
    pub(crate) after: Vec<After>,
}

/// One thing that the clerk must be shown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shown {
    /// In the order of succession; the day if a midnight closed the circle.
    Loop { members: Vec<Uscc>, since: Option<Day> },
    /// A headcount and that of the month before.
    Jump { uscc: Uscc, month: Month, insured: u32, before: u32 },
}

/// One message that must be said. What is `None` here is not looked at, unless its doc says otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    pub(crate) text: String,
    pub(crate) rule: Rule,
    pub(crate) change: Change,
    /// `owner_incident`: the incident's letter.
    pub(crate) letter: Option<String>,
    /// `escalation`: the subject. `owner_incident`: the enterprise that the alert is about.
    pub(crate) uscc: Option<Uscc>,
    /// Exactly these, with the year to date where given.
    pub(crate) audiences: Vec<(Role, String, Option<u32>)>,
    /// Exactly this.
    pub(crate) level: Option<Level>,
    pub(crate) severity: Option<Severity>,
    pub(crate) count: Option<u32>,
    /// Exactly this.
    pub(crate) reason: Option<Reason>,
    pub(crate) incidents: Option<Vec<String>>,
    pub(crate) reports: Option<Vec<ReportKey>>,
    pub(crate) episode: Option<u32>,
    pub(crate) revision: Option<u32>,
}

/// Something that must be so after a scene.
#[derive(Debug, Clone)]
pub(crate) enum After {
    Incident {
        text: String,
        letter: String,
        state: State,
        uscc: Option<Uscc>,
        persons: Option<u32>,
        severity: Option<Severity>,
        reports: Option<Vec<ReportKey>>,
    },
    /// Counted incidents told to nobody, by reason; all of them.
    NotDue(BTreeMap<Reason, u64>),
    /// Accepted, duplicates, stale, conflicts.
    Counters(String, BTreeMap<String, u64>),
    Rate(Box<RateRow>),
}

#[derive(Debug, Clone)]
pub(crate) struct RateRow {
    pub(crate) text: String,
    pub(crate) scope: Scope,
    pub(crate) key: String,
    pub(crate) window: Window,
    pub(crate) incidents: u32,
    pub(crate) persons: u32,
    pub(crate) headcount: Option<f64>,
    pub(crate) per_thousand: Option<f64>,
}

/// Every `*.scenario` of a folder with its name, by name.
///
/// # Errors
/// A file that cannot be read or is not understood, with the line.
pub fn load(folder: &Path) -> Result<Vec<(String, Scenario)>, String> {
    let unreadable = |e: std::io::Error| format!("{}: {e}", folder.display());
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|e| e == "scenario") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).map_err(unreadable)?;
            let scenario = Scenario::parse(&text).map_err(|e| format!("{name}: {e}"))?;
            all.push((name, scenario));
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(all)
}

impl Scenario {
    /// Reads one file.
    ///
    /// # Errors
    /// The line that is not understood, and why.
    pub fn parse(text: &str) -> Result<Scenario, String> {
        parse::parse(text)
    }

    /// The scenario as a history, for whoever makes a [`crate::Subject`] from one.
    pub fn history(&self) -> History {
        History {
            policies: self.policies.clone(),
            steps: self.scenes.iter().map(|s| s.step.clone()).collect(),
        }
    }
}
