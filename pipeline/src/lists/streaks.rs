//! Streaks without injury (S54, 争创零工伤): how many days since the last counted production incident.
//!
//! An enterprise has a streak from `streak_headcount` insured persons on (mean of the last 365 days). The streak counts
//! from the day of its last incident; where there never was one, from the first day of the first month with insured
//! persons, before which nobody could be hurt. Which of the two stands in the row. Taking part is voluntary, so this is
//! for officers who ask enterprises, not for publication.
//!
//! A small enterprise has a long streak by chance: at one incident a year for each thousand persons, ten persons go a
//! hundred years without one. Read the headcount beside the days.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tocsin_schemas::codes::{NoStreak, StreakSince};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::Window;
use tocsin_schemas::time::Day;

use super::{Firm, RefusedReports};
use crate::policy::Lists as Limits;
use crate::windows::days;

/// The streaks on a day.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Streaks {
    /// The longest first; of equal ones the larger enterprise, then the smaller code.
    pub streaks: Vec<Streak>,
    /// Enterprises without one, by reason.
    pub left_out: BTreeMap<NoStreak, u32>,
}

/// An enterprise without injury since a day.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Streak {
    /// The enterprise.
    pub uscc: Uscc,
    /// Its registered name.
    pub name: Arc<str>,
    /// Its responsible area.
    pub area: String,
    /// The day that is counted from.
    pub since: Day,
    /// What that day is.
    pub since_by: StreakSince,
    /// Days from then to the as-of day; 0: today.
    pub days: u32,
    /// Mean insured persons of the last 365 days.
    pub headcount: f64,
    /// Reports in quarantine that name it, which break no streak and may be injuries; null: none that can be read.
    pub refused_reports: Option<RefusedReports>,
}

impl Streaks {
    /// The same with the refused reports of each enterprise beside its streak.
    #[must_use]
    pub fn beside(mut self, refused: &BTreeMap<Uscc, RefusedReports>) -> Streaks {
        for streak in &mut self.streaks {
            streak.refused_reports = refused.get(&streak.uscc).copied();
        }
        self
    }
}

/// The streaks of these enterprises on a day. Incidents of a later day are not looked at.
pub(crate) fn rank<'a>(firms: impl IntoIterator<Item = &'a Firm>, as_of: Day, limits: &Limits) -> Streaks {
    let (mut streaks, mut left_out) = (Vec::new(), BTreeMap::new());
    for firm in firms {
        match streak(firm, as_of, limits) {
            Ok(streak) => streaks.push(streak),
            Err(why) => *left_out.entry(why).or_default() += 1,
        }
    }
    streaks.sort_by(|a, b| {
        b.days.cmp(&a.days).then(b.headcount.total_cmp(&a.headcount)).then(a.uscc.cmp(&b.uscc))
    });
    Streaks { streaks, left_out }
}

fn streak(firm: &Firm, as_of: Day, limits: &Limits) -> Result<Streak, NoStreak> {
    if !firm.active {
        return Err(NoStreak::Closed);
    }
    let year = firm.over(days(Window::Rolling(365), as_of));
    let headcount = year.headcount().ok_or(NoStreak::HeadcountUnknown)?;
    if headcount < f64::from(limits.streak_headcount) {
        return Err(NoStreak::TooSmall);
    }
    let last = firm.incidents.iter().map(|i| i.on).filter(|on| *on <= as_of).max();
    let (since, since_by) = match last {
        Some(day) => (day, StreakSince::LastIncident),
        None => {
            let first = firm.insured.iter().find(|(_, insured)| **insured > 0).map(|(month, _)| *month);
            // A headcount of the last 365 days has such a month.
            (first.ok_or(NoStreak::HeadcountUnknown)?.first_day(), StreakSince::FirstHeadcount)
        }
    };
    Ok(Streak {
        uscc: firm.uscc,
        name: Arc::clone(&firm.name),
        area: firm.area.to_string(),
        since,
        since_by,
        days: (as_of.0 - since.0).max(0).unsigned_abs(),
        headcount,
        refused_reports: None,
    })
}
