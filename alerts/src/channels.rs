//! The gateways that this house has, and in which order each role is told over them.

use std::collections::BTreeMap;
use std::sync::Arc;

use tocsin_schemas::codes::Role;

use crate::channel::Channel;

/// Every channel, and the order of trying them.
#[derive(Clone)]
pub struct Channels {
    by_name: BTreeMap<&'static str, Arc<dyn Channel>>,
    order: Vec<&'static str>,
    of_role: BTreeMap<Role, Vec<&'static str>>,
}

impl Channels {
    /// Only this one, for everybody.
    pub fn one(channel: Arc<dyn Channel>) -> Channels {
        Channels::new([channel])
    }

    /// These, in this order for everybody.
    pub fn new(channels: impl IntoIterator<Item = Arc<dyn Channel>>) -> Channels {
        let mut all = Channels { by_name: BTreeMap::new(), order: Vec::new(), of_role: BTreeMap::new() };
        for channel in channels {
            let name = channel.name();
            if all.by_name.insert(name, channel).is_none() {
                all.order.push(name);
            }
        }
        all
    }

    /// With an order of its own for this role.
    ///
    /// # Errors
    /// The name that is none of these channels. Nothing is changed then.
    pub fn order_for(&mut self, role: Role, names: &[String]) -> Result<(), String> {
        let known = |name: &String| {
            self.by_name.keys().copied().find(|known| known == name).ok_or_else(|| name.clone())
        };
        let order = names.iter().map(known).collect::<Result<_, _>>()?;
        self.of_role.insert(role, order);
        Ok(())
    }

    /// The names to try for this role, in order.
    pub fn names(&self, role: Role) -> &[&'static str] {
        self.of_role.get(&role).unwrap_or(&self.order)
    }

    /// The channel of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Channel>> {
        self.by_name.get(name)
    }

    /// All of them, by name.
    pub fn all(&self) -> impl Iterator<Item = &Arc<dyn Channel>> {
        self.by_name.values()
    }
}
