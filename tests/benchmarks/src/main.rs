//! What Tocsin costs, as ratios to a floor that is measured in the same run: absolute times differ from
//! machine to machine and from minute to minute, ratios far less.
//!
//! - [`workload`]: a made-up city and its reports, the same for the same seed
//! - [`engine`]: (b) throughput, (d) memory, (f) time of one report, against a plain loop on hash maps
//! - [`logs`]: (a) report published to alert readable, (c) throughput, (e) rebuild, against bare log clients
//! - [`delivery`]: (l) alert readable to request on the wire, (m) deliveries a second, (n) a ledger of years
//! - [`backtest`]: (k) ten years of a city under two policies, against the time that it may take
//! - [`table`]: the ratios beside their floors and their goals
//! - [`progress`]: what a person sees while it runs
//!
//! It ends with 0 whatever the ratios are: it measures, it does not judge. A figure that could not be taken
//! (no broker, sides that disagree) is a failure and ends with 1.

mod backtest;
mod delivery;
mod engine;
mod logs;
mod progress;
mod table;
mod workload;

use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, ValueEnum};

use progress::Progress;
use table::Row;

/// As in the command that is measured; the floors have it too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An error that ends one measurement. The message says what was expected, what came, and who can act.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What Tocsin costs, each figure as a ratio to a floor that is measured in the same run.
///
///   a  a report published until its alert can be read (p50, p99), over a bare transactional produce and consume
///   b  reports a second of the engine at batches of 1, 100 and 10,000, over a plain loop on hash maps
///   c  reports a second from Kafka to Kafka, over a loop that consumes, decodes and writes as much
///   d  memory an incident and a firm, over that of the plain loop
///   e  rebuild of a million incidents from each log, over reading and decoding the same topics
///   f  p99 of one report at a million incidents, over that at a hundred thousand, and over a millisecond;
///      with --long ten million over a million (needs 12 GB)
///   g  a midnight of 12,000 firms and of five million (needs 16 GB), over its bar
///   l  an alert readable until its request is on the wire (p50, p99), over a bare transaction on the same log
///   m  deliveries a second on one core against a gateway that takes 20 ms, over 500; alone and beside a slow gateway
///   n  a ledger of a million deliveries on the embedded log, ready and found in, over its bar; with --long of ten million
///   k  seconds of `tocsin backtest` over ten years of a city, over the 60 that it may take
///
/// Both sides of a ratio run in this one process run, in turns, warm; those of (l) after a rest each. What a neighbour on the machine takes
/// hits both; the seconds differ from run to run, the ratios should not. (a), (c) and (e) need the Kafka
/// broker of the tests, which they start and stop themselves (`tests/broker/install` fetches it).
#[derive(Debug, Parser)]
#[command(name = "tocsin-benchmarks", verbatim_doc_comment, after_help = EXAMPLES)]
struct Cli {
    /// What to measure; everything if none is named
    #[arg(value_enum, ignore_case = true)]
    letters: Vec<Letter>,
    /// JSON on standard output instead of the table: {quick, seed, rows}, numbers unrounded
    #[arg(long)]
    json: bool,
    /// Smaller sizes, to see that it runs: the figures cannot be compared with those of a full run
    #[arg(long)]
    quick: bool,
    /// What the made-up city is a function of
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// (f), (n): ten times as much
    #[arg(long)]
    long: bool,
    /// (b): only these batch sizes, for whoever tunes
    #[arg(long, value_delimiter = ',', value_parser = PossibleValuesParser::new(["1", "100", "10000"]).try_map(|n| n.parse::<usize>()))]
    batch: Vec<usize>,
    /// (b): so many slices of each batch size, for whoever tunes
    #[arg(long)]
    slices: Option<u32>,
    /// (g): only one of the two, for whoever tunes
    #[arg(long, value_enum)]
    place: Option<engine::g::Which>,
    /// Runs one side alone and prints its memory; this command calls itself with it.
    #[arg(long, hide = true, value_enum)]
    memory_of: Option<engine::memory::Side>,
    /// What that side is filled with, and how many of it.
    #[arg(long, hide = true, value_enum, default_value = "incidents")]
    load: engine::memory::Load,
    #[arg(long, hide = true, default_value_t = 0)]
    many: u32,
    /// The worker of (m): log, fast gateway, slow gateway.
    #[arg(long, hide = true, num_args = 3)]
    deliver: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  cargo run --release -p tocsin-benchmarks                 everything, twenty minutes or more
  cargo run --release -p tocsin-benchmarks -- b f          the engine alone
  cargo run --release -p tocsin-benchmarks -- --json b > figures.json

The table stands on standard output; progress and warnings on standard error.
Build with --release: a debug build measures the compiler.";

/// One measurement of the list above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Letter {
    A,
    B,
    C,
    D,
    E,
    F,
    G,
    K,
    L,
    M,
    N,
}

/// How to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Small sizes.
    pub quick: bool,
    /// What the workload is a function of.
    pub seed: u64,
    /// Histories of (f) ten times as long.
    pub long: bool,
    /// Batch sizes of (b); empty: all.
    pub batch: Vec<usize>,
    /// Slices of each batch size of (b), if not as many as usual.
    pub slices: Option<u32>,
    /// Which of the two places of (g); both if none is named.
    pub place: Option<engine::g::Which>,
}

impl Options {
    /// `full`, or a tenth of it for a quick run.
    pub fn size(&self, full: u32) -> u32 {
        if self.quick { (full / 10).max(1) } else { full }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let options = Options {
        quick: cli.quick,
        seed: cli.seed,
        long: cli.long,
        batch: cli.batch.clone(),
        slices: cli.slices,
        place: cli.place,
    };
    if let Some(side) = cli.memory_of {
        return match engine::memory::child(side, cli.load, cli.many, &options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                eprintln!("{why}");
                ExitCode::FAILURE
            }
        };
    }
    if !cli.deliver.is_empty() {
        return match delivery::m::deliver(&cli.deliver) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                eprintln!("{why}");
                ExitCode::FAILURE
            }
        };
    }
    measure(&cli, &options)
}

fn measure(cli: &Cli, options: &Options) -> ExitCode {
    if cfg!(debug_assertions) {
        eprintln!("WARNING: a debug build. Its figures say nothing: run with --release.");
    }
    if options.quick {
        eprintln!("WARNING: --quick: small sizes. The figures CANNOT be compared with those of a full run.");
    }
    let mut letters = cli.letters.clone();
    letters.sort();
    letters.dedup();
    if letters.is_empty() {
        letters = Letter::value_variants().to_vec();
    }
    let progress = Progress::new();
    let mut rows: Vec<Row> = Vec::new();
    let mut failures: Vec<(Letter, Failure)> = Vec::new();
    for letter in letters {
        let run = match letter {
            Letter::A => logs::a::run,
            Letter::B => engine::b::run,
            Letter::C => logs::c::run,
            Letter::D => engine::d::run,
            Letter::E => logs::e::run,
            Letter::F => engine::f::run,
            Letter::G => engine::g::run,
            Letter::K => backtest::run,
            Letter::L => delivery::l::run,
            Letter::M => delivery::m::run,
            Letter::N => delivery::n::run,
        };
        match run(options, &progress) {
            Ok(measured) => rows.extend(measured),
            Err(why) => failures.push((letter, why)),
        }
    }
    progress.clear();
    if cli.json {
        println!("{}", table::json(&rows, options));
    } else if !rows.is_empty() {
        println!("{}", table::text(&rows, options));
    }
    if options.quick {
        eprintln!("These are figures of --quick: they CANNOT be compared with those of a full run.");
    }
    for (letter, why) in &failures {
        eprintln!("({}) was not measured: {why}", format!("{letter:?}").to_lowercase());
    }
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
