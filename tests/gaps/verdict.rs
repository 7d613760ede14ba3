//! What must be true afterwards. The judge of what rang is the simulator, which shares no code with the worker.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use tocsin_schemas::records::{Delivery, DeliveryState};
use tocsin_simulator::{Gateway, Message};

use crate::lives::{Gap, Lives, user};

/// The figures in words.
pub fn of(lives: &Lives) -> String {
    let audiences: BTreeSet<_> = lives.ledger.values().map(|d| (d.alert_id.as_str(), d.role)).collect();
    let all = 3 * lives.told as usize;
    assert_eq!((audiences.len(), lives.ledger.len()), (all, all), "one decision for each audience");
    let messages = lives.gates.messages();
    let of = |gateway: Gateway| messages.iter().filter(move |m| m.gateway == gateway);
    let over = |channel: &'static str| lives.ledger.values().filter(move |d| d.channel == channel);

    let accepted = [DeliveryState::Accepted, DeliveryState::Delivered];
    let told = |d: &&Delivery| accepted.contains(&d.state);
    // It can be asked: whatever a kill hid is known in the end, and no phone has rung twice or not at all.
    let rang = by_id(of(Gateway::Aliyun));
    for d in over("aliyun") {
        assert!(told(&d), "{d:?}");
        assert_eq!(rang.get(&*d.delivery_id), Some(&1), "a phone rang twice, or never: {d:?}");
        assert!(!d.uncertain || d.state == DeliveryState::Accepted, "{d:?}");
    }
    assert_eq!(rang.len(), over("aliyun").count());
    let uncertain: Vec<&Delivery> =
        over("aliyun").filter(|d| lives.ever_uncertain.contains(&d.delivery_id)).collect();
    let settled = uncertain.iter().filter(|d| told(d)).count();
    assert_eq!(settled, uncertain.len());
    // It knows our keys: asked again, and rung once.
    let rang = by_id(of(Gateway::Webhook));
    for d in over("webhook") {
        assert!(told(&d), "{d:?}");
        assert_eq!(rang.get(&*d.delivery_id), Some(&1), "{d:?}");
    }
    let again = lives.gates.sends(Gateway::Webhook) - over("webhook").count();
    // It can neither: what a kill hid is reported and never sent again.
    let mut rang: BTreeMap<&str, u32> = BTreeMap::new();
    of(Gateway::DingtalkNotice).for_each(|m| *rang.entry(&m.to).or_default() += 1);
    let (mut unknown, mut heard) = (0, 0);
    for d in over("dingtalk_notice") {
        let times = rang.get(&*user(&d.subject)).copied().unwrap_or(0);
        assert!(times <= 1, "rung {times} times: {d:?}");
        if told(&d) {
            assert_eq!(times, 1, "{d:?}");
            continue;
        }
        assert_eq!(
            (d.state, d.reason.as_deref(), d.uncertain),
            (DeliveryState::Failed, Some("unknown:stopped"), true)
        );
        unknown += 1;
        heard += times;
    }
    reconciles(lives);
    let mut gaps: BTreeMap<Gap, usize> = BTreeMap::new();
    for gap in lives.kills.iter().flatten() {
        *gaps.entry(*gap).or_default() += 1;
    }
    for gap in Gap::ALL {
        let least = lives.kills.len() / 25;
        assert!(
            gaps.get(&gap).is_some_and(|n| *n >= least),
            "{least} kills were to fall into {gap:?}: {gaps:?}"
        );
    }
    format!(
        "{} kills, in which some delivery was {gaps:?}; {all} messages, lost 0, doubled decisions 0; of an askable gateway {settled} \
         of {} uncertain settled, each phone rang once; {again} requests again with the same key; of one that can neither be \
         asked nor knows keys {unknown} unknown, {heard} of which rang; the ledger reconciles to 0",
        lives.kills.len(),
        uncertain.len(),
    )
}

/// How often each delivery rang.
fn by_id<'m>(messages: impl Iterator<Item = &'m Message>) -> BTreeMap<&'m str, u32> {
    let mut times = BTreeMap::new();
    messages.for_each(|m| *times.entry(m.id.as_deref().unwrap_or_default()).or_default() += 1);
    times
}

/// The program's own judge over the log.
fn reconciles(lives: &Lives) {
    let done = Command::new(env!("CARGO_BIN_EXE_tocsin"))
        .args(["ledger", "reconcile", "--log-file"])
        .arg(lives.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(0), "{said}");
}
