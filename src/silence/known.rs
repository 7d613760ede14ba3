//! Whether a silence would silence anything: its subject is one that this log or configuration knows. A slip of the pen
//! would else stand in the log as in force, and the phones ring on.

use tocsin_alerts::contacts::contact_key;
use tocsin_alerts::silences::EVERYBODY;
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::log::{EventLog, LogError};
use tocsin_schemas::records::Record;
use tocsin_schemas::topics::{CONTACTS, ENTERPRISES};
use tocsin_schemas::wire::SchemaIds;

use crate::run::pipeline::admit::{AtDoor, admit};
use crate::run::pipeline::start::read_all;

/// Whether it names everybody, a gateway in use, or an enterprise, whose code bears its own check symbol and which may be
/// due a message before the registry has it. Nothing has to be read for these: they can be silenced in any trouble.
pub fn by_itself(subject: &str, gateways: &[String]) -> bool {
    subject == EVERYBODY || subject.parse::<Uscc>().is_ok() || gateways.iter().any(|name| name == subject)
}

/// Why a silence of this subject, which is not known by itself, would silence nothing; `None`: an area or industry of
/// the registry has it, or a contact. The subject is not repeated where it may hold somebody's number.
///
/// # Errors
/// Those of the log.
pub fn nothing(
    subject: &str,
    gateways: &[String],
    log: &dyn EventLog,
    schemas: &dyn SchemaIds,
) -> Result<Option<String>, LogError> {
    let mut known = false;
    let mut look = |topic, is_it: &dyn Fn(&Record) -> bool| {
        read_all(log, topic, &mut |record| {
            if let AtDoor::In(arrival, _) = admit(record, schemas) {
                known = known || is_it(&arrival.record);
            }
            Ok(())
        })
        .map(|_| known)
    };
    if subject.contains('+') {
        let its = |record: &Record| matches!(record, Record::Contact(c) if contact_key(c.role, &c.subject, c.rank) == subject);
        return Ok((!look(CONTACTS, &its)?).then(|| format!("the topic {CONTACTS} has no such contact")));
    }
    let area = |record: &Record| matches!(record, Record::Enterprise(firm) if *firm.area == *subject || firm.division() == subject);
    let role = |record: &Record| matches!(record, Record::Contact(contact) if contact.subject == subject);
    if look(ENTERPRISES, &area)? || look(CONTACTS, &role)? {
        return Ok(None);
    }
    let gateways = match gateways {
        [] => "none is configured".to_owned(),
        all => all.join(", "),
    };
    Ok(Some(format!(
        "{subject} is no area and no industry of the registry, nobody's contact stands under it, and it is no gateway in \
         use ({gateways}): nothing would be silent"
    )))
}
