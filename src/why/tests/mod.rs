//! Everything that a replay ever said, explained from the log that it left: every alert must add up, and every record
//! of `incidents` must come out again.
//!
//! Over another stream: `TOCSIN_TEST_STREAM=FILE TOCSIN_TEST_POLICY_FROM=DATE cargo test --release -p tocsin why::`

mod forged;
mod incidents;
mod lists;
mod said;
mod traced;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tocsin_alerts::quota;
use tocsin_connectors::log::sqlite::SqliteLog;
use tocsin_pipeline::Policies;
use tocsin_pipeline::why::{Records, Rules, Wanted, Why};
use tocsin_schemas::codes::{Change, DeliveryState, Level, Reason, Role, Urgency};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::log::{EventLog, NewRecord};
use tocsin_schemas::records::{Alert, Delivery, Incident, Progress, Record};
use tocsin_schemas::time::{Day, Instant};
use tocsin_schemas::topics;
use tocsin_schemas::wire::{self, NoIds, OutputRecord};

use super::asked::Asked;
use super::{Answer, Source, answer, not_found, read, text};
use crate::replay;
use crate::run::pipeline::start::read_progress;

struct Replayed {
    dir: tempfile::TempDir,
    policies: Policies,
    log: SqliteLog,
}

fn replayed(stream: &Path, policy_from: Option<Day>) -> Replayed {
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("kept.db");
    replay::run(replay::Args {
        stream: stream.to_owned(),
        out: dir.path().join("out"),
        policy: None,
        policy_from,
        as_of: None,
        keep_log: Some(kept.clone()),
        workers: 1,
    })
    .unwrap();
    let policies = match policy_from {
        None => Policies::default(),
        Some(day) => Policies::default().effective_from(day).unwrap(),
    };
    Replayed { log: SqliteLog::open(&kept).unwrap(), dir, policies }
}

fn town() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/why/town.jsonl")
}

/// Everything in the log at once: one reading for all enterprises.
fn whole(log: &SqliteLog) -> (Records, Progress) {
    let progress = read_progress(log).unwrap().unwrap();
    let mut reader = read::Reader::quiet(log, &NoIds);
    let names: Vec<&str> = topics::catalogue()
        .iter()
        .filter(|t| t.source.is_some())
        .map(|t| t.name)
        .chain([topics::ENTERPRISES])
        .collect();
    let mut records =
        Records { arrivals: reader.inputs(&progress, &names, &mut |_| true).unwrap(), ..Records::default() };
    reader.own(&mut |alert: Alert| records.alerts.push(alert)).unwrap();
    let mut incidents = BTreeMap::new();
    reader.own(&mut |i: Incident| drop(incidents.insert(i.incident_id, i))).unwrap();
    records.incidents = incidents.into_values().collect();
    (records, progress)
}

fn of_enterprise(all: &Records, uscc: Uscc) -> Records {
    let mut wanted = Wanted::default();
    wanted.enterprise(uscc);
    all.alerts.iter().filter(|a| a.uscc == uscc).for_each(|a| wanted.alert(a));
    let mut records = Records::default();
    while !wanted.settled() {
        records.arrivals = all.arrivals.iter().filter(|k| wanted.wants(&k.arrival.record)).cloned().collect();
        records.alerts = all.alerts.iter().filter(|a| wanted.wants_alert(a)).cloned().collect();
        records.incidents = all.incidents.iter().filter(|i| wanted.wants_incident(i)).cloned().collect();
    }
    records
}

#[test]
fn every_alert_of_a_replay_adds_up() {
    let stream = std::env::var_os("TOCSIN_TEST_STREAM").map_or_else(town, PathBuf::from);
    let policy_from = std::env::var("TOCSIN_TEST_POLICY_FROM").ok().map(|day| day.parse().unwrap());
    let town = replayed(&stream, policy_from);
    let (all, progress) = whole(&town.log);
    let hash = town.policies.hash().to_string();
    let of = |h: &str| (*h == *hash).then_some(&town.policies);
    let (mut explained, mut guessed, mut wrong) = (BTreeSet::new(), 0, Vec::new());
    for uscc in all.alerts.iter().map(|a| a.uscc).collect::<BTreeSet<_>>() {
        let records = of_enterprise(&all, uscc);
        let why = Why::new(
            &records,
            Rules { at_hand: &town.policies, of: &of, likely: &|_| None },
            progress.clock.unwrap(),
        );
        let found = why.enterprise(uscc).unwrap();
        wrong.extend(found.differences.iter().map(|d| format!("{uscc}: {d:?}")));
        for alert in &found.alerts {
            explained.insert(alert.alert.alert_id.clone());
            guessed += usize::from(!alert.taken_later.is_empty() || !alert.stamped_ahead.is_empty());
            assert!(alert.check.unchecked.is_empty());
            if !alert.check.adds_up() {
                wrong.push(format!("{}: {:?}", alert.alert.alert_id, alert.check));
            }
        }
    }
    let said = std::fs::read_to_string(town.dir.path().join("out/alerts.jsonl")).unwrap();
    let said: BTreeSet<String> = said
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["alert_id"].as_str().unwrap().to_owned()
        })
        .collect();
    assert!(!said.is_empty() && said.is_subset(&explained), "some alert was not explained");
    println!(
        "{} alerts explained, {guessed} of them with an order guessed, {} do not add up",
        explained.len(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "{} do not add up: {:#?}", wrong.len(), &wrong[..wrong.len().min(20)]);
}

/// As the command has it.
fn source(of: &Replayed) -> Source {
    Source {
        log: Arc::new(SqliteLog::open(&of.dir.path().join("kept.db")).unwrap()),
        schemas: Arc::new(NoIds),
        policies: of.policies.clone(),
        published: Vec::new(),
        given: None,
    }
}

/// As the command does it, pass by pass, one thing at a time.
fn ask(source: &Source, id: &str) -> Option<Answer> {
    let asked = Asked::parse(id).unwrap();
    let asked = read::resolve(&*source.log, &*source.schemas, asked).unwrap();
    let found = read::find(&*source.log, &*source.schemas, &asked).unwrap();
    answer(source, &asked, found.as_ref())
}

/// Puts records of ours into the log, as a running service would.
fn write<T: OutputRecord>(source: &Source, records: &[T]) {
    let new = |record: &T| NewRecord {
        topic: Arc::from(T::TOPIC),
        key: record.key(),
        value: Some(wire::encode(record)),
        stamp: None,
        route: None,
    };
    let new: Vec<NewRecord> = records.iter().map(new).collect();
    source.log.writer("test").unwrap().append(&new).unwrap();
}

fn alerts(source: &Source) -> Vec<Alert> {
    let mut all = Vec::new();
    read::Reader::quiet(&*source.log, &NoIds).own(&mut |alert: Alert| all.push(alert)).unwrap();
    all
}

/// The incident that was upgraded, and came down again later.
fn upgraded(source: &Source) -> Alert {
    alerts(source).into_iter().find(|a| a.change == Change::Upgraded).unwrap()
}

#[test]
fn each_thing_is_found_by_its_id_and_adds_up() {
    let town = replayed(&town(), None);
    let source = source(&town);
    let (all, _) = whole(&town.log);
    let mut ids: BTreeSet<String> = all.alerts.iter().map(|a| a.alert_id.clone()).collect();
    ids.extend(all.alerts.iter().map(|a| a.case_no.to_string()));
    ids.extend(all.alerts.iter().map(|a| a.uscc.to_string()));
    ids.extend(all.incidents.iter().map(|i| i.incident_id.to_string()));
    assert!(ids.len() > 30, "{}", ids.len());
    // Seven digits of a person's key, a name and a phone of the stream.
    let mut personal = vec!["张三".to_owned(), "13900001111".to_owned()];
    personal.extend(all.arrivals.iter().filter_map(|k| match &k.arrival.record {
        Record::Report(r) => r.person_key.map(|p| p.to_string()[..7].to_owned()),
        _ => None,
    }));
    for id in &ids {
        let answer = ask(&source, id).unwrap_or_else(|| panic!("{id} is not found"));
        assert_eq!(answer.wrong(), Vec::<String>::new(), "{id}");
        for shown in [text::of(&answer), serde_json::to_string(&answer).unwrap()] {
            assert!(!personal.iter().any(|p| shown.contains(p)), "{id} shows something personal: {shown}");
        }
    }
    assert!(ask(&source, "AAAAAAAAAAAAAAAAAAAAAAAAAA").is_none());
    assert!(ask(&source, "91330784XX00076321").is_none());
}

/// The page that a township officer and the enterprise's lawyer read together. To write it anew after a change of
/// words: take what the failing test prints.
#[test]
fn the_page_reads_as_agreed() {
    let town = replayed(&town(), None);
    let source = source(&town);
    let alert = upgraded(&source);
    write(&source, &[said::delivered(&to_the_owner(&alert))]);
    let page = text::of(&ask(&source, &alert.alert_id).unwrap());
    let expected = include_str!("upgraded.txt");
    assert!(page.trim() == expected.trim(), "{page}");
}

/// A digest has the alert, role and subject of the first message that joined it.
#[test]
fn answers_are_said_in_words_and_a_digest_is_not_the_message_that_joined_it() {
    let town = replayed(&town(), None);
    let source = source(&town);
    let alert = upgraded(&source);
    let said = |state, reason: &str| Delivery { state, reason: Some(reason.into()), ..to_the_owner(&alert) };
    for (state, reason, words) in [
        (
            DeliveryState::Delivered,
            "acknowledged",
            ", and the person has answered that it was read (acknowledged)",
        ),
        (
            DeliveryState::Delivered,
            "withdrawn_claim",
            ", and the person says that the case was withdrawn (withdrawn_claim)",
        ),
        (DeliveryState::Delivered, "not_ours", ", and the person says that it is not theirs (not_ours)"),
        (DeliveryState::Skipped, "in_digest:DIGEST", ", in_digest:DIGEST"),
    ] {
        let member = said(state, reason);
        let digest = quota::joined(None, &member, member.at, member.at);
        write(&source, &[member, digest]);
        let page = text::of(&ask(&source, &alert.alert_id).unwrap());
        let deliveries: Vec<&str> = page.lines().filter(|line| line.contains(" by webhook (text ")).collect();
        assert_eq!(deliveries.len(), 1, "{page}");
        assert!(deliveries[0].trim().starts_with(state.as_str()) && deliveries[0].contains(words), "{page}");
    }
}

fn to_the_owner(alert: &Alert) -> Delivery {
    Delivery {
        delivery_id: "D".into(),
        alert_id: alert.alert_id.clone(),
        case_no: alert.case_no.to_string(),
        uscc: alert.uscc,
        role: Role::Owner,
        subject: alert.uscc.to_string(),
        contact_rank: Some(1),
        contact_version: Some(3),
        channel: "webhook".into(),
        template: "T2".into(),
        state: DeliveryState::Accepted,
        reason: None,
        attempt: 2,
        at: "2025-04-10T09:00:07+08:00".parse().unwrap(),
        due_at: None,
        gateway_ref: Some("r".into()),
        uncertain: false,
        contact_role: None,
        sent_at: None,
        contact_subject: None,
        phone_hash: None,
        address_hash: None,
        change: alert.change,
        urgency: Urgency::Daytime,
        decided_at: Some(alert.decided_at),
        episode: alert.episode,
        revision: alert.revision,
        area: None,
        slots: BTreeMap::new(),
    }
}

/// A correction, and the escalation that it closed, name the record that did it.
#[test]
fn a_correction_and_what_it_closed_name_the_record_that_did_it() {
    let town = replayed(&town(), None);
    let source = source(&town);
    let all = alerts(&source);
    let of = |reason| {
        let closed = |a: &&Alert| a.change == Change::Closed && a.reason == Some(Reason::Corrected);
        let corrected = |a: &&Alert| a.change == Change::Corrected && a.reason == Some(reason);
        [all.iter().find(corrected).unwrap(), all.iter().find(closed).unwrap()]
    };
    for alert in of(Reason::Withdrawn) {
        let page = text::of(&ask(&source, &alert.alert_id).unwrap());
        let (_, brought) = page.split_once("What brought it about\n").unwrap();
        assert_eq!(
            brought.lines().next().unwrap().trim(),
            "2025-05-10T09:00:00+08:00 report hr/HR-4 version 2, status withdrawn: accepted; status reported -> withdrawn  \
             reports.hr/1@4"
        );
    }
    // Nobody says of a person that it lives.
    let died = all.iter().find(|a| a.change == Change::Raised && a.level == Some(Level::Red)).unwrap();
    let page = text::of(&ask(&source, &died.uscc.to_string()).unwrap());
    assert!(
        page.contains("not given") && !page.contains("nothing ->") && !page.contains("died false"),
        "{page}"
    );
}

/// Whoever reads an old alert learns what became of each of its reports, and which side of a conflict stands.
#[test]
fn what_became_of_each_report_is_said() {
    let town = replayed(&town(), None);
    let source = source(&town);
    let all = alerts(&source);
    let page = |change: Change, level: Level| {
        let of = |a: &&Alert| a.change == change && a.level == Some(level);
        text::of(&ask(&source, &all.iter().rfind(of).unwrap().alert_id).unwrap())
    };
    // Three incidents opened it: one counts, one is refused, one is gone.
    let opened = page(Change::New, Level::Yellow);
    let (_, since) = opened.split_once("What came since\n").unwrap();
    assert!(since.contains("now: incident 000000042, 2025-05-01"), "{since}");
    assert!(since.contains("now: in no incident: hr/HR-4 (withdrawn)"), "{since}");
    let taken_over = page(Change::New, Level::Red);
    assert!(
        taken_over.contains("hr/HR-7 version 1, status reported: conflict; the one that stood before stands")
    );
}

/// Who said what, and which rule took one of them.
#[test]
fn where_sources_differ_the_page_says_who_said_what_and_which_was_taken() {
    let dir = tempfile::tempdir().unwrap();
    let more = std::fs::read_to_string(town()).unwrap();
    let firm = more.lines().next().unwrap();
    let report = |source: &str, id: &str, day: &str, more: &str| {
        format!(
            r#"{{"topic":"reports.{source}","arrived_at":"2025-03-06T09:00:00+08:00","value":{{"source":"{source}","source_record_id":"{id}","version":1,"status":"reported","occurred_on":"{day}","reported_at":"2025-03-06T09:00:00+08:00","uscc":"91330784XX00000190","person_key":"{}"{more}}}}}"#,
            "24".repeat(32)
        )
    };
    let stream = dir.path().join("stream.jsonl");
    let (hr, health) = (
        report("hr", "1", "2025-03-04", r#","lost_days":5"#),
        report("health", "7", "2025-03-03", r#","lost_days":200"#),
    );
    std::fs::write(&stream, format!("{firm}\n{hr}\n{health}\n")).unwrap();
    let replayed = replayed(&stream, None);
    let source = source(&replayed);
    let page = text::of(&ask(&source, "000000018").unwrap());
    for line in [
        "they differ on occurred_on: hr/1 (version 1) says 2025-03-04, health/7 (version 1) says 2025-03-03; taken: \
         2025-03-04, of the source that comes first in the source order",
        "they differ on lost_days: hr/1 (version 1) says 5, health/7 (version 1) says 200; taken: 5, of the source",
        "they differ on severity: hr/1 (version 1) says minor, health/7 (version 1) says severe; taken: minor, fatal if",
        "minor (the lost days that are taken do not reach the limit, and no report gives a grade; none says that the person died)",
    ] {
        assert!(page.contains(line), "{line}: {page}");
    }
}

#[test]
fn what_the_records_do_not_give_again_is_said_loudly() {
    let town = replayed(&town(), None);
    let source = source(&town);
    // Another number of persons, and another report: as if somebody had changed the record.
    let mut forged = upgraded(&source);
    forged.alert_id = "B".repeat(26);
    forged.count = 7;
    let mut other = upgraded(&source);
    other.alert_id = "C".repeat(26);
    other.reports.push("hr/HR-9".parse().unwrap());
    write(&source, &[forged.clone(), other.clone()]);
    for (alert, field) in
        [(forged, "count: said 7; the records give 2"), (other, "reports: said employer/E-7")]
    {
        let answer = ask(&source, &alert.alert_id).unwrap();
        assert_eq!(answer.wrong(), [format!("alert {}", alert.alert_id)]);
        let page = text::of(&answer);
        assert!(page.contains("IT DOES NOT ADD UP") && page.contains(field), "{page}");
    }
}

#[test]
fn under_another_policy_the_numbers_are_not_judged_but_the_page_says_so() {
    let town = replayed(&town(), None);
    let other = "[[policy]]\neffective_from = \"2020-11-20\"\nseverity.severe_lost_days = 200\n";
    let source = Source { policies: Policies::parse(other).unwrap(), ..source(&town) };
    let alert = upgraded(&source);
    let answer = ask(&source, &alert.alert_id).unwrap();
    assert_eq!(answer.wrong(), Vec::<String>::new());
    // It could not be checked: that is no success.
    let end = answer.verdict().unwrap_err();
    for words in ["not checked", &*alert.alert_id, "--policy FILE"] {
        assert!(end.text().contains(words), "{end:?}");
    }
    let page = text::of(&answer);
    for words in [
        "NOT AT HAND",
        "with --policy FILE, or with --policy-from DATE alone where it was the default one from another day",
        &*alert.policy_hash,
        "not checked: change, reason, level, severity, audiences, uscc, occurred_on, cause, count",
    ] {
        assert!(page.contains(words), "{page}");
    }
    // Nor is the topic incidents held against a policy that did not write it.
    assert_eq!(ask(&source, &alert.subject).unwrap().wrong(), Vec::<String>::new());
}

/// A release that knows further fields gives every policy another hash; what was published tells which one it was.
#[test]
fn where_no_policy_has_the_hash_the_one_that_was_in_force_then_is_tried() {
    let town = replayed(&town(), None);
    let default = town.policies.clone();
    let other = "[[policy]]\neffective_from = \"2020-11-20\"\nseverity.severe_lost_days = 200\n";
    let other = Policies::parse(other).unwrap();
    let mut source = source(&town);
    let mut alert = upgraded(&source);
    alert.alert_id = "D".repeat(26);
    alert.policy_hash = "f".repeat(64).into();
    write(&source, &[alert.clone()]);
    let (before, after) = (alert.decided_at, alert.decided_at.plus_millis(1));
    // The newest before the decision.
    source.published = vec![(Instant(0), other.clone()), (before, default.clone()), (after, other.clone())];
    let answer = ask(&source, &alert.alert_id).unwrap();
    answer.verdict().unwrap();
    let page = text::of(&answer);
    for words in ["no policy at hand has this hash", &**default.hash(), "though its hash is another one now"]
    {
        assert!(page.contains(words), "{words}: {page}");
    }
    let json = serde_json::to_value(&answer).unwrap();
    let policy = &json["alert"]["policy"];
    assert_eq!((&policy["at_hand"], &policy["used_because"]), (&false.into(), &"likely".into()));
    assert_eq!(policy["used_hash"], **default.hash());
    // What does not add up under a guess proves nothing, and is no success either.
    source.published = vec![(Instant(0), other.clone()), (after, default.clone())];
    let answer = ask(&source, &alert.alert_id).unwrap();
    assert_eq!(answer.wrong(), Vec::<String>::new());
    assert!(answer.verdict().unwrap_err().text().contains("not checked"));
    let page = text::of(&answer);
    assert!(page.contains("not checked: change, reason, level, severity"), "{page}");
    // One that is given comes first.
    source.given = Some(default);
    ask(&source, &alert.alert_id).unwrap().verdict().unwrap();
}

#[test]
fn a_log_without_progress_has_nothing_to_explain() {
    let dir = tempfile::tempdir().unwrap();
    let log = SqliteLog::open(&dir.path().join("empty.db")).unwrap();
    log.ensure(&topics::settings(), false).unwrap();
    assert!(read::find(&log, &NoIds, &Asked::parse("000000018").unwrap()).unwrap().is_none());
}

#[test]
fn an_id_tells_by_its_form_what_it_is_of() {
    let kinds =
        ["GCTHTYAVAPBL2DD56LNVAVNRQE", "EALFNNLNRR", "000000018", "91330784XX00000190"].map(Asked::parse);
    assert!(matches!(
        kinds,
        [Ok(Asked::Alert(_)), Ok(Asked::Case(_)), Ok(Asked::Incident(_)), Ok(Asked::Enterprise(_))]
    ));
    for (wrong, word) in [
        ("", "no id"),
        ("GCTHTYAVAPBL2DD56LNVAVNRQ1", "no id"),
        ("000000019", "check symbol"),
        ("000000019", "tocsin why --help"),
        ("91330784XX00000191", "check symbol"),
        ("91330784XX00000191", "tocsin why --help"),
        ("hr/", "no id"),
        ("nothing", "no id"),
        ("nobody/7", "no id"),
        ("é", "no id"),
    ] {
        let why = Asked::parse(wrong).unwrap_err();
        assert!(why.contains(word), "{wrong}: {why}");
    }
}

fn resolved(source: &Source, id: &str) -> Asked {
    read::resolve(&*source.log, &*source.schemas, Asked::parse(id).unwrap()).unwrap()
}

/// In any case of letters, by the beginning where it is the only one, and by a report.
#[test]
fn an_id_is_found_in_lower_case_by_its_beginning_and_by_a_report() {
    let town = replayed(&town(), None);
    let source = source(&town);
    let alert = upgraded(&source);
    let whole = text::of(&ask(&source, &alert.alert_id).unwrap());
    for id in
        [alert.alert_id.to_lowercase(), alert.alert_id[..8].to_owned(), alert.alert_id[..12].to_lowercase()]
    {
        let page = text::of(&ask(&source, &id).unwrap());
        assert_eq!(page.lines().next(), whole.lines().next(), "{id}");
    }
    let lower = ask(&source, &alert.uscc.to_string().to_lowercase()).unwrap();
    assert!(text::of(&lower).starts_with(&format!("ENTERPRISE {}", alert.uscc)));
    let incident = format!("INCIDENT {}", alert.subject);
    for id in ["hr/HR-1", "HR/hr-1", "employer/e-7"] {
        assert!(text::of(&ask(&source, id).unwrap()).starts_with(&incident), "{id}");
    }
    assert!(ask(&source, "hr/nobody").is_none() && ask(&source, "AAAAAAAA").is_none());
    // So many signs have also a case number, an incident's number and a code of an enterprise.
    for signs in 8..26 {
        let page = text::of(&ask(&source, &alert.alert_id[..signs]).unwrap());
        assert_eq!(page.lines().next(), whole.lines().next(), "{signs}");
    }
    // A case number is one first; else an alert may begin so.
    let case_no =
        alerts(&source).iter().map(|a| a.case_no.to_string()).find(|no| no.starts_with('E')).unwrap();
    assert!(matches!(resolved(&source, &case_no), Asked::Case(_)));
    let mut other = alert.clone();
    other.alert_id = format!("{case_no}{}", "A".repeat(16));
    write(&source, &[other.clone()]);
    assert!(matches!(resolved(&source, &case_no), Asked::Case(_)));
    other.alert_id = format!("EZZZZZZZZZ{}", "A".repeat(16));
    write(&source, &[other.clone()]);
    assert_eq!(resolved(&source, "ezzzzzzzzz"), Asked::Alert(other.alert_id));
    // Two that begin alike are both named.
    let mut other = alert.clone();
    other.alert_id = format!("{}{}", &alert.alert_id[..8], "A".repeat(18));
    write(&source, &[other.clone()]);
    let asked = Asked::parse(&alert.alert_id[..8]).unwrap();
    let end = read::resolve(&*source.log, &*source.schemas, asked).unwrap_err();
    for word in ["there are 2", &alert.alert_id, &other.alert_id] {
        assert!(end.text().contains(word), "{word}: {end:?}");
    }
}

/// An injury may stand behind a report that was refused, and nothing can have been delivered from a replay's log.
#[test]
fn what_stands_in_quarantine_is_on_the_page_of_its_enterprise() {
    let dir = tempfile::tempdir().unwrap();
    let uscc = "91330784XX00000190";
    let line = |id: &str, at: &str, on: &str| {
        format!(
            r#"{{"topic":"reports.hr","arrived_at":"{at}T09:00:00+08:00","value":{{"source":"hr","source_record_id":"{id}","version":1,"status":"reported","occurred_on":"{on}","reported_at":"{at}T08:00:00+08:00","uscc":"{uscc}"}}}}"#
        )
    };
    let town = std::fs::read_to_string(town()).unwrap();
    let lines = [
        town.lines().next().unwrap().to_owned(),
        line("1", "2025-03-06", "2025-04-06"),
        line("2", "2025-03-07", "2025-04-07"),
        // Sent again in a sound form.
        line("2", "2025-03-08", "2025-03-07"),
    ];
    let stream = dir.path().join("stream.jsonl");
    std::fs::write(&stream, lines.join("\n")).unwrap();
    let replayed = replayed(&stream, None);
    let source = source(&replayed);
    let page = text::of(&ask(&source, uscc).unwrap());
    let (_, after) = page.split_once("In quarantine\n").unwrap();
    let shown: Vec<&str> = after.lines().take(3).map(str::trim).collect();
    assert!(shown[0].starts_with("1 report that the door refused, since 2025-03-06"), "{page}");
    assert!(
        shown[1].starts_with(
            "2025-03-06T09:00:00+08:00 report hr/1 refused: occurred_after_arrival, accident of 2025-04-06"
        ) && shown[2].is_empty(),
        "{page}"
    );
    assert!(page.contains("not sent from this log: a replay sends nothing"), "{page}");
}

/// One line: which forms there are, and where else it could be.
#[test]
fn what_is_not_there_says_what_to_do() {
    let town = replayed(&town(), None);
    let source = source(&town);
    for (id, words) in [
        ("AAAAAAAAAAAAAAAAAAAAAAAAAA", ["there is no alert AAAA", "--keep-log"]),
        ("EAAAAAAAAA", ["there is no escalation EAAAAAAAAA", "tocsin why --help"]),
        ("91330784T000000005", ["there is no enterprise 91330784T000000005", "that log"]),
    ] {
        let asked = Asked::parse(id).unwrap();
        let found = read::find(&*source.log, &*source.schemas, &asked).unwrap();
        assert!(answer(&source, &asked, found.as_ref()).is_none());
        let end = not_found(&asked, found.as_ref());
        assert_eq!(end.text().lines().count(), 1);
        for word in words {
            assert!(end.text().contains(word), "{word}: {end:?}");
        }
    }
}
