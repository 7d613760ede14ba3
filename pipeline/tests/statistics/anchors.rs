//! The file of anchors, and the judge: a number is right if it agrees with every digit that is printed.

use std::collections::BTreeSet;

use serde_json::Value;

/// Keys that hold words about a group, no numbers.
const PROSE: &[&str] = &["source", "note", "rule"];

/// Printed with as many digits as this, a number is a dump of a float: its last digits are another library's rounding.
const DUMPED: i32 = 15;

/// The anchors, and which of them were judged.
pub struct Anchors {
    file: Value,
    judged: BTreeSet<String>,
}

/// All numbers below a value, in order.
pub fn flatten(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(all) => all.iter().flat_map(flatten).collect(),
        number => vec![number.as_f64().unwrap()],
    }
}

/// What stands after the point of a number as it is printed, `1.5e-7` has 8; and its significant digits.
fn digits(printed: &Value) -> (i32, i32) {
    let text = printed.to_string();
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let after = mantissa.split_once('.').map_or("", |(_, after)| after);
    let after = if after == "0" { "" } else { after };
    let all = mantissa.replace(['.', '-'], "");
    let significant = all.trim_start_matches('0').len() as i32;
    (after.len() as i32 - exponent.parse::<i32>().unwrap(), significant)
}

impl Anchors {
    pub fn read() -> Anchors {
        let file = serde_json::from_str(include_str!("../stat-anchors.json")).unwrap();
        Anchors { file, judged: BTreeSet::new() }
    }

    /// The value at a path such as `group/key`.
    pub fn at(&self, path: &str) -> &Value {
        self.file.pointer(&format!("/{path}")).unwrap_or_else(|| panic!("no anchor {path}"))
    }

    pub fn numbers(&self, path: &str) -> Vec<f64> {
        flatten(self.at(path))
    }

    pub fn counts(&self, path: &str) -> Vec<u64> {
        self.numbers(path).into_iter().map(|x| x as u64).collect()
    }

    pub fn words(&self, path: &str) -> Vec<String> {
        self.at(path).as_array().unwrap().iter().map(|w| w.as_str().unwrap().to_owned()).collect()
    }

    /// The paths of everything that is no object and no prose.
    pub fn leaves(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk("", &self.file, &mut found);
        assert!(found.len() > 50, "the file has hardly any numbers: {found:?}");
        found
    }

    pub fn leaves_below(&self, group: &str) -> Vec<String> {
        let found: Vec<String> =
            self.leaves().into_iter().filter(|leaf| leaf.starts_with(&format!("{group}/"))).collect();
        assert!(!found.is_empty(), "no anchors below {group}");
        found
    }

    pub fn judged(&self, leaf: &str) -> bool {
        self.judged.contains(leaf)
    }

    /// The numbers at a path agree with the printed digits. A list is printed to one number of decimals, its last
    /// zeros left out.
    pub fn judge(&mut self, path: &str, got: &[f64]) {
        let value = self.at(path).clone();
        let printed: Vec<&Value> = flat(&value);
        self.judge_values(path, &printed, got);
    }

    /// As [`Anchors::judge`], for numbers that were picked out of what stands at the path.
    pub fn judge_values(&mut self, path: &str, printed: &[&Value], got: &[f64]) {
        let decimals = printed.iter().map(|p| digits(p).0).max().unwrap_or(0);
        let tolerance = |printed: &Value| {
            let printed_to = 0.5 * 10_f64.powi(-decimals);
            let dumped =
                if digits(printed).1 >= DUMPED { printed.as_f64().unwrap().abs() * 1e-14 } else { 0.0 };
            printed_to.max(dumped)
        };
        self.compare(path, printed, got, tolerance);
    }

    /// Numbers of which the last zeros were left out: all have this many decimals.
    pub fn judge_decimals(&mut self, path: &str, got: &[f64], decimals: i32) {
        let value = self.at(path).clone();
        self.compare(path, &flat(&value), got, |_| 0.5 * 10_f64.powi(-decimals));
    }

    /// Numbers that hold to this many significant digits.
    pub fn judge_significant(&mut self, path: &str, got: &[f64], significant: i32) {
        let value = self.at(path).clone();
        let tolerance = |printed: &Value| {
            let size = printed.as_f64().unwrap().abs().log10().floor() as i32;
            0.5 * 10_f64.powi(size + 1 - significant)
        };
        self.compare(path, &flat(&value), got, tolerance);
    }

    fn compare(&mut self, path: &str, printed: &[&Value], got: &[f64], tolerance: impl Fn(&Value) -> f64) {
        assert!(!printed.is_empty(), "{path}: nothing is printed");
        assert_eq!(printed.len(), got.len(), "{path}: as many numbers");
        for (printed, got) in printed.iter().zip(got) {
            let off = (got - printed.as_f64().unwrap()).abs();
            // A little more for the binary form of the printed number itself.
            let allowed = tolerance(printed) * (1.0 + 1e-6);
            assert!(off <= allowed, "{path}: {printed} is printed, {got} came, {off:e} apart");
        }
        self.judged.insert(path.to_owned());
    }
}

fn flat(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(all) => all.iter().flat_map(flat).collect(),
        other => vec![other],
    }
}

fn walk(path: &str, value: &Value, found: &mut Vec<String>) {
    let Value::Object(fields) = value else {
        found.push(path.to_owned());
        return;
    };
    for (key, below) in fields {
        if PROSE.contains(&key.as_str()) && below.is_string() {
            continue;
        }
        let path = if path.is_empty() { key.clone() } else { format!("{path}/{key}") };
        walk(&path, below, found);
    }
}

#[test]
fn the_judge_sees_a_wrong_last_digit() {
    let caught = |got: f64| {
        let judge = move || Anchors::read().judge("ears/z", &[got]);
        std::panic::catch_unwind(judge).is_err()
    };
    assert!(!caught(1.6448536269));
    assert!(caught(1.6448536259));
    assert!(caught(f64::NAN));
}
