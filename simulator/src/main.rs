//! `simulate-gateways`: the simulated gateways as a program, for trying Tocsin without an account.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tocsin_simulator::{Account, Gateway, Plan, Simulator};

/// Runs every simulated gateway on one port of loopback, by the wall clock.
#[derive(Parser)]
#[command(name = "simulate-gateways")]
struct Arguments {
    /// The port; 0 takes a free one.
    #[arg(long, default_value_t = 8600)]
    port: u16,
    /// Of faults and receipts: the same seed, the same chance.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Calls that meet a fault, in thousandths.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1000))]
    faults: u16,
    /// Receipts that are lost, and as many that are doubled, in thousandths.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1000))]
    lost: u16,
    /// Where receipts are pushed: /aliyun and /tencent are added. Left out: nowhere.
    #[arg(long)]
    receipts_to: Option<String>,
    /// Where what is written back at /simulator/replies is pushed: /aliyun and /tencent are added. Left out: nowhere.
    #[arg(long)]
    replies_to: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let plan = Plan {
        seed: arguments.seed,
        faults_per_thousand: arguments.faults,
        lost_per_thousand: arguments.lost,
        doubled_per_thousand: arguments.lost,
        receipt_after_ms: (1_000, 20_000),
        ..Plan::default()
    };
    let account = Account::default();
    let clock = Arc::new(|| jiff::Timestamp::now().as_millisecond());
    let simulator = Simulator::new(account.clone(), plan, clock);
    let address = match simulator.serve(SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.port))).await {
        Ok(address) => address,
        Err(error) => {
            eprintln!("simulate-gateways: cannot open port {} on loopback: {error}", arguments.port);
            return ExitCode::from(1);
        }
    };
    let names: Vec<_> = Gateway::ALL.iter().map(|gateway| gateway.as_str()).collect();
    println!("gateways   {} at http://{address}", names.join(", "));
    println!(
        "account    id {:?}, every secret {:?}, signatures {:?}",
        account.id, account.secret, account.sign_names
    );
    for (id, text) in &account.templates {
        println!("template   {id}: {text}");
    }
    println!(
        "look       http://{address}/simulator/phones (or messages, calls); POST /simulator/faults, replies"
    );
    let client = reqwest::Client::new();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return ExitCode::SUCCESS,
            _ = second.tick() => {
                if let Some(base) = &arguments.receipts_to {
                    simulator.push_receipts(&client, base.trim_end_matches('/')).await;
                }
                if let Some(base) = &arguments.replies_to {
                    simulator.push_replies(&client, base.trim_end_matches('/')).await;
                }
            }
        }
    }
}
