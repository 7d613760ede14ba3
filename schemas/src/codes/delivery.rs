//! How a delivery stands, and when it may ring.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{UnknownCode, codes};

codes! {
    /// How far a delivery has come. It only moves forward, but for `sending` -> `planned` when a retry is due.
    DeliveryState: "delivery state" {
        /// Due; no request was made yet, or the last one certainly failed and another is due.
        Planned = "planned",
        /// Written before the request: if this is the last word after a crash, the outcome is unknown.
        Sending = "sending",
        /// The last request may have gone out unseen: the gateway is asked when it is due.
        Uncertain = "uncertain",
        /// The gateway said yes.
        Accepted = "accepted",
        /// The gateway knows that it reached the phone.
        Delivered = "delivered",
        /// It will not be delivered; the reason says why.
        Failed = "failed",
        /// Nothing was due to this person; the reason says why.
        Skipped = "skipped",
    }
}

codes! {
    /// When a message may ring.
    Urgency: "urgency" {
        /// At any hour.
        AtOnce = "at_once",
        /// Outside the quiet hours.
        Daytime = "daytime",
        /// Outside the quiet hours, when offices read.
        Workday = "workday",
        /// In the list of the next workday's morning, with others.
        Morning = "morning",
    }
}
