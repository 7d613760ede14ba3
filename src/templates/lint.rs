//! `tocsin templates lint`: every rule, over every text.

use std::collections::BTreeMap;

use serde::Serialize;
use tocsin_alerts::gateways::Profile;
use tocsin_alerts::gateways::limits::segments;
use tocsin_alerts::texts::lint::{self, Carried, Problem};
use tocsin_alerts::texts::{LIMIT, Template, TextError, Texts};

use super::source::Source;
use super::{Common, gateways_of};
use crate::exit::{CommandResult, Failure};
use crate::lists::table::Rows;
use crate::output::{self, say};

/// What to judge.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    common: Common,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    texts: Vec<Text>,
    problems: Vec<Broken>,
}

/// A text with the longest values its slots may have.
#[derive(Debug, Serialize)]
struct Text {
    id: &'static str,
    about: &'static str,
    /// Characters, signature included; `None`: it cannot be read.
    chars: Option<usize>,
    segments: Option<usize>,
    /// The same of its fallback.
    fallback_chars: Option<usize>,
    /// How each gateway carries it.
    gateways: BTreeMap<&'static str, Way>,
}

#[derive(Debug, Serialize)]
struct Way {
    /// The wording that it gets; `None`: it cannot carry the text.
    wording: Option<&'static str>,
    chars: Option<usize>,
    /// Why that is the fallback.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip)]
    short: String,
}

/// A rule that is broken.
#[derive(Debug, Serialize)]
struct Broken {
    text: String,
    gateway: Option<&'static str>,
    rule: &'static str,
    what: String,
}

/// Runs it.
///
/// # Errors
/// A failure: a rule is broken. A wrong call: a folder or configuration that cannot be read.
pub fn run(args: &Args) -> CommandResult {
    let source = Source::open(&args.common)?;
    let gateways = gateways_of(&args.common);
    let report = report(&source, &gateways);
    if args.common.json {
        say!("{}", serde_json::to_string_pretty(&report).map_err(Failure::failed)?);
    } else {
        output::bytes(page(&report, &gateways).as_bytes());
    }
    match report.problems.len() {
        0 => Ok(()),
        1 => Err(Failure::failed("one rule is broken")),
        n => Err(Failure::failed(format!("{n} rules are broken"))),
    }
}

fn report(source: &Source, gateways: &[&'static Profile]) -> Report {
    let mut problems: Vec<Problem> = source.problems.clone();
    let mut texts = Vec::new();
    for template in Template::ALL {
        let chars = length(&source.texts, template, template.id());
        let mut ways = BTreeMap::new();
        // What cannot be read, or is too long whoever carries it, was said before.
        if chars.is_some_and(|chars| chars <= LIMIT) {
            for profile in gateways {
                let carried = lint::gateway(&source.texts, template, profile);
                ways.insert(profile.name, way(&carried));
                problems.extend(carried.err());
            }
        }
        texts.push(Text {
            id: template.id(),
            about: template.about(),
            chars,
            segments: chars.map(segments),
            fallback_chars: length(&source.texts, template, template.fallback_id()),
            gateways: ways,
        });
    }
    for profile in gateways {
        if let Some(told) = source.approvals.get(profile.name) {
            problems.extend(lint::approved(&source.texts, profile, &told.sign_name, &told.templates));
        }
    }
    let broken =
        |p: Problem| Broken { text: p.text, gateway: p.gateway, rule: p.rule.as_str(), what: p.what };
    Report { texts, problems: problems.into_iter().map(broken).collect() }
}

/// Characters of a wording with the longest values.
fn length(texts: &Texts, template: Template, id: &str) -> Option<usize> {
    let (_, wording) = texts.wordings(template).find(|(known, _)| *known == id)?;
    wording.longest_chars(template).ok()
}

fn way(carried: &Result<Carried, Problem>) -> Way {
    match carried {
        Ok(Carried { wording, why, chars }) => Way {
            wording: Some(wording),
            chars: Some(*chars),
            why: why.as_ref().map(ToString::to_string),
            short: match why {
                None => format!("{wording}, {chars}"),
                Some(TextError::VariableTooLong { slot, chars: long, most, .. }) => {
                    format!("{wording}, {chars} ({slot} has {long}, takes {most})")
                }
                Some(why) => format!("{wording}, {chars} ({})", why.reason()),
            },
        },
        Err(problem) => {
            let short = problem.rule.as_str().to_owned();
            Way { wording: None, chars: None, why: Some(problem.what.clone()), short }
        }
    }
}

fn page(report: &Report, gateways: &[&'static Profile]) -> String {
    let mut headings: Vec<String> =
        ["<TEXT", "<TELLS", "CHARS", "SEGMENTS", "FALLBACK"].map(ToOwned::to_owned).to_vec();
    headings.extend(gateways.iter().map(|profile| format!("<{}", profile.name.to_uppercase())));
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let mut rows = Rows::new(&headings, usize::MAX);
    let number = |n: Option<usize>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
    for text in &report.texts {
        let mut cells = vec![
            text.id.to_owned(),
            text.about.to_owned(),
            number(text.chars),
            number(text.segments),
            number(text.fallback_chars),
        ];
        cells.extend(gateways.iter().map(|profile| {
            text.gateways.get(profile.name).map_or_else(|| "-".to_owned(), |way| way.short.clone())
        }));
        let wrong =
            report.problems.iter().any(|p| p.text == text.id || p.text == format!("{}_fallback", text.id));
        rows.add(cells, wrong);
    }
    let mut page =
        format!("With the longest values that each slot may have, signature included:\n\n{}\n", rows.shown());
    for broken in &report.problems {
        let gateway = broken.gateway.map(|name| format!(" for {name}")).unwrap_or_default();
        page += &format!("{}{gateway}: {}: {}\n", broken.text, broken.rule, broken.what);
    }
    if report.problems.is_empty() {
        page += "no rule is broken\n";
    }
    page
}
