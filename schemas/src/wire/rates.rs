//! Rates as an Avro datum, written field by field.
//!
//! They are what Tocsin writes most: five to ten records for each incident. The general writer walks schema and record
//! side by side, field names and unions included, which takes some twenty times as long. A test
//! asserts that both write the same bytes.

use std::io::Write as _;

use crate::records::{Rates, WindowRate};

/// Appends the datum, as `schemas/avro/rates.avsc` has it.
pub(super) fn datum(rates: &Rates, out: &mut Vec<u8>) {
    let Rates { scope, key, as_of, decided_at, policy_hash, windows } = rates;
    string(out, scope.as_str());
    string(out, key);
    display(out, as_of);
    display(out, decided_at);
    string(out, policy_hash);
    block(out, windows, |out, window| datum_of_window(window, out));
}

fn datum_of_window(rate: &WindowRate, out: &mut Vec<u8>) {
    let WindowRate {
        window,
        incidents,
        persons,
        incidents_with_headcount,
        headcount,
        per_thousand,
        reason,
        low,
        high,
        shrunken,
        shrunken_reason,
        rankable,
        other,
    } = rate;
    display(out, window);
    long(out, u64::from(*incidents));
    long(out, u64::from(*persons));
    long(out, u64::from(*incidents_with_headcount));
    optional(out, *headcount, double);
    optional(out, *per_thousand, double);
    optional(out, *reason, |out, reason| string(out, reason.as_str()));
    optional(out, *low, double);
    optional(out, *high, double);
    optional(out, *shrunken, double);
    optional(out, *shrunken_reason, |out, reason| string(out, reason.as_str()));
    out.push(u8::from(*rankable));
    block(out, other, |out, (category, n)| {
        string(out, category.as_str());
        long(out, u64::from(*n));
    });
}

/// A number of not more than 63 bits: zigzag, then seven bits a byte, the lowest first.
fn long(out: &mut Vec<u8>, n: u64) {
    let mut left = n << 1;
    while left > 0x7F {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

fn double(out: &mut Vec<u8>, x: f64) {
    out.extend_from_slice(&x.to_le_bytes());
}

fn string(out: &mut Vec<u8>, text: &str) {
    long(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// What has a text form of fewer than 64 bytes, so that its length takes one: days, instants, windows.
fn display(out: &mut Vec<u8>, text: impl std::fmt::Display) {
    let at = out.len();
    out.push(0);
    // Writing into memory does not fail.
    let _ = write!(out, "{text}");
    out[at] = ((out.len() - at - 1) << 1) as u8;
}

/// A union of null and something.
fn optional<T>(out: &mut Vec<u8>, value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) {
    match value {
        None => long(out, 0),
        Some(value) => {
            long(out, 1);
            write(out, value);
        }
    }
}

/// An array or a map: one block with all items, unless there is none, and the empty block that ends it.
fn block<I: IntoIterator<IntoIter: ExactSizeIterator>>(
    out: &mut Vec<u8>,
    items: I,
    mut write: impl FnMut(&mut Vec<u8>, I::Item),
) {
    let items = items.into_iter();
    if items.len() > 0 {
        long(out, items.len() as u64);
        items.for_each(|item| write(out, item));
    }
    long(out, 0);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codes::{Category, RateReason, Scope, ShrunkenReason};
    use crate::records::Window;
    use crate::time::{Day, Instant};
    use crate::wire::{self, Kind};

    fn code<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
        prop::sample::select(all)
    }

    fn window() -> impl Strategy<Value = Window> {
        let named = [Window::Month, Window::Quarter, Window::Year, Window::YearAgo];
        prop_oneof![any::<u16>().prop_map(Window::Rolling), prop::sample::select(named.to_vec())]
    }

    prop_compose! {
        fn rate()(
            window in window(), counts in any::<[u32; 3]>(),
            numbers in any::<[Option<f64>; 5]>(),
            reason in prop::option::of(code(RateReason::ALL)),
            shrunken_reason in prop::option::of(code(ShrunkenReason::ALL)),
            rankable in any::<bool>(),
            other in prop::collection::btree_map(code(Category::ALL), any::<u32>(), 0..4),
        ) -> WindowRate {
            let [incidents, persons, incidents_with_headcount] = counts;
            let [headcount, per_thousand, low, high, shrunken] = numbers;
            WindowRate {
                window, incidents, persons, incidents_with_headcount, headcount, per_thousand, reason, low, high,
                shrunken, shrunken_reason, rankable, other,
            }
        }
    }

    prop_compose! {
        fn rates()(
            scope in code(Scope::ALL), key in ".{0,80}", as_of in -800_000..3_000_000i32,
            at in any::<i64>(), hash in "[0-9a-f]{0,64}", windows in prop::collection::vec(rate(), 0..9),
        ) -> Rates {
            Rates {
                scope, key, as_of: Day(as_of), decided_at: Instant(at).held(), policy_hash: hash.into(), windows,
            }
        }
    }

    proptest! {
        #[test]
        fn it_is_what_the_general_writer_says(rates in rates()) {
            let mut general = Kind::Rates.own().header.to_vec();
            Kind::Rates.own().writer.write_ser(&mut general, &rates).unwrap();
            prop_assert_eq!(wire::encode(&rates), general);
        }
    }
}
