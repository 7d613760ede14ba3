//! Incidents: what made them, who said what, and which report was believed.

use std::fmt::Write as _;

use tocsin_pipeline::why::{
    ApartBy, ApartView, CaseView, Differ, How, IncidentView, LinkBy, LinkView, ReportView, SeverityWhy, Slip,
    StateWhy, TakenBy,
};

use super::{Page, changes, counted, value};

/// So many others of one day are named; JSON has all.
const SHOWN: usize = 5;

impl Page<'_> {
    pub(super) fn incidents(&mut self, indent: usize, all: &[IncidentView]) {
        if all.is_empty() {
            self.line(indent, "no incident");
        }
        for incident in all {
            self.incident(indent, incident);
        }
    }

    fn incident(&mut self, indent: usize, i: &IncidentView) {
        let number = i.incident_id.map_or_else(|| "without a number".to_owned(), |id| id.to_string());
        let at = i.uscc.map_or_else(|| "an unknown enterprise".to_owned(), |u| u.to_string());
        let persons = counted(i.persons.into(), "person");
        self.line(
            indent,
            format!(
                "incident {number}: {} at {at}, {persons}, {}, {}, {}",
                i.occurred_on, i.category, i.severity, i.state
            ),
        );
        if let Some(other) = i.read_as {
            self.line(indent + 1, format!("read as {other}'s, which took the enterprise over"));
        }
        for host in &i.hosts {
            self.line(indent + 1, format!("host {host}: the worker was harmed there"));
        }
        for link in &i.links {
            self.line(indent + 1, linked(link));
        }
        for other in i.apart.iter().take(SHOWN) {
            self.line(indent + 1, apart(other));
        }
        if let Some(more) = i.apart.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            self.line(indent + 1, format!("nor with {more} more of that day (--json has all)"));
        }
        for case in &i.cases {
            self.case(indent + 1, case);
        }
        for report in &i.withdrawn {
            self.report(indent + 1, report);
        }
    }

    fn case(&mut self, indent: usize, case: &CaseView) {
        let person = case
            .person
            .as_ref()
            .map_or_else(|| "a person without a key".to_owned(), |p| format!("person {p}…"));
        self.line(indent, format!("{person}: {}", state(case)));
        self.line(indent + 1, format!("{} ({})", case.severity, severity(case)));
        // Fields by the report that gives them: one line each.
        let mut sources: Vec<String> = case.fields.iter().map(|f| f.from.to_string()).collect();
        sources.dedup();
        let mut said: Vec<&str> = Vec::new();
        for source in &sources {
            if said.contains(&source.as_str()) {
                continue;
            }
            said.push(source);
            let own = case.fields.iter().filter(|f| f.from.to_string() == *source);
            let fields: Vec<String> =
                own.map(|f| format!("{} {}", f.field, value(f.field, &f.value))).collect();
            self.line(indent + 1, format!("from {source}: {}", fields.join(", ")));
        }
        for differ in &case.differ {
            self.line(indent + 1, differs(differ));
        }
        for report in &case.reports {
            self.report(indent + 1, report);
        }
    }

    pub(super) fn report(&mut self, indent: usize, report: &ReportView) {
        let how = match report.how {
            How::Keyed => "belongs by the key of its person",
            How::Joined => {
                "has no key of a person: joined the first case of its enterprise and day that had no report of its source"
            }
            How::Alone => "has no key of a person and found no case to join: it began this one",
            How::Withdrawn => "was withdrawn",
        };
        self.line(indent, format!("report {} {how}", report.report));
        for v in &report.versions {
            let fate = match (v.stands, v.verdict.as_str()) {
                (true, _) => "stands",
                (false, "accepted") => "was replaced",
                (false, verdict) => verdict,
            };
            let mut text = format!(
                "version {} {:<12} {:<12} arrived {}  {}",
                v.version,
                v.status.as_str(),
                fate,
                v.arrived_at,
                v.place
            );
            if !v.changed.is_empty() {
                let _ = write!(text, "  {}", changes(&v.changed));
            }
            self.line(indent + 1, text);
            if v.stands && v.verdict.as_str() == "conflict" {
                let same = if v.changed.is_empty() { ", and says the same to every rule" } else { "" };
                self.line(
                    indent + 2,
                    format!(
                        "another record has this version too (conflict): the greater digest stands{same}"
                    ),
                );
            }
            if !v.left_out.is_empty() {
                self.line(indent + 2, left_out(&v.left_out));
            }
        }
    }
}

fn linked(link: &LinkView) -> String {
    let by = match &link.by {
        LinkBy::IncidentNo { source, number } => format!("{source} gives both the incident number {number}"),
        LinkBy::TimeAndCause { cause, minutes_apart, limit } => {
            format!(
                "both have the cause {cause} {}, {minutes_apart} minutes apart (limit {limit})",
                cause.name()
            )
        }
    };
    format!("{} and {} are one incident: {by}", link.first, link.second)
}

/// What keeps an incident of the same enterprise and day apart.
fn apart(other: &ApartView) -> String {
    let number = other.other.map_or_else(|| "without a number".to_owned(), |id| id.to_string());
    let by = match &other.by {
        ApartBy::Minutes { minutes_apart, cause, limit } => {
            format!(
                "both have the cause {cause} {}, but {minutes_apart} minutes apart (limit {limit})",
                cause.name()
            )
        }
        ApartBy::NoTime { cause, limit } => format!(
            "both have the cause {cause} {}, but a time is not given (at most {limit} minutes apart would be one)",
            cause.name()
        ),
        ApartBy::NoCause => "a cause is not given".to_owned(),
        ApartBy::Causes { one, other } => {
            format!("their causes differ ({one} {}, {other} {})", one.name(), other.name())
        }
    };
    format!(
        "not one with incident {number} of that day ({}): no source gives both one number of the event, and {by}",
        other.report
    )
}

fn state(case: &CaseView) -> String {
    let why = match &case.state_by {
        StateWhy::Status { status, from } => format!("{from}, believed first, says {status}"),
        StateWhy::OnlySuspects => "only hospitals or the police know of it".to_owned(),
        StateWhy::NoEnterprise => "no report names an enterprise".to_owned(),
        StateWhy::NotRegistered => "its enterprise is not registered".to_owned(),
    };
    format!("{} ({why})", case.state)
}

/// Why a case is as bad as it is.
pub(super) fn severity(case: &CaseView) -> String {
    match &case.severity_by {
        SeverityWhy::Died { from } => format!("{from} says that the person died"),
        SeverityWhy::LostDays { days, limit, from } => {
            format!("{from} says {days} lost days, severe from {limit}")
        }
        SeverityWhy::Grade { grade, limit, from } => {
            format!("{from} says disability grade {grade}, severe up to {limit}")
        }
        SeverityWhy::Neither => {
            let given = |field| case.fields.iter().any(|f| f.field == field);
            let reach = match (given("lost_days"), given("disability_grade")) {
                (true, true) => "the lost days and the grade that are taken reach no limit",
                (true, false) => {
                    "the lost days that are taken do not reach the limit, and no report gives a grade"
                }
                (false, true) => {
                    "the grade that is taken does not reach the limit, and no report gives lost days"
                }
                (false, false) => "no report gives lost days or a grade",
            };
            format!("{reach}; none says that the person died")
        }
    }
}

/// What the door left out of a version.
pub(super) fn left_out(slips: &[Slip]) -> String {
    let words: Vec<String> =
        slips.iter().map(|slip| format!("{} {} ({})", slip.field, slip.found, slip.problem)).collect();
    format!("left out at the door, so not given: {}", words.join(", "))
}

/// What each report says of a field, and which of it was taken.
fn differs(differ: &Differ) -> String {
    let Differ { field, taken, by, said } = differ;
    let by = match by {
        TakenBy::SourceOrder => "of the source that comes first in the source order",
        TakenBy::RecordId => "of one source the smallest record id",
        TakenBy::Severity => {
            "fatal if any report says so, else by the lost days and the grade that are taken"
        }
    };
    let said: Vec<String> = said
        .iter()
        .map(|s| format!("{} (version {}) says {}", s.from, s.version, value(field, &s.value)))
        .collect();
    format!("they differ on {field}: {}; taken: {}, {by}", said.join(", "), value(field, taken))
}
