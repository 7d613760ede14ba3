//! The narrator: says in a sentence what a newcomer should notice, when it happens. It reads decisions and
//! arrivals; what it says is never said because the script planned it, but because it was decided.

use tocsin_schemas::codes::{Change, Level, Rule};
use tocsin_schemas::records::Alert;

use super::cast::Role;
use super::city::{City, area_name};
use super::feeds::Line;

/// Remembers what was told already, so that each kind of thing is explained once.
#[derive(Debug, Default)]
pub struct Narrator {
    explained: Vec<&'static str>,
}

impl Narrator {
    /// What to say about the arrivals of an instant and what was decided on them.
    pub fn listen(&mut self, city: &City, lines: &[Line], alerts: &[Alert]) -> Vec<String> {
        let mut said = Vec::new();
        for line in lines {
            let firm = |role: Role| &city.firms[role as usize];
            let quiet = |role: Role| !alerts.iter().any(|a| a.uscc == firm(role).uscc);
            let name = |role: Role| firm(role).english.as_str();
            match (line.topic, line.key.as_str()) {
                ("reports.health", "HEALTH-00001") if quiet(Role::ThreeSources) => said.push(format!(
                    "A hospital reports an injury at {}. A hospital alone is a suspicion: nobody is told yet.",
                    name(Role::ThreeSources)
                )),
                ("reports.hr", "HR-00001") if quiet(Role::ThreeSources) => said.push(format!(
                    "HR reports it too: three sources, one injury. The owner of {} is not called again.",
                    name(Role::ThreeSources)
                )),
                ("reports.hr", "HR-00061") if quiet(Role::Unregistered) => said.push(format!(
                    "HR reports an injury at {}, which no registry knows: it waits for the clerk.",
                    name(Role::Unregistered)
                )),
                _ => {}
            }
        }
        said.extend(alerts.iter().filter_map(|alert| self.explain(city, alert)));
        said
    }

    fn once(&mut self, what: &'static str) -> bool {
        let first = !self.explained.contains(&what);
        if first {
            self.explained.push(what);
        }
        first
    }

    fn explain(&mut self, city: &City, alert: &Alert) -> Option<String> {
        let place = city.firms.iter().position(|f| f.uscc == alert.uscc)?;
        let firm = &city.firms[place];
        let name = &firm.english;
        let township = area_name(firm.area);
        let is = |role: Role| place == role as usize;
        let text = match (alert.rule, alert.change) {
            (Rule::OwnerIncident, Change::New) if is(Role::ThreeSources) => format!(
                "The emergency bureau confirms it, without a name: same firm, same day, same injury. \
                 The owner of {name} is told."
            ),
            (Rule::OwnerIncident, Change::New) if is(Role::Fatal) => {
                format!("A fatal fall at {name}: the owner is told to protect the scene and to report.")
            }
            (Rule::OwnerIncident, Change::New) if is(Role::Staffing) => format!(
                "A worker of {name} was harmed at {}: both firms are told, one by one.",
                city.firms[Role::Host as usize].english
            ),
            (Rule::OwnerIncident, Change::New) if is(Role::Unregistered) => {
                format!("{name} is in the registry now: its waiting injury counts, and its owner is told.")
            }
            (Rule::OwnerIncident, Change::Upgraded) if is(Role::Worsens) => {
                format!("The injury at {name} turns out severe: its owner is told once more.")
            }
            (Rule::OwnerIncident, Change::Corrected) if is(Role::TakenBack) => {
                format!("The claim at {name} was withdrawn: its owner gets exactly one correction.")
            }
            (Rule::OwnerIncident, Change::Suppressed) if self.once("suppressed") => format!(
                "An injury at {name} was reported more than 90 days late: it counts, but rings nobody."
            ),
            (Rule::Escalation, Change::New) if alert.level == Some(Level::Red) && is(Role::Fatal) => {
                format!("{township} and the emergency bureau are warned: {name} is red at once.")
            }
            (Rule::Escalation, Change::New) if is(Role::Several) => {
                format!("The second injury at {name}: {township} gets a blue warning.")
            }
            (Rule::Escalation, Change::Raised) if is(Role::Several) => {
                let level = alert.level.map_or("none", Level::as_str);
                format!("{} injuries at {name}: the warning rises to {level}.", alert.count)
            }
            (Rule::Escalation, Change::Closed) if is(Role::Several) => {
                format!("Claims at {name} were refused: {township} is told that the warning is closed.")
            }
            (Rule::Escalation, Change::Closed) if is(Role::LastYear) => format!(
                "Midnight: the older injury at {name} is over 365 days ago. Its warning closes by itself, \
                 recorded, without a message."
            ),
            _ => return None,
        };
        Some(text)
    }
}
