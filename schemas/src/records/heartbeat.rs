use serde::{Deserialize, Serialize};

/// A worker says that it is there (topic `members`, key `name`). When it said so is the log's append time: clocks of
/// different machines are not compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The worker's name, which a restart keeps.
    pub name: String,
    /// What tells this start of it from every other one.
    pub run: String,
    /// The roles that it holds: `planner`, `sender.0` and so on.
    pub holds: Vec<String>,
    /// It has stopped and holds nothing any more.
    pub leaving: bool,
}
