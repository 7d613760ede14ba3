#[path = "../src/workload.rs"]
#[allow(dead_code)]
mod workload;
use tocsin_pipeline::{Engine, Options};
fn main() {
    let n: usize = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(60);
    let size: usize = std::env::args().nth(2).and_then(|a| a.parse().ok()).unwrap_or(10_000);
    let mut engine = Engine::new(workload::policies().unwrap(), Options { workers: 1 });
    let reg: Vec<_> = workload::register(1).collect();
    let at = reg[0].arrived_at;
    engine.arrive(at, reg);
    let mut reports = workload::Reports::new(1);
    let mut spent = std::time::Duration::ZERO;
    let mut all = 0;
    let mut said = 0;
    for i in 0..n {
        let batch = reports.take_next(size);
        let at = batch.last().unwrap().arrived_at;
        engine.tick_to(at.day());
        let t = std::time::Instant::now();
        let out = engine.arrive(at, batch);
        if i >= n / 6 {
            spent += t.elapsed();
            all += size;
        }
        said += out.iter().map(|o| o.alerts.len()).sum::<usize>();
    }
    println!("{:.2} us/report, {said} alerts", spent.as_secs_f64() * 1e6 / all as f64);
}
