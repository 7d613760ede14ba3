//! The signature of Standard Webhooks: `webhook-signature: v1,` and the base64 of the HMAC-SHA256 of
//! `"{webhook-id}.{webhook-timestamp}.{body}"`. A secret that begins with `whsec_` is the base64 of the key, as
//! that specification writes it; another is the key itself.

use subtle::ConstantTimeEq;
use tocsin_schemas::time::Instant;

use crate::gateways::sign::hmac_sha256;

/// Whether a secret is a key, or the base64 of one where it says so.
pub(super) fn readable(secret: &str) -> bool {
    secret.strip_prefix("whsec_").is_none_or(|text| data_encoding::BASE64.decode(text.as_bytes()).is_ok())
}

/// The value of `webhook-signature`.
pub(super) fn signature(secret: &str, id: &str, seconds: i64, body: &[u8]) -> String {
    let encoded = secret.strip_prefix("whsec_");
    let decoded = encoded.and_then(|text| data_encoding::BASE64.decode(text.as_bytes()).ok());
    let key = decoded.as_deref().unwrap_or(secret.as_bytes());
    let mut text = format!("{id}.{seconds}.").into_bytes();
    text.extend(body);
    format!("v1,{}", data_encoding::BASE64.encode(&hmac_sha256(key, &text)))
}

/// How far the time of a signed request may be off, in seconds: the specification's.
const SKEW_SECONDS: i64 = 300;

/// Whether a request that came was signed with our secret, now: `given` is the value of `webhook-signature`, one signature or
/// several between spaces. In constant time for each.
pub(super) fn verified(
    secret: &str,
    id: &str,
    seconds: &str,
    body: &[u8],
    given: &str,
    now: Instant,
) -> bool {
    let Ok(at) = seconds.parse::<i64>() else { return false };
    if at.abs_diff(now.0.div_euclid(1000)) > SKEW_SECONDS.unsigned_abs() {
        return false;
    }
    let expected = signature(secret, id, at, body);
    given.split(' ').fold(false, |found, one| found | bool::from(one.as_bytes().ct_eq(expected.as_bytes())))
}
