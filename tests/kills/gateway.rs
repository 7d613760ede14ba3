//! The gateway: every request that it takes is a phone that rings. It knows which requests it has not
//! answered yet, and can hold its answers back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};

/// One request.
#[derive(Debug, Clone)]
pub struct Ring {
    /// Which process asked, from 0: each life has a URL of its own.
    pub life: usize,
    pub key: String,
    pub to: String,
    pub text: String,
    pub alert_id: String,
    pub attempt: u64,
    /// Whether the yes was handed to the network.
    pub answered: bool,
}

#[derive(Default)]
struct Inner {
    rings: Mutex<Vec<Ring>>,
    /// The life whose answers are held back, plus 1.
    held: AtomicU64,
}

pub struct Gateway {
    url: String,
    inner: Arc<Inner>,
    _runtime: tokio::runtime::Runtime,
}

async fn take(
    State(inner): State<Arc<Inner>>,
    Path(life): Path<usize>,
    Json(body): Json<Value>,
) -> Json<Value> {
    let body = &body["data"];
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    let ring = Ring {
        life,
        key: text("idempotency_key"),
        to: text("to"),
        text: text("text"),
        alert_id: text("alert_id"),
        attempt: body["attempt"].as_u64().unwrap(),
        answered: false,
    };
    let (place, wait) = {
        let mut rings = inner.rings.lock().unwrap();
        rings.push(ring);
        (rings.len() - 1, rings.len() as u64 * 7 % 16)
    };
    // As a real one it takes a moment, and not always the same.
    tokio::time::sleep(Duration::from_millis(wait)).await;
    while inner.held.load(Ordering::Acquire) == life as u64 + 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    inner.rings.lock().unwrap()[place].answered = true;
    Json(json!({"accepted": true, "ref": place.to_string()}))
}

impl Gateway {
    pub fn open() -> Gateway {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let inner: Arc<Inner> = Arc::default();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}/send", listener.local_addr().unwrap());
        let app = axum::Router::new()
            .route("/send/{life}", axum::routing::post(take))
            .with_state(Arc::clone(&inner));
        runtime.spawn(async move { axum::serve(listener, app).await });
        Gateway { url, inner, _runtime: runtime }
    }

    /// Where this life is to ask.
    pub fn url(&self, life: usize) -> String {
        format!("{}/{life}", self.url)
    }

    /// Holds back the answers of this life from now on, until it is over.
    pub fn hold(&self, life: usize) {
        self.inner.held.store(life as u64 + 1, Ordering::Release);
    }

    pub fn rings(&self) -> Vec<Ring> {
        self.inner.rings.lock().unwrap().clone()
    }

    /// Keys of the requests of this life that have no answer.
    pub fn in_flight(&self, life: usize) -> Vec<String> {
        let rings = self.inner.rings.lock().unwrap();
        rings.iter().filter(|r| r.life == life && !r.answered).map(|r| r.key.clone()).collect()
    }
}
