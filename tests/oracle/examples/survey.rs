//! Many histories through the oracle alone: `cargo run -p tocsin-oracle --example survey -- FIRST_SEED SEEDS STEPS`.

use tocsin_oracle::{Census, histories, survey};

fn main() -> Result<(), String> {
    let mut numbers = std::env::args().skip(1).map(|a| a.parse::<u64>().map_err(|e| format!("{a}: {e}")));
    let mut next = |default: u64| numbers.next().unwrap_or(Ok(default));
    let (first, seeds, steps) = (next(0)?, next(200)?, next(60)?);
    let mut sum = Census::default();
    for seed in first..first + seeds {
        let history = histories::history(seed, steps as usize);
        sum.absorb(&survey(&history).map_err(|e| format!("seed {seed}: {e}\n{history}"))?);
    }
    println!("{sum}");
    Ok(())
}
