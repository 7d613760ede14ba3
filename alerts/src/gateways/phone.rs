//! Phone numbers as gateways want them.

use super::Verdict;

/// The eleven digits of a number of mainland China, with or without its prefix.
///
/// # Errors
/// Anything else cannot get an SMS: permanent, `not_a_mobile_number`.
pub(super) fn mainland(text: &str) -> Result<&str, Verdict> {
    let text = text.trim();
    let bare = ["+86", "0086", "86"].iter().find_map(|p| text.strip_prefix(p)).unwrap_or(text).trim();
    let good = bare.len() == 11 && bare.starts_with('1') && bare.bytes().all(|b| b.is_ascii_digit());
    if good { Ok(bare) } else { Err(Verdict::permanent("not_a_mobile_number")) }
}
