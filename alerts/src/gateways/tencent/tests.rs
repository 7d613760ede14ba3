use serde_json::json;

use super::*;
use crate::gateways::Fate;
use crate::gateways::tests::{NOW, answer, call, gateway, message, told, vector};

#[test]
fn the_signatures_are_those_of_the_vectors() {
    let whole = vector("tc3_doc_masked");
    for id in ["tc3_doc_masked", "tc3_doc_example_key", "tc3_sms"] {
        let v = vector(id);
        // A vector that is the same as another one but for the key names that one alone.
        let field = |name: &str| if v[name].is_null() { whole[name].clone() } else { v[name].clone() };
        let text = |name: &str| field(name).as_str().unwrap().to_owned();
        assert_eq!(text("content_type"), sign::CONTENT_TYPE);
        let (host, service, payload) = (text("host"), text("service"), text("payload"));
        let signed = sign::Signed {
            host: &host,
            service: &service,
            at: Instant(field("ts").as_i64().unwrap() * 1000),
            payload: payload.as_bytes(),
        };
        assert_eq!(sign::hashed_canonical(&signed), text("hashed_canonical"), "{id}");
        assert_eq!(sign::signature(&signed, &text("sk")), text("signature"), "{id}");
    }
}

#[test]
fn the_day_that_is_signed_is_that_of_utc() {
    let signed = sign::Signed { host: "h", service: "sms", at: NOW.plus_millis(-1), payload: b"" };
    // 2026-01-01T07:59:59.999+08:00 is still the year before in UTC.
    assert!(sign::authorization(&signed, "id", "key").contains("Credential=id/2025-12-31/sms/tc3_request,"));
}

#[test]
fn what_is_signed_is_what_is_sent() {
    let made = gateway("tencent");
    let request = made.request(&message("13800138000"), &call("n")).unwrap();
    let headers: std::collections::BTreeMap<_, _> = request.headers.iter().cloned().collect();
    let host = request.url.host_str().unwrap().to_owned();
    let signed = sign::Signed { host: &host, service: "sms", at: NOW, payload: &request.body };
    assert_eq!(headers["authorization"], sign::authorization(&signed, "id", "testSecret"));
    assert_eq!(headers["content-type"], sign::CONTENT_TYPE);
    assert_eq!(headers["x-tc-timestamp"], (NOW.0 / 1000).to_string());
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(
        body,
        json!({"PhoneNumberSet": ["+8613800138000"], "SmsSdkAppId": "1400006666", "TemplateId": "SMS_1",
            "SignName": "永康人社", "TemplateParamSet": ["3月1日", "000901"], "SessionContext": "DELIVERY"})
    );
}

#[test]
fn a_variable_of_seven_characters_is_one_too_many() {
    let made = gateway("tencent");
    let mut message = message("13800138000");
    message.slots[1].1 = "0000901".into();
    assert_eq!(told(&made.request(&message, &call("n")).unwrap_err()), "permanent slot_too_long_or_empty");
}

fn set(phone: &str, code: &str, context: &str) -> String {
    json!({"Response": {"RequestId": "r", "SendStatusSet": [
        {"SerialNo": "9:9", "PhoneNumber": "+8613900139000", "Code": "Ok", "SessionContext": context},
        {"SerialNo": "5:7", "PhoneNumber": phone, "Fee": 1, "Code": code, "Message": "m",
         "SessionContext": context, "IsoCode": "CN"}]}})
    .to_string()
}

#[test]
fn success_is_read_for_our_phone() {
    let made = gateway("tencent");
    let day_left = 16 * 3_600_000;
    let error = |code: &str| json!({"Response": {"Error": {"Code": code, "Message": "m"}}}).to_string();
    let ours = "+8613800138000";
    for (status, body, expected) in [
        (200, set(ours, "Ok", "DELIVERY"), "accepted 5:7".to_owned()),
        (200, set(ours, "Ok", ""), "accepted 5:7".into()),
        (200, set(ours, "Ok", "ANOTHER"), "unknown answer_to_another_message".into()),
        (200, set("+8613700137000", "Ok", "DELIVERY"), "unknown unreadable_answer".into()),
        (500, set(ours, "Ok", "DELIVERY"), "unknown http_500".into()),
        (200, set(ours, "ok", "DELIVERY"), "unknown unknown_code".into()),
        (
            200,
            set(ours, "LimitExceeded.PhoneNumberDailyLimit", "DELIVERY"),
            format!("window LimitExceeded.PhoneNumberDailyLimit {day_left}"),
        ),
        (
            200,
            set(ours, "LimitExceeded.PhoneNumberThirtySecondLimit", "DELIVERY"),
            "window LimitExceeded.PhoneNumberThirtySecondLimit 30000".into(),
        ),
        (
            200,
            set(ours, "FailedOperation.PhoneNumberInBlacklist", "DELIVERY"),
            "permanent FailedOperation.PhoneNumberInBlacklist".into(),
        ),
        (
            200,
            set(ours, "FailedOperation.InsufficientBalanceInSmsPackage", "DELIVERY"),
            "account FailedOperation.InsufficientBalanceInSmsPackage".into(),
        ),
        (200, error("AuthFailure.SignatureExpire"), "account AuthFailure".into()),
        (200, error("RequestLimitExceeded.IPLimitExceeded"), "transient RequestLimitExceeded".into()),
        (200, error("InternalError.Timeout"), "transient InternalError.Timeout".into()),
        (200, error("InternalError.UnknownError"), "unknown InternalError".into()),
        (200, error("LimitExceeded.AppDailyLimit"), "account LimitExceeded".into()),
        (200, error("Brand.New"), "unknown unknown_code".into()),
        (200, "{\"Response\":{}}".into(), "unknown unreadable_answer".into()),
        (200, "<html>".into(), "unknown unreadable_answer".into()),
    ] {
        let verdict = made.response(&message("13800138000"), &answer(status, &body), NOW, Standing::Unproven);
        assert_eq!(told(&verdict), expected, "{status} {body}");
    }
}

#[test]
fn a_message_is_found_by_its_session_or_its_serial_number() {
    let made = gateway("tencent");
    let asks = made.asks().unwrap();
    let rows = |rows: serde_json::Value| {
        answer(200, &json!({"Response": {"PullSmsSendStatusSet": rows, "RequestId": "r"}}).to_string())
    };
    let question = |gateway_ref: Option<&str>| Question {
        delivery_id: "DELIVERY".into(),
        to: "13800138000".into(),
        sent_at: NOW,
        gateway_ref: gateway_ref.map(Into::into),
    };
    let ask = |r: Option<&str>, answer: &Answer| asks.response(&question(r), 0, answer, NOW);
    let row = |context: &str, serial: &str, status: &str| {
        json!({"SessionContext": context, "SerialNo": serial, "ReportStatus": status, "Description": "DELIVRD",
            "PhoneNumber": "+8613800138000", "UserReceiveTime": 1})
    };
    let known = |fate| Told::Known { fate, gateway_ref: Some("5:7".into()) };
    assert_eq!(ask(None, &rows(json!([row("DELIVERY", "5:7", "SUCCESS")]))), known(Fate::Delivered));
    assert_eq!(
        ask(Some("5:7"), &rows(json!([row("", "5:7", "FAIL")]))),
        known(Fate::Failed("DELIVRD".into()))
    );
    assert_eq!(ask(None, &rows(json!([]))), Told::NotFound);
    assert_eq!(ask(None, &rows(json!([row("ANOTHER", "5:7", "SUCCESS")]))), Told::NotFound);
    // It was sent twice: once in vain, once nobody knows yet; then it reached the phone.
    let (vain, pending) = (row("DELIVERY", "5:6", "FAIL"), row("DELIVERY", "5:7", "PENDING"));
    assert_eq!(ask(None, &rows(json!([vain, pending]))), known(Fate::Accepted));
    let (vain, reached) = (row("DELIVERY", "5:6", "FAIL"), row("DELIVERY", "5:7", "SUCCESS"));
    assert_eq!(ask(None, &rows(json!([reached, vain]))), known(Fate::Delivered));
    // One without a session may be ours, and so may one after the last of a full page.
    let cannot = |told: Told, expected: &str| match told {
        Told::CannotTell(verdict) => assert_eq!(super::super::tests::told(&verdict), expected),
        other => panic!("{other:?}"),
    };
    cannot(ask(None, &rows(json!([row("", "5:7", "SUCCESS")]))), "unknown row_without_our_id");
    // Its number is known, and that one has another.
    assert_eq!(ask(Some("5:7"), &rows(json!([row("", "6:1", "SUCCESS")]))), Told::NotFound);
    let full: Vec<_> = (0..100).map(|n| row("ANOTHER", &format!("6:{n}"), "SUCCESS")).collect();
    cannot(ask(None, &rows(json!(full))), "unknown too_many_rows");
    assert!(matches!(ask(None, &answer(200, r#"{"Response":{}}"#)), Told::CannotTell(_)));
    assert!(asks.request(&question(None), 1, &call("n")).is_none(), "there is one page");
    // Our clock was set back since: it is not asked for a time that is still to come.
    let ahead = Question { sent_at: NOW.plus_millis(86_400_000), ..question(None) };
    let body = asks.request(&ahead, 0, &call("n")).unwrap().body;
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["BeginTime"], NOW.0 / 1000 - 600);
}

#[test]
fn receipts_carry_the_serial_number() {
    let made = gateway("tencent");
    let pushes = made.pushes().unwrap();
    let body = r#"[{"user_receive_time":"2026-01-01 08:00:05","nationcode":"86","mobile":"13800138000",
        "report_status":"SUCCESS","errmsg":"DELIVRD","description":"ok","sid":"5:7"},
        {"report_status":"FAIL","errmsg":"UNDELIV","sid":"5:8"}]"#;
    let receipts = pushes.receipts(body.as_bytes()).unwrap();
    assert_eq!(receipts[0].fate, Fate::Delivered);
    assert_eq!(
        (receipts[0].at, receipts[0].gateway_ref.as_deref()),
        (Some(NOW.plus_millis(5000)), Some("5:7"))
    );
    assert_eq!((&receipts[1].fate, receipts[1].at), (&Fate::Failed("UNDELIV".into()), None));
    assert!(pushes.receipts(br#"[{"report_status":"MAYBE","sid":"1"}]"#).is_err());
}
