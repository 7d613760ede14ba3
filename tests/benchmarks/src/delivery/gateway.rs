//! A receiver on loopback that takes a moment and says yes.

use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant as Monotonic};

use axum::Json;
use axum::routing::post;
use serde_json::{Value, json};

/// One that runs; gone when dropped.
pub struct Gateway {
    /// Where it takes messages.
    pub url: String,
    /// When each request came, and of which alert.
    pub came: Receiver<(Monotonic, String)>,
    _runtime: tokio::runtime::Runtime,
}

impl Gateway {
    /// Answers after so long.
    pub fn open(latency: Duration) -> Gateway {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let (sender, came) = channel();
        let answer = move |Json(event): Json<Value>| {
            let at = Monotonic::now();
            let alert = event["data"]["alert_id"].as_str().unwrap_or_default().to_owned();
            let _ = sender.send((at, alert));
            async move {
                tokio::time::sleep(latency).await;
                Json(json!({"accepted": true, "ref": "r"}))
            }
        };
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("loopback");
        let url = format!("http://{}/send", listener.local_addr().expect("an address"));
        let app = axum::Router::new().route("/send", post(answer));
        runtime.spawn(async move { axum::serve(listener, app).await });
        Gateway { url, came, _runtime: runtime }
    }

    /// The next request, which must come in time.
    pub fn next(&self) -> (Monotonic, String) {
        self.came.recv_timeout(Duration::from_secs(60)).expect("a request within a minute")
    }
}
