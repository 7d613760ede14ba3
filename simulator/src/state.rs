//! What the simulated gateways know.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::fault::{Call, Fault};
use crate::plan::Plan;
use crate::providers::Gateway;
use crate::quota::Quotas;
use crate::receipts::Pending;

/// The customer that the gateways know: one name for all keys, one secret for all secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Account {
    /// Access key id, secret id, application key.
    pub id: String,
    /// Every secret, the keys in URLs and the webhook's bearer token included.
    pub secret: String,
    /// The approved signatures, without their brackets.
    pub sign_names: Vec<String>,
    /// Approved templates: id to text with `${name}` (Aliyun) or `{1}` (Tencent).
    pub templates: BTreeMap<String, String>,
}

impl Account {
    /// Whether this signature is approved.
    pub(crate) fn signs(&self, name: &str) -> bool {
        self.sign_names.iter().any(|known| known == name)
    }
}

impl Default for Account {
    fn default() -> Self {
        let templates = [("SMS_1", "工伤${day}，编号${id}"), ("1", "工伤{1}，编号{2}")];
        Account {
            id: "simulated".into(),
            secret: "simulated-secret".into(),
            sign_names: vec!["永康人社".into()],
            templates: templates.map(|(id, text)| (id.to_owned(), text.to_owned())).into(),
        }
    }
}

/// A message that a gateway took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Whose.
    pub gateway: Gateway,
    /// The phone, user or robot.
    pub to: String,
    /// The words that arrived.
    pub text: String,
    /// The template, for gateways that have them.
    pub template: Option<String>,
    /// The sender's own id, where the protocol has one.
    pub id: Option<String>,
    /// The gateway's number.
    pub gateway_ref: String,
    /// When it was taken, in milliseconds.
    pub at: i64,
    /// Whether it reaches the phone.
    pub reaches: bool,
    /// When the carrier answers, in milliseconds.
    pub answered_at: i64,
    /// When it was taken back.
    pub recalled_at: Option<i64>,
}

/// A call that came, and what was done with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Handled {
    /// Which gateway.
    pub gateway: Gateway,
    /// What for.
    pub call: Call,
    /// The fault that was injected.
    pub fault: Option<Fault>,
    /// The provider's code that was answered, or would have been.
    pub code: String,
    /// When, in milliseconds.
    pub at: i64,
}

/// Everything.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub account: Account,
    pub plan: Plan,
    pub messages: Vec<Message>,
    pub handled: Vec<Handled>,
    pub quotas: HashMap<Gateway, Quotas>,
    pub nonces: HashSet<String>,
    pub tokens: HashMap<String, i64>,
    pub pending: Vec<Pending>,
    pub replies: Vec<Pending>,
    pub scripts: HashMap<(Gateway, Call), VecDeque<Fault>>,
    pub numbers: HashMap<(Gateway, Call, String), u64>,
}

impl State {
    /// The fault of the next call: the script's first, then the plan's. `about`: what the call is about, where the
    /// protocol says it.
    pub fn next_fault(&mut self, gateway: Gateway, call: Call, about: Option<String>) -> Option<Fault> {
        let about = about.filter(|_| self.plan.by_message).unwrap_or_default();
        let number = self.numbers.entry((gateway, call, about.clone())).or_default();
        *number += 1;
        let scripted = self.scripts.get_mut(&(gateway, call)).and_then(VecDeque::pop_front);
        scripted.or_else(|| self.plan.fault(gateway, call, &about, *number))
    }

    /// Takes a message and gives it its number.
    pub fn take(
        &mut self,
        gateway: Gateway,
        to: &str,
        text: String,
        template: Option<&str>,
        id: Option<&str>,
        now: i64,
    ) -> String {
        let n = self.messages.len() as u64 + 1;
        let fortune = self.plan.fortune(gateway, n);
        let gateway_ref = match gateway {
            Gateway::Aliyun => format!("{n:018}^0"),
            Gateway::Tencent => format!("2640:{n:020}"),
            _ => format!("{}", 256_000_000_000 + n),
        };
        let message = Message {
            gateway,
            to: to.to_owned(),
            text,
            template: template.map(ToOwned::to_owned),
            id: id.map(ToOwned::to_owned),
            gateway_ref: gateway_ref.clone(),
            at: now,
            reaches: fortune.reaches,
            answered_at: now + fortune.after_ms,
            recalled_at: None,
        };
        self.pending.extend(Pending::of(&message, &fortune));
        self.messages.push(message);
        gateway_ref
    }

    /// The counts of a gateway.
    pub fn quotas(&mut self, gateway: Gateway) -> &mut Quotas {
        self.quotas.entry(gateway).or_default()
    }
}
