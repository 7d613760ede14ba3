//! The typed policy: every threshold that a rule uses, effective-dated, hashed into each alert.
//!
//! One TOML text holds `[[policy]]` tables, each with `effective_from`; a value that is left out has the
//! default of records.md section 4. The table of a day is the last one whose `effective_from` is not after
//! it; before the first table the first one holds.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tocsin_schemas::time::Day;

/// All tables, oldest first. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policies {
    tables: Vec<Policy>,
    hash: Arc<str>,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The first day on which this table holds (S1; the default file: 2020-11-20).
    pub effective_from: Day,
    /// Escalation to township and departments (S20).
    #[serde(default)]
    pub escalation: Escalation,
    /// The alert to the owner (S15).
    #[serde(default)]
    pub owner_alert: OwnerAlert,
    /// What counts as one case and one incident.
    #[serde(default)]
    pub merge: Merge,
    /// What counts as severe (S26).
    #[serde(default)]
    pub severity: SeverityLimits,
}

/// Incidents in the window that open each level (S20).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Escalation {
    /// Days of the rolling window, 1 to 3660.
    pub window_days: u16,
    /// Incidents for blue.
    pub blue: u32,
    /// Incidents for yellow.
    pub yellow: u32,
    /// Incidents for orange.
    pub orange: u32,
    /// Incidents for red.
    pub red: u32,
    /// Whether a single severe or fatal incident is red.
    pub severe_is_red: bool,
}

impl Default for Escalation {
    fn default() -> Self {
        Escalation { window_days: 365, blue: 2, yellow: 3, orange: 4, red: 5, severe_is_red: true }
    }
}

/// When an owner is told (S15).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OwnerAlert {
    /// Days between accident and first counting arrival beyond which nobody is told.
    pub max_age_days: u32,
}

impl Default for OwnerAlert {
    fn default() -> Self {
        OwnerAlert { max_age_days: 90 }
    }
}

/// What counts as one (records.md section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Merge {
    /// A gap of more days than this between two reports of a person begins a new case.
    pub case_days: u32,
    /// Cases of one cause whose times differ by at most these minutes are one incident.
    pub incident_minutes: u32,
}

impl Default for Merge {
    fn default() -> Self {
        Merge { case_days: 3, incident_minutes: 30 }
    }
}

/// What is severe (GB 6441-1986; records.md section 2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeverityLimits {
    /// Lost days from which an injury is severe.
    pub severe_lost_days: u32,
    /// The mildest disability grade (1 worst, 10 mildest) that is severe.
    pub severe_grade_max: u8,
}

impl Default for SeverityLimits {
    fn default() -> Self {
        SeverityLimits { severe_lost_days: 105, severe_grade_max: 6 }
    }
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct File {
    policy: Vec<Policy>,
}

/// A policy text that cannot be used; the operator acts. The message names the line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("policy: {0}")]
pub struct PolicyError(String);

impl Policies {
    /// Reads the TOML text of a policy file.
    ///
    /// # Errors
    /// Unknown keys, wrong types and values out of range, each with its line and what was expected.
    pub fn parse(text: &str) -> Result<Policies, PolicyError> {
        let file: File = toml::from_str(text).map_err(|e| PolicyError(e.to_string()))?;
        Policies::new(file.policy)
    }

    /// From tables in any order.
    ///
    /// # Errors
    /// No table, two tables of one day, or values that contradict each other.
    pub fn new(mut tables: Vec<Policy>) -> Result<Policies, PolicyError> {
        tables.sort_by_key(|t| t.effective_from);
        if tables.is_empty() {
            return Err(PolicyError("expected at least one [[policy]] table, found none".into()));
        }
        if let Some(pair) = tables.windows(2).find(|p| p[0].effective_from == p[1].effective_from) {
            return Err(PolicyError(format!("two tables are effective from {}", pair[0].effective_from)));
        }
        for table in &tables {
            let e = &table.escalation;
            let wrong = |what: String| Err(PolicyError(format!("table of {}: {what}", table.effective_from)));
            if !(1..=3660).contains(&e.window_days) {
                return wrong(format!("escalation.window_days must be 1 to 3660, found {}", e.window_days));
            }
            if e.blue < 1 || !(e.blue <= e.yellow && e.yellow <= e.orange && e.orange <= e.red) {
                return wrong(format!(
                    "escalation levels must rise from at least 1: blue {} yellow {} orange {} red {}",
                    e.blue, e.yellow, e.orange, e.red
                ));
            }
            if table.severity.severe_grade_max > 10 {
                let found = table.severity.severe_grade_max;
                return wrong(format!("severity.severe_grade_max must be 0 to 10, found {found}"));
            }
        }
        let text =
            toml::to_string(&File { policy: tables.clone() }).map_err(|e| PolicyError(e.to_string()))?;
        let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(text)).into();
        Ok(Policies { tables, hash })
    }

    /// The same policy from another day on: `--policy-from`, to run on old history.
    ///
    /// # Errors
    /// When there are several tables: it would not be clear which one is meant.
    pub fn effective_from(self, day: Day) -> Result<Policies, PolicyError> {
        match self.tables.as_slice() {
            [one] => Policies::new(vec![Policy { effective_from: day, ..one.clone() }]),
            many => Err(PolicyError(format!(
                "one table can be moved to {day}, but there are {}: leave out --policy-from or the other tables",
                many.len()
            ))),
        }
    }

    /// The table that holds on a day.
    pub fn on(&self, day: Day) -> &Policy {
        let after = self.tables.partition_point(|t| t.effective_from <= day);
        &self.tables[after.saturating_sub(1)]
    }

    /// The day on which anything begins to be decided.
    pub fn begins(&self) -> Day {
        self.tables[0].effective_from
    }

    /// The tables, oldest first.
    pub fn tables(&self) -> &[Policy] {
        &self.tables
    }

    /// SHA-256 (hex) over all values, defaults filled in: equal for equal policies however written.
    pub fn hash(&self) -> &Arc<str> {
        &self.hash
    }
}

impl Default for Policies {
    /// The default file: one table from 2020-11-20 (S1).
    fn default() -> Self {
        #[allow(clippy::unwrap_used, reason = "a constant that a test reads")]
        Policies::parse("[[policy]]\neffective_from = \"2020-11-20\"\n").unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_the_contracts() {
        let p = Policies::default();
        assert_eq!(p.begins().to_string(), "2020-11-20");
        assert_eq!((p.tables()[0].escalation.red, p.tables()[0].owner_alert.max_age_days), (5, 90));
    }

    #[test]
    fn the_table_of_a_day_is_the_last_one_not_after_it() {
        let p = Policies::parse(
            "[[policy]]\neffective_from = \"2021-01-01\"\n[policy.escalation]\nblue = 1\n[[policy]]\neffective_from = \"2020-01-01\"\n",
        )
        .unwrap();
        let blue = |d: &str| p.on(d.parse().unwrap()).escalation.blue;
        assert_eq!((blue("2019-06-01"), blue("2020-12-31"), blue("2021-01-01")), (2, 2, 1));
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_the_line() {
        let e = Policies::parse("[[policy]]\neffective_from = \"2020-11-20\"\nescalation.gren = 3\n")
            .unwrap_err();
        assert!(e.to_string().contains("line 3") && e.to_string().contains("gren"), "{e}");
        assert!(
            Policies::parse("[[policy]]\neffective_from = \"2020-11-20\"\nescalation.blue = 9\n").is_err()
        );
        assert!(Policies::parse("").is_err());
    }

    #[test]
    fn the_hash_is_over_values_not_over_text() {
        let a = Policies::parse("[[policy]]\neffective_from = \"2020-11-20\"\n# a remark\n").unwrap();
        let b = Policies::parse("[[policy]]\neffective_from='2020-11-20'\nescalation.blue=2\n").unwrap();
        let c = Policies::parse("[[policy]]\neffective_from='2020-11-20'\nescalation.blue=1\n").unwrap();
        assert_eq!(a.hash(), b.hash());
        assert_ne!(a.hash(), c.hash());
        assert_eq!(a.hash(), Policies::default().hash());
    }
}
