//! Whom to ask next when no answer comes. Pure: who was asked when, what they said and who else there is in, one [`Next`] out.
//! Nothing is remembered here: after a restart the same records give the same answer, so each is asked once.
//!
//! In this order, the first that applies:
//!
//! | what is so | next |
//! |---|---|
//! | no answer is due of this message ([`Deadlines`]) | done: not needed |
//! | somebody has acknowledged, or says that it was withdrawn, however late | done: answered |
//! | somebody was asked, has said nothing, and has time left | wait, until the last such deadline |
//! | the level of whom was asked last has a person whom nobody has asked | ask: next rank |
//! | a level behind it has one | ask: next level |
//! | none is left | done: nobody left, which a page shows: every unanswered warning is evidence (S53) |
//!
//! Whoever says "not ours", and whom a message certainly did not reach, is not waited for. Words that were not understood
//! are no answer. Quiet hours, quotas and silences are the sender's: this says who is due, not when a phone may ring.

use tocsin_schemas::codes::{Level, Role, Says, Severity};
use tocsin_schemas::time::Instant;

/// How long an answer may take, in milliseconds; `None`: none is due. They are the deployment's (`[alerts.deadlines]`) and not
/// fields of the policy: they change no decision, so they belong in no alert's hash and no backtest, and a bureau
/// changes them with its roster. S20's 24 hours are the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// Owner, minor injury (S15 asks for no answer).
    pub owner: Option<i64>,
    /// Owner, severe or fatal.
    pub owner_severe: Option<i64>,
    /// Township, blue: for information (S20).
    pub blue: Option<i64>,
    /// Township, yellow: looked into within 24 hours (S20).
    pub yellow: Option<i64>,
    /// Orange.
    pub orange: Option<i64>,
    /// Red: at once (S49 has them lead it); the figure is ours.
    pub red: Option<i64>,
}

const HOUR: i64 = 3_600_000;

impl Deadlines {
    /// No answer is due of anything.
    pub const NONE: Deadlines =
        Deadlines { owner: None, owner_severe: None, blue: None, yellow: None, orange: None, red: None };
}

impl Default for Deadlines {
    fn default() -> Self {
        Deadlines {
            owner: None,
            owner_severe: Some(2 * HOUR),
            blue: None,
            yellow: Some(24 * HOUR),
            orange: Some(24 * HOUR),
            red: Some(2 * HOUR),
        }
    }
}

impl Deadlines {
    /// Of a message to this role, about an incident of this severity or a warning at this level. A warning that has ended has
    /// no level, and asks for no answer.
    pub fn of(&self, role: Role, level: Option<Level>, severity: Option<Severity>) -> Option<i64> {
        let owner = matches!(role, Role::Owner | Role::SafetyOfficer);
        match (level, severity) {
            _ if owner && severity.is_some_and(|severity| severity >= Severity::Severe) => self.owner_severe,
            _ if owner => self.owner,
            (Some(Level::Blue), _) => self.blue,
            (Some(Level::Yellow), _) => self.yellow,
            (Some(Level::Orange), _) => self.orange,
            (Some(Level::Red), _) => self.red,
            (None, _) => None,
        }
    }
}

/// A person's place in `registry.contacts`: no phone, no name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The role.
    pub role: Role,
    /// Whose role.
    pub subject: String,
    /// 1 is asked first.
    pub rank: u32,
}

/// Somebody who was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Who.
    pub place: Place,
    /// When the gateway took it, or it was planned: an answer's time runs from there.
    pub at: Instant,
    /// It certainly did not reach them: failed, expired.
    pub lost: bool,
    /// What they have said, the furthest of [`super::fold`]'s order.
    pub said: Option<Says>,
}

impl Asked {
    /// Whether an answer may still come of them.
    fn awaited(&self) -> bool {
        !self.lost && !matches!(self.said, Some(Says::NotOurs))
    }
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing before this instant.
    Wait {
        /// When to look again.
        until: Instant,
    },
    /// Ask the next person of the same level.
    NextRank(Place),
    /// Ask the first person of a level behind it.
    NextLevel(Place),
    /// Nothing any more.
    Done(Why),
}

/// Why nothing is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// No answer is due.
    NotNeeded,
    /// Somebody has answered.
    Answered,
    /// Everybody was asked.
    NobodyLeft,
}

/// What to do about an audience. `within`: [`Deadlines::of`]; `chain`: its level and those behind it (owner, safety officer, township
/// duty; or a township's duty, then the city's), each with its persons by rank, as they can be reached today; `asked`: all who
/// were asked so far.
pub fn next(within: Option<i64>, chain: &[Vec<Place>], asked: &[Asked], now: Instant) -> Next {
    let Some(within) = within else { return Next::Done(Why::NotNeeded) };
    if asked.iter().any(|one| matches!(one.said, Some(Says::Acknowledged | Says::WithdrawnClaim))) {
        return Next::Done(Why::Answered);
    }
    let until = asked.iter().filter(|one| one.awaited()).map(|one| one.at.plus_millis(within)).max();
    if let Some(until) = until.filter(|until| *until > now) {
        return Next::Wait { until };
    }
    let level_of = |place: &Place| chain.iter().position(|level| level.iter().any(|p| same_level(p, place)));
    // Whoever was asked may be no contact any more; their role still says how far we are.
    let reached = asked.iter().filter_map(|one| level_of(&one.place)).max();
    let fresh = |place: &&Place| asked.iter().all(|one| one.place != **place);
    for (at, level) in chain.iter().enumerate().skip(reached.unwrap_or(0)) {
        if let Some(place) = level.iter().filter(fresh).min_by_key(|place| place.rank) {
            let same = reached.is_none_or(|reached| reached == at);
            return if same { Next::NextRank(place.clone()) } else { Next::NextLevel(place.clone()) };
        }
    }
    Next::Done(Why::NobodyLeft)
}

fn same_level(a: &Place, b: &Place) -> bool {
    a.role == b.role && a.subject == b.subject
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const T0: Instant = Instant(1_000_000);
    const DAY: i64 = 24 * HOUR;

    fn place(role: Role, rank: u32) -> Place {
        Place { role, subject: "s".into(), rank }
    }
    fn chain() -> Vec<Vec<Place>> {
        use Role::*;
        vec![vec![place(TownshipDuty, 1), place(TownshipDuty, 2)], vec![], vec![place(EmergencyDuty, 1)]]
    }
    fn asked(place: &Place, at: Instant) -> Asked {
        Asked { place: place.clone(), at, lost: false, said: None }
    }

    #[test]
    fn a_yellow_warning_that_nobody_answers_goes_on_rank_by_rank_then_level_by_level_each_once() {
        let within = Deadlines::default().of(Role::TownshipDuty, Some(Level::Yellow), None);
        assert_eq!(within, Some(DAY));
        let chain = chain();
        let mut all = vec![asked(&chain[0][0], T0)];
        let at = |n: i64| T0.plus_millis(n * DAY);
        assert_eq!(next(within, &chain, &all, at(1).plus_millis(-1)), Next::Wait { until: at(1) });
        assert_eq!(next(within, &chain, &all, at(1)), Next::NextRank(chain[0][1].clone()));
        all.push(asked(&chain[0][1], at(1)));
        assert_eq!(next(within, &chain, &all, at(1)), Next::Wait { until: at(2) });
        assert_eq!(next(within, &chain, &all, at(2)), Next::NextLevel(chain[2][0].clone()));
        all.push(asked(&chain[2][0], at(2)));
        assert_eq!(next(within, &chain, &all, at(3)), Next::Done(Why::NobodyLeft));
        // A late answer of the very first still ends it, and twice is as once.
        all[0].said = Some(Says::Acknowledged);
        for now in [at(1), at(2), at(30)] {
            assert_eq!(next(within, &chain, &all, now), Next::Done(Why::Answered));
        }
    }

    #[test]
    fn whoever_says_not_ours_or_was_not_reached_is_not_waited_for() {
        let chain = chain();
        for (lost, said, expected) in [
            (true, None, Next::NextRank(chain[0][1].clone())),
            (false, Some(Says::NotOurs), Next::NextRank(chain[0][1].clone())),
            (false, Some(Says::Other), Next::Wait { until: T0.plus_millis(DAY) }),
            (false, Some(Says::WithdrawnClaim), Next::Done(Why::Answered)),
            (true, Some(Says::Acknowledged), Next::Done(Why::Answered)),
        ] {
            let one = Asked { lost, said, ..asked(&chain[0][0], T0) };
            assert_eq!(next(Some(DAY), &chain, &[one], T0), expected, "{lost} {said:?}");
        }
    }

    #[test]
    fn a_contact_who_went_meanwhile_does_not_start_it_over() {
        let chain = vec![vec![place(Role::TownshipDuty, 2)], vec![place(Role::EmergencyDuty, 1)]];
        let gone = asked(&place(Role::TownshipDuty, 1), T0);
        assert_eq!(
            next(Some(DAY), &chain, &[gone], T0.plus_millis(DAY)),
            Next::NextRank(chain[0][0].clone())
        );
        let behind = asked(&chain[1][0], T0);
        // The level before the one reached is not gone back to.
        assert_eq!(next(Some(DAY), &chain, &[behind], T0.plus_millis(DAY)), Next::Done(Why::NobodyLeft));
        assert_eq!(next(Some(DAY), &chain, &[], T0), Next::NextRank(chain[0][0].clone()));
        assert_eq!(next(Some(DAY), &[], &[], T0), Next::Done(Why::NobodyLeft));
    }

    #[test]
    fn what_asks_for_no_answer_is_done() {
        let d = Deadlines::default();
        for (role, level, severity, expected) in [
            (Role::Owner, None, Some(Severity::Minor), None),
            (Role::Owner, None, Some(Severity::Fatal), Some(2 * HOUR)),
            (Role::SafetyOfficer, None, Some(Severity::Severe), Some(2 * HOUR)),
            (Role::TownshipDuty, Some(Level::Blue), None, None),
            (Role::IndustryDuty, Some(Level::Orange), None, Some(DAY)),
            (Role::EmergencyDuty, Some(Level::Red), None, Some(2 * HOUR)),
            (Role::TownshipDuty, None, None, None),
        ] {
            assert_eq!(d.of(role, level, severity), expected, "{role} {level:?} {severity:?}");
        }
        assert_eq!(next(None, &chain(), &[], T0), Next::Done(Why::NotNeeded));
    }

    proptest::proptest! {
        /// Whatever is answered, lost and late, driven by the clock from any moment: nobody is asked twice, it ends, and
        /// after an answer nobody is asked at all.
        #[test]
        fn it_ends_and_asks_each_once(fates in proptest::collection::vec((0..6usize, 0..3i64), 8), ranks in 0..4u32) {
            let chain = vec![
                (1..=ranks).map(|n| place(Role::Owner, n)).collect(),
                vec![place(Role::SafetyOfficer, 1), place(Role::SafetyOfficer, 3)],
                vec![place(Role::TownshipDuty, 1)],
            ];
            let says = [None, None, Some(Says::Other), Some(Says::NotOurs), Some(Says::Acknowledged), Some(Says::WithdrawnClaim)];
            let (mut now, mut all, mut due) = (T0, Vec::<Asked>::new(), Vec::new());
            for turn in 0..100 {
                proptest::prop_assert!(turn < 99, "it does not end");
                // Answers come when their time is there, late ones too.
                for (n, at, said) in &due {
                    if *at <= now {
                        let one: &mut Asked = &mut all[*n];
                        one.said = *said;
                    }
                }
                let answered = all.iter().any(|one| matches!(one.said, Some(Says::Acknowledged | Says::WithdrawnClaim)));
                match next(Some(DAY), &chain, &all, now) {
                    Next::Wait { until } => {
                        proptest::prop_assert!(until > now && !answered);
                        now = until;
                    }
                    Next::NextRank(place) | Next::NextLevel(place) => {
                        proptest::prop_assert!(!answered);
                        let (fate, late) = fates[all.len() % fates.len()];
                        due.push((all.len(), now.plus_millis(late * DAY), says[fate]));
                        all.push(Asked { lost: fate == 1, ..asked(&place, now) });
                    }
                    Next::Done(why) => {
                        proptest::prop_assert_eq!(why == Why::Answered, answered);
                        break;
                    }
                }
            }
            let places: BTreeSet<_> = all.iter().map(|one| &one.place).collect();
            proptest::prop_assert_eq!(places.len(), all.len());
        }
    }
}
