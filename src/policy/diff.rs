//! `tocsin policy diff OLD NEW`: what differs, day by day and field by field.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;
use tocsin_pipeline::Policies;
use tocsin_pipeline::policy::Value;
use tocsin_schemas::time::Day;

use super::{fields, page, read};
use crate::exit::{CommandResult, Failure};
use crate::output::say;

/// What to compare.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The policy file that holds.
    #[arg(value_name = "OLD")]
    pub old: PathBuf,
    /// The one that is to hold.
    #[arg(value_name = "NEW")]
    pub new: PathBuf,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// One difference, from a day on until the next day on which one of the two begins a table.
#[derive(Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The day.
    pub effective_from: Day,
    /// The field; `table`: whether one begins on that day.
    pub field: String,
    /// Its value on that day in the old one.
    pub old: String,
    /// The same in the new one.
    pub new: String,
    /// Its rows of the notice.
    pub rows: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct Answer<'a> {
    equal: bool,
    old_hash: &'a str,
    new_hash: &'a str,
    differences: &'a [Difference],
}

/// What differs, by day, then by field.
pub fn differences(old: &Policies, new: &Policies) -> Vec<Difference> {
    let begins = |policies: &Policies, day: Day| policies.tables().iter().any(|t| t.effective_from == day);
    let days: BTreeSet<Day> = old.tables().iter().chain(new.tables()).map(|t| t.effective_from).collect();
    let mut all = Vec::new();
    for day in days {
        let (was, is) = (begins(old, day), begins(new, day));
        if was != is {
            let word = |begins: bool| if begins { "begins" } else { "none" }.to_owned();
            let (field, rows) = ("table".to_owned(), vec!["S1"]);
            all.push(Difference { effective_from: day, field, old: word(was), new: word(is), rows });
        }
        let values: Vec<(Value, Value)> =
            old.on(day).values().into_iter().zip(new.on(day).values()).collect();
        for ((field, of), (was, is)) in fields().zip(values).filter(|(_, (was, is))| was != is) {
            let (old, new) = (was.to_string(), is.to_string());
            all.push(Difference { effective_from: day, field, old, new, rows: of.rows() });
        }
    }
    all
}

/// The differences for the eye.
pub fn table(differences: &[Difference]) -> comfy_table::Table {
    let mut rows = page(&["from", "field", "old", "new", "notice"]);
    for d in differences {
        rows.add_row([
            d.effective_from.to_string(),
            d.field.clone(),
            d.old.clone(),
            d.new.clone(),
            d.rows.join(", "),
        ]);
    }
    rows
}

/// Runs it.
///
/// # Errors
/// A failure if they differ; a wrong call if one of them cannot be used.
pub fn run(args: &Args) -> CommandResult {
    let (old, new) = (read(&args.old)?, read(&args.new)?);
    let found = differences(&old, &new);
    if args.json {
        let (old_hash, new_hash) = (old.hash(), new.hash());
        let answer = Answer { equal: found.is_empty(), old_hash, new_hash, differences: &found };
        say!("{}", serde_json::to_string_pretty(&answer).map_err(Failure::failed)?);
    } else if !found.is_empty() {
        say!("{}", table(&found));
    }
    match found.len() {
        0 => {
            if !args.json {
                say!("the two say the same, hash {}", new.hash());
            }
            Ok(())
        }
        1 => Err(Failure::failed("the two differ in one place")),
        n => Err(Failure::failed(format!("the two differ in {n} places"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Policies {
        Policies::parse(text).unwrap()
    }

    fn short(old: &str, new: &str) -> Vec<String> {
        let line = |d: Difference| format!("{} {} {} {}", d.effective_from, d.field, d.old, d.new);
        differences(&of(old), &of(new)).into_iter().map(line).collect()
    }

    #[test]
    fn a_field_is_compared_on_every_day_on_which_one_of_the_two_begins_a_table() {
        let old = "[[policy]]\neffective_from = \"2020-11-20\"\n";
        let blue = "[[policy]]\neffective_from = \"2020-11-20\"\nescalation.blue = 1\n";
        let later = format!("{old}[[policy]]\neffective_from = \"2026-01-01\"\nescalation.blue = 3\n");
        assert_eq!(short(old, old), Vec::<String>::new());
        assert_eq!(short(old, blue), ["2020-11-20 escalation.blue 2 1"]);
        assert_eq!(short(old, &later), ["2026-01-01 table none begins", "2026-01-01 escalation.blue 2 3"]);
        assert_eq!(
            short(&later, blue),
            [
                "2020-11-20 escalation.blue 2 1",
                "2026-01-01 table begins none",
                "2026-01-01 escalation.blue 3 1"
            ]
        );
    }

    /// Equal hashes and no differences are the same thing.
    #[test]
    fn a_table_that_repeats_what_holds_is_a_difference_too() {
        let one = "[[policy]]\neffective_from = \"2020-11-20\"\n";
        let two = format!("{one}[[policy]]\neffective_from = \"2026-01-01\"\n");
        assert_eq!(short(one, &two), ["2026-01-01 table none begins"]);
        assert_ne!(of(one).hash(), of(&two).hash());
    }
}
