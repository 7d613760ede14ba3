use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard};

use reqwest::{Client, RequestBuilder};
use serde_json::json;
use tocsin_schemas::codes::{AnswerKind, FailureClass, Role};
use tocsin_schemas::time::Day;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::ledger::delivery_id;

const SECRET: &str = "a-secret-path-of-32-characters-ok";
const HOOK: &str = "the webhook's key";
/// 2026-03-01T12:00:00+08:00.
const NOON: Instant = Instant(1_772_337_600_000);
const PHONE: &str = "13800138000";

/// What the worker would know, and a log that can be broken.
#[derive(Default)]
struct House {
    cases: Mutex<BTreeMap<String, Case>>,
    numbers: Mutex<BTreeMap<String, String>>,
    written: Mutex<Vec<Answer>>,
    broken: AtomicBool,
    /// Has yet to read what was given before the start.
    reads: AtomicBool,
    now: AtomicI64,
}

impl House {
    fn written(&self) -> MutexGuard<'_, Vec<Answer>> {
        self.written.lock().unwrap()
    }
    fn case(&self, id: &str) -> Option<Case> {
        self.cases.lock().unwrap().get(id).cloned()
    }
}

fn hasher() -> PhoneKey {
    PhoneKey::new(&[3; 32])
}

impl Given for House {
    fn ready(&self) -> bool {
        !self.reads.load(Ordering::SeqCst)
    }
    fn delivery(&self, id: &str) -> Option<Case> {
        self.case(id)
    }
    fn numbered(&self, gateway: &str, number: &str) -> Option<Case> {
        let id = self.numbers.lock().unwrap().get(&format!("{gateway} {number}")).cloned()?;
        self.case(&id)
    }
    fn linked(&self, prefix: Prefix) -> Option<Case> {
        self.cases.lock().unwrap().values().find(|c| Prefix::of(&c.delivery_id) == Some(prefix)).cloned()
    }
    fn has_phone(&self, hash: &str) -> bool {
        hasher().number(PHONE).as_deref() == Some(hash)
    }
}

impl Clock for House {
    fn now(&self) -> Instant {
        Instant(self.now.load(Ordering::SeqCst))
    }
    fn sleep_until(&self, _: Instant) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

fn id(gateway: &str) -> String {
    delivery_id("A", Role::Owner, "s", gateway, &[])
}

fn signer() -> Signer {
    Signer::new(&[9; 32], &[]).unwrap()
}

/// A server on loopback, what stands behind it, and its counters.
struct Running {
    house: Arc<House>,
    counts: Counts,
    door: Arc<Door>,
    base: String,
    client: Client,
}

fn rates(peer: u32, all: u32) -> Rates {
    let n = |n| NonZeroU32::new(n).unwrap();
    Rates { peer: (n(1), n(peer)), all: (n(1), n(all)), peers: 10_000 }
}

async fn run(allow: &str, proxy: Option<Proxy>, rates: Rates) -> Running {
    let house = Arc::new(House::default());
    house.now.store(NOON.0, Ordering::SeqCst);
    for gateway in ["aliyun", "tencent", "webhook"] {
        let case = Case {
            delivery_id: id(gateway),
            gateway: gateway.into(),
            case_no: "000000901".into(),
            template: "T1".into(),
            text: Some("【永康人社】贵单位<b>3月1日登记工伤1起".into()),
            said: None,
        };
        house.cases.lock().unwrap().insert(case.delivery_id.clone(), case);
    }
    house.numbers.lock().unwrap().insert("tencent sid-1".into(), id("tencent"));
    let behind = Arc::clone(&house);
    let sink: Sink = Arc::new(move |answers| {
        let house = Arc::clone(&behind);
        Box::pin(async move {
            if house.broken.load(Ordering::SeqCst) {
                return Err(NotDurable);
            }
            for answer in &answers {
                if let Some(case) =
                    house.cases.lock().unwrap().get_mut(answer.delivery_id.as_deref().unwrap_or(""))
                {
                    case.said = case.said.max(Some(answer.says).filter(|says| says.by_person()));
                }
            }
            house.written().extend(answers);
            Ok(())
        })
    });
    let counts = Counts::default();
    let door = Arc::new(Door::new(Secret::new(SECRET), vec![allow.parse().unwrap()], proxy, rates));
    let parts = Parts {
        door: Arc::clone(&door),
        links: Some(signer()),
        phones: Some(hasher()),
        webhook: Some(Secret::new(HOOK)),
        call: "0579-12345".into(),
        given: Arc::clone(&house) as Arc<dyn Given>,
        sink,
        clock: Arc::clone(&house) as Arc<dyn Clock>,
        counts: counts.clone(),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(listener, router(parts), std::future::pending()));
    Running { house, counts, door, base, client: Client::builder().no_proxy().build().unwrap() }
}

async fn open() -> Running {
    run("127.0.0.0/8", None, Rates::default()).await
}

impl Running {
    fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.client.post(format!("{}/{path}", self.base)).body(body)
    }
    async fn said(&self, request: RequestBuilder) -> (u16, String) {
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
    async fn pushed(&self, path: &str, body: serde_json::Value) -> (u16, String) {
        self.said(self.post(&format!("{SECRET}/{path}"), body.to_string())).await
    }
    fn link(&self, gateway: &str) -> String {
        format!("{}/a/{}", self.base, signer().token(&id(gateway), NOON.day()).unwrap())
    }
}

fn receipt(id: &str, success: bool) -> serde_json::Value {
    json!({"phone_number": PHONE, "report_time": "2026-03-01 11:59:00", "success": success,
        "err_code": if success { "DELIVERED" } else { "MOBILE_NOT_ON_SERVICE" }, "biz_id": "9^0", "out_id": id})
}

#[tokio::test]
async fn a_receipt_is_written_and_answered_in_the_providers_words() {
    let run = open().await;
    let body =
        json!([receipt(&id("aliyun"), true), receipt(&id("aliyun"), false), receipt(&id("aliyun"), true)]);
    let (status, said) = run.pushed("receipts/aliyun", body).await;
    assert_eq!((status, said.contains("\"code\":0") || said.contains("\"code\": 0")), (200, true), "{said}");
    let body = json!([{"user_receive_time": "2026-03-01 11:59:00", "nationcode": "86", "mobile": PHONE,
        "report_status": "SUCCESS", "errmsg": "DELIVRD", "description": "", "sid": "sid-1"}]);
    assert_eq!(run.pushed("receipts/tencent", body).await, (200, r#"{"result":0,"errmsg":"OK"}"#.into()));
    let written = run.house.written();
    assert_eq!(written.len(), 4);
    assert_eq!(written[0].answer_id, written[2].answer_id, "doubled");
    assert_eq!((written[1].says, written[1].class), (Says::Failed, Some(FailureClass::Transient)));
    assert_eq!(written[1].code.as_deref(), Some("MOBILE_NOT_ON_SERVICE"));
    assert_eq!(written[3].delivery_id, Some(id("tencent")));
    assert!(
        written.iter().all(|a| a.kind == AnswerKind::Receipt && a.received_at == NOON && a.said_at.is_some())
    );
    assert_eq!(run.counts.get(Outcome::Taken), 4);
}

#[tokio::test]
async fn a_yes_is_said_after_it_is_durable_and_not_before() {
    let run = open().await;
    run.house.broken.store(true, Ordering::SeqCst);
    let body = json!([receipt(&id("aliyun"), true)]);
    let answer = run.post(&format!("{SECRET}/receipts/aliyun"), body.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "30");
    assert!(
        run.said(run.client.post(run.link("aliyun")).body("answer=acknowledged"))
            .await
            .1
            .contains("尚未记录")
    );
    assert!(run.house.written().is_empty());
    run.house.broken.store(false, Ordering::SeqCst);
    assert_eq!(run.pushed("receipts/aliyun", body).await.0, 200);
    assert_eq!(run.house.written().len(), 1);
}

#[tokio::test]
async fn ten_thousand_forged_ids_leave_nothing_but_a_count() {
    let run = open().await;
    for chunk in 0..50 {
        let forged: Vec<_> = (0..200).map(|n| receipt(&format!("FORGED{chunk}-{n}"), true)).collect();
        let old = json!(forged).to_string().replace("2026-03-01", "2025-03-01");
        assert_eq!(run.said(run.post(&format!("{SECRET}/receipts/aliyun"), old)).await.0, 200);
    }
    assert_eq!(run.counts.get(Outcome::Unknown), 10_000);
    assert_eq!(run.counts.get(Outcome::Taken), 0);
    assert!(run.house.written().is_empty());
    assert_eq!(run.door.remembered(), 1);
    // Another gateway's id is none of this one's.
    let old = json!([receipt(&id("tencent"), true)]).to_string().replace("2026-03-01", "2025-03-01");
    assert_eq!(run.said(run.post(&format!("{SECRET}/receipts/aliyun"), old)).await.0, 200);
    assert!(run.house.written().is_empty());
}

#[tokio::test]
async fn a_young_receipt_that_overtakes_its_record_is_asked_for_again() {
    let run = open().await;
    let body = json!([receipt(&id("aliyun"), true), receipt("NOT-YET", true)]);
    let answer = run.post(&format!("{SECRET}/receipts/aliyun"), body.to_string()).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (503, &"60".parse().unwrap()));
    // What is known of it is written all the same; again it is the same record.
    assert_eq!(run.house.written().len(), 1);
    let mut case = run.house.case(&id("aliyun")).unwrap();
    case.delivery_id = "NOT-YET".into();
    run.house.cases.lock().unwrap().insert("NOT-YET".into(), case);
    assert_eq!(run.pushed("receipts/aliyun", body).await.0, 200);
    let ids: Vec<_> = run.house.written().iter().map(|a| a.answer_id.clone()).collect();
    assert_eq!((ids.len(), ids[0] == ids[1]), (3, true));
}

#[tokio::test]
async fn nothing_is_turned_away_for_good_before_all_is_read_that_we_gave() {
    let run = open().await;
    run.house.reads.store(true, Ordering::SeqCst);
    let reply = json!([{"phone_number": PHONE, "send_time": "2026-03-01 11:00:00", "content": "1"}]);
    let old = json!([receipt("UNKNOWN", true)]).to_string().replace("2026-03-01", "2025-03-01");
    for (path, body) in [("replies/aliyun", reply.to_string()), ("receipts/aliyun", old)] {
        let answer = run.post(&format!("{SECRET}/{path}"), body).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["retry-after"]),
            (503, &"60".parse().unwrap())
        );
    }
    let wrong = run.post("wrong-secret/replies/aliyun", reply.to_string()).send().await.unwrap();
    assert_eq!(wrong.status(), 404, "who does not know the secret learns nothing");
    for request in
        [run.client.get(run.link("aliyun")), run.client.post(run.link("aliyun")).body("answer=acknowledged")]
    {
        let (status, page) = run.said(request).await;
        assert!(status == 503 && page.contains("正在启动") && !page.contains("<button"), "{page}");
    }
    assert!(run.house.written().is_empty());
    run.house.reads.store(false, Ordering::SeqCst);
    assert_eq!(run.pushed("replies/aliyun", reply).await.0, 200);
    assert_eq!(run.house.written().len(), 1);
}

#[tokio::test]
async fn a_reply_is_its_meaning_and_the_hash_of_a_known_phone() {
    let run = open().await;
    let up = |phone: &str, text: &str| json!({"phone_number": phone, "send_time": "2026-03-01 11:00:00", "content": text});
    let body = json!([
        up(PHONE, "回复１。编号000000901"),
        up("13900000000", "收到"),
        up(PHONE, "没收到，张三的电话13811112222")
    ]);
    assert_eq!(run.pushed("replies/aliyun", body).await.0, 200);
    let body = json!({"extend": "", "mobile": PHONE, "nationcode": "86", "sign": "永康人社", "text": "不是我单位", "time": 1_772_330_000});
    assert_eq!(run.pushed("replies/tencent", body).await, (200, r#"{"result":0,"errmsg":"OK"}"#.into()));
    let written = run.house.written();
    let says: Vec<_> = written.iter().map(|a| (a.says, a.case_no.as_deref())).collect();
    assert_eq!(says, [(Says::Acknowledged, Some("000000901")), (Says::Other, None), (Says::NotOurs, None)]);
    for answer in &*written {
        assert_eq!((&answer.delivery_id, &answer.phone_hash), (&None, &hasher().number(PHONE)));
        let shown = serde_json::to_string(answer).unwrap() + &format!("{answer:?}");
        assert!(
            !shown.contains(PHONE) && !shown.contains("张三") && !shown.contains("13811112222"),
            "{shown}"
        );
    }
    assert_eq!(run.counts.get(Outcome::Unknown), 1);
}

#[tokio::test]
async fn whoever_does_not_know_the_secret_or_stands_elsewhere_finds_nothing() {
    let run = open().await;
    let body = json!([receipt(&id("aliyun"), true)]).to_string();
    let wrong = SECRET.replace('o', "0");
    for path in [
        format!("{wrong}/receipts/aliyun"),
        format!("{}/receipts/aliyun", &SECRET[..31]),
        format!("{SECRET}/receipts/nobody"),
        format!("{SECRET}/receipts"),
        format!("{SECRET}/other/aliyun"),
        "receipts/aliyun".into(),
        "a/receipts/aliyun".into(),
        String::new(),
    ] {
        assert_eq!(run.said(run.post(&path, body.clone())).await, (404, String::new()), "{path}");
    }
    let get = run.client.get(format!("{}/{SECRET}/receipts/aliyun", run.base));
    assert_eq!(run.said(get).await, (404, String::new()));
    let far = super::tests::run("10.0.0.0/8", None, Rates::default()).await;
    assert_eq!(far.said(far.post(&format!("{SECRET}/receipts/aliyun"), body)).await, (404, String::new()));
    assert_eq!(far.counts.get(Outcome::WrongAddress), 1);
    assert_eq!(run.counts.get(Outcome::WrongSecret), 3);
    assert!(run.house.written().is_empty() && far.house.written().is_empty());
}

#[tokio::test]
async fn a_proxy_is_believed_only_where_it_is_ours_and_only_from_the_right() {
    let body = json!([receipt(&id("aliyun"), true)]).to_string();
    let header = "x-forwarded-for";
    let through =
        |networks: &str| Some(Proxy { networks: vec![networks.parse().unwrap()], header: header.into() });
    let trusted = run("203.0.113.0/24", through("127.0.0.0/8"), Rates::default()).await;
    for (said, expected) in [
        ("203.0.113.9", 200),
        ("203.0.113.9, 127.0.0.2", 200),
        // What the asker wrote himself stands further left.
        ("203.0.113.9, 198.51.100.1", 404),
        ("198.51.100.1, 203.0.113.9", 200),
        ("203.0.113.9, nonsense", 404),
        ("", 404),
    ] {
        let request = trusted.post(&format!("{SECRET}/receipts/aliyun"), body.clone()).header(header, said);
        assert_eq!(trusted.said(request).await.0, expected, "{said}");
    }
    let without = trusted.post(&format!("{SECRET}/receipts/aliyun"), body.clone());
    assert_eq!(trusted.said(without).await.0, 404, "the proxy itself is no gateway");
    // Nobody's proxy: the header is the asker's own word.
    for proxy in [None, through("192.0.2.0/24")] {
        let direct = run("203.0.113.0/24", proxy, Rates::default()).await;
        let request =
            direct.post(&format!("{SECRET}/receipts/aliyun"), body.clone()).header(header, "203.0.113.9");
        assert_eq!(direct.said(request).await.0, 404);
    }
}

#[tokio::test]
async fn too_much_is_turned_away() {
    let run = run("127.0.0.0/8", None, rates(3, 5)).await;
    let path = format!("{SECRET}/receipts/aliyun");
    for expected in [200, 400, 413, 429, 429, 429] {
        let body = match expected {
            400 => "{".into(),
            413 => " ".repeat(MAX_BODY_BYTES + 1),
            _ => json!([receipt(&id("aliyun"), true)]).to_string(),
        };
        assert_eq!(run.said(run.post(&path, body)).await.0, expected);
    }
    // Whoever looks at pages has another measure.
    assert_eq!(run.said(run.client.get(run.link("aliyun"))).await.0, 200);
    assert_eq!(run.house.written().len(), 1);
    let counted = |outcome| run.counts.get(outcome);
    assert_eq!([Outcome::TooMany, Outcome::TooLarge, Outcome::Unreadable].map(counted), [3, 1, 1]);
}

#[test]
fn peers_are_remembered_up_to_a_number() {
    let door = Door::new(Secret::new(SECRET), vec![], None, Rates { peers: 100, ..Rates::default() });
    let empty = axum::http::HeaderMap::new();
    let from = |n: u32| std::net::IpAddr::from(std::net::Ipv4Addr::from(n));
    let let_in = (0..900).filter(|n| door.browser(from(*n), &empty).is_ok()).count();
    assert!((100..900).contains(&let_in) && door.remembered() <= 100, "{let_in} {}", door.remembered());
}

#[test]
fn one_who_asks_a_thousand_times_takes_nothing_from_the_others() {
    let door = Door::new(Secret::new(SECRET), vec![], None, rates(3, 20));
    let empty = axum::http::HeaderMap::new();
    let from = |n: u32| std::net::IpAddr::from(std::net::Ipv4Addr::from(n));
    let let_in = (0..1_000).filter(|_| door.browser(from(1), &empty).is_ok()).count();
    assert!((3..20).contains(&let_in), "{let_in}");
    assert!(door.browser(from(2), &empty).is_ok());
}

#[tokio::test]
async fn a_page_shows_the_case_and_looking_at_it_answers_nothing() {
    let run = open().await;
    for _ in 0..3 {
        let answer = run.client.get(run.link("aliyun")).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["cache-control"]),
            (200, &"no-store".parse().unwrap())
        );
        assert!(answer.headers().contains_key("content-security-policy"));
        let page = answer.text().await.unwrap();
        for part in ["工伤登记告知", "编号：000000901", "收到", "不是我单位", "0579-12345", "&lt;b&gt;3月1日"]
        {
            assert!(page.contains(part), "{part}: {page}");
        }
    }
    assert_eq!(run.said(run.client.head(run.link("aliyun"))).await.0, 200);
    assert!(run.house.written().is_empty());
}

#[tokio::test]
async fn a_button_answers_once_and_a_second_one_is_told_whom_to_call() {
    let run = open().await;
    let press = |body: &'static str| run.client.post(run.link("aliyun")).body(body);
    for wrong in ["", "answer=delivered", "answer=acknowledged&answer=not_ours"] {
        assert_eq!(run.said(press(wrong)).await.0, 400, "{wrong}");
    }
    let (status, page) = run.said(press("answer=not_ours")).await;
    assert!(status == 200 && page.contains("已记录：不是我单位"), "{page}");
    for second in ["answer=acknowledged", "answer=not_ours"] {
        let (status, page) = run.said(press(second)).await;
        assert!(
            status == 200 && page.contains("您已回复：不是我单位") && page.contains("0579-12345"),
            "{page}"
        );
        assert!(!page.contains("<button"));
    }
    assert!(run.said(run.client.get(run.link("aliyun"))).await.1.contains("您已回复"));
    let written = run.house.written();
    assert_eq!(written.len(), 1);
    assert_eq!((written[0].kind, written[0].says), (AnswerKind::Link, Says::NotOurs));
    assert_eq!(written[0].delivery_id, Some(id("aliyun")));
}

#[tokio::test]
async fn a_link_that_has_ended_or_is_not_ours_says_so() {
    let run = open().await;
    run.house.now.store(NOON.day().plus(1).midnight().0, Ordering::SeqCst);
    for request in
        [run.client.get(run.link("aliyun")), run.client.post(run.link("aliyun")).body("answer=acknowledged")]
    {
        let (status, page) = run.said(request).await;
        assert!(status == 410 && page.contains("已过期") && page.contains("0579-12345"), "{page}");
    }
    let forgotten =
        signer().token(&delivery_id("B", Role::Owner, "s", "x", &[]), Day(NOON.day().0 + 9)).unwrap();
    assert_eq!(run.said(run.client.get(format!("{}/a/{forgotten}", run.base))).await.0, 410);
    for token in ["x", &"A".repeat(30), "%3Cscript%3E"] {
        let (status, page) = run.said(run.client.get(format!("{}/a/{token}", run.base))).await;
        assert!(status == 404 && page.contains("链接无效") && !page.contains("<script"), "{token}: {page}");
    }
    assert!(run.house.written().is_empty());
}

#[tokio::test]
async fn the_webhooks_answers_are_signed_as_ours_are() {
    use hmac::{Hmac, Mac};
    let run = open().await;
    let send = |body: &serde_json::Value, key: &str, seconds: i64| {
        let body = body.to_string();
        // Computed here from the specification, not by the code under test.
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).unwrap();
        mac.update(format!("m1.{seconds}.{body}").as_bytes());
        let signature = format!("v1,{}", data_encoding::BASE64.encode(&mac.finalize().into_bytes()));
        let request = run.post(&format!("{SECRET}/answers/webhook"), body);
        let request = request.header("webhook-id", "m1").header("webhook-timestamp", seconds.to_string());
        request.header("webhook-signature", format!("v1,AAAA {signature}"))
    };
    let now = NOON.0 / 1000;
    let body = json!({"idempotency_key": id("webhook"), "answer": "acknowledged", "at": "2026-03-01T11:58:00+08:00"});
    assert_eq!(run.said(send(&body, HOOK, now)).await, (200, r#"{"taken":true}"#.into()));
    assert_eq!(run.said(send(&body, "another key", now)).await.0, 401);
    assert_eq!(run.said(send(&body, HOOK, now - 301)).await.0, 401);
    assert_eq!(run.said(run.post(&format!("{SECRET}/answers/webhook"), body.to_string())).await.0, 401);
    let failed = json!({"idempotency_key": id("webhook"), "answer": "failed", "code": "MBBLACK"});
    assert_eq!(run.said(send(&failed, HOOK, now)).await.0, 200);
    let other = json!({"idempotency_key": id("aliyun"), "answer": "acknowledged"});
    assert_eq!(run.said(send(&other, HOOK, now)).await.0, 404);
    let odd = json!({"idempotency_key": id("webhook"), "answer": "perhaps"});
    assert_eq!(run.said(send(&odd, HOOK, now)).await.0, 400);
    let says: Vec<_> = run.house.written().iter().map(|a| (a.says, a.class)).collect();
    assert_eq!(says, [(Says::Acknowledged, None), (Says::Failed, Some(FailureClass::Permanent))]);
}

#[tokio::test]
async fn half_a_request_holds_nobody_up() {
    let run = open().await;
    let address: SocketAddr = run.base.trim_start_matches("http://").parse().unwrap();
    let mut half = tokio::net::TcpStream::connect(address).await.unwrap();
    half.write_all(b"POST / HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    assert_eq!(run.pushed("receipts/aliyun", json!([receipt(&id("aliyun"), true)])).await.0, 200);
    // It ends by itself, within the time that a head may take.
    let mut rest = Vec::new();
    half.read_to_end(&mut rest).await.unwrap();
}
