//! The keys that contacts are encrypted with at rest.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use tocsin_connectors::log::sealed::Keyring;

use super::file;
use super::secret::{Secret, SecretRef};

/// The keys, and where they came from.
#[derive(Debug, Clone)]
pub struct ContactKeys {
    /// What seals and opens.
    pub keyring: Arc<Keyring>,
    newest: Secret,
    earlier: Option<Secret>,
}

/// The keys of `[log]`; `None`: contacts are stored as they are.
///
/// # Errors
/// One line: a secret that is missing, or no key; an earlier key without a newest one.
pub fn keys(log: &file::Log, base: &Path) -> Result<Option<ContactKeys>, String> {
    let fetch = |name: &str, place: &Option<SecretRef>| {
        let secret = place.as_ref().map(|place| place.fetch(base)).transpose();
        let secret = secret.map_err(|e| format!("[log] {name}: {e}"))?;
        let key = secret.as_ref().map(|secret| bytes(secret.expose())).transpose();
        let key = key.map_err(|e| format!("[log] {name}: {e}"))?;
        Ok::<_, String>(secret.zip(key))
    };
    let newest = fetch("contacts_key", &log.contacts_key)?;
    let earlier = fetch("contacts_key_before", &log.contacts_key_before)?;
    let Some((newest, key)) = newest else {
        return match earlier {
            None => Ok(None),
            Some(_) => {
                Err("[log] contacts_key_before needs contacts_key, the key that takes its place".into())
            }
        };
    };
    let before: Vec<_> = earlier.iter().map(|(_, key)| *key).collect();
    let keyring = Arc::new(Keyring::new(&key, &before));
    Ok(Some(ContactKeys { keyring, newest, earlier: earlier.map(|(secret, _)| secret) }))
}

fn bytes(text: &str) -> Result<[u8; 32], String> {
    let text = text.trim();
    let hex = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok().filter(|_| text.len() == 64);
    let found = hex.or_else(|| BASE64.decode(text.as_bytes()).ok()).unwrap_or_default();
    // Neither the text nor a part of it is repeated.
    found.try_into().map_err(|_| {
        "expected 32 bytes by chance, as 64 hexadecimal digits or as base64: `openssl rand -hex 32` makes some".into()
    })
}

impl fmt::Display for ContactKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# contacts are encrypted: key {}, {}", self.keyring.id(), self.newest)?;
        match &self.earlier {
            Some(earlier) => writeln!(f, "# an earlier key still opens them: {earlier}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &str, dir: &Path) -> Result<Option<ContactKeys>, String> {
        let text = format!("[log]\nkind = \"embedded\"\npath = \"l.db\"\n{lines}");
        keys(&toml::from_str::<file::File>(&text).unwrap().log, dir)
    }

    #[test]
    fn keys_are_read_from_files_checked_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let hex = "00ff".repeat(16);
        let base64 = BASE64.encode(&[7; 32]);
        for (name, text) in
            [("hex", &*hex), ("base64", &*base64), ("short", "c0ffee"), ("words", "hunter2 hunter2")]
        {
            std::fs::write(dir.path().join(name), format!("{text}\n")).unwrap();
        }
        let read = |lines: &str| read(lines, dir.path());
        assert!(read("").unwrap().is_none());
        let both = "contacts_key = { file = \"hex\" }\ncontacts_key_before = { file = \"base64\" }\n";
        let keys = read(both).unwrap().unwrap();
        let shown = format!("{keys} {keys:?}");
        assert!(shown.contains(&keys.keyring.id()) && shown.contains("1 earlier"), "{shown}");
        assert!(!shown.contains(&hex) && !shown.contains(&base64), "{shown}");
        for (lines, said) in [
            ("contacts_key_before = { file = \"hex\" }", "needs contacts_key"),
            ("contacts_key = { file = \"short\" }", "expected 32 bytes"),
            ("contacts_key = { file = \"words\" }", "expected 32 bytes"),
            ("contacts_key = { file = \"nowhere\" }", "cannot read secret file"),
        ] {
            let error = read(lines).unwrap_err();
            assert!(error.contains(said) && error.contains("[log] contacts_key"), "{error}");
            assert!(!error.contains("c0ffee") && !error.contains("hunter2"), "{error}");
        }
    }
}
