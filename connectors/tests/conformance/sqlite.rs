//! What only the SQLite log can meet: a full disk, a wrong file, a file that another holds.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tocsin_connectors::log::sqlite::{SqliteLog, SqliteOptions};
use tocsin_schemas::log::{EventLog, LogError, NewRecord, Retention, TopicSettings};
use tocsin_schemas::time::Instant as Stamp;
use tocsin_testkit::unique;

use crate::subject::{Subject, all, at, micros, read_to_end, reader, record, settings, text, topic};

fn refused(path: &Path) -> (LogError, Duration) {
    let began = Instant::now();
    let error = SqliteLog::open(path).err().expect("this is no log");
    (error, began.elapsed())
}

#[test]
fn a_wrong_path_is_said_in_one_line_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);

    let (error, _) = refused(&at("no/such/folder/log"));
    assert!(matches!(error, LogError::Unreachable { .. }), "{error}");
    let (error, _) = refused(folder.path());
    assert!(matches!(error, LogError::Unreachable { .. }), "{error}");

    fs::write(at("letter"), "Dear Sirs, this is a letter. ".repeat(300)).unwrap();
    let (error, _) = refused(&at("letter"));
    assert!(matches!(error, LogError::Damaged(_)) && error.to_string().contains("letter"), "{error}");
    assert!(fs::read_to_string(at("letter")).unwrap().starts_with("Dear Sirs"));

    let foreign = Connection::open(at("foreign")).unwrap();
    foreign.execute_batch("CREATE TABLE recipes (name TEXT)").unwrap();
    drop(foreign);
    let before = fs::read(at("foreign")).unwrap();
    let (error, took) = refused(&at("foreign"));
    assert!(
        matches!(error, LogError::Damaged(_)) && error.to_string().contains("not an event log"),
        "{error}"
    );
    assert!(took < Duration::from_secs(10));
    assert_eq!(fs::read(at("foreign")).unwrap(), before);

    let newer = at("newer");
    drop(SqliteLog::open(&newer).unwrap());
    Connection::open(&newer).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let (error, _) = refused(&newer);
    assert!(matches!(error, LogError::Damaged(_)) && error.to_string().contains("layout 99"), "{error}");
}

#[test]
fn a_file_that_another_holds_is_waited_for_and_then_said() {
    let subject = Subject::sqlite();
    let log = subject.open();
    let topic = topic(&*log, "held", 1);
    let mut writer = log.writer("w").unwrap();
    let other = Connection::open(subject.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let began = Instant::now();
    let error = writer.append(&[record(&topic, "key", "never")]).unwrap_err();
    assert!(matches!(error, LogError::Retry { .. }), "{error}");
    assert!(began.elapsed() > Duration::from_secs(4), "gave up after {:?}", began.elapsed());
    // Held for a moment only: waited for.
    let held = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        other.execute_batch("ROLLBACK").unwrap();
    });
    writer.append(&[record(&topic, "key", "waited")]).unwrap();
    held.join().unwrap();
    let came: Vec<_> = all(&*log, &[&topic], 1).iter().map(text).collect();
    assert_eq!(came, ["waited"]);
}

/// A command that reads the log of a busy service would else wait outside the writers' door, where it may never have its turn.
#[test]
fn who_only_looks_does_not_wait_for_a_writer() {
    let subject = Subject::sqlite();
    let log = subject.open();
    let topic = topic(&*log, "busy", 1);
    log.writer("w").unwrap().append(&[record(&topic, "key", "there")]).unwrap();
    let other = Connection::open(subject.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let came: Vec<_> =
        all(&SqliteLog::open(subject.path()).unwrap(), &[&topic], 1).iter().map(text).collect();
    assert_eq!(came, ["there"]);
    other.execute_batch("ROLLBACK").unwrap();
}

/// Appends until there is no space; what was acknowledged.
fn fill(log: &dyn EventLog, topic: &Arc<str>) -> Vec<String> {
    let mut writer = log.writer(&unique("w")).unwrap();
    let mut acknowledged = Vec::new();
    for n in 0.. {
        assert!(n < 100_000, "the limit was never met");
        let value = format!("{n}:{}", "x".repeat(2_000));
        match writer.append(&[record(topic, "a", &value), record(topic, "b", &value)]) {
            Ok(()) => acknowledged.extend([value.clone(), value]),
            Err(LogError::NoSpace { .. }) => break,
            Err(other) => panic!("{other:?}"),
        }
    }
    for _ in 0..3 {
        let again = writer.append(&[record(topic, "a", &"y".repeat(100_000))]);
        assert!(matches!(again, Err(LogError::NoSpace { .. })), "{again:?}");
    }
    acknowledged
}

#[test]
fn a_full_log_stops_loses_nothing_and_goes_on_when_there_is_space() {
    let subject = Subject::sqlite();
    let options = SqliteOptions { max_file_bytes: Some(2_000_000), ..SqliteOptions::default() };
    let log = SqliteLog::open_with(subject.path(), options).unwrap();
    let topic = topic(&log, "full", 1);
    let acknowledged = fill(&log, &topic);
    assert!(acknowledged.len() > 100, "{}", acknowledged.len());
    let values = |log: &dyn EventLog| all(log, &[&topic], 0).iter().map(text).collect::<Vec<_>>();
    assert_eq!(values(&log), acknowledged);
    drop(log);
    let log = SqliteLog::open(subject.path()).unwrap();
    assert_eq!(values(&log), acknowledged);
    log.writer("w").unwrap().append(&[record(&topic, "a", "more")]).unwrap();
    assert_eq!(values(&log).last().unwrap(), "more");
}

/// A disk of 4 MB that is really full. Only root may make one; elsewhere the test above must do.
#[test]
fn a_full_disk_stops_loses_nothing_and_goes_on_when_there_is_space() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "none"]).arg(&disk).output();
    if !mounted.is_ok_and(|m| m.status.success()) {
        eprintln!("no right to make a small disk: shown by the size limit of the file alone");
        return;
    }
    let unmount = Unmount(disk.clone());
    let ballast = disk.join("ballast");
    fs::write(&ballast, vec![0; 1_500_000]).unwrap();
    let log = SqliteLog::open(&disk.join("log")).unwrap();
    let topic = topic(&log, "full", 1);
    let acknowledged = fill(&log, &topic);
    assert!(acknowledged.len() > 100, "{}", acknowledged.len());
    let values = |log: &dyn EventLog| all(log, &[&topic], 0).iter().map(text).collect::<Vec<_>>();
    assert_eq!(values(&log), acknowledged);
    let mut writer = log.writer("later").unwrap_or_else(|_| {
        fs::remove_file(&ballast).unwrap();
        log.writer("later").unwrap()
    });
    let _ = fs::remove_file(&ballast);
    writer.append(&[record(&topic, "a", "more")]).unwrap();
    drop(writer);
    drop(log);
    let log = SqliteLog::open(&disk.join("log")).unwrap();
    let came = values(&log);
    assert_eq!(came[..acknowledged.len()], acknowledged);
    assert_eq!(came.last().unwrap(), "more");
    drop(log);
    drop(unmount);
}

/// Only root may give files away; elsewhere there is nobody to shut out.
#[test]
fn who_looks_at_a_log_as_root_leaves_its_door_to_its_owner() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let subject = Subject::sqlite();
    drop(subject.open());
    let door = subject
        .path()
        .with_file_name(format!("{}-door", subject.path().file_name().unwrap().to_string_lossy()));
    fs::remove_file(&door).unwrap();
    if chown(subject.path(), Some(65_534), Some(65_534)).is_err() {
        eprintln!("no right to give a file away");
        return;
    }
    drop(subject.open());
    let made = fs::metadata(&door).unwrap();
    assert_eq!((made.uid(), made.gid(), made.mode() & 0o777), (65_534, 65_534, 0o600));
    // What a door only points to stays whose it is.
    let other = door.with_file_name("other");
    fs::write(&other, "").unwrap();
    fs::remove_file(&door).unwrap();
    std::os::unix::fs::symlink(&other, &door).unwrap();
    drop(subject.open());
    assert_eq!(fs::metadata(&other).unwrap().uid(), 0);
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// What `synchronous=FULL` is for, seen from outside: the kernel is asked to sync for every append, before
/// it is acknowledged. (A killed process alone shows nothing of it: the kernel keeps what was written.)
#[test]
fn every_append_is_synced_before_it_is_acknowledged() {
    let subject = Subject::sqlite();
    let log = subject.open();
    let topic = topic(&*log, "synced", 1);
    let trace = subject.path().with_extension("trace");
    let strace = Command::new("strace").arg("-V").output();
    if !strace.is_ok_and(|s| s.status.success()) {
        eprintln!("no strace here: only the setting itself is checked");
        let conn = Connection::open(subject.path()).unwrap();
        let mode: String = conn.query_row("PRAGMA journal_mode", [], |r| r.get(0)).unwrap();
        assert_eq!(mode, "wal");
        return;
    }
    let mut other = subject.traced_process(&trace, "append 50", &[&topic], "w");
    assert_eq!(other.next().as_deref(), Some("ready"));
    assert_eq!(other.next().as_deref(), Some("done"));
    other.rest();
    let text = fs::read_to_string(&trace).unwrap();
    // Between "ready" and "done": 50 appends, so 50 commits, each ended by a sync of the WAL.
    let appends = text.split_once("@@ready").unwrap().1.split_once("@@done").unwrap().0;
    let syncs = appends.lines().filter(|l| l.contains("sync(") && l.contains("-wal>") && l.contains("= 0"));
    let (mut written, mut unsynced) = (0, 0);
    for line in appends.lines() {
        if line.contains("pwrite64(") && line.contains("-wal>") {
            written += 1;
            unsynced += 1;
        } else if line.contains("sync(") && line.contains("-wal>") {
            unsynced = 0;
        }
    }
    assert!(syncs.count() >= 50, "fewer syncs than appends");
    assert!(written >= 50);
    assert_eq!(unsynced, 0, "the last append was acknowledged without a sync");
}

#[test]
fn compaction_keeps_the_newest_of_each_key_and_says_what_is_gone() {
    let subject = Subject::sqlite();
    let log = SqliteLog::open(subject.path()).unwrap();
    let name: Arc<str> = Arc::from("compacted");
    let want = TopicSettings { retention: Retention::Compacted, ..settings(&name, 1) };
    log.ensure(&[want], false).unwrap();
    let kept = topic(&log, "forever", 1);
    let mut writer = log.writer("w").unwrap();
    for n in 0..10 {
        for topic in [&name, &kept] {
            let key = format!("{}", n % 3);
            writer.append(&[record(topic, &key, &n.to_string())]).unwrap();
        }
    }
    let mut tombstone = record(&name, "0", "");
    tombstone.value = None;
    writer.append(&[tombstone]).unwrap();
    let mut behind = reader(&log, &[&name]);
    assert_eq!(log.compact().unwrap(), 8);
    // Keys 1 and 2 last stood at 7 and 8; the tombstone of key 0 at 10.
    let came = read_to_end(&mut *behind);
    assert_eq!(came.iter().map(|r| r.offset).collect::<Vec<_>>(), [7, 8, 10]);
    assert_eq!(came[2].value, None);
    assert_eq!((log.bounds(&name).unwrap()[0].first, log.bounds(&name).unwrap()[0].end), (7, 11));
    assert_eq!(all(&log, &[&kept], 10).len(), 10);
    writer.append(&[record(&name, "0", "back")]).unwrap();
    assert_eq!(all(&log, &[&name], 4)[3].offset, 11);
}

#[test]
fn records_past_their_days_go_from_the_front_and_are_said_to_be_gone() {
    let subject = Subject::sqlite();
    let log = SqliteLog::open(subject.path()).unwrap();
    let name: Arc<str> = Arc::from("by-days");
    log.ensure(&[settings(&name, 1)], false).unwrap();
    let day = 86_400_000;
    let now = micros() as i64 / 1000;
    let stamped = |age_days: i64, value: &str| NewRecord {
        stamp: Some(Stamp(now - age_days * day)),
        ..record(&name, "key", value)
    };
    log.writer("w").unwrap().append(&[stamped(40, "a"), stamped(31, "b"), stamped(29, "c")]).unwrap();
    let mut behind = reader(&log, &[&name]);
    log.ensure(&[TopicSettings { retention: Retention::Days(30), ..settings(&name, 1) }], false).unwrap();
    // Its own old stamp does not count here. And an append deletes nothing, whatever the clock says.
    log.writer("w").unwrap().append(&[stamped(99, "d")]).unwrap();
    assert_eq!(log.bounds(&name).unwrap()[0].first, 0);
    assert_eq!((log.expire().unwrap(), log.expire().unwrap()), (2, 0));
    let came = all(&log, &[&name], 2);
    assert_eq!(came.iter().map(text).collect::<Vec<_>>(), ["c", "d"]);
    assert_eq!(came.iter().map(|r| r.offset).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(log.bounds(&name).unwrap()[0].first, 2);
    for gone in [behind.poll(10, Duration::ZERO).err(), log.reader(&[(at(&name, 0), 1)]).err()] {
        assert!(matches!(gone, Some(LogError::OffsetGone { first: 2, .. })), "{gone:?}");
    }
}
