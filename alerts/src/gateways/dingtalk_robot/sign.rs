//! The robot's signature: HMAC-SHA256 of `"{milliseconds}\n{secret}"` with the secret as key, in base64. It is
//! URL-encoded once, by whoever writes the query. The robot's clock may be an hour off at most.

use crate::gateways::sign::hmac_sha256;

/// The signature, not yet URL-encoded.
pub(super) fn signature(millis: i64, secret: &str) -> String {
    let text = format!("{millis}\n{secret}");
    data_encoding::BASE64.encode(&hmac_sha256(secret.as_bytes(), text.as_bytes()))
}
