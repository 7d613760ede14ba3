//! The list of a year: what stands in the topic `lists` (what others see), or, from a file, for a past day or under
//! another policy, what the engine makes of the records.

use std::collections::BTreeMap;

use serde::Serialize;
use tocsin_pipeline::{Engine, Options};
use tocsin_schemas::codes::{List, ListClass};
use tocsin_schemas::log::LogError;
use tocsin_schemas::records::{Listed, Member, Reference, Whole};
use tocsin_schemas::time::{Day, Instant};
use tocsin_schemas::topics;
use tocsin_schemas::wire;

use super::known::{Known, decided_on};
use super::source::{Log, Source};
use super::{Annual, Heading, show, text};
use crate::exit::{CommandResult, Failure};
use crate::run::pipeline::admit::{AtDoor, admit};
use crate::run::pipeline::start;

/// Lists of years.
#[derive(Debug, Serialize)]
pub struct Lists {
    /// One, or those that were frozen, in the order in which they were.
    pub lists: Vec<OfYear>,
}

/// The list of a year.
#[derive(Debug, Serialize)]
pub struct OfYear {
    /// As it changes, or as it was frozen.
    pub list: List,
    /// The calendar year.
    pub year: i32,
    /// The governance event that froze it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// The decision: of a live list in the topic the one that changed it last, of a frozen one that which froze it.
    pub decided_at: Instant,
    /// The policy that decided it.
    pub policy_hash: String,
    /// How many are on it, and who froze it.
    pub sizes: Whole,
    /// What the enterprises of the year were compared with when the list as a whole was last written. A row has its own.
    pub reference: Option<Reference>,
    /// Key ones first, the most incidents first, then the most severe ones, then the highest shrunken rate.
    pub members: Vec<Row>,
}

/// An enterprise on the list.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Its registered name; null if it is not registered any more.
    pub name: Option<String>,
    /// Its responsible area.
    pub area: Option<String>,
    /// The day that its figures are seen from: that of the decision that last changed the entry.
    pub as_of: Day,
    /// The clock of that decision.
    pub decided_at: Instant,
    /// The policy of that decision.
    pub policy_hash: String,
    /// What its chances and shrunken rate were computed with: of another day than the list's where the entry has not
    /// changed since.
    pub reference: Option<Reference>,
    #[serde(flatten)]
    pub member: Member,
}

/// Runs `tocsin lists annual`.
///
/// # Errors
/// A wrong call: a year whose list is not kept, another policy for lists that were frozen, and those of the source. A
/// failure: the log.
pub fn run(args: &Annual) -> CommandResult {
    let common = &args.common;
    let another_policy = common.policy.is_some() || common.policy_from.is_some();
    if args.frozen && common.config.is_some() && another_policy {
        return Err(Failure::wrong_call(
            "--frozen shows what was frozen and approved, which no other policy can change: leave out --policy and \
             --policy-from, or leave out --frozen to see the list as it would be under that policy",
        ));
    }
    let source = Source::open(common)?;
    // What was frozen is never made again: it would stand under the name of who approved another list.
    let as_published = args.frozen || (common.as_of.is_none() && !another_policy);
    let (heading, entries, names) = match source.log().filter(|_| as_published) {
        Some(log) => published(log, &source, common.as_of)?,
        None => {
            let (known, frozen) = Known::run(source, common.as_of)?;
            let mut entries = known.engine.lists();
            entries.extend(frozen);
            (known.heading(), entries, known.engine)
        }
    };
    let lists = choose(args, &heading, entries, &names)?;
    show(common, &heading, &lists, |top| text::annual(&lists, args, top))
}

/// What stood in the topic at the end of a day, of which only frozen lists tell; and an engine that knows the register.
fn published(
    log: &Log,
    source: &Source,
    as_of: Option<Day>,
) -> Result<(Heading, Vec<Listed>, Engine), Failure> {
    let progress = start::read_progress(&*log.log)?;
    let Some((progress, clock)) = progress.and_then(|p| p.clock.map(|clock| (p, clock))) else {
        let or = match as_of {
            None => ", or give --as-of to list from the records that are there",
            Some(_) => "",
        };
        return Err(Failure::failed(format!(
            "the service has not decided anything yet, so its topic lists is empty: start `tocsin run`{or}"
        )));
    };
    let as_of = as_of.unwrap_or(clock.day());
    decided_on(as_of, clock.day())?;
    let clock = clock.min(as_of.plus(1).midnight().plus_millis(-1));
    let (policy, not_taken_over) = log.policy_of(&progress)?;
    let mut records = 0;
    // Compacted, and may still hold what was superseded: the last word of each key.
    let mut entries: BTreeMap<Vec<u8>, (u64, Listed)> = BTreeMap::new();
    start::read_all(&*log.log, topics::LISTS, &mut |record| {
        records += 1;
        let key = record.key.clone().unwrap_or_default();
        match record.value.as_deref() {
            None => drop(entries.remove(&key)),
            Some(raw) => {
                let listed = wire::decode(raw).map_err(|e| {
                    let (topic, partition, offset) = (&record.topic, record.partition, record.offset);
                    LogError::Damaged(format!("{topic} partition {partition} offset {offset}: {e}"))
                })?;
                entries.insert(key, (records, listed));
            }
        }
        Ok(())
    })?;
    let mut engine = Engine::of_decisions(source.policies.clone(), Options { workers: 1 });
    engine.recover(Some(clock));
    let mut register = Vec::new();
    start::read_all(&*log.log, topics::ENTERPRISES, &mut |record| {
        records += 1;
        if record.stamp.day() <= as_of
            && let AtDoor::In(arrival, _) = admit(record, &*log.schemas)
        {
            register.push(*arrival);
        }
        Ok(())
    })?;
    engine.load(register);
    let heading = Heading {
        as_of,
        clock,
        policy: policy.unwrap_or_else(|| source.policy.clone()),
        policy_hash: progress.policy_hash.as_str().into(),
        not_taken_over,
        source: format!("the topic lists of {}", source.name()),
        records,
        refused: 0,
    };
    let mut entries: Vec<(u64, Listed)> =
        entries.into_values().filter(|(_, listed)| listed.as_of <= as_of).collect();
    entries.sort_by_key(|(place, _)| *place);
    Ok((heading, entries.into_iter().map(|(_, listed)| listed).collect(), engine))
}

/// The lists that are asked for.
fn choose(args: &Annual, heading: &Heading, entries: Vec<Listed>, names: &Engine) -> Result<Lists, Failure> {
    let this_year = i32::from(heading.as_of.year());
    let list = if args.frozen { List::Frozen } else { List::Annual };
    let year = match (args.year, args.frozen) {
        (None, true) => None,
        (None, false) => Some(this_year),
        (Some(year), false) if year != this_year && year != this_year - 1 => {
            return Err(Failure::wrong_call(format!(
                "--year {year}: lists of {} and {this_year} are kept on {}; an older one as it stood: --as-of a day of that \
                 year or the next, or as it was frozen: --frozen",
                this_year - 1,
                heading.as_of
            )));
        }
        (year, _) => year,
    };
    let wanted = |l: &&Listed| l.list == list && year.is_none_or(|year| l.year == year);
    let mut lists: Vec<OfYear> = Vec::new();
    for listed in entries.iter().filter(wanted) {
        let Some(sizes) = &listed.whole else { continue };
        // One that is equal to an earlier one has the entries of that.
        let event_id = sizes.same_as.as_ref().or(listed.event_id.as_ref());
        let same = |l: &&Listed| l.year == listed.year && l.event_id.as_ref() == event_id;
        let members = entries.iter().filter(wanted).filter(same);
        let mut members: Vec<Row> = members.filter_map(|listed| row(listed, names)).collect();
        members.sort_by(|a, b| {
            let m = |r: &Row| (std::cmp::Reverse(r.member.incidents), std::cmp::Reverse(r.member.severe));
            let rank = |r: &Row| (r.member.class != ListClass::Key, m(r));
            // A raw rate would put the smallest first.
            let rate = |r: &Row| r.member.shrunken_per_thousand.unwrap_or(-1.0);
            rank(a).cmp(&rank(b)).then(rate(b).total_cmp(&rate(a))).then(a.member.uscc.cmp(&b.member.uscc))
        });
        lists.push(OfYear {
            list: listed.list,
            year: listed.year,
            event_id: listed.event_id.clone(),
            decided_at: listed.decided_at,
            policy_hash: listed.policy_hash.to_string(),
            sizes: sizes.clone(),
            reference: listed.reference.clone(),
            members,
        });
    }
    Ok(Lists { lists })
}

/// An entry with what it was compared with; `None` for a list as a whole.
fn row(listed: &Listed, names: &Engine) -> Option<Row> {
    let member = listed.member.clone()?;
    let registered = names.enterprise(&member.uscc);
    Some(Row {
        name: registered.map(|e| e.name.to_string()),
        area: registered.map(|e| e.area.to_string()),
        as_of: listed.as_of,
        decided_at: listed.decided_at,
        policy_hash: listed.policy_hash.to_string(),
        reference: listed.reference.clone(),
        member,
    })
}
