use serde_json::json;

use super::*;
use crate::gateways::tests::{NOW, answer, call, gateway, message, told};
use crate::gateways::{Fate, Secret};

#[test]
fn a_token_lasts_as_long_as_it_says() {
    let made = gateway("dingtalk_notice");
    let tokens = made.tokens().unwrap();
    let url = tokens.request().url;
    assert_eq!(url.as_str(), "https://oapi.dingtalk.com/gettoken?appkey=key&appsecret=testSecret");
    let grant = tokens.response(&answer(200, r#"{"errcode":0,"access_token":"t","expires_in":7200}"#), NOW);
    assert_eq!(grant, Ok(Grant { token: Secret::new("t"), until: NOW.plus_millis(7_200_000) }));
    for (body, expected) in [
        (r#"{"errcode":40096,"errmsg":"invalid appkey"}"#, "account 40096"),
        (r#"{"errcode":0}"#, "unknown unreadable_answer"),
        ("<html>", "unknown unreadable_answer"),
    ] {
        assert_eq!(told(&tokens.response(&answer(200, body), NOW).unwrap_err()), expected, "{body}");
    }
    for (body, refused) in [
        (r#"{"errcode":42001}"#, true),
        (r#"{"errcode":88,"sub_code":"40014"}"#, true),
        (r#"{"errcode":0,"task_id":1}"#, false),
        (r#"{"errcode":88,"sub_code":"60011"}"#, false),
    ] {
        assert_eq!(tokens.refused(&answer(200, body)), refused, "{body}");
    }
}

#[test]
fn a_message_goes_to_one_userid() {
    let made = gateway("dingtalk_notice");
    let token = Secret::new("t");
    let call = Call { token: Some(&token), ..call("n") };
    let request = made.request(&message("manager42"), &call).unwrap();
    let expected = "https://oapi.dingtalk.com/topapi/message/corpconversation/asyncsend_v2?access_token=t";
    assert_eq!(request.url.as_str(), expected);
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!((&body["agent_id"], &body["userid_list"]), (&json!(7), &json!("manager42")));
    let linked = Outgoing { link: Some("https://rs.example.cn/a/T".into()), ..message("manager42") };
    let request = made.request(&linked, &call).unwrap();
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    let content = body["msg"]["text"]["content"].as_str().unwrap();
    assert_eq!(content, format!("{}\n查看并回复：https://rs.example.cn/a/T", linked.text));
    for bad in ["", " ", "a,b"] {
        assert_eq!(told(&made.request(&message(bad), &call).unwrap_err()), "permanent not_a_userid", "{bad}");
    }
}

#[test]
fn a_yes_carries_the_tasks_number() {
    let made = gateway("dingtalk_notice");
    for (body, expected) in [
        (r#"{"errcode":0,"task_id":256271667526}"#, "accepted 256271667526"),
        (r#"{"errcode":0}"#, "unknown unreadable_answer"),
        (r#"{"errcode":88,"sub_code":"42001"}"#, "transient 42001"),
        (r#"{"errcode":88,"sub_code":"60011"}"#, "account 60011"),
        (r#"{"errcode":143104}"#, "window 143104 60000"),
        (r#"{"errcode":33012}"#, "permanent 33012"),
        (r#"{"errcode":88}"#, "unknown unknown_code"),
    ] {
        assert_eq!(
            told(&made.response(&message("u"), &answer(200, body), NOW, Standing::Unproven)),
            expected,
            "{body}"
        );
    }
}

#[test]
fn it_is_asked_by_the_tasks_number_alone() {
    let made = gateway("dingtalk_notice");
    let asks = made.asks().unwrap();
    let mut question = Question { delivery_id: "D".into(), to: "u1".into(), sent_at: NOW, gateway_ref: None };
    assert!(asks.request(&question, 0, &call("n")).is_none());
    question.gateway_ref = Some("7".into());
    let request = asks.request(&question, 0, &call("n")).unwrap();
    assert_eq!(request.body, br#"{"agent_id":7,"task_id":7}"#);
    for (result, expected) in [
        (json!({"read_user_id_list": ["u1"]}), Some(Fate::Delivered)),
        (json!({"unread_user_id_list": ["u1"]}), Some(Fate::Delivered)),
        (json!({"forbidden_user_id_list": ["u1"]}), Some(Fate::Failed("forbidden".into()))),
        (json!({"read_user_id_list": ["u2"]}), Some(Fate::Accepted)),
        (json!("soon"), None),
    ] {
        let body = json!({"errcode": 0, "send_result": result}).to_string();
        match (asks.response(&question, 0, &answer(200, &body), NOW), expected) {
            (Told::Known { fate, .. }, Some(expected)) => assert_eq!(fate, expected, "{body}"),
            (Told::CannotTell(_), None) => {}
            (other, _) => panic!("{body}: {other:?}"),
        }
    }
}

#[test]
fn a_message_is_taken_back_by_its_tasks_number() {
    let made = gateway("dingtalk_notice");
    let recalls = made.recalls().unwrap();
    assert_eq!(recalls.request("7", &call("n")).unwrap().body, br#"{"agent_id":7,"msg_task_id":7}"#);
    assert!(recalls.request("m-1", &call("n")).is_none());
    assert_eq!(told(&recalls.response(&answer(200, r#"{"errcode":0}"#), NOW)), "accepted -");
    assert_eq!(told(&recalls.response(&answer(200, r#"{"errcode":-1}"#), NOW)), "transient -1");
}
