//! The pages for people. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tocsin_alerts::{ledger, quota};
use tocsin_schemas::codes::Says;
use tocsin_schemas::records::Delivery;

use super::answer::{Reconciliation, What};
use super::deliveries::Found;
use super::{Page, rung};
use crate::lists::table::{Rows, clean};

/// Rows of a page.
const MOST: usize = usize::MAX;

/// A reconciliation.
pub fn reconciliation(page: &Page) -> String {
    let found = &page.found;
    let mut out = String::new();
    let at = |clock: Option<_>, never: &str| {
        clock.map_or_else(|| never.to_owned(), |c: tocsin_schemas::time::Instant| c.to_string())
    };
    let _ = writeln!(out, "Decided up to:    {}", at(page.clock, "nothing was decided yet"));
    let _ = writeln!(out, "Delivered up to:  {}", at(page.delivered_to, "the alert worker never ran here"));
    let policy = match &page.policy_hash {
        None => "none".to_owned(),
        Some(hash) => {
            let hash: String = hash.chars().take(12).collect();
            let how = if page.reasons_judged {
                "reasons judged by it"
            } else {
                "not at hand: give it with --policy; reasons not judged"
            };
            format!("hash {hash}…, {how}")
        }
    };
    let _ = writeln!(out, "Policy:           {policy}\n");
    let mut rows = Rows::new(&["<CASES", "<STANDING", "<REASON", "NUMBER"], MOST);
    for row in &found.rows {
        let what = match row.what {
            What::Counted => "incidents, counted",
            What::NotCounted => "incidents, not counted any more",
            What::Warning => "warnings",
        };
        let (standing, reason) = (row.standing.as_str(), row.standing.reason());
        let cells = vec![what.to_owned(), standing.to_owned(), clean(reason), row.cases.to_string()];
        rows.add(cells, standing == "unaccounted");
    }
    let _ = writeln!(out, "{}", rows.shown());
    let mut rows = Rows::new(&["<MESSAGES", "<REASON", "NUMBER"], MOST);
    for (state, reasons) in &found.messages {
        for (reason, n) in reasons {
            rows.add(vec![state.clone(), clean(reason), n.to_string()], false);
        }
    }
    let _ = writeln!(out, "{}", rows.shown());
    if let Some(since) = found.pending_since {
        let _ = writeln!(out, "The oldest decision with a message on its way is of {since}.");
    }
    if page.reasons_judged && !found.unjudged.is_empty() {
        let n = found.unjudged.len();
        let _ =
            writeln!(out, "Of {n} suppressed incidents the records do not say whether the reason is right.");
    }
    if !found.missing.is_empty() {
        let headings = ["<CASE", "<STEP", "<ENTERPRISE", "<ALERT", "<TO", "<WHAT"];
        let mut rows = Rows::new(&headings, MOST);
        let mut steps = BTreeMap::new();
        for m in &found.missing {
            steps.insert(m.step, m.next_step);
            let to = match (&m.role, &m.subject) {
                (Some(role), Some(subject)) => format!("{role} {subject}"),
                _ => String::new(),
            };
            let uscc = m.uscc.map(|u| u.to_string()).unwrap_or_default();
            let alert = m.alert_id.clone().unwrap_or_default();
            rows.add(
                vec![
                    m.case_no.clone(),
                    m.step.as_str().to_owned(),
                    uscc,
                    alert,
                    clean(&to),
                    m.detail.clone(),
                ],
                true,
            );
        }
        let _ = writeln!(out, "UNACCOUNTED\n{}", rows.shown());
        for (step, next) in steps {
            let _ = writeln!(out, "{}: {next}.", step.as_str());
        }
        out.push('\n');
    }
    let _ = writeln!(out, "{}", line(found, What::Counted));
    let _ = writeln!(out, "{}", line(found, What::Warning));
    out
}

/// One kind of cases in one line that adds up.
pub fn line(found: &Reconciliation, what: What) -> String {
    let mut standings: BTreeMap<&str, (u64, Vec<String>)> = BTreeMap::new();
    let (mut all, mut unaccounted) = (0, 0);
    for row in found.rows.iter().filter(|row| row.what == what) {
        all += row.cases;
        if row.standing.as_str() == "unaccounted" {
            unaccounted += row.cases;
            continue;
        }
        let (n, reasons) = standings.entry(row.standing.as_str()).or_default();
        *n += row.cases;
        if !row.standing.reason().is_empty() {
            reasons.push(format!("{} {}", row.cases, row.standing.reason()));
        }
    }
    let mut parts: Vec<String> = Vec::new();
    for name in ["told", "suppressed", "pending", "not_delivered", "recorded"] {
        if let Some((n, reasons)) = standings.get(name) {
            let why = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
            parts.push(format!("{n} {}{why}", name.replace('_', " ")));
        }
    }
    let (one, many) = match what {
        What::Counted => ("incident counted", "incidents counted"),
        What::NotCounted => ("incident not counted any more", "incidents not counted any more"),
        What::Warning => ("warning", "warnings"),
    };
    let parts = if parts.is_empty() { "0 told".to_owned() } else { parts.join(" + ") };
    format!("{all} {} = {parts}; unaccounted {unaccounted}", if all == 1 { one } else { many })
}

/// Where the column of whoever was rung in somebody's place stands.
const AFTER_TO: usize = 3;

/// A list of deliveries.
pub fn deliveries(all: &[Delivery], top: usize) -> String {
    let mut headings = vec![
        "<AT",
        "<CASE",
        "<TO",
        "<CHANNEL",
        "<TEXT",
        "<STATE",
        "<REASON",
        "REQUESTS",
        "<DUE",
        "<DELIVERY",
    ];
    // Mostly nobody else is rung.
    let instead = all.iter().any(|d| rung(d).is_some());
    if instead {
        headings.insert(AFTER_TO, "<RUNG INSTEAD");
    }
    let mut rows = Rows::new(&headings, top);
    for d in all {
        let state = format!("{}{}", d.state, if d.uncertain { ", uncertain" } else { "" });
        let mut cells = vec![
            d.at.to_string(),
            clean(&d.case_no),
            clean(&format!("{} {}", d.role, d.subject)),
            clean(&d.channel),
            clean(&d.template),
            state,
            clean(d.reason.as_deref().unwrap_or_default()),
            d.attempt.to_string(),
            d.due_at.map(|due| due.to_string()).unwrap_or_default(),
            d.delivery_id.clone(),
        ];
        if instead {
            let whom = rung(d).map(|(role, subject)| format!("{role} {subject}")).unwrap_or_default();
            cells.insert(AFTER_TO, clean(&whom));
        }
        let bad = d.state == tocsin_schemas::records::DeliveryState::Failed
            || ledger::said(d) == Some(Says::NotOurs);
        rows.add(cells, bad);
    }
    rows.shown()
}

/// What was found of one case, alert or delivery.
pub fn show(found: &Found) -> String {
    let mut out = String::new();
    for alert in &found.alerts {
        let reason = alert.reason.map(|r| format!(", {r}")).unwrap_or_default();
        let _ = writeln!(
            out,
            "{} {} of {}, decided at {}{reason}: alert {}",
            alert.rule, alert.change, alert.case_no, alert.decided_at, alert.alert_id
        );
        // A digest has the alert of the first message that joined it.
        let of = |d: &&Delivery| d.alert_id == alert.alert_id && !quota::is_digest(d);
        let steps: Vec<Delivery> = found.steps.iter().filter(of).cloned().collect();
        let silent = alert.audiences.is_empty();
        match (steps.is_empty(), silent) {
            (true, true) => out += "  nobody is told of it\n",
            (true, false) => {
                out += "  no delivery is recorded: tocsin ledger reconcile says whether it is on its way\n"
            }
            (false, _) => {
                for line in deliveries(&steps, MOST).lines() {
                    let _ = writeln!(out, "  {line}");
                }
            }
        }
        out.push('\n');
    }
    let digests: Vec<Delivery> = found.steps.iter().filter(|d| quota::is_digest(d)).cloned().collect();
    if !digests.is_empty() {
        let _ = writeln!(
            out,
            "Digests; each stands for the messages whose reason is in_digest and its id:\n{}",
            deliveries(&digests, MOST)
        );
        let _ = match found.members.len() {
            0 => writeln!(out, "No message is in them: whatever was has left them before they went out."),
            n => writeln!(out, "In them, {n}:\n{}", deliveries(&found.members, MOST)),
        };
    }
    let lost: Vec<Delivery> = found
        .steps
        .iter()
        .filter(|d| !quota::is_digest(d) && !found.alerts.iter().any(|a| a.alert_id == d.alert_id))
        .cloned()
        .collect();
    if !lost.is_empty() {
        let _ = writeln!(out, "Deliveries of alerts that are not in alerts:\n{}", deliveries(&lost, MOST));
    }
    for asked in &found.retries {
        let became = match &asked.retry_id {
            Some(id) => format!("delivery {id}"),
            None => "nothing yet: the alert worker is not running, or its log says why not".to_owned(),
        };
        let _ = writeln!(
            out,
            "On {} {} asked that {} is said after all ({}): {became}",
            asked.on,
            clean(&asked.author),
            asked.delivery_id,
            clean(&asked.reason),
        );
    }
    out
}
