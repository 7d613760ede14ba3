//! Rates that changed, as the figures of a decision. They are made out when they are asked for: at the turn of a month
//! they are those of every enterprise, and who decides need not stand still for what somebody else writes down.

use std::fmt;
use std::sync::Arc;

use tocsin_schemas::codes::Scope;
use tocsin_schemas::records::{Rates, WindowRate};

use super::beside::Beside;
use super::{Stamp, of_circumstance, of_sums, of_total};
use crate::dataflow::{ScopeKey, Sums, Total};

/// Rates that changed. They say what was so at their decision, whenever they are asked.
#[derive(Clone, Default)]
pub struct RatesChanged {
    rows: Vec<(ScopeKey, Option<Now>)>,
    /// `None`: nothing changed.
    how: Option<Arc<How>>,
}

/// What one scope's rates are divided from.
#[derive(Clone)]
pub(super) enum Now {
    Enterprise(Arc<Total>),
    Scope(Box<Sums>),
}

/// How they are made out.
pub(super) struct How {
    pub stamp: Stamp,
    pub beside: Arc<Beside>,
}

impl RatesChanged {
    /// These; `None` of a scope that has no rates any more.
    pub(super) fn new(rows: Vec<(ScopeKey, Option<Now>)>, how: How) -> RatesChanged {
        RatesChanged { rows, how: Some(Arc::new(how)) }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Makes them out, one after the other, by scope and key; `None` of a scope that has none any more.
    pub fn iter(&self) -> impl Iterator<Item = ((Scope, String), Option<Rates>)> + '_ {
        let mut rows: Vec<&(ScopeKey, Option<Now>)> = self.rows.iter().collect();
        rows.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        self.how.iter().flat_map(move |how| {
            std::mem::take(&mut rows).into_iter().map(|(key, now)| {
                let rates = now.as_ref().map(|now| how.rates(key, now));
                ((key.0, key.1.to_string()), rates)
            })
        })
    }
}

impl fmt::Debug for RatesChanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Now {
    fn windows(&self, scope: Scope) -> Vec<WindowRate> {
        match self {
            Now::Enterprise(total) => of_total(total),
            Now::Scope(sums) if scope.of_enterprises() => of_sums(sums),
            Now::Scope(sums) => of_circumstance(sums),
        }
    }
}

impl How {
    /// The rates of one scope.
    pub fn rates(&self, (scope, key): &ScopeKey, now: &Now) -> Rates {
        Rates {
            scope: *scope,
            key: key.to_string(),
            as_of: self.stamp.as_of,
            decided_at: self.stamp.decided_at,
            policy_hash: Arc::clone(&self.stamp.policy_hash),
            windows: self.beside.of(*scope, now.windows(*scope)),
        }
    }
}
