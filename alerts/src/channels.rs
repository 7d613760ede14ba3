//! The gateways that this house has, and in which order each role is told over them.

use std::collections::BTreeMap;
use std::sync::Arc;

use tocsin_schemas::codes::Role;

use crate::admission::{Admission, AdmissionSettings};
use crate::channel::Channel;
use crate::gateways::{self, Profile, limits};

/// Every channel, and the order of trying them.
#[derive(Clone)]
pub struct Channels {
    by_name: BTreeMap<&'static str, Arc<dyn Channel>>,
    order: Vec<&'static str>,
    of_role: BTreeMap<Role, Vec<&'static str>>,
    admissions: BTreeMap<&'static str, Admission>,
}

impl Channels {
    /// Only this one, for everybody.
    pub fn one(channel: Arc<dyn Channel>) -> Channels {
        Channels::new([channel])
    }

    /// These, in this order for everybody.
    pub fn new(channels: impl IntoIterator<Item = Arc<dyn Channel>>) -> Channels {
        let mut all = Channels {
            by_name: BTreeMap::new(),
            order: Vec::new(),
            of_role: BTreeMap::new(),
            admissions: BTreeMap::new(),
        };
        for channel in channels {
            let name = channel.name();
            if all.by_name.insert(name, channel).is_none() {
                all.order.push(name);
            }
        }
        all
    }

    /// With this admission for the gateway that it is of. Its client is to share its standing
    /// ([`with_standing`](crate::gateways::send::Post::with_standing)).
    pub fn admit(&mut self, admission: Admission) {
        self.admissions.insert(admission.gateway(), admission);
    }

    /// Whether this channel may be called now; where nothing was said about it, as its gateway publishes, with so many
    /// requests under way at a time.
    pub(crate) fn admission(&self, channel: &dyn Channel, max_in_flight: u32) -> Admission {
        let name = channel.name();
        if let Some(admission) = self.admissions.get(name) {
            return admission.clone();
        }
        let unknown = Profile {
            name,
            kind: channel.kind(),
            not_found_counts_after_seconds: None,
            hosts: &[],
            marks: None,
            limits: limits::NO_LIMITS,
        };
        let profile = gateways::find(name).map_or(&unknown, |entry| entry.profile);
        let settings =
            AdmissionSettings { max_in_flight: Some(max_in_flight), ..AdmissionSettings::default() };
        Admission::new(profile, settings)
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
