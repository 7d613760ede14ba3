//! The oracle's policy as the engine takes it.

use tocsin_oracle::OraclePolicy;
use tocsin_pipeline::Policies;
use tocsin_pipeline::policy::{
    Escalation, Lists, Merge, OwnerAlert, Policy, Quality, SeverityLimits, Statistics,
};

/// The oracle's policy tables as the engine takes them.
pub fn policies(tables: &[OraclePolicy]) -> Policies {
    let table = |t: &OraclePolicy| Policy {
        effective_from: t.effective_from,
        escalation: Escalation {
            window_days: t.window_days,
            blue: t.blue,
            yellow: t.yellow,
            orange: t.orange,
            red: t.red,
            severe_is_red: t.severe_is_red,
        },
        owner_alert: OwnerAlert { max_age_days: t.max_age_days as u32 },
        merge: Merge { case_days: t.case_days as u32, incident_minutes: t.incident_minutes as u32 },
        severity: SeverityLimits {
            severe_lost_days: t.severe_lost_days,
            severe_grade_max: t.severe_grade_max,
        },
        lists: Lists {
            key_incidents: t.lists.key_incidents,
            confidence: f64::from(t.lists.confidence) / 1000.0,
            rate_incidents: t.lists.rate_incidents,
            rate_factor: f64::from(t.lists.rate_factor) / 1000.0,
            chance_below: f64::from(t.lists.chance_below) / 1000.0,
            severe_is_key: t.lists.severe_is_key,
            persistent_years: t.lists.persistent_years,
            streak_headcount: t.lists.rankings.streak_headcount,
            industry_incidents: t.lists.rankings.industry_incidents,
            industry_innocent: f64::from(t.lists.rankings.industry_innocent) / 1000.0,
            benchmark_headcount: t.lists.rankings.benchmark_headcount,
            benchmark_fall_percent: t.lists.rankings.benchmark_fall_percent,
            benchmark_sure_from: t.lists.rankings.benchmark_sure_from,
            hazard_incidents: t.lists.rankings.hazard_incidents,
            ..Lists::default()
        },
        statistics: Statistics { confidence: t.confidence, rank_min_incidents: t.rank_min_incidents },
        quality: Quality { headcount_jump: t.headcount_jump },
    };
    Policies::new(tables.iter().map(table).collect()).unwrap()
}
