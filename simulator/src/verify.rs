//! Signatures, computed again from what came. Written from the providers' documents, not from our client.

use hmac::{Hmac, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};

use crate::http::Request;

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(key).map(|mac| mac.chain_update(text));
    mac.map(|mac| mac.finalize().into_bytes().to_vec()).unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// `name=value` of an `Authorization` header, however its parts are separated.
fn part<'a>(authorization: &'a str, name: &str) -> Option<&'a str> {
    let (_, fields) = authorization.split_once(' ')?;
    fields.split(',').find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='))
}

/// The headers that were signed, each as `name:value` with its newline; `None` where one did not come.
fn signed_headers(request: &Request, names: &str) -> Option<String> {
    names.split(';').map(|name| Some(format!("{name}:{}\n", request.header(name)?.trim()))).collect()
}

/// ACS3-HMAC-SHA256: the query as it came, decoded, encoded again by RFC 3986 and sorted.
pub fn acs3(request: &Request, key_id: &str, secret: &str) -> bool {
    const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    let encoded = |text: &str| {
        let text = percent_decode_str(text).decode_utf8_lossy().into_owned();
        utf8_percent_encode(&text, ENCODED).to_string()
    };
    let again = || {
        let authorization = request.header("authorization")?;
        let names = part(authorization, "SignedHeaders")?;
        let needed = ["host", "x-acs-action", "x-acs-date", "x-acs-signature-nonce", "x-acs-version"];
        if part(authorization, "Credential")? != key_id
            || needed.iter().any(|needed| !names.split(';').any(|name| name == *needed))
        {
            return None;
        }
        let body = hex(&Sha256::digest(&request.body));
        if request.header("x-acs-content-sha256")? != body {
            return None;
        }
        let mut pairs: Vec<String> = request
            .raw_query()
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
            .collect();
        pairs.sort();
        let canonical = format!(
            "{}\n{}\n{}\n{}\n{names}\n{body}",
            request.method,
            request.path(),
            pairs.join("&"),
            signed_headers(request, names)?
        );
        let text = format!("ACS3-HMAC-SHA256\n{}", hex(&Sha256::digest(canonical)));
        Some(part(authorization, "Signature")? == hex(&hmac(secret.as_bytes(), text.as_bytes())))
    };
    again().unwrap_or(false)
}

/// TC3-HMAC-SHA256 for service `sms`.
pub fn tc3(request: &Request, secret_id: &str, secret: &str) -> bool {
    let again = || {
        let authorization = request.header("authorization")?;
        let names = part(authorization, "SignedHeaders")?;
        let seconds: i64 = request.header("x-tc-timestamp")?.parse().ok()?;
        let day = jiff::Timestamp::from_second(seconds).ok()?.strftime("%Y-%m-%d").to_string();
        let scope = format!("{day}/sms/tc3_request");
        if part(authorization, "Credential")? != format!("{secret_id}/{scope}") {
            return None;
        }
        let canonical = format!(
            "{}\n{}\n{}\n{}\n{names}\n{}",
            request.method,
            request.path(),
            request.raw_query(),
            signed_headers(request, names)?,
            hex(&Sha256::digest(&request.body))
        );
        let hashed = hex(&Sha256::digest(canonical));
        let text = format!("TC3-HMAC-SHA256\n{seconds}\n{scope}\n{hashed}");
        let key = [day.as_str(), "sms", "tc3_request"]
            .iter()
            .fold(format!("TC3{secret}").into_bytes(), |key, part| hmac(&key, part.as_bytes()));
        Some(part(authorization, "Signature")? == hex(&hmac(&key, text.as_bytes())))
    };
    again().unwrap_or(false)
}

/// The robot's signature, from the decoded query.
pub fn dingtalk(timestamp: &str, sign: &str, secret: &str) -> bool {
    let text = format!("{timestamp}\n{secret}");
    sign == data_encoding::BASE64.encode(&hmac(secret.as_bytes(), text.as_bytes()))
}

/// Standard Webhooks: one of the signatures in the header is right.
pub fn standard_webhooks(request: &Request, secret: &str) -> bool {
    let again = || {
        let (id, at) = (request.header("webhook-id")?, request.header("webhook-timestamp")?);
        let key = match secret.strip_prefix("whsec_") {
            Some(encoded) => data_encoding::BASE64.decode(encoded.as_bytes()).ok()?,
            None => secret.as_bytes().to_vec(),
        };
        let mut text = format!("{id}.{at}.").into_bytes();
        text.extend(&request.body);
        let right = format!("v1,{}", data_encoding::BASE64.encode(&hmac(&key, &text)));
        Some(request.header("webhook-signature")?.split(' ').any(|one| one == right))
    };
    again().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;

    /// The published vectors: not from our client.
    fn vector(id: &str) -> Value {
        let all: Vec<Value> =
            serde_json::from_str(include_str!("../../alerts/tests/gateways/vectors.json")).unwrap();
        all.into_iter().find(|v| v["id"] == id).unwrap()
    }

    fn headers(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    /// Whether the request passes, and whether it still does after each of its parts was changed.
    fn only_as_it_stands(request: &Request, passes: impl Fn(&Request) -> bool) {
        assert!(passes(request));
        for name in request.headers.keys() {
            let mut changed = request.clone();
            changed.headers.entry(name.clone()).and_modify(|value| value.push('0'));
            assert!(!passes(&changed), "{name} may be changed");
            changed.headers.remove(name);
            assert!(!passes(&changed), "{name} may be left out");
        }
        let mut changed = request.clone();
        changed.body.push(b' ');
        assert!(!passes(&changed), "the body may be changed");
        changed = request.clone();
        changed.target.push_str(if request.target.contains('?') { "&a=b" } else { "?a=b" });
        assert!(!passes(&changed), "the query may be changed");
        changed = request.clone();
        changed.method = "GET".into();
        assert!(!passes(&changed), "the method may be changed");
    }

    #[test]
    fn acs3_passes_the_vector_and_nothing_else() {
        let v = vector("acs3_sms");
        let text = |name: &str| v[name].as_str().unwrap();
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(v["query"].as_object().unwrap().iter().map(|(k, v)| (k, v.as_str().unwrap())))
            .finish();
        let names = "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version";
        let authorization = format!(
            "ACS3-HMAC-SHA256 Credential=testId,SignedHeaders={names},Signature={}",
            text("signature")
        );
        let request = Request {
            method: "POST".into(),
            target: format!("/?{query}"),
            headers: headers(&[
                ("host", text("host")),
                ("x-acs-action", text("action")),
                ("x-acs-version", text("version")),
                ("x-acs-date", text("date")),
                ("x-acs-signature-nonce", text("nonce")),
                ("x-acs-content-sha256", &hex(&Sha256::digest(b""))),
                ("authorization", &authorization),
            ]),
            body: Vec::new(),
        };
        only_as_it_stands(&request, |request| acs3(request, "testId", text("sk")));
        assert!(!acs3(&request, "otherId", text("sk")) && !acs3(&request, "testId", "other"));
    }

    #[test]
    fn tc3_passes_the_vector_and_nothing_else() {
        let v = vector("tc3_sms");
        let text = |name: &str| v[name].as_str().unwrap();
        let authorization = format!(
            "TC3-HMAC-SHA256 Credential=id/2019-02-25/sms/tc3_request, SignedHeaders=content-type;host, Signature={}",
            text("signature")
        );
        let request = Request {
            method: "POST".into(),
            target: "/".into(),
            headers: headers(&[
                ("host", text("host")),
                ("content-type", text("content_type")),
                ("x-tc-timestamp", &v["ts"].to_string()),
                ("authorization", &authorization),
            ]),
            body: text("payload").as_bytes().to_vec(),
        };
        only_as_it_stands(&request, |request| tc3(request, "id", text("sk")));
        assert!(!tc3(&request, "other", text("sk")) && !tc3(&request, "id", "other"));
    }

    #[test]
    fn the_robots_signature_passes_the_vector_and_nothing_else() {
        let v = vector("dingtalk_robot");
        let text = |name: &str| v[name].as_str().unwrap();
        let sign = percent_decode_str(text("sign_urlencoded")).decode_utf8().unwrap();
        assert!(dingtalk(text("timestamp_ms"), &sign, text("secret")));
        assert!(!dingtalk("1577262236758", &sign, text("secret")));
        assert!(!dingtalk(text("timestamp_ms"), text("sign_urlencoded"), text("secret")), "encoded twice");
    }
}
