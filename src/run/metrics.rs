//! What Prometheus reads of the running service: `GET /metrics` at `[metrics] listen`.
//!
//! Every series is there from the start, so that a rate begins at 0 and an absent one means that nobody computes it.
//! Labels come from closed lists: never an enterprise, a person, a case.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;
use tocsin_alerts::admission::{Admission, Report};
use tocsin_alerts::clock::{Clock as _, SystemClock};
use tocsin_alerts::stats::Stats;
use tocsin_schemas::codes::DeliveryState;
use tocsin_schemas::time::Instant;
use tokio::sync::watch;

use crate::exit::Failure;
use crate::ledger::answer::{Reconciliation, Row, Standing, Step, What};

/// The media type of the text form.
const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Seconds = Gauge<i64, AtomicI64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CaseLabels {
    what: &'static str,
    standing: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabel {
    step: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

/// The metrics of the ledger. Cheap to clone; all clones are the same.
#[derive(Debug, Clone, Default)]
pub struct LedgerMetrics {
    unaccounted: Gauge,
    by_step: Family<StepLabel, Gauge>,
    cases: Family<CaseLabels, Gauge>,
    messages: Family<StateLabel, Gauge>,
    unjudged: Gauge,
    pending_since: Seconds,
    computed_at: Seconds,
    decided_to: Seconds,
    delivered_to: Seconds,
    failures: Counter,
}

impl LedgerMetrics {
    /// Registers all of them, at 0.
    pub fn register(registry: &mut Registry) -> LedgerMetrics {
        let m = LedgerMetrics::default();
        let part = registry.sub_registry_with_prefix("tocsin");
        part.register(
            "unaccounted",
            "Incidents and warnings of which a step is missing, computed from the topics alone. Must be 0",
            m.unaccounted.clone(),
        );
        let part = part.sub_registry_with_prefix("ledger");
        part.register("unaccounted", "The same by the first step that is missing", m.by_step.clone());
        part.register("cases", "Incidents and warnings by how they stand", m.cases.clone());
        part.register("messages", "Audiences of alerts by the state of their delivery", m.messages.clone());
        part.register(
            "unjudged",
            "Suppressed incidents whose reason the service does not judge; `tocsin ledger reconcile` does",
            m.unjudged.clone(),
        );
        part.register(
            "pending_since_timestamp_seconds",
            "The oldest decision with a message on its way; 0: there is none",
            m.pending_since.clone(),
        );
        part.register(
            "computed_timestamp_seconds",
            "When all this was last computed; 0: never. One that stands still is a dead watch, not a quiet day",
            m.computed_at.clone(),
        );
        part.register(
            "decided_timestamp_seconds",
            "The decision clock of the pipeline; it moves at each midnight at least. 0: nothing was decided yet",
            m.decided_to.clone(),
        );
        part.register(
            "delivered_timestamp_seconds",
            "The clock of the alert worker's progress. 0: it never ran",
            m.delivered_to.clone(),
        );
        part.register("failures", "Looks at the topics that failed", m.failures.clone());
        m.show(&Reconciliation::default());
        m
    }

    /// A look at the topics failed: what is shown stays, and grows old.
    pub fn failed(&self) {
        self.failures.inc();
    }

    /// Shows an answer and the instants that it stands for.
    pub fn computed(
        &self,
        found: &Reconciliation,
        now: Instant,
        decided_to: Option<Instant>,
        delivered_to: Option<Instant>,
    ) {
        self.show(found);
        self.decided_to.set(seconds(decided_to));
        self.delivered_to.set(seconds(delivered_to));
        self.computed_at.set(seconds(Some(now)));
    }

    fn show(&self, found: &Reconciliation) {
        self.unaccounted.set(number(found.unaccounted));
        for step in Step::ALL {
            let of = |row: &&Row| row.standing == Standing::Unaccounted(step);
            let cases = found.rows.iter().filter(of).map(|row| row.cases).sum();
            self.by_step.get_or_create(&StepLabel { step: step.as_str() }).set(number(cases));
        }
        for what in What::ALL {
            for standing in Standing::NAMES {
                let labels = CaseLabels { what: what.as_str(), standing };
                self.cases.get_or_create(&labels).set(number(found.count(what, standing)));
            }
        }
        let states = DeliveryState::ALL.iter().map(|state| state.as_str());
        for state in states.chain(["not_taken_in", "none"]) {
            let n = found.messages.get(state).map_or(0, |reasons| reasons.values().sum());
            self.messages.get_or_create(&StateLabel { state }).set(number(n));
        }
        self.unjudged.set(number(found.unjudged.len() as u64));
        self.pending_since.set(seconds(found.pending_since));
    }
}

/// How each gateway stands, as its admission says when it is asked for.
#[derive(Debug)]
pub struct GatewayMetrics(Vec<Admission>);

impl GatewayMetrics {
    /// Registers those of these gateways.
    pub fn register(registry: &mut Registry, admissions: Vec<Admission>) {
        registry
            .sub_registry_with_prefix("tocsin_gateway")
            .register_collector(Box::new(GatewayMetrics(admissions)));
    }
}

/// A series of each gateway: name, help, whether it only grows, and its values by a label's value.
type Series = (&'static str, &'static str, bool, fn(&Report) -> Vec<(Option<&'static str>, u64)>);

const SERIES: &[Series] = &[
    (
        "open",
        "Whether it is left in peace: it does not answer, or refuses our account (the operator acts)",
        false,
        |r| {
            let why = |account| r.open.as_ref().is_some_and(|because| because.account == account);
            vec![(Some("down"), why(false).into()), (Some("account"), why(true).into())]
        },
    ),
    (
        "held",
        "Whether it is not called because it said when to come back (Retry-After), or a window of its calls is used up",
        false,
        |r| {
            let held = |until: Option<Instant>| u64::from(until.is_some());
            vec![(Some("retry_after"), held(r.held_until)), (Some("window"), held(r.window_until))]
        },
    ),
    ("in_flight", "Sends under way", false, |r| vec![(None, r.in_flight.into())]),
    ("questions_in_flight", "Questions under way", false, |r| vec![(None, r.questions_in_flight.into())]),
    ("opened", "How often it was left in peace, by why", true, |r| {
        vec![(Some("down"), r.opened), (Some("account"), r.opened_by_account)]
    }),
    ("probes", "Requests that looked whether it answers again", true, |r| vec![(None, r.probes)]),
    ("questions_refused", "Questions that it refused to answer", true, |r| vec![(None, r.questions_refused)]),
];

impl Collector for GatewayMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let now = SystemClock.now();
        let report = |admission: &Admission| {
            let mut report = admission.report();
            report.held_until = report.held_until.filter(|until| *until > now);
            report.window_until = report.window_until.filter(|until| *until > now);
            report
        };
        let reports: Vec<_> =
            self.0.iter().map(|admission| (admission.gateway(), report(admission))).collect();
        for (name, help, grows, values) in SERIES {
            let kind = if *grows { MetricType::Counter } else { MetricType::Gauge };
            let mut series = encoder.encode_descriptor(name, help, None, kind)?;
            for (gateway, report) in &reports {
                for (why, value) in values(report) {
                    let labels: Vec<_> = [Some(("gateway", *gateway)), why.map(|why| ("why", why))]
                        .into_iter()
                        .flatten()
                        .collect();
                    let one = series.encode_family(&labels)?;
                    match grows {
                        true => ConstCounter::new(value).encode(one)?,
                        false => ConstGauge::new(number(value)).encode(one)?,
                    }
                }
            }
        }
        Ok(())
    }
}

/// What the worker of this process does, read where it is asked for.
#[derive(Debug)]
pub struct WorkerMetrics(watch::Receiver<Stats>);

impl WorkerMetrics {
    /// Registers them.
    pub fn register(registry: &mut Registry, stats: watch::Receiver<Stats>) {
        registry.sub_registry_with_prefix("tocsin_worker").register_collector(Box::new(WorkerMetrics(stats)));
    }
}

impl Collector for WorkerMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let stats = self.0.borrow().clone();
        let help = "Corrections that the fuse holds, by alert: the planner's; 0 elsewhere. Over 0 somebody must look";
        let held = ConstGauge::new(number(stats.fused as u64));
        held.encode(encoder.encode_descriptor("corrections_held", help, None, MetricType::Gauge)?)?;
        let help =
            "Requests made once more although the first may have gone out, as [alerts] resend_unknown wants";
        let resent = ConstCounter::new(stats.resent_unknown);
        resent.encode(encoder.encode_descriptor("resent_unknown", help, None, MetricType::Counter)?)
    }
}

fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn seconds(at: Option<Instant>) -> i64 {
    at.map_or(0, |at| at.0.div_euclid(1000))
}

/// Opens the port and serves the metrics on it until the runtime ends.
///
/// # Errors
/// The port cannot be opened; nothing runs then.
pub async fn serve(listen: SocketAddr, registry: Registry) -> Result<(), Failure> {
    let cannot = |e| Failure::failed(format!("[metrics] listen: cannot open {listen}: {e}"));
    let listener = tokio::net::TcpListener::bind(listen).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    tracing::info!(url = %format_args!("http://{address}/metrics"), "metrics are served");
    let app = Router::new().route("/metrics", get(metrics)).with_state(Arc::new(registry));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, app).await {
            tracing::warn!(%error, "metrics are not served any more");
        }
    });
    Ok(())
}

async fn metrics(State(registry): State<Arc<Registry>>) -> Response {
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = encode(&mut text, &registry);
    ([(header::CONTENT_TYPE, TEXT)], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(registry: &Registry) -> String {
        let mut text = String::new();
        encode(&mut text, registry).unwrap();
        text
    }

    fn has(text: &str, line: &str) {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }

    #[test]
    fn every_series_is_there_before_anything_was_computed_and_says_so() {
        let mut registry = Registry::default();
        LedgerMetrics::register(&mut registry);
        let text = text(&registry);
        for line in [
            "tocsin_unaccounted 0",
            "tocsin_ledger_unaccounted{step=\"no_delivery\"} 0",
            "tocsin_ledger_cases{what=\"warning\",standing=\"told\"} 0",
            "tocsin_ledger_messages{state=\"accepted\"} 0",
            "tocsin_ledger_computed_timestamp_seconds 0",
            "tocsin_ledger_failures_total 0",
        ] {
            has(&text, line);
        }
    }

    #[test]
    fn what_the_fuse_holds_is_there_for_an_alarm() {
        let (worker, stats) = watch::channel(Stats::default());
        let mut registry = Registry::default();
        WorkerMetrics::register(&mut registry, stats);
        has(&text(&registry), "tocsin_worker_corrections_held 0");
        worker.send_replace(Stats { fused: 2, resent_unknown: 3, ..Stats::default() });
        has(&text(&registry), "tocsin_worker_corrections_held 2");
        has(&text(&registry), "tocsin_worker_resent_unknown_total 3");
    }

    #[test]
    fn each_gateway_is_there_from_the_start_and_shows_what_came_of_its_requests() {
        use tocsin_alerts::admission::{AdmissionSettings, Permit};
        use tocsin_alerts::channel::Outcome;
        let of = |name| {
            let profile = tocsin_alerts::gateways::find(name).unwrap().profile;
            Admission::new(profile, AdmissionSettings::default())
        };
        let (aliyun, robot) = (of("aliyun"), of("dingtalk_robot"));
        let mut registry = Registry::default();
        GatewayMetrics::register(&mut registry, vec![aliyun.clone(), robot]);
        for line in [
            "tocsin_gateway_open{gateway=\"aliyun\",why=\"down\"} 0",
            "tocsin_gateway_probes_total{gateway=\"dingtalk_robot\"} 0",
            "tocsin_gateway_opened_total{gateway=\"aliyun\",why=\"account\"} 0",
        ] {
            has(&text(&registry), line);
        }
        let now = std::time::Duration::ZERO;
        let Permit::Go(ticket) = aliyun.permit(now) else { panic!("nothing is under way") };
        has(&text(&registry), "tocsin_gateway_in_flight{gateway=\"aliyun\"} 1");
        ticket.done(&Outcome::Account { reason: "balance".into() }, now, Instant(0));
        for line in [
            "tocsin_gateway_in_flight{gateway=\"aliyun\"} 0",
            "tocsin_gateway_open{gateway=\"aliyun\",why=\"account\"} 1",
            "tocsin_gateway_opened_total{gateway=\"aliyun\",why=\"account\"} 1",
            "tocsin_gateway_open{gateway=\"dingtalk_robot\",why=\"account\"} 0",
            "tocsin_gateway_held{gateway=\"aliyun\",why=\"retry_after\"} 0",
        ] {
            has(&text(&registry), line);
        }
    }

    #[test]
    fn a_gateway_that_said_when_to_come_back_is_shown_as_held_until_then() {
        use tocsin_alerts::admission::{AdmissionSettings, Permit};
        use tocsin_alerts::channel::Outcome;
        let profile = tocsin_alerts::gateways::find("webhook").unwrap().profile;
        let (real, now) = (SystemClock.now(), std::time::Duration::ZERO);
        // An hour that is over for two hours, and one that begins now.
        for (at, shown) in [(real.plus_millis(-7_200_000), 0), (real, 1)] {
            let webhook = Admission::new(profile, AdmissionSettings::default());
            let mut registry = Registry::default();
            GatewayMetrics::register(&mut registry, vec![webhook.clone()]);
            let Permit::Go(ticket) = webhook.permit(now) else { panic!("nothing is under way") };
            let busy = Outcome::Transient { reason: "http_429".into(), retry_after_ms: Some(3_600_000) };
            ticket.done(&busy, now, at);
            let line = format!("tocsin_gateway_held{{gateway=\"webhook\",why=\"retry_after\"}} {shown}");
            has(&text(&registry), &line);
            has(&text(&registry), "tocsin_gateway_held{gateway=\"webhook\",why=\"window\"} 0");
        }
    }

    #[test]
    fn what_was_computed_is_shown_and_goes_back_to_0_when_it_is_gone() {
        let mut registry = Registry::default();
        let metrics = LedgerMetrics::register(&mut registry);
        let standing = Standing::Unaccounted(Step::NoDelivery);
        let found = Reconciliation {
            rows: vec![Row { what: What::Counted, standing, cases: 2 }],
            unaccounted: 2,
            pending_since: Some(Instant(5_999)),
            ..Reconciliation::default()
        };
        metrics.computed(&found, Instant(9_000), Some(Instant(7_000)), None);
        let shown = text(&registry);
        for line in [
            "tocsin_unaccounted 2",
            "tocsin_ledger_unaccounted{step=\"no_delivery\"} 2",
            "tocsin_ledger_cases{what=\"counted\",standing=\"unaccounted\"} 2",
            "tocsin_ledger_pending_since_timestamp_seconds 5",
            "tocsin_ledger_computed_timestamp_seconds 9",
            "tocsin_ledger_decided_timestamp_seconds 7",
            "tocsin_ledger_delivered_timestamp_seconds 0",
        ] {
            has(&shown, line);
        }
        metrics.failed();
        metrics.computed(&Reconciliation::default(), Instant(19_000), Some(Instant(7_000)), None);
        let shown = text(&registry);
        for line in [
            "tocsin_unaccounted 0",
            "tocsin_ledger_unaccounted{step=\"no_delivery\"} 0",
            "tocsin_ledger_pending_since_timestamp_seconds 0",
            "tocsin_ledger_failures_total 1",
        ] {
            has(&shown, line);
        }
    }
}
