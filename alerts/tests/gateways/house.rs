//! The simulated gateways, a client of each, and what is sent to them.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use serde_json::json;
use tocsin_alerts::channel::{Outcome, Outgoing};
use tocsin_alerts::clock::{BoxFuture, Clock};
use tocsin_alerts::gateways::send::{Post, Timeouts};
use tocsin_alerts::gateways::{Question, Secret, Settings, Verdict, find};
use tocsin_schemas::codes::Role;
use tocsin_schemas::time::Instant;
use tocsin_simulator::{Account, Gateway, HandClock, Plan, Simulator};

/// 2026-01-01T12:00:00+08:00.
pub const NOON: i64 = 1_767_240_000_000;
pub const HOUR: i64 = 3_600_000;

/// Long enough that only a gateway that does not answer meets it, however busy the machine is.
pub const PATIENT: Timeouts = Timeouts { connect_ms: 30_000, total_ms: 60_000 };

/// Much shorter than a slow answer takes (20 s and more), and long enough that the gateway has read the request.
pub const HASTY: Timeouts = Timeouts { connect_ms: 30_000, total_ms: 4_000 };

/// The simulator's clock, for the client.
pub struct Hand(pub HandClock);

impl Clock for Hand {
    fn now(&self) -> Instant {
        Instant(self.0.now())
    }
    fn sleep_until(&self, _: Instant) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

/// A simulator that runs, and its clock.
pub struct House {
    pub simulator: Simulator,
    pub clock: HandClock,
    pub address: SocketAddr,
}

impl House {
    pub async fn new(plan: Plan) -> House {
        let clock = HandClock::at(NOON);
        let mut account = Account::default();
        account.templates.insert("SMS_2".into(), "更正${day}，编号${id}".into());
        let simulator = Simulator::new(account, plan, clock.clock());
        let address = simulator.serve((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        House { simulator, clock, address }
    }

    pub fn client(&self, gateway: Gateway) -> Post {
        self.client_with(gateway, "simulated-secret", self.clock.clone())
    }

    /// A client with this secret and this clock.
    pub fn client_with(&self, gateway: Gateway, secret: &str, clock: HandClock) -> Post {
        client(gateway, &self.base(), secret, clock, PATIENT)
    }

    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many messages the gateways took.
    pub fn rang(&self) -> usize {
        self.simulator.messages().len()
    }
}

pub fn client(gateway: Gateway, base: &str, secret: &str, clock: HandClock, timeouts: Timeouts) -> Post {
    let entry = find(gateway.as_str()).unwrap();
    let sms = |id: &str| json!({"id": id, "slots": ["day", "id"]});
    let values = match gateway {
        Gateway::Aliyun => json!({"access_key_id": "simulated", "sign_name": "永康人社", "endpoint": base,
            "templates": {"T1": sms("SMS_1"), "T3": sms("SMS_2")}}),
        Gateway::Tencent => json!({"secret_id": "simulated", "sdk_app_id": "1400006666", "endpoint": base,
            "sign_name": "永康人社", "templates": {"T1": sms("1")}}),
        Gateway::DingtalkRobot => json!({"endpoint": format!("{base}/robot/send")}),
        Gateway::DingtalkNotice => json!({"app_key": "simulated", "agent_id": 7, "endpoint": base}),
        Gateway::WecomRobot => json!({"endpoint": format!("{base}/cgi-bin/webhook/send")}),
        Gateway::Webhook => json!({"url": format!("{base}/send")}),
    };
    let secrets: BTreeMap<_, _> =
        entry.secrets.iter().map(|name| ((*name).to_owned(), Secret::new(secret))).collect();
    let made = (entry.make)(&Settings { values, secrets, allow_private: true }).unwrap();
    Post::new(made, timeouts, Arc::new(Hand(clock))).unwrap()
}

/// A client of an SMS gateway with this table of approved templates and the account's signature.
pub fn client_of(
    gateway: Gateway,
    base: &str,
    templates: serde_json::Value,
    sign_name: &str,
    clock: HandClock,
) -> Post {
    let entry = find(gateway.as_str()).unwrap();
    let mut values = json!({"sign_name": sign_name, "endpoint": base, "templates": templates});
    let account = match gateway {
        Gateway::Aliyun => vec![("access_key_id", "simulated")],
        _ => vec![("secret_id", "simulated"), ("sdk_app_id", "1400006666")],
    };
    for (name, value) in account {
        values[name] = value.into();
    }
    let secrets = entry.secrets.iter().map(|name| ((*name).to_owned(), Secret::new("simulated-secret")));
    let made = (entry.make)(&Settings { values, secrets: secrets.collect(), allow_private: true }).unwrap();
    Post::new(made, PATIENT, Arc::new(Hand(clock))).unwrap()
}

pub fn message(gateway: Gateway, n: u32) -> Outgoing {
    let id = format!("{n:06}");
    Outgoing {
        idempotency_key: format!("DELIVERY{n}"),
        to: if gateway == Gateway::DingtalkNotice { "manager42".into() } else { "13800138000".into() },
        text: format!("【永康人社】贵单位3月1日登记工伤1起。编号{id}"),
        template: "T1".into(),
        slots: vec![("day", "3月1日".into()), ("id", id.clone())],
        alert_id: format!("A{n}"),
        case_no: id,
        role: Role::Owner,
        attempt: 1,
        link: None,
    }
}

pub fn question(message: &Outgoing, verdict: &Verdict, sent_at: i64) -> Question {
    let gateway_ref = match &verdict.outcome {
        Outcome::Accepted { gateway_ref } => gateway_ref.clone(),
        _ => None,
    };
    Question {
        delivery_id: message.idempotency_key.clone(),
        to: message.to.clone(),
        sent_at: Instant(sent_at),
        gateway_ref,
    }
}

/// Class and reason in a line.
pub fn said(verdict: &Verdict) -> String {
    match &verdict.outcome {
        Outcome::Accepted { .. } => "accepted".into(),
        Outcome::Transient { reason, .. } => format!("transient {reason}"),
        Outcome::WindowUsedUp { reason, .. } => format!("window {reason}"),
        Outcome::Account { reason } => format!("account {reason}"),
        Outcome::Text { reason } => format!("text {reason}"),
        Outcome::Permanent { reason } => format!("permanent {reason}"),
        Outcome::Unknown { reason, .. } => format!("unknown {reason}"),
    }
}
