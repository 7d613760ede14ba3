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
        (302, r#"{"accepted":true}"#, "permanent http_302"),
        (400, r#"{"accepted":true}"#, "permanent http_400"),
        (401, "", "account http_401"),
        (403, r#"{"accepted":true}"#, "account http_403"),
        (404, "", "permanent http_404"),
        (408, "", "transient http_408"),
        (429, "", "transient http_429"),
        (500, r#"{"accepted":true}"#, "unknown http_500"),
        (502, "", "unknown http_502"),
        (503, "", "transient http_503"),
    ] {
        let verdict = made.response(&message("x"), &answer(status, body), NOW);
        assert_eq!(told(&verdict), expected, "{status} {body:?}");
    }
    let broken = Answer { body: None, ..answer(200, "") };
    assert_eq!(told(&made.response(&message("x"), &broken, NOW)), "unknown unreadable_answer");
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
            made.response(&message("x"), &answer(200, body), NOW).acknowledged,
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
