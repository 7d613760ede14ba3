//! From what one record changed to a named cause.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use compact_str::CompactString;
use tocsin_schemas::codes::Scope;
use tocsin_schemas::ids::{ReportKey, Uscc};
use tocsin_schemas::records::{Enterprise, Headcount, Record, Report};
use tocsin_schemas::time::Instant;

use super::incidents::{Side, transitions};
use super::relevant::Relevant;
use super::view::{Because, Belongs, Difference, Moved, ReportDid, Row};
use super::{Arrival, Engine, Policies, Question};
use super::{effect, listed};
use crate::dataflow::{Exact, scopes_of_incident, scopes_of_member};
use crate::engine::Learnt;
use crate::facts::{Facts, Shared};
use crate::incidents::Seen;
use crate::registry::{Profile, Registry};
use crate::why::since;

/// What is asked about.
pub(super) struct Here<'a> {
    pub question: &'a Question,
    pub relevant: &'a Relevant,
}

/// Whose an enterprise is read as, and where it belongs if it is its own; `None`: not registered.
type Standing = Option<(Uscc, Option<Profile>)>;

impl Here<'_> {
    /// Another policy over the same records. It is named in any case: another hash stands beside the figures.
    pub fn policy(&self, engine: &mut Engine, to: Policies) -> (Difference, Exact) {
        let because =
            Because::Policy { from: Arc::clone(engine.policies().hash()), to: Arc::clone(to.hash()) };
        let by_first = |engine: &Engine| -> BTreeMap<ReportKey, Arc<Seen>> {
            engine.decided_on().map(|seen| (seen.reports[0].key.clone(), seen)).collect()
        };
        let (was, sums, row) = (by_first(engine), self.sums(engine), self.row(engine));
        let entries = listed::entries(engine, listed::whose(self.question));
        engine.adopt(to);
        let is = by_first(engine);
        let differs = |one: &BTreeMap<ReportKey, Arc<Seen>>, other: &BTreeMap<ReportKey, Arc<Seen>>| {
            let differs = |(key, seen): &(&ReportKey, &Arc<Seen>)| other.get(*key) != Some(*seen);
            one.iter().filter(differs).map(|(_, seen)| Arc::clone(seen)).collect::<Vec<_>>()
        };
        let profile = |uscc: &Uscc| engine.register().profile(uscc);
        let side = |all: Vec<Arc<Seen>>| self.side(all, profile);
        let incidents = transitions(side(differs(&was, &is)), side(differs(&is, &was)));
        let change = effect::between(sums.as_ref(), self.sums(engine).as_ref());
        let difference = Difference {
            taken_in_at: None,
            cause: because,
            row: came_or_went(row, self.row(engine)),
            effect: effect::shown(&change),
            incidents,
            lists: listed::moved(&entries, &listed::entries(engine, listed::whose(self.question))),
        };
        (difference, change)
    }

    /// One record more: what it changes, if anything is to be shown of it.
    pub fn record(
        &self,
        engine: &mut Engine,
        taken_in_at: Instant,
        arrival: Arrival,
    ) -> (Option<Difference>, Exact) {
        let (sums, row) = (self.sums(engine), self.row(engine));
        let before = match &arrival.record {
            Record::Report(report) => engine.report_of(&report.key()).cloned(),
            _ => None,
        };
        let whose = listed::whose(self.question);
        let entries = listed::entries(engine, whose);
        let learnt = engine.learn(arrival.clone());
        if let Some(uscc) = whose {
            engine.list_again(uscc);
        }
        let lists = listed::moved(&entries, &listed::entries(engine, whose));
        let change = effect::between(sums.as_ref(), self.sums(engine).as_ref());
        let register = engine.register();
        let earlier = |uscc: &Uscc| match learnt.profiles.iter().any(|((u, _), _)| u == uscc) {
            true => standing(&learnt, *uscc, -1).and_then(|(_, profile)| profile),
            false => register.profile(uscc),
        };
        let of = |sign: isize| {
            let some = learnt.incidents.iter().filter(move |(_, diff)| diff.signum() == sign);
            some.map(|(seen, _)| Arc::clone(seen)).collect::<Vec<_>>()
        };
        let (went, came) = (self.side(of(-1), earlier), self.side(of(1), |uscc| register.profile(uscc)));
        let incidents = transitions(went, came);
        let row = came_or_went(row, self.row(engine));
        let effect = effect::shown(&change);
        if effect.is_empty() && incidents.is_empty() && row.is_none() && lists.is_empty() {
            return (None, change);
        }
        let cause = match &arrival.record {
            Record::Report(report) => because_report(report, &arrival, before.as_ref(), &learnt),
            Record::Headcount(headcount) => because_headcount(headcount, &arrival, register, &learnt),
            Record::Enterprise(enterprise) => self.because_register(enterprise, &arrival, register, &learnt),
            // They are never learnt.
            Record::Contact(_) | Record::Governance(_) => return (None, change),
        };
        (Some(Difference { taken_in_at: Some(taken_in_at), cause, row, effect, incidents, lists }), change)
    }

    fn sums(&self, engine: &Engine) -> Option<Exact> {
        engine.sums_of(self.question.scope, &self.question.key)
    }

    fn row(&self, engine: &Engine) -> bool {
        self.sums(engine).is_some()
    }

    /// With each whether it is counted in this scope and in a window.
    fn side(&self, all: Vec<Arc<Seen>>, profile: impl Fn(&Uscc) -> Option<Profile>) -> Side {
        let with = |seen: Arc<Seen>| {
            let here = self.counts(&seen, &profile);
            (seen, here)
        };
        all.into_iter().map(with).collect()
    }

    fn counts(&self, seen: &Seen, profile: impl Fn(&Uscc) -> Option<Profile>) -> bool {
        let Some(root) = seen.root.filter(|_| seen.counted() && self.relevant.day(seen.occurred_on)) else {
            return false;
        };
        match self.question.scope {
            scope if scope.of_enterprises() => self.member(root, profile(&root).as_ref()),
            _ => scopes_of_incident(seen).any(|(scope, key)| self.is((scope, &key))),
        }
    }

    /// Whether an enterprise that is read as its own and belongs there is counted here.
    fn member(&self, root: Uscc, profile: Option<&Profile>) -> bool {
        let Some(profile) = profile else { return false };
        match self.question.scope {
            Scope::Enterprise => root.as_str() == self.question.key,
            _ => scopes_of_member(profile).any(|(scope, key)| self.is((scope, &key))),
        }
    }

    fn is(&self, (scope, key): (Scope, &CompactString)) -> bool {
        scope == self.question.scope && **key == *self.question.key
    }

    fn because_register(
        &self,
        e: &Enterprise,
        arrival: &Arrival,
        register: &Registry,
        learnt: &Learnt,
    ) -> Because {
        let touched = learnt.standing.iter().map(|((uscc, _), _)| *uscc);
        let touched: BTreeSet<Uscc> = touched.chain(learnt.profiles.iter().map(|((u, _), _)| *u)).collect();
        let here = |standing: &Standing| match standing {
            // Of an enterprise that was taken over: whether it is in there with its successor.
            Some((root, None)) => self.member(*root, register.profile(root).as_ref()),
            Some((root, profile)) => self.member(*root, profile.as_ref()),
            None => false,
        };
        let moved = touched.into_iter().map(|uscc| {
            let (before, since) = (standing(learnt, uscc, -1), standing(learnt, uscc, 1));
            let here = (here(&before), here(&since));
            Moved { uscc, before: belongs(uscc, before), since: belongs(uscc, since), here }
        });
        Because::Register {
            uscc: e.uscc,
            version: e.version,
            arrived_at: arrival.arrived_at,
            verdict: learnt.verdict.as_str(),
            name: Arc::clone(&e.name),
            area: Arc::clone(&e.area),
            industry: e.industry.clone(),
            valid_from: e.valid_from,
            status: e.status,
            successor_of: e.successor_of,
            moved: moved.collect(),
        }
    }
}

fn came_or_went(before: bool, since: bool) -> Option<Row> {
    match (before, since) {
        (false, true) => Some(Row::Appeared),
        (true, false) => Some(Row::Vanished),
        _ => None,
    }
}

/// What a touched enterprise was (-1) or is (1).
fn standing(learnt: &Learnt, uscc: Uscc, sign: isize) -> Standing {
    let root = learnt.standing.iter().find(|((u, _), diff)| *u == uscc && *diff == sign)?.0.1;
    let profile = learnt.profiles.iter().find(|((u, _), diff)| *u == uscc && *diff == sign);
    Some((root, profile.map(|((_, profile), _)| profile.clone())))
}

fn belongs(uscc: Uscc, standing: Standing) -> Option<Belongs> {
    let (root, profile) = standing?;
    Some(Belongs {
        read_as: Some(root).filter(|root| *root != uscc),
        area: profile.as_ref().map(|p| p.area.to_string()),
        industry: profile.as_ref().map(|p| p.division.to_string()),
        tags: profile.iter().flat_map(|p| p.tags.iter().map(ToString::to_string)).collect(),
    })
}

fn because_report(report: &Report, arrival: &Arrival, before: Option<&Shared>, learnt: &Learnt) -> Because {
    let new: Shared = Arc::new(Facts::of(report, arrival.digest, arrival.arrived_at));
    let did = match before {
        None => ReportDid::Arrived,
        Some(_) if !new.stands() => ReportDid::Withdrawn,
        Some(old) if !old.stands() => ReportDid::Restored,
        Some(old) if old.status.counts() && !new.status.counts() => ReportDid::Refused,
        Some(old) if !old.status.counts() && new.status.counts() => ReportDid::Admitted,
        Some(_) => ReportDid::Replaced,
    };
    Because::Report {
        report: report.key(),
        version: report.version,
        arrived_at: arrival.arrived_at,
        verdict: learnt.verdict.as_str(),
        status: report.status,
        did,
        fields: since::between(before, Some(&new)),
    }
}

fn because_headcount(h: &Headcount, arrival: &Arrival, register: &Registry, learnt: &Learnt) -> Because {
    let before = learnt.headcounts.iter().find(|(_, diff)| *diff < 0);
    Because::Headcount {
        uscc: h.uscc,
        read_as: Some(register.root(&h.uscc)).filter(|root| *root != h.uscc),
        month: h.month,
        version: h.version,
        arrived_at: arrival.arrived_at,
        verdict: learnt.verdict.as_str(),
        before: before.map(|((_, (_, insured)), _)| *insured),
        insured: h.insured,
    }
}
