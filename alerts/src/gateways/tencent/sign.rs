//! TC3-HMAC-SHA256, as Tencent Cloud's documents have it (signature v3).
//!
//! The day in the scope is that of **UTC**. The content type that is signed is byte-equal to the one sent.

use tocsin_schemas::time::Instant;

use crate::gateways::sign::{hmac_sha256, sha256_hex};

/// The content type, signed and sent.
pub(super) const CONTENT_TYPE: &str = "application/json; charset=utf-8";

const NAMES: &str = "content-type;host";

/// What is signed of a POST to `/`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signed<'a> {
    pub host: &'a str,
    /// `sms`.
    pub service: &'a str,
    pub at: Instant,
    pub payload: &'a [u8],
}

/// The value of `Authorization`.
pub(super) fn authorization(signed: &Signed<'_>, secret_id: &str, secret: &str) -> String {
    let scope = format!("{}/{}/tc3_request", utc_day(signed.at), signed.service);
    let signature = signature(signed, secret);
    format!("TC3-HMAC-SHA256 Credential={secret_id}/{scope}, SignedHeaders={NAMES}, Signature={signature}")
}

/// SHA-256 of the canonical request.
pub(super) fn hashed_canonical(s: &Signed<'_>) -> String {
    let headers = format!("content-type:{CONTENT_TYPE}\nhost:{}\n", s.host);
    sha256_hex(["POST", "/", "", &headers, NAMES, &sha256_hex(s.payload)].join("\n").as_bytes())
}

/// The signature.
pub(super) fn signature(s: &Signed<'_>, secret: &str) -> String {
    let day = utc_day(s.at);
    let text = format!(
        "TC3-HMAC-SHA256\n{}\n{day}/{}/tc3_request\n{}",
        s.at.0.div_euclid(1000),
        s.service,
        hashed_canonical(s)
    );
    let key = hmac_sha256(format!("TC3{secret}").as_bytes(), day.as_bytes());
    let key = hmac_sha256(&key, s.service.as_bytes());
    let key = hmac_sha256(&key, b"tc3_request");
    data_encoding::HEXLOWER.encode(&hmac_sha256(&key, text.as_bytes()))
}

/// `2019-02-25`.
fn utc_day(at: Instant) -> String {
    let at = jiff::Timestamp::from_millisecond(at.held().0).unwrap_or_default();
    at.strftime("%Y-%m-%d").to_string()
}
