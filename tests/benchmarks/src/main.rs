//! What Tocsin costs, as ratios to a floor that is measured in the same run: absolute times differ from
//! machine to machine and from minute to minute, ratios far less.
//!
//! - [`workload`]: a made-up city and its reports, the same for the same seed
//! - [`engine`]: (b) throughput, (d) memory, (f) time of one report, against a plain loop on hash maps
//! - [`logs`]: (a) report published to alert readable, (c) throughput, (e) rebuild, against bare log clients
//! - [`table`]: the ratios beside their floors and their goals

mod engine;
mod logs;
mod table;
mod workload;

fn main() {}
