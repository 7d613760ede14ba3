//! The file: how it is opened, which tables it has, which topics it holds.
//!
//! `log` one row: the id. `topics`, `partitions`: the catalogue, with the first and the next offset of
//! each partition. `writers`: the newest epoch of each name. The records of partition `n` stand in a
//! table of their own, `p<n>`, whose integer primary key is the offset: appends go to its right edge,
//! reads are one range scan, and deleting the oldest touches nobody else.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, params};
use tocsin_schemas::log::{Bounds, LogError, Retention, TopicChange, TopicSettings};

use super::errors::Place;
use super::{SqliteOptions, index};

/// Written into the file's header: "Tocs". Tells a log from every other SQLite file.
const APPLICATION_ID: i32 = 0x546f_6373;
/// The layout described above.
const LAYOUT: i32 = 1;
/// Bigger than SQLite's 4096: fewer pages for a batch, still one small write for a single record.
const PAGE_BYTES: u64 = 8192;
/// Tries that a connection waits for another process before it gives up: five seconds or a little more.
const BUSY_TRIES: i32 = 5_100;
/// That many of them are short ones: most transactions are over in less than a millisecond.
const SHORT_TRIES: i32 = 100;

const TABLES: &str = "
    CREATE TABLE log (id TEXT NOT NULL);
    INSERT INTO log VALUES (lower(hex(randomblob(16))));
    CREATE TABLE topics (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        partitions INTEGER NOT NULL,
        retention TEXT NOT NULL,
        max_record_bytes INTEGER NOT NULL
    );
    CREATE TABLE partitions (
        id INTEGER PRIMARY KEY,
        topic INTEGER NOT NULL REFERENCES topics (id),
        number INTEGER NOT NULL,
        first INTEGER NOT NULL,
        next INTEGER NOT NULL,
        UNIQUE (topic, number)
    );
    CREATE TABLE writers (name TEXT PRIMARY KEY, epoch INTEGER NOT NULL) WITHOUT ROWID;
";

/// Makes the file if it is missing: readable by its owner alone, because a log holds personal data.
pub(super) fn make_file(path: &Path, place: &Place) -> Result<(), LogError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => {
            // The name of the new file must survive a power loss as its contents do.
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(folder).and_then(|f| f.sync_all()).map_err(|e| place.unreachable(&e))
        }
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(place.unreachable(&e)),
    }
}

/// A connection with the settings that the log's promises rest on.
pub(super) fn connect(path: &Path, place: &Place, options: &SqliteOptions) -> Result<Connection, LogError> {
    let open = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut conn = Connection::open_with_flags(path, flags)?;
        conn.busy_handler(Some(wait_for_others))?;
        conn.set_prepared_statement_cache_capacity(512);
        conn.pragma_update(None, "page_size", PAGE_BYTES)?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        conn.pragma_update(None, "cache_size", -16_000)?;
        conn.pragma_update(None, "wal_autocheckpoint", 2_000)?;
        conn.pragma_update(None, "journal_size_limit", 64 << 20)?;
        if let Some(bytes) = options.max_file_bytes {
            conn.pragma_update(None, "max_page_count", bytes / PAGE_BYTES)?;
        }
        Ok(conn)
    };
    open().map_err(|e| place.error("open the file", e))
}

/// Waits a moment for another process that is writing; false: that was the last try.
pub(super) fn wait_for_others(tries: i32) -> bool {
    std::thread::sleep(Duration::from_micros(if tries < SHORT_TRIES { 100 } else { 1_000 }));
    tries < BUSY_TRIES
}

/// Makes the tables in a new file; in an old one, checks that it is a log of this layout.
pub(super) fn prepare_file(conn: &Connection, place: &Place) -> Result<(), LogError> {
    // Read first: a foreign file is to be refused, not converted.
    let look = || {
        // In one look, as somebody may be making the tables.
        let tx = conn.unchecked_transaction()?;
        let kind = file_kind(&tx)?;
        tx.finish().map(|()| kind)
    };
    check_kind(look().map_err(|e| place.error("read the file", e))?, place)?;
    let mode = wal_mode(conn).map_err(|e| place.error("switch to a write-ahead log", e))?;
    if mode != "wal" {
        return Err(place.damaged(&format!(
            "the file system of this path cannot hold a shared write-ahead log (it offers {mode:?}): use a local disk"
        )));
    }
    if conn.is_readonly("main").map_err(|e| place.error("read the file", e))? {
        return Err(place.refused("no right to write to it"));
    }
    // Whoever only looks does not ask for a turn: here he would stand outside the writers' door, and of a busy log never
    // have one. A log without an index has one made.
    if index::is_prepared(conn).map_err(|e| place.error("read the file", e))? {
        return Ok(());
    }
    let create = || {
        let tx = rusqlite::Transaction::new_unchecked(conn, rusqlite::TransactionBehavior::Immediate)?;
        let kind = file_kind(&tx)?;
        if kind == FileKind::Empty {
            tx.execute_batch(TABLES)?;
            tx.pragma_update(None, "application_id", APPLICATION_ID)?;
            tx.pragma_update(None, "user_version", LAYOUT)?;
        }
        if kind != FileKind::Foreign {
            index::prepare(&tx)?;
            tx.commit()?;
        }
        Ok(kind)
    };
    check_kind(create().map_err(|e| place.error("make its tables", e))?, place)
}

#[derive(Debug, PartialEq, Eq)]
enum FileKind {
    Empty,
    Log { layout: i32 },
    Foreign,
}

fn file_kind(conn: &Connection) -> rusqlite::Result<FileKind> {
    let application: i32 = conn.pragma_query_value(None, "application_id", |r| r.get(0))?;
    let layout: i32 = conn.pragma_query_value(None, "user_version", |r| r.get(0))?;
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0))?;
    Ok(match (application, tables) {
        (APPLICATION_ID, _) => FileKind::Log { layout },
        (0, 0) => FileKind::Empty,
        _ => FileKind::Foreign,
    })
}

fn check_kind(kind: FileKind, place: &Place) -> Result<(), LogError> {
    match kind {
        FileKind::Empty | FileKind::Log { layout: LAYOUT } => Ok(()),
        FileKind::Log { layout } => Err(place.damaged(&format!(
            "expected an event log of layout {LAYOUT}, found layout {layout}: use the tocsin that made it"
        ))),
        FileKind::Foreign => {
            Err(place.damaged("an SQLite file, but not an event log of Tocsin: is the path right?"))
        }
    }
}

/// The switch needs the file for itself for a moment, and SQLite does not wait for that by itself.
fn wal_mode(conn: &Connection) -> rusqlite::Result<String> {
    let mut tries = 0;
    loop {
        let mode = conn.query_row("PRAGMA journal_mode=WAL", [], |r| r.get::<_, String>(0));
        match mode {
            Err(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => {
                tries += 1;
                if !wait_for_others(tries) {
                    return Err(e);
                }
            }
            other => return other,
        }
    }
}

pub(super) fn log_id(conn: &Connection) -> rusqlite::Result<String> {
    conn.query_row("SELECT id FROM log", [], |r| r.get(0))
}

/// A topic as it stands in the file.
#[derive(Debug, Clone)]
pub(super) struct Topic {
    pub(super) id: i64,
    pub(super) settings: TopicSettings,
}

const TOPIC_COLUMNS: &str = "SELECT id, name, partitions, retention, max_record_bytes FROM topics";

fn topic_row(row: &Row<'_>) -> rusqlite::Result<Topic> {
    let name: String = row.get(1)?;
    let retention: String = row.get(3)?;
    Ok(Topic {
        id: row.get(0)?,
        settings: TopicSettings {
            name: Arc::from(name),
            partitions: row.get(2)?,
            retention: parse_retention(&retention).ok_or(rusqlite::Error::InvalidColumnName(retention))?,
            max_record_bytes: row.get(4)?,
        },
    })
}

pub(super) fn topics(conn: &Connection) -> rusqlite::Result<Vec<Topic>> {
    conn.prepare_cached(&format!("{TOPIC_COLUMNS} ORDER BY name"))?.query_map([], topic_row)?.collect()
}

pub(super) fn topic(conn: &Connection, name: &str) -> rusqlite::Result<Option<Topic>> {
    conn.prepare_cached(&format!("{TOPIC_COLUMNS} WHERE name = ?1"))?.query_row([name], topic_row).optional()
}

/// One partition's row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Partition {
    /// Names its table.
    pub(super) id: i64,
    pub(super) first: u64,
    pub(super) next: u64,
}

/// The partitions of a topic, in order.
pub(super) fn partitions(conn: &Connection, topic: &Topic) -> rusqlite::Result<Vec<Partition>> {
    conn.prepare_cached("SELECT id, first, next FROM partitions WHERE topic = ?1 ORDER BY number")?
        .query_map([topic.id], |r| Ok(Partition { id: r.get(0)?, first: r.get(1)?, next: r.get(2)? }))?
        .collect()
}

pub(super) fn bounds(conn: &Connection, topic: &Topic) -> rusqlite::Result<Vec<Bounds>> {
    Ok(partitions(conn, topic)?.into_iter().map(|p| Bounds { first: p.first, end: p.next }).collect())
}

/// Creates and alters topics as the contract's `ensure` says, inside the caller's transaction.
pub(super) fn ensure(
    conn: &Connection,
    wanted: &[TopicSettings],
    dry_run: bool,
) -> rusqlite::Result<Vec<TopicChange>> {
    let mut changes = Vec::new();
    for want in wanted {
        let Some(found) = topic(conn, &want.name)? else {
            if !dry_run {
                create(conn, want)?;
            }
            changes.push(TopicChange::Created(Arc::clone(&want.name)));
            continue;
        };
        let before = changes.len();
        let has = &found.settings;
        let altered = |setting: &str, from: String, to: String| {
            TopicChange::Altered(Arc::clone(&want.name), setting.to_owned(), from, to)
        };
        if has.retention != want.retention {
            changes.push(altered("retention", retention_text(has.retention), retention_text(want.retention)));
        }
        if has.max_record_bytes != want.max_record_bytes {
            let (from, to) = (has.max_record_bytes.to_string(), want.max_record_bytes.to_string());
            changes.push(altered("max_record_bytes", from, to));
        }
        if changes.len() > before && !dry_run {
            conn.execute(
                "UPDATE topics SET retention = ?2, max_record_bytes = ?3 WHERE id = ?1",
                params![found.id, retention_text(want.retention), want.max_record_bytes],
            )?;
        }
        if has.partitions != want.partitions {
            changes.push(TopicChange::Differs(
                Arc::clone(&want.name),
                "partitions".to_owned(),
                want.partitions.to_string(),
                has.partitions.to_string(),
            ));
        }
        if changes.len() == before {
            changes.push(TopicChange::AsWanted(Arc::clone(&want.name)));
        }
    }
    Ok(changes)
}

fn create(conn: &Connection, want: &TopicSettings) -> rusqlite::Result<()> {
    conn.execute(
        "INSERT INTO topics (name, partitions, retention, max_record_bytes) VALUES (?1, ?2, ?3, ?4)",
        params![want.name, want.partitions, retention_text(want.retention), want.max_record_bytes],
    )?;
    let topic = conn.last_insert_rowid();
    for number in 0..want.partitions {
        conn.execute(
            "INSERT INTO partitions (topic, number, first, next) VALUES (?1, ?2, 0, 0)",
            params![topic, number],
        )?;
        let partition = conn.last_insert_rowid();
        conn.execute_batch(&format!(
            "CREATE TABLE p{partition} (offset INTEGER PRIMARY KEY, stamp INTEGER NOT NULL, key BLOB NOT NULL, value BLOB)"
        ))?;
    }
    Ok(())
}

pub(super) fn retention_text(retention: Retention) -> String {
    match retention {
        Retention::Forever => "forever".to_owned(),
        Retention::Compacted => "compacted".to_owned(),
        Retention::Days(days) => format!("days:{days}"),
    }
}

fn parse_retention(text: &str) -> Option<Retention> {
    match text {
        "forever" => Some(Retention::Forever),
        "compacted" => Some(Retention::Compacted),
        _ => text.strip_prefix("days:")?.parse().ok().map(Retention::Days),
    }
}
