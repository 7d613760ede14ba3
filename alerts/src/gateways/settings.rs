//! What an operator says about a gateway, and what can be wrong with it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Secret, Verdict};
use crate::channel::Outgoing;

/// The settings of one gateway: its section of the configuration, and the secrets that were fetched for it.
#[derive(Clone, Default)]
pub struct Settings {
    /// The section, without secrets.
    pub values: serde_json::Value,
    /// Secrets by name.
    pub secrets: BTreeMap<String, Secret>,
    /// Whether requests may go to a private address (of this machine, this house).
    pub allow_private: bool,
}

impl std::fmt::Debug for Settings {
    /// Without values: a URL may hold a key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let secrets: Vec<_> = self.secrets.keys().collect();
        write!(f, "Settings(secrets {secrets:?}, allow_private {})", self.allow_private)
    }
}

/// Why a gateway cannot be set up. The operator acts. Never holds a secret or a whole URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not a URL at all.
    #[error("expected a URL such as https://host/path: {0}")]
    NotAUrl(String),
    /// Phones and keys would travel in the clear.
    #[error("the url must be https (http only on loopback), found {0}")]
    NotSafe(String),
    /// A host that the gateway does not have.
    #[error("the host must be one of {allowed}, found {found}")]
    OtherHost {
        /// The gateway's hosts.
        allowed: String,
        /// The one that was given.
        found: String,
    },
    /// An address inside this house.
    #[error("{found} is {what}: set allow_private = true if the gateway really is there")]
    Private {
        /// The URL without path.
        found: String,
        /// What kind of address it is.
        what: &'static str,
    },
    /// A time-out of 0 would fail every request.
    #[error("{0} must be above 0")]
    ZeroTimeout(&'static str),
    /// A secret is missing.
    #[error("the secret {0} is missing")]
    NoSecret(&'static str),
    /// The secret holds what no header or URL may.
    #[error("the secret {0} holds characters that no header may hold")]
    BadSecret(&'static str),
    /// The secret says that it is base64, and is not.
    #[error("the secret {0} begins with whsec_ and goes on with what is no base64: copy it whole")]
    BadKey(&'static str),
    /// The section cannot be read.
    #[error("{0}")]
    Section(String),
    /// The client cannot be made.
    #[error("cannot make the client: {0}")]
    Client(String),
}

impl Settings {
    /// The section as the gateway's own type.
    ///
    /// # Errors
    /// A missing, unknown or wrong field.
    pub(super) fn section<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        T::deserialize(&self.values).map_err(|e| ConfigError::Section(e.to_string()))
    }

    /// A secret that must be there.
    ///
    /// # Errors
    /// It is missing, or not visible ASCII.
    pub(super) fn secret(&self, name: &'static str) -> Result<Secret, ConfigError> {
        let found = self.secrets.get(name).filter(|secret| !secret.is_empty());
        let secret = found.ok_or(ConfigError::NoSecret(name))?;
        if !secret.plain() {
            return Err(ConfigError::BadSecret(name));
        }
        Ok(secret.clone())
    }
}

/// An approved template of an SMS gateway.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approved {
    /// The gateway's id of it.
    pub id: String,
    /// The slots that fill it in, in its order.
    pub slots: Vec<String>,
    /// The signature that it is sent under, without its brackets; left out: the account's.
    pub sign_name: Option<String>,
}

/// Our wording's id (`T1`, `T7_fallback`) to the gateway's template.
pub type Templates = BTreeMap<String, Approved>;

/// A gateway's template and what fills it in.
pub(super) struct Filled<'a> {
    /// The gateway's id of the template.
    pub template: &'a str,
    /// The signature, where the template has one of its own.
    pub sign_name: Option<&'a str>,
    /// Slot and value, in the template's order.
    pub values: Vec<(&'a str, &'a str)>,
}

/// The template of a message, filled in.
///
/// # Errors
/// No approved template, no value for a slot, or one that is longer than the gateway takes: permanent.
pub(super) fn filled<'a>(
    templates: &'a Templates,
    message: &'a Outgoing,
    variable_chars: Option<usize>,
) -> Result<Filled<'a>, Verdict> {
    let approved =
        templates.get(&message.template).ok_or_else(|| Verdict::permanent("no_approved_template"))?;
    let mut values = Vec::new();
    for slot in &approved.slots {
        let value = message.slots.iter().find(|(name, _)| *name == slot.as_str());
        let (_, value) = value.ok_or_else(|| Verdict::permanent("slot_without_value"))?;
        let chars = value.chars().count();
        if chars == 0 || variable_chars.is_some_and(|most| chars > most) {
            return Err(Verdict::permanent("slot_too_long_or_empty"));
        }
        values.push((slot.as_str(), value.as_str()));
    }
    Ok(Filled { template: &approved.id, sign_name: approved.sign_name.as_deref(), values })
}
