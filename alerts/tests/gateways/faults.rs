//! Every gateway meets every fault once, and what follows by its kind.

use tocsin_alerts::channel::Outcome;
use tocsin_alerts::gateways::send::Post;
use tocsin_alerts::gateways::{Fate, Kind, Told, Verdict};
use tocsin_simulator::{Call, Fault, Gateway, HandClock, Plan};

use super::{HASTY, HOUR, House, NOON, PATIENT, client, message, question, said};

/// A line of the matrix.
struct Row {
    gateway: Gateway,
    kind: Kind,
    fault: Option<Fault>,
    /// What the first request came to.
    verdict: String,
    /// What was done then, and why.
    then: &'static str,
    /// How the phone stands at the end.
    rang: usize,
}

/// A client that does not wait for the end of a slow answer.
fn client_for(house: &House, gateway: Gateway, fault: Option<Fault>) -> Post {
    let timeouts = if fault == Some(Fault::Slow) { HASTY } else { PATIENT };
    client(gateway, &house.base(), "simulated-secret", house.clock.clone(), timeouts)
}

/// One message meets one fault; what its kind and the verdict allow is done, and nothing else.
async fn case(gateway: Gateway, fault: Option<Fault>) -> Row {
    let house = House::new(Plan::default()).await;
    let post = house.client(gateway);
    let message = message(gateway, 1);
    house.simulator.script(gateway, Call::Send, fault.as_slice());
    let first = client_for(&house, gateway, fault);
    let verdict = first.deliver(&message).await;
    let (kind, rang) = (post.gateway().profile().kind, house.rang());
    let at = format!("{gateway:?} with {fault:?}: {}", said(&verdict));

    // What the judge knows against what the client says.
    match &verdict.outcome {
        Outcome::Accepted { .. } => assert_eq!(rang, 1, "{at}, and the gateway took nothing"),
        Outcome::Unknown { .. } => {}
        _ => assert_eq!(rang, 0, "{at}, and yet the gateway took it"),
    }
    let again = || async {
        let mut again = message.clone();
        again.attempt = 2;
        post.deliver(&again).await
    };
    let then = match &verdict.outcome {
        Outcome::Accepted { .. } => "nothing: the gateway's own yes",
        Outcome::Permanent { .. } => "nothing: the gateway's own no",
        Outcome::WindowUsedUp { .. } | Outcome::Account { .. } | Outcome::Text { .. } => {
            "nothing: not before its cause is gone"
        }
        Outcome::Transient { retry_after_ms, .. } => {
            let asked = (fault == Some(Fault::TooMany)).then_some(60_000);
            assert_eq!(*retry_after_ms, asked, "{at}: Retry-After");
            assert_eq!(said(&again().await), "accepted", "{at}");
            "sent again: certainly not sent"
        }
        Outcome::Unknown { .. } if kind == Kind::Idempotent => {
            assert_eq!(said(&again().await), "accepted", "{at}");
            "sent again with the same key"
        }
        Outcome::Unknown { .. } if kind == Kind::Askable => {
            let counts = post.gateway().profile().not_found_counts_after_seconds;
            house.clock.advance(i64::from(counts.unwrap_or(86_400)) * 1000);
            match post.ask(&question(&message, &verdict, NOON)).await {
                Told::Known { fate: Fate::Delivered, .. } => {
                    assert_eq!(rang, 1, "{at}");
                    "asked: it has it"
                }
                Told::NotFound if counts.is_none() => {
                    assert_eq!(rang, 0, "{at}");
                    "asked: no row, which proves nothing; open"
                }
                Told::NotFound => {
                    assert_eq!(rang, 0, "{at}");
                    assert_eq!(said(&again().await), "accepted", "{at}");
                    "asked: it has nothing; sent again"
                }
                other => panic!("{at}, then asked: {other:?}"),
            }
        }
        Outcome::Unknown { .. } => "reported: nobody can tell; policy decides",
    };
    Row { gateway, kind, fault, verdict: said(&verdict), then, rang: house.rang() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_loses_or_doubles_what_can_be_settled() {
    let faults = std::iter::once(None).chain(Fault::ALL.map(Some));
    let mut rows = Vec::new();
    for fault in faults {
        for running in Gateway::ALL.map(|gateway| tokio::spawn(case(gateway, fault))) {
            rows.push(running.await.unwrap());
        }
    }
    rows.sort_by_key(|row| (row.gateway, row.fault));
    assert_eq!(rows.len(), 84);
    println!("{:16} {:11} {:19} {:30} {:42} rang", "gateway", "kind", "fault", "came to", "then");
    for row in &rows {
        let fault = row.fault.map_or("-", Fault::as_str);
        let (gateway, kind) = (row.gateway.as_str(), row.kind.as_str());
        println!("{gateway:16} {kind:11} {fault:19} {:30} {:42} {}", row.verdict, row.then, row.rang);
    }
    for row in rows {
        let at = format!("{:?} with {:?}", row.gateway, row.fault);
        let accepted = row.verdict == "accepted";
        assert_eq!(accepted, row.fault.is_none(), "{at}: {}", row.verdict);
        match row.fault {
            // Nobody but the gateway knows what these came to: a 429 may be a proxy's, after the message was taken.
            Some(fault) if row.kind == Kind::Neither => {
                let unknown = row.verdict.starts_with("unknown");
                assert_ne!(unknown, fault == Fault::Busy, "{at}: {}", row.verdict);
                assert!(row.rang <= 1, "{at}");
            }
            // Tencent lists what its carrier has answered: what never came is not told from a phone that is off.
            Some(_) if row.then.ends_with("open") => {
                assert_eq!((row.gateway, row.rang), (Gateway::Tencent, 0), "{at}");
            }
            // A webhook's "busy" is its no.
            Some(Fault::Busy) if row.gateway == Gateway::Webhook => assert_eq!(row.rang, 0, "{at}"),
            _ => assert_eq!(row.rang, 1, "{at}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_that_is_not_answered_is_never_a_not_found() {
    for gateway in [Gateway::Aliyun, Gateway::Tencent, Gateway::DingtalkNotice] {
        for fault in Fault::ALL {
            let house = House::new(Plan::default()).await;
            let post = house.client(gateway);
            let message = message(gateway, 1);
            let verdict = post.deliver(&message).await;
            house.clock.advance(HOUR);
            house.simulator.script(gateway, Call::Ask, &[fault]);
            let question = question(&message, &verdict, NOON);
            let told = client_for(&house, gateway, Some(fault)).ask(&question).await;
            assert!(matches!(told, Told::CannotTell(_)), "{gateway:?} with {fault:?}: {told:?}");
            let told = post.ask(&question).await;
            assert!(matches!(told, Told::Known { fate: Fate::Delivered, .. }), "{gateway:?}: {told:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_token_nothing_is_sent_and_that_is_certain() {
    let gateway = Gateway::DingtalkNotice;
    for fault in Fault::ALL {
        let house = House::new(Plan::default()).await;
        let post = house.client(gateway);
        house.simulator.script(gateway, Call::Token, &[fault]);
        let hasty = client_for(&house, gateway, Some(fault));
        let verdict = hasty.deliver(&message(gateway, 1)).await;
        assert!(matches!(verdict.outcome, Outcome::Transient { .. }), "{fault:?}: {}", said(&verdict));
        assert_eq!(house.rang(), 0);
        assert_eq!(said(&post.deliver(&message(gateway, 1)).await), "accepted", "{fault:?}");
    }
}

#[tokio::test]
async fn a_token_is_kept_and_fetched_anew_when_it_is_over_or_refused() {
    let gateway = Gateway::DingtalkNotice;
    let house = House::new(Plan::default()).await;
    let ours = HandClock::at(NOON);
    let post = house.client_with(gateway, "simulated-secret", ours.clone());
    let tokens = || house.simulator.handled().iter().filter(|h| h.call == Call::Token).count();
    for n in 1..=3 {
        assert_eq!(said(&post.deliver(&message(gateway, n)).await), "accepted");
    }
    assert_eq!(tokens(), 1);
    // Over by our clock: fetched before it is used.
    ours.advance(2 * HOUR);
    assert_eq!(said(&post.deliver(&message(gateway, 4)).await), "accepted");
    assert_eq!(tokens(), 2);
    // Over by the gateway's clock alone: refused, so nothing was sent; the next attempt has a new one.
    house.clock.advance(3 * HOUR);
    assert_eq!(said(&post.deliver(&message(gateway, 5)).await), "transient 40014");
    assert_eq!((house.rang(), tokens()), (4, 2));
    assert_eq!(said(&post.deliver(&message(gateway, 5)).await), "accepted");
    assert_eq!((house.rang(), tokens()), (5, 3));
}

#[tokio::test]
async fn a_closed_port_is_certainly_not_sent() {
    for gateway in Gateway::ALL {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let post =
            client(gateway, &format!("http://{free}"), "simulated-secret", HandClock::at(NOON), PATIENT);
        let verdict: Verdict = post.deliver(&message(gateway, 1)).await;
        assert_eq!(said(&verdict), "transient connection_refused", "{gateway:?}");
    }
}

#[tokio::test]
async fn a_gateway_without_the_right_tls_is_certainly_not_sent_to() {
    for gateway in Gateway::ALL {
        // Something answers there, but it does not speak TLS.
        let house = House::new(Plan::default()).await;
        let base = format!("https://{}", house.address);
        let post = client(gateway, &base, "simulated-secret", HandClock::at(NOON), PATIENT);
        let verdict = post.deliver(&message(gateway, 1)).await;
        assert_eq!(said(&verdict), "transient connection_refused", "{gateway:?}");
        assert_eq!(house.simulator.handled().len(), 0);
    }
}

#[tokio::test]
async fn a_wrong_secret_is_the_operators_and_nothing_is_sent() {
    for gateway in Gateway::ALL {
        let house = House::new(Plan::default()).await;
        let post = house.client_with(gateway, "another-secret", house.clock.clone());
        let verdict = post.deliver(&message(gateway, 1)).await;
        assert!(matches!(verdict.outcome, Outcome::Account { .. }), "{gateway:?}: {}", said(&verdict));
        assert_eq!(house.rang(), 0);
    }
}

#[tokio::test]
async fn a_clock_that_is_off_is_the_operators() {
    let off = |gateway| match gateway {
        Gateway::Aliyun | Gateway::Tencent | Gateway::Webhook => Some(HOUR / 2),
        Gateway::DingtalkRobot => Some(HOUR + 1),
        // Nothing is signed with a time.
        _ => None,
    };
    for gateway in Gateway::ALL {
        let Some(off) = off(gateway) else { continue };
        let house = House::new(Plan::default()).await;
        let post = house.client_with(gateway, "simulated-secret", HandClock::at(NOON - off));
        let verdict = post.deliver(&message(gateway, 1)).await;
        assert!(matches!(verdict.outcome, Outcome::Account { .. }), "{gateway:?}: {}", said(&verdict));
    }
}
