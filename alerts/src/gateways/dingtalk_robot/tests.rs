use super::*;
use crate::gateways::tests::{NOW, answer, call, gateway, message, settings, told, vector};

#[test]
fn the_signature_is_that_of_the_vector_and_url_encoded_once() {
    let v = vector("dingtalk_robot");
    let millis: i64 = v["timestamp_ms"].as_str().unwrap().parse().unwrap();
    let secret = v["secret"].as_str().unwrap();
    // The vector's secret has blanks, which no real one has: the signature alone is made with it.
    let mut url = reqwest::Url::parse("https://h/").unwrap();
    url.query_pairs_mut().append_pair("sign", &sign::signature(millis, secret));
    assert_eq!(url.query().unwrap(), format!("sign={}", v["sign_urlencoded"].as_str().unwrap()));
}

#[test]
fn token_time_and_signature_stand_in_the_query() {
    let made = make(&settings("dingtalk_robot", "SEC1")).unwrap();
    let request = made.request(&message("nobody"), &call("n")).unwrap();
    let query: Vec<_> = request.url.query_pairs().map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
    let expected = [
        ("access_token", "SEC1".to_owned()),
        ("timestamp", NOW.0.to_string()),
        ("sign", sign::signature(NOW.0, "SEC1")),
    ];
    assert_eq!(query, expected.map(|(k, v)| (k.to_owned(), v)));
    let body = String::from_utf8(request.body).unwrap();
    assert!(body.contains("登记工伤1起") && !body.contains("nobody"), "{body}");
}

#[test]
fn success_is_errcode_zero_in_a_2xx() {
    let made = gateway("dingtalk_robot");
    for (status, body, expected) in [
        (200, r#"{"errcode":0,"errmsg":"ok"}"#, "accepted -"),
        (500, r#"{"errcode":0}"#, "unknown http_500"),
        (200, r#"{"errcode":"0"}"#, "unknown unreadable_answer"),
        (200, r#"{"errmsg":"ok"}"#, "unknown unreadable_answer"),
        (200, r#"{"errcode":130101,"errmsg":"send too fast"}"#, "window 130101 600000"),
        (200, r#"{"errcode":310000,"errmsg":"sign not match"}"#, "account 310000"),
        (200, r#"{"errcode":-1}"#, "transient -1"),
        (200, r#"{"errcode":460101}"#, "permanent 460101"),
        (200, r#"{"errcode":999999}"#, "unknown unknown_code"),
    ] {
        let verdict = made.response(&message("x"), &answer(status, body), NOW, Standing::Unproven);
        assert_eq!(told(&verdict), expected, "{status} {body}");
    }
}

#[test]
fn a_text_over_the_limit_is_not_sent() {
    let mut long = message("x");
    long.text = "字".repeat(6667);
    let refused = gateway("dingtalk_robot").request(&long, &call("n")).unwrap_err();
    assert_eq!(told(&refused), "permanent text_too_long");
}
