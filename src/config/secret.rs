//! Values that must not stand in the configuration file: they name where the secret is kept.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

/// Where a secret is kept: `{ env = "NAME" }` or `{ file = "PATH" }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// In an environment variable.
    Env(String),
    /// In a file, without the line end.
    File(PathBuf),
}

/// A secret that was found. Neither `Debug` nor `Display` shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// Where it came from.
    pub place: SecretRef,
    value: String,
}

impl SecretRef {
    /// Fetches it. A relative file is relative to `base`.
    ///
    /// # Errors
    /// One line that says what is missing; empty counts as missing.
    pub fn fetch(&self, base: &Path) -> Result<Secret, String> {
        let value = match self {
            SecretRef::Env(name) => std::env::var(name)
                .map_err(|_| format!("environment variable {name} is not set (or not UTF-8): set it"))?,
            SecretRef::File(path) => {
                let path = base.join(path);
                std::fs::read_to_string(&path)
                    .map_err(|e| format!("cannot read secret file {}: {e}", path.display()))?
            }
        };
        let value = value.trim_end_matches(['\r', '\n']).to_owned();
        if value.is_empty() {
            return Err(format!("{self} is empty"));
        }
        Ok(Secret { place: self.clone(), value })
    }
}

/// A secret that only a part of the commands needs: where it is missing the others work all the same, and whoever needs
/// it says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept(Result<Secret, String>);

impl SecretRef {
    /// Fetches what not every command needs.
    pub fn keep(&self, base: &Path) -> Kept {
        Kept(self.fetch(base))
    }
}

impl Kept {
    /// The secret.
    ///
    /// # Errors
    /// One line that says what is missing.
    pub fn get(&self) -> Result<&Secret, String> {
        self.0.as_ref().map_err(Clone::clone)
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok(secret) => write!(f, "{secret}"),
            Err(missing) => write!(f, "MISSING # {missing}"),
        }
    }
}

impl Secret {
    /// The secret itself: for the connection that needs it, and nowhere else.
    pub fn expose(&self) -> &str {
        &self.value
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretRef::Env(name) => write!(f, "environment variable {name}"),
            SecretRef::File(path) => write!(f, "file {}", path.display()),
        }
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "*** (from {})", self.place)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({self})")
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<SecretRef, D::Error> {
        d.deserialize_any(RefVisitor)
    }
}

const WANTED: &str = "{ env = \"NAME\" } or { file = \"PATH\" }";

struct RefVisitor;

impl<'de> Visitor<'de> for RefVisitor {
    type Value = SecretRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(WANTED)
    }

    // The text itself is not repeated: it may be the very secret.
    fn visit_str<E: de::Error>(self, _: &str) -> Result<SecretRef, E> {
        Err(E::custom(format!("a secret never stands in this file: write {WANTED}")))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretRef, A::Error> {
        let wrong = || de::Error::custom(format!("expected exactly {WANTED}"));
        let (key, value) = map.next_entry::<String, String>()?.ok_or_else(wrong)?;
        if map.next_key::<String>()?.is_some() {
            return Err(wrong());
        }
        match key.as_str() {
            "env" => Ok(SecretRef::Env(value)),
            "file" => Ok(SecretRef::File(value.into())),
            _ => Err(wrong()),
        }
    }
}

/// A plain value, or where a secret one is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PropertyRef {
    /// Written out.
    Plain(String),
    /// Kept elsewhere.
    Secret(SecretRef),
}

impl<'de> Deserialize<'de> for PropertyRef {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<PropertyRef, D::Error> {
        struct PropertyVisitor;
        impl<'de> Visitor<'de> for PropertyVisitor {
            type Value = PropertyRef;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a text, {WANTED}")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<PropertyRef, E> {
                Ok(PropertyRef::Plain(text.to_owned()))
            }
            fn visit_bool<E: de::Error>(self, value: bool) -> Result<PropertyRef, E> {
                Ok(PropertyRef::Plain(value.to_string()))
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<PropertyRef, E> {
                Ok(PropertyRef::Plain(value.to_string()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PropertyRef, A::Error> {
                RefVisitor.visit_map(map).map(PropertyRef::Secret)
            }
        }
        d.deserialize_any(PropertyVisitor)
    }
}

/// A plain value or a secret that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Property {
    /// Written out.
    Plain(String),
    /// Kept elsewhere.
    Secret(Secret),
}

impl Property {
    /// The value itself.
    pub fn expose(&self) -> &str {
        match self {
            Property::Plain(text) => text,
            Property::Secret(secret) => secret.expose(),
        }
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Property::Plain(text) => write!(f, "{text:?}"),
            Property::Secret(secret) => write!(f, "{secret}"),
        }
    }
}
