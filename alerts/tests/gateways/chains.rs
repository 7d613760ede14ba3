//! Many messages, each with faults one after another, in sending and in asking: whatever can be settled ends with
//! one ring, and nothing else.

use std::collections::BTreeMap;

use tocsin_alerts::channel::Outcome;
use tocsin_alerts::gateways::{Kind, Told};
use tocsin_simulator::{Call, Fault, Gateway, Plan};

use super::{HOUR, House, NOON, message, question, said};

/// The faults that message `n` adds, by a small generator: none to three in sending (those that it does not meet
/// wait for the next one), none or one in asking. A slow
/// answer is left out, because it takes real time; a webhook's "busy" is its no, and ends the matter.
fn faults(gateway: Gateway, n: u32) -> (Vec<Fault>, Vec<Fault>) {
    let mut seed = u64::from(n) * 6 + gateway as u64 + 1;
    let mut draw = |most: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % most
    };
    let fits =
        |fault: &Fault| *fault != Fault::Slow && !(*fault == Fault::Busy && gateway == Gateway::Webhook);
    let usable: Vec<Fault> = Fault::ALL.into_iter().filter(fits).collect();
    let (sends, asks) = (draw(4), draw(2));
    let mut some = |count| (0..count).map(|_| usable[draw(usable.len())]).collect::<Vec<_>>();
    (some(sends), some(asks))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chains_of_faults_end_with_one_ring_for_each_message() {
    for gateway in [Gateway::Aliyun, Gateway::Tencent, Gateway::Webhook] {
        let house = House::new(Plan::default()).await;
        let post = house.client(gateway);
        let kind = post.gateway().profile().kind;
        let (mut requests, mut questions, mut open) = (0, 0, 0);
        let settles = post.gateway().profile().not_found_counts_after_seconds.is_some();
        for n in 0..150 {
            let mut message = message(gateway, n);
            // Another phone each time: the limits are not the matter here.
            message.to = format!("138{n:08}");
            let (sending, asking) = faults(gateway, n);
            house.simulator.script(gateway, Call::Send, &sending);
            let mut asking = asking.into_iter();
            let at = format!("{gateway:?} {n} with {sending:?}");
            loop {
                requests += 1;
                let sent_at = house.clock.now();
                let verdict = post.deliver(&message).await;
                message.attempt += 1;
                let sent = match &verdict.outcome {
                    Outcome::Accepted { .. } => true,
                    Outcome::Transient { .. } => false,
                    Outcome::Unknown { .. } if kind == Kind::Idempotent => false,
                    Outcome::Unknown { .. } => {
                        house.clock.advance(HOUR / 2);
                        house.simulator.script(gateway, Call::Ask, asking.next().as_slice());
                        let question = question(&message, &verdict, sent_at);
                        loop {
                            questions += 1;
                            match post.ask(&question).await {
                                Told::Known { .. } => break true,
                                Told::NotFound if settles => break false,
                                // It stays uncertain: nobody can tell it from one whose phone is off.
                                Told::NotFound => {
                                    open += 1;
                                    break true;
                                }
                                Told::CannotTell(_) => {}
                                Told::NextPage(page) => panic!("{at}: page {page}"),
                            }
                        }
                    }
                    _ => panic!("{at}: {}", said(&verdict)),
                };
                if sent {
                    break;
                }
                assert!(message.attempt < 50, "{at}: no end");
            }
        }
        let mut rings: BTreeMap<_, u32> = BTreeMap::new();
        for message in house.simulator.messages() {
            *rings.entry(message.id.unwrap()).or_default() += 1;
        }
        assert!(rings.values().all(|rang| *rang == 1), "{gateway:?}: {rings:?}");
        assert_eq!(rings.len() + open, 150, "{gateway:?}: what did not ring is known to be open");
        assert_eq!(open > 0, kind == Kind::Askable && !settles, "{gateway:?}");
        let rang = rings.len();
        let name = gateway.as_str();
        println!(
            "{name:8} 150 messages, {requests} requests, {questions} questions, {rang} rings, {open} open"
        );
        assert!(
            (requests > 200 || open > 0) && (kind == Kind::Idempotent || questions > 60),
            "the faults were not met"
        );
        assert!(house.clock.now() >= NOON);
    }
}
