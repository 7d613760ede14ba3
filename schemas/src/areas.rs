//! Names for codes: the city's townships and zones, and the divisions of industry.
//!
//! The tables stand in `schemas/tables/`. An area that is not in its table is no error anywhere: texts then
//! show its code.

use std::sync::LazyLock;

/// A township, subdistrict or zone of the city.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    /// Nine-digit code (GB/T 10114), or a zone's own code where it has no official one.
    pub code: &'static str,
    /// Its full name.
    pub name: &'static str,
    /// For texts of limited length: at most 7 characters.
    pub short_name: &'static str,
}

/// A division of GB/T 4754-2017.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Division {
    /// Two digits.
    pub code: &'static str,
    /// Its name.
    pub name: &'static str,
}

static AREAS: LazyLock<Vec<Area>> = LazyLock::new(|| {
    let rows = rows(include_str!("../tables/areas.csv"));
    rows.map(|[code, name, short_name]| Area { code, name, short_name }).collect()
});

/// Indexed by the code: 97 divisions without a gap, `01` first.
static DIVISIONS: LazyLock<Vec<Division>> = LazyLock::new(|| {
    rows(include_str!("../tables/divisions.csv")).map(|[code, name]| Division { code, name }).collect()
});

/// The rows of a table without its head. No cell of ours holds a comma; tests count the cells.
fn rows<const N: usize>(table: &'static str) -> impl Iterator<Item = [&'static str; N]> {
    table.lines().skip(1).filter_map(|line| line.split(',').collect::<Vec<_>>().try_into().ok())
}

/// Every area, in the order of the table.
pub fn areas() -> &'static [Area] {
    &AREAS
}

/// The area of this code.
pub fn area(code: &str) -> Option<&'static Area> {
    AREAS.iter().find(|area| area.code == code)
}

/// Every division of industry, in order.
pub fn divisions() -> &'static [Division] {
    &DIVISIONS
}

/// The sector of the economy that a division belongs to (三次产业划分规定, National Bureau of Statistics, 2018):
/// 1 agriculture, 2 industry and construction, 3 services, repairs and support among them.
pub fn sector(division: &str) -> Option<u8> {
    match self::division(division)?.code.parse().ok()? {
        1..=4 => Some(1),
        5 | 11 | 43 | 51.. => Some(3),
        _ => Some(2),
    }
}

/// The division of this two-digit code.
pub fn division(code: &str) -> Option<&'static Division> {
    match code.as_bytes() {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
            let number = usize::from(tens - b'0') * 10 + usize::from(ones - b'0');
            DIVISIONS.get(number.checked_sub(1)?)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_tables_is_read() {
        assert_eq!(areas().len(), include_str!("../tables/areas.csv").lines().count() - 1);
        assert_eq!(divisions().len(), 97);
        for (place, row) in divisions().iter().enumerate() {
            assert_eq!(row.code, format!("{:02}", place + 1));
            assert_eq!(division(row.code), Some(row));
        }
        assert_eq!(division("33").unwrap().name, "金属制品业");
        let sectors = ["01", "04", "05", "06", "10", "11", "12", "42", "43", "44", "50", "51", "97", "98"];
        assert_eq!(
            sectors.map(|d| sector(d).unwrap_or(0)),
            [1, 1, 3, 2, 2, 3, 2, 2, 3, 2, 2, 3, 3, 0],
            "as the bureau's table has them"
        );
        for none in ["00", "98", "3", "333", "é"] {
            assert_eq!(division(none), None, "{none}");
        }
    }

    #[test]
    fn a_short_name_fits_a_text() {
        for area in areas() {
            let length = area.short_name.chars().count();
            assert!((1..=7).contains(&length), "{}", area.name);
            assert_eq!(super::area(area.code), Some(area));
        }
        assert_eq!(area("YK-GXQ").unwrap().short_name, "高新区");
        assert_eq!(area("330784999"), None);
    }
}
