//! A list as a whole: who is on it, against its sizes; and the event that froze it, or should have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tocsin_schemas::codes::{FreezeRefusal, List, ListClass};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::{GovernanceEvent, Listed, Member, Record, Whole};

use super::entry::masked;
use super::view::{EventView, MovedOnList, OnList, WholeExplained};
use super::{stand_with, years};
use crate::lists::Freeze;
use crate::why::check::{differ, option};
use crate::why::view::{Check, Difference, Place};
use crate::why::{Known, Why};

/// Explains the record in this place of the topic.
pub(super) fn explain(why: &Why<'_, '_>, place: usize, listed: &Listed) -> WholeExplained {
    let on = members(why, listed.list, listed.year, stand_with(listed).map(String::as_str));
    let mut differences = Vec::new();
    let key = listed.key();
    let newest = !why.records.lists[place + 1..].iter().any(|w| w.key == key);
    // What an earlier record of the live list counted stands in the topic no longer.
    if let Some(whole) = listed.whole.as_ref().filter(|_| newest) {
        sizes(&mut differences, whole, &on);
    }
    let mut known: Vec<&Known> = why.records.events.iter().filter(|k| event(k).is_some()).collect();
    known.sort_by_key(|k| (k.not_before, k.offset));
    if listed.list == List::Frozen {
        froze(&mut differences, listed, known.iter().filter_map(|k| event(k)));
    }
    WholeExplained {
        members: on
            .values()
            .map(|m| OnList { uscc: m.uscc, class: m.class, persistent: m.persistent })
            .collect(),
        events: known.iter().filter_map(|k| view(k, listed)).collect(),
        moved: if listed.list == List::Frozen { moved(why, listed, &on) } else { Vec::new() },
        check: Check { differences, unchecked: Vec::new() },
        entry: masked(listed),
        key,
    }
}

/// Who is on a list, by the last word on each.
fn members<'w>(
    why: &'w Why<'_, '_>,
    list: List,
    year: i32,
    event_id: Option<&str>,
) -> BTreeMap<Uscc, &'w Member> {
    let newest = years::newest(&why.records.lists);
    let of_it = newest.values().filter_map(|(_, written)| written.listed.as_ref());
    of_it
        .filter(|l| l.list == list && l.year == year && l.event_id.as_deref() == event_id)
        .filter_map(|l| l.member.as_ref())
        .map(|member| (member.uscc, member))
        .collect()
}

fn sizes(differences: &mut Vec<Difference>, whole: &Whole, on: &BTreeMap<Uscc, &Member>) {
    let many = |of: &dyn Fn(&Member) -> bool| on.values().filter(|m| of(m)).count() as u32;
    let all = [
        ("key", whole.key, many(&|m| m.class == ListClass::Key)),
        ("persistent", whole.persistent, many(&|m| m.persistent)),
        ("general", whole.general, many(&|m| m.class == ListClass::General)),
    ];
    for (field, said, again) in all.into_iter().filter(|(_, said, again)| said != again) {
        differ(differences, field, said, again);
    }
}

/// Some version of the event must have frozen it, or have been refused, as the record says.
fn froze<'e>(
    differences: &mut Vec<Difference>,
    listed: &Listed,
    events: impl Iterator<Item = &'e GovernanceEvent>,
) {
    let said = listed.whole.as_ref().and_then(|whole| whole.refused);
    let named = listed.whole.as_ref().is_some_and(|whole| whole.approver.is_some());
    let mut found = Vec::new();
    for wish in events.filter_map(Freeze::of) {
        // That an event's record was lost hangs on the topic, not on the event.
        let lost = said == Some(FreezeRefusal::NoRecord);
        let refused = Freeze { lost, ..wish.clone() }.decide(listed.as_of).err();
        if (wish.year.unwrap_or(0), refused, wish.approver.is_some()) == (listed.year, said, named) {
            return;
        }
        found.push(option(refused));
    }
    let again = if found.is_empty() { "no such event".to_owned() } else { found.join(", ") };
    differ(differences, "event", option(said), again);
}

fn event(known: &Known) -> Option<&GovernanceEvent> {
    match &known.arrival.record {
        Record::Governance(event) => Some(event),
        _ => None,
    }
}

fn view(known: &Known, listed: &Listed) -> Option<EventView> {
    let event = event(known)?;
    let place = Place { topic: Arc::clone(&known.topic), partition: known.partition, offset: known.offset };
    Some(EventView {
        version: event.version,
        kind: event.kind.clone(),
        subject: event.subject.clone(),
        approved: event.approver.as_ref().is_some_and(|name| !name.trim().is_empty()),
        arrived_at: known.arrival.arrived_at,
        place,
        refused: Freeze::of(event).and_then(|wish| wish.decide(listed.as_of).err()),
    })
}

/// Who stands otherwise on the live list of the year.
fn moved(why: &Why<'_, '_>, listed: &Listed, frozen: &BTreeMap<Uscc, &Member>) -> Vec<MovedOnList> {
    if listed.whole.as_ref().is_some_and(|whole| whole.refused.is_some()) {
        return Vec::new();
    }
    let live = members(why, List::Annual, listed.year, None);
    let all: BTreeSet<&Uscc> = frozen.keys().chain(live.keys()).collect();
    let class = |of: &BTreeMap<Uscc, &Member>, uscc: &Uscc| of.get(uscc).map(|m| m.class);
    let both = all.into_iter().map(|uscc| MovedOnList {
        uscc: *uscc,
        frozen: class(frozen, uscc),
        live: class(&live, uscc),
    });
    both.filter(|moved| moved.frozen != moved.live).collect()
}
