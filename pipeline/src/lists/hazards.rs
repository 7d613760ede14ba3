//! The ranking of post x process x equipment (S32, S45): where machines should replace hands first.
//!
//! Counted production incidents of a window, grouped within each industry (two digits) and each cluster tag of the
//! enterprise by what the reports say of post, process and equipment; ranked by incidents, then by lost days. The three
//! are free text: trimmed, in the spelling that came, and `unknown` where no report gives one. Each comes from the first
//! report of a case that gives it, as every field of a case does; of several cases, from the worst that has one, as an
//! incident's cause does.
//!
//! A group with fewer than `hazard_incidents` is marked as few: one or two incidents are chance, and a post of one
//! enterprise where one person was hurt points at that person. Notes and names are never read.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use compact_str::CompactString;
use hashbrown::HashMap;
use serde::Serialize;
use tocsin_schemas::codes::Scope;
use tocsin_schemas::ids::ReportKey;
use tocsin_schemas::records::{Digest, Record};
use tocsin_schemas::time::Day;

use crate::engine::Arrival;
use crate::policy::Lists as Limits;
use crate::versions::judge;

/// What stands where no report gives a text.
const UNKNOWN: &str = "unknown";

/// The ranking of a window.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hazards {
    /// The first day of the window.
    pub from: Day,
    /// Its last day.
    pub to: Day,
    /// Industries by code, then tags; within each the most incidents first, then the most lost days, then by text.
    pub hazards: Vec<Hazard>,
}

/// A post, a process and an equipment, in one industry or cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hazard {
    /// An industry or a tag.
    pub scope: Scope,
    /// Its two digits, or the tag.
    pub key: String,
    /// What the injured did; `unknown` if no report says it, as in the next two.
    pub post: String,
    /// In which process.
    pub process: String,
    /// At which equipment.
    pub equipment: String,
    /// Counted production incidents.
    pub incidents: u32,
    /// Their persons.
    pub persons: u32,
    /// The severe and fatal ones among the incidents.
    pub severe: u32,
    /// Lost days of all persons, as far as they are known.
    pub lost_days: u64,
    /// Persons of whom no lost days are known: those who died, and those still away.
    pub persons_without_lost_days: u32,
    /// Whether there are so few incidents that the row may be chance, and points at persons.
    pub few: bool,
}

/// An incident as this ranking looks at it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Harm {
    pub on: Day,
    pub division: CompactString,
    pub tags: Vec<CompactString>,
    pub persons: u32,
    pub severe: bool,
    pub lost_days: u64,
    pub persons_without_lost_days: u32,
    pub how: How,
}

/// Post, process and equipment.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct How {
    pub post: Option<CompactString>,
    pub process: Option<CompactString>,
    pub equipment: Option<CompactString>,
}

/// The three texts of every report that stands: the engine itself drops them, since no rule reads them.
#[derive(Debug, Default)]
pub struct Details(HashMap<ReportKey, (u64, Digest, Option<Box<How>>)>);

impl Details {
    /// Takes an arrival in, whatever the order: the version that stands is the one that stands in the engine.
    pub fn take(&mut self, arrival: &Arrival) {
        let Record::Report(report) = &arrival.record else { return };
        let key = report.key();
        let standing = self.0.get(&key).map(|(version, digest, _)| (*version, *digest));
        if !judge(standing.as_ref(), &(report.version, arrival.digest)).1 {
            return;
        }
        let text = |given: Option<&str>| given.map(str::trim).filter(|text| !text.is_empty()).map(Into::into);
        let how = How {
            post: text(report.post.as_deref()),
            process: text(report.process.as_deref()),
            equipment: text(report.equipment.as_deref()),
        };
        let how = (how != How::default()).then(|| Box::new(how));
        self.0.insert(key, (report.version, arrival.digest, how));
    }

    /// What the standing version of a report says of them.
    pub(crate) fn of(&self, key: &ReportKey) -> Option<&How> {
        self.0.get(key)?.2.as_deref()
    }
}

/// Ranks the incidents of these days.
pub(crate) fn rank(harms: &[Harm], (from, to): (Day, Day), limits: &Limits) -> Hazards {
    let mut groups: BTreeMap<(Scope, &CompactString, &How), Hazard> = BTreeMap::new();
    for harm in harms.iter().filter(|harm| (from..=to).contains(&harm.on)) {
        let industry = std::iter::once((Scope::Industry, &harm.division));
        for (scope, key) in industry.chain(harm.tags.iter().map(|tag| (Scope::Tag, tag))) {
            let new = || Hazard::none(scope, key, &harm.how);
            groups.entry((scope, key, &harm.how)).or_insert_with(new).add(harm);
        }
    }
    let mut hazards: Vec<Hazard> = groups.into_values().collect();
    hazards.iter_mut().for_each(|hazard| hazard.few = hazard.incidents < limits.hazard_incidents);
    // Industries come before tags among the scopes.
    hazards.sort_by_cached_key(|h| {
        let most = (Reverse(h.incidents), Reverse(h.lost_days));
        (h.scope, h.key.clone(), most, h.post.clone(), h.process.clone(), h.equipment.clone())
    });
    Hazards { from, to, hazards }
}

impl Hazard {
    fn none(scope: Scope, key: &str, how: &How) -> Hazard {
        let text = |given: &Option<CompactString>| given.as_deref().unwrap_or(UNKNOWN).to_owned();
        Hazard {
            scope,
            key: key.to_owned(),
            post: text(&how.post),
            process: text(&how.process),
            equipment: text(&how.equipment),
            incidents: 0,
            persons: 0,
            severe: 0,
            lost_days: 0,
            persons_without_lost_days: 0,
            few: false,
        }
    }

    fn add(&mut self, harm: &Harm) {
        self.incidents += 1;
        self.persons += harm.persons;
        self.severe += u32::from(harm.severe);
        self.lost_days += harm.lost_days;
        self.persons_without_lost_days += harm.persons_without_lost_days;
    }
}
