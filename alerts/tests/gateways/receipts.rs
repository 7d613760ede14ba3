//! Receipts that come late, doubled, out of order or not at all, and asking for the rest.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_alerts::channel::Outcome;
use tocsin_alerts::gateways::{Fate, Told};
use tocsin_simulator::{Gateway, Plan};

use super::{HOUR, House, NOON, message, question, said};

#[tokio::test]
async fn whatever_the_receipts_do_every_fate_is_known_in_the_end() {
    let plan = Plan {
        seed: 42,
        failed_per_thousand: 100,
        doubled_per_thousand: 200,
        lost_per_thousand: 200,
        receipt_after_ms: (1_000, 600_000),
        ..Plan::default()
    };
    for gateway in [Gateway::Aliyun, Gateway::Tencent] {
        let house = House::new(plan.clone()).await;
        let post = house.client(gateway);
        let pushes = post.gateway().pushes().unwrap();
        let mut sent = BTreeMap::new();
        for n in 0..200 {
            let mut message = message(gateway, n);
            // Another phone each time: the limits are not the matter here.
            message.to = format!("138{n:08}");
            let verdict = post.deliver(&message).await;
            let Outcome::Accepted { gateway_ref: Some(number) } = &verdict.outcome else {
                panic!("{gateway:?} {n}: {}", said(&verdict));
            };
            sent.insert(number.clone(), question(&message, &verdict, NOON));
        }
        // What became of each, by the judge; and the order in which it was taken.
        let truth: BTreeMap<_, _> =
            house.simulator.messages().into_iter().map(|m| (m.gateway_ref.clone(), m)).collect();
        let mut told: BTreeMap<String, Fate> = BTreeMap::new();
        let (mut doubled, mut backwards, mut last) = (0, 0, String::new());
        for _ in 0..1300 {
            house.clock.advance(1_000);
            for push in house.simulator.due_receipts() {
                for receipt in pushes.receipts(push.body.as_bytes()).unwrap() {
                    let number = receipt.gateway_ref.unwrap();
                    let question = &sent[&number];
                    let id = receipt.delivery_id.unwrap_or_else(|| question.delivery_id.clone());
                    assert_eq!(id, question.delivery_id, "{gateway:?}: a receipt names another message");
                    backwards += usize::from(number < last);
                    last.clone_from(&number);
                    match told.insert(number, receipt.fate.clone()) {
                        Some(before) => {
                            doubled += 1;
                            assert_eq!(before, receipt.fate);
                        }
                        None => assert!(receipt.at.is_some()),
                    }
                }
            }
        }
        let lost: BTreeSet<_> = sent.keys().filter(|number| !told.contains_key(*number)).cloned().collect();
        assert!(doubled > 10 && backwards > 10 && lost.len() > 10, "{doubled} {backwards} {}", lost.len());
        house.clock.advance(HOUR);
        for number in &lost {
            match post.ask(&sent[number]).await {
                Told::Known { fate, .. } => told.insert(number.clone(), fate),
                other => panic!("{gateway:?} {number}: {other:?}"),
            };
        }
        assert_eq!(told.len(), 200);
        let failed = told.values().filter(|fate| matches!(fate, Fate::Failed(_))).count();
        assert!(failed > 5, "{failed}");
        for (number, fate) in &told {
            assert_eq!(*fate == Fate::Delivered, truth[number].reaches, "{gateway:?} {number}");
        }
    }
}

#[tokio::test]
async fn a_push_that_is_not_taken_comes_again_after_1_5_and_10_minutes_and_never_more() {
    let house = House::new(Plan::default()).await;
    let post = house.client(Gateway::Aliyun);
    assert_eq!(said(&post.deliver(&message(Gateway::Aliyun, 1)).await), "accepted");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    // The simulator itself takes no receipts: it answers 404.
    let deaf = house.base();
    for wait in [3_000, 60_000, 300_000] {
        house.clock.advance(wait - 1);
        assert_eq!(house.simulator.pending_receipts(), (0, 1), "not before {wait} ms");
        house.clock.advance(1);
        assert_eq!(house.simulator.pending_receipts(), (1, 1));
        assert_eq!(house.simulator.push_receipts(&client, &deaf).await, 0);
    }
    house.clock.advance(600_000);
    assert_eq!(house.simulator.push_receipts(&client, &deaf).await, 0);
    assert_eq!(house.simulator.pending_receipts(), (0, 0), "lost");
}
