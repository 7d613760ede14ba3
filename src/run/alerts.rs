//! The alerts half: alerts in, people told. The worker is in `alerts/`; here it gets its log, its gateways
//! and its clock.

use std::sync::Arc;
use std::time::Duration;

use tocsin_alerts::admission::{Admission, AdmissionSettings};
use tocsin_alerts::answers::deadline::Deadlines;
use tocsin_alerts::answers::link::Links;
use tocsin_alerts::channel::Channel;
use tocsin_alerts::channels::Channels;
use tocsin_alerts::clock::{BoxFuture, Clock, SystemClock};
use tocsin_alerts::gateways::send::{Post, Timeouts};
use tocsin_alerts::plan::next::Awaits;
use tocsin_alerts::texts::{Texts, lint};
use tocsin_alerts::worker::{Settings, Worker};
use tocsin_schemas::codes::Role;
use tocsin_schemas::log::EventLog;
use tocsin_schemas::time::Instant;
use tocsin_schemas::wire::FileMap;

use crate::config::Config;
use crate::config::gateways::Gateway;
use crate::exit::Failure;
use crate::run::ClockKind;
use crate::run::wall::WallClock;

impl Clock for WallClock {
    fn now(&self) -> Instant {
        WallClock::now(self)
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            loop {
                let left = at.0.saturating_sub(WallClock::now(self).0);
                if left <= 0 {
                    return;
                }
                // Looked at again now and then, because the machine's clock may be set while we wait.
                let left = u64::try_from(left).unwrap_or(0).min(30_000);
                tokio::time::sleep(Duration::from_millis(left)).await;
            }
        })
    }
}

/// The gateways in use with their clients, and what keeps each from being called when it must not be.
pub struct Gateways {
    /// The clients, in the order of each role.
    pub channels: Channels,
    /// For whoever shows how they stand.
    pub admissions: Vec<Admission>,
}

/// The gateways, or why they cannot be.
///
/// # Errors
/// A wrong call: none is configured, one cannot be used, or what it has approved are not these texts.
pub fn gateways(config: &Config, texts: &Texts) -> Result<Gateways, Failure> {
    let wrong = |what: String| Failure::wrong_call(format!("{}: {what}", config.path.display()));
    if config.gateways.all.is_empty() {
        return Err(wrong(
            "there is no [alerts.gateways.NAME] in use and no [alerts.webhook], so nobody can be told: add one, \
             or run with --only pipeline"
                .to_owned(),
        ));
    }
    let (mut posts, mut admissions) = (Vec::new(), Vec::new());
    for gateway in &config.gateways.all {
        if let Some(problem) = unapproved(config, gateway, texts) {
            return Err(wrong(problem));
        }
        let settings =
            AdmissionSettings { max_in_flight: gateway.max_in_flight, ..AdmissionSettings::default() };
        let admission = Admission::new(gateway.entry.profile, settings);
        let post = client(gateway).map_err(wrong)?.with_standing(admission.standing().clone());
        posts.push(Arc::new(post) as Arc<dyn Channel>);
        admissions.push(admission);
    }
    let mut channels = Channels::new(posts);
    for admission in &admissions {
        channels.admit(admission.clone());
    }
    for role in Role::ALL {
        let unknown = |name| wrong(format!("[alerts.order] {role}: {name} is not configured"));
        channels.order_for(*role, &config.gateways.names(*role)).map_err(unknown)?;
    }
    Ok(Gateways { channels, admissions })
}

/// A gateway's client. Makes no request.
///
/// # Errors
/// One line: section and reason.
pub fn client(gateway: &Gateway) -> Result<Post, String> {
    let total_ms = u64::try_from(gateway.timeout.as_millis()).unwrap_or(u64::MAX);
    // A resolver waits 5 s for its first name server before it asks the second. And whatever ends in here is certainly not
    // sent, so it must be over first.
    let timeouts = Timeouts { connect_ms: (total_ms / 5 * 4).clamp(1, 8_000), total_ms };
    let wrong = |e: &dyn std::fmt::Display| format!("[{}] {e}", gateway.section);
    let settings = gateway.settings().map_err(|e| wrong(&e))?;
    (gateway.entry.make)(&settings)
        .and_then(|made| Post::new(made, timeouts, Arc::new(SystemClock)))
        .map_err(|e| wrong(&e))
}

/// What a gateway in use has not approved of the texts.
fn unapproved(config: &Config, gateway: &Gateway, texts: &Texts) -> Option<String> {
    let told = config.gateways.approvals.get(gateway.name())?;
    let problems = lint::approved(texts, gateway.entry.profile, &told.sign_name, &told.templates);
    let first = problems.first()?;
    Some(format!(
        "[{}] what is approved are not the texts ({} differ), the first: {first}; see tocsin templates lint --config",
        gateway.section,
        problems.len()
    ))
}

/// The worker, ready to run. Where alerts are decided by the clock of arrivals, their age says nothing by the wall
/// clock, and none expires.
///
/// # Errors
/// A wrong call: a secret is missing.
pub fn worker(
    log: Arc<dyn EventLog>,
    (channels, texts): (Channels, Arc<Texts>),
    config: &Config,
    wall: WallClock,
    clock: ClockKind,
    member: &str,
) -> Result<Worker, Failure> {
    let expire_after = config.expire_after.filter(|_| clock == ClockKind::Wall);
    let calendar = config.calendar.clone();
    let mut settings =
        Settings { calendar, expire_after, per_phone_a_day: config.per_phone_a_day, ..Settings::default() };
    settings.mornings = config.mornings;
    let server = config.answers_server()?;
    settings.links = server.map(|server| Links::new(&server.public_url, server.links.clone()));
    settings.corrections_an_hour = config.corrections_an_hour;
    settings.retry.resend_unknown = config.resend_unknown;
    // Nobody is asked in another's place where no answer can come; but where gateways are asked about what they took, a
    // carrier's no is waited for.
    let asked = channels.all().any(|channel| channel.asks());
    let deadlines = if config.answers.awaited { config.answers.deadlines } else { Deadlines::NONE };
    settings.awaits = (config.answers.awaited || asked).then(|| Awaits { deadlines, ..Awaits::default() });
    // As long as the slowest of them may take.
    if let Some(longest) = config.gateways.all.iter().map(|gateway| gateway.timeout).max() {
        settings.stop_grace = longest + Duration::from_secs(2);
    }
    let worker = Worker::new(log, channels, Arc::new(wall), settings);
    let schemas = Arc::<FileMap>::clone(&config.schema_ids);
    let worker = worker.with_schemas(schemas).with_texts(texts).named(member);
    Ok(match config.phone_key()? {
        Some(key) => worker.with_phone_key(key),
        None => {
            tracing::warn!(
                "[alerts] phone_key is not set: whoever reads the log could find a phone by trying all of them"
            );
            worker
        }
    })
}
