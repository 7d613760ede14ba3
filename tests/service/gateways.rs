//! The service on the simulated gateways: SMS with receipts for owners, a robot for townships, and what goes wrong between.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use serde_json::json;
use tocsin_alerts::gateways::find;
use tocsin_alerts::texts::{Template, Texts};
use tocsin_schemas::records::{Delivery, DeliveryState};
use tocsin_schemas::topics;
use tocsin_simulator::{Account, Call, Fault, Gateway, Plan, Simulator};

use crate::house::{AREA, FIRM, House, Running, tocsin, until};

const KEY: &str = "0123456789abcdef0123456789abcdef";
const OWNER: &str = "13800000001";

/// Until it is so, though a gateway is asked only 10 seconds after it has lost its answer.
fn in_time(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Monotonic::now() + Duration::from_secs(90);
    while !so() {
        assert!(Monotonic::now() < deadline, "not within 90 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What Aliyun has approved: every wording, but for these; as the configuration and as the account has it.
fn approved(but: &[&str]) -> (String, Account) {
    let (texts, profile) = (Texts::built_in(), find("aliyun").unwrap().profile);
    let (mut rows, mut account) = (String::new(), Account::default());
    for (id, wording) in Template::ALL.iter().flat_map(|template| texts.wordings(*template)) {
        if but.contains(&id) {
            continue;
        }
        let slots: Vec<&str> = wording.slots().iter().map(|slot| slot.name()).collect();
        let signature = wording.signature().unwrap();
        rows += &format!("{id} = {{ id = \"TPL-{id}\", slots = {slots:?}, sign_name = \"{signature}\" }}\n");
        account.templates.insert(format!("TPL-{id}"), wording.to_approve(profile.marks.unwrap()));
    }
    (rows, account)
}

fn configure(house: &House, base: &str, rows: &str) {
    std::fs::write(house.dir.path().join("key"), KEY).unwrap();
    std::fs::write(house.dir.path().join("account"), Account::default().secret).unwrap();
    let text = format!(
        "[log]\nkind = \"embedded\"\npath = \"log.db\"\n\
         [metrics]\nlisten = \"127.0.0.1:0\"\n\
         [alerts]\nphone_key = {{ file = \"key\" }}\n\
         [alerts.quiet]\nenabled = false\n\
         [alerts.order]\nowner = [\"aliyun\"]\ntownship_duty = [\"dingtalk_robot\"]\n\
         [alerts.gateways.dingtalk_robot]\nendpoint = \"{base}/robot/send\"\nallow_private = true\n\
         access_token = {{ file = \"account\" }}\nsign_secret = {{ file = \"account\" }}\n\
         [alerts.gateways.aliyun]\naccess_key_id = \"simulated\"\naccess_key_secret = {{ file = \"account\" }}\n\
         sign_name = \"永康人社\"\nendpoint = \"{base}\"\nallow_private = true\ntimeout_seconds = 2\n\
         [alerts.answers]\nlisten = \"127.0.0.1:0\"\nsecret = {{ file = \"key\" }}\nallow = [\"127.0.0.1\"]\n\
         public_url = \"https://rs.example.cn\"\nlink_key = {{ file = \"key\" }}\ncall = \"0579-12345\"\n\
         [alerts.gateways.aliyun.templates]\n{rows}"
    );
    std::fs::write(house.config(), text).unwrap();
}

/// The answer of a server that the service said it opened, after this word.
fn asked(run: &Running, after: &str, method: &str, path: &str, body: &str) -> String {
    let said = run.said();
    let address = said.split(after).nth(1).and_then(|text| text.split([' ', '/', '\n']).next()).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Pushes what is due, and says how much was taken.
fn push_receipts(simulator: &Simulator, run: &Running) -> usize {
    let pushed = simulator.due_receipts().into_iter().map(|push| {
        let path = format!("/{KEY}/receipts/{}", push.gateway.as_str());
        asked(run, "address=", "POST", &path, &push.body)
    });
    pushed.filter(|answer| answer.starts_with("HTTP/1.1 200")).count()
}

/// The last state of every delivery, by channel: state, reason, attempts.
fn deliveries(house: &House) -> Vec<(String, DeliveryState, String, u32)> {
    let mut last = std::collections::BTreeMap::new();
    for d in house.all::<Delivery>() {
        last.insert(d.delivery_id.clone(), d);
    }
    let mut all: Vec<_> =
        last.into_values().map(|d| (d.channel, d.state, d.reason.unwrap_or_default(), d.attempt)).collect();
    all.sort();
    all
}

#[test]
fn owners_get_their_sms_and_townships_their_robot_once_whatever_goes_wrong() {
    let (rows, account) = approved(&[]);
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let plan = Plan { receipt_after_ms: (0, 0), ..Plan::default() };
    let simulator = Simulator::new(account, plan, Arc::new(move || i64::try_from(now()).unwrap()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let address = runtime.block_on(simulator.serve((Ipv4Addr::LOCALHOST, 0).into())).unwrap();
    let house = House::embedded();
    configure(&house, &format!("http://{address}"), &rows);
    house.register(None);
    for (role, subject, phone) in [("owner", FIRM, OWNER), ("township_duty", AREA, "13800000002")] {
        let contact = json!({"role": role, "subject": subject, "rank": 1, "name": "某人", "phone": phone, "version": 2});
        house.append(topics::CONTACTS, &format!("{role}|{subject}|1"), &contact, None);
    }
    let run = house.run_caught_up(&[]);
    run.wait_said("answers are taken in");
    run.wait_said("metrics are served");
    let day = tocsin_schemas::time::Instant(i64::try_from(now()).unwrap()).day().plus(-1).to_string();

    // An SMS with our signature and words, by the approved template; its receipt moves the delivery on.
    house.report("a", &day, None);
    until("the owner is told", || simulator.messages().len() == 1);
    let first = simulator.messages().remove(0);
    assert_eq!(
        (first.gateway, &*first.to, first.template.as_deref()),
        (Gateway::Aliyun, OWNER, Some("TPL-T1"))
    );
    let alert = house.alerts().remove(0);
    assert!(
        first.text.starts_with("【永康人社】贵单位") && first.text.contains(&*alert.case_no),
        "{first:?}"
    );
    until("it is accepted", || deliveries(&house).iter().any(|d| d.1 == DeliveryState::Accepted));
    assert_eq!(push_receipts(&simulator, &run), 1);
    until("it is delivered", || {
        deliveries(&house) == [("aliyun".to_owned(), DeliveryState::Delivered, String::new(), 1)]
    });

    // Now the answer to the SMS is lost, and the robot is busy twice.
    simulator.script(Gateway::Aliyun, Call::Send, &[Fault::AcceptThenDrop]);
    simulator.script(Gateway::DingtalkRobot, Call::Send, &[Fault::Busy, Fault::Busy]);
    house.report("b", &day, None);
    in_time("all of it is settled", || {
        let all = deliveries(&house);
        all.len() == 3
            && all.iter().all(|d| matches!(d.1, DeliveryState::Accepted | DeliveryState::Delivered))
    });
    let all = deliveries(&house);
    let shown: Vec<_> =
        all.iter().map(|(channel, state, _, attempt)| (&**channel, *state, *attempt)).collect();
    let told = DeliveryState::Delivered;
    assert_eq!(
        shown,
        [("aliyun", told, 1), ("aliyun", told, 1), ("dingtalk_robot", DeliveryState::Accepted, 3)]
    );
    // Each phone has each message once: the lost one was asked about, and not sent again.
    let messages = simulator.messages();
    let got = |gateway| messages.iter().filter(|message| message.gateway == gateway).count();
    assert_eq!((got(Gateway::Aliyun), got(Gateway::DingtalkRobot), messages.len()), (2, 1, 3));
    let handled = simulator.handled();
    let calls = |gateway, call| handled.iter().filter(|h| (h.gateway, h.call) == (gateway, call)).count();
    assert_eq!(calls(Gateway::Aliyun, Call::Send), 2);
    assert!(calls(Gateway::Aliyun, Call::Ask) >= 1);
    assert_eq!(calls(Gateway::DingtalkRobot, Call::Send), 3);

    let metrics = asked(&run, "url=http://", "GET", "/metrics", "");
    for line in [
        "tocsin_gateway_open{gateway=\"aliyun\",why=\"down\"} 0",
        "tocsin_gateway_in_flight{gateway=\"dingtalk_robot\"} 0",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    assert_eq!(run.stop(), Some(0));
    let secret = Account::default().secret;
    assert!(!run_said_any(&house, &[&secret, KEY, OWNER]), "a secret or a phone in what was written");
}

/// Whether the ledger holds any of these.
fn run_said_any(house: &House, secrets: &[&str]) -> bool {
    let values = house.records(topics::DELIVERIES).into_iter().filter_map(|record| record.value);
    let texts: Vec<String> = values.map(|value| String::from_utf8_lossy(&value).into_owned()).collect();
    texts.iter().any(|text| secrets.iter().any(|secret| text.contains(secret)))
}

#[test]
fn a_text_that_is_not_approved_and_a_key_that_nobody_knows_stop_the_start() {
    let house = House::embedded();
    let call = |command: &str| {
        let done = tocsin(&[command, "--config", house.config().to_str().unwrap()]);
        let text =
            format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        (done.status.code(), text)
    };
    let (rows, _) = approved(&["T2"]);
    configure(&house, "http://127.0.0.1:9", &rows);
    let (code, said) = call("run");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("[alerts.gateways.aliyun] what is approved are not the texts"), "{said}");
    assert!(said.contains("T2 for aliyun: not_approved"), "{said}");
    let (code, said) = call("check-config");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("ok: [alerts.gateways.dingtalk_robot] can be used"), "{said}");
    assert!(said.contains("T2 for aliyun: not_approved") && said.contains("owner = [\"aliyun\"]"), "{said}");
    assert!(!said.contains(&Account::default().secret) && !said.contains(KEY), "{said}");
    let (rows, _) = approved(&[]);
    configure(&house, "http://127.0.0.1:9", &rows);
    assert_eq!(call("check-config").0, Some(0));
    let config = std::fs::read_to_string(house.config()).unwrap();
    std::fs::write(house.config(), config.replace("access_key_id =", "access_id =")).unwrap();
    let (code, said) = call("run");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("[alerts.gateways.aliyun] unknown field `access_id`"), "{said}");
}
