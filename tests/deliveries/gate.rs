//! The gateways of a story, and its clock.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use tocsin_alerts::channel::{Channel, Outcome, Outgoing};
use tocsin_alerts::clock::{BoxFuture, Clock};
use tocsin_alerts::gateways::{self, Fate, Kind, Question, Told};
use tocsin_schemas::time::Instant;
use tokio::sync::watch;

/// A clock that is set by each step. Whoever waits for at most ten minutes (a retry, a question about an answer that was lost)
/// gets it at once.
pub struct Hand(watch::Sender<i64>);

const AT_ONCE: i64 = 600_000;

impl Hand {
    pub fn new() -> Arc<Hand> {
        Arc::new(Hand(watch::Sender::new(0)))
    }
    /// It is so late now; it never goes back.
    pub fn set(&self, at: Instant) {
        self.0.send_modify(|now| *now = at.0.max(*now));
    }
}

impl Clock for Hand {
    fn now(&self) -> Instant {
        Instant(*self.0.borrow())
    }
    fn sleep_until(&self, at: Instant) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let mut time = self.0.subscribe();
            let near = |now: &i64| at.0 - *now <= AT_ONCE;
            if time.wait_for(near).await.is_ok() {
                self.set(at);
            }
        })
    }
}

/// A phone that rang.
#[derive(Debug, Clone)]
pub struct Ring {
    pub to: String,
    pub key: String,
    pub channel: &'static str,
    /// The gateway's yes was lost.
    pub unseen: bool,
}

/// All gateways of a story.
#[derive(Default)]
pub struct Phones {
    rings: Mutex<Vec<Ring>>,
    /// For each phone what its next requests come to, each with the channel that it is for, if one is named.
    script: Mutex<HashMap<String, VecDeque<String>>>,
    /// For each phone what a gateway tells of its messages that it has accepted: of those not named here, that the carrier
    /// has not answered.
    fates: Mutex<HashMap<String, Fate>>,
    /// Phones whose requests are not answered for now.
    barred: watch::Sender<HashSet<String>>,
    /// Requests that wait there.
    parked: Mutex<usize>,
}

impl Phones {
    pub fn rings(&self) -> Vec<Ring> {
        self.rings.lock().unwrap().clone()
    }
    pub fn parked(&self) -> usize {
        *self.parked.lock().unwrap()
    }
    /// The next requests to this phone come to this.
    pub fn answers(&self, phone: &str, answers: &[String]) {
        for answer in answers {
            match answer.as_str() {
                "挡住" => self.barred.send_modify(|barred| _ = barred.insert(phone.to_owned())),
                "查送达" => self.tells(phone, Fate::Delivered),
                "查失败" => self.tells(phone, Fate::Failed("MK:0001".into())),
                "查空号" => self.tells(phone, Fate::Failed("MK:0000".into())),
                "放行" => self.barred.send_modify(|barred| _ = barred.remove(phone)),
                _ => {
                    self.script.lock().unwrap().entry(phone.to_owned()).or_default().push_back(answer.clone())
                }
            }
        }
    }

    fn tells(&self, phone: &str, fate: Fate) {
        self.fates.lock().unwrap().insert(phone.to_owned(), fate);
    }

    fn next(&self, phone: &str, channel: &str) -> Option<String> {
        let mut script = self.script.lock().unwrap();
        let queue = script.get_mut(phone)?;
        let fits = |answer: &String| answer.split_once('@').is_none_or(|(_, of)| of == channel);
        let at = queue.iter().position(fits)?;
        let answer = queue.remove(at)?;
        Some(answer.split('@').next().unwrap_or_default().to_owned())
    }
}

/// Counts a request that waits, also if its worker dies meanwhile.
struct Parked<'a>(&'a Phones);

impl<'a> Parked<'a> {
    fn new(phones: &'a Phones) -> Parked<'a> {
        *phones.parked.lock().unwrap() += 1;
        Parked(phones)
    }
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        *self.0.parked.lock().unwrap() -= 1;
    }
}

/// One of them.
pub struct Gate {
    pub name: &'static str,
    pub phones: Arc<Phones>,
}

impl Gate {
    fn ring(&self, message: &Outgoing, unseen: bool) {
        let mut rings = self.phones.rings.lock().unwrap();
        let known = rings.iter().any(|r| r.key == message.idempotency_key);
        if !known || self.kind() != Kind::Idempotent {
            let (to, key) = (message.to.clone(), message.idempotency_key.clone());
            rings.push(Ring { to, key, channel: self.name, unseen });
        }
    }
}

impl Channel for Gate {
    fn name(&self) -> &'static str {
        self.name
    }
    fn send<'a>(&'a self, message: &'a Outgoing) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let mut barred = self.phones.barred.subscribe();
            if barred.borrow().contains(&message.to) {
                self.ring(message, false);
                let _parked = Parked::new(&self.phones);
                let _ = barred.wait_for(|barred| !barred.contains(&message.to)).await;
            }
            tokio::task::yield_now().await;
            let unknown = || Outcome::Unknown { reason: "timeout".into(), retry_after_ms: None };
            match self.phones.next(&message.to, self.name).as_deref() {
                Some("拒绝") => return Outcome::Permanent { reason: "refused".into() },
                Some("忙") => {
                    return Outcome::Transient { reason: "connection_refused".into(), retry_after_ms: None };
                }
                Some("满") => {
                    // Asked again in an hour at the latest.
                    let until = Some(Instant(i64::MAX));
                    return Outcome::WindowUsedUp { reason: "a_day_of_this_phone".into(), until };
                }
                Some("账户") => return Outcome::Account { reason: "http_403".into() },
                Some("丢失") => return unknown(),
                Some("丢响") => {
                    self.ring(message, true);
                    return unknown();
                }
                _ => {}
            }
            self.ring(message, false);
            Outcome::Accepted { gateway_ref: Some("r".to_owned()) }
        })
    }
    fn kind(&self) -> Kind {
        gateways::find(self.name).map_or(Kind::Idempotent, |entry| entry.profile.kind)
    }
    fn not_found_counts_after_ms(&self) -> i64 {
        1_800_000
    }
    fn ask<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Told> {
        Box::pin(async move {
            let rings = self.phones.rings();
            let Some(ring) = rings.iter().find(|r| r.key == question.delivery_id) else {
                return Told::NotFound;
            };
            let told = self.phones.fates.lock().unwrap().get(&ring.to).cloned();
            let fate = told.unwrap_or(if ring.unseen { Fate::Delivered } else { Fate::Accepted });
            Told::Known { fate, gateway_ref: None }
        })
    }
}
