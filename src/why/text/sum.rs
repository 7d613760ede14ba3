//! The sum of an escalation: what the message before counted, what left since, and what came.

use tocsin_pipeline::why::{AlertExplained, CountedBefore, IncidentView, LeftBy};

use tocsin_schemas::codes::Severity;

use super::Page;
use super::incidents::severity;

/// In the order of the page.
const REASONS: [LeftBy; 7] = [
    LeftBy::Window,
    LeftBy::State,
    LeftBy::Withdrawn,
    LeftBy::Category,
    LeftBy::Enterprise,
    LeftBy::Merged,
    LeftBy::Unknown,
];

impl Page<'_> {
    pub(super) fn since_before(&mut self, before: &CountedBefore, why: &AlertExplained) {
        let (left, came) = (before.left.len(), before.came.len());
        self.head(&format!("Since message {} of the case", before.revision));
        let some = |n: usize| if n == 0 { "none".to_owned() } else { n.to_string() };
        self.line(
            1,
            format!(
                "{} counted then, {} left since, {} new: {}",
                before.count,
                some(left),
                some(came),
                why.alert.count
            ),
        );
        if came > 0 {
            for id in &before.came {
                let view = why.incidents.iter().find(|view| view.incident_id == Some(*id));
                self.line(1, format!("new: incident {id}{}", view.map_or_else(String::new, how_bad)));
            }
        }
        let mut shown: Vec<&IncidentView> = Vec::new();
        for by in REASONS {
            let mut first = true;
            for one in before.left.iter().filter(|left| left.by == by) {
                if std::mem::take(&mut first) {
                    self.head(&format!("Counted in it, and {}", words(by)));
                }
                let id = one.incident_id;
                let view = why.became.iter().find(|view| view.incident_id == Some(id));
                match (view, one.counted_as) {
                    (Some(view), None) => {
                        self.incidents(1, std::slice::from_ref(view));
                        shown.push(view);
                    }
                    (_, Some(other)) => self.line(1, format!("incident {id}: counted as {other}")),
                    (None, None) => {
                        self.line(1, format!("incident {id}"));
                        one.reports.iter().for_each(|report| self.report(2, report));
                    }
                }
            }
        }
        // Under another number than the message before had.
        let others = why.became.iter().filter(|view| !shown.iter().any(|shown| std::ptr::eq(*shown, *view)));
        let others: Vec<IncidentView> = others.cloned().collect();
        if !others.is_empty() {
            self.head("What became of their reports");
            self.incidents(1, &others);
        }
    }
}

/// The day of an incident and how bad it is; where that is more than minor, by which report.
fn how_bad(view: &IncidentView) -> String {
    let worst =
        view.cases.iter().filter(|case| case.severity == view.severity && case.severity != Severity::Minor);
    let why = worst.map(severity).next().map(|why| format!(": {why}")).unwrap_or_default();
    format!(", {}, {}{why}", view.occurred_on, view.severity)
}

fn words(by: LeftBy) -> &'static str {
    match by {
        LeftBy::Window => "its day is not in the window any more",
        LeftBy::State => "does not count any more, as its state says",
        LeftBy::Withdrawn => "all its reports were withdrawn",
        LeftBy::Category => "is no production incident any more",
        LeftBy::Enterprise => "is another enterprise's now, or read as another's",
        LeftBy::Merged => "is one with another that is counted now",
        LeftBy::Unknown => "the records do not say why it left",
    }
}
