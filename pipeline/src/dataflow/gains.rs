//! What the epoch under way changed of each scope, gathered until it is over.

use differential_dataflow::difference::{IsZero, Semigroup};

use super::measure::Sums;

/// By number of the scope.
#[derive(Default)]
pub(super) struct Gains {
    gained: Vec<Sums>,
    which: Vec<u32>,
    /// By number, whether it is among them.
    among: Vec<bool>,
}

impl Gains {
    /// The gain of one scope, to be added to.
    pub fn of(&mut self, scope: u32) -> &mut Sums {
        let at = scope as usize;
        if at >= self.among.len() {
            self.among.resize(at + 1, false);
            self.gained.resize(at + 1, Sums::default());
        }
        if !std::mem::replace(&mut self.among[at], true) {
            self.which.push(scope);
        }
        &mut self.gained[at]
    }

    /// Adds a gain to each of these scopes.
    pub fn add(&mut self, scopes: &[u32], gain: &Sums) {
        if gain.is_zero() {
            return;
        }
        let changed = || gain.windows.iter().enumerate().filter(|(_, sum)| !sum.is_zero());
        for scope in scopes {
            let gained = self.of(*scope);
            gained.members += gain.members;
            changed().for_each(|(slot, sum)| gained.windows[slot].plus_equals(sum));
        }
    }

    /// Takes out what is not nothing, by number.
    pub fn take(&mut self) -> Vec<(u32, Sums)> {
        let mut which = std::mem::take(&mut self.which);
        which.sort_unstable();
        let gains = which.into_iter().map(|scope| {
            let at = scope as usize;
            self.among[at] = false;
            (scope, std::mem::take(&mut self.gained[at]))
        });
        gains.filter(|(_, gained)| !gained.is_zero()).collect()
    }
}
