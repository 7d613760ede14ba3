//! The gateways of the simulated city: an account at a provider of SMS for owners, and a webhook for everybody else, both
//! simulated on loopback (`simulator/`). They speak the providers' own protocols, check signatures, and now and then fail
//! as real ones do.
//!
//! Which calls fail follows from the message alone ([`Plan::by_message`]), so a seed's run can be repeated. Some fail before
//! the phone rings (*turned away*), some after it (*the answer is lost*). The SMS provider is then asked what became of the
//! message; the webhook is asked again with the same key, and rings nobody.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tocsin_alerts::admission::{Admission, AdmissionSettings, BreakerSettings};
use tocsin_alerts::channel::Channel;
use tocsin_alerts::channels::Channels;
use tocsin_alerts::clock::Clock as _;
use tocsin_alerts::gateways::send::{Post, Timeouts};
use tocsin_alerts::gateways::{self, Secret, Settings};
use tocsin_alerts::texts::{Template, Texts};
use tocsin_schemas::codes::Role;
use tocsin_schemas::records::Delivery;
use tocsin_simulator::{Account, Call, Fault, Gateway, Message, Plan, Simulator};

use super::clock::SimulatedClock;
use crate::exit::Failure;

/// One call in eleven meets trouble.
const FAULTS_PER_THOUSAND: u16 = 91;
/// What trouble: none that takes real time.
const FAULTS: [Fault; 6] = [
    Fault::TooMany,
    Fault::ServerError,
    Fault::DropBefore,
    Fault::ServerErrorAfter,
    Fault::AcceptThenDrop,
    Fault::Reset,
];
/// After so long in real time an answer is lost. None takes long here, but a machine may.
const PATIENT: Timeouts = Timeouts { connect_ms: 20_000, total_ms: 30_000 };

/// A phone that rang, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring {
    /// The alert.
    pub alert_id: String,
    /// The role that is told.
    pub role: Role,
    /// Which text, such as `T1`.
    pub template: String,
    /// Whose phone.
    pub to: String,
    /// The words.
    pub text: String,
}

impl Ring {
    /// What a gateway took, as the ledger has it by the sender's own id.
    pub fn of(message: &Message, deliveries: &BTreeMap<String, Delivery>) -> Option<Ring> {
        let delivery = deliveries.get(message.id.as_deref()?)?;
        Some(Ring {
            alert_id: delivery.alert_id.clone(),
            role: delivery.role,
            template: delivery.template.split('_').next().unwrap_or_default().to_owned(),
            to: message.to.clone(),
            text: message.text.clone(),
        })
    }
}

/// What the gateways have counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Requests to send.
    pub sends: u64,
    /// Messages that went out.
    pub rang: u64,
    /// Requests that met trouble before anything went out.
    pub turned_away: u64,
    /// Requests that met trouble after the phone rang.
    pub answers_lost: u64,
    /// Requests whose key had rung before: taken without ringing again.
    pub repeated: u64,
    /// Requests that a gateway found wrong; must stay 0.
    pub refused: u64,
    /// Questions what became of a message.
    pub questions: u64,
}

/// The gateways. Cheap to clone; all clones see the same phones.
#[derive(Debug, Clone)]
pub struct Gateways(Simulator);

impl Gateways {
    /// Opens them on a free port of loopback until the runtime ends, by this clock, and clients of them.
    ///
    /// # Errors
    /// A failure: the port, or a client.
    pub async fn serve(seed: u64, clock: &SimulatedClock) -> Result<(Gateways, Channels), Failure> {
        let plan = Plan {
            seed,
            faults_per_thousand: FAULTS_PER_THOUSAND,
            faults: FAULTS.to_vec(),
            by_message: true,
            ..Plan::default()
        };
        let (account, templates) = approved();
        let secret = account.secret.clone();
        let theirs = clock.clone();
        let simulator = Simulator::new(account, plan, Arc::new(move || theirs.now().0));
        let address = simulator.serve((Ipv4Addr::LOCALHOST, 0).into()).await;
        let base = match address {
            Ok(address) => format!("http://{address}"),
            Err(e) => return Err(Failure::failed(format!("cannot open a port on loopback: {e}"))),
        };
        let sms = json!({"access_key_id": Account::default().id, "endpoint": base, "templates": templates,
            "sign_name": Account::default().sign_names[0]});
        let sms = client(Gateway::Aliyun, sms, &secret, clock)?;
        let webhook = client(Gateway::Webhook, json!({"url": format!("{base}/send")}), &secret, clock)?;
        Ok((Gateways(simulator), over([sms, webhook])?))
    }

    /// What went out after the first `known` messages.
    pub fn since(&self, known: usize) -> Vec<Message> {
        self.0.messages().split_off(known)
    }

    /// What they have counted.
    pub fn seen(&self) -> Seen {
        let mut seen = Seen { rang: self.0.messages().len() as u64, ..Seen::default() };
        let mut taken = 0;
        for handled in self.0.handled() {
            if handled.call != Call::Send {
                seen.questions += 1;
                continue;
            }
            seen.sends += 1;
            match handled.fault {
                Some(fault) if !fault.after() => seen.turned_away += 1,
                Some(_) => seen.answers_lost += 1,
                None => {}
            }
            if handled.fault.is_none_or(Fault::after) {
                let right = ["OK", "200"].contains(&handled.code.as_str());
                taken += u64::from(right);
                seen.refused += u64::from(!right);
            }
        }
        seen.repeated = taken.saturating_sub(seen.rang);
        seen
    }
}

/// An account at the SMS provider that has approved every text, and those templates as its client takes them.
fn approved() -> (Account, serde_json::Map<String, serde_json::Value>) {
    let (texts, mut templates) = (Texts::built_in(), serde_json::Map::new());
    let mut account = Account { templates: BTreeMap::new(), ..Account::default() };
    for (id, wording) in Template::ALL.iter().flat_map(|template| texts.wordings(*template)) {
        let slots: Vec<&str> = wording.slots().iter().map(|slot| slot.name()).collect();
        let theirs = format!("SMS-{id}");
        let row = json!({"id": theirs, "slots": slots, "sign_name": wording.signature()});
        templates.insert(id.to_owned(), row);
        account.sign_names.extend(wording.signature().map(str::to_owned));
        let marks = gateways::find(Gateway::Aliyun.as_str()).and_then(|entry| entry.profile.marks);
        account.templates.extend(marks.map(|marks| (theirs, wording.to_approve(marks))));
    }
    (account, templates)
}

fn client(
    gateway: Gateway,
    values: serde_json::Value,
    secret: &str,
    clock: &SimulatedClock,
) -> Result<Post, Failure> {
    let name = gateway.as_str();
    let entry = gateways::find(name).ok_or_else(|| Failure::failed(format!("there is no gateway {name}")))?;
    let secrets = entry.secrets.iter().map(|key| ((*key).to_owned(), Secret::new(secret))).collect();
    let made = (entry.make)(&Settings { values, secrets, allow_private: true }).map_err(Failure::failed)?;
    Post::new(made, PATIENT, Arc::new(clock.clone())).map_err(Failure::failed)
}

/// Owners and their safety officers are told by SMS, and by the webhook where that fails; all others by the webhook.
/// Which of an instant's messages asks first is the machine's, so one that is turned away holds nobody else back: two runs
/// of one seed say the same.
fn over(clients: [Post; 2]) -> Result<Channels, Failure> {
    let patient = || AdmissionSettings {
        longest_hold: Duration::ZERO,
        breaker: BreakerSettings { failures: u32::MAX, ..BreakerSettings::default() },
        ..AdmissionSettings::default()
    };
    let (mut posts, mut admissions): (Vec<Arc<dyn Channel>>, Vec<Admission>) = (Vec::new(), Vec::new());
    for client in clients {
        let admission = Admission::new(client.gateway().profile(), patient());
        posts.push(Arc::new(client.with_standing(admission.standing().clone())));
        admissions.push(admission);
    }
    let mut channels = Channels::new(posts);
    admissions.into_iter().for_each(|admission| channels.admit(admission));
    for role in Role::ALL {
        let order: &[Gateway] = match role {
            Role::Owner | Role::SafetyOfficer => &[Gateway::Aliyun, Gateway::Webhook],
            _ => &[Gateway::Webhook],
        };
        let names: Vec<String> = order.iter().map(|gateway| gateway.as_str().to_owned()).collect();
        channels.order_for(*role, &names).map_err(|name| Failure::failed(format!("no channel {name}")))?;
    }
    Ok(channels)
}
