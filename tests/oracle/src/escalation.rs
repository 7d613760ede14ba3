//! `escalation`: the open warning of each enterprise, and how it changes (records.md section 4).

use std::collections::{BTreeMap, BTreeSet};

use tocsin_schemas::codes::{CITY, Category, Change, Level, Reason, Role, Rule, Severity, State};
use tocsin_schemas::ids::{IncidentId, Uscc};

use crate::owner::Moment;
use crate::policy::OraclePolicy;
use crate::registry::Registry;
use crate::said::{Facts, Said};

/// What makes a decision fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    Midnight,
    Batch,
    /// Another policy was taken over.
    Policy,
}

/// What was said of one enterprise so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Warned {
    pub(crate) episode: u32,
    pub(crate) open: Option<Open>,
}

/// The episode that is open.
#[derive(Debug, Clone)]
pub(crate) struct Open {
    pub(crate) level: Level,
    revision: u32,
    told: BTreeSet<(Role, String)>,
    /// Severe and fatal ones that its messages named as such.
    named: BTreeSet<IncidentId>,
}

/// The incidents of one enterprise in the window, and which of them are severe or fatal.
struct Window {
    ids: BTreeSet<IncidentId>,
    severe: BTreeSet<IncidentId>,
}

fn window(moment: &Moment<'_>, read_as: &ReadAs, uscc: Uscc, table: &OraclePolicy) -> Window {
    let to = moment.as_of();
    let from = to.plus(1 - i32::from(table.window_days));
    let mut w = Window { ids: BTreeSet::new(), severe: BTreeSet::new() };
    for id in read_as.get(&uscc).into_iter().flatten() {
        let f = &moment.now[id].found;
        if from <= f.occurred_on && f.occurred_on <= to {
            w.ids.insert(*id);
            if f.severity > Severity::Minor {
                w.severe.insert(*id);
            }
        }
    }
    w
}

/// The incidents that count here, by the enterprise that they are read as.
pub(crate) type ReadAs = BTreeMap<Uscc, Vec<IncidentId>>;

pub(crate) fn read_as(moment: &Moment<'_>, registry: &Registry<'_>) -> ReadAs {
    let mut all = ReadAs::new();
    for (id, known) in moment.now {
        let f = &known.found;
        let counts = !known.gone && f.state == State::Counted && f.category == Category::Production;
        if let (true, Some(uscc)) = (counts, f.uscc) {
            all.entry(registry.root(uscc)).or_default().push(*id);
        }
    }
    all
}

fn level(window: &Window, table: &OraclePolicy) -> Option<Level> {
    table.level(window.ids.len() as u32, !window.severe.is_empty())
}

fn audience(registry: &Registry<'_>, uscc: Uscc, level: Level) -> BTreeSet<(Role, String)> {
    let mut who = BTreeSet::new();
    if let Some(e) = registry.seen(&uscc) {
        who.insert((Role::TownshipDuty, e.area.to_string()));
        if level >= Level::Orange {
            who.insert((Role::IndustryDuty, e.division().to_string()));
        }
    }
    if level >= Level::Red {
        who.insert((Role::EmergencyDuty, CITY.to_string()));
    }
    who
}

/// What is to be said of one enterprise at this decision, if anything.
pub(crate) fn decide(
    moment: &Moment<'_>,
    registry: &Registry<'_>,
    read_as: &ReadAs,
    uscc: Uscc,
    warned: &mut Warned,
    occasion: Occasion,
) -> Option<Said> {
    let today = moment.as_of();
    let table = moment.tables.on(today);
    let w = window(moment, read_as, uscc, table);
    let succeeded = registry.root(uscc) != uscc;
    let level_now = level(&w, table);
    let change = change(warned.open.as_ref(), level_now, &w)?;
    let falls = matches!(change, Change::Eased | Change::Closed);
    if today < moment.tables.begin() && !falls {
        return None;
    }
    let policy_did_it = policy_did_it(moment, read_as, uscc, warned.open.as_ref(), change);

    let open = match warned.open.take() {
        None => {
            warned.episode += 1;
            Open { level: Level::Blue, revision: 0, told: BTreeSet::new(), named: BTreeSet::new() }
        }
        Some(open) => open,
    };
    let by_policy = match occasion {
        Occasion::Policy => true,
        Occasion::Batch => false,
        Occasion::Midnight => policy_did_it,
    };
    let reason = if falls && succeeded {
        Some(Reason::Succeeded)
    } else if by_policy && change != Change::Added {
        Some(Reason::Policy)
    } else if falls && occasion == Occasion::Batch {
        Some(Reason::Corrected)
    } else if falls {
        Some(Reason::Expired)
    } else {
        None
    };
    let who = match level_now {
        _ if reason == Some(Reason::Expired) => BTreeSet::new(),
        _ if falls => open.told.clone(),
        Some(level) => audience(registry, uscc, level),
        None => BTreeSet::new(),
    };
    let revision = open.revision + 1;
    warned.open = level_now.map(|level| Open {
        level,
        revision,
        told: open.told.union(&who).cloned().collect(),
        named: open.named.union(&w.severe).copied().collect(),
    });
    let reports: BTreeSet<_> =
        w.ids.iter().flat_map(|id| moment.now[id].found.reports.iter().cloned()).collect();
    Some(Said {
        decided_at: moment.at,
        as_of: today,
        rule: Rule::Escalation,
        subject: uscc.to_string(),
        episode: warned.episode,
        revision,
        change,
        reason,
        uscc,
        audiences: who.into_iter().map(|(role, subject)| (role, subject, None)).collect(),
        level: level_now,
        severity: None,
        count: w.ids.len() as u32,
        facts: Facts {
            window_days: Some(u32::from(table.window_days)),
            severe_incident_ids: w.severe.into_iter().collect(),
            worst: w.ids.iter().map(|id| moment.now[id].found.severity).max(),
            ..moment.facts(uscc)
        },
        incident_ids: w.ids.into_iter().collect(),
        reports: reports.into_iter().collect(),
    })
}

fn change(open: Option<&Open>, level_now: Option<Level>, w: &Window) -> Option<Change> {
    match (open, level_now) {
        (None, None) => None,
        (None, Some(_)) => Some(Change::New),
        (Some(_), None) => Some(Change::Closed),
        (Some(open), Some(now)) if now > open.level => Some(Change::Raised),
        (Some(open), Some(now)) if now < open.level => Some(Change::Eased),
        (Some(open), Some(Level::Red)) if !w.severe.is_subset(&open.named) => Some(Change::Added),
        (Some(_), Some(_)) => None,
    }
}

/// Whether another table holds today than yesterday, and under yesterday's the change would not happen.
fn policy_did_it(
    moment: &Moment<'_>,
    read_as: &ReadAs,
    uscc: Uscc,
    open: Option<&Open>,
    change_now: Change,
) -> bool {
    let yesterday = moment.as_of().plus(-1);
    let table = moment.tables.on(yesterday);
    let w = window(moment, read_as, uscc, table);
    moment.tables.index(yesterday) != moment.tables.index(moment.as_of())
        && change(open, level(&w, table), &w) != Some(change_now)
}
