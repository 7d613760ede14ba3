//! What only some commands need: it may be missing for the others, and whoever asks for it is told so.

use tocsin_alerts::phone_key::PhoneKey;

use super::{Config, answers};
use crate::exit::Failure;

impl Config {
    /// The key of phones' hashes, if one is configured.
    ///
    /// # Errors
    /// A wrong call: it is missing where it is said to be.
    pub fn phone_key(&self) -> Result<Option<PhoneKey>, Failure> {
        let Some(kept) = &self.phone_key else { return Ok(None) };
        let key = kept.get().map_err(|e| self.wrong(&format!("[alerts] phone_key: {e}")))?;
        Ok(Some(PhoneKey::new(key.expose().as_bytes())))
    }

    /// The server that answers come to, if one is configured.
    ///
    /// # Errors
    /// A wrong call: a secret is missing where it is said to be.
    pub fn answers_server(&self) -> Result<Option<&answers::Answers>, Failure> {
        let server = self.answers.server.as_ref().map(Result::as_ref).transpose();
        server.map_err(|missing| self.wrong(missing))
    }

    fn wrong(&self, what: &str) -> Failure {
        Failure::wrong_call(format!("{}: {what}", self.path.display()))
    }
}
