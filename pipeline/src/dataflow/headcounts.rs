//! Monthly headcounts, read as those of whoever the enterprise is read as today.

use differential_dataflow::consolidation::consolidate;
use hashbrown::HashMap;
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::time::Month;

use super::enterprises::Change;

/// What the headcounts hear of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(crate) enum HeadcountChange {
    /// An enterprise is registered, and read as this one.
    Standing(Uscc, Uscc),
    /// Its insured persons of a month.
    Insured(Uscc, Month, u32),
}

/// The records of each enterprise.
#[derive(Default)]
pub(crate) struct Headcounts(HashMap<Uscc, Own>);

#[derive(Default)]
struct Own {
    /// Whose it is read as; `None` while not registered.
    root: Option<Uscc>,
    /// Sorted by month.
    months: Vec<(Month, u32)>,
}

impl HeadcountChange {
    /// Whose it is.
    pub fn uscc(&self) -> Uscc {
        match self {
            HeadcountChange::Standing(uscc, _) | HeadcountChange::Insured(uscc, ..) => *uscc,
        }
    }
}

impl Headcounts {
    /// Records and registrations in; what they change of those they are read as, out.
    pub fn step(&mut self, mut changes: Vec<(HeadcountChange, isize)>, out: &mut Vec<(Change, isize)>) {
        // One batch may bring a record and replace it: what nets to nothing never was.
        consolidate(&mut changes);
        // Of one enterprise its standing first; what goes before what comes.
        changes.sort_unstable_by(|(a, x), (b, y)| (a.uscc(), kind(a), x).cmp(&(b.uscc(), kind(b), y)));
        for (change, diff) in changes {
            let own = self.0.entry(change.uscc()).or_default();
            match change {
                HeadcountChange::Standing(_, root) => {
                    let all = own.months.iter().map(|(month, n)| (Change::Insured(root, *month, *n), diff));
                    out.extend(all);
                    own.root = (diff > 0).then_some(root);
                }
                HeadcountChange::Insured(_, month, insured) => {
                    match own.months.binary_search_by_key(&month, |(m, _)| *m) {
                        Ok(at) if diff < 0 => drop(own.months.remove(at)),
                        Err(at) if diff > 0 => own.months.insert(at, (month, insured)),
                        _ => debug_assert!(false, "of a month one record stands at a time"),
                    }
                    out.extend(own.root.map(|root| (Change::Insured(root, month, insured), diff)));
                }
            }
        }
    }
}

fn kind(change: &HeadcountChange) -> bool {
    matches!(change, HeadcountChange::Insured(..))
}
