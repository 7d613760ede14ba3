//! The status callback, a JSON array. It knows the serial number of the call (`sid`) and not our id.

use jiff::civil::DateTime;
use serde::Deserialize;
use tocsin_schemas::time::{Instant, ZONE};

use crate::gateways::{Fate, NotAReceipt, Receipt};

#[derive(Deserialize)]
struct Report {
    report_status: Status,
    #[serde(default)]
    errmsg: String,
    #[serde(default)]
    user_receive_time: String,
    sid: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Status {
    Success,
    Fail,
}

/// The receipts of a pushed body.
pub(super) fn receipts(body: &[u8]) -> Result<Vec<Receipt>, NotAReceipt> {
    let reports: Vec<Report> = serde_json::from_slice(body).map_err(|e| NotAReceipt {
        expected: "a JSON array of objects with sid and report_status SUCCESS or FAIL",
        found: format!("{} bytes that are not one ({:?})", body.len(), e.classify()),
    })?;
    Ok(reports.into_iter().map(receipt).collect())
}

fn receipt(report: Report) -> Receipt {
    let at = DateTime::strptime("%Y-%m-%d %H:%M:%S", &report.user_receive_time).ok();
    let at = at.and_then(|at| at.to_zoned(ZONE.clone()).ok());
    Receipt {
        delivery_id: None,
        gateway_ref: Some(report.sid),
        fate: match report.report_status {
            Status::Success => Fate::Delivered,
            Status::Fail => Fate::Failed(report.errmsg.chars().take(64).collect()),
        },
        at: at.map(|at| Instant(at.timestamp().as_millisecond())),
    }
}
