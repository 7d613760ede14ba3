//! What the clerk is shown of records that were accepted (`tocsin_pipeline::Finding`): said in the service's log, and
//! counted with the records that the door flagged. Codes of enterprises, months and counts stand there; nothing personal.

use tocsin_pipeline::{Engine, Finding, Outcome};

/// Says what these decisions found. Nothing of it stands in the event log, so after a crash before the commit it is
/// said once more.
pub fn say(outcome: &Outcome) {
    for finding in &outcome.findings {
        let (topic, problem, found) = (finding.topic(), finding.problem(), finding.to_string());
        match finding {
            Finding::SuccessionLoop { .. } => tracing::warn!(
                topic,
                %problem,
                found,
                "for the clerk: these enterprises succeed each other in a circle, so each is read as its own until a \
                 later version of one of them says otherwise"
            ),
            Finding::HeadcountJump { .. } => tracing::warn!(
                topic,
                %problem,
                found,
                "for the clerk: a headcount is many times that of the month before; it counts as it is until a \
                 higher version comes"
            ),
        }
    }
}

/// Says which loops stand at a start: they were said when they came to be.
pub fn say_standing(engine: &Engine) {
    for members in engine.loops() {
        let members: Vec<String> = members.iter().map(ToString::to_string).collect();
        tracing::info!(members = members.join(" -> "), "a circle of successions stands, and is ignored");
    }
}

/// How many records of a batch are flagged: by the door, as `by_door` says of each that went on to the engine, or by
/// what the engine found.
pub fn flagged(mut by_door: Vec<bool>, outcomes: &[Outcome]) -> u64 {
    for arrival in outcomes.iter().flat_map(|o| &o.findings).filter_map(Finding::arrival) {
        if let Some(flagged) = by_door.get_mut(arrival) {
            *flagged = true;
        }
    }
    by_door.into_iter().filter(|flagged| *flagged).count() as u64
}
