//! A story from its first step to its last.

use std::collections::BTreeMap;
use std::time::{Duration, Instant as Monotonic};

use tocsin_alerts::ledger::reason_class;
use tocsin_alerts::phone_key::PhoneKey;
use tocsin_alerts::quota;
use tocsin_schemas::records::Delivery;
use tocsin_schemas::time::Instant;

use crate::parse::{self, Act, Heard, Row, Step, Story};
use crate::stage::{self, Stage};

/// How long a step may take until it is as written.
const LIMIT: Duration = Duration::from_secs(20);

/// What each phone heard, and how each delivery stands, in words.
type End = (BTreeMap<String, Vec<Vec<String>>>, Vec<String>);

/// Plays it with one worker, and with a new one after every step; both must end alike.
///
/// # Errors
/// The step, and what was expected and found.
pub fn both(story: &Story) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let one = runtime.block_on(play(story, false)).map_err(|why| format!("with one worker: {why}"))?;
    let many = runtime.block_on(play(story, true)).map_err(|why| format!("with restarts: {why}"))?;
    if one != many {
        return Err(format!("with one worker {one:#?}\nwith restarts {many:#?}"));
    }
    Ok(())
}

async fn play(story: &Story, restarts: bool) -> Result<End, String> {
    let mut stage = Stage::new(story)?;
    let names = Names::of(story, &stage);
    let mut heard = 0;
    for (at, step) in story.steps.iter().enumerate() {
        stage.clock.set(step.at);
        // What the gateways will say is known before anybody asks them.
        let (gateways, others): (Vec<&Act>, Vec<&Act>) =
            step.acts.iter().partition(|act| matches!(act, Act::Answers { .. }));
        for act in gateways.into_iter().chain(others) {
            stage.act(act, step.at)?;
        }
        if !stage.has_worker() {
            stage.start();
        }
        let whole = at + 1 == story.steps.len();
        let began = Monotonic::now();
        let mut quiet_before = false;
        loop {
            let quiet = stage.quiet()?;
            // Twice, because a step of the worker lies between what the log and what its figures say.
            let wrong = match quiet && quiet_before {
                true => differs(step, &stage, &names, heard, whole),
                false => Some("it does not come to rest".to_owned()),
            };
            match wrong {
                None => break,
                Some(why) if began.elapsed() > LIMIT => {
                    return Err(format!("step of line {}: {why}", step.line));
                }
                Some(_) => quiet_before = quiet,
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        heard = stage.phones.rings().len();
        if restarts {
            stage.kill().await;
            stage.reconcile().map_err(|why| format!("step of line {}: {why}", step.line))?;
        }
    }
    // Once more, as after a start: nothing is said again.
    stage.kill().await;
    stage.start();
    let began = Monotonic::now();
    while !stage.quiet()? {
        if began.elapsed() > LIMIT {
            return Err("a further worker does not come to rest".to_owned());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stage.kill().await;
    let rings = stage.phones.rings();
    if rings.len() != heard {
        return Err(format!("a further worker says something: {:?}", &rings[heard..]));
    }
    stage.reconcile()?;
    let known = stage.deliveries();
    let mut by_phone: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    for ring in rings {
        by_phone.entry(ring.to.clone()).or_default().push(said(&known[&ring.key], ring.channel, &names));
    }
    let mut rows: Vec<String> = known.values().map(|d| names.row(d).join(" ")).collect();
    rows.sort();
    Ok((by_phone, rows))
}

/// What differs from what is written for this step. `whole`: every delivery must be written.
fn differs(step: &Step, stage: &Stage, names: &Names, before: usize, whole: bool) -> Option<String> {
    let known = stage.deliveries();
    let mut found: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    for ring in &stage.phones.rings()[before..] {
        let said = said(known.get(&ring.key)?, ring.channel, names);
        found.entry(ring.to.clone()).or_default().push(said);
    }
    let mut wanted: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    for Heard { phone, what } in &step.heard {
        wanted.entry(phone.clone()).or_default().push(what.clone());
    }
    if found != wanted {
        return Some(format!("heard {found:?}, written {wanted:?}"));
    }
    let rows: Vec<Vec<String>> = known.values().map(|d| names.row(d)).collect();
    let is = |row: &Row, found: &Vec<String>| {
        let words = [std::slice::from_ref(&row.alert), std::slice::from_ref(&row.phone), &row.words].concat();
        // What is written is the beginning, or leaves the time out.
        found.starts_with(&words)
    };
    for row in &step.ledger {
        if !rows.iter().any(|found| is(row, found)) {
            return Some(format!("the ledger has {rows:?}, not {row:?}"));
        }
    }
    if whole && let Some(left) = rows.iter().find(|found| !step.ledger.iter().any(|row| is(row, found))) {
        return Some(format!("the ledger has {left:?} too, and the last step names every delivery"));
    }
    None
}

/// Text, alert or number, channel where there are several.
fn said(delivery: &Delivery, channel: &str, names: &Names) -> Vec<String> {
    let text = delivery.template.split('_').next().unwrap_or_default().to_owned();
    let what = match quota::is_digest(delivery) {
        true => format!("{}起", quota::count(delivery)),
        false => delivery.alert_id.clone(),
    };
    let channel = names.several.then(|| channel.to_owned());
    [text, what].into_iter().chain(channel).collect()
}

/// Which phone a hash is of.
struct Names {
    by_hash: BTreeMap<String, String>,
    several: bool,
}

impl Names {
    fn of(story: &Story, stage: &Stage) -> Names {
        let key = PhoneKey::new(stage.log_id().as_bytes());
        let acts = story.cast.iter().chain(story.steps.iter().flat_map(|step| &step.acts));
        let mut by_hash = BTreeMap::new();
        for act in acts {
            if let Act::Contact { phone: Some(phone), .. } = act {
                by_hash.insert(stage::hash(&key, phone), phone.clone());
            }
        }
        Names { by_hash, several: story.setting.channels.len() > 1 }
    }

    /// Alert, phone, channel where there are several, state, reason, until when it is held, how many.
    fn row(&self, d: &Delivery) -> Vec<String> {
        let digest = quota::is_digest(d);
        let hash = d.phone_hash.as_deref().unwrap_or_default();
        let phone = self.by_hash.get(hash).cloned().unwrap_or_else(|| "无人".to_owned());
        let mut row = vec![if digest { "汇总".to_owned() } else { d.alert_id.clone() }, phone];
        row.extend(self.several.then(|| d.channel.clone()));
        row.push(d.state.to_string());
        row.extend(d.reason.is_some().then(|| reason_class(d).to_owned()));
        if digest {
            row.push(format!("{}起", quota::count(d)));
        }
        if let Some(due) = d.due_at.filter(|_| tocsin_alerts::decide::waits(d)) {
            row.extend(minute(due));
        }
        row
    }
}

/// As a story writes an instant.
fn minute(at: Instant) -> Vec<String> {
    let text = at.to_string();
    let words: Vec<String> = text.get(..16).unwrap_or_default().split('T').map(str::to_owned).collect();
    debug_assert!(parse::instant(&words.join(" ")).is_some());
    words
}
