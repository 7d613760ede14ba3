//! The command among other commands: a pipe that is closed early, a stop that comes early, and what the demo
//! leaves behind.

use std::fs;
use std::io::pipe;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tocsin_connectors::log::sqlite::SqliteLog;
use tocsin_schemas::log::{EventLog, TopicPartition};
use tocsin_schemas::topics;

use crate::house::{AT, DAY, House, until};

/// Runs it with a standard output that nobody reads.
fn unread(args: &[&str]) -> Output {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_tocsin"));
    command.args(args).stdout(writer).stderr(Stdio::piped());
    command.spawn().unwrap().wait_with_output().unwrap()
}

fn quiet(output: &Output, code: i32, what: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{what:?}: {said}");
    assert!(!said.contains("panicked") && !said.contains("roken pipe"), "{what:?}: {said}");
}

#[test]
fn a_closed_pipe_is_no_failure_and_changes_no_verdict() {
    let house = House::embedded();
    let config = house.config();
    let config = config.to_str().unwrap();
    for args in [
        &["--help"][..],
        &["run", "--help"],
        &["--version"],
        &["completions", "bash"],
        &["topics", "apply", "--config", config],
        &["topics", "apply", "--json", "--config", config],
        &["check-config", "--config", config],
        &["run", "--config", config, "--only", "pipeline", "--clock", "arrivals", "--until-end"],
    ] {
        quiet(&unread(args), 0, args);
    }
    fs::remove_file(house.dir.path().join("log.db")).unwrap();
    let check = ["check-config", "--config", config];
    quiet(&unread(&check), 1, &check);
}

/// Where the output was not closed but cannot be written, the caller does not have what he asked for.
#[test]
fn an_output_that_cannot_be_written_is_a_failure() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tocsin"));
    let output = command.args(["completions", "bash"]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("tocsin: cannot write to standard output"), "{said}");
}

#[test]
fn the_demo_ends_when_nobody_reads_it() {
    // At its own speed: it must not go on for half a minute.
    let began = std::time::Instant::now();
    let args = ["demo", "--speed", "1"];
    quiet(&unread(&args), 0, &args);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[test]
fn a_closed_standard_error_is_no_failure_either() {
    let dir = tempfile::tempdir().unwrap();
    let stream = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replay/small-town/stream.jsonl");
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_tocsin"));
    command.arg("replay").arg(stream).arg("--out").arg(dir.path()).stderr(writer.try_clone().unwrap());
    assert_eq!(command.status().unwrap().code(), Some(0));
    assert!(dir.path().join("summary.json").exists());
    // The service writes log lines there all the time.
    let house = House::embedded().started();
    house.report("a", DAY, AT);
    let mut command = Command::new(env!("CARGO_BIN_EXE_tocsin"));
    command.args(["run", "--only", "pipeline", "--clock", "arrivals", "--until-end", "--config"]);
    command.arg(house.config()).env("RUST_LOG", "debug").stdout(Stdio::null()).stderr(writer);
    assert_eq!(command.status().unwrap().code(), Some(0));
    assert_eq!(house.said(), ["owner_incident new"]);
}

/// Whether the process catches this signal (proc(5), SigCgt).
fn catches(id: u32, signal: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let mask = status.lines().find_map(|l| l.strip_prefix("SigCgt:")).unwrap().trim().to_owned();
    u64::from_str_radix(&mask, 16).unwrap() & (1 << (signal - 1)) != 0
}

/// The signal comes before anything was read back: the start is held up by somebody who writes.
#[test]
fn a_stop_while_reading_back_is_no_failure() {
    let house = House::embedded().started();
    let run = house.run_caught_up(&[]);
    house.report("a", DAY, AT);
    until("the owner is told", || house.gateway.calls().len() == 1);
    assert_eq!(run.stop(), Some(0));
    let before = (house.alerts(), house.progress());
    // Whoever writes to the embedded log goes through this door.
    let door = fs::File::open(house.dir.path().join("log.db-door")).unwrap();
    door.lock().unwrap();
    let mut run = house.run(&[]);
    until("it listens for signals", || catches(run.id(), 15));
    run.signal("TERM");
    run.wait_said("stopping: ");
    door.unlock().unwrap();
    assert_eq!(run.ends_within(Duration::from_secs(10)), Some(0), "{}", run.said());
    assert!(run.said().contains("stopped before anything was decided"), "{}", run.said());
    assert!(!run.said().contains("tocsin: "), "{}", run.said());
    assert_eq!((house.alerts(), house.progress()), before);
    assert_eq!(house.gateway.calls().len(), 1);
}

/// Every record of every topic.
fn everything(path: &Path) -> Vec<(String, u32, u64, Option<Vec<u8>>)> {
    let log = SqliteLog::open(path).unwrap();
    let mut all = Vec::new();
    for topic in topics::catalogue() {
        let from: Vec<(TopicPartition, u64)> = (0..)
            .zip(log.bounds(topic.name).unwrap())
            .map(|(partition, b)| (TopicPartition { topic: topic.name.into(), partition }, b.first))
            .collect();
        let mut reader = log.reader(&from).unwrap();
        while !reader.caught_up().unwrap() {
            let records = reader.poll(10_000, Duration::from_millis(100)).unwrap();
            all.extend(records.into_iter().map(|r| (r.topic.to_string(), r.partition, r.offset, r.value)));
        }
    }
    all
}

#[test]
fn the_demo_leaves_its_whole_log_in_one_file() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let keep = dir.path().join("kept");
    let output = crate::house::tocsin(&["demo", "--speed", "1000", "--keep", keep.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let mut names: Vec<String> =
        fs::read_dir(&keep).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    // The door is an empty file, where writers wait for their turn.
    assert_eq!(names, ["phone.key", "tocsin.db", "tocsin.db-door", "tocsin.toml"]);
    fs::copy(keep.join("tocsin.db"), copy.path().join("copied.db")).unwrap();
    let (kept, copied) = (everything(&keep.join("tocsin.db")), everything(&copy.path().join("copied.db")));
    assert!(kept.iter().any(|(topic, ..)| topic == "deliveries"));
    assert_eq!(kept, copied);
}
