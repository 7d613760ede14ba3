//! `SendSms` and `QuerySendDetails`: parameters in the query, an empty body.

use serde_json::{Map, Value};
use tocsin_schemas::time::{Day, Instant};

use super::config::AliyunConfig;
use super::{PROFILE, sign};
use crate::channel::Outgoing;
use crate::gateways::http::{HttpRequest, Method};
use crate::gateways::settings::filled;
use crate::gateways::{Call, Endpoint, Page, Question, Verdict, phone};

const VERSION: &str = "2017-05-25";

/// Rows on a page of `QuerySendDetails`: the most it gives.
pub(super) const ROWS: u32 = 50;

/// The page with which the second day begins, so the most pages that are read of one day.
pub(super) const SECOND_DAY: Page = 10;

/// How far apart our clock and the gateway's may be, and how long a request may be under way: a message sent
/// so close to midnight is looked for on both days.
const BOTH_DAYS_MS: i64 = 10 * 60_000;

/// The request that sends a message.
pub(super) fn send(
    config: &AliyunConfig,
    endpoint: &Endpoint,
    message: &Outgoing,
    call: &Call<'_>,
) -> Result<HttpRequest, Verdict> {
    let phone = phone::mainland(&message.to)?;
    let filled = filled(&config.templates, message, PROFILE.limits.variable_chars)?;
    let sign_name = filled.sign_name.unwrap_or(&config.sign_name);
    let slots: Map<String, Value> =
        filled.values.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    let slots = Value::Object(slots).to_string();
    let parameters = [
        ("PhoneNumbers", phone),
        ("SignName", sign_name),
        ("TemplateCode", filled.template),
        ("TemplateParam", &slots),
        ("OutId", &message.idempotency_key),
    ];
    Ok(signed(config, endpoint, "SendSms", &parameters, call))
}

/// The request that asks about a message; `None` beyond the last page.
pub(super) fn ask(
    config: &AliyunConfig,
    endpoint: &Endpoint,
    question: &Question,
    page: Page,
    call: &Call<'_>,
) -> Option<HttpRequest> {
    let phone = phone::mainland(&question.to).ok()?;
    let day = days(question, call.now)[(page / SECOND_DAY) as usize % 2]?;
    let (day, rows) = (day.date().strftime("%Y%m%d").to_string(), ROWS.to_string());
    let current = (page % SECOND_DAY + 1).to_string();
    let parameters =
        [("PhoneNumber", phone), ("SendDate", &day), ("PageSize", &rows), ("CurrentPage", &current)];
    Some(signed(config, endpoint, "QuerySendDetails", &parameters, call))
}

/// The days, in UTC+8, on which the gateway may have booked the message.
pub(super) fn days(question: &Question, now: Instant) -> [Option<Day>; 2] {
    let sent = question.sent_by(now);
    let (from, to) = (sent.plus_millis(-BOTH_DAYS_MS), sent.plus_millis(BOTH_DAYS_MS));
    let (first, last) = (from.day(), to.day());
    [Some(first), (last != first).then_some(last)]
}

fn signed(
    config: &AliyunConfig,
    endpoint: &Endpoint,
    action: &str,
    parameters: &[(&str, &str)],
    call: &Call<'_>,
) -> HttpRequest {
    let query = sign::query(parameters);
    let date = utc(call.now);
    let signed = sign::Signed {
        method: "POST",
        host: &endpoint.host(),
        query: &query,
        action,
        version: VERSION,
        date: &date,
        nonce: call.nonce,
    };
    let mut url = endpoint.url.clone();
    url.set_path("/");
    url.set_query(Some(&query));
    HttpRequest {
        method: Method::Post,
        url,
        headers: sign::headers(&signed, &config.access_key_id, config.access_key_secret.reveal()),
        body: Vec::new(),
    }
}

/// `2023-10-26T10:22:32Z`.
fn utc(at: Instant) -> String {
    let at = jiff::Timestamp::from_millisecond(at.held().0).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
