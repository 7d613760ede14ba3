//! Random histories hold everything that can happen, and leave nothing unaccounted.
use tocsin_oracle::{Census, histories, survey};

#[test]
fn everything_that_can_happen_happens() {
    let mut sum = Census::default();
    for seed in 0..60 {
        let history = histories::history(seed, 60);
        sum.absorb(&survey(&history).unwrap_or_else(|e| panic!("seed {seed}: {e}\n{history}")));
    }
    println!("{sum}");
    // What is only seen where a subject's lists are judged.
    let judged = [
        "key enterprises",
        "general enterprises",
        "key by the model",
        "undetermined tests",
        "persistently key",
        "lists frozen",
        "lists frozen as before",
        "freezings refused",
    ];
    let missing: Vec<&str> = sum.missing().into_iter().filter(|kind| !judged.contains(kind)).collect();
    assert!(missing.is_empty(), "never happened: {missing:?}");
}
