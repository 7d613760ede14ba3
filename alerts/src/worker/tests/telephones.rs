//! The gateway of these tests: telephones on a table.

use super::*;

/// A gateway that keeps what it was asked, and rings a phone once for a key.
#[derive(Default)]
pub struct Gateway {
    pub asked: Mutex<Vec<Outgoing>>,
    pub rung: Mutex<Vec<Outgoing>>,
    /// For each address the outcomes to give before it says yes.
    pub script: Mutex<HashMap<String, VecDeque<Outcome>>>,
    /// Addresses with a request under way, and whether one ever had two.
    pub under_way: Mutex<(HashSet<String>, usize, bool)>,
    /// Requests after which the process dies: their number from 0, and whether the phone rings before.
    pub die_at: Mutex<Option<(usize, bool)>>,
    pub died: Notify,
    /// Its kind; without one it knows our keys.
    pub kind: Option<Kind>,
    /// For each address, how many requests ring and are not answered.
    pub drops: Mutex<HashMap<String, usize>>,
    /// What it says when asked, before it tells what is so.
    pub answers: Mutex<VecDeque<Told>>,
    /// Questions put to it.
    pub questions: Mutex<Vec<Question>>,
    /// What was taken back; `None`: it takes nothing back.
    pub recalled: Option<Mutex<Vec<String>>>,
    /// Whether it is asked about what it has accepted, too.
    pub tells_later: bool,
    /// Requests wait here while it is closed.
    pub gate: Option<tokio::sync::Semaphore>,
}

impl Gateway {
    pub fn says(&self, address: &str, outcomes: impl IntoIterator<Item = Outcome>) {
        self.script.lock().unwrap().insert(address.into(), outcomes.into_iter().collect());
    }
    pub fn ring(&self, message: &Outgoing) {
        let mut rung = self.rung.lock().unwrap();
        if rung.iter().all(|m| m.idempotency_key != message.idempotency_key) {
            rung.push(message.clone());
        }
    }
    pub fn rung(&self) -> Vec<(String, String)> {
        self.rung.lock().unwrap().iter().map(|m| (m.alert_id.clone(), m.to.clone())).collect()
    }
    pub fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Channel for Gateway {
    fn name(&self) -> &'static str {
        "webhook"
    }
    fn send<'a>(&'a self, message: &'a Outgoing) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let number = {
                let mut asked = self.asked.lock().unwrap();
                asked.push(message.clone());
                asked.len() - 1
            };
            {
                let mut under_way = self.under_way.lock().unwrap();
                under_way.2 |= !under_way.0.insert(message.to.clone());
                under_way.1 = under_way.1.max(under_way.0.len());
            }
            if let Some(gate) = &self.gate {
                gate.acquire().await.unwrap().forget();
            }
            tokio::task::yield_now().await;
            let die = self.die_at.lock().unwrap().take_if(|(at, _)| *at == number);
            if let Some((_, rings)) = die {
                if rings {
                    self.ring(message);
                }
                self.died.notify_one();
                std::future::pending::<()>().await;
            }
            self.under_way.lock().unwrap().0.remove(&message.to);
            if let Some(left) = self.drops.lock().unwrap().get_mut(&message.to).filter(|left| **left > 0) {
                *left -= 1;
                self.ring(message);
                return timeout();
            }
            let scripted = self.script.lock().unwrap().get_mut(&message.to).and_then(VecDeque::pop_front);
            if let Some(outcome) = scripted {
                return outcome;
            }
            self.ring(message);
            Outcome::Accepted { gateway_ref: Some(format!("m-{number}")) }
        })
    }
    fn kind(&self) -> Kind {
        self.kind.unwrap_or(Kind::Idempotent)
    }
    fn not_found_counts_after_ms(&self) -> i64 {
        1_800_000
    }
    fn asks(&self) -> bool {
        self.tells_later
    }
    fn ask<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Told> {
        Box::pin(async move {
            self.questions.lock().unwrap().push(question.clone());
            if let Some(answer) = self.answers.lock().unwrap().pop_front() {
                return answer;
            }
            let rung = self.rung.lock().unwrap();
            match rung.iter().find(|m| m.idempotency_key == question.delivery_id && m.to == question.to) {
                Some(_) => Told::Known { fate: Fate::Delivered, gateway_ref: Some("asked".into()) },
                None => Told::NotFound,
            }
        })
    }
    fn recalls(&self) -> bool {
        self.recalled.is_some()
    }
    fn recall<'a>(&'a self, gateway_ref: &'a str) -> BoxFuture<'a, Outcome> {
        Box::pin(async {
            // The answer takes a while: a worker that is told to stop may be told so meanwhile.
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
            self.recalled.as_ref().unwrap().lock().unwrap().push(gateway_ref.to_owned());
            Outcome::Accepted { gateway_ref: None }
        })
    }
}
