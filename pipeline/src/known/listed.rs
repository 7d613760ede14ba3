//! The entries of an enterprise in the lists of the as-of day's year and the one before.
//!
//! What stood in the topic was compared with the city's rate and the model of midnights, from what was known then. Here both
//! sides are compared with what the end of the as-of day would take from the records of that side, so that an entry is a
//! function of the records too. On the way the entry is compared as it was then; what it is compared with now is
//! the last step, by which the city's other enterprises come in.

use tocsin_schemas::codes::Scope;
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::{Listed, Reference};

use super::Question;
use super::view::{Because, Compared, Difference, ListEntry, ListMoved};
use crate::engine::Engine;

/// The enterprise whose entries are looked at; none of another scope.
pub(super) fn whose(question: &Question) -> Option<Uscc> {
    question.key.parse().ok().filter(|_| question.scope == Scope::Enterprise)
}

pub(super) fn entries(engine: &Engine, whose: Option<Uscc>) -> Vec<ListEntry> {
    whose.map(|uscc| engine.entries_of(uscc)).unwrap_or_default().into_iter().filter_map(entry).collect()
}

/// Without for how many years running it is key: that hangs on what was frozen, and on lists of years before.
fn entry(listed: Listed) -> Option<ListEntry> {
    let m = listed.member?;
    Some(ListEntry {
        year: listed.year,
        class: m.class,
        reasons: m.reasons,
        undetermined: m.undetermined,
        incidents: m.incidents,
        persons: m.persons,
        severe: m.severe,
        headcount: m.headcount,
        per_thousand: m.per_thousand,
        shrunken_per_thousand: m.shrunken_per_thousand,
        chance_above_city: m.chance_above_city,
        chance_of_as_many: m.chance_of_as_many,
    })
}

/// What differs, by year.
pub(super) fn moved(before: &[ListEntry], since: &[ListEntry]) -> Vec<ListMoved> {
    let of = |all: &[ListEntry], year: i32| all.iter().find(|e| e.year == year).cloned();
    let mut years: Vec<i32> = before.iter().chain(since).map(|e| e.year).collect();
    years.sort_unstable();
    years.dedup();
    let both =
        years.into_iter().map(|year| ListMoved { year, before: of(before, year), since: of(since, year) });
    both.filter(|moved| moved.before != moved.since).collect()
}

/// The last step: compared with what is known now. `None`: that changes nothing of the entries.
pub(super) fn compared_anew(engine: &mut Engine, whose: Option<Uscc>) -> Option<Difference> {
    let (was, with) = (entries(engine, whose), references(engine));
    engine.compare_lists();
    let (is, now) = (entries(engine, whose), references(engine));
    let lists = moved(&was, &is);
    let with = with.into_iter().zip(now).filter(|((year, _), _)| lists.iter().any(|m| m.year == *year));
    let compared = with.map(|((year, then), (_, now))| Compared { year, then, now }).collect();
    (!lists.is_empty()).then(|| Difference {
        taken_in_at: None,
        cause: Because::ComparedWith { lists: compared },
        row: None,
        effect: Vec::new(),
        incidents: Vec::new(),
        lists,
    })
}

fn references(engine: &Engine) -> Vec<(i32, Reference)> {
    engine.references().map(|(year, reference)| (year, reference.clone())).collect()
}
