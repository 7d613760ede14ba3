//! The simulated gateways behind a network that takes a moment, and a clock that all share.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use rand::Rng as _;
use serde_json::json;
use tocsin_alerts::channels::Channels;
use tocsin_alerts::clock::{BoxFuture, Clock};
use tocsin_alerts::gateways::send::{Post, Timeouts};
use tocsin_alerts::gateways::{Secret, Settings, find};
use tocsin_schemas::codes::Role;
use tocsin_schemas::time::Instant;
use tocsin_simulator::{Account, Gateway, Message, Plan, Simulator};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The simulated time runs so many times as fast as the machine's.
const SPEED: i64 = 60;
/// 2026-01-01T08:00:00+08:00: a run is over before the day is.
const BEGIN: i64 = 1_767_225_600_000;

/// The time of everybody in this run, whichever process: what it has run is given by when it began.
#[derive(Debug, Clone, Copy)]
pub struct Fast {
    /// The machine's time at the beginning, in milliseconds.
    pub began: i64,
}

fn machine() -> i64 {
    i64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

impl Fast {
    pub fn begins() -> Fast {
        Fast { began: machine() }
    }
    pub fn millis(self) -> i64 {
        BEGIN + (machine() - self.began) * SPEED
    }
}

impl Clock for Fast {
    fn now(&self) -> Instant {
        Instant(self.millis())
    }
    fn sleep_until(&self, at: Instant) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            while self.millis() < at.0 {
                let left = u64::try_from((at.0 - self.millis()) / SPEED).unwrap_or(0);
                tokio::time::sleep(Duration::from_millis(left.clamp(1, 1_000))).await;
            }
        })
    }
}

/// The gateways, and the network before them.
pub struct Gates {
    simulator: Simulator,
    pub address: SocketAddr,
    /// Answers that are on their way back.
    answering: Arc<AtomicUsize>,
    _runtime: tokio::runtime::Runtime,
}

impl Gates {
    pub fn open(clock: Fast) -> Gates {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut account = Account::default();
        account.templates.insert("SMS_T1".into(), "${M}月${D}日，本年${n}起，编号${id}".into());
        let simulator = Simulator::new(account, Plan::default(), Arc::new(move || clock.millis()));
        let answering: Arc<AtomicUsize> = Arc::default();
        let behind = runtime.block_on(simulator.serve((Ipv4Addr::LOCALHOST, 0).into())).unwrap();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let counted = Arc::clone(&answering);
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(network(client, behind, Arc::clone(&counted)));
            }
        });
        Gates { simulator, address, answering, _runtime: runtime }
    }

    pub fn messages(&self) -> Vec<Message> {
        self.simulator.messages()
    }

    /// How many calls to send a message each gateway has had.
    pub fn sends(&self, gateway: Gateway) -> usize {
        let send = tocsin_simulator::Call::Send;
        self.simulator.handled().iter().filter(|h| h.gateway == gateway && h.call == send).count()
    }

    pub fn answering(&self) -> usize {
        self.answering.load(Ordering::SeqCst)
    }
}

/// Bytes take some milliseconds to the gateway and more of them back. What was handed to the network arrives, though the
/// sender be dead.
async fn network(client: TcpStream, behind: SocketAddr, answering: Arc<AtomicUsize>) {
    let Ok(gateway) = TcpStream::connect(behind).await else { return };
    let ((mut from, mut back), (mut answers, mut to)) = (client.into_split(), gateway.into_split());
    let forth = async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(n @ 1..) = from.read(&mut buffer).await {
            let wait = rand::rng().random_range(0..12);
            tokio::time::sleep(Duration::from_millis(wait)).await;
            if to.write_all(&buffer[..n]).await.is_err() {
                return;
            }
        }
    };
    let and_back = async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(n @ 1..) = answers.read(&mut buffer).await {
            answering.fetch_add(1, Ordering::SeqCst);
            let wait = rand::rng().random_range(3..40);
            tokio::time::sleep(Duration::from_millis(wait)).await;
            let written = back.write_all(&buffer[..n]).await;
            answering.fetch_sub(1, Ordering::SeqCst);
            if written.is_err() {
                return;
            }
        }
    };
    tokio::join!(forth, and_back);
}

/// The channels of the worker: owners by SMS, safety officers by DingTalk, townships by the webhook.
pub fn channels(base: &str, clock: Fast) -> Channels {
    let make = |name: &str, values: serde_json::Value| -> Arc<dyn tocsin_alerts::channel::Channel> {
        let entry = find(name).unwrap();
        let secrets: BTreeMap<_, _> =
            entry.secrets.iter().map(|s| ((*s).to_owned(), Secret::new("simulated-secret"))).collect();
        let gateway = (entry.make)(&Settings { values, secrets, allow_private: true }).unwrap();
        Arc::new(Post::new(gateway, Timeouts::default(), Arc::new(clock)).unwrap())
    };
    let template = json!({"id": "SMS_T1", "slots": ["M", "D", "n", "id"]});
    let mut channels = Channels::new([
        make(
            "aliyun",
            json!({"access_key_id": "simulated", "sign_name": "永康人社", "endpoint": base, "templates": {"T1": template}}),
        ),
        make("dingtalk_notice", json!({"app_key": "simulated", "agent_id": 7, "endpoint": base})),
        make("webhook", json!({"url": format!("{base}/send")})),
    ]);
    for (role, name) in
        [(Role::Owner, "aliyun"), (Role::SafetyOfficer, "dingtalk_notice"), (Role::TownshipDuty, "webhook")]
    {
        channels.order_for(role, &[name.to_owned()]).unwrap();
    }
    channels
}
