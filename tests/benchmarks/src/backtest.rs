//! (k) `tocsin backtest` over ten years of a city: 12,000 firms with a headcount every month, 60,000 incidents.
//!
//! The real program over a file, from its start to its end: reading, decoding, two engines, the comparison. There is
//! no floor to measure: the bar is what an officer waits for, [`LIMIT_SECONDS`] on two cores.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::Instant as Monotonic;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tocsin_schemas::areas::divisions;
use tocsin_schemas::codes::{Category, Cause, EnterpriseStatus, Role, Source, Status};
use tocsin_schemas::door;
use tocsin_schemas::ids::PersonKey;
use tocsin_schemas::records::{Contact, Enterprise, Headcount, Record, Report};
use tocsin_schemas::time::{Day, Instant, Month, TimeOfDay};
use tocsin_schemas::topics;

use crate::logs::caught;
use crate::logs::service::program;
use crate::progress::{Progress, Work};
use crate::table::{Figure, Goal, Row};
use crate::workload::{self, uscc};
use crate::{Failure, Options};

/// What ten years of a city may take.
const LIMIT_SECONDS: f64 = 60.0;
const FIRMS: u32 = 12_000;
const INCIDENTS: u32 = 60_000;
const YEARS: i32 = 10;
const DAY: i64 = 86_400_000;
/// 08:00.
const MORNING: i64 = 8 * 3_600_000;

/// OLD and NEW: two that differ in nearly every warning.
const OLD: &str = "escalation = { blue = 1, yellow = 2 }";
const NEW: &str = "escalation = { blue = 2, yellow = 4, window_days = 180 }\nmerge.case_days = 1";

/// (k) as a row of the table.
///
/// # Errors
/// No `tocsin` beside this program, one that fails, or no room for 300 MB.
pub fn run(options: &Options, progress: &Progress) -> Result<Vec<Row>, Failure> {
    caught(|| measure(options, progress))?
}

fn measure(options: &Options, progress: &Progress) -> Result<Vec<Row>, Failure> {
    let dir = tempfile::tempdir()?;
    let stream = dir.path().join("city.jsonl");
    let (firms, incidents) = (options.size(FIRMS), options.size(INCIDENTS));
    let work = progress.work("(k) writing ten years of a city", u64::from(firms) * YEARS as u64 * 12);
    let lines = write(&stream, options.seed, firms, incidents, &work)?;
    drop(work);
    for (name, fields) in [("old.toml", OLD), ("new.toml", NEW)] {
        let text = format!("[[policy]]\neffective_from = \"{}\"\n{fields}\n", workload::first_day());
        std::fs::write(dir.path().join(name), text)?;
    }
    let work = progress.work("(k) tocsin backtest", 0);
    let began = Monotonic::now();
    let output = Command::new(program())
        .current_dir(dir.path())
        .args(["backtest", "city.jsonl", "--policy", "new.toml", "--against", "old.toml", "--json"])
        .output()?;
    let seconds = began.elapsed().as_secs_f64();
    drop(work);
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("tocsin backtest ended with {}: {said}", output.status).into());
    }
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let differ = report["differences"].as_array().map_or(0, Vec::len);
    let incidents = format!("{} incidents", report["by_chance"]["old"]["incidents"]);
    Ok(vec![
        Row::costs(
            'k',
            "backtest of ten years of a city",
            Figure::new(seconds, "s"),
            Figure::new(LIMIT_SECONDS, "s"),
        )
        .goal(Goal::AtMost(1.0))
        .note(format!(
            "the floor is the bar of {LIMIT_SECONDS} s, not measured; {lines} lines, {firms} firms, {incidents} with a \
             headcount; {differ} days of enterprises differ"
        )),
    ])
}

/// Writes the stream in the order of arrival; returns its lines.
fn write(path: &Path, seed: u64, firms: u32, incidents: u32, work: &Work) -> Result<u64, Failure> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut lines = 0;
    let mut line = |topic: &str, at: Instant, record: &Record| -> Result<(), Failure> {
        write!(out, "{{\"topic\":\"{topic}\",\"arrived_at\":\"{at}\",\"value\":")?;
        out.write_all(&door::canonical_json(record))?;
        out.write_all(b"}\n")?;
        lines += 1;
        Ok(())
    };
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x4241_434b);
    let first = workload::first_day();
    for n in 0..firms {
        line(topics::ENTERPRISES, first.midnight(), &Record::Enterprise(enterprise(n, first, &mut rng)))?;
    }
    for record in contacts(firms) {
        line(topics::CONTACTS, first.midnight(), &record)?;
    }
    let mut reports = reports(firms, incidents, first, &mut rng).into_iter().peekable();
    let month = first.month();
    for month in (0..YEARS * 12).map(|m| Month(month.0 + m)) {
        let next = Month(month.0 + 1).first_day().midnight();
        let at = month.first_day().midnight().plus_millis(MORNING);
        for (before, n) in [(at, firms), (next, 0)] {
            while let Some((at, report)) = reports.next_if(|(at, _)| *at < before) {
                line(topics::reports_of(report.source).name, at, &Record::Report(report))?;
            }
            for n in 0..n {
                let insured = size(n) + (n * 31 + month.0 as u32 * 7) % (size(n) / 5 + 1);
                let headcount = Headcount { uscc: uscc(n), month, insured, version: 1 };
                line(topics::HEADCOUNT, at, &Record::Headcount(headcount))?;
            }
            work.advance(n.into());
        }
    }
    out.flush()?;
    Ok(lines)
}

/// Large ones first: 2,000 people down to 5.
fn size(n: u32) -> u32 {
    5 + 1_000_000 / (500 + 12 * n)
}

fn enterprise(n: u32, first: Day, rng: &mut ChaCha8Rng) -> Enterprise {
    let divisions = divisions();
    Enterprise {
        uscc: uscc(n),
        version: 1,
        name: format!("第{n}五金制品有限公司").into(),
        short_name: Some(format!("五金{n}").into()),
        area: area(rng.random_range(0..workload::AREAS)).into(),
        industry: format!("{}10", divisions[rng.random_range(0..divisions.len())].code),
        valid_from: first.plus(-1),
        status: EnterpriseStatus::Active,
        tags: Vec::new(),
        successor_of: None,
    }
}

fn area(n: u32) -> String {
    format!("330784{:03}", n + 1)
}

/// An owner for each firm, a duty phone for each township.
fn contacts(firms: u32) -> impl Iterator<Item = Record> {
    let contact = |role, subject: String, n: u32| {
        Record::Contact(Contact {
            role,
            subject,
            rank: 1,
            name: "甲".to_owned(),
            phone: Some(format!("139{n:08}")),
            addresses: Default::default(),
            valid_from: None,
            valid_to: None,
            verified_on: None,
            version: 1,
        })
    };
    let owners = (0..firms).map(move |n| contact(Role::Owner, uscc(n).to_string(), n));
    let duties = (0..workload::AREAS).map(move |n| contact(Role::TownshipDuty, area(n), FIRMS + n));
    owners.chain(duties)
}

/// What is said of the incidents, in the order of arrival: one in four by a second source, one in twenty corrected,
/// one in a hundred withdrawn. The larger a firm, the more incidents.
fn reports(firms: u32, incidents: u32, first: Day, rng: &mut ChaCha8Rng) -> Vec<(Instant, Report)> {
    let days = Month(first.month().0 + YEARS * 12).first_day().0 - first.0;
    let mut all = Vec::new();
    for n in 0..incidents {
        let share = rng.random_range(0.0..1.0f64);
        let firm = ((share * share * f64::from(firms)) as u32).min(firms - 1);
        let occurred_on = first.plus(rng.random_range(0..days));
        let mut person = [0; 32];
        rng.fill(&mut person);
        let mut at = later(occurred_on.midnight(), rng);
        let report = Report {
            source: Source::Hr,
            source_record_id: format!("H{n:07}").into(),
            version: 1,
            status: Status::Reported,
            category: if rng.random_ratio(85, 100) { Category::Production } else { Category::Commuting },
            occurred_on,
            occurred_time: Some(TimeOfDay(rng.random_range(0..1440))),
            reported_at: at,
            uscc: Some(uscc(firm)),
            employer_name: None,
            host_uscc: None,
            person_key: Some(PersonKey(person)),
            incident_no: None,
            cause: "14".parse::<Cause>().ok(),
            post: None,
            process: None,
            equipment: None,
            note: None,
            lost_days: Some(rng.random_range(1..110)),
            disability_grade: None,
            died_on: rng.random_ratio(3, 1_000).then_some(occurred_on),
        };
        all.push((at, report.clone()));
        if rng.random_ratio(1, 4) {
            let second = Report {
                source: Source::Emergency,
                source_record_id: format!("E{n:07}").into(),
                occurred_time: None,
                ..report.clone()
            };
            all.push((later(at, rng), second));
        }
        let mut next = |version, status| {
            at = later(at, rng);
            all.push((at, Report { version, status, ..report.clone() }));
        };
        match n % 100 {
            0..5 => next(2, Status::Recognised),
            5 => next(2, Status::Withdrawn),
            _ => {}
        }
    }
    let end = first.plus(days).midnight();
    all.retain(|(at, _)| *at < end);
    all.sort_by_key(|(at, report)| (*at, report.source_record_id.clone(), report.version));
    all
}

/// Up to twenty days later, mostly within two.
fn later(at: Instant, rng: &mut ChaCha8Rng) -> Instant {
    let share = rng.random_range(0.0..1.0f64);
    at.plus_millis(60_000 + (share * share * share * 20.0 * DAY as f64) as i64)
}
