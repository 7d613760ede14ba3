//! What an answer does to its delivery. Pure: how the delivery stands and the answer in, a named [`Effect`] out.
//!
//! A state only moves forward, so whatever comes doubled or out of order ends in the same place (a test shuffles):
//!
//! | stands | `failed` | `delivered` | a person's answer |
//! |---|---|---|---|
//! | no such delivery | unknown | unknown | unknown |
//! | planned, never sent | ignored: not_sent | ignored: not_sent | ignored: not_sent |
//! | planned again after a try | ignored: trying_again | delivered | the answer |
//! | sending, uncertain, accepted | failed | delivered | the answer |
//! | failed | duplicate | delivered | the answer |
//! | delivered | ignored: was_delivered | duplicate | the answer |
//! | ended otherwise (expired, suppressed), after a try | late | late | late |
//!
//! - A `failed` that names another of the gateway's numbers than the last request got is of an earlier try: ignored.
//! - A person's answer counts whatever the phone is said to have got. Of several the one furthest in the order of [`Says`] stands:
//!   not ours > withdrawn > acknowledged. One that says no more than what stands is a duplicate, `other` changes nothing.

use tocsin_schemas::codes::{FailureClass, Says};
use tocsin_schemas::records::{Answer, Delivery, DeliveryState};

/// How a delivery stands, as far as an answer to it is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// How far it has come.
    pub step: Step,
    /// Whether a request was made for it.
    pub tried: bool,
    /// The gateway's number of the last request, where it gave one.
    pub gateway_ref: Option<String>,
    /// What the person has said so far; never `failed`, `delivered`, `other`.
    pub said: Option<Says>,
}

/// The steps of a delivery that differ for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Due, or due again.
    Planned,
    /// A request is out, or the gateway has it: sending, uncertain, accepted.
    Out,
    /// It did not reach the phone.
    Failed,
    /// It reached the phone.
    Delivered,
    /// It ended without: suppressed, expired.
    Ended,
}

impl Step {
    /// Of a state of the ledger.
    pub fn of(state: DeliveryState) -> Step {
        match state {
            DeliveryState::Planned => Step::Planned,
            DeliveryState::Sending | DeliveryState::Uncertain | DeliveryState::Accepted => Step::Out,
            DeliveryState::Failed => Step::Failed,
            DeliveryState::Delivered => Step::Delivered,
            // Whatever else a ledger knows or will know has ended without reaching anybody.
            _ => Step::Ended,
        }
    }
}

impl Standing {
    /// Of a record of the ledger, and what the person has said so far.
    pub fn of(delivery: &Delivery, said: Option<Says>) -> Standing {
        Standing {
            step: Step::of(delivery.state),
            tried: delivery.attempt > 0,
            gateway_ref: delivery.gateway_ref.clone(),
            said: said.filter(|says| *says > Says::Other),
        }
    }

    /// How it stands after an effect.
    #[must_use]
    pub fn after(mut self, effect: &Effect) -> Standing {
        match effect {
            Effect::Delivered => self.step = Step::Delivered,
            Effect::Failed { .. } => self.step = Step::Failed,
            Effect::Acknowledged => self.said = Some(Says::Acknowledged),
            Effect::WithdrawnClaim => self.said = Some(Says::WithdrawnClaim),
            Effect::NotOurs => self.said = Some(Says::NotOurs),
            Effect::Late(_) | Effect::Duplicate | Effect::Unknown | Effect::Ignored(_) => {}
        }
        self
    }
}

/// What an answer does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// The phone has it, perhaps after it was thought to have failed.
    Delivered,
    /// The phone did not get it.
    Failed {
        /// What follows.
        class: FailureClass,
        /// The carrier's code.
        code: Option<String>,
    },
    /// The person has read it: what is still planned for this audience stops.
    Acknowledged,
    /// Not theirs: this address is not tried again, and the clerk gets a task.
    NotOurs,
    /// They say that the case was withdrawn: what is planned stops, and the clerk looks.
    WithdrawnClaim,
    /// It came after the delivery had ended: recorded, and changes nothing.
    Late(Says),
    /// It says what is known.
    Duplicate,
    /// We never gave this id.
    Unknown,
    /// It changes nothing.
    Ignored(Ignored),
}

/// Why an answer changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ignored {
    /// No request was ever made.
    NotSent,
    /// It is tried again already.
    TryingAgain,
    /// It is of a try before the last one.
    EarlierTry,
    /// `failed` after `delivered`.
    WasDelivered,
    /// Words that were not understood.
    NotUnderstood,
}

impl Ignored {
    /// Its name, for log and metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Ignored::NotSent => "not_sent",
            Ignored::TryingAgain => "trying_again",
            Ignored::EarlierTry => "earlier_try",
            Ignored::WasDelivered => "was_delivered",
            Ignored::NotUnderstood => "not_understood",
        }
    }
}

/// What this answer does. `None`: there is no such delivery.
pub fn effect(standing: Option<&Standing>, answer: &Answer) -> Effect {
    let Some(standing) = standing else { return Effect::Unknown };
    if !standing.tried {
        return Effect::Ignored(Ignored::NotSent);
    }
    if standing.step == Step::Ended {
        return Effect::Late(answer.says);
    }
    match answer.says {
        Says::Delivered if standing.step == Step::Delivered => Effect::Duplicate,
        Says::Delivered => Effect::Delivered,
        Says::Failed => failed(standing, answer),
        Says::Other => Effect::Ignored(Ignored::NotUnderstood),
        says if standing.said.is_some_and(|said| says <= said) => Effect::Duplicate,
        Says::Acknowledged => Effect::Acknowledged,
        Says::WithdrawnClaim => Effect::WithdrawnClaim,
        Says::NotOurs => Effect::NotOurs,
    }
}

fn failed(standing: &Standing, answer: &Answer) -> Effect {
    let other = |last: &String| answer.gateway_ref.as_ref().is_some_and(|named| named != last);
    match standing.step {
        Step::Delivered => Effect::Ignored(Ignored::WasDelivered),
        Step::Planned => Effect::Ignored(Ignored::TryingAgain),
        _ if standing.gateway_ref.as_ref().is_some_and(other) => Effect::Ignored(Ignored::EarlierTry),
        Step::Failed => Effect::Duplicate,
        Step::Out | Step::Ended => {
            Effect::Failed { class: answer.class.unwrap_or(FailureClass::Unknown), code: answer.code.clone() }
        }
    }
}

#[cfg(test)]
#[path = "fold_tests.rs"]
mod tests;
