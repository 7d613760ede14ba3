//! What has come of one audience of one alert so far. Pure.

use tocsin_schemas::codes::Says;
use tocsin_schemas::records::{Delivery, DeliveryState};
use tocsin_schemas::time::Instant;

use super::told::Heard;
use crate::decide::Why;
use crate::ledger;

/// What has come of a delivery, as far as what follows for its audience rests on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is under way.
    Open,
    /// It is under way, perhaps for long: it may have come and the gateway is asked, or the phone has had all that a day
    /// allows.
    Stalled,
    /// It certainly did not come, or to somebody who says that it is not theirs: the next one may be tried.
    Lost,
    /// The gateway has it; a receipt may still say that it was lost.
    Out,
    /// It came.
    Reached,
    /// It may have come: nobody else is told as well.
    Unknown,
    /// It ended for a reason that holds for everybody: overtaken, silenced, expired, nobody there, a fact missing.
    Over,
}

/// How a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// What has come of it.
    pub fate: Fate,
    /// What the person has said.
    pub said: Option<Says>,
    /// When it went out, else when this was so; of one that a gateway refuses for its window, again and again, when its
    /// alert was decided.
    pub at: Instant,
}

impl Standing {
    /// That of a delivery that stands for itself.
    pub fn of(delivery: &Delivery) -> Standing {
        let class = ledger::reason_class(delivery);
        Standing {
            fate: fate(delivery.state, class, delivery.uncertain),
            said: ledger::said(delivery),
            at: match delivery.state == DeliveryState::Planned && class == Why::Window.as_str() {
                true => delivery.decided_at.unwrap_or(delivery.at),
                false => delivery.sent_at.unwrap_or(delivery.at),
            },
        }
    }

    /// As the ledger keeps one that has ended.
    pub fn ended((state, class, uncertain): (DeliveryState, &str, bool), at: Instant) -> Standing {
        Standing { fate: fate(state, class, uncertain), said: ledger::said_by(state, class), at }
    }
}

/// What a state and the class of its reason mean for the audience. One that may have come is never sent to somebody
/// else as well.
fn fate(state: DeliveryState, class: &str, uncertain: bool) -> Fate {
    match state {
        DeliveryState::Planned if [Why::Quota, Why::Window].map(Why::as_str).contains(&class) => {
            Fate::Stalled
        }
        DeliveryState::Planned | DeliveryState::Sending => Fate::Open,
        DeliveryState::Uncertain => Fate::Stalled,
        DeliveryState::Accepted => Fate::Out,
        DeliveryState::Delivered if class == Says::NotOurs.as_str() => Fate::Lost,
        DeliveryState::Delivered => Fate::Reached,
        // If it came, then to somebody who says that it is not theirs.
        DeliveryState::Failed | DeliveryState::Skipped if class == Why::Refused.as_str() => Fate::Lost,
        DeliveryState::Failed if uncertain => Fate::Unknown,
        DeliveryState::Failed => {
            let ends = [Why::NoContact, Why::NeverSettled, Why::Silenced, Why::Expired, Why::Superseded];
            // A fact that is missing is missing for everybody.
            let ours = ["missing_fact", "no_template", "unreadable_text", Why::Answered.as_str()];
            match ends.iter().map(|why| why.as_str()).chain(ours).any(|end| end == class) {
                true => Fate::Over,
                false => Fate::Lost,
            }
        }
        DeliveryState::Skipped if class == Why::ContactChanged.as_str() => Fate::Lost,
        DeliveryState::Skipped => Fate::Over,
    }
}

/// One delivery of a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Try {
    /// Its id.
    pub id: String,
    /// Whom it goes to; `None` where nobody was found.
    pub whom: Option<Heard>,
    /// How it stands by itself.
    pub standing: Standing,
    /// The delivery that stands for it: what comes of that is what comes of this one.
    pub leader: Option<String>,
}

/// How far an audience of an alert has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Share {
    /// Its deliveries, in the order in which they were planned. Empty once it is closed.
    pub tries: Vec<Try>,
    /// Nothing more is due. Kept for ever, so as small as can be.
    pub closed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::delivery;

    #[test]
    fn each_end_of_a_delivery_says_what_it_means_for_the_audience() {
        use DeliveryState::*;
        for (state, reason, uncertain, expected) in [
            (Planned, "", false, Fate::Open),
            (Planned, "quota", false, Fate::Stalled),
            (Planned, "window_used_up:isv.BUSINESS_LIMIT_CONTROL", false, Fate::Stalled),
            (Planned, "http_429", false, Fate::Open),
            (Planned, "holiday", false, Fate::Open),
            (Uncertain, "unknown:timeout", true, Fate::Stalled),
            (Accepted, "", false, Fate::Out),
            (Delivered, "", false, Fate::Reached),
            (Delivered, "acknowledged", false, Fate::Reached),
            (Delivered, "not_ours", false, Fate::Lost),
            (Skipped, "address_refused", false, Fate::Lost),
            (Failed, "address_refused", true, Fate::Lost),
            (Failed, "carrier_failed", false, Fate::Lost),
            (Failed, "bounced", false, Fate::Lost),
            (Skipped, "contact_changed", false, Fate::Lost),
            (Skipped, "superseded", false, Fate::Over),
            (Skipped, "answered", false, Fate::Over),
            (Failed, "http_404", false, Fate::Lost),
            (Failed, "gave_up:timeout", false, Fate::Lost),
            (Failed, "gave_up:timeout", true, Fate::Unknown),
            (Failed, "contact_changed", true, Fate::Unknown),
            (Failed, "contact_changed", false, Fate::Lost),
            (Failed, "no_contact", false, Fate::Over),
            (Failed, "expired", false, Fate::Over),
            (Failed, "silenced:s1", false, Fate::Over),
            (Failed, "missing_fact", false, Fate::Over),
            (Failed, "variable_too_long", false, Fate::Lost),
        ] {
            let reason = (!reason.is_empty()).then(|| reason.to_owned());
            let d = Delivery { reason, uncertain, ..delivery("a1", state) };
            assert_eq!(Standing::of(&d).fate, expected, "{state} {:?}", d.reason);
        }
    }

    #[test]
    fn what_a_person_said_counts_only_of_what_came() {
        let said = |state, reason: &str| {
            Standing::of(&Delivery { reason: Some(reason.into()), ..delivery("a1", state) }).said
        };
        assert_eq!(said(DeliveryState::Delivered, "acknowledged"), Some(Says::Acknowledged));
        assert_eq!(said(DeliveryState::Delivered, "withdrawn_claim"), Some(Says::WithdrawnClaim));
        assert_eq!(said(DeliveryState::Skipped, "acknowledged"), None);
        assert_eq!(said(DeliveryState::Delivered, "delivered"), None);
    }
}
