//! `tocsin templates` as it is called, and the texts that the service refuses.

#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

fn tocsin(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tocsin")).current_dir(dir).args(args).output().unwrap()
}

/// Exit code, standard output, standard error.
fn called(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let output = tocsin(dir, args);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn json_of(dir: &Path, args: &[&str]) -> (i32, Value) {
    let (code, out, _) = called(dir, args);
    (code, serde_json::from_str(&out).unwrap())
}

/// A house with texts and a configuration that uses them.
fn house(texts: &[(&str, &str)], more: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("texts")).unwrap();
    for (name, text) in texts {
        fs::write(dir.path().join("texts").join(name), text).unwrap();
    }
    let config = format!(
        "[log]\nkind = \"embedded\"\npath = \"log.db\"\n[alerts.webhook]\nurl = \"http://127.0.0.1:9/\"\nallow_private = true\n\
         [alerts.templates]\nfolder = \"texts\"\n{more}"
    );
    fs::write(dir.path().join("tocsin.toml"), config).unwrap();
    dir
}

#[test]
fn the_texts_as_they_are_delivered_break_no_rule() {
    let dir = tempfile::tempdir().unwrap();
    let (code, out, err) = called(dir.path(), &["templates", "lint"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.ends_with("no rule is broken\n"), "{out}");
    assert!(!out.contains('\u{1b}'), "no colour where nobody looks");
    // One line a text; the columns stand under each other whatever script is in them.
    let rows: Vec<&str> = out.lines().filter(|line| line.starts_with(" T")).collect();
    assert_eq!(rows.len(), 19, "{out}");
    let at = rows[0].find("ALIYUN").unwrap();
    for row in &rows[1..] {
        let id = row.split_whitespace().next().unwrap();
        assert!(row[at..].starts_with(&format!("{id}, ")), "{row}");
    }
    let (code, report) = json_of(dir.path(), &["templates", "lint", "--gateway", "tencent", "--json"]);
    assert_eq!((code, &report["problems"]), (0, &json!([])));
    let t7 = &report["texts"][6];
    assert_eq!((&t7["id"], &t7["chars"], &t7["segments"]), (&json!("T7"), &json!(70), &json!(1)));
    let way = json!({"tencent": {"wording": "T7_fallback", "chars": 59,
        "why": "T7 has 9 characters in town, and the gateway takes 6"}});
    assert_eq!(t7["gateways"], way);
}

#[test]
fn a_broken_text_is_found_from_a_folder_and_from_a_configuration_and_never_used() {
    let broken = "【永康安委办】告知书{{ id }}逾期，{{ worker_name }}【请】补交。\n";
    let dir = house(&[("T6.jinja", broken), ("README.md", "not a text")], "");
    for from in [["--folder", "texts"], ["--config", "tocsin.toml"]] {
        let (code, report) = json_of(dir.path(), &["templates", "lint", from[0], from[1], "--json"]);
        let what = "worker_name: no text holds a person";
        let problem = json!([{"text": "T6", "gateway": null, "rule": "personal_data", "what": what}]);
        assert_eq!((code, &report["problems"]), (1, &problem), "{from:?}");
    }
    let (code, out, err) = called(dir.path(), &["templates", "lint", "--folder", "texts"]);
    assert_eq!((code, err.as_str()), (1, "tocsin: one rule is broken\n"));
    assert!(out.contains("T6: personal_data: worker_name"), "{out}");
    let (code, _, err) = called(dir.path(), &["templates", "preview", "T6", "--folder", "texts"]);
    assert_eq!((code, err.as_str()), (1, "tocsin: T6 cannot be read: see tocsin templates lint\n"));
    // The service does not start with it.
    assert!(tocsin(dir.path(), &["topics", "apply", "--config", "tocsin.toml"]).status.success());
    let expected = "tocsin.toml: [alerts.templates] folder: T6: personal_data: worker_name: no text holds a person; see tocsin templates lint";
    let (code, _, err) =
        called(dir.path(), &["run", "--config", "tocsin.toml", "--until-end", "--clock", "arrivals"]);
    assert_eq!(code, 2);
    assert!(err.contains(expected), "{err}");
    let (code, out, _) = called(dir.path(), &["check-config", "--config", "tocsin.toml"]);
    assert_eq!(code, 2);
    assert!(out.contains(&format!("not ok: {expected}")), "{out}");
    // Set right, it is used.
    fs::write(dir.path().join("texts/T6.jinja"), "【永康安委办】告知书{{ id }}逾期。\n").unwrap();
    let (code, out, _) = called(dir.path(), &["check-config", "--config", "tocsin.toml"]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("ok: [alerts.templates] the texts break no rule"), "{out}");
    let (_, shown) =
        json_of(dir.path(), &["templates", "preview", "T6", "--config", "tocsin.toml", "--json"]);
    assert_eq!(shown[0]["example"]["text"], "【永康安委办】告知书000000901逾期。");
}

#[test]
fn what_is_approved_is_compared_with_the_texts() {
    let table = "[alerts.gateways.aliyun]\nsign_name = \"永康人社\"\n[alerts.gateways.aliyun.templates]\n\
        T1 = { id = \"SMS_1\", slots = [\"M\", \"D\", \"cause\", \"n\", \"id\"] }\n\
        T7 = { id = \"SMS_7\", slots = [\"ent\", \"town\", \"w\", \"n\", \"lv\", \"id\"] }\n";
    let dir = house(&[], table);
    let (code, report) = json_of(dir.path(), &["templates", "lint", "--config", "tocsin.toml", "--json"]);
    assert_eq!(code, 1);
    let found: Vec<(&str, &str)> = report["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["text"].as_str().unwrap(), p["rule"].as_str().unwrap()))
        .collect();
    let mut expected: Vec<(&str, &str)> =
        ["T2", "T3", "T4", "T5", "T6"].into_iter().map(|id| (id, "not_approved")).collect();
    expected.extend([("T7", "approved_slots"), ("T7", "approved_signature")]);
    expected.extend(
        ["T8", "T9", "T10", "T11", "T12", "T13", "T14", "T15", "T16", "T17", "T18"]
            .into_iter()
            .map(|id| (id, "not_approved")),
    );
    assert_eq!(found, expected);
    let (code, out, _) = called(dir.path(), &["check-config", "--config", "tocsin.toml"]);
    assert_eq!(code, 2);
    assert!(
        out.contains("not ok: [alerts.gateways.aliyun] 18 differ, the first: T2 for aliyun: not_approved"),
        "{out}"
    );
    let args = ["templates", "preview", "T1", "--config", "tocsin.toml", "--gateway", "aliyun", "--json"];
    let (code, shown) = json_of(dir.path(), &args);
    assert_eq!(code, 0);
    let request = &shown[0]["example"]["request"];
    assert_eq!((&request["template"], &request["sign_name"]), (&json!("SMS_1"), &json!("永康人社")));
    let variables = json!({"M": "3", "D": "1", "cause": "物体打击", "n": "2", "id": "000000901"});
    assert_eq!(request["variables"], variables);

    let dir = house(&[], "[alerts.gateways.wecom_robot]\nsign_name = \"x\"\n");
    let (code, _, err) = called(dir.path(), &["templates", "lint", "--config", "tocsin.toml"]);
    assert_eq!(code, 2);
    assert!(
        err.contains(
            "[alerts.gateways.wecom_robot] sign_name: only these have templates to approve: aliyun, tencent"
        ),
        "{err}"
    );
}

#[test]
fn a_preview_shows_the_longest_and_what_a_gateway_gets() {
    let dir = tempfile::tempdir().unwrap();
    let (code, out, err) =
        called(dir.path(), &["templates", "preview", "T12", "--gateway", "tencent", "--worst"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let expected = "\
T12  owner, severity corrected
  wording     【永康人社】更正：编号{id}工伤的伤情已更正为{sev}，以本条为准。
  example     【永康人社】更正：编号00000-0901工伤的伤情已更正为重伤，以本条为准。
              39 characters, 1 segment
              T12_fallback, because T12 has 9 characters in id, and the gateway takes 6
    tencent gets template (none configured), signature (none configured), [\"00000\",\"0901\",\"重伤\"]
    to approve  更正：编号{1}-{2}工伤的伤情已更正为{3}，以本条为准。
  worst       【永康人社】更正：编号999999-9999工伤的伤情已更正为重伤，以本条为准。
              40 characters, 1 segment
              T12_fallback, because T12 has 10 characters in id, and the gateway takes 6
    tencent gets template (none configured), signature (none configured), [\"999999\",\"9999\",\"重伤\"]
    to approve  更正：编号{1}-{2}工伤的伤情已更正为{3}，以本条为准。
";
    assert_eq!(out, expected);
    let (_, all) = json_of(dir.path(), &["templates", "preview", "--json"]);
    assert_eq!(all.as_array().unwrap().len(), 18);
    assert!(all[0].get("worst").is_none() && all[0]["example"].get("request").is_none());
}

#[test]
fn a_wrong_call_says_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    for (args, expected) in [
        (&["templates", "lint", "--gateway", "pigeon"][..], "expected one of aliyun, tencent, "),
        (&["templates", "preview", "T19"], "expected a text from T1 to T18, found T19"),
        (&["templates", "lint", "--folder", "nowhere"], "cannot read the texts in nowhere: "),
        (&["templates", "lint", "--folder", "a", "--config", "b"], "cannot be used with"),
    ] {
        let (code, _, err) = called(dir.path(), args);
        assert_eq!(code, 2, "{args:?}");
        assert!(err.contains(expected), "{args:?}: {err}");
    }
}
