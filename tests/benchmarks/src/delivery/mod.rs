//! What delivery costs: an alert's way to the wire, deliveries a second, and the start on a ledger of years.
//!
//! - [`l`]: alert readable to request on the wire, over a bare transaction on the same log
//! - [`m`]: deliveries a second on one core, with a slow gateway beside the fast one
//! - [`n`]: a ledger of years on the embedded log: ready to send, and found in
//! - [`gateway`]: the receiver on loopback

mod gateway;
pub mod l;
pub mod m;
pub mod n;

use std::collections::BTreeMap;
use std::sync::Arc;

use tocsin_alerts::channel::{Channel, Outcome, Outgoing};
use tocsin_alerts::clock::{BoxFuture, SystemClock};
use tocsin_alerts::gateways::send::{Post, Timeouts};
use tocsin_alerts::gateways::webhook::{Webhook, WebhookConfig};
use tocsin_alerts::gateways::{Kind, Question, Told};
use tocsin_schemas::codes::{Change, Role, Rule, Severity};
use tocsin_schemas::ids::IncidentId;
use tocsin_schemas::log::NewRecord;
use tocsin_schemas::records::{Alert, AlertFacts, Audience, Contact, Record};
use tocsin_schemas::time::Instant;
use tocsin_schemas::topics;
use tocsin_schemas::wire::{self, Encoding, OutputRecord};

use crate::workload::uscc;

/// The machine's clock.
fn now() -> Instant {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Instant(i64::try_from(since.as_millis()).unwrap_or(0))
}

/// The webhook at this address, with nothing left out that `tocsin run` has.
fn webhook(url: &str) -> Post {
    let config = WebhookConfig::new(url);
    let gateway = Webhook::new(&config).expect("a URL of loopback");
    let timeouts = Timeouts { connect_ms: 3_000, total_ms: 30_000 };
    Post::new(Arc::new(gateway), timeouts, Arc::new(SystemClock)).expect("a client")
}

/// The same under another name: a second gateway.
struct Named(&'static str, Post);

impl Channel for Named {
    fn name(&self) -> &'static str {
        self.0
    }
    fn send<'a>(&'a self, message: &'a Outgoing) -> BoxFuture<'a, Outcome> {
        self.1.send(message)
    }
    fn kind(&self) -> Kind {
        Channel::kind(&self.1)
    }
    fn not_found_counts_after_ms(&self) -> i64 {
        self.1.not_found_counts_after_ms()
    }
    fn ask<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Told> {
        Box::pin(self.1.ask(question))
    }
}

/// Somebody with a phone of their own.
fn contact(role: Role, subject: &str, phone: u32) -> NewRecord {
    let contact = Contact {
        role,
        subject: subject.to_owned(),
        rank: 1,
        name: "某人".into(),
        phone: Some(format!("139{phone:08}")),
        addresses: BTreeMap::new(),
        valid_from: None,
        valid_to: None,
        verified_on: None,
        version: 1,
    };
    let value = wire::encode_in(&Record::Contact(contact), Encoding::SingleObject).expect("a sound contact");
    let key = format!("{role}|{subject}|1").into_bytes();
    NewRecord { topic: topics::CONTACTS.into(), key, value: Some(value), stamp: None, route: None }
}

/// A new minor incident, told to whoever has this role for this subject.
fn alert(nth: u32, firm: u32, role: Role, subject: &str) -> Alert {
    let (incident, now) = (IncidentId(nth + 1), now());
    Alert {
        alert_id: format!("{nth:026}"),
        case_no: incident.to_string().into(),
        rule: Rule::OwnerIncident,
        change: Change::New,
        subject: incident.to_string().into(),
        uscc: uscc(firm),
        episode: 1,
        revision: 1,
        audiences: vec![Audience { role, subject: subject.into(), year_to_date: Some(1) }],
        level: None,
        severity: Some(Severity::Minor),
        incident_ids: vec![incident],
        reports: Vec::new(),
        count: 1,
        as_of: now.day(),
        decided_at: now,
        reason: None,
        policy_hash: "".into(),
        facts: AlertFacts {
            enterprise_name: Some("永康市长城五金工具制造有限责任公司".into()),
            short_name: Some("长城五金".into()),
            area: Some("330784001".into()),
            occurred_on: Some(now.day()),
            cause: "03".parse().ok(),
            ..AlertFacts::default()
        },
    }
}

fn output<T: OutputRecord>(record: &T) -> NewRecord {
    NewRecord {
        topic: T::TOPIC.into(),
        key: record.key(),
        value: Some(wire::encode(record)),
        stamp: None,
        route: record.route(),
    }
}
