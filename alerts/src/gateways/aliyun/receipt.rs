//! `SmsReport`, pushed as a JSON array. Pushed again after 1, 5 and 10 minutes if it is not answered with
//! `{"code":0}`, then lost: so ask as well.

use jiff::civil::DateTime;
use serde::Deserialize;
use tocsin_schemas::time::{Instant, ZONE};

use crate::gateways::{Fate, NotAReceipt, Receipt};

#[derive(Deserialize)]
struct Report {
    success: bool,
    #[serde(default)]
    err_code: Option<String>,
    #[serde(default)]
    report_time: Option<String>,
    biz_id: String,
    #[serde(default)]
    out_id: Option<String>,
}

/// The receipts of a pushed body.
pub(super) fn receipts(body: &[u8]) -> Result<Vec<Receipt>, NotAReceipt> {
    let reports: Vec<Report> = serde_json::from_slice(body).map_err(|e| NotAReceipt {
        expected: "a JSON array of objects with biz_id and success",
        found: format!("{} bytes that are not one ({:?})", body.len(), e.classify()),
    })?;
    Ok(reports.into_iter().map(receipt).collect())
}

fn receipt(report: Report) -> Receipt {
    let failed = || Fate::Failed(report.err_code.unwrap_or_default().chars().take(64).collect());
    Receipt {
        delivery_id: report.out_id.filter(|id| !id.is_empty()),
        gateway_ref: Some(report.biz_id),
        fate: if report.success { Fate::Delivered } else { failed() },
        at: report.report_time.as_deref().and_then(local),
    }
}

/// `2017-08-30 00:00:00`, in UTC+8.
pub(super) fn local(text: &str) -> Option<Instant> {
    let at = DateTime::strptime("%Y-%m-%d %H:%M:%S", text).ok()?;
    Some(Instant(at.to_zoned(ZONE.clone()).ok()?.timestamp().as_millisecond()))
}
