//! Answers come in at the running service: a page, a button, a restart, and a second server of the same name.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use tocsin_schemas::codes::{AnswerKind, Says};
use tocsin_schemas::records::{Answer, Delivery};

use crate::house::{AT, DAY, House, Running, until};

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn house() -> House {
    let mut house = House::embedded().started();
    std::fs::write(house.dir.path().join("key"), KEY).unwrap();
    let gateway = house.gateway.url.clone();
    let key = "{ file = \"key\" }";
    let more = format!(
        "[alerts]\nphone_key = {key}\n[alerts.answers]\nlisten = \"127.0.0.1:0\"\nsecret = {key}\nallow = [\"127.0.0.1\"]\n\
         public_url = \"https://rs.example.cn\"\nlink_key = {key}\ncall = \"0579-12345\"\n"
    );
    house.configure(&gateway, &more);
    house
}

/// The whole answer to a request of this method.
fn asked(run: &Running, method: &str, path: &str, body: &str) -> String {
    run.wait_said("answers are taken in");
    let said = run.said();
    let address = said.split("address=").nth(1).and_then(|t| t.split_whitespace().next()).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// The path of the link in the newest message.
fn link(house: &House) -> String {
    let calls = house.gateway.calls();
    let link = calls.last().unwrap()["link"].as_str().expect("a link in the message");
    link.strip_prefix("https://rs.example.cn").expect("it begins as configured").to_owned()
}

#[test]
fn a_button_is_an_answer_in_the_log_once_and_after_a_restart_too() {
    let house = house();
    let run = house.run_caught_up(&[]);
    house.report("a", DAY, AT);
    until("the owner is told", || house.gateway.calls().len() == 1);
    let text = house.gateway.calls()[0]["text"].as_str().unwrap().to_owned();
    let link = link(&house);
    let told = house.all::<Delivery>().pop().unwrap().delivery_id;
    until("the page shows what was said", || asked(&run, "GET", &link, "").contains(&text));
    assert_eq!(house.all::<Answer>(), []);
    let pressed = asked(&run, "POST", &link, "answer=not_ours");
    assert!(pressed.starts_with("HTTP/1.1 200") && pressed.contains("已记录：不是我单位"), "{pressed}");
    assert!(asked(&run, "POST", &link, "answer=acknowledged").contains("您已回复：不是我单位"));
    // Forged: neither in the log nor in what the service says.
    let forged = r#"[{"success": true, "biz_id": "1^0", "out_id": "FORGED"}]"#;
    let answer = asked(&run, "POST", &format!("/{KEY}/receipts/aliyun"), forged);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"code\""), "{answer}");
    assert!(asked(&run, "POST", "/wrong/receipts/aliyun", forged).starts_with("HTTP/1.1 404"));
    assert!(!run.said().contains("FORGED") && !run.said().contains(KEY));
    assert_eq!(run.stop(), Some(0));
    let answers = house.all::<Answer>();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!((answers[0].kind, answers[0].says), (AnswerKind::Link, Says::NotOurs));
    assert_eq!(answers[0].delivery_id, Some(told));

    let run = house.run_caught_up(&[]);
    until("it was read back", || asked(&run, "GET", &link, "").contains("您已回复：不是我单位"));
    assert_eq!(run.stop(), Some(0));
}

#[test]
fn a_second_server_of_the_same_name_ends_the_first_one_which_says_what_to_do() {
    let house = house();
    let mut run = house.run_caught_up(&[]);
    house.report("a", DAY, AT);
    until("the owner is told", || house.gateway.calls().len() == 1);
    let link = link(&house);
    until("it is known", || asked(&run, "GET", &link, "").starts_with("HTTP/1.1 200"));
    drop(house.log.writer("answers").unwrap());
    let pressed = asked(&run, "POST", &link, "answer=acknowledged");
    assert!(pressed.starts_with("HTTP/1.1 503") && pressed.contains("尚未记录"), "{pressed}");
    assert_eq!(run.ends_within(std::time::Duration::from_secs(10)), Some(1));
    assert!(run.said().contains("give each server its own [alerts.answers] writer"), "{}", run.said());
    assert_eq!(house.all::<Answer>(), []);
}
