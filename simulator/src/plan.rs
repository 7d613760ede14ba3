//! Chance that can be repeated: what happens to a call or a message follows from the seed and its number.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::fault::{Call, Fault};
use crate::providers::Gateway;

/// How often what happens, in thousandths. The default: nothing goes wrong, and receipts take 3 seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Calls with a fault.
    pub faults_per_thousand: u16,
    /// Which faults those are.
    pub faults: Vec<Fault>,
    /// Whether a call's chance hangs on its message and on how often that was called about, not on the order of the calls:
    /// then it is the same whoever comes first.
    pub by_message: bool,
    /// Messages that do not reach the phone.
    pub failed_per_thousand: u16,
    /// Receipts that are pushed twice.
    pub doubled_per_thousand: u16,
    /// Receipts that are never pushed. The carrier has answered all the same, so asking tells.
    pub lost_per_thousand: u16,
    /// The soonest and the latest that the carrier answers, in milliseconds. Far apart, they put receipts out
    /// of order.
    pub receipt_after_ms: (i64, i64),
}

impl Default for Plan {
    fn default() -> Self {
        Plan {
            seed: 0,
            faults_per_thousand: 0,
            faults: Fault::ALL.to_vec(),
            by_message: false,
            failed_per_thousand: 0,
            doubled_per_thousand: 0,
            lost_per_thousand: 0,
            receipt_after_ms: (3_000, 3_000),
        }
    }
}

/// What becomes of an accepted message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fortune {
    /// Whether it reaches the phone.
    pub reaches: bool,
    /// When the carrier answers, after the acceptance, in milliseconds.
    pub after_ms: i64,
    /// How often its receipt is pushed.
    pub pushes: u8,
    /// How much later the second push comes, in milliseconds.
    pub second_after_ms: i64,
}

impl Plan {
    /// The fortune of message number `n` of a gateway.
    pub fn fortune(&self, gateway: Gateway, n: u64) -> Fortune {
        let draw = |what: &str| self.draw(what, gateway, n);
        let happens = |what: &str, per_thousand: u16| draw(what) % 1000 < u64::from(per_thousand);
        let (soonest, latest) = self.receipt_after_ms;
        let span = u64::try_from(latest.saturating_sub(soonest)).unwrap_or(0) + 1;
        let later = |what: &str| i64::try_from(draw(what) % span).unwrap_or(0);
        Fortune {
            reaches: !happens("failed", self.failed_per_thousand),
            after_ms: soonest.saturating_add(later("late")),
            pushes: if happens("lost", self.lost_per_thousand) {
                0
            } else {
                1 + u8::from(happens("doubled", self.doubled_per_thousand))
            },
            second_after_ms: later("second"),
        }
    }

    /// The fault of call number `n`, if it has one. `about`: of those about this message.
    pub fn fault(&self, gateway: Gateway, call: Call, about: &str, n: u64) -> Option<Fault> {
        let drawn = self.draw(&format!("fault {call:?}{about}"), gateway, n);
        let which = usize::try_from(drawn / 1000).unwrap_or(0).checked_rem(self.faults.len())?;
        (drawn % 1000 < u64::from(self.faults_per_thousand)).then(|| self.faults[which])
    }

    fn draw(&self, what: &str, gateway: Gateway, n: u64) -> u64 {
        let hash = Sha256::new()
            .chain_update(self.seed.to_be_bytes())
            .chain_update(n.to_be_bytes())
            .chain_update(gateway.as_str())
            .chain_update(what)
            .finalize();
        hash[..8].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)) >> 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_as_frequent_as_the_plan_says_and_can_be_repeated() {
        let plan = Plan { seed: 7, faults_per_thousand: 100, lost_per_thousand: 250, ..Plan::default() };
        let faults: Vec<_> = (0..10_000).map(|n| plan.fault(Gateway::Aliyun, Call::Send, "", n)).collect();
        let lost = (0..10_000).filter(|n| plan.fortune(Gateway::Aliyun, *n).pushes == 0).count();
        let hit = faults.iter().flatten().count();
        assert!((900..1100).contains(&hit) && (2350..2650).contains(&lost), "{hit} {lost}");
        for fault in Fault::ALL {
            assert!(faults.contains(&Some(fault)), "{fault:?} never comes");
        }
        assert_eq!(
            faults,
            (0..10_000).map(|n| plan.fault(Gateway::Aliyun, Call::Send, "", n)).collect::<Vec<_>>()
        );
    }
}
