//! The webhook channel against a gateway on loopback that misbehaves.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tokio::io::AsyncReadExt;

use super::*;
use crate::clock::SystemClock;
use crate::gateways::Secret;
use crate::gateways::send::{Post, Timeouts};
use crate::gateways::webhook::{Webhook, WebhookConfig};

#[derive(Default)]
pub struct Served {
    /// Headers of interest and bodies, as they came.
    requests: Mutex<Vec<(String, String, serde_json::Value)>>,
    /// What to answer next.
    answers: Mutex<VecDeque<&'static str>>,
}

async fn answer(State(served): State<Arc<Served>>, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name: &str| headers.get(name).map_or("", |v| v.to_str().unwrap()).to_owned();
    let body = serde_json::from_slice(&body).unwrap();
    served.requests.lock().unwrap().push((header("idempotency-key"), header("authorization"), body));
    let answer = served.answers.lock().unwrap().pop_front().unwrap_or("yes");
    match answer {
        "yes" => r#"{"accepted":true,"ref":"m-1"}"#.into_response(),
        "no" => r#"{"accepted":false}"#.into_response(),
        "html" => "<html>accepted: true</html>".into_response(),
        "slow" => std::future::pending().await,
        "429" => (StatusCode::TOO_MANY_REQUESTS, [("Retry-After", "120")]).into_response(),
        "403" => StatusCode::FORBIDDEN.into_response(),
        "404" => StatusCode::NOT_FOUND.into_response(),
        "redirect" => (StatusCode::FOUND, [("Location", "http://127.0.0.1:1/")]).into_response(),
        "endless" => "x".repeat(200_000).into_response(),
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

pub async fn serve(answers: &[&'static str]) -> (Arc<Served>, Post) {
    let served =
        Arc::new(Served { answers: Mutex::new(answers.iter().copied().collect()), ..Served::default() });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/send", listener.local_addr().unwrap());
    let app = axum::Router::new().route("/send", post(answer)).with_state(Arc::clone(&served));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (served, webhook(&url))
}

/// How many requests it got.
pub fn requests_of(served: &Served) -> usize {
    served.requests.lock().unwrap().len()
}

fn webhook(url: &str) -> Post {
    let mut config = WebhookConfig::new(url);
    config.token = Some(Secret::new("t0k3n"));
    let timeouts = Timeouts { total_ms: 300, ..Timeouts::default() };
    Post::new(Arc::new(Webhook::new(&config).unwrap()), timeouts, Arc::new(SystemClock)).unwrap()
}

fn message() -> Outgoing {
    Outgoing {
        idempotency_key: "K".into(),
        to: "phone".into(),
        text: "【永康人社】…".into(),
        template: "T1".into(),
        slots: Vec::new(),
        alert_id: "A".into(),
        case_no: "000000422".into(),
        role: Role::Owner,
        attempt: 1,
        link: None,
    }
}

fn name(outcome: &Outcome) -> (&'static str, String, Option<i64>) {
    match outcome {
        Outcome::Accepted { gateway_ref } => ("accepted", gateway_ref.clone().unwrap_or_default(), None),
        Outcome::Transient { reason, retry_after_ms } => ("transient", reason.to_string(), *retry_after_ms),
        Outcome::WindowUsedUp { reason, .. } => ("window", reason.to_string(), None),
        Outcome::Account { reason } => ("account", reason.to_string(), None),
        Outcome::Text { reason } => ("text", reason.to_string(), None),
        Outcome::Permanent { reason } => ("permanent", reason.to_string(), None),
        Outcome::Unknown { reason, retry_after_ms } => ("unknown", reason.to_string(), *retry_after_ms),
    }
}

#[tokio::test]
async fn each_answer_means_what_the_page_says() {
    for (says, outcome, detail, wait) in [
        ("yes", "accepted", "m-1", None),
        ("no", "permanent", "not_accepted", None),
        ("html", "unknown", "unreadable_answer", None),
        ("endless", "unknown", "unreadable_answer", None),
        ("slow", "unknown", "timeout", None),
        ("429", "transient", "http_429", Some(120_000)),
        ("403", "account", "http_403", None),
        ("404", "account", "http_404", None),
        ("redirect", "account", "http_302", None),
        ("500", "unknown", "http_500", None),
    ] {
        let (served, webhook) = serve(&[says]).await;
        let found = webhook.send(&message()).await;
        assert_eq!(name(&found), (outcome, detail.to_owned(), wait), "{says}");
        let requests = served.requests.lock().unwrap();
        assert_eq!(requests.len(), 1, "{says}: a channel never tries again by itself");
        let (key, token, body) = &requests[0];
        assert_eq!((&**key, &**token), ("K", "Bearer t0k3n"));
        assert_eq!(
            *body,
            serde_json::json!({
                "specversion": "1.0", "id": "K", "source": "/tocsin/alerts",
                "type": "tocsin.alert.message.v1", "subject": "000000422",
                "datacontenttype": "application/json",
                "data": {
                    "idempotency_key": "K", "to": "phone", "text": "【永康人社】…", "template": "T1",
                    "alert_id": "A", "case_no": "000000422", "role": "owner", "attempt": 1,
                },
            })
        );
    }
}

#[tokio::test]
async fn a_connection_that_is_refused_and_one_that_is_dropped_are_told_apart() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/send", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // Taken, read, dropped: nobody can know whether it was sent.
        let _ = stream.read(&mut [0; 1024]).await;
    });
    let webhook = webhook(&url);
    assert_eq!(name(&webhook.send(&message()).await), ("unknown", "connection_lost".into(), None));
    assert_eq!(name(&webhook.send(&message()).await), ("transient", "connection_refused".into(), None));
}

#[tokio::test]
async fn through_all_faults_the_owner_is_told_once() {
    let log = MemLog::new("l");
    log.put(&[owner("phone"), new_alert("a1", 1)]);
    let (served, webhook) = serve(&["500", "429", "slow", "html", "503"]).await;
    let clock = JumpClock::new();
    let settings = Settings::default();
    let worker = Worker::new(
        Arc::clone(&log) as Arc<dyn EventLog>,
        Channels::one(Arc::new(webhook)),
        Arc::clone(&clock) as _,
        settings,
    );
    let (mut stats, ends) = (worker.stats(), ends(&log));
    let done = async move { drop(crate::stats::settled(&mut stats, &ends).await) };
    let stats = tokio::time::timeout(LIMIT, worker.run(done)).await.unwrap().unwrap();
    assert_eq!((stats.requests, stats.in_state(DeliveryState::Accepted)), (6, 1));
    let requests = served.requests.lock().unwrap();
    let keys: HashSet<_> = requests.iter().map(|(key, _, _)| key.clone()).collect();
    assert_eq!((requests.len(), keys.len()), (6, 1));
    assert!(clock.now().0 - day().midnight().0 >= 120_000, "Retry-After was waited for");
    for record in log.records(topic::DELIVERIES) {
        let text = String::from_utf8_lossy(record.value.as_deref().unwrap()).into_owned();
        assert!(!text.contains("phone"), "no address in the ledger");
    }
}
