//! Records in and records out, by the names of the public contract.
//!
//! Records *in* ([`Report`], [`Enterprise`], [`Headcount`], [`Contact`], [`GovernanceEvent`]) are held as
//! they were accepted: every value is on its list and in its range. Records *out* ([`Incident`],
//! [`Alert`], [`Rates`], [`Listed`], [`Delivery`], [`Answer`], [`Progress`],
//! [`Heartbeat`], [`Quarantined`]) serialize with serde to the very
//! names of the Avro schemas and of the files of `tocsin replay`.

mod alert;
mod answer;
mod delivery;
mod heartbeat;
mod incident;
mod list;
mod progress;
mod quarantine;
mod rate;
mod registry;
mod report;

pub use alert::{Alert, AlertFacts, Audience};
pub use answer::Answer;
pub use delivery::{Delivery, DeliveryState};
pub use heartbeat::Heartbeat;
pub use incident::Incident;
pub use list::{Listed, Member, Model, Reference, Whole};
pub use progress::{Counters, Offset, Progress};
pub use quarantine::Quarantined;
pub use rate::{Rate, Rates, Window, WindowRate};
pub use registry::{Contact, Enterprise, GovernanceEvent, Headcount};
pub use report::Report;

/// Any record in, as accepted at the door.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// What one source says about one injured person.
    Report(Report),
    /// One version of an enterprise's registration.
    Enterprise(Enterprise),
    /// Insured persons of an enterprise in a month.
    Headcount(Headcount),
    /// Whom to reach for a role. Personal data.
    Contact(Contact),
    /// A letter, rectification report, inspection or approval.
    Governance(GovernanceEvent),
}

/// SHA-256 of a record's canonical JSON: equal for the same content, and the tie-break of a conflict.
pub type Digest = [u8; 32];
