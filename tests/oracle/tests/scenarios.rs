//! The golden timelines, judged against the oracle under every schedule.

use std::path::Path;

use tocsin_oracle::scenario::{Scenario, Schedule, run};

fn all() -> Vec<(String, Scenario)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "scenario") {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            all.push((name.clone(), Scenario::parse(&text).unwrap_or_else(|e| panic!("{name}: {e}"))));
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[test]
fn the_oracle_says_what_is_written_under_every_schedule() {
    let all = all();
    assert!(all.len() >= 25, "only {} scenarios", all.len());
    let mut wrong = Vec::new();
    for (name, scenario) in &all {
        for schedule in Schedule::ALL {
            if let Err(e) = run(scenario, schedule) {
                wrong.push(format!("{name}: {e}"));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} scenarios:\n{}", wrong.len(), all.len(), wrong.join("\n"));
}
