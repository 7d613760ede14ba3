//! The alerts half: alerts in, people told. The worker is in `alerts/`; here it gets its log, its channel
//! and its clock.

use std::sync::Arc;
use std::time::Duration;

use tocsin_alerts::channels::Channels;
use tocsin_alerts::clock::{BoxFuture, Clock, SystemClock};
use tocsin_alerts::gateways::Secret;
use tocsin_alerts::gateways::send::{Post, Timeouts};
use tocsin_alerts::gateways::webhook::{Webhook as WebhookGateway, WebhookConfig};
use tocsin_alerts::phone_key::PhoneKey;
use tocsin_alerts::plan::next::Awaits;
use tocsin_alerts::texts::Texts;
use tocsin_alerts::worker::{Settings, Worker};
use tocsin_schemas::log::EventLog;
use tocsin_schemas::time::Instant;

use crate::config::{Config, Webhook};
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

/// The channel, or why it cannot be.
///
/// # Errors
/// A wrong call: `[alerts.webhook]` is missing or cannot be used.
pub fn channel(config: &Config) -> Result<Post, Failure> {
    let Some(Webhook { url, token, secret, timeout, allow_private, .. }) = &config.webhook else {
        return Err(Failure::wrong_call(format!(
            "{}: there is no [alerts.webhook], so nobody can be told: add it, or run with --only pipeline",
            config.path.display()
        )));
    };
    let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    let webhook = WebhookConfig {
        url: url.to_string(),
        token: token.as_ref().map(|t| Secret::new(t.expose())),
        secret: secret.as_ref().map(|s| Secret::new(s.expose())),
        allow_private: *allow_private,
    };
    let timeouts = Timeouts { connect_ms: timeout_ms.min(3_000), total_ms: timeout_ms };
    WebhookGateway::new(&webhook)
        .and_then(|webhook| Post::new(Arc::new(webhook), timeouts, Arc::new(SystemClock)))
        .map_err(|e| Failure::wrong_call(format!("{}: [alerts.webhook] {e}", config.path.display())))
}

/// The worker, ready to run. Where alerts are decided by the clock of arrivals, their age says nothing by the wall
/// clock, and none expires.
pub fn worker(
    log: Arc<dyn EventLog>,
    (channel, texts): (Post, Arc<Texts>),
    config: &Config,
    wall: WallClock,
    clock: ClockKind,
    member: &str,
) -> Worker {
    let expire_after = config.expire_after.filter(|_| clock == ClockKind::Wall);
    let calendar = config.calendar.clone();
    let mut settings =
        Settings { calendar, expire_after, per_phone_a_day: config.per_phone_a_day, ..Settings::default() };
    settings.mornings = config.mornings;
    settings.corrections_an_hour = config.corrections_an_hour;
    // Nobody is asked in another's place where no answer can come.
    let deadlines = config.answers.deadlines;
    settings.awaits = config.answers.server.is_some().then(|| Awaits { deadlines, ..Awaits::default() });
    if let Some(webhook) = &config.webhook {
        settings.max_in_flight = webhook.concurrency;
        settings.stop_grace = webhook.timeout + Duration::from_secs(2);
    }
    let worker = Worker::new(log, Channels::one(Arc::new(channel)), Arc::new(wall), settings);
    let worker = worker.with_texts(texts).named(member);
    match &config.phone_key {
        Some(key) => worker.with_phone_key(PhoneKey::new(key.expose().as_bytes())),
        None => {
            tracing::warn!(
                "[alerts] phone_key is not set: whoever reads the log could find a phone by trying all of them"
            );
            worker
        }
    }
}
