//! What is held for a morning or a workday, as it stands in the ledger.

use tocsin_schemas::records::DeliveryState;
use tocsin_schemas::time::Instant;

use super::turn::Turn;
use crate::decide::{self, Why};

impl Turn<'_> {
    /// Warns once a year, at the start and when the year turns, that nobody has loaded its holidays.
    pub fn look_at_the_calendar(&mut self, now: Instant) {
        let (today, calendar) = (now.day(), &self.shared.settings.calendar);
        // From December on the next year's are missed.
        let season = today.plus(31).year();
        if self.warned == Some(season) {
            return;
        }
        self.warned = Some(season);
        if let Some(warning) = calendar.warning(today) {
            tracing::warn!("{warning}");
        }
    }

    /// Keeps it until this instant, and writes that down unless it stands there already.
    pub fn hold(&mut self, seq: u64, until: Instant, why: Why, now: Instant) {
        let Some(before) = self.board.get(seq).map(|entry| &entry.delivery) else { return };
        // On the workday itself what a holiday held is held by the hour; that is not worth a line.
        if decide::waits(before) && before.due_at == Some(until) {
            let delivery = before.clone();
            self.board.hold(seq, delivery);
            return;
        }
        if before.state == DeliveryState::Sending {
            self.count(|mine| mine.resent_in_flight += 1);
            tracing::info!(
                delivery_id = %before.delivery_id,
                %until,
                "its outcome was not recorded: sent again with the same key when nobody sleeps"
            );
        }
        let delivery = decide::held(before, until, why, now);
        self.board.hold(seq, delivery.clone());
        self.record(&delivery);
    }
}
