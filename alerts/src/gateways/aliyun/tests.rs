use serde_json::{Value, json};

use super::*;
use crate::gateways::Fate;
use crate::gateways::tests::{NOW, answer, call, gateway, message, settings, told, vector};

#[test]
fn the_signatures_are_those_of_the_vectors() {
    for id in ["acs3_doc", "acs3_sms"] {
        let v = vector(id);
        let text = |name: &str| v[name].as_str().unwrap();
        let parameters: Vec<(&str, &str)> =
            v["query"].as_object().unwrap().iter().map(|(k, v)| (k.as_str(), v.as_str().unwrap())).collect();
        let query = sign::query(&parameters);
        let signed = sign::Signed {
            method: "POST",
            host: text("host"),
            query: &query,
            action: text("action"),
            version: text("version"),
            date: text("date"),
            nonce: text("nonce"),
        };
        let hashed = sign::hashed_canonical(&signed);
        assert_eq!(hashed, text("hashed_canonical"), "{id}");
        assert_eq!(sign::signature(&hashed, text("sk")), text("signature"), "{id}");
    }
}

#[test]
fn a_whole_request_is_that_of_the_vector() {
    let v = vector("acs3_sms");
    let text = |name: &str| v[name].as_str().unwrap().to_owned();
    let mut settings = settings("aliyun", &text("sk"));
    settings.values["sign_name"] = v["query"]["SignName"].clone();
    settings.values["templates"] = json!({"T1": {"id": v["query"]["TemplateCode"], "slots": ["customer"]}});
    let made = make(&settings).unwrap();
    let mut message = message("15300000001");
    message.idempotency_key = "123".into();
    message.slots = vec![("customer", "test".into())];
    let date: jiff::Timestamp = text("date").parse().unwrap();
    let nonce = text("nonce");
    let call = Call { now: Instant(date.as_millisecond()), nonce: &nonce, token: None };
    let request = made.request(&message, &call).unwrap();
    let headers: std::collections::BTreeMap<_, _> = request.headers.iter().cloned().collect();
    assert!(headers["authorization"].ends_with(&format!("Signature={}", text("signature"))));
    assert_eq!(headers["x-acs-date"], text("date"));
    // Read back by a URL parser, the query is the vector's.
    let sent: Value = request.url.query_pairs().map(|(k, v)| (k.into_owned(), Value::from(&*v))).collect();
    assert_eq!(sent, v["query"]);
    assert!(request.body.is_empty() && request.url.path() == "/");
}

#[test]
fn what_cannot_be_carried_is_not_sent() {
    let made = gateway("aliyun");
    let refused = |change: fn(&mut Outgoing)| {
        let mut message = message("13800138000");
        change(&mut message);
        told(&made.request(&message, &call("n")).unwrap_err())
    };
    assert_eq!(refused(|m| m.to = "ding-user".into()), "permanent not_a_mobile_number");
    assert_eq!(refused(|m| m.template = "T99".into()), "permanent no_approved_template");
    assert_eq!(refused(|m| m.slots.clear()), "permanent slot_without_value");
    assert_eq!(refused(|m| m.slots[0].1 = "字".repeat(36)), "permanent slot_too_long_or_empty");
}

#[test]
fn only_ok_in_the_body_of_a_2xx_is_a_yes() {
    let made = gateway("aliyun");
    let day_left = 16 * 3_600_000;
    for (status, body, expected) in [
        (200, r#"{"Code":"OK","BizId":"9006^1","Message":"OK"}"#, "accepted 9006^1".to_owned()),
        (500, r#"{"Code":"OK","BizId":"9006^1"}"#, "unknown http_500".into()),
        (200, r#"{"Code":"ok"}"#, "unknown unknown_code".into()),
        (200, r#"{"Message":"OK"}"#, "unknown unreadable_answer".into()),
        (200, r#"{"Code":"OK","Biz"#, "unknown unreadable_answer".into()),
        (200, "<html>OK</html>", "unknown unreadable_answer".into()),
        (
            200,
            r#"{"Code":"isv.BUSINESS_LIMIT_CONTROL","Message":"触发天级流控Permits:50"}"#,
            format!("window isv.BUSINESS_LIMIT_CONTROL {day_left}"),
        ),
        (
            200,
            r#"{"Code":"isv.BUSINESS_LIMIT_CONTROL","Message":"触发小时级流控Permits:5"}"#,
            "window isv.BUSINESS_LIMIT_CONTROL 3600000".into(),
        ),
        (400, r#"{"Code":"SignatureDoesNotMatch"}"#, "account SignatureDoesNotMatch".into()),
        (403, r#"{"Code":"Forbidden.RAM"}"#, "account Forbidden".into()),
        (400, r#"{"Code":"SignatureNonceUsed"}"#, "unknown SignatureNonceUsed".into()),
        (503, r#"{"Code":"Throttling.User"}"#, "transient Throttling".into()),
        (200, r#"{"Code":"isp.SYSTEM_ERROR"}"#, "transient isp.SYSTEM_ERROR".into()),
        (200, r#"{"Code":"isv.OUT_OF_SERVICE"}"#, "account isv.OUT_OF_SERVICE".into()),
        (200, r#"{"Code":"isv.MOBILE_NUMBER_ILLEGAL"}"#, "permanent isv.MOBILE_NUMBER_ILLEGAL".into()),
        (200, r#"{"Code":"isv.NEVER_HEARD_OF"}"#, "unknown unknown_code".into()),
    ] {
        let verdict = made.response(&message("13800138000"), &answer(status, body), NOW, Standing::Unproven);
        assert_eq!(told(&verdict), expected, "{status} {body}");
    }
}

fn question(sent_at: Instant) -> Question {
    Question { delivery_id: "DELIVERY".into(), to: "13800138000".into(), sent_at, gateway_ref: None }
}

fn page(total: u32, rows: &[(&str, i64)]) -> Answer {
    let rows: Vec<_> = rows
        .iter()
        .map(|(id, status)| json!({"OutId": id, "SendStatus": status, "ErrCode": "MBBLACK"}))
        .collect();
    let body = json!({"Code": "OK", "TotalCount": total.to_string(), "SmsSendDetailDTOs": {"SmsSendDetailDTO": rows}});
    answer(200, &body.to_string())
}

#[test]
fn a_message_is_found_by_our_own_id() {
    let made = gateway("aliyun");
    let asks = made.asks().unwrap();
    let ask = |answer: &Answer| asks.response(&question(NOW), 0, answer, NOW);
    let known = |fate| Told::Known { fate, gateway_ref: None };
    assert_eq!(ask(&page(2, &[("OTHER", 3), ("DELIVERY", 1)])), known(Fate::Accepted));
    assert_eq!(ask(&page(1, &[("DELIVERY", 2)])), known(Fate::Failed("MBBLACK".into())));
    // Sent twice: one that reached the phone counts most, and one that failed least.
    assert_eq!(ask(&page(2, &[("DELIVERY", 3), ("DELIVERY", 2)])), known(Fate::Delivered));
    assert_eq!(ask(&page(2, &[("DELIVERY", 2), ("DELIVERY", 1)])), known(Fate::Accepted));
    assert_eq!(ask(&page(1, &[("OTHER", 3)])), Told::NotFound);
    assert_eq!(ask(&page(51, &[("OTHER", 3)])), Told::NextPage(1));
    assert!(matches!(ask(&answer(200, r#"{"Code":"isv.OUT_OF_SERVICE"}"#)), Told::CannotTell(_)));
    assert!(matches!(ask(&answer(200, r#"{"Code":"OK"}"#)), Told::CannotTell(_)), "no count is no answer");
    assert!(matches!(ask(&answer(502, "<html>")), Told::CannotTell(_)));
}

#[test]
fn near_midnight_both_days_are_looked_through() {
    let made = gateway("aliyun");
    let asks = made.asks().unwrap();
    let midnight = NOW.day().plus(1).midnight();
    let dates = |sent_at: Instant, now: Instant| {
        let asked = [0, request::SECOND_DAY].map(|page| {
            let request = asks.request(&question(sent_at), page, &Call { now, ..call("n") })?;
            let date = request.url.query_pairs().find(|(name, _)| name == "SendDate")?.1.into_owned();
            Some(date)
        });
        asked.into_iter().flatten().collect::<Vec<_>>()
    };
    assert_eq!(dates(NOW, NOW), ["20260101"]);
    let told = |at, page_no, now| asks.response(&question(at), page_no, &page(0, &[]), now);
    for at in [midnight.plus_millis(-1000), midnight.plus_millis(1000)] {
        assert_eq!(dates(at, at), ["20260101", "20260102"]);
        assert_eq!(told(at, 0, at), Told::NextPage(request::SECOND_DAY));
        assert_eq!(told(at, request::SECOND_DAY, at), Told::NotFound);
    }
    // A clock that was set back since: today is looked through, and not to find it there proves nothing.
    let ahead = NOW.plus_millis(5 * 86_400_000);
    assert_eq!(dates(ahead, NOW), ["20260101"]);
    assert!(
        matches!(told(ahead, 0, NOW), Told::CannotTell(v) if super::super::tests::told(&v) == "unknown sent_in_the_future")
    );
}

#[test]
fn receipts_are_read_whole_or_not_at_all() {
    let made = gateway("aliyun");
    let pushes = made.pushes().unwrap();
    let body = json!([
        {"phone_number": "13800138000", "send_time": "2026-01-01 08:00:00", "report_time": "2026-01-01 08:00:05",
         "success": true, "err_code": "DELIVERED", "err_msg": "", "sms_size": "1", "biz_id": "9006^1", "out_id": "D1"},
        {"phone_number": "13800138000", "success": false, "err_code": "MBBLACK", "biz_id": "9006^2", "out_id": ""},
    ]);
    let receipts = pushes.receipts(body.to_string().as_bytes()).unwrap();
    let first = Receipt {
        delivery_id: Some("D1".into()),
        gateway_ref: Some("9006^1".into()),
        fate: Fate::Delivered,
        at: Some(NOW.plus_millis(5000)),
    };
    let second = Receipt {
        delivery_id: None,
        gateway_ref: Some("9006^2".into()),
        fate: Fate::Failed("MBBLACK".into()),
        at: None,
    };
    assert_eq!(receipts, [first, second]);
    for bad in [r#"{"biz_id":"1"}"#, r#"[{"biz_id":"1","success":true},{"biz_id":"2"}]"#, "", "[1]"] {
        let error = pushes.receipts(bad.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("expected a JSON array") && !error.contains("biz_id\":"), "{error}");
    }
}
