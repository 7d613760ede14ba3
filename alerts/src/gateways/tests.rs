//! What holds for every gateway, and the parts that they share.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use serde_json::json;

use super::guard::{inside, judged};
use super::http::redacted;
use super::limits::segments;
use super::verdict::{Class, Row, find as row};
use super::*;
use crate::channel::Outcome;

/// The vectors of `tests/gateways/vectors.json`, by id.
pub(super) fn vector(id: &str) -> serde_json::Value {
    let all: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("../../tests/gateways/vectors.json")).unwrap();
    all.into_iter().find(|v| v["id"] == id).unwrap()
}

pub(super) const NOW: Instant = Instant(1_767_225_600_000); // 2026-01-01T08:00:00+08:00

pub(super) fn call(nonce: &str) -> Call<'_> {
    Call { now: NOW, nonce, token: None }
}

pub(super) fn message(to: &str) -> Outgoing {
    Outgoing {
        idempotency_key: "DELIVERY".into(),
        to: to.into(),
        text: "【永康人社】贵单位3月1日登记工伤1起".into(),
        template: "T1".into(),
        slots: vec![("day", "3月1日".into()), ("id", "000901".into())],
        alert_id: "A".into(),
        case_no: "000901".into(),
        role: tocsin_schemas::codes::Role::Owner,
        attempt: 1,
        link: None,
    }
}

pub(super) fn answer(status: u16, body: &str) -> Answer {
    Answer { status, retry_after_ms: None, body: Some(body.as_bytes().to_vec()) }
}

/// Class and reason in a line.
pub(super) fn told(verdict: &Verdict) -> String {
    match &verdict.outcome {
        Outcome::Accepted { gateway_ref } => format!("accepted {}", gateway_ref.as_deref().unwrap_or("-")),
        Outcome::Transient { reason, .. } => format!("transient {reason}"),
        Outcome::WindowUsedUp { reason, until } => {
            let after = until.map_or("?".into(), |until| (until.0 - NOW.0).to_string());
            format!("window {reason} {after}")
        }
        Outcome::Account { reason } => format!("account {reason}"),
        Outcome::Text { reason } => format!("text {reason}"),
        Outcome::Permanent { reason } => format!("permanent {reason}"),
        Outcome::Unknown { reason, .. } => format!("unknown {reason}"),
    }
}

/// A section for each gateway, with every secret the same word and the endpoint on loopback.
pub(super) fn settings(name: &str, secret: &str) -> Settings {
    let templates = json!({"T1": {"id": "SMS_1", "slots": ["day", "id"]}});
    let values = match name {
        "aliyun" => json!({"access_key_id": "testId", "sign_name": "永康人社", "templates": templates}),
        "tencent" => json!({"secret_id": "id", "sdk_app_id": "1400006666", "sign_name": "永康人社",
            "templates": templates}),
        "dingtalk_robot" | "wecom_robot" => json!({}),
        "dingtalk_notice" => json!({"app_key": "key", "agent_id": 7}),
        "webhook" => json!({"url": "https://gateway.example/secret-path?key=k"}),
        other => panic!("no section for {other}"),
    };
    let secrets = find(name).unwrap().secrets.iter();
    let secrets = secrets.map(|s| ((*s).to_owned(), Secret::new(secret))).collect();
    Settings { values, secrets, allow_private: false }
}

pub(super) fn gateway(name: &str) -> Arc<dyn Gateway> {
    (find(name).unwrap().make)(&settings(name, "testSecret")).unwrap()
}

#[test]
fn every_line_of_the_table_can_be_made_and_has_a_name_of_its_own() {
    let names: BTreeSet<_> = TABLE.iter().map(|entry| entry.profile.name).collect();
    assert_eq!(names.len(), TABLE.len());
    for name in names {
        let made = gateway(name);
        assert_eq!(made.profile().name, name);
        let askable = made.profile().kind == Kind::Askable;
        let counts = made.profile().not_found_counts_after_seconds;
        // Tencent lists a message only once its carrier has answered: its "not found" proves nothing, ever.
        assert_eq!(counts, (name == "aliyun").then_some(1_800), "{name}");
        assert!(!askable || made.asks().is_some(), "{name} is askable and cannot be asked");
    }
    assert!(find("carrier_pigeon").is_none());
}

#[test]
fn no_secret_phone_or_key_is_printed() {
    for entry in TABLE {
        let name = entry.profile.name;
        let settings = settings(name, "hunter2");
        let made = (entry.make)(&settings).unwrap();
        let message = message("13800138000");
        let token = Secret::new("hunter2");
        let call = Call { token: Some(&token), ..call("n") };
        let request = made.request(&message, &call).unwrap();
        let question = Question {
            delivery_id: "D".into(),
            to: "13800138000".into(),
            sent_at: NOW,
            gateway_ref: Some("7".into()),
        };
        let shown = format!("{made:?} {settings:?} {request:?} {message:?} {question:?} {call:?}");
        for secret in ["hunter2", "13800138000", "secret-path", "工伤"] {
            assert!(!shown.contains(secret), "{name} shows {secret}: {shown}");
        }
    }
}

#[test]
fn a_missing_or_unfit_secret_and_an_unknown_field_are_told() {
    for entry in TABLE.iter().filter(|entry| entry.profile.name != "webhook") {
        let name = entry.profile.name;
        let mut without = settings(name, "x");
        without.secrets.clear();
        assert!(matches!((entry.make)(&without), Err(ConfigError::NoSecret(_))), "{name}");
        let split = (entry.make)(&settings(name, "a b"));
        assert!(matches!(split, Err(ConfigError::BadSecret(_))), "{name}");
        let mut more = settings(name, "x");
        more.values["colour"] = json!("red");
        let error = (entry.make)(&more).err().unwrap().to_string();
        assert!(error.contains("colour"), "{name}: {error}");
    }
}

#[test]
fn requests_go_to_the_gateways_own_hosts_over_tls() {
    let own = &["sms.example"];
    let tried = |url: &str, hosts: &[&str], private| match Endpoint::new(url, hosts, private) {
        Ok(endpoint) => format!("yes, {}", endpoint.host()),
        Err(error) => error.to_string(),
    };
    for (url, hosts, private, expected) in [
        ("https://sms.example/x?key=secret", &own[..], false, "yes, sms.example"),
        ("https://sms.example.evil/secret", own, false, "the host must be one of sms.example"),
        ("https://evil/secret", own, true, "the host must be one of sms.example"),
        ("http://sms.example/secret", own, false, "the url must be https"),
        ("ftp://127.0.0.1/secret", own, true, "the url must be https"),
        ("http://127.0.0.1:9/secret", own, true, "yes, 127.0.0.1:9"),
        ("http://127.0.0.1:9/secret", own, false, "http://127.0.0.1:9/… is a loopback address"),
        ("https://10.1.2.3/secret", &[], false, "https://10.1.2.3/… is a private address"),
        ("https://10.1.2.3/secret", &[], true, "yes, 10.1.2.3"),
        ("https://169.254.169.254/secret", &[], false, "is a link-local address"),
        ("https://[fd00::1]/secret", &[], false, "is a private address"),
        // What a URL parser makes of these is 127.0.0.1.
        ("https://0x7f000001/secret", own, false, "is a loopback address"),
        ("https://2130706433/secret", own, false, "is a loopback address"),
        ("http://127.0.0.1.example/secret", &[], false, "the url must be https"),
        ("http://localhost:8080/secret", &[], false, "yes, localhost:8080"),
        ("http://[::1]:9/", &[], false, "yes, [::1]:9"),
        ("gateway", &[], false, "expected a URL"),
    ] {
        let found = tried(url, hosts, private);
        assert!(found.contains(expected), "{url}: {found}");
        assert!(!found.contains("secret"), "{found}");
    }
}

#[test]
fn addresses_inside_are_known_in_every_dress() {
    for (ip, expected) in [
        ("8.8.8.8", false),
        ("172.15.255.255", false),
        ("172.32.0.1", false),
        ("100.63.0.1", false),
        ("2400:3200::1", false),
        ("0.0.0.0", true),
        ("10.0.0.1", true),
        ("172.16.0.1", true),
        ("172.31.255.255", true),
        ("192.168.1.1", true),
        ("100.64.0.1", true),
        ("127.8.8.8", true),
        ("169.254.169.254", true),
        ("224.0.0.1", true),
        ("255.255.255.255", true),
        ("::", true),
        ("::1", true),
        ("fe80::1", true),
        ("fd12::1", true),
        ("::ffff:10.0.0.1", true),
        ("::ffff:8.8.8.8", false),
        ("64:ff9b::7f00:1", true),
        ("64:ff9b::808:808", false),
        ("2002:a00:1::", true),
        ("2002:c0a8:101::1", true),
        ("2002:808:808::1", false),
        // A NAT64 of the house, whatever it carries; the public one is judged by what it carries.
        ("64:ff9b:1::808:808", true),
        ("64:ff9b:1:ffff:ffff:ffff:808:808", true),
        ("64:ff9b::a00:1", true),
        ("64:ff9b:2::1", false),
        ("fec0::1", true),
        ("feff:ffff::1", true),
        // IPv4-compatible: nobody has used that form since 2006.
        ("::10.0.0.1", true),
        ("::8.8.8.8", true),
        ("::1:0:0:1", false),
        ("::ffff:169.254.169.254", true),
        ("::ffff:127.0.0.1", true),
        ("192.88.99.1", true),
        ("192.88.98.1", false),
        // Teredo: server 8.8.8.8, client 10.0.0.1 (its bits turned).
        ("2001:0:808:808:0:0:f5ff:fffe", true),
        ("2001:0::1", true),
        ("2001:1::1", false),
        ("2001:4860:4860::8888", false),
    ] {
        let ip: IpAddr = ip.parse().unwrap();
        assert_eq!(inside(ip).is_some(), expected, "{ip}");
    }
    let socket = |ip: &str| SocketAddr::new(ip.parse().unwrap(), 443);
    assert!(judged(vec![socket("8.8.8.8")], false).is_ok());
    // One inside address among public ones is enough: whoever answers so wants one of them to be tried.
    assert!(judged(vec![socket("8.8.8.8"), socket("10.0.0.1")], false).is_err());
    assert!(judged(vec![socket("10.0.0.1")], true).is_ok());
}

#[tokio::test]
async fn a_name_that_leads_inside_is_not_connected_to() {
    use reqwest::dns::Resolve;

    let resolved = |allow_private| guard::Resolver { allow_private }.resolve("localhost".parse().unwrap());
    let error = resolved(false).await.err().unwrap().to_string();
    assert!(error.contains("a loopback address") && error.contains("allow_private"), "{error}");
    assert!(resolved(true).await.unwrap().all(|address| address.ip().is_loopback()));
}

/// A client of a webhook at this URL says this of its first message.
async fn said_of(url: &str, allow_private: bool) -> String {
    let config = webhook::WebhookConfig { allow_private, ..webhook::WebhookConfig::new(url) };
    let gateway = Arc::new(webhook::Webhook::new(&config).unwrap());
    let timeouts = send::Timeouts { connect_ms: 30_000, total_ms: 60_000 };
    let post = send::Post::new(gateway, timeouts, Arc::new(crate::clock::SystemClock)).unwrap();
    told(&post.deliver(&message("13800138000")).await)
}

#[tokio::test]
async fn why_there_is_no_connection_is_told_apart() {
    // RFC 6761: this name never leads anywhere.
    assert_eq!(said_of("https://gateway.invalid/send", false).await, "transient dns");
    // A port that nobody listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(said_of(&format!("https://{free}/"), false).await, "transient connection_refused");
    // Who listens does not speak TLS, or breaks it off with an alert (handshake_failure).
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &[0x15, 3, 3, 0, 2, 2, 40]] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(answer).await;
            let _ = stream.read(&mut [0; 1024]).await;
        });
        assert_eq!(said_of(&format!("https://{address}/"), false).await, "transient tls");
    }
}

#[tokio::test]
async fn a_name_that_leads_inside_is_the_operators_and_named() {
    // The machine's own name for loopback; a name with a dot at its end is the same name, and not "localhost" in so
    // many words.
    let leads = guard::Endpoint::new("https://localhost./", &[], false).unwrap();
    if let Ok(Some((_, Some(what)))) = leads.look_up() {
        assert_eq!(what, guard::LeadsInside("a loopback address"));
        assert_eq!(said_of("https://localhost./", false).await, "account leads_inside");
        assert_eq!(said_of("https://localhost.:1/", true).await, "transient connection_refused");
    }
    // Whatever this machine's resolver does: what the client makes of it, by its types.
    let by_types = |error: Box<dyn std::error::Error + Send + Sync>| {
        let wrapped = std::io::Error::other(error);
        told(&send::not_connected(&wrapped))
    };
    let expired = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
    assert_eq!(by_types(expired.into()), "account tls");
    assert_eq!(by_types(rustls::Error::DecryptError.into()), "transient tls");
    assert_eq!(told(&send::not_connected(&guard::LeadsInside("a private address"))), "account leads_inside");
    assert_eq!(told(&send::not_connected(&guard::NoSuchName("x".into()))), "transient dns");
    assert_eq!(by_types("tls, dns".into()), "transient connection_refused");
}

#[test]
fn an_address_is_not_looked_up_and_a_name_that_leads_nowhere_is_told() {
    let look_up = |url: &str| guard::Endpoint::new(url, &[], false).unwrap().look_up();
    assert!(matches!(look_up("https://8.8.8.8/"), Ok(None)));
    assert!(matches!(look_up("https://gateway.invalid/"), Err(guard::NoSuchName(_))));
}

#[test]
fn of_several_rows_a_pending_one_is_not_beaten_by_a_failed_one() {
    use Fate::{Accepted, Delivered, Failed};
    let failed = || Failed("X".into());
    for (rows, expected) in [
        (vec![], None),
        (vec![failed()], Some(failed())),
        (vec![failed(), Accepted, failed()], Some(Accepted)),
        (vec![Delivered, failed(), Accepted], Some(Delivered)),
    ] {
        assert_eq!(Fate::of_rows(rows), expected);
    }
}

#[test]
fn a_status_without_the_gateways_word_is_never_a_yes() {
    for status in 100..600 {
        let verdict = Verdict::of_status(&answer(status, "{}"));
        let class = told(&verdict);
        let expected = match status {
            200..=299 | 408 | 425 | 429 | 500.. => "unknown",
            _ => "account",
        };
        assert!(class.starts_with(expected), "{status}: {class}");
    }
}

/// The examples of gateways.md, "What to do with an error", class by class.
#[test]
fn each_code_falls_in_the_class_that_the_reference_names() {
    let body = |name: &str, code: &str| match name {
        "aliyun" => json!({"Code": code}),
        "tencent" => json!({"Response": {"Error": {"Code": code}}}),
        _ => json!({"errcode": code.parse::<i64>().unwrap()}),
    };
    for (class, gateway_name, codes) in [
        ("transient", "aliyun", &["isp.SYSTEM_ERROR"][..]),
        ("transient", "tencent", &["InternalError.Timeout", "RequestLimitExceeded.UinLimitExceeded"]),
        ("transient", "dingtalk_robot", &["-1"]),
        ("transient", "wecom_robot", &["-1"]),
        ("window", "aliyun", &["isv.BUSINESS_LIMIT_CONTROL"]),
        (
            "window",
            "tencent",
            &["LimitExceeded.PhoneNumberDailyLimit", "LimitExceeded.PhoneNumberOneHourLimit"],
        ),
        ("window", "dingtalk_robot", &["130101"]),
        ("window", "wecom_robot", &["45009"]),
        (
            "account",
            "aliyun",
            &[
                "isv.OUT_OF_SERVICE",
                "isv.DAY_LIMIT_CONTROL",
                "isv.MONTH_LIMIT_CONTROL",
                "isv.SMS_SIGN_ILLEGAL",
                "isv.DENY_IP_RANGE",
                "isp.RAM_PERMISSION_DENY",
            ],
        ),
        (
            "account",
            "tencent",
            &[
                "AuthFailure.SecretIdNotFound",
                "AuthFailure.SignatureExpire",
                "FailedOperation.InsufficientBalanceInSmsPackage",
            ],
        ),
        (
            "permanent",
            "aliyun",
            &["isv.MOBILE_NUMBER_ILLEGAL", "isv.TEMPLATE_MISSING_PARAMETERS", "isv.BLACK_KEY_CONTROL_LIMIT"],
        ),
        (
            "permanent",
            "tencent",
            &["FailedOperation.PhoneNumberInBlacklist", "FailedOperation.ContainSensitiveWord"],
        ),
    ] {
        for code in codes {
            let answer = answer(200, &body(gateway_name, code).to_string());
            let verdict =
                gateway(gateway_name).response(&message("13800138000"), &answer, NOW, Standing::Unproven);
            assert!(told(&verdict).starts_with(class), "{gateway_name} {code}: {}", told(&verdict));
            assert_eq!(verdict.code.as_deref(), Some(*code));
        }
    }
}

#[test]
fn segments_are_counted_as_the_carriers_count() {
    let pairs = vector("sms_segments")["pairs"].clone();
    for pair in pairs.as_array().unwrap() {
        let (chars, expected) = (pair[0].as_u64().unwrap(), pair[1].as_u64().unwrap());
        assert_eq!(segments(usize::try_from(chars).unwrap()) as u64, expected, "{chars}");
    }
    assert_eq!(pairs.as_array().unwrap().len(), 5);
}

#[test]
fn a_code_is_found_exactly_then_by_its_longest_prefix() {
    const ROWS: &[Row] = &[("A*", Class::Account), ("A.B*", Class::Permanent), ("A.B.C", Class::Transient)];
    for (code, expected) in [
        ("A.B.C", Some(Class::Transient)),
        ("A.B.D", Some(Class::Permanent)),
        ("AX", Some(Class::Account)),
        ("B", None),
        ("", None),
    ] {
        assert_eq!(row(ROWS, code).map(|(_, class)| class), expected, "{code}");
    }
    let hostile = format!("x\n\u{7}令{}", "y".repeat(500));
    let verdict = Verdict::of_code(ROWS, &hostile, &answer(200, ""), NOW);
    assert_eq!(told(&verdict), "unknown unknown_code");
    assert_eq!(verdict.code.unwrap(), format!("x{}", "y".repeat(63)));
}

#[test]
fn phones_of_the_mainland_in_their_usual_forms() {
    for good in ["13800138000", "+8613800138000", "8613800138000", "008613800138000", " +86 13800138000 "] {
        assert_eq!(phone::mainland(good), Ok("13800138000"), "{good}");
    }
    for bad in ["", "1380013800", "138001380001", "+85213800138000", "1380013800O", "23800138000"] {
        assert_eq!(told(&phone::mainland(bad).unwrap_err()), "permanent not_a_mobile_number", "{bad}");
    }
}

#[test]
fn a_url_is_shown_without_path_query_or_password() {
    let url = "https://user:pass@gateway.example:8443/secret?key=secret".parse().unwrap();
    assert_eq!(redacted(&url), "https://gateway.example:8443/…");
}
