//! A secret that nothing prints.

use serde::Deserialize;

/// A key, token or password. No `Debug`, error or log line shows it; it is read from environment or a file
/// by whoever builds a configuration, and never stands in the configuration file itself.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// From what was read; white space at the ends is dropped.
    pub fn new(text: &str) -> Secret {
        Secret(text.trim().to_owned())
    }

    /// The secret itself, for the request that needs it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether nothing was given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it can stand in a header or URL as it is: visible ASCII.
    pub(super) fn plain(&self) -> bool {
        self.0.bytes().all(|b| (0x21..0x7f).contains(&b))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}
