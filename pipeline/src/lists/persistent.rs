//! Persistently multi-incident enterprises (S36, 持续多发): key for years running.
//!
//! The notice does not define it; the default is two years. A year counts by its frozen list, which is what was told to
//! others; one that nobody has frozen counts as its list stands, or last stood.

/// For how many years running an enterprise has been key up to and including `year`, in which it is key; `key` says
/// whether it was in a year.
pub(crate) fn key_years(year: i32, key: impl Fn(i32) -> bool) -> u32 {
    1 + (1..).take_while(|back| key(year - back)).count() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_without_it_ends_the_run() {
        let years = [2019, 2020, 2022, 2023, 2024];
        let key = |year: i32| years.contains(&year);
        assert_eq!([2025, 2024, 2021, 2019].map(|year| key_years(year, key)), [4, 3, 3, 1]);
    }
}
