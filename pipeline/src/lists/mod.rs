//! Lists of enterprises that people act on (S11, S36), kept up to date beside the rates.
//!
//! - `annual`: the rule of S11, pure: who is key, who is general, and why
//! - `persistent`: the rule of S36, pure: key for years running
//! - `entry`: what an entry says, and the record that says it
//! - `live`: the lists of this year and the last, as they change
//! - `freeze`: a list of a year as it stood, on the word of somebody with a name
//! - `streaks` (S54), `industries` (S27), `hazards` (S32, S45): what `tocsin lists` ranks when somebody asks; pure, from
//!   `firms`, the enterprises as they were read once at the end of what arrived
//! - `refused`: what is said beside a streak of reports that were refused at the door
//!
//! Two things are compared by the list of a year. An enterprise's own figures are live: a report moves it at once. What it is compared with,
//! the city's rate and the model of all enterprises, is taken at midnights ([`tocsin_schemas::records::Reference`]): the
//! rate at each, the model at the first of a month. So one incident never moves the others, and a restart recalls what
//! was taken instead of taking it anew from what is known later.

mod annual;
mod changed;
mod entry;
mod firms;
mod freeze;
mod hazards;
mod industries;
mod live;
mod persistent;
mod refused;
mod streaks;

pub(crate) use annual::{Against, Year, judge};
pub use changed::ListsChanged;
pub(crate) use entry::Said;
pub(crate) use firms::{Firm, Happened};
pub(crate) use freeze::{Asked, Freeze};
pub use hazards::{Details, Hazard, Hazards};
pub(crate) use hazards::{Harm, How, rank as hazards};
pub(crate) use industries::judge as industries;
pub use industries::{Candidate, Industries, Industry, YearFigures};
pub use live::ListsFound;
pub(crate) use live::{Before, Figured, Lists, Moved};
pub(crate) use persistent::key_years;
pub use refused::{Refused, RefusedReports};
pub(crate) use streaks::rank as streaks;
pub use streaks::{Streak, Streaks};
