//! The oracle's policy as the engine takes it.

use tocsin_oracle::OraclePolicy;
use tocsin_pipeline::Policies;
use tocsin_pipeline::policy::{Escalation, Merge, OwnerAlert, Policy, Quality, SeverityLimits};

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
        quality: Quality { headcount_jump: t.headcount_jump },
    };
    Policies::new(tables.iter().map(table).collect()).unwrap()
}
