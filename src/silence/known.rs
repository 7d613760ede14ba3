//! Whether a silence would silence anything: its subject is one that this log or configuration knows. A slip of the pen
//! would else stand in the log as in force, and the phones ring on.

use std::collections::BTreeSet;

use tocsin_alerts::silences::EVERYBODY;
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::log::{EventLog, LogError};
use tocsin_schemas::records::Record;
use tocsin_schemas::topics::{CONTACTS, ENTERPRISES};
use tocsin_schemas::wire::SchemaIds;

use crate::run::pipeline::admit::{AtDoor, admit};
use crate::run::pipeline::start::read_all;

/// What a subject may name, besides an enterprise and everybody.
#[derive(Debug, Default)]
pub struct Known {
    /// The gateways in use.
    gateways: Vec<String>,
    /// Areas and industries of the registry, and whose roles there are contacts for.
    subjects: BTreeSet<String>,
    /// Contacts as `role+subject+rank`.
    contacts: BTreeSet<String>,
}

impl Known {
    /// Reads the registry and the contacts. What was removed since counts as known: it may come back.
    ///
    /// # Errors
    /// Those of the log.
    pub fn read(
        gateways: Vec<String>,
        log: &dyn EventLog,
        schemas: &dyn SchemaIds,
    ) -> Result<Known, LogError> {
        let mut known = Known { gateways, ..Known::default() };
        for topic in [ENTERPRISES, CONTACTS] {
            read_all(log, topic, &mut |record| {
                if let AtDoor::In(arrival, _) = admit(record, schemas) {
                    known.take(&arrival.record);
                }
                Ok(())
            })?;
        }
        Ok(known)
    }

    fn take(&mut self, record: &Record) {
        let mut subject = |subject: &str| {
            if !self.subjects.contains(subject) {
                self.subjects.insert(subject.to_owned());
            }
        };
        match record {
            Record::Enterprise(firm) => {
                subject(&firm.area);
                subject(firm.division());
            }
            Record::Contact(contact) => {
                subject(&contact.subject);
                self.contacts.insert(format!("{}+{}+{}", contact.role, contact.subject, contact.rank));
            }
            _ => {}
        }
    }

    /// Why a silence of this subject would silence nothing. `None`: it is known, or is an enterprise's code, which bears
    /// its own check symbol and may be due a message before the registry has it.
    pub fn nothing(&self, subject: &str) -> Option<String> {
        if subject == EVERYBODY || subject.parse::<Uscc>().is_ok() {
            return None;
        }
        if subject.contains('+') {
            let known = self.contacts.contains(subject);
            return (!known).then(|| format!("there is no contact {subject}: see the topic {CONTACTS}"));
        }
        if self.subjects.contains(subject) || self.gateways.iter().any(|name| name == subject) {
            return None;
        }
        let gateways = match &self.gateways[..] {
            [] => "none is configured".to_owned(),
            all => all.join(", "),
        };
        Some(format!(
            "{subject} is no area and no industry of the registry, nobody's contact stands under it, and it is no gateway \
             in use ({gateways}): nothing would be silent"
        ))
    }
}
