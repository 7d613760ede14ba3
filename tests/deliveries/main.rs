//! Stories of delivery, one file each (README.md of this folder): who is told what, when, and what the ledger says. Each is
//! played by one worker that lives through it, and again by a worker that is killed after every step and built anew; both
//! must tell the same phones the same, and the books must add up after every step.
//!
//! - `parse`: the files
//! - `gate`: the gateways and the clock
//! - `stage`: the log and the worker, and what a step does to them
//! - `watched`: how far a worker has read
//! - `play`: a story from its first step to its last, and the verdict

#![allow(clippy::unwrap_used, missing_docs, reason = "in a test an unwrap is an assertion")]

mod gate;
mod parse;
mod play;
mod stage;
mod watched;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

fn stories() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deliveries");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "scenario"));
    // One alone, for whoever writes it.
    if let Ok(only) = std::env::var("SCENARIO") {
        files.retain(|path| path.to_string_lossy().contains(&only));
    }
    files.sort();
    files
}

#[test]
fn every_story_ends_as_it_is_written_with_one_worker_and_with_a_new_one_after_each_step() {
    let files = stories();
    assert!(!files.is_empty(), "no such story");
    let (next, wrong) = (Mutex::new(files.iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(file) = { next.lock().unwrap().next() } {
                    let name = file.file_stem().unwrap().to_string_lossy().into_owned();
                    let text = std::fs::read_to_string(file).unwrap();
                    if let Err(why) = parse::story(&text).and_then(|story| play::both(&story)) {
                        wrong.lock().unwrap().push(format!("{name}: {why}"));
                    }
                }
            });
        }
    });
    let mut wrong = wrong.into_inner().unwrap();
    wrong.sort();
    assert!(wrong.is_empty(), "{} of {} stories:\n{}", wrong.len(), files.len(), wrong.join("\n\n"));
    eprintln!("{} stories, each with one worker and with a new one after every step", files.len());
}
