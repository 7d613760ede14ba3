//! What a rate of any span of days rests on: who was insured where, and what happened there.
//!
//! The windows of the dataflow end today; a comparison looks at days that somebody chose. This reads what stands
//! once, at its end, by the same rules (records.md section 3): the mean of `insured` over those months that share a
//! day with the span and have a record; successors with their predecessors; registered enterprises only. So a
//! predecessor that is not registered itself has no part in it: its reports are matched to nobody, and its headcounts
//! would make the rate of its successor too low.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use tocsin_schemas::codes::{Category, Severity, State};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::Incident;
use tocsin_schemas::time::Day;

use crate::registry::Registry;
use crate::versions::Versions;

/// Enterprises with a headcount in a span of days, and the counted production incidents of those days.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Exposure {
    /// Mean insured persons of each enterprise; above 0.
    pub insured: BTreeMap<Uscc, f64>,
    /// Incidents at these enterprises.
    pub incidents: u64,
    /// The severe and fatal ones among them.
    pub severe: u64,
    /// Incidents at enterprises without a headcount: they are in no rate.
    pub without_headcount: u64,
}

pub(crate) fn of(
    versions: &Versions,
    registry: &Registry,
    incidents: Vec<Incident>,
    from: Day,
    to: Day,
) -> Exposure {
    let months = from.month()..=to.month();
    // Whoever is read as another is so by a registered one.
    let registered = |uscc: &Uscc| registry.in_force(uscc).map(|_| registry.root(uscc));
    let mut records: HashMap<Uscc, Vec<(i32, u64)>> = HashMap::new();
    for (uscc, (month, insured)) in versions.headcounts().filter(|(_, (m, _))| months.contains(m)) {
        if let Some(root) = registered(&uscc) {
            records.entry(root).or_default().push((month.0, insured.into()));
        }
    }
    let mean = |mut records: Vec<(i32, u64)>| {
        records.sort_unstable();
        let insured: u64 = records.iter().map(|(_, insured)| insured).sum();
        let months = records.chunk_by(|a, b| a.0 == b.0).count();
        insured as f64 / months as f64
    };
    let insured: BTreeMap<Uscc, f64> = records
        .into_iter()
        .map(|(root, records)| (root, mean(records)))
        .filter(|(_, insured)| *insured > 0.0)
        .collect();
    let mut exposure = Exposure { insured, ..Exposure::default() };
    let counts = |i: &Incident| {
        i.state == State::Counted
            && i.category == Category::Production
            && (from..=to).contains(&i.occurred_on)
    };
    for incident in incidents.into_iter().filter(counts) {
        let root = incident.uscc.map(|uscc| registry.root(&uscc));
        if root.is_some_and(|root| exposure.insured.contains_key(&root)) {
            exposure.incidents += 1;
            exposure.severe += u64::from(incident.severity >= Severity::Severe);
        } else {
            exposure.without_headcount += 1;
        }
    }
    exposure
}

#[cfg(test)]
mod tests {
    use tocsin_schemas::codes::EnterpriseStatus;
    use tocsin_schemas::ids::IncidentId;
    use tocsin_schemas::records::{Enterprise, Headcount};
    use tocsin_schemas::time::Instant;

    use super::*;

    fn uscc(n: u32) -> Uscc {
        let body = format!("91330784XX{n:07}");
        let check = Uscc::check_symbol(body.as_bytes()).unwrap();
        format!("{body}{}", check as char).parse().unwrap()
    }

    fn incident(n: u32, on: &str, severity: Severity, category: Category) -> Incident {
        Incident {
            incident_id: IncidentId(n),
            uscc: Some(uscc(n)),
            occurred_on: on.parse().unwrap(),
            category,
            severity,
            persons: 1,
            state: State::Counted,
            reports: Vec::new(),
            withdrawn: Vec::new(),
            first_arrived_at: Instant(0),
        }
    }

    #[test]
    fn months_with_a_record_make_the_mean_and_successors_read_with_their_predecessors() {
        let (mut versions, mut registry) = (Versions::default(), Registry::default());
        for (n, successor_of) in [(1, None), (2, Some(uscc(1))), (3, Some(uscc(5)))] {
            let enterprise = Enterprise {
                uscc: uscc(n),
                version: 1,
                name: "E".into(),
                short_name: None,
                area: "330784001".into(),
                industry: "33".into(),
                valid_from: "2024-01-01".parse().unwrap(),
                status: EnterpriseStatus::Active,
                tags: Vec::new(),
                successor_of,
            };
            registry.take(enterprise, [n as u8; 32], n as usize);
        }
        registry.advance("2025-06-01".parse().unwrap());
        // 1 and 2 are one: 10 + 20 in January, 30 in March; February has no record. 4 is not registered, nor is 5, though 3
        // says that it took it over.
        let records = [
            (1, "2025-01", 10),
            (2, "2025-01", 20),
            (2, "2025-03", 30),
            (2, "2025-04", 900),
            (3, "2025-02", 0),
            (4, "2025-02", 50),
            (5, "2025-02", 70),
        ];
        for (n, month, insured) in records {
            let headcount = Headcount { uscc: uscc(n), month: month.parse().unwrap(), insured, version: 1 };
            versions.headcount(&headcount, [n as u8; 32]);
        }
        let incidents = vec![
            incident(1, "2025-01-15", Severity::Severe, Category::Production),
            incident(2, "2025-03-31", Severity::Minor, Category::Production),
            incident(2, "2025-04-01", Severity::Minor, Category::Production),
            incident(2, "2025-02-01", Severity::Fatal, Category::Commuting),
            incident(3, "2025-02-01", Severity::Minor, Category::Production),
        ];
        let (from, to) = ("2025-01-15".parse().unwrap(), "2025-03-31".parse().unwrap());
        let found = of(&versions, &registry, incidents, from, to);
        assert_eq!(found.insured, BTreeMap::from([(uscc(2), 30.0)]));
        assert_eq!((found.incidents, found.severe, found.without_headcount), (2, 1, 1));
    }
}
