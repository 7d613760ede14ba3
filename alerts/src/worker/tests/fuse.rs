//! More corrections in an hour than there can be mistakes. Each step is a run of a worker of its own.

use super::quiet::{House, at};
use super::silence::governance;
use super::*;
use crate::fuse::{Details, KIND};

/// A message of this case, decided then.
fn of(case: u32, change: Change, severity: Severity, decided: &str) -> NewRecord {
    let revision = if change == Change::New { 1 } else { 2 };
    let alert = owner_alert(&format!("{change}{case:02}"), change, severity);
    about(case, Alert { decided_at: at(decided), revision, ..alert })
}

fn release(until: &str) -> NewRecord {
    let details = Details { until: at(until), reason: "feed of the hospital repaired".into() };
    governance(KIND, "*", 1, serde_json::to_string(&details).unwrap())
}

#[tokio::test]
async fn a_broken_feed_does_not_write_to_every_owner_and_news_passes() {
    let mut house = House::new();
    house.settings.corrections_an_hour = Some(20);
    let told: Vec<NewRecord> =
        (1..=25).map(|case| of(case, Change::New, Severity::Minor, "2026-11-26 10:00")).collect();
    house.log.put(&told);
    house.step("2026-11-26 10:00", None).await;
    let wrong: Vec<NewRecord> =
        (1..=23).map(|case| of(case, Change::Corrected, Severity::Minor, "2026-11-26 11:00")).collect();
    house.log.put(&wrong);
    let stats = house.step("2026-11-26 11:00", None).await;
    assert_eq!((house.rang().len(), stats.fused, stats.held), (45, 3, 3));
    house.is_held("corrected22", "fuse", "2026-11-27 11:00");
    // Later ones too, though 20 an hour would be allowed again; a death is not held.
    house.log.put(&[
        of(24, Change::Corrected, Severity::Minor, "2026-11-26 13:00"),
        of(25, Change::Upgraded, Severity::Fatal, "2026-11-26 13:00"),
    ]);
    let stats = house.step("2026-11-26 13:00", None).await;
    assert_eq!((house.rang().last().unwrap().as_str(), stats.fused), ("upgraded25", 4));
    // Overtaken meanwhile: it never goes out.
    house.log.put(&[{
        let again = owner_alert("again", Change::Upgraded, Severity::Fatal);
        about(23, Alert { decided_at: at("2026-11-26 13:30"), revision: 3, ..again })
    }]);
    let stats = house.step("2026-11-26 13:30", None).await;
    house.is("corrected23", DeliveryState::Skipped, "superseded");
    assert_eq!((house.rang().last().unwrap().as_str(), stats.fused), ("again", 3));
    // Somebody has looked: what was decided up to noon goes out.
    house.log.put(&[release("2026-11-26 12:00")]);
    let worker = house.worker(at("2026-11-26 14:00"));
    let mut stats = worker.stats();
    let done = async move { drop(stats.wait_for(|s| s.fused == 1 && s.settled(&[])).await) };
    tokio::time::timeout(LIMIT, worker.run(done)).await.expect("they go out").unwrap();
    let rang = house.rang();
    assert_eq!(rang[rang.len() - 2..], ["corrected21", "corrected22"]);
    house.is_held("corrected24", "fuse", "2026-11-27 13:00");
    assert_eq!(rang.len(), 49);
}
