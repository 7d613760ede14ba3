//! The engine against the oracle: random histories, compared after every step, straight and restarted.

use tocsin_oracle::histories::history;
use tocsin_oracle::{Restarts, Subject, judge};
use tocsin_pipeline::{Arrival, Engine, Memory, Options, Policies};

fn main() {}
