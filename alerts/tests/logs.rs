//! What a log shows of requests, answers and failures: no secret, no key of a URL, no phone, no text, at the
//! finest level.
//!
//! A suite of its own: what is logged is kept for one thread, and a neighbour that comes to the same line first, without
//! anybody who keeps it, may switch it off for all.

#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

#[allow(dead_code, reason = "the contract suite uses the rest of it")]
#[path = "gateways/house.rs"]
mod house;
#[path = "support/kept.rs"]
mod kept;

use tocsin_simulator::{Call, Fault, Gateway, HandClock, Plan};

use house::{House, NOON, PATIENT, client, message, question};
use kept::Kept;

// One thread, because the log is kept for this thread alone.
#[tokio::test(flavor = "current_thread")]
async fn no_log_line_shows_a_secret_a_phone_or_a_text() {
    let kept = Kept::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(kept.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    for gateway in Gateway::ALL {
        let house = House::new(Plan::default()).await;
        let post = house.client(gateway);
        let faults = [Fault::OddCode, Fault::Html, Fault::AcceptThenDrop, Fault::Reset, Fault::Huge];
        house.simulator.script(gateway, Call::Send, &faults);
        for n in 0..=5 {
            let message = message(gateway, n);
            let verdict = post.deliver(&message).await;
            let _ = post.ask(&question(&message, &verdict, NOON)).await;
        }
        let wrong = house.client_with(gateway, "wrong-hunter2", house.clock.clone());
        wrong.deliver(&message(gateway, 6)).await;
        let closed = client(gateway, "http://127.0.0.1:1", "hunter2", HandClock::at(NOON), PATIENT);
        closed.deliver(&message(gateway, 7)).await;
    }
    drop(guard);
    let log = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    for said in
        ["gateway answered", "no answer", "unknown code", "isv.SIMULATED_ODDITY", "77777", "wecom_robot"]
    {
        assert!(log.contains(said), "{said:?} is not logged:\n{log}");
    }
    for secret in ["simulated-secret", "hunter2", "13800138000", "manager42", "工伤"] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret:?} is logged");
    }
}
