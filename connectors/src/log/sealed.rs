//! Contacts encrypted at rest, in either log. What stands in the file or on the broker's disk shows no phone, address or
//! name; whoever reads through [`SealedLog`] sees plain records.
//!
//! Sealed are the values of `registry.contacts`, and in `quarantine` the contacts that were refused at the door. All
//! other records go through as they are, and so do plain contacts that are read: an older log, or a producer that knows
//! nothing of the key.
//!
//! # Form
//! `e5 "TCS1"`, the key's id (8 bytes), the nonce (24), then XChaCha20-Poly1305's ciphertext and tag. (No plain record
//! begins so: those begin with `c3 01`, `00` or `{`.) Topic and record key are authenticated with it: a value that is
//! moved to another key is refused. The key's id is a hash of the key. Nonces are drawn by chance: 192 bits are enough
//! for that.
//!
//! # Rotation
//! One key seals, several open. [`reseal`] writes anew what is plain or sealed by an earlier key.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use tocsin_schemas::index::LedgerIndex;
use tocsin_schemas::log::{
    Bounds, EventLog, GoingOn, LogError, LogReader, LogRecord, LogWriter, NewRecord, TopicChange,
    TopicPartition, TopicSettings,
};
use tocsin_schemas::time::Instant;
use tocsin_schemas::topics::{CONTACTS, QUARANTINE};

const MAGIC: &[u8] = b"\xe5TCS1";
const ID: usize = 8;
const NONCE: usize = 24;
const HEAD: usize = MAGIC.len() + ID + NONCE;

/// Records read at a time.
const CHUNK: usize = 1_000;

struct SealingKey {
    id: [u8; ID],
    cipher: XChaCha20Poly1305,
}

/// The key that seals, and those that only open. `Debug` shows no key.
pub struct Keyring {
    newest: SealingKey,
    earlier: Vec<SealingKey>,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyring({}, {} earlier)", hex(&self.newest.id), self.earlier.len())
    }
}

impl Keyring {
    /// Seals with `newest`, opens with all.
    pub fn new(newest: &[u8; 32], earlier: &[[u8; 32]]) -> Keyring {
        let key = |bytes: &[u8; 32]| {
            let mut id = [0; ID];
            let hash = Sha256::new().chain_update(b"tocsin sealing key id").chain_update(bytes).finalize();
            id.copy_from_slice(&hash[..ID]);
            SealingKey { id, cipher: XChaCha20Poly1305::new(bytes.into()) }
        };
        Keyring { newest: key(newest), earlier: earlier.iter().map(key).collect() }
    }

    /// The id of the key that seals: no secret.
    pub fn id(&self) -> String {
        hex(&self.newest.id)
    }

    fn find(&self, id: &[u8]) -> Option<&SealingKey> {
        std::iter::once(&self.newest).chain(&self.earlier).find(|key| key.id == id)
    }

    fn seal(&self, topic: &str, key: &[u8], plain: &[u8]) -> Result<Vec<u8>, LogError> {
        let nonce: [u8; NONCE] = rand::random();
        let payload = Payload { msg: plain, aad: &bound_to(topic, key) };
        let sealed = self.newest.cipher.encrypt(&XNonce::from(nonce), payload);
        // It fails for texts of 256 GiB alone.
        let sealed =
            sealed.map_err(|_| LogError::Damaged(format!("{topic}: a record that cannot be sealed")))?;
        let mut out = Vec::with_capacity(HEAD + sealed.len());
        out.extend(MAGIC);
        out.extend(self.newest.id);
        out.extend(nonce);
        out.extend(sealed);
        Ok(out)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is authenticated with a value: its place.
fn bound_to(topic: &str, key: &[u8]) -> Vec<u8> {
    let mut bound = MAGIC.to_vec();
    // A topic's name holds no zero.
    bound.extend(topic.as_bytes());
    bound.push(0);
    bound.extend(key);
    bound
}

/// Whether a record here holds a contact.
fn personal(topic: &str, key: &[u8]) -> bool {
    let refused = || key.strip_prefix(CONTACTS.as_bytes()).is_some_and(|rest| rest.starts_with(b"/"));
    topic == CONTACTS || (topic == QUARANTINE && refused())
}

fn sealed_by(value: &[u8]) -> Option<&[u8]> {
    (value.len() >= HEAD && value.starts_with(MAGIC)).then(|| &value[MAGIC.len()..MAGIC.len() + ID])
}

/// The plain value; `None`: it is plain already.
fn open(keys: Option<&Keyring>, topic: &str, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>, LogError> {
    let Some(id) = sealed_by(value).filter(|_| personal(topic, key)) else { return Ok(None) };
    let Some(found) = keys.and_then(|keys| keys.find(id)) else {
        let why = format!(
            "its records are encrypted with the key {}, which is not configured: set [log] contacts_key, or \
             contacts_key_before for an earlier one",
            hex(id)
        );
        return Err(LogError::Refused { place: topic.to_owned(), why });
    };
    let mut nonce = [0; NONCE];
    nonce.copy_from_slice(&value[MAGIC.len() + ID..HEAD]);
    let payload = Payload { msg: &value[HEAD..], aad: &bound_to(topic, key) };
    let plain = found.cipher.decrypt(&XNonce::from(nonce), payload);
    plain.map(Some).map_err(|_| {
        LogError::Damaged(format!(
            "an encrypted record of {topic} does not fit its place: it was altered, or moved from another key"
        ))
    })
}

/// A log whose contacts are encrypted at rest. Without keys it writes plain ones, reads plain ones, and refuses to read
/// sealed ones.
pub struct SealedLog {
    inner: Arc<dyn EventLog>,
    keys: Option<Arc<Keyring>>,
}

impl SealedLog {
    /// `inner` with these keys.
    pub fn new(inner: Arc<dyn EventLog>, keys: Option<Arc<Keyring>>) -> SealedLog {
        SealedLog { inner, keys }
    }
}

impl EventLog for SealedLog {
    fn log_id(&self) -> Result<String, LogError> {
        self.inner.log_id()
    }
    fn topics(&self) -> Result<Vec<TopicSettings>, LogError> {
        self.inner.topics()
    }
    fn ensure(&self, topics: &[TopicSettings], dry_run: bool) -> Result<Vec<TopicChange>, LogError> {
        self.inner.ensure(topics, dry_run)
    }
    fn bounds(&self, topic: &str) -> Result<Vec<Bounds>, LogError> {
        self.inner.bounds(topic)
    }
    fn written(&self, topic: &str) -> Result<Vec<u64>, LogError> {
        self.inner.written(topic)
    }
    fn reader(&self, from: &[(TopicPartition, u64)]) -> Result<Box<dyn LogReader>, LogError> {
        let inner = self.inner.reader(from)?;
        // Readers of other topics cost nothing.
        if !from.iter().any(|(at, _)| matches!(&*at.topic, CONTACTS | QUARANTINE)) {
            return Ok(inner);
        }
        Ok(Box::new(SealedReader { inner, keys: self.keys.clone(), stuck: None }))
    }
    fn compact(&self) -> Result<u64, LogError> {
        self.inner.compact()
    }
    fn expire(&self) -> Result<u64, LogError> {
        self.inner.expire()
    }
    /// Deliveries are sealed by nobody.
    fn index(&self, build: Option<GoingOn<'_>>) -> Result<Option<Box<dyn LedgerIndex>>, LogError> {
        self.inner.index(build)
    }
    fn writer(&self, name: &str) -> Result<Box<dyn LogWriter>, LogError> {
        let inner = self.inner.writer(name)?;
        Ok(match &self.keys {
            None => inner,
            Some(keys) => Box::new(SealedWriter { inner, keys: Arc::clone(keys) }),
        })
    }
}

/// Records that were read, and the positions before them.
type Stuck = (Vec<LogRecord>, Vec<(TopicPartition, u64)>);

struct SealedReader {
    inner: Box<dyn LogReader>,
    keys: Option<Arc<Keyring>>,
    /// What could not be opened, and where the reader stood before it: the call may be repeated.
    stuck: Option<Stuck>,
}

impl SealedReader {
    fn opened(&self, records: &mut [LogRecord]) -> Result<(), LogError> {
        for record in records {
            let key = record.key.as_deref().unwrap_or_default();
            let Some(value) = &record.value else { continue };
            if let Some(plain) = open(self.keys.as_deref(), &record.topic, key, value)? {
                record.value = Some(plain);
            }
        }
        Ok(())
    }
}

impl LogReader for SealedReader {
    fn poll(&mut self, max: usize, wait: Duration) -> Result<Vec<LogRecord>, LogError> {
        let (mut records, before) = match self.stuck.take() {
            Some(stuck) => stuck,
            None => {
                let before = self.inner.position();
                (self.inner.poll(max, wait)?, before)
            }
        };
        if let Err(error) = self.opened(&mut records) {
            self.stuck = Some((records, before));
            return Err(error);
        }
        Ok(records)
    }
    fn position(&self) -> Vec<(TopicPartition, u64)> {
        self.stuck.as_ref().map_or_else(|| self.inner.position(), |(_, before)| before.clone())
    }
    fn caught_up(&mut self) -> Result<bool, LogError> {
        Ok(self.inner.caught_up()? && self.stuck.is_none())
    }
}

struct SealedWriter {
    inner: Box<dyn LogWriter>,
    keys: Arc<Keyring>,
}

impl LogWriter for SealedWriter {
    fn append(&mut self, records: &[NewRecord]) -> Result<(), LogError> {
        let mut records = Cow::Borrowed(records);
        for at in 0..records.len() {
            let record = &records[at];
            let Some(value) = record.value.as_ref().filter(|_| personal(&record.topic, &record.key)) else {
                continue;
            };
            let sealed = self.keys.seal(&record.topic, &record.key, value)?;
            records.to_mut()[at].value = Some(sealed);
        }
        self.inner.append(&records)
    }

    fn is_untidy(&self) -> bool {
        self.inner.is_untidy()
    }

    fn tidy(&mut self) -> Result<(), LogError> {
        self.inner.tidy()
    }
}

/// How the contacts of a log stand: the newest record of each key, without tombstones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Survey {
    /// Not encrypted.
    pub plain: u64,
    /// Encrypted with the newest key.
    pub sealed: u64,
    /// Encrypted with an earlier one.
    pub earlier: u64,
    /// Encrypted with a key that is not at hand.
    pub unknown: u64,
    /// Refused contacts in `quarantine` that are not encrypted: they go with their days.
    pub quarantined: u64,
}

/// Looks through the contacts as they stand in the log itself (`raw`: not a [`SealedLog`]).
///
/// # Errors
/// Those of reading.
pub fn survey(raw: &dyn EventLog, keys: Option<&Keyring>) -> Result<Survey, LogError> {
    let mut newest: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
    let mut survey = Survey::default();
    read(&mut *from_first(raw, CONTACTS)?, |record| {
        newest.insert(record.key.unwrap_or_default(), record.value);
    })?;
    for value in newest.into_values().flatten() {
        *match sealed_by(&value) {
            None => &mut survey.plain,
            Some(id) if keys.is_some_and(|keys| keys.newest.id == id) => &mut survey.sealed,
            Some(id) if keys.is_some_and(|keys| keys.find(id).is_some()) => &mut survey.earlier,
            Some(_) => &mut survey.unknown,
        } += 1;
    }
    read(&mut *from_first(raw, QUARANTINE)?, |record| {
        let contact = personal(QUARANTINE, record.key.as_deref().unwrap_or_default());
        let plain = record.value.is_some_and(|value| sealed_by(&value).is_none());
        survey.quarantined += u64::from(contact && plain);
    })?;
    Ok(survey)
}

/// Writes anew, encrypted with the newest key, each contact that is plain or encrypted with an earlier one. What it
/// supersedes goes with the next compaction. Whatever others write meanwhile stays the newest. `stamp`: the day that what
/// is written bears under a clock that was set; `None`: the log's own. Returns how many.
///
/// # Errors
/// Those of reading and writing; a key that is not at hand. What was written is fine.
pub fn reseal(raw: &dyn EventLog, keys: &Keyring, stamp: Option<Instant>) -> Result<u64, LogError> {
    let mut writer = raw.writer("contacts")?;
    let mut reader = from_first(raw, CONTACTS)?;
    let mut newest: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
    let (mut ours, mut written) = (HashSet::new(), BTreeSet::new());
    let mut count = 0;
    loop {
        let mut touched = BTreeSet::new();
        read(&mut *reader, |record| {
            if record.value.as_ref().is_some_and(|value| ours.contains(value)) {
                return;
            }
            let key = record.key.unwrap_or_default();
            touched.insert(key.clone());
            newest.insert(key, record.value);
        })?;
        let mut records = Vec::new();
        for key in touched {
            let value = newest.get(&key).and_then(Option::as_ref);
            // Somebody wrote this key while we did: ours may stand after it, and would hide it.
            let hidden = written.remove(&key);
            let value = match value {
                None if !hidden => continue,
                None => None,
                Some(value) if !hidden && sealed_by(value) == Some(&keys.newest.id) => continue,
                Some(value) => {
                    let plain = open(Some(keys), CONTACTS, &key, value)?;
                    let sealed = keys.seal(CONTACTS, &key, plain.as_ref().unwrap_or(value))?;
                    ours.insert(sealed.clone());
                    written.insert(key.clone());
                    Some(sealed)
                }
            };
            records.push(NewRecord { topic: CONTACTS.into(), key, value, stamp, route: None });
        }
        if records.is_empty() {
            return Ok(count);
        }
        for some in records.chunks(CHUNK) {
            writer.append(some)?;
            count += some.len() as u64;
        }
    }
}

fn from_first(log: &dyn EventLog, topic: &str) -> Result<Box<dyn LogReader>, LogError> {
    let bounds = log.bounds(topic)?;
    let from = (0..)
        .zip(bounds)
        .map(|(partition, bounds)| (TopicPartition { topic: topic.into(), partition }, bounds.first));
    log.reader(&from.collect::<Vec<_>>())
}

fn read(reader: &mut dyn LogReader, mut each: impl FnMut(LogRecord)) -> Result<(), LogError> {
    loop {
        let records = reader.poll(CHUNK, Duration::ZERO)?;
        if records.is_empty() && reader.caught_up()? {
            return Ok(());
        }
        records.into_iter().for_each(&mut each);
    }
}
