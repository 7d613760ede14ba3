//! `tocsin templates preview`: what a phone and its gateway get.

use std::fmt::Write as _;

use serde::Serialize;
use tocsin_alerts::gateways::limits::segments;
use tocsin_alerts::gateways::{Marks, Profile};
use tocsin_alerts::texts::{Message, Slot, Template, Texts};

use super::Common;
use super::source::Source;
use crate::config::file::Approvals;
use crate::exit::{CommandResult, Failure};
use crate::output::{self, say};

/// What to show.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which texts, such as T1; left out: all of them.
    #[arg(value_name = "TEXT")]
    texts: Vec<Template>,
    /// Also with the longest values that each slot may have.
    #[arg(long)]
    worst: bool,
    #[command(flatten)]
    common: Common,
}

/// A text.
#[derive(Debug, Serialize)]
struct Shown {
    id: &'static str,
    about: &'static str,
    /// Its wording, slots in braces.
    wording: String,
    gateway: Option<&'static str>,
    example: Filled,
    #[serde(skip_serializing_if = "Option::is_none")]
    worst: Option<Filled>,
}

/// A text that is filled in.
#[derive(Debug, Serialize)]
struct Filled {
    /// Which wording it is.
    wording: &'static str,
    text: String,
    chars: usize,
    segments: usize,
    /// Why it is the fallback, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// What a gateway gets that puts the text together itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Request>,
}

#[derive(Debug, Serialize)]
struct Request {
    /// The wording to have approved, without its signature.
    to_approve: String,
    /// The gateway's id of it; `None`: the configuration has none.
    template: Option<String>,
    sign_name: Option<String>,
    /// As the gateway gets them: by name, or in order.
    variables: serde_json::Value,
}

/// Runs it.
///
/// # Errors
/// A failure: a text that cannot be read or worded. A wrong call: a folder or configuration that cannot be read.
pub fn run(args: &Args) -> CommandResult {
    let source = Source::open(&args.common)?;
    let asked = if args.texts.is_empty() { Template::ALL.to_vec() } else { args.texts.clone() };
    let shown: Vec<Shown> = asked.into_iter().map(|t| show(&source, t, args)).collect::<Result<_, _>>()?;
    if args.common.json {
        say!("{}", serde_json::to_string_pretty(&shown).map_err(Failure::failed)?);
    } else {
        let pages: Vec<String> = shown.iter().map(page).collect();
        output::bytes(pages.join("\n").as_bytes());
    }
    Ok(())
}

fn show(source: &Source, template: Template, args: &Args) -> Result<Shown, Failure> {
    let gateway = args.common.gateway;
    let (_, wording) = source.texts.wordings(template).next().ok_or_else(|| {
        Failure::failed(format!("{} cannot be read: see tocsin templates lint", template.id()))
    })?;
    let approvals = gateway.and_then(|profile| source.approvals.get(profile.name));
    let filled = |value: &dyn Fn(Slot, usize) -> String| {
        let most = gateway.and_then(|profile| profile.limits.variable_chars);
        let message = source.texts.word(template, most, |slot, name_limit| Ok(value(slot, name_limit)));
        message.map_err(Failure::failed).map(|message| fill(&source.texts, message, gateway, approvals))
    };
    let worst = || filled(&|slot, name_limit| slot.longest(template, name_limit));
    Ok(Shown {
        id: template.id(),
        about: template.about(),
        wording: wording.in_short(),
        gateway: gateway.map(|profile| profile.name),
        example: filled(&|slot, _| slot.example(template))?,
        worst: args.worst.then(worst).transpose()?,
    })
}

fn fill(
    texts: &Texts,
    message: Message,
    gateway: Option<&'static Profile>,
    approvals: Option<&Approvals>,
) -> Filled {
    let id = message.wording();
    let chars = message.text.chars().count();
    let wording =
        texts.wordings(message.template).find(|(known, _)| *known == id).map(|(_, wording)| wording);
    let request = gateway.and_then(|profile| profile.marks).zip(wording).map(|(marks, wording)| {
        let approved = approvals.and_then(|told| told.templates.get(id));
        let sign_name = approved.and_then(|approved| approved.sign_name.as_deref());
        Request {
            to_approve: wording.to_approve(marks),
            template: approved.map(|approved| approved.id.clone()),
            sign_name: sign_name.or(approvals.map(|told| told.sign_name.as_str())).map(ToOwned::to_owned),
            variables: match marks {
                Marks::Named => message.slots.iter().map(|(name, value)| (*name, value.as_str())).collect(),
                Marks::Numbered => message.slots.iter().map(|(_, value)| value.as_str()).collect(),
            },
        }
    });
    let why = message.fallback.as_ref().map(ToString::to_string);
    Filled { wording: id, chars, segments: segments(chars), why, request, text: message.text }
}

fn page(shown: &Shown) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}  {}\n  wording     {}", shown.id, shown.about, shown.wording);
    let filled = [("example", Some(&shown.example)), ("worst", shown.worst.as_ref())];
    for (name, filled) in filled.into_iter().filter_map(|(name, filled)| filled.map(|f| (name, f))) {
        let segments = if filled.segments == 1 { "segment" } else { "segments" };
        let _ = writeln!(out, "  {name:<10}  {}", filled.text);
        let _ = writeln!(out, "              {} characters, {} {segments}", filled.chars, filled.segments);
        if let Some(why) = &filled.why {
            let _ = writeln!(out, "              {}, because {why}", filled.wording);
        }
        if let (Some(gateway), Some(request)) = (shown.gateway, &filled.request) {
            let template = request.template.as_deref().unwrap_or("(none configured)");
            let sign_name = request.sign_name.as_deref().unwrap_or("(none configured)");
            let _ = writeln!(
                out,
                "    {gateway} gets template {template}, signature {sign_name}, {}",
                request.variables
            );
            let _ = writeln!(out, "    to approve  {}", request.to_approve);
        }
    }
    out
}
