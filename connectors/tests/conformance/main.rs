//! One suite for both event logs: what `tocsin_schemas::log` promises, on SQLite and on a real broker,
//! in one process and across processes.
//!
//! - `suite`: tests that both logs pass, written against the contract alone
//! - `sqlite`, `kafka`: what only one of them can meet (a full disk, a broker that dies)
//! - `index`: what the SQLite log finds without reading everything
//! - `subject`: a log under test, and other processes that use it: this test binary, run again

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the verdict")]

mod index;
mod kafka;
mod sqlite;
mod subject;
mod suite;

use subject::Subject;

macro_rules! on_both_logs {
    ($($test:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[test]
            fn $test() {
                super::suite::$test(&super::Subject::sqlite());
            })*
        }
        mod on_kafka {
            $(#[test]
            fn $test() {
                if let Some(subject) = super::Subject::kafka(stringify!($test)) {
                    super::suite::$test(&subject);
                }
            })*
        }
    };
}

on_both_logs!(
    records_come_back_in_order_and_unchanged,
    a_key_goes_where_kafkas_own_client_puts_it,
    an_append_over_several_topics_is_seen_whole,
    a_refused_append_leaves_nothing,
    a_newer_writer_fences_the_older_one,
    a_newer_writer_fences_one_in_another_process_under_load,
    reading_starts_at_any_offset,
    reading_goes_on_where_it_stopped,
    a_route_decides_the_partition_in_the_keys_place,
    empty_and_idle_partitions_hold_nobody_up,
    a_waiting_reader_is_woken,
    a_waiting_reader_is_woken_by_another_process,
    large_records_come_through,
    everything_is_there_after_a_restart,
    topics_are_made_and_changed_as_wanted,
    two_processes_write_at_once,
    a_writer_killed_at_any_moment_leaves_whole_appends,
    stamps_are_kept_where_the_log_is_set_to_keep_them,
    what_is_written_covers_all_that_was_acknowledged,
);

/// Not a test: what another process does for one. See `subject`.
#[test]
fn in_another_process() {
    subject::child_main();
}
