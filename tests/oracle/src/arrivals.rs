//! What arrived, what became of it at the door, and which version of everything stands.

use std::collections::BTreeMap;

use tocsin_schemas::ids::{ReportKey, Uscc};
use tocsin_schemas::records::{Counters, Digest, Enterprise, Record, Report};
use tocsin_schemas::time::{Instant, Month};

/// One accepted record as it came: content, digest of its canonical JSON, and when it arrived.
pub(crate) struct Arrival {
    pub(crate) record: Record,
    pub(crate) digest: Digest,
    pub(crate) arrived_at: Instant,
}

/// What became of a record at the door (records.md section 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It is news.
    Accepted,
    /// The very record that stands.
    Duplicate,
    /// A lower version than the one that stands.
    Stale,
    /// The version that stands, with other content.
    Conflict,
}

fn key_and_version(record: &Record) -> (String, u64) {
    match record {
        Record::Report(r) => (format!("report {}", r.key()), r.version),
        // All versions of an enterprise are kept: each is a record of its own.
        Record::Enterprise(e) => (format!("enterprise {} {}", e.uscc, e.version), e.version),
        Record::Headcount(h) => (format!("headcount {} {}", h.uscc, h.month), h.version),
        Record::Contact(c) => (format!("contact {} {} {}", c.role, c.subject, c.rank), c.version),
        Record::Governance(g) => (format!("governance {}", g.event_id), g.version),
    }
}

/// Version and digest that stand, by key.
pub(crate) type Stands = BTreeMap<String, (u64, Digest)>;

/// The verdict on `new` after everything that stands, among which it then is.
pub(crate) fn verdict(all: &mut Stands, new: &Arrival) -> Verdict {
    let (key, version) = key_and_version(&new.record);
    let stands = all.get(&key).copied();
    all.insert(key, (version, new.digest).max(stands.unwrap_or((0, new.digest))));
    match stands {
        None => Verdict::Accepted,
        Some((v, _)) if version > v => Verdict::Accepted,
        Some((v, _)) if version < v => Verdict::Stale,
        Some((_, digest)) if digest == new.digest => Verdict::Duplicate,
        Some(_) => Verdict::Conflict,
    }
}

pub(crate) fn count(counters: &mut Counters, verdict: Verdict) {
    match verdict {
        Verdict::Accepted => counters.accepted += 1,
        Verdict::Duplicate => counters.duplicates += 1,
        Verdict::Stale => counters.stale += 1,
        Verdict::Conflict => counters.conflicts += 1,
    }
}

/// The version of a report that stands, and when the report was first heard of.
pub(crate) struct Standing<'a> {
    pub(crate) report: &'a Report,
    digest: Digest,
    /// Earliest arrival of any version.
    pub(crate) first_arrival: Instant,
    /// Earliest arrival of a version whose status counts.
    pub(crate) first_counting: Option<Instant>,
}

/// The highest version of each report stands; of one version with two contents the greater digest.
pub(crate) fn standing_reports(arrivals: &[Arrival]) -> BTreeMap<ReportKey, Standing<'_>> {
    let mut all: BTreeMap<ReportKey, Standing<'_>> = BTreeMap::new();
    for arrival in arrivals {
        let Record::Report(report) = &arrival.record else { continue };
        let at = arrival.arrived_at;
        let counting = report.status.counts().then_some(at);
        match all.get_mut(&report.key()) {
            None => {
                let standing =
                    Standing { report, digest: arrival.digest, first_arrival: at, first_counting: counting };
                all.insert(report.key(), standing);
            }
            Some(s) => {
                s.first_arrival = s.first_arrival.min(at);
                s.first_counting = match (s.first_counting, counting) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
                if (report.version, arrival.digest) > (s.report.version, s.digest) {
                    s.report = report;
                    s.digest = arrival.digest;
                }
            }
        }
    }
    all
}

/// Every version of every enterprise that stands.
pub(crate) fn standing_enterprises(arrivals: &[Arrival]) -> BTreeMap<Uscc, Vec<&Enterprise>> {
    let mut versions: BTreeMap<(Uscc, u64), (Digest, &Enterprise)> = BTreeMap::new();
    for arrival in arrivals {
        let Record::Enterprise(e) = &arrival.record else { continue };
        let kept = versions.entry((e.uscc, e.version)).or_insert((arrival.digest, e));
        if arrival.digest > kept.0 {
            *kept = (arrival.digest, e);
        }
    }
    let mut all: BTreeMap<Uscc, Vec<&Enterprise>> = BTreeMap::new();
    for ((uscc, _), (_, e)) in versions {
        all.entry(uscc).or_default().push(e);
    }
    all
}

/// Insured persons by enterprise and month, as they stand.
pub(crate) fn standing_headcounts(arrivals: &[Arrival]) -> BTreeMap<(Uscc, Month), u32> {
    let stands = headcount_versions(arrivals);
    stands.into_iter().map(|(key, (_, _, insured))| (key, insured)).collect()
}

/// The same with version and digest.
pub(crate) fn headcount_versions(arrivals: &[Arrival]) -> BTreeMap<(Uscc, Month), (u64, Digest, u32)> {
    let mut stands: BTreeMap<(Uscc, Month), (u64, Digest, u32)> = BTreeMap::new();
    for arrival in arrivals {
        let Record::Headcount(h) = &arrival.record else { continue };
        let kept = stands.entry((h.uscc, h.month)).or_insert((h.version, arrival.digest, h.insured));
        if (h.version, arrival.digest) > (kept.0, kept.1) {
            *kept = (h.version, arrival.digest, h.insured);
        }
    }
    stands
}
