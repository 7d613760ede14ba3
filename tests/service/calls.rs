//! Wrong calls, configurations and logs that are not there: one clear line, the right exit code, in time.

use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant as Monotonic};

use tocsin_testkit::{Broker, kafka_wanted};

use crate::house::{House, tocsin};

/// Runs a command on a configuration of this text; it must end within 10 seconds. What it said: its last line,
/// or of `check-config` everything, since that says each thing where it looked at it.
fn on(dir: &Path, text: &str, command: &[&str]) -> (i32, String) {
    let config = dir.join("t.toml");
    std::fs::write(&config, text).unwrap();
    let args: Vec<&str> = command.iter().copied().chain(["--config", config.to_str().unwrap()]).collect();
    let began = Monotonic::now();
    let output = tocsin(&args);
    assert!(began.elapsed() < Duration::from_secs(10), "{command:?}: {:?}", began.elapsed());
    let said = match command {
        ["check-config"] => everything(&output),
        _ => last_line(&output),
    };
    (output.status.code().unwrap(), said)
}

fn everything(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn last_line(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned()
}

const RUN: &[&str] = &["run", "--only", "pipeline"];
const CHECK: &[&str] = &["check-config"];
const APPLY: &[&str] = &["topics", "apply"];

#[test]
fn a_typo_in_the_configuration_is_a_wrong_call_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    for command in [RUN, CHECK, APPLY] {
        let (code, said) = on(dir.path(), "[log]\nkind = \"embedded\"\npth = \"x\"\n", command);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("line 3") && said.contains("pth"), "{said}");
    }
    let output = tocsin(&["run", "--config", "/nowhere/t.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(last_line(&output).contains("/nowhere/t.toml"));
}

#[test]
fn a_missing_secret_is_a_wrong_call() {
    let dir = tempfile::tempdir().unwrap();
    let text = "[log]\nkind = \"kafka\"\nbrokers = \"a:1\"\n[log.security]\n\"sasl.password\" = { env = \"TOCSIN_NOT_SET\" }\n";
    let (code, said) = on(dir.path(), text, RUN);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("TOCSIN_NOT_SET"), "{said}");
}

/// Where systemd hands the secrets over they are there while the unit runs, and for nobody else: who reads the ledger needs
/// none of them.
#[test]
fn a_secret_of_a_gateway_is_missed_by_those_alone_who_call_it() {
    let dir = tempfile::tempdir().unwrap();
    let text = "[log]\nkind = \"embedded\"\npath = \"log.db\"\n[alerts]\nphone_key = { file = \"phone.key\" }\n\
        [alerts.webhook]\nurl = \"http://127.0.0.1:9/\"\nallow_private = true\ntoken = { file = \"gateway.token\" }\n";
    assert_eq!(on(dir.path(), text, APPLY).0, 0);
    for command in [&["silence", "list"][..], &["policy", "show"]] {
        let (code, said) = on(dir.path(), text, command);
        assert_eq!(code, 0, "{command:?}: {said}");
    }
    let (code, said) = on(dir.path(), text, &["ledger", "find", "--phone", "13900000000"]);
    assert!(code == 2 && said.contains("[alerts] phone_key: cannot read secret file"), "{code}: {said}");
    let (code, said) = on(dir.path(), text, &["run"]);
    assert!(code == 2 && said.contains("[alerts.webhook] token: cannot read secret file"), "{code}: {said}");
    let (code, said) = on(dir.path(), text, CHECK);
    assert_eq!(code, 1, "{said}");
    for part in [
        "not ok: [alerts.webhook] token: cannot read secret file",
        "not ok: [alerts] phone_key: cannot read secret file",
        "token = MISSING # cannot read",
        "ok: every topic is there and complete",
        "2 things are not as expected",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn a_log_that_is_not_there_is_not_made_by_run() {
    let dir = tempfile::tempdir().unwrap();
    let text = "[log]\nkind = \"embedded\"\npath = \"log.db\"\n";
    for command in [RUN, CHECK] {
        let (code, said) = on(dir.path(), text, command);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("topics apply"), "{said}");
        assert!(!dir.path().join("log.db").exists());
    }
    // As the unit of systemd has it before each start.
    let existing = &["topics", "apply", "--existing"];
    let (code, said) = on(dir.path(), text, existing);
    assert!(code == 1 && said.contains("there is no event log at"), "{code}: {said}");
    assert!(!dir.path().join("log.db").exists());
    assert_eq!(on(dir.path(), text, APPLY).0, 0);
    assert_eq!(on(dir.path(), text, existing).0, 0);
    assert_eq!(on(dir.path(), text, CHECK).0, 0);
}

#[test]
fn an_unreachable_broker_and_a_missing_topic_are_said_in_time() {
    let dir = tempfile::tempdir().unwrap();
    // Port 9 of loopback: nobody listens there.
    let text = "[log]\nkind = \"kafka\"\nbrokers = \"127.0.0.1:9\"\n";
    for command in [RUN, CHECK, APPLY] {
        let (code, said) = on(dir.path(), text, command);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("127.0.0.1:9") && said.contains("[log] brokers"), "{said}");
    }
    // An embedded log without topics.
    drop(tocsin_connectors::log::sqlite::SqliteLog::open(&dir.path().join("bare.db")).unwrap());
    let text = "[log]\nkind = \"embedded\"\npath = \"bare.db\"\n";
    for command in [RUN, CHECK] {
        let (code, said) = on(dir.path(), text, command);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("missing") && said.contains("topics apply"), "{said}");
    }
}

#[test]
fn check_config_says_each_thing_once() {
    let dir = tempfile::tempdir().unwrap();
    let hook = "[alerts.webhook]\nurl = \"http://gateway.example/send\"\n";
    let text = format!("[log]\nkind = \"embedded\"\npath = \"none.db\"\n{hook}");
    let (code, said) = on(dir.path(), &text, CHECK);
    assert_eq!(code, 2, "{said}");
    for once in ["must be https", "there is no event log", "2 things are not as expected"] {
        assert_eq!(said.matches(once).count(), 1, "{once}: {said}");
    }
    drop(tocsin_connectors::log::sqlite::SqliteLog::open(&dir.path().join("bare.db")).unwrap());
    let (code, said) = on(dir.path(), "[log]\nkind = \"embedded\"\npath = \"bare.db\"\n", CHECK);
    assert_eq!(code, 1, "{said}");
    for once in ["topics apply", "reports.hr", "topics are missing", "one thing is not as expected"] {
        assert_eq!(said.matches(once).count(), 1, "{once}: {said}");
    }
    assert_eq!(said.matches("not ok:").count(), 1, "{said}");
}

#[test]
fn a_wrong_password_is_said_in_time() {
    if !kafka_wanted("service: a wrong password is said in time") {
        return;
    }
    let broker = Broker::start_with_password();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("password"), "certainly-wrong\n").unwrap();
    let text = format!(
        "[log]\nkind = \"kafka\"\nbrokers = \"{}\"\n[log.security]\n\"security.protocol\" = \"SASL_PLAINTEXT\"\n\
         \"sasl.mechanism\" = \"PLAIN\"\n\"sasl.username\" = \"tocsin\"\n\"sasl.password\" = {{ file = \"password\" }}\n",
        broker.password_address()
    );
    for command in [RUN, CHECK] {
        let (code, said) = on(dir.path(), &text, command);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("[log.security]") && !said.contains("certainly-wrong"), "{said}");
    }
}

#[test]
fn without_a_gateway_only_the_pipeline_runs() {
    let dir = tempfile::tempdir().unwrap();
    let text = "[log]\nkind = \"embedded\"\npath = \"log.db\"\n";
    let (code, said) = on(dir.path(), text, &["run"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("[alerts.webhook]") && said.contains("[alerts.gateways.NAME]"), "{said}");
}

#[test]
fn topics_apply_says_what_it_did() {
    let house = House::embedded();
    let config = house.config();
    let output = tocsin(&["topics", "apply", "--json", "--config", config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), tocsin_schemas::topics::catalogue().len());
    assert!(rows.iter().all(|r| r["result"] == "as it should be"), "{rows:?}");
}

/// Where one of two is needed, both are named.
#[test]
fn a_call_of_why_without_a_log_names_both_ways_to_give_one() {
    let done = tocsin(&["why", "000000018"]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(2));
    assert!(said.contains("--config <FILE>|--log-file <FILE>"), "{said}");
}

/// By the very command that will read them. Secrets and data lie where an operator puts them: here in a folder of the test's
/// own. What else they point to is not there, so exit code 1 (out of reach) is as good as 0; 2 (an unknown key, a wrong
/// value) is not.
#[test]
fn the_example_configurations_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path().to_str().unwrap();
    std::fs::write(dir.path().join("token"), "example").unwrap();
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    std::fs::copy(deploy.join("policy.toml"), dir.path().join("policy.toml")).unwrap();
    let named = "[log]\nkind = \"embedded\"\npath = \"none.db\"\n[policy]\nfile = \"policy.toml\"\n";
    let mut examples = vec![("one that names the policy".to_owned(), named.to_owned())];
    for entry in std::fs::read_dir(deploy).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with("tocsin") && name.ends_with(".toml") {
            examples.push((name, std::fs::read_to_string(entry.path()).unwrap()));
        }
    }
    assert!(examples.len() > 2, "{examples:?}");
    for (name, text) in examples {
        let mut own = String::new();
        for line in text.replace("/var/lib/tocsin", here).lines() {
            let line = match line.split_once("\"/run/").and_then(|(a, b)| Some((a, b.split_once('"')?.1))) {
                Some((before, after)) => format!("{before}\"{here}/token\"{after}"),
                None => line.to_owned(),
            };
            own.push_str(&line);
            own.push('\n');
        }
        let (code, said) = on(dir.path(), &own, CHECK);
        assert!(code <= 1, "{name}: {said}");
    }
}
