//! The files of a `tocsin replay` against the oracle, which decides the same stream anew; the options are the replay's:
//! `cargo run --release -p tocsin-oracle --example against -- STREAM.jsonl OUT [--policy-from DAY] [--as-of DAY]`.
//!
//! Compared: every incident, rate, flag, quarantined line and message of the files with the oracle's, field by
//! field and number by number, the live lists, and the sums of `summary.json`. Exit code 1 and the first differences if there are any.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use serde_json::{Value, json};
use tocsin_oracle::{Finding, Oracle, OraclePolicy, Said, Step, compare_lists, spread};
use tocsin_schemas::codes::{Change, List, Scope, State};
use tocsin_schemas::door::{admit, admit_line};
use tocsin_schemas::ids::ReportKey;
use tocsin_schemas::records::{Digest, Incident, Listed, Rate, Record};
use tocsin_schemas::time::{Day, Instant, Month};
use tocsin_schemas::wire::NoIds;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What the oracle makes of a stream.
#[derive(Default)]
struct Expected {
    alerts: Vec<Value>,
    suppressed: u64,
    quarantined: Vec<Value>,
    flags: Vec<Value>,
    /// How many of the oracle's findings are among the flags.
    shown: usize,
    lines: u64,
}

/// Judges the files of a `tocsin replay` by the oracle. Exit code 1: they differ.
#[derive(clap::Parser)]
struct Args {
    /// What was replayed.
    #[arg(value_name = "STREAM.jsonl")]
    stream: PathBuf,
    /// The folder that the replay wrote.
    #[arg(value_name = "OUT")]
    out: PathBuf,
    /// As the replay had it.
    #[arg(long, value_name = "DAY")]
    policy_from: Option<Day>,
    /// As the replay had it.
    #[arg(long, value_name = "DAY")]
    as_of: Option<Day>,
}

fn read(path: &Path) -> Outcome<Vec<u8>> {
    fs::read(path).map_err(|e| format!("{}: {e}", path.display()).into())
}

fn main() -> Outcome<ExitCode> {
    let args = Args::parse();
    let mut oracle =
        Oracle::new(vec![args.policy_from.map_or_else(OraclePolicy::default, OraclePolicy::from)]);
    let mut expected = decide(&read(&args.stream)?, &mut oracle);
    if let Some(day) = args.as_of {
        let said = oracle.tick_to(day);
        expected.say(said);
        expected.show(&oracle, Vec::new(), &[]);
    }
    let out = &*args.out;
    let mut wrong = usize::from(!listed(&mut oracle, &out.join("lists.jsonl"))?);
    let (rates, statistics): (Vec<Rate>, Vec<Rate>) =
        oracle.rates().into_iter().partition(|r| Scope::RATES.contains(&r.scope));
    let rows = |rates: &[Rate]| {
        let mut rows: Vec<Value> = rates.iter().map(of_rate).collect();
        rows.sort_by_key(|r| ["scope", "key", "window"].map(|f| r[f].to_string()));
        rows
    };
    let (rates, statistics) = (rows(&rates), rows(&statistics));
    let mut incidents: Vec<Incident> = oracle.incidents();
    incidents.retain(|i| i.state != State::Gone);
    let incidents: Vec<Value> = incidents.iter().map(of_incident).collect();

    let mut check = |file: &str, ours: &[Value], fields: Option<&[&str]>| -> Outcome<()> {
        let theirs = lines(&out.join(file), fields)?;
        let differ: Vec<(usize, &Value, &Value)> = (1..)
            .zip(ours.iter().zip(&theirs))
            .filter(|(_, (o, t))| !same(o, t))
            .map(|(n, (o, t))| (n, o, t))
            .collect();
        for (n, ours, theirs) in differ.iter().take(3) {
            println!("{file} line {n}:\n  oracle {ours}\n  replay {theirs}");
        }
        let same = differ.is_empty() && ours.len() == theirs.len();
        println!(
            "{file:<16} {:>6} lines by the oracle, {:>6} in the file: {}",
            ours.len(),
            theirs.len(),
            if same { "equal" } else { "DIFFERENT" }
        );
        wrong += usize::from(!same);
        Ok(())
    };
    check("incidents.jsonl", &incidents, None)?;
    check("rates.jsonl", &rates, None)?;
    check("statistics.jsonl", &statistics, None)?;
    let said: Vec<&str> = SAID.to_vec();
    check("alerts.jsonl", &expected.alerts, Some(&said))?;
    check("quarantine.jsonl", &expected.quarantined, Some(&["line", "reason"]))?;
    check("flags.jsonl", &expected.flags, Some(&["line", "topic", "field", "problem", "found"]))?;
    let summary: Value = serde_json::from_slice(&read(&out.join("summary.json"))?)?;
    let counters = oracle.counters();
    let mut states: BTreeMap<String, u64> = BTreeMap::new();
    for incident in &incidents {
        *states.entry(incident["state"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    let not_due: BTreeMap<String, u64> =
        oracle.not_due().iter().map(|(reason, n)| (reason.as_str().to_owned(), *n)).collect();
    let sums = json!({
        "lines": expected.lines, "accepted": counters.accepted, "duplicates": counters.duplicates,
        "stale": counters.stale, "conflicts": counters.conflicts, "quarantined": expected.quarantined.len(),
        "incidents": states, "not_due": not_due, "unaccounted": oracle.unaccounted(),
    });
    for (field, ours) in sums.as_object().into_iter().flatten() {
        if summary[field] != *ours {
            println!("summary.json {field}: oracle {ours}, replay {}", summary[field]);
            wrong += 1;
        }
    }
    println!("{sums}; suppressed {}", expected.suppressed);
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Holds the lists of the year and the one before against the oracle's; what is frozen is left out. From here on the
/// oracle's shrunken rates come from their model, which was judged.
fn listed(oracle: &mut Oracle, file: &Path) -> Outcome<bool> {
    let text = String::from_utf8(read(file)?)?;
    let all: Result<Vec<Listed>, _> = text.lines().map(serde_json::from_str).collect();
    let at = oracle.clock().unwrap_or(Instant(0));
    let last_year = i32::from(at.day().year()) - 1;
    let annual = all?.into_iter().filter(|l| l.list == List::Annual);
    let (live, left): (Vec<Listed>, Vec<Listed>) = annual.partition(|l| l.year >= last_year);
    let nothing = Step { adopt: None, at, arrivals: Vec::new(), flagged: 0 };
    let compared = compare_lists(oracle, &nothing, &live, &[], &left);
    oracle.shrink_by(spread(&live, oracle.clock()));
    match &compared {
        Ok(seen) => println!(
            "{:<16} {:>6} key, {:>6} general, {:>6} tests not to be made: equal",
            "lists.jsonl", seen.key, seen.general, seen.undetermined
        ),
        Err(why) => {
            println!("lists.jsonl DIFFERENT:\n{}", why.lines().take(6).collect::<Vec<_>>().join("\n"))
        }
    }
    Ok(compared.is_ok())
}

/// Decides the whole stream: a batch is a run of lines with one `arrived_at`.
fn decide(stream: &[u8], oracle: &mut Oracle) -> Expected {
    let mut expected = Expected::default();
    let mut batch: Vec<(Record, Digest, Instant)> = Vec::new();
    // The lines of its records, and what the door flagged in them.
    let (mut numbers, mut flags) = (Vec::new(), Vec::new());
    let mut at: Option<Instant> = None;
    let lines: Vec<&[u8]> = stream.split(|b| *b == b'\n').filter(|l| !l.is_empty()).collect();
    for (n, line) in (1u64..).zip(&lines) {
        expected.lines += 1;
        let line = match admit_line(line) {
            Ok(line) => line,
            Err(refused) => {
                expected.quarantined.push(json!({"line": n, "reason": refused.refusal.reason.to_string()}));
                continue;
            }
        };
        if let Some(before) = at.filter(|before| *before != line.arrived_at) {
            let said = oracle.arrive(before, std::mem::take(&mut batch));
            expected.say(said);
            expected.show(oracle, std::mem::take(&mut flags), &std::mem::take(&mut numbers));
        }
        at = Some(line.arrived_at);
        match admit(&line.topic, line.value, line.arrived_at, &NoIds) {
            Ok(admitted) => {
                flags.extend(admitted.flags.iter().map(|f| {
                    json!({"line": n, "topic": line.topic, "field": f.field, "problem": f.problem, "found": f.found})
                }));
                numbers.push(n);
                batch.push((admitted.record, admitted.digest, line.arrived_at));
            }
            Err(refusal) => {
                expected.quarantined.push(json!({"line": n, "reason": refusal.reason.to_string()}))
            }
        }
        if n.is_multiple_of(1000) && std::io::stderr().is_terminal() {
            eprint!("\r{n} of {} lines", lines.len());
        }
    }
    if let Some(at) = at {
        let said = oracle.arrive(at, batch);
        expected.say(said);
        expected.show(oracle, flags, &numbers);
    }
    expected
}

impl Expected {
    /// What the clerk is shown of a batch: the door's flags, and what the oracle found since the last call.
    fn show(&mut self, oracle: &Oracle, mut flags: Vec<Value>, numbers: &[u64]) {
        let new = &oracle.findings()[self.shown..];
        self.shown += new.len();
        flags.extend(new.iter().map(|finding| of_finding(finding, numbers)));
        // By line; what a midnight brought has none and comes first.
        flags.sort_by_key(|flag| flag["line"].as_u64());
        self.flags.extend(flags);
    }

    fn say(&mut self, said: Vec<Said>) {
        for said in said {
            if said.change == Change::Suppressed {
                self.suppressed += 1;
            } else {
                self.alerts.push(of_said(&said));
            }
        }
    }
}

/// The fields of alerts.jsonl that the oracle has.
const SAID: [&str; 14] = [
    "rule",
    "change",
    "subject",
    "episode",
    "revision",
    "audiences",
    "level",
    "severity",
    "incident_ids",
    "reports",
    "count",
    "as_of",
    "decided_at",
    "reason",
];

fn texts(reports: &[ReportKey]) -> Vec<String> {
    let mut texts: Vec<String> = reports.iter().map(ToString::to_string).collect();
    texts.sort();
    texts
}

fn of_said(said: &Said) -> Value {
    let audiences: Vec<Value> =
        said.audiences.iter().map(|(role, subject, _)| json!({"role": role, "subject": subject})).collect();
    let mut value = json!({
        "rule": said.rule, "change": said.change, "subject": said.subject, "episode": said.episode,
        "revision": said.revision, "audiences": audiences, "incident_ids": said.incident_ids,
        "reports": texts(&said.reports), "count": said.count, "as_of": said.as_of,
        "decided_at": said.decided_at, "reason": said.reason,
    });
    if let Some(level) = said.level {
        value["level"] = json!(level);
    }
    if let Some(severity) = said.severity {
        value["severity"] = json!(severity);
    }
    value
}

fn of_finding(finding: &Finding, numbers: &[u64]) -> Value {
    match finding {
        Finding::Jump { uscc, month, insured, before, arrival } => {
            let found = format!("{uscc}: {before} in {}, {insured} in {month}", Month(month.0 - 1));
            json!({"line": numbers[*arrival], "topic": "registry.headcount", "field": "insured",
                "problem": "headcount_jump", "found": found})
        }
        Finding::Loop { members, arrival, since } => {
            let round: Vec<String> = members.iter().chain(members.first()).map(ToString::to_string).collect();
            let from = if arrival.is_none() { format!(" from {since} on") } else { String::new() };
            json!({"line": arrival.map(|n| numbers[n]), "topic": "registry.enterprises", "field": "successor_of",
                "problem": "succession_loop", "found": round.join(" -> ") + &from})
        }
    }
}

fn of_incident(i: &Incident) -> Value {
    json!({
        "incident_id": i.incident_id, "uscc": i.uscc, "occurred_on": i.occurred_on, "category": i.category,
        "severity": i.severity, "persons": i.persons, "state": i.state, "reports": texts(&i.reports),
        "first_arrived_at": i.first_arrived_at,
    })
}

/// Equal, but for what rests on logarithms and roots: that to nine digits.
fn same(ours: &Value, theirs: &Value) -> bool {
    let mut theirs = theirs.clone();
    for field in ["low", "high", "shrunken"] {
        if let (Some(a), Some(b)) = (ours[field].as_f64(), theirs[field].as_f64())
            && (a - b).abs() <= 1e-9 * a.abs()
        {
            theirs[field] = ours[field].clone();
        }
    }
    *ours == theirs
}

fn of_rate(r: &Rate) -> Value {
    json!({
        "scope": r.scope, "key": r.key, "window": r.window, "as_of": r.as_of, "incidents": r.incidents,
        "persons": r.persons, "incidents_with_headcount": r.incidents_with_headcount,
        "headcount": r.headcount, "per_thousand": r.per_thousand, "reason": r.reason, "low": r.low,
        "high": r.high, "shrunken": r.shrunken, "shrunken_reason": r.shrunken_reason, "rankable": r.rankable,
        "other": r.other,
    })
}

/// The lines of a file, cut down to some fields.
fn lines(path: &Path, fields: Option<&[&str]>) -> Outcome<Vec<Value>> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut all = Vec::new();
    for line in text.lines() {
        let mut value: Value = serde_json::from_str(line)?;
        if let (Some(object), Some(fields)) = (value.as_object_mut(), fields) {
            object.retain(|name, _| fields.contains(&name.as_str()));
        }
        all.push(value);
    }
    Ok(all)
}
