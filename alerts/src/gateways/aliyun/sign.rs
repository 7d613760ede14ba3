//! ACS3-HMAC-SHA256, as Aliyun's documents have it (signature version 3).
//!
//! canonical = method, path, query, headers (each with a newline), blank, names of the signed headers,
//! SHA-256 of the body; joined by newlines. The signature is the HMAC of the canonical's hash with the secret
//! itself as key, in hexadecimal.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::gateways::sign::{hmac_sha256, sha256_hex};

/// RFC 3986: everything but letters, digits and `-_.~`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What is signed of a call without a body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signed<'a> {
    pub method: &'static str,
    pub host: &'a str,
    /// The encoded query, as it is sent.
    pub query: &'a str,
    pub action: &'a str,
    pub version: &'a str,
    /// `2023-10-26T10:22:32Z`.
    pub date: &'a str,
    pub nonce: &'a str,
}

/// Parameters as a query, sorted by name and encoded by RFC 3986.
pub(super) fn query(parameters: &[(&str, &str)]) -> String {
    let mut pairs: Vec<_> = parameters.iter().map(|(name, value)| (encoded(name), encoded(value))).collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// Headers to send and the value of `Authorization`.
pub(super) fn headers(signed: &Signed<'_>, key_id: &str, secret: &str) -> Vec<(&'static str, String)> {
    let body_hash = sha256_hex(b"");
    let authorization = format!(
        "ACS3-HMAC-SHA256 Credential={key_id},SignedHeaders={NAMES},Signature={}",
        signature(&hashed_canonical(signed), secret)
    );
    vec![
        ("x-acs-action", signed.action.to_owned()),
        ("x-acs-version", signed.version.to_owned()),
        ("x-acs-date", signed.date.to_owned()),
        ("x-acs-signature-nonce", signed.nonce.to_owned()),
        ("x-acs-content-sha256", body_hash),
        ("authorization", authorization),
    ]
}

const NAMES: &str = "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version";

/// SHA-256 of the canonical request.
pub(super) fn hashed_canonical(s: &Signed<'_>) -> String {
    let body_hash = sha256_hex(b"");
    let headers = format!(
        "host:{}\nx-acs-action:{}\nx-acs-content-sha256:{body_hash}\nx-acs-date:{}\nx-acs-signature-nonce:{}\nx-acs-version:{}\n",
        s.host, s.action, s.date, s.nonce, s.version
    );
    sha256_hex([s.method, "/", s.query, &headers, NAMES, &body_hash].join("\n").as_bytes())
}

/// The signature of a hashed canonical request.
pub(super) fn signature(hashed_canonical: &str, secret: &str) -> String {
    let text = format!("ACS3-HMAC-SHA256\n{hashed_canonical}");
    data_encoding::HEXLOWER.encode(&hmac_sha256(secret.as_bytes(), text.as_bytes()))
}
