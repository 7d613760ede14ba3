//! Entries of lists that changed, as the figures of a decision. What explains an entry, its rate and its chances, is made
//! out when it is asked for: at the first of a month that is every enterprise's, and who decides need not stand still
//! for what somebody else writes down.

use std::fmt;
use std::sync::Arc;

use tocsin_schemas::codes::List;
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::{Listed, Member, Reference};

use super::annual::{Against, Year};
use super::entry::{Said, bare};
use crate::model::Model;
use crate::policy::Lists as Limits;
use crate::rates::Stamp;

/// Entries of lists that changed. They say what was so at their decision, whenever they are asked.
#[derive(Clone, Default)]
pub struct ListsChanged(pub(super) Vec<Row>);

/// A record of the topic `lists`.
#[derive(Clone)]
pub(super) enum Row {
    /// An enterprise on the list of a year; `None`: it is not on it any more.
    Entry(Uscc, Option<(Said, Year)>, Arc<OfList>),
    /// Any other.
    Written(Box<Listed>),
}

/// What the entries of the list of a year have in common at a decision.
pub(super) struct OfList {
    pub year: i32,
    pub reference: Option<Reference>,
    pub model: Option<Arc<Model>>,
    pub limits: Limits,
    pub stamp: Stamp,
}

impl ListsChanged {
    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes them out, one after the other, by key; `None` of an enterprise that is not on its list any more.
    pub fn iter(&self) -> impl Iterator<Item = (String, Option<Listed>)> + '_ {
        let mut rows: Vec<&Row> = self.0.iter().collect();
        rows.sort_by_key(|row| row.order());
        rows.into_iter().map(|row| match row {
            Row::Entry(uscc, None, of) => (format!("{}|{}|{uscc}", List::Annual, of.year), None),
            Row::Entry(uscc, Some((said, now)), of) => keyed(of.listed(*uscc, said, *now)),
            Row::Written(listed) => keyed((**listed).clone()),
        })
    }
}

impl Row {
    /// The enterprise, if it is the entry of one.
    pub fn entry(&self) -> Option<Uscc> {
        match self {
            Row::Entry(uscc, ..) => Some(*uscc),
            Row::Written(_) => None,
        }
    }

    /// Annual before frozen. The key of a list as a whole is where those of its entries begin; what is frozen is in its order.
    fn order(&self) -> (List, i32, Option<Uscc>) {
        match self {
            Row::Entry(uscc, _, of) => (List::Annual, of.year, Some(*uscc)),
            Row::Written(listed) if listed.list == List::Annual => (List::Annual, listed.year, None),
            Row::Written(listed) => (listed.list, 0, None),
        }
    }
}

fn keyed(listed: Listed) -> (String, Option<Listed>) {
    (listed.key(), Some(listed))
}

impl fmt::Debug for ListsChanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl OfList {
    pub fn against(&self) -> Against<'_> {
        Against { reference: self.reference.as_ref(), model: self.model.as_deref(), limits: &self.limits }
    }

    /// An entry with everything that explains it.
    pub fn listed(&self, uscc: Uscc, said: &Said, now: Year) -> Listed {
        Listed { member: Some(self.member(uscc, said, now)), ..self.bare() }
    }

    pub fn member(&self, uscc: Uscc, said: &Said, now: Year) -> Member {
        said.member(uscc, now, &self.against())
    }

    /// A record of this list with nothing in it yet.
    pub fn bare(&self) -> Listed {
        bare(self.year, self.reference.as_ref(), &self.stamp)
    }
}
