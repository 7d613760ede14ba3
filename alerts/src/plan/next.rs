//! What follows for an audience whose first deliveries are planned. Pure.
//!
//! | what is so | next |
//! |---|---|
//! | something is under way | wait |
//! | the gateway is asked whether it has one, or the phone's quota is used up, ours or the gateway's: and an answer is due by now | the next rank, then the next level, as below |
//! | the same, and none is due | wait |
//! | the alert was overtaken | done |
//! | it speaks of an earlier message, and that went on to somebody since | that one, too |
//! | it does, and the earlier one may still go on | wait |
//! | everything certainly did not come | the next of the chain |
//! | it ended for everybody (silenced, expired, nobody there) | done |
//! | whoever was asked last certainly did not get it | their next channel |
//! | an answer is due ([`deadline`]) | wait for it, then the next rank, then the next level: an owner's officer, township; the emergency duty of the city |
//! | a receipt may still say that nobody got it, or a person that it is not theirs | wait for so long |
//!
//! A message that may have come is sent to nobody else as well, but when an answer is due and does not come.

use tocsin_schemas::codes::Role;
use tocsin_schemas::records::{Alert, Audience, DeliveryState};
use tocsin_schemas::time::Instant;

use super::share::{Fate, Standing, Try};
use super::told::{Heard, ShareKey};
use super::{Draft, Planner, Step};
use crate::answers::deadline::{self, Asked, Deadlines, Place};
use crate::decide::{self, Why};

/// What is waited for after a message went out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Awaits {
    /// How long a person's answer may take.
    pub deadlines: Deadlines,
    /// How long a receipt may say that nobody got it, or a person that it is not theirs, so that the next one is tried, in
    /// milliseconds. A carrier tries a
    /// phone that is off for a day or two; nobody waits for that.
    pub objection_ms: i64,
}

impl Default for Awaits {
    fn default() -> Self {
        Awaits { deadlines: Deadlines::default(), objection_ms: 30 * 60_000 }
    }
}

/// What is due for one audience of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Further {
    /// Nothing before a delivery of it moves, or this instant comes.
    Wait(Option<Instant>),
    /// Nothing more.
    Done,
    /// The next channel or person.
    Plan(Box<Draft>),
}

impl Planner<'_> {
    /// What follows for an audience whose deliveries are known.
    pub fn further(&self, alert: &Alert, audience: &Audience) -> Further {
        let Some(share) = self.told.share(ShareKey::new(alert, audience)).filter(|share| !share.closed)
        else {
            return Further::Done;
        };
        let tries: Vec<(&Try, Standing)> =
            share.tries.iter().map(|one| (one, self.told.standing(one))).collect();
        let any = |fates: &[Fate]| tries.iter().any(|(_, standing)| fates.contains(&standing.fate));
        let fresh = |step: &&Step| {
            let id = self.id(alert, audience, &step.whom);
            tries.iter().all(|(known, _)| known.id != id)
        };
        let plan = |step: &Step| Further::Plan(Box::new(self.unless_said(alert, audience, step)));
        if any(&[Fate::Open]) {
            return Further::Wait(None);
        }
        let overtaken = self.told.overtaken(alert, audience);
        // That may take days, and a death does not wait for it.
        let stalled = any(&[Fate::Stalled]);
        if stalled && (overtaken || decide::looks_back(alert.change)) {
            return Further::Wait(None);
        }
        if overtaken {
            return Further::Done;
        }
        if decide::looks_back(alert.change) {
            let heard = self.those_who_heard(alert, audience);
            // Where gateways come and go it may have been said over one that is not the present one: it would be said again.
            let unsaid = |step: &&Step| {
                let instead = |whom: &Heard| {
                    whom.phone_hash == step.whom.phone_hash && heard.iter().all(|other| other.whom != *whom)
                };
                let said = |(known, standing): &(&Try, Standing)| {
                    known.whom.as_ref().is_some_and(instead) && standing.fate != Fate::Lost
                };
                fresh(step) && !tries.iter().any(said)
            };
            return match heard.iter().find(unsaid) {
                Some(step) => plan(step),
                None if self.told.unfinished_before(alert, audience) => Further::Wait(None),
                None => Further::Done,
            };
        }
        let mut levels = self.levels(alert, audience);
        if !any(&[Fate::Out, Fate::Reached, Fate::Unknown, Fate::Over, Fate::Stalled])
            && let Some(step) = levels.iter().flatten().find(fresh)
        {
            return plan(step);
        }
        let Some(awaits) = self.awaits else {
            return if stalled { Further::Wait(None) } else { Further::Done };
        };
        if any(&[Fate::Over]) && !any(&[Fate::Out, Fate::Reached, Fate::Unknown, Fate::Stalled]) {
            return Further::Done;
        }
        let within = awaits.deadlines.of(audience.role, alert.level, alert.severity);
        if within.is_some()
            && let Some((last, Standing { fate: Fate::Lost, .. })) =
                tries.iter().max_by(|(a, x), (b, y)| (x.at, &a.id).cmp(&(y.at, &b.id)))
            && let Some(whom) = &last.whom
            && let Some(step) = levels
                .iter()
                .flatten()
                .filter(|step| place(step) == (whom.role, &whom.subject, whom.rank))
                .find(fresh)
        {
            return plan(step);
        }
        levels.extend(self.behind(alert, audience));
        let places: Vec<Vec<Place>> =
            levels.iter().map(|level| level.iter().map(asked_at).collect()).collect();
        let asked: Vec<Asked> = tries.iter().filter_map(|(one, standing)| asked(one, *standing)).collect();
        let until = match deadline::next(within, &places, &asked, self.now) {
            deadline::Next::NextRank(next) | deadline::Next::NextLevel(next) => {
                let mut steps = levels.iter().flatten().filter(|step| asked_at(step) == next);
                return match steps.find(fresh) {
                    Some(step) => plan(step),
                    None if stalled => Further::Wait(None),
                    None => Further::Done,
                };
            }
            deadline::Next::Wait { until } => Some(until),
            deadline::Next::Done(deadline::Why::NotNeeded) => self.objection_until(&tries, awaits),
            deadline::Next::Done(_) => None,
        };
        match until {
            None if stalled => Further::Wait(None),
            None => Further::Done,
            until => Further::Wait(until),
        }
    }

    /// The next delivery; one that says the same words to a phone that hears them in another role of this alert goes with
    /// that one.
    fn unless_said(&self, alert: &Alert, audience: &Audience, step: &Step) -> Draft {
        let (draft, words) = self.draft(alert, audience, step);
        for other in alert.audiences.iter().filter(|other| *other != audience) {
            let share = self.told.share(ShareKey::new(alert, other));
            let twin = share.into_iter().flat_map(|share| &share.tries).find(|one| {
                let same = |whom: &Heard| whom.phone_hash == step.whom.phone_hash;
                one.leader.is_none()
                    && one.whom.as_ref().is_some_and(same)
                    && self.told.standing(one).fate != Fate::Lost
            });
            if let Some(twin) = twin
                && words.is_some()
                && self.draft(alert, other, step).1 == words
            {
                let why = format!("{}:{}", Why::SamePerson.as_str(), twin.id);
                return self.ended(draft, DeliveryState::Skipped, &why);
            }
        }
        draft
    }

    /// Who is asked when the levels of [`Planner::levels`] do not answer: the city's emergency duty, of a township and an
    /// industry.
    fn behind(&self, alert: &Alert, audience: &Audience) -> Option<Vec<Step>> {
        if !matches!(audience.role, Role::TownshipDuty | Role::IndustryDuty) {
            return None;
        }
        let area = alert.facts.area.as_deref().unwrap_or_default();
        let cities = self.contacts.subjects(Role::EmergencyDuty);
        let city = cities.iter().find(|city| area.starts_with(**city)).or(cities.first())?;
        // Who is told of the alert anyway is not told twice.
        let told = |a: &Audience| a.role == Role::EmergencyDuty && a.subject.as_str() == *city;
        let known = alert.audiences.iter().any(told);
        (!known).then(|| self.of_role(Role::EmergencyDuty, city, false))
    }

    /// Until when a receipt may say that the gateway's yes was not the phone's, or a person that it is not theirs.
    fn objection_until(&self, tries: &[(&Try, Standing)], awaits: &Awaits) -> Option<Instant> {
        let unanswered = |standing: &Standing| {
            matches!(standing.fate, Fate::Out | Fate::Reached) && standing.said.is_none()
        };
        let out = tries.iter().filter(|(_, standing)| unanswered(standing));
        let until = out.map(|(_, standing)| standing.at.plus_millis(awaits.objection_ms)).max();
        until.filter(|until| *until > self.now)
    }
}

fn place(step: &Step) -> (Role, &String, u32) {
    (step.whom.role, &step.whom.subject, step.whom.rank)
}

fn asked_at(step: &Step) -> Place {
    Place { role: step.whom.role, subject: step.whom.subject.clone(), rank: step.whom.rank }
}

fn asked(one: &Try, standing: Standing) -> Option<Asked> {
    let whom = one.whom.as_ref()?;
    Some(Asked {
        place: Place { role: whom.role, subject: whom.subject.clone(), rank: whom.rank },
        at: standing.at,
        lost: matches!(standing.fate, Fate::Lost | Fate::Over),
        said: standing.said,
    })
}

#[cfg(test)]
#[path = "next_tests.rs"]
mod tests;
