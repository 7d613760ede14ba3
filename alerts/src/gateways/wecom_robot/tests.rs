use crate::gateways::Standing;
use crate::gateways::tests::{NOW, answer, call, gateway, message, told};

#[test]
fn the_key_stands_in_the_query_and_the_text_in_the_body() {
    let request = gateway("wecom_robot").request(&message("nobody"), &call("n")).unwrap();
    assert_eq!(request.url.as_str(), "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=testSecret");
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body["msgtype"], "text");
    assert_eq!(body["text"]["content"], message("").text);
}

#[test]
fn success_is_errcode_zero_in_a_2xx() {
    let made = gateway("wecom_robot");
    for (status, body, expected) in [
        (200, r#"{"errcode":0,"errmsg":"ok"}"#, "accepted -"),
        (502, r#"{"errcode":0}"#, "unknown http_502"),
        (200, r#"{"errcode":45009,"errmsg":"api freq out of limit"}"#, "window 45009 60000"),
        (200, r#"{"errcode":93000,"errmsg":"invalid webhook url"}"#, "account 93000"),
        (200, r#"{"errcode":40058}"#, "permanent 40058"),
        (200, r#"{"errcode":1}"#, "unknown unknown_code"),
        (200, "", "unknown unreadable_answer"),
    ] {
        let verdict = made.response(&message("x"), &answer(status, body), NOW, Standing::Unproven);
        assert_eq!(told(&verdict), expected, "{status} {body}");
    }
}

#[test]
fn the_limit_is_in_bytes() {
    let (made, mut text) = (gateway("wecom_robot"), message("x"));
    text.text = "字".repeat(682);
    assert!(made.request(&text, &call("n")).is_ok());
    text.text = "字".repeat(683);
    assert_eq!(told(&made.request(&text, &call("n")).unwrap_err()), "permanent text_too_long");
}
