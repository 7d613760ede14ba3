//! The golden timelines, judged against the oracle under every schedule.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};

use tocsin_oracle::scenario::{Scenario, Schedule, load, run};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
}

#[test]
fn the_oracle_says_what_is_written_under_every_schedule() {
    let all = load(&folder()).unwrap();
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

/// A file with one line left out or one number changed must fail: else that line binds nobody.
#[test]
fn every_line_that_is_written_binds() {
    let folder = folder();
    let mut loose = Vec::new();
    for (name, _) in load(&folder).unwrap() {
        let text = std::fs::read_to_string(folder.join(format!("{name}.scenario"))).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (n, line) in lines.iter().enumerate() {
            let mut changed = Vec::new();
            if line.contains("→") && !line.contains("→ 无") {
                changed.push("→ 无".to_string());
                changed.push(line.replace("业主:甲", "业主:丁").replace("乡镇:33078400", "乡镇:33078499"));
                changed.push(line.replace("1人", "7人").replace("2起 ", "8起 "));
            } else if line.contains("→ 无") {
                changed.push("→ 告知 新报 Z 业主:甲".to_string());
            } else if line.contains("= 率") {
                changed.push(
                    line.replace("1起", "7起")
                        .replace("2起", "7起")
                        .replace("3起", "7起")
                        .replace("0起", "7起"),
                );
            } else if line.contains("= 事故") {
                changed.push(
                    line.replace("计入", "疑似")
                        .replace("待核", "疑似")
                        .replace("已消", "计入")
                        .replace("不予认定", "计入"),
                );
            } else if line.contains("? ") {
                changed.push(line.replace("甲", "丁"));
                changed.push(line.replace("自:2025-0", "自:2025-1").replace("00人", "01人"));
            } else if line.contains("= 未告知") {
                changed.push("= 未告知 过久:9".to_string());
            }
            for change in changed.into_iter().filter(|c| c != line) {
                let mut other = lines.clone();
                other[n] = &change;
                if Scenario::parse(&other.join("\n")).is_ok_and(|s| run(&s, Schedule::Straight).is_ok()) {
                    loose.push(format!("{name} line {}: {line} -> {change}", n + 1));
                }
            }
        }
    }
    assert!(loose.is_empty(), "{}", loose.join("\n"));
}
