//! Finds in the event log what belongs to one thing. Reading only: no writer is made, no offset is kept.
//!
//! What is wanted grows while it is read ([`Wanted`]), so passes repeat until nothing is added: the small topics
//! (`alerts`, `incidents`, `registry.enterprises`) first, then `reports.*`, mostly three times. Only what is wanted is
//! held, so the memory is that of the answer; the time is that of reading and decoding the reports as often.
//!
//! The service may write meanwhile. Inputs are read up to the offsets of a progress that is read *after* alerts and
//! incidents, so that everything they stand for is there.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use tocsin_alerts::ledger::stands_for;
use tocsin_pipeline::lists::Refused;
use tocsin_pipeline::why::{Known, Place, Records, RefusedAtDoor, Wanted, Written, concerns};
use tocsin_schemas::codes::Rule;
use tocsin_schemas::door::{self, Glimpse};
use tocsin_schemas::ids::{IncidentId, ReportKey};
use tocsin_schemas::log::{EventLog, LogError, LogRecord, TopicPartition};
use tocsin_schemas::records::{Alert, Delivery, Incident, Listed, Progress, Quarantined, Record};
use tocsin_schemas::time::Instant;
use tocsin_schemas::topics;
use tocsin_schemas::wire::{self, OutputRecord, SchemaIds};

use super::asked::Asked;
use crate::exit::Failure;
use crate::run::pipeline::admit::{AtDoor, admit};
use crate::run::pipeline::start::{Part, read_parts, read_progress};

/// How many of several things that an id may stand for are named.
const SHOWN: usize = 5;

/// What was found.
pub struct Found {
    /// What belongs to the thing.
    pub records: Records,
    /// What became of the messages of its alerts, by alert and audience, with the digests that stand for some of them.
    pub deliveries: Vec<Delivery>,
    /// No alert has the id, but this delivery.
    pub is_delivery: Option<Delivery>,
    /// The progress up to whose offsets inputs were read.
    pub progress: Progress,
    /// Whether the ledger has a delivery of any alert at all.
    pub delivered: bool,
    /// Its clock.
    pub clock: Instant,
    /// Records that were looked at, all passes together.
    pub looked_at: u64,
    /// Records of the thing came in while its incidents were read, so those may be older.
    pub moved_on: bool,
}

/// What a short form stands for; any other id is that. What nothing in the log has stays as it is.
///
/// # Errors
/// Those of the log. A failure: it stands for several, which are named.
pub fn resolve(log: &dyn EventLog, schemas: &dyn SchemaIds, asked: Asked) -> Result<Asked, Failure> {
    let mut reader = Reader::new(log, schemas);
    let mut all: BTreeMap<String, Asked> = BTreeMap::new();
    let mut is_case = false;
    match &asked {
        Asked::AlertBegins(begin) | Asked::Case(begin) => reader.own(&mut |alert: Alert| {
            is_case |= matches!(asked, Asked::Case(_)) && *alert.case_no == **begin;
            if alert.alert_id.starts_with(begin.as_str()) {
                all.insert(alert.alert_id.clone(), Asked::Alert(alert.alert_id));
            }
        })?,
        Asked::Report(source, id) => {
            // The log may still hold superseded ones: a report is in the incident whose last word names it.
            let mut last: BTreeMap<IncidentId, Vec<ReportKey>> = BTreeMap::new();
            reader.own(&mut |i: Incident| {
                let own = i.reports.iter().chain(&i.withdrawn);
                let own = own.filter(|key| key.source == *source && key.id.eq_ignore_ascii_case(id));
                last.insert(i.incident_id, own.cloned().collect());
            })?;
            // Two that differ in the case of letters alone: the one that was written so.
            let exact = last.values().flatten().any(|key| *key.id == **id);
            for (incident, keys) in last {
                let fits = keys.into_iter().filter(|key| !exact || *key.id == **id);
                all.extend(
                    fits.map(|key| (format!("{key} in incident {incident}"), Asked::Incident(incident))),
                );
            }
        }
        _ => return Ok(asked),
    }
    reader.bar.finish_and_clear();
    match all.len() {
        n if n == 0 || is_case => Ok(asked),
        1 => Ok(all.into_values().next().unwrap_or(asked)),
        n => {
            let some: Vec<String> = all.into_keys().take(SHOWN).collect();
            let more = if n > SHOWN { format!(" and {} more", n - SHOWN) } else { String::new() };
            let some = some.join(", ");
            Err(Failure::failed(format!("{asked}: there are {n}: {some}{more}. Name one of them in full")))
        }
    }
}

/// Everything of what is asked for. `None`: the pipeline has not decided anything yet. A thing that is not there gives
/// empty records.
///
/// # Errors
/// Those of the log.
pub fn find(log: &dyn EventLog, schemas: &dyn SchemaIds, asked: &Asked) -> Result<Option<Found>, Failure> {
    let Some(first) = read_progress(log)? else { return Ok(None) };
    let mut wanted = Wanted::default();
    match asked {
        // A short form that was resolved is another form; one that was not has nothing.
        Asked::Alert(_) | Asked::AlertBegins(_) | Asked::Report(..) | Asked::Case(_) | Asked::List(..) => {}
        Asked::Incident(id) => wanted.incident(*id),
        Asked::Enterprise(uscc) | Asked::Entry(_, uscc) => wanted.enterprise(*uscc),
    }
    let listed = matches!(asked, Asked::Enterprise(_) | Asked::Entry(..));
    let mut reader = Reader::new(log, schemas);
    if let Asked::List(_, event) = asked {
        return reader.list(event.as_deref());
    }
    let mut records = Records::default();
    let mut progress = first.clone();
    // A pass over everything that adds nothing has found everything.
    loop {
        loop {
            records.alerts = reader.alerts(asked, &mut wanted)?;
            records.incidents = reader.incidents(asked, &mut wanted)?;
            if listed {
                records.lists = reader.lists(&|key| wanted.wants_listed(key))?;
            }
            progress = read_progress(log)?.unwrap_or(progress);
            reader.inputs(&progress, &[topics::ENTERPRISES], &mut |record| wanted.wants(record))?;
            if wanted.settled() {
                break;
            }
        }
        let names: Vec<&str> = std::iter::once(topics::ENTERPRISES).chain(reports()).collect();
        records.arrivals = reader.inputs(&progress, &names, &mut |record| wanted.wants(record))?;
        records.refused = std::mem::take(&mut reader.refused);
        if wanted.settled() {
            break;
        }
    }
    let years: BTreeSet<i32> = years(&records.lists).collect();
    if !years.is_empty() {
        records.headcounts = reader.headcounts(&progress, &wanted, &years)?;
    }
    let (mut deliveries, delivered) = reader.deliveries(&records.alerts)?;
    let id = match asked {
        Asked::Alert(id) if records.alerts.is_empty() => Some(id.as_str()),
        _ => None,
    };
    let known = |id: &&str| !deliveries.iter().any(|d| d.delivery_id == **id);
    let others: BTreeSet<&str> = deliveries.iter().filter_map(stands_for).chain(id).filter(known).collect();
    let others = reader.deliveries_of(&others)?;
    let is_delivery = others.iter().find(|d| Some(&*d.delivery_id) == id).cloned();
    deliveries.extend(others);
    reader.bar.finish_and_clear();
    let Some(clock) = progress.clock else { return Ok(None) };
    let before = |k: &Known| {
        first.offsets.iter().any(|o| *o.topic == *k.topic && o.partition == k.partition && k.offset < o.next)
    };
    let moved_on = !records.arrivals.iter().all(before);
    let looked_at = reader.looked_at;
    Ok(Some(Found { records, deliveries, is_delivery, delivered, progress, clock, looked_at, moved_on }))
}

/// The years of the entries among them.
fn years(lists: &[Written]) -> impl Iterator<Item = i32> {
    lists.iter().filter_map(|w| w.listed.as_ref()).filter(|l| l.member.is_some()).map(|l| l.year)
}

fn reports() -> impl Iterator<Item = &'static str> {
    topics::catalogue().iter().filter(|t| t.source.is_some()).map(|t| t.name)
}

/// On standard error, if that is a terminal. How many passes there will be is not known before.
fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} reading {msg}: {human_pos} records, {per_sec}");
    let bar =
        ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    bar
}

/// Reads and counts.
pub struct Reader<'a> {
    log: &'a dyn EventLog,
    schemas: &'a dyn SchemaIds,
    looked_at: u64,
    /// Of the inputs read last the refused reports in which an enterprise can be read.
    refused: Vec<RefusedAtDoor>,
    bar: ProgressBar,
}

fn refused_at_door(record: Quarantined, glimpse: Glimpse) -> RefusedAtDoor {
    let Quarantined { topic, partition, offset, arrived_at, reason, .. } = record;
    let place = Place { topic: Arc::from(topic), partition, offset };
    RefusedAtDoor { report: Refused { arrived_at, glimpse }, place, reason }
}

impl<'a> Reader<'a> {
    /// With a bar.
    fn new(log: &'a dyn EventLog, schemas: &'a dyn SchemaIds) -> Reader<'a> {
        Reader { log, schemas, looked_at: 0, refused: Vec::new(), bar: bar() }
    }

    /// Without a bar.
    #[cfg(test)]
    pub fn quiet(log: &'a dyn EventLog, schemas: &'a dyn SchemaIds) -> Reader<'a> {
        Reader { log, schemas, looked_at: 0, refused: Vec::new(), bar: ProgressBar::hidden() }
    }

    fn read(
        &mut self,
        parts: &[Part],
        each: &mut dyn FnMut(LogRecord) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        if let Some(part) = parts.first() {
            self.bar.set_message(part.at.topic.to_string());
        }
        let (looked_at, bar) = (&mut self.looked_at, &self.bar);
        read_parts(self.log, parts, &mut |record| {
            *looked_at += 1;
            bar.inc(1);
            each(record)
        })
    }

    /// Every record of a topic of ours, up to its present end.
    pub fn own<T: OutputRecord>(&mut self, each: &mut dyn FnMut(T)) -> Result<(), LogError> {
        self.keyed(&mut |_, record| record.into_iter().for_each(&mut *each))
    }

    /// The same with their keys; `None`: there is nothing under the key any more.
    fn keyed<T: OutputRecord>(&mut self, each: &mut dyn FnMut(&[u8], Option<T>)) -> Result<(), LogError> {
        let bounds = self.log.bounds(T::TOPIC)?;
        let parts: Vec<Part> = (0..)
            .zip(bounds)
            .map(|(partition, b)| Part {
                at: TopicPartition { topic: Arc::from(T::TOPIC), partition },
                from: b.first,
                upto: b.end,
            })
            .filter(|p| p.from < p.upto)
            .collect();
        self.read(&parts, &mut |record| {
            let decoded = record.value.as_deref().map(wire::decode).transpose().map_err(|e| {
                let (topic, partition, offset) = (&record.topic, record.partition, record.offset);
                LogError::Damaged(format!("{topic} partition {partition} offset {offset}: {e}"))
            })?;
            each(record.key.as_deref().unwrap_or_default(), decoded);
            Ok(())
        })
    }

    /// What the topic `lists` holds under wanted keys, in its order.
    fn lists(&mut self, wants: &dyn Fn(&str) -> bool) -> Result<Vec<Written>, LogError> {
        let mut lists = Vec::new();
        self.keyed(&mut |key, listed: Option<Listed>| {
            let key = String::from_utf8_lossy(key);
            if wants(&key) {
                lists.push(Written { key: key.into_owned(), listed });
            }
        })?;
        Ok(lists)
    }

    /// A list as a whole: all lists, and the event that froze it.
    fn list(mut self, event: Option<&str>) -> Result<Option<Found>, Failure> {
        let lists = self.lists(&|_| true)?;
        let Some(progress) = read_progress(self.log)? else { return Ok(None) };
        let Some(clock) = progress.clock else { return Ok(None) };
        let mut records = Records { lists, ..Records::default() };
        if let Some(event) = event {
            let own = |record: &Record| matches!(record, Record::Governance(g) if *g.event_id == *event);
            records.events = self.inputs(&progress, &[topics::GOVERNANCE], &mut { own })?;
        }
        self.bar.finish_and_clear();
        let looked_at = self.looked_at;
        let (deliveries, delivered, moved_on) = (Vec::new(), false, false);
        let is_delivery = None;
        Ok(Some(Found { records, deliveries, is_delivery, delivered, progress, clock, looked_at, moved_on }))
    }

    /// The headcounts of some years of what is wanted. There are more of them than of anything else, so those that do
    /// not even contain a wanted code are not taken through the door.
    fn headcounts(
        &mut self,
        progress: &Progress,
        wanted: &Wanted,
        years: &BTreeSet<i32>,
    ) -> Result<Vec<Known>, LogError> {
        let codes: Vec<&[u8]> = wanted.enterprises().map(|uscc| uscc.as_str().as_bytes()).collect();
        // An escape may stand for any symbol.
        let worth = |raw: &[u8]| {
            raw.contains(&b'\\') || codes.iter().any(|code| raw.windows(code.len()).any(|part| part == *code))
        };
        let mut keep = |record: &Record| match record {
            Record::Headcount(h) => {
                wanted.wants_headcount(h) && years.contains(&i32::from(h.month.first_day().year()))
            }
            _ => false,
        };
        self.inputs_worth(progress, &[topics::HEADCOUNT], &worth, &mut keep)
    }

    fn alerts(&mut self, asked: &Asked, wanted: &mut Wanted) -> Result<Vec<Alert>, LogError> {
        let mut alerts = Vec::new();
        self.own(&mut |alert: Alert| {
            let named = match asked {
                Asked::Alert(id) => alert.alert_id == *id,
                Asked::Case(case_no) => alert.case_no == *case_no && alert.rule == Rule::Escalation,
                Asked::Incident(id) => alert.rule == Rule::OwnerIncident && *alert.subject == *id.to_string(),
                Asked::Enterprise(uscc) => concerns(&alert, *uscc),
                Asked::AlertBegins(_) | Asked::Report(..) | Asked::List(..) | Asked::Entry(..) => false,
            };
            if named {
                wanted.alert(&alert);
            }
            if named || wanted.wants_alert(&alert) {
                alerts.push(alert);
            }
        })?;
        Ok(alerts)
    }

    /// Incidents as last written, each once.
    fn incidents(&mut self, asked: &Asked, wanted: &mut Wanted) -> Result<Vec<Incident>, LogError> {
        // The log may still hold superseded ones: the last word of each number is judged.
        let mut incidents = BTreeMap::new();
        self.own(&mut |incident: Incident| {
            if *asked == Asked::Incident(incident.incident_id) {
                incident.uscc.into_iter().for_each(|uscc| wanted.enterprise(uscc));
                incident.reports.iter().chain(&incident.withdrawn).for_each(|key| wanted.report(key));
            }
            if wanted.wants_incident(&incident) {
                incidents.insert(incident.incident_id, incident);
            } else {
                incidents.remove(&incident.incident_id);
            }
        })?;
        Ok(incidents.into_values().collect())
    }

    /// The ledger's last word on each delivery of these alerts, and whether there is any of any alert.
    fn deliveries(&mut self, alerts: &[Alert]) -> Result<(Vec<Delivery>, bool), LogError> {
        let ids: std::collections::BTreeSet<&str> = alerts.iter().map(|a| a.alert_id.as_str()).collect();
        let (mut deliveries, mut any) = (BTreeMap::new(), false);
        self.own(&mut |delivery: Delivery| {
            any = true;
            if ids.contains(delivery.alert_id.as_str()) {
                deliveries.insert(delivery.delivery_id.clone(), delivery);
            }
        })?;
        let mut all: Vec<Delivery> = deliveries.into_values().collect();
        all.sort_by(|a, b| (a.at, a.role, &a.subject).cmp(&(b.at, b.role, &b.subject)));
        Ok((all, any))
    }

    /// The ledger's last word on the deliveries of these ids.
    fn deliveries_of(&mut self, ids: &BTreeSet<&str>) -> Result<Vec<Delivery>, LogError> {
        let mut found = BTreeMap::new();
        if !ids.is_empty() {
            self.own(&mut |delivery: Delivery| {
                if ids.contains(delivery.delivery_id.as_str()) {
                    found.insert(delivery.delivery_id.clone(), delivery);
                }
            })?;
        }
        Ok(found.into_values().collect())
    }

    /// The records of these topics up to the progress that `keep` wants, each with what its partition says of when
    /// it was decided.
    pub fn inputs(
        &mut self,
        progress: &Progress,
        names: &[&str],
        keep: &mut dyn FnMut(&Record) -> bool,
    ) -> Result<Vec<Known>, LogError> {
        self.inputs_worth(progress, names, &|_| true, keep)
    }

    /// The same, without those whose bytes are not worth a look.
    fn inputs_worth(
        &mut self,
        progress: &Progress,
        names: &[&str],
        worth: &dyn Fn(&[u8]) -> bool,
        keep: &mut dyn FnMut(&Record) -> bool,
    ) -> Result<Vec<Known>, LogError> {
        let mut parts = Vec::new();
        for offset in progress.offsets.iter().filter(|o| names.contains(&o.topic.as_str())) {
            let at = TopicPartition { topic: Arc::from(offset.topic.as_str()), partition: offset.partition };
            let first = self.log.bounds(&offset.topic)?.get(offset.partition as usize).map_or(0, |b| b.first);
            if first < offset.next {
                parts.push(Part { at, from: first, upto: offset.next });
            }
        }
        let upto: BTreeMap<(Arc<str>, u32), u64> =
            parts.iter().map(|p| ((Arc::clone(&p.at.topic), p.at.partition), p.upto)).collect();
        let mut lanes: BTreeMap<(Arc<str>, u32), Lane> = BTreeMap::new();
        let mut all: Vec<Known> = Vec::new();
        let (schemas, mut refused) = (self.schemas, Vec::new());
        self.read(&parts, &mut |record| {
            let place = (Arc::clone(&record.topic), record.partition);
            if record.offset >= upto.get(&place).copied().unwrap_or(0) {
                return Ok(());
            }
            let (offset, stamp) = (record.offset, record.stamp);
            let lane = lanes.entry(place).or_default();
            lane.pass(stamp, &mut all);
            if !record.value.as_deref().is_some_and(worth) {
                return Ok(());
            }
            let (topic, partition) = (Arc::clone(&record.topic), record.partition);
            let (arrival, flags) = match admit(record, schemas) {
                AtDoor::In(arrival, flags) => (arrival, flags),
                AtDoor::Refused(record) => {
                    if let Some(glimpse) = door::glimpse(&record.topic, &record.raw, schemas) {
                        refused.push(refused_at_door(*record, glimpse));
                    }
                    return Ok(());
                }
                AtDoor::Policy(_) | AtDoor::Nothing => return Ok(()),
            };
            if keep(&arrival.record) {
                lane.keep(all.len());
                let not_before = lane.latest;
                all.push(Known {
                    arrival: *arrival,
                    topic,
                    partition,
                    offset,
                    not_before,
                    followed_at: None,
                    flags,
                });
            }
            Ok(())
        })?;
        refused.sort_by(|a, b| (a.report.arrived_at, &a.place).cmp(&(b.report.arrived_at, &b.place)));
        self.refused = refused;
        // One order, however the partitions were read.
        all.sort_by(|a, b| {
            (a.not_before, &a.topic, a.partition, a.offset).cmp(&(
                b.not_before,
                &b.topic,
                b.partition,
                b.offset,
            ))
        });
        Ok(all)
    }
}

/// What one partition says of the records that were kept of it.
struct Lane {
    /// The latest arrival so far.
    latest: Instant,
    /// Kept records by the earliest arrival after them, the earliest first.
    followed: Vec<(Instant, Vec<usize>)>,
}

impl Default for Lane {
    fn default() -> Lane {
        Lane { latest: Instant(i64::MIN), followed: Vec::new() }
    }
}

impl Lane {
    /// A record comes by.
    fn pass(&mut self, stamp: Instant, all: &mut [Known]) {
        self.latest = self.latest.max(stamp);
        let mut later = Vec::new();
        while let Some((_, kept)) = self.followed.pop_if(|(earliest, _)| *earliest > stamp) {
            later.extend(kept);
        }
        if later.is_empty() {
            return;
        }
        later.iter().for_each(|index| all[*index].followed_at = Some(stamp));
        self.followed.push((stamp, later));
    }

    /// It is kept, in this place.
    fn keep(&mut self, index: usize) {
        match self.followed.last_mut().filter(|(earliest, _)| *earliest == Instant(i64::MAX)) {
            Some((_, kept)) => kept.push(index),
            None => self.followed.push((Instant(i64::MAX), vec![index])),
        }
    }
}
