//! What was wrong is taken back where the gateway can, once its correction is accepted: the correction says it, and the
//! wrong words need not stay on the phone. A help and no promise: the gateway takes back what is young enough, nothing is
//! tried again, and a worker that dies in between leaves the message where it is, with its correction.

use std::sync::Arc;

use tocsin_schemas::codes::Change;
use tocsin_schemas::records::{Delivery, DeliveryState};

use super::turn::Turn;
use crate::channel::{Channel, Outcome};
use crate::decide;
use crate::plan::told::order_of;

/// A message to take back.
pub(super) struct Recall {
    channel: Arc<dyn Channel>,
    delivery_id: String,
    gateway_ref: String,
}

impl Recall {
    /// Takes it back; whether the gateway says that it is gone.
    pub async fn make(self) -> bool {
        let outcome = self.channel.recall(&self.gateway_ref).await;
        let gone = matches!(outcome, Outcome::Accepted { .. });
        tracing::info!(delivery_id = %self.delivery_id, gateway = self.channel.name(), gone, ?outcome, "what was wrong is taken back");
        gone
    }
}

impl Turn<'_> {
    /// The messages that this one, which a gateway has just accepted, says were wrong: those of its thread over its
    /// channel that said something new, as far as they are remembered. What was true when it was said (a warning that is
    /// over now) stays.
    pub fn take_back(&mut self, corrected: &Delivery) {
        let Some(channel) = self.shared.channels.get(&corrected.channel).filter(|c| c.recalls()) else {
            return;
        };
        if corrected.change != Change::Corrected || corrected.state != DeliveryState::Accepted {
            return;
        }
        let wrong = self.recent.of_its_thread(corrected).filter(|d| {
            let out = matches!(d.state, DeliveryState::Accepted | DeliveryState::Delivered);
            // Grave news may have passed it while it waited.
            out && order_of(d) < order_of(corrected)
                && d.channel == corrected.channel
                && !decide::looks_back(d.change)
        });
        let recall = |d: &Delivery| {
            let (delivery_id, gateway_ref) = (d.delivery_id.clone(), d.gateway_ref.clone()?);
            Some(Recall { channel: Arc::clone(channel), delivery_id, gateway_ref })
        };
        self.recalls.extend(wrong.filter_map(recall));
    }
}
