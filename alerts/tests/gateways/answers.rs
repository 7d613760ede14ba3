//! Receipts and replies as the simulated gateways push them, over HTTP into the server of answers, folded: in the end each phone
//! stands as the simulator knows it to.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tocsin_alerts::answers::fold::{Effect, Standing, Step, effect};
use tocsin_alerts::answers::http::{
    Case, Counts, Door, Given, NotDurable, Outcome, Parts, Rates, Sink, router, serve,
};
use tocsin_alerts::answers::link::Prefix;
use tocsin_alerts::answers::polled;
use tocsin_alerts::channel;
use tocsin_alerts::gateways::{Question, Secret};
use tocsin_alerts::phone_key::PhoneKey;
use tocsin_schemas::codes::Says;
use tocsin_schemas::records::Answer;
use tocsin_schemas::time::Instant;
use tocsin_simulator::{Gateway, Plan};

use super::{HOUR, Hand, House, NOON, message, question, said};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// What was sent, and a log that fails now and then.
#[derive(Default)]
struct Ledger {
    sent: Mutex<BTreeMap<String, (Gateway, Standing, Question)>>,
    log: Mutex<Vec<Answer>>,
    appends: AtomicU64,
}

fn hasher() -> PhoneKey {
    PhoneKey::new(&[5; 32])
}

impl Ledger {
    fn find(&self, is: impl Fn(&str, Gateway, &Standing) -> bool) -> Option<Case> {
        let sent = self.sent.lock().unwrap();
        let (id, (gateway, ..)) =
            sent.iter().find(|(id, (gateway, standing, _))| is(id, *gateway, standing))?;
        Some(Case {
            delivery_id: id.clone(),
            gateway: gateway.as_str().into(),
            case_no: String::new(),
            template: "T1".into(),
            text: None,
            said: None,
        })
    }

    /// Applies what came since, in the order of the log.
    fn fold(&self, effects: &mut BTreeMap<&'static str, u32>) {
        for answer in self.log.lock().unwrap().drain(..) {
            let mut sent = self.sent.lock().unwrap();
            let Some((_, standing, _)) = answer.delivery_id.as_ref().and_then(|id| sent.get_mut(id)) else {
                continue;
            };
            let found = effect(Some(standing), &answer);
            *standing = standing.clone().after(&found);
            let name = match found {
                Effect::Delivered => "delivered",
                Effect::Failed { .. } => "failed",
                Effect::Duplicate => "duplicate",
                other => panic!("{other:?}"),
            };
            *effects.entry(name).or_default() += 1;
        }
    }
}

impl Given for Ledger {
    fn ready(&self) -> bool {
        true
    }
    fn delivery(&self, delivery_id: &str) -> Option<Case> {
        self.find(|id, _, _| id == delivery_id)
    }
    fn numbered(&self, name: &str, number: &str) -> Option<Case> {
        self.find(|_, gateway, standing| {
            gateway.as_str() == name && standing.gateway_ref.as_deref() == Some(number)
        })
    }
    fn linked(&self, _: Prefix) -> Option<Case> {
        None
    }
    fn has_phone(&self, hash: &str) -> bool {
        let sent = self.sent.lock().unwrap();
        sent.values().any(|(.., question)| hasher().number(&question.to).as_deref() == Some(hash))
    }
}

async fn server(ledger: &Arc<Ledger>, house: &House) -> (String, Counts) {
    let behind = Arc::clone(ledger);
    let sink: Sink = Arc::new(move |answers| {
        let ledger = Arc::clone(&behind);
        Box::pin(async move {
            // Every seventh append fails: the gateway has to come again.
            if ledger.appends.fetch_add(1, Ordering::SeqCst) % 7 == 3 {
                return Err(NotDurable);
            }
            ledger.log.lock().unwrap().extend(answers);
            Ok(())
        })
    });
    let counts = Counts::default();
    let allow = vec!["127.0.0.0/8".parse().unwrap()];
    let parts = Parts {
        door: Arc::new(Door::new(Secret::new(SECRET), allow, None, Rates::default())),
        links: None,
        phones: Some(hasher()),
        webhook: None,
        call: "0579-1".into(),
        given: Arc::clone(ledger) as Arc<dyn Given>,
        sink,
        clock: Arc::new(Hand(house.clock.clone())),
        counts: counts.clone(),
    };
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let base = format!("http://{}/{SECRET}", listener.local_addr().unwrap());
    tokio::spawn(serve(listener, router(parts), std::future::pending()));
    (base, counts)
}

#[tokio::test]
async fn each_phone_ends_as_the_simulator_knows_it_to() {
    let plan = Plan {
        seed: 7,
        failed_per_thousand: 150,
        doubled_per_thousand: 250,
        lost_per_thousand: 200,
        receipt_after_ms: (1_000, 600_000),
        ..Plan::default()
    };
    let house = House::new(plan).await;
    let ledger = Arc::new(Ledger::default());
    let (base, counts) = server(&ledger, &house).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut posts = BTreeMap::new();
    for (g, gateway) in [Gateway::Aliyun, Gateway::Tencent].into_iter().enumerate() {
        let post = house.client(gateway);
        for n in 0..150 {
            let mut message = message(gateway, n);
            message.idempotency_key = format!("{}{n}", gateway.as_str());
            message.to = format!("138{g}{n:07}");
            let verdict = post.deliver(&message).await;
            let channel::Outcome::Accepted { gateway_ref } = verdict.outcome.clone() else {
                panic!("{gateway:?} {n}: {}", said(&verdict));
            };
            let standing = Standing { step: Step::Out, tried: true, gateway_ref, said: None };
            let question = question(&message, &verdict, NOON);
            ledger.sent.lock().unwrap().insert(message.idempotency_key, (gateway, standing, question));
        }
        posts.insert(gateway.as_str(), post);
    }
    // An hour of simulated time: late, doubled, out of order, refused now and then and pushed again.
    let mut effects = BTreeMap::new();
    for _ in 0..360 {
        house.clock.advance(10_000);
        house.simulator.push_receipts(&client, &format!("{base}/receipts")).await;
        ledger.fold(&mut effects);
    }
    assert_eq!(house.simulator.pending_receipts(), (0, 0));
    assert!(counts.get(Outcome::NotDurable) > 10 && effects["duplicate"] > 10, "{effects:?}");
    // What was lost is asked for.
    house.clock.advance(HOUR);
    let open: Vec<_> = ledger
        .sent
        .lock()
        .unwrap()
        .iter()
        .filter(|(_, (_, s, _))| s.step == Step::Out)
        .map(|(id, (gateway, _, question))| (id.clone(), *gateway, question.clone()))
        .collect();
    assert!(open.len() > 20, "{}", open.len());
    for (id, gateway, question) in open {
        let told = posts[gateway.as_str()].ask(&question).await;
        let answer = polled(gateway.as_str(), &id, &told, Instant(house.clock.now())).unwrap();
        ledger.log.lock().unwrap().push(answer);
    }
    ledger.fold(&mut effects);
    let truth: BTreeMap<_, _> = house.simulator.messages().into_iter().map(|m| (m.to, m.reaches)).collect();
    let sent = ledger.sent.lock().unwrap();
    assert_eq!((sent.len(), truth.len()), (300, 300));
    for (id, (_, standing, question)) in &*sent {
        let expected = if truth[&question.to] { Step::Delivered } else { Step::Failed };
        assert_eq!(standing.step, expected, "{id}");
    }
    assert!(sent.values().filter(|(_, s, _)| s.step == Step::Failed).count() > 10);
    assert_eq!(counts.get(Outcome::Unknown), 0);
}

#[tokio::test]
async fn what_persons_write_back_comes_as_its_meaning() {
    let house = House::new(Plan::default()).await;
    let ledger = Arc::new(Ledger::default());
    let (base, counts) = server(&ledger, &house).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for gateway in [Gateway::Aliyun, Gateway::Tencent] {
        let message = message(gateway, 1);
        let verdict = house.client(gateway).deliver(&message).await;
        let standing = Standing { step: Step::Out, tried: true, gateway_ref: None, said: None };
        let question = question(&message, &verdict, NOON);
        ledger.sent.lock().unwrap().insert(gateway.as_str().into(), (gateway, standing, question));
        for words in ["回复1", "没收到", "不是我单位"] {
            house.clock.advance(2_000);
            assert!(house.simulator.write_back(gateway, "13800138000", words));
        }
        assert!(house.simulator.write_back(gateway, "13999999999", "收到"));
    }
    assert!(!house.simulator.write_back(Gateway::Webhook, "13800138000", "收到"));
    for _ in 0..30 {
        house.simulator.push_replies(&client, &format!("{base}/replies")).await;
        house.clock.advance(60_000);
    }
    let log = ledger.log.lock().unwrap();
    let mut says: Vec<_> = log.iter().map(|a| (a.gateway.clone(), a.says)).collect();
    says.sort();
    let of = |g: &str| [Says::Other, Says::Acknowledged, Says::NotOurs].map(|s| (g.to_owned(), s));
    assert_eq!(says, [of("aliyun"), of("tencent")].concat());
    assert!(log.iter().all(|a| a.phone_hash == hasher().number("13800138000") && a.delivery_id.is_none()));
    assert_eq!(counts.get(Outcome::Unknown), 2);
}
