use super::*;
use crate::gateways::tests::{NOW, answer, call, gateway, message, told};

#[test]
fn only_the_gateways_own_yes_is_a_yes() {
    let made = gateway("webhook");
    for (status, body, expected) in [
        (200, r#"{"accepted":true,"ref":"m-1"}"#, "accepted m-1"),
        (202, r#"{"accepted":true,"ref":17}"#, "accepted 17"),
        (200, r#"{"accepted":true}"#, "accepted -"),
        (200, r#"{"accepted":false,"errcode":7}"#, "permanent not_accepted"),
        (200, r#"{"accepted":"true"}"#, "unknown unreadable_answer"),
        (200, r#"{"errcode":40058}"#, "unknown unreadable_answer"),
        (200, r#"[{"accepted":true}]"#, "unknown unreadable_answer"),
        (200, "<html>please log in</html>", "unknown unreadable_answer"),
        (200, "", "unknown unreadable_answer"),
        (302, r#"{"accepted":true}"#, "account http_302"),
        (401, "", "account http_401"),
        (403, r#"{"accepted":true}"#, "account http_403"),
        (407, "", "account http_407"),
        (408, "", "unknown http_408"),
        (425, "", "transient http_425"),
        (429, "", "transient http_429"),
        (500, r#"{"accepted":true}"#, "unknown http_500"),
        (502, "", "unknown http_502"),
        (503, "", "unknown http_503"),
    ] {
        for standing in [Standing::Unproven, Standing::Proven] {
            let verdict = made.response(&message("x"), &answer(status, body), NOW, standing);
            assert_eq!(told(&verdict), expected, "{status} {body:?}");
            assert_eq!(verdict.advice, None);
        }
    }
    let busy = Answer { retry_after_ms: Some(5_000), ..answer(503, "") };
    let verdict = made.response(&message("x"), &busy, NOW, Standing::Unproven);
    assert_eq!((told(&verdict), verdict.retry_after_ms()), ("transient http_503".into(), Some(5_000)));
    let broken = Answer { body: None, ..answer(200, "") };
    assert_eq!(
        told(&made.response(&message("x"), &broken, NOW, Standing::Unproven)),
        "unknown unreadable_answer"
    );
}

#[test]
fn a_no_from_a_receiver_that_never_said_yes_is_not_the_messages_fault() {
    let made = gateway("webhook");
    for status in [400, 404, 405, 410, 413, 415, 422] {
        let verdict =
            |standing| made.response(&message("x"), &answer(status, r#"{"accepted":true}"#), NOW, standing);
        let first = verdict(Standing::Unproven);
        assert_eq!(told(&first), format!("account http_{status}"));
        let advice = first.advice.unwrap();
        assert!(advice.contains("application/cloudevents+json") && advice.contains("docs/gateway.md"));
        let later = verdict(Standing::Proven);
        assert_eq!((told(&later), later.advice), (format!("permanent http_{status}"), None));
    }
}

#[test]
fn an_answer_may_carry_the_persons_own() {
    let made = gateway("webhook");
    for (body, acknowledged) in [
        (r#"{"accepted":true,"acknowledged":true}"#, true),
        (r#"{"accepted":true,"acknowledged":"true"}"#, false),
        (r#"{"accepted":true}"#, false),
        (r#"{"accepted":false,"acknowledged":true}"#, false),
    ] {
        assert_eq!(
            made.response(&message("x"), &answer(200, body), NOW, Standing::Unproven).acknowledged,
            acknowledged,
            "{body}"
        );
    }
}

/// The example of the Standard Webhooks specification.
#[test]
fn the_signature_is_that_of_the_specification() {
    let signature = sign::signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1_614_265_330,
        br#"{"test": 2432232314}"#,
    );
    assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[test]
fn attempts_differ_in_nothing_but_their_number() {
    let made = gateway("webhook");
    let (first, mut second) = (message("x"), message("x"));
    second.attempt = 2;
    let body = |message: &Outgoing, call: &Call<'_>| {
        let request = made.request(message, call).unwrap();
        let headers: std::collections::BTreeMap<_, _> = request.headers.into_iter().collect();
        assert_eq!(headers["idempotency-key"], "DELIVERY");
        assert_eq!(headers["content-type"], "application/cloudevents+json; charset=utf-8");
        serde_json::from_slice::<serde_json::Value>(&request.body).unwrap()
    };
    let later = Call { now: NOW.plus_millis(60_000), ..call("other") };
    let (first, mut second) = (body(&first, &call("n")), body(&second, &later));
    assert_ne!(first, second);
    second["data"]["attempt"] = 1.into();
    assert_eq!(first, second);
}

#[test]
fn a_secret_that_says_it_is_base64_and_is_not_is_refused_at_once() {
    let made = |secret: &str| {
        let config = WebhookConfig {
            url: "https://gateway.example/send".into(),
            token: None,
            secret: Some(Secret::new(secret)),
            allow_private: false,
        };
        Webhook::new(&config).map(drop)
    };
    assert_eq!(made("whsec_c2VjcmV0"), Ok(()));
    assert_eq!(made("any-words"), Ok(()));
    assert_eq!(made("whsec_c2Vj*"), Err(ConfigError::BadKey("secret")));
}
