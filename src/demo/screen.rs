//! What one sees while the demo runs: in a terminal a page that redraws itself (a progress bar, the rates,
//! the last messages, the open warnings), elsewhere plain lines. Stories scroll by above the page.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tocsin_pipeline::Outcome;
use tocsin_schemas::codes::{CITY, Change, Level, Rule, Scope};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::{Window, WindowRate};
use tocsin_schemas::time::{Day, Instant};

use super::city::City;
use super::gateway::Ring;
use crate::output::say;

const RATE_ROWS: usize = 5;
const MESSAGE_ROWS: usize = 5;
const WARNING_ROWS: usize = 5;

/// What the page shows.
#[derive(Debug, Default)]
pub struct Page {
    rates: BTreeMap<(Scope, String), WindowRate>,
    warnings: BTreeMap<Uscc, (Level, u32)>,
    messages: Vec<String>,
}

impl Page {
    /// Takes in what a decision changed.
    pub fn decided(&mut self, outcome: &Outcome) {
        for alert in outcome.alerts.iter().filter(|a| a.rule == Rule::Escalation) {
            match alert.level {
                Some(level) if alert.change != Change::Closed => {
                    self.warnings.insert(alert.uscc, (level, alert.count));
                }
                _ => {
                    self.warnings.remove(&alert.uscc);
                }
            }
        }
        for (key, rates) in
            outcome.rates.iter().filter(|((s, _), _)| matches!(s, Scope::City | Scope::Industry))
        {
            match rates.as_ref().and_then(|rates| rates.on(Window::Rolling(365))) {
                Some(rate) => self.rates.insert(key, rate.clone()),
                None => self.rates.remove(&key),
            };
        }
    }

    /// Takes in a message that rang.
    pub fn rang(&mut self, line: String) {
        self.messages.push(line);
    }

    fn draw(&self, city: &City) -> String {
        // A rate counts incidents where the headcount is known, and no others.
        let header =
            ["RATES, last 365 days", "incidents", "persons", "insured", "incidents there", "per 1,000"];
        let mut rates = table(&header);
        let mut rows: Vec<_> = self.rates.iter().collect();
        // By incidents, not by rate: one injury among few people makes a rate that means nothing.
        rows.sort_by_key(|((scope, key), rate)| {
            (*scope != Scope::City, std::cmp::Reverse(rate.incidents), key)
        });
        for ((scope, key), rate) in rows.into_iter().take(RATE_ROWS) {
            let of = if *scope == Scope::City { format!("city {CITY}") } else { trade(city, key) };
            let number = |n: Option<f64>| n.map_or("unknown".to_owned(), |n| format!("{n:.1}"));
            rates.add_row(vec![
                of,
                rate.incidents.to_string(),
                rate.persons.to_string(),
                rate.headcount.map_or("unknown".to_owned(), |n| format!("{n:.0}")),
                rate.incidents_with_headcount.to_string(),
                number(rate.per_thousand),
            ]);
        }
        let mut warnings = table(&["OPEN WARNINGS", "level", "incidents then"]);
        let mut open: Vec<_> = self.warnings.iter().collect();
        open.sort_by_key(|(uscc, (level, count))| (std::cmp::Reverse((*level, *count)), **uscc));
        let more = open.len().saturating_sub(WARNING_ROWS);
        for (uscc, (level, count)) in open.into_iter().take(WARNING_ROWS) {
            let name = city.firm(uscc.as_str()).map_or("?", |f| f.english.as_str());
            warnings.add_row(vec![name.to_owned(), level.to_string(), count.to_string()]);
        }
        if more > 0 {
            warnings.add_row(vec![format!("and {more} more")]);
        }
        for table in [&mut rates, &mut warnings] {
            for column in table.column_iter_mut().skip(1) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let last = self.messages.len().saturating_sub(MESSAGE_ROWS);
        let messages = self.messages[last..].join("\n  ");
        format!("\n{rates}\n\n{warnings}\n\n LAST MESSAGES\n  {messages}\n")
    }
}

fn trade(city: &City, division: &str) -> String {
    let name = city.firms.iter().find(|f| f.industry.starts_with(division));
    let word = name.and_then(|f| f.english.split(' ').nth(1)).unwrap_or("?");
    format!("industry {division} ({word}, …)")
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.to_vec());
    table
}

/// Where it is shown.
pub struct Screen {
    live: Option<Live>,
    page: Page,
}

struct Live {
    all: MultiProgress,
    page: ProgressBar,
    bar: ProgressBar,
}

/// `2026-03-03 10:00`, in Asia/Shanghai.
pub fn when(at: Instant) -> String {
    at.to_string().chars().take(16).map(|c| if c == 'T' { ' ' } else { c }).collect()
}

impl Screen {
    /// A live page if standard output is a terminal, plain lines otherwise.
    pub fn new(instants: u64) -> Screen {
        let live = std::io::stdout().is_terminal().then(|| {
            let all = MultiProgress::with_draw_target(ProgressDrawTarget::stdout_with_hz(10));
            let page = all.add(ProgressBar::new_spinner());
            page.set_style(style("{msg}"));
            let bar = all.add(ProgressBar::new(instants));
            bar.set_style(style(" {msg} {bar:40.cyan/blue} {percent}%  {elapsed} of about {duration}"));
            bar.enable_steady_tick(Duration::from_millis(250));
            Live { all, page, bar }
        });
        Screen { live, page: Page::default() }
    }

    /// A line that stays.
    pub fn say(&self, line: &str) {
        match &self.live {
            // A page that cannot be drawn is no reason to stop.
            Some(live) => drop(live.all.println(line)),
            None => say!("{line}"),
        }
    }

    /// Something to notice.
    pub fn story(&self, at: Instant, text: &str) {
        match &self.live {
            Some(_) => self.say(&format!("\u{1b}[33m{}\u{1b}[0m  {text}", when(at))),
            None => self.say(&format!("{}  {text}", when(at))),
        }
    }

    /// A phone rang.
    pub fn rang(&mut self, at: Instant, city: &City, message: &Ring) {
        let who = city.phone_of(&message.to).map_or("somebody", |p| p.shown_as.as_str());
        let line = format!("{}  {} {who}: {}", when(at), message.template, message.text);
        if self.live.is_none() {
            say!("    phone  {line}");
        }
        self.page.rang(line);
    }

    /// A decision fell.
    pub fn decided(&mut self, outcome: &Outcome) {
        self.page.decided(outcome);
    }

    /// An instant is over.
    pub fn step(&self, city: &City, day: Day) {
        if let Some(live) = &self.live {
            live.page.set_message(self.page.draw(city));
            live.bar.set_message(day.to_string());
            live.bar.inc(1);
        }
    }

    /// Ends the page; its last state stays on the screen. Elsewhere the tables are printed once.
    pub fn end(&self, city: &City) {
        match &self.live {
            Some(live) => {
                live.page.finish();
                live.bar.finish();
            }
            None => say!("{}", self.page.draw(city)),
        }
    }

    /// Whether this is a terminal, which can show colours.
    pub fn live(&self) -> bool {
        self.live.is_some()
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
