//! Lists of enterprises that people act on (S11, S36), kept up to date beside the rates.
//!
//! - `annual`: the rule of S11, pure: who is key, who is general, and why
//! - `persistent`: the rule of S36, pure: key for years running
//! - `entry`: what an entry says, and the record that says it
//! - `live`: the lists of this year and the last, as they change
//! - `freeze`: a list of a year as it stood, on the word of somebody with a name
//!
//! Two things are compared. An enterprise's own figures are live: a report moves it at once. What it is compared with,
//! the city's rate and the model of all enterprises, is taken at midnights ([`tocsin_schemas::records::Reference`]): the
//! rate at each, the model at the first of a month. So one incident never moves the others, and a restart recalls what
//! was taken instead of taking it anew from what is known later.

mod annual;
mod entry;
mod freeze;
mod live;
mod persistent;

pub(crate) use annual::{Against, Year, judge};
pub(crate) use entry::Said;
pub(crate) use freeze::Freeze;
pub(crate) use live::{Before, Lists, ListsChange, Moved};
pub(crate) use persistent::key_years;
