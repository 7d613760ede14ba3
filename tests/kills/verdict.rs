//! What must be true: half way, with the process dead, and at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tocsin_connectors::log::sqlite::SqliteLog;
use tocsin_schemas::log::{EventLog, TopicPartition};
use tocsin_schemas::partition::partition_of;
use tocsin_schemas::records::{Alert, Counters, Delivery, DeliveryState, Offset};
use tocsin_schemas::time::Instant;
use tocsin_schemas::topics;
use tocsin_schemas::wire;

use crate::city::{Line, Stream};
use crate::gateway::Ring;
use crate::house::{House, tocsin};
use crate::lives::{Lives, Moment};

/// What `tocsin replay` says of the stream.
pub struct Reference {
    /// The lines of alerts.jsonl.
    alerts: Vec<Value>,
    counters: Counters,
    /// Who is to be rung for which alert: (alert, phone).
    due: BTreeSet<(String, String)>,
    /// Audiences that nobody can be reached for.
    unreachable: usize,
}

/// Replays the stream: never killed, and not on Kafka.
pub fn replay(stream: &Stream) -> Reference {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("stream.jsonl");
    let lines = stream.lines.iter().map(|l| {
        let line = serde_json::json!({"topic": l.topic, "arrived_at": l.at.to_string(), "value": l.value});
        line.to_string() + "\n"
    });
    std::fs::write(&file, lines.collect::<String>()).unwrap();
    let out = dir.path().join("out");
    let kept = dir.path().join("kept.db");
    let (file, kept_to) = (file.to_str().unwrap(), kept.to_str().unwrap());
    let output = tocsin(&["replay", file, "--out", out.to_str().unwrap(), "--keep-log", kept_to]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
    let alerts: Vec<Value> =
        text("alerts.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary: Value = serde_json::from_str(&text("summary.json")).unwrap();
    let n = |name: &str| summary[name].as_u64().unwrap();
    let counters = Counters {
        accepted: n("accepted"),
        duplicates: n("duplicates"),
        stale: n("stale"),
        conflicts: n("conflicts"),
        quarantined: n("quarantined"),
        flagged: n("flagged"),
    };
    let (mut due, mut unreachable) = (BTreeSet::new(), 0);
    let areas = areas(&kept);
    // Whoever heard of a case in an owner's place, so that a correction reaches them.
    let mut stood_in: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for alert in &alerts {
        for audience in alert["audiences"].as_array().unwrap() {
            let name = |field: &str| audience[field].as_str().unwrap().to_owned();
            let id = || alert["alert_id"].as_str().unwrap().to_owned();
            if let Some(phone) = stream.phones.get(&(name("role"), name("subject"))) {
                due.insert((id(), phone.clone()));
                continue;
            }
            // S15: the township visits an owner whom nobody can reach.
            let case = (alert["subject"].as_str().unwrap().to_owned(), name("subject"));
            let heard = stood_in.entry(case).or_default();
            let looks_back = ["corrected", "downgraded"].contains(&alert["change"].as_str().unwrap());
            let area = areas[&id()].as_ref().filter(|_| name("role") == "owner" && !looks_back);
            let township = area.and_then(|area| stream.phones.get(&("township_duty".into(), area.clone())));
            heard.extend(township.cloned());
            unreachable += usize::from(heard.is_empty());
            due.extend(heard.iter().map(|phone| (id(), phone.clone())));
        }
    }
    // A city in which nothing happens shows nothing.
    let changes: BTreeSet<&str> = alerts.iter().map(|a| a["change"].as_str().unwrap()).collect();
    for change in ["new", "upgraded", "downgraded", "corrected", "raised", "eased", "closed", "added"] {
        assert!(changes.contains(change), "no {change} in {changes:?}");
    }
    for (what, count) in [
        ("duplicates", counters.duplicates),
        ("stale", counters.stale),
        ("conflicts", counters.conflicts),
        ("quarantined", counters.quarantined),
        ("flagged", counters.flagged),
    ] {
        assert!(count > 50, "{count} {what}");
    }
    Reference { alerts, counters, due, unreachable }
}

/// The area of each alert's enterprise when it was decided.
fn areas(kept: &Path) -> BTreeMap<String, Option<String>> {
    let log = SqliteLog::open(kept).unwrap();
    let ends = log.bounds(topics::ALERTS).unwrap();
    let from: Vec<_> = (0..)
        .zip(&ends)
        .map(|(partition, b)| (TopicPartition { topic: topics::ALERTS.into(), partition }, b.first))
        .collect();
    let mut reader = log.reader(&from).unwrap();
    let mut areas = BTreeMap::new();
    while !reader.caught_up().unwrap() {
        for record in reader.poll(1_000, Duration::from_millis(100)).unwrap() {
            let alert: Alert = wire::decode(&record.value.unwrap()).unwrap();
            areas.insert(alert.alert_id, alert.facts.area.map(|area| area.to_string()));
        }
    }
    areas
}

impl Reference {
    fn untold_of<'r>(&'r self, rings: &[Ring]) -> Vec<&'r (String, String)> {
        let told: BTreeSet<(&str, &str)> =
            rings.iter().filter(|r| r.answered).map(|r| (r.alert_id.as_str(), r.to.as_str())).collect();
        self.due.iter().filter(|(alert, phone)| !told.contains(&(alert.as_str(), phone.as_str()))).collect()
    }

    /// How many phones still have to ring.
    pub fn untold(&self, rings: &[Ring]) -> usize {
        self.untold_of(rings).len()
    }

    /// What the ledger says of the first few that were not rung.
    pub fn why_untold(&self, house: &House, rings: &[Ring]) -> String {
        let untold = self.untold_of(rings);
        let mut words = format!("{} phones did not ring, {} requests were made\n", untold.len(), rings.len());
        let ledger = house.all::<Delivery>();
        for (alert, phone) in untold.iter().take(5) {
            words += &format!("{phone} for {:?}\n", self.alerts.iter().find(|a| a["alert_id"] == **alert));
            for delivery in ledger.iter().filter(|d| d.alert_id == *alert) {
                words += &format!("    {delivery:?}\n");
            }
        }
        words
    }

    /// What was to be said up to an instant, sorted.
    fn until(&self, at: Option<Instant>) -> Vec<String> {
        let decided = |a: &Value| a["decided_at"].as_str().unwrap().parse::<Instant>().unwrap();
        sorted(self.alerts.iter().filter(|a| at.is_some_and(|at| decided(a) <= at)).map(Value::to_string))
    }
}

fn sorted(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines
}

/// An alert as alerts.jsonl has it; nothing of a suppressed one.
fn line(alert: &Alert) -> Option<String> {
    let mut value = serde_json::to_value(alert).unwrap();
    let fields = value.as_object_mut().unwrap();
    for name in ["case_no", "uscc", "facts"] {
        fields.remove(name);
    }
    for name in ["level", "severity"] {
        if fields[name].is_null() {
            fields.remove(name);
        }
    }
    for audience in fields["audiences"].as_array_mut().unwrap() {
        audience.as_object_mut().unwrap().remove("year_to_date");
    }
    (value["change"] != "suppressed").then(|| value.to_string())
}

/// With the process dead: takes the writers' names over, as the next start would, and compares what is in
/// the log. Whatever was open at the kill is gone then.
pub fn halfway(lives: &Lives, stream: &Stream, reference: &Reference) {
    for name in ["pipeline", "alerts"] {
        lives.house.log.writer(name).unwrap();
    }
    agree(&lives.house, stream, reference);
}

/// Alerts and progress stand for the same records: exactly the first ones of the stream, as many as progress
/// has counted, and everything that is to be said of those and nothing else.
fn agree(house: &House, stream: &Stream, reference: &Reference) {
    let progress = house.progress();
    let decided = progress.as_ref().map_or(0, |p| p.counters.arrived()) as usize;
    let lines = &stream.lines[..decided];
    let clock = lines.last().map(|l| l.at);
    assert_eq!(progress.as_ref().and_then(|p| p.clock), clock, "the clock is the last record's");
    let said = sorted(house.alerts().iter().filter_map(line));
    let wanted = reference.until(clock);
    if said != wanted {
        let missing: Vec<_> = wanted.iter().filter(|w| !said.contains(w)).take(3).collect();
        let more: Vec<_> = said.iter().filter(|s| !wanted.contains(s)).take(3).collect();
        panic!(
            "after {decided} records: {} alerts, expected {}; missing {missing:#?}\ntoo many {more:#?}",
            said.len(),
            wanted.len()
        );
    }
    let Some(progress) = progress else { return };
    let mut counts: BTreeMap<(&str, u32), usize> = BTreeMap::new();
    for line in lines {
        *counts.entry((line.topic, partition(line))).or_default() += 1;
    }
    let read = offsets(&*house.log, &progress.offsets);
    for offset in &progress.offsets {
        let read = read.get(&(Arc::from(offset.topic.as_str()), offset.partition));
        let before = read.into_iter().flatten().filter(|o| **o < offset.next).count();
        if offset.topic == topics::POLICY {
            // Not of the stream: the first start published what was configured, and none did it again.
            assert_eq!(house.records(topics::POLICY).len(), 1, "policies after {decided} records");
            continue;
        }
        let expected = counts.get(&(offset.topic.as_str(), offset.partition)).copied().unwrap_or(0);
        assert_eq!(before, expected, "{offset:?} after {decided} records");
    }
}

fn partition(line: &Line) -> u32 {
    partition_of(line.key.as_bytes(), topics::topic(line.topic).unwrap().partitions)
}

/// Offsets of the records of all these partitions.
fn offsets(log: &dyn EventLog, of: &[Offset]) -> BTreeMap<(Arc<str>, u32), Vec<u64>> {
    let from: Vec<(TopicPartition, u64)> = of
        .iter()
        .map(|o| (TopicPartition { topic: Arc::from(o.topic.as_str()), partition: o.partition }, 0))
        .collect();
    let mut reader = log.reader(&from).unwrap();
    let mut offsets: BTreeMap<(Arc<str>, u32), Vec<u64>> = BTreeMap::new();
    while !reader.caught_up().unwrap() {
        for record in reader.poll(10_000, Duration::from_millis(100)).unwrap() {
            offsets.entry((record.topic, record.partition)).or_default().push(record.offset);
        }
    }
    offsets
}

/// The verdict at the end; the figures in words.
pub fn of(lives: &Lives, stream: &Stream, reference: &Reference) -> String {
    let house = &lives.house;
    agree(house, stream, reference);
    let progress = house.progress().unwrap();
    assert_eq!(progress.counters, reference.counters, "every record was counted once");
    assert_eq!(progress.counters.arrived() as usize, stream.lines.len());
    let alerts = house.alerts();
    said_once(&alerts);
    let again = rung_twice(lives, reference);
    let (open, flight, neither) = kinds(lives);
    let kills = lives.kills.len();
    assert!((kills - neither) * 2 >= kills, "only {} of {kills} in the midst of something", kills - neither);
    let lived: Duration = lives.kills.iter().map(|k| k.lived).sum();
    format!(
        "{kills} over {} reports ({} records): {open} in an open transaction, {flight} with requests in flight, \
         {neither} with neither; {} alerts, each once; {} phones rung for them, {again}; {} audiences nobody can \
         be reached for; a life took {:.2} s",
        stream.reports,
        stream.lines.len(),
        alerts.len(),
        reference.due.len(),
        reference.unreachable,
        lived.as_secs_f64() / kills as f64,
    )
}

fn said_once(alerts: &[Alert]) {
    let ids: BTreeSet<&str> = alerts.iter().map(|a| a.alert_id.as_str()).collect();
    assert_eq!(ids.len(), alerts.len(), "an alert id stands twice");
    let mut revisions: BTreeMap<(String, &str, u32), Vec<u32>> = BTreeMap::new();
    for alert in alerts.iter().filter(|a| a.revision > 0) {
        let of = (alert.rule.to_string(), alert.subject.as_str(), alert.episode);
        revisions.entry(of).or_default().push(alert.revision);
    }
    for (of, mut found) in revisions {
        found.sort_unstable();
        assert_eq!(found, (1..=found.len() as u32).collect::<Vec<_>>(), "{of:?}");
    }
}

/// Kills in an open transaction, with a request in flight, with neither.
fn kinds(lives: &Lives) -> (usize, usize, usize) {
    let looks: Vec<_> = lives.kills.iter().map(|k| k.ends.clone()).collect();
    let aborted = lives.watch.aborted(&looks);
    let (mut open, mut flight, mut neither) = (0, 0, 0);
    for (kill, aborted) in lives.kills.iter().zip(aborted) {
        if kill.wanted == Moment::Transaction && aborted == 0 && kill.in_flight.is_empty() {
            eprintln!("a kill that was to be in a transaction was not");
        }
        open += usize::from(aborted > 0);
        flight += usize::from(!kill.in_flight.is_empty());
        neither += usize::from(aborted == 0 && kill.in_flight.is_empty());
    }
    (open, flight, neither)
}

/// Every phone that was to ring has rung, no other one has, and none twice but with the same key, because
/// the outcome of the request was not in the ledger at a kill. In words: how many, and why.
fn rung_twice(lives: &Lives, reference: &Reference) -> String {
    let rings = lives.gateway.rings();
    assert_eq!(reference.untold(&rings), 0);
    let mut ledger: BTreeMap<String, Vec<Delivery>> = BTreeMap::new();
    for delivery in lives.house.all::<Delivery>() {
        ledger.entry(delivery.delivery_id.clone()).or_default().push(delivery);
    }
    let mut by_key: BTreeMap<&str, Vec<&Ring>> = BTreeMap::new();
    let mut keys: BTreeMap<(&str, &str, &str), &str> = BTreeMap::new();
    for ring in &rings {
        assert!(
            reference.due.contains(&(ring.alert_id.clone(), ring.to.clone())),
            "nobody asked for {ring:?}"
        );
        by_key.entry(&ring.key).or_default().push(ring);
        let words = (ring.alert_id.as_str(), ring.to.as_str(), ring.text.as_str());
        let key = keys.entry(words).or_insert(&ring.key);
        assert_eq!(*key, ring.key, "the same words under two keys: {ring:?}");
    }
    let (mut unanswered, mut unrecorded) = (0, 0);
    for (key, rings) in &by_key {
        let states = &ledger[*key];
        let last = states.last().unwrap();
        assert_eq!(last.state, DeliveryState::Accepted, "{last:?}");
        let ended = states.iter().filter(|d| d.state == DeliveryState::Accepted).count();
        assert_eq!(ended, 1, "{key} was asked for again after its yes was recorded");
        // Each request was in the ledger before it was made.
        let recorded: BTreeSet<u64> = states
            .iter()
            .filter(|d| d.state == DeliveryState::Sending)
            .map(|d| u64::from(d.attempt))
            .collect();
        let asked: BTreeSet<u64> = rings.iter().map(|r| r.attempt).collect();
        assert_eq!(asked.len(), rings.len(), "an attempt was made twice: {rings:?}");
        assert!(asked.is_subset(&recorded), "asked {asked:?}, in the ledger {recorded:?}");
        for pair in rings.windows(2) {
            let (before, after) = (pair[0], pair[1]);
            assert!(before.life < after.life, "twice in one life: {pair:?}");
            assert_eq!((&before.to, &before.text), (&after.to, &after.text));
            if lives.kills[before.life].in_flight.contains(&before.key) {
                unanswered += 1;
            } else {
                unrecorded += 1;
            }
        }
        assert_eq!(last.uncertain, recorded.len() > 1, "{last:?}");
    }
    let in_ledger = ledger.values().filter(|d| d.last().unwrap().state == DeliveryState::Accepted).count();
    assert_eq!(in_ledger, by_key.len(), "accepted in the ledger, but nobody was asked");
    assert!(unanswered > 0, "no request was ever in flight at a kill");
    format!(
        "{} of them again with the same key ({unanswered} unanswered at a kill, {unrecorded} answered and not recorded)",
        unanswered + unrecorded
    )
}
