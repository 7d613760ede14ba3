//! The policy as the oracle reads it: records.md section 4, values and the table that holds on a day.

use tocsin_schemas::codes::Level;
use tocsin_schemas::time::Day;

/// One `[[policy]]` table with every value of records.md section 4.
#[derive(Debug, Clone, PartialEq)]
pub struct OraclePolicy {
    /// First day on which the table holds.
    pub effective_from: Day,
    /// `escalation.window_days`: length of the rolling window, in days.
    pub window_days: u16,
    /// `escalation.blue`: incidents from which the level is blue.
    pub blue: u32,
    /// `escalation.yellow`
    pub yellow: u32,
    /// `escalation.orange`
    pub orange: u32,
    /// `escalation.red`
    pub red: u32,
    /// `escalation.severe_is_red`: one severe or fatal incident is red.
    pub severe_is_red: bool,
    /// `owner_alert.max_age_days`: days from the accident to its first counting arrival.
    pub max_age_days: i32,
    /// `merge.case_days`: longest gap between two reports of one person's case, in days.
    pub case_days: i32,
    /// `merge.incident_minutes`: longest difference of two times of one incident, in minutes.
    pub incident_minutes: i32,
    /// `severity.severe_lost_days`: lost days from which an injury is severe.
    pub severe_lost_days: u32,
    /// `severity.severe_grade_max`: highest disability grade that is severe.
    pub severe_grade_max: u8,
    /// `lists`: the rule of S11.
    pub lists: ListLimits,
    /// `statistics.confidence`: how surely the limits of a rate hold the true one.
    pub confidence: f64,
    /// `statistics.rank_min_incidents`: incidents from which a raw rate may be ranked.
    pub rank_min_incidents: u32,
    /// `quality.headcount_jump`: so many times the headcount of the month before is shown to the clerk.
    pub headcount_jump: u32,
}

/// `lists` of the policy, in whole numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListLimits {
    /// `lists.key_incidents`
    pub key_incidents: u32,
    /// `lists.confidence`, in thousandths.
    pub confidence: u32,
    /// `lists.rate_incidents`
    pub rate_incidents: u32,
    /// `lists.rate_factor`, in thousandths.
    pub rate_factor: u32,
    /// `lists.chance_below`, in thousandths.
    pub chance_below: u32,
    /// `lists.severe_is_key`
    pub severe_is_key: bool,
    /// `lists.persistent_years`
    pub persistent_years: u32,
    /// The rankings beside them.
    pub rankings: RankingLimits,
}

/// What `lists` of the policy says of the rankings: streaks, industries, hazards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RankingLimits {
    /// `lists.streak_headcount`
    pub streak_headcount: u32,
    /// `lists.industry_incidents`
    pub industry_incidents: u32,
    /// `lists.industry_innocent`, in thousandths.
    pub industry_innocent: u32,
    /// `lists.benchmark_headcount`
    pub benchmark_headcount: u32,
    /// `lists.benchmark_fall_percent`
    pub benchmark_fall_percent: u8,
    /// `lists.benchmark_sure_from`
    pub benchmark_sure_from: u32,
    /// `lists.hazard_incidents`
    pub hazard_incidents: u32,
}

impl Default for RankingLimits {
    fn default() -> RankingLimits {
        RankingLimits {
            streak_headcount: 10,
            industry_incidents: 3,
            industry_innocent: 50,
            benchmark_headcount: 50,
            benchmark_fall_percent: 30,
            benchmark_sure_from: 8,
            hazard_incidents: 3,
        }
    }
}

impl RankingLimits {
    /// Such that a tiny world reaches them.
    pub(crate) fn low() -> RankingLimits {
        RankingLimits {
            streak_headcount: 2,
            industry_incidents: 1,
            industry_innocent: 500,
            benchmark_headcount: 1,
            benchmark_fall_percent: 10,
            benchmark_sure_from: 2,
            hazard_incidents: 2,
        }
    }
}

impl Default for ListLimits {
    fn default() -> ListLimits {
        ListLimits {
            key_incidents: 3,
            confidence: 950,
            rate_incidents: 2,
            rate_factor: 2000,
            chance_below: 10,
            severe_is_key: true,
            persistent_years: 2,
            rankings: RankingLimits::default(),
        }
    }
}

impl OraclePolicy {
    /// The default values, in force from `effective_from`.
    pub fn from(effective_from: Day) -> OraclePolicy {
        OraclePolicy {
            effective_from,
            window_days: 365,
            blue: 2,
            yellow: 3,
            orange: 4,
            red: 5,
            severe_is_red: true,
            max_age_days: 90,
            case_days: 3,
            incident_minutes: 30,
            severe_lost_days: 105,
            severe_grade_max: 6,
            lists: ListLimits::default(),
            confidence: 0.95,
            rank_min_incidents: 3,
            headcount_jump: 100,
        }
    }

    /// The level of `incidents` in the window, of which `any_severe` tells whether one is severe or fatal.
    pub(crate) fn level(&self, incidents: u32, any_severe: bool) -> Option<Level> {
        if incidents >= self.red || (self.severe_is_red && any_severe) {
            Some(Level::Red)
        } else if incidents >= self.orange {
            Some(Level::Orange)
        } else if incidents >= self.yellow {
            Some(Level::Yellow)
        } else if incidents >= self.blue {
            Some(Level::Blue)
        } else {
            None
        }
    }
}

impl Default for OraclePolicy {
    /// The default file: in force from 2020-11-20.
    fn default() -> OraclePolicy {
        OraclePolicy::from(Day::new(2020, 11, 20).unwrap_or(Day(0)))
    }
}

/// All tables, by the day from which they hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tables(Vec<OraclePolicy>);

impl Tables {
    /// The default table if there is none.
    pub(crate) fn new(mut tables: Vec<OraclePolicy>) -> Tables {
        if tables.is_empty() {
            tables.push(OraclePolicy::default());
        }
        tables.sort_by_key(|t| t.effective_from);
        Tables(tables)
    }

    /// Which table holds on a day: the last one in force, before the first one the first.
    pub(crate) fn index(&self, day: Day) -> usize {
        let mut holds = 0;
        for (i, table) in self.0.iter().enumerate() {
            if table.effective_from <= day {
                holds = i;
            }
        }
        holds
    }

    pub(crate) fn on(&self, day: Day) -> &OraclePolicy {
        &self.0[self.index(day)]
    }

    /// First day of the first table.
    pub(crate) fn begin(&self) -> Day {
        self.0[0].effective_from
    }
}
