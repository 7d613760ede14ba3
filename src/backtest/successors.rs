//! Whose an enterprise is read as on a day, by the arrivals of the register (records.md section 3, succession). Pure.
//!
//! The engine knows the same, and counts people and injuries by it; the levels that stood are put beside those.

use std::collections::BTreeMap;

use tocsin_pipeline::Arrival;
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::{Digest, Record};
use tocsin_schemas::time::Day;

/// Every version of every enterprise, as far as it says who took over whom.
#[derive(Debug, Default)]
pub struct Successors(BTreeMap<(Uscc, u64), Version>);

#[derive(Debug, Clone, Copy)]
struct Version {
    digest: Digest,
    valid_from: Day,
    successor_of: Option<Uscc>,
}

impl Successors {
    /// Takes in what is there of the register. Of two contents of one version the one with the greater digest stands.
    pub fn hear(&mut self, arrivals: &[Arrival]) {
        for arrival in arrivals {
            let Record::Enterprise(e) = &arrival.record else { continue };
            let digest = arrival.digest;
            let version = Version { digest, valid_from: e.valid_from, successor_of: e.successor_of };
            let standing = self.0.entry((e.uscc, e.version)).or_insert(version);
            if standing.digest < digest {
                *standing = version;
            }
        }
    }

    /// Those that are read as another's on a day, and as whose at last.
    pub fn roots(&self, day: Day) -> BTreeMap<Uscc, Uscc> {
        let heirs = self.heirs(day);
        let in_loop = |start: &Uscc| {
            let next = |at: &Uscc| heirs.get(at).copied();
            let mut after = std::iter::successors(next(start), next).take(heirs.len());
            after.any(|at| at == *start)
        };
        let sound: BTreeMap<Uscc, Uscc> = heirs
            .iter()
            .filter(|(former, _)| !in_loop(former))
            .map(|(former, heir)| (*former, *heir))
            .collect();
        let last = |heir: Uscc| std::iter::successors(Some(heir), |at| sound.get(at).copied()).last();
        sound.iter().filter_map(|(former, heir)| Some((*former, last(*heir)?))).collect()
    }

    /// Who takes whom over by the versions in force, loops not looked at: of several the latest, then the smallest USCC.
    fn heirs(&self, day: Day) -> BTreeMap<Uscc, Uscc> {
        // The last one of an enterprise that has begun is its highest.
        let begun = self.0.iter().filter(|(_, version)| version.valid_from <= day);
        let in_force: BTreeMap<Uscc, &Version> = begun.map(|((uscc, _), version)| (*uscc, version)).collect();
        let mut heirs: BTreeMap<Uscc, (Day, Uscc)> = BTreeMap::new();
        for (uscc, version) in in_force {
            let Some(former) = version.successor_of else { continue };
            let since = version.valid_from;
            // Ascending: one of the same day is greater, and comes too late.
            if heirs.get(&former).is_none_or(|(other, _)| *other < since) {
                heirs.insert(former, (since, uscc));
            }
        }
        heirs.into_iter().map(|(former, (_, heir))| (former, heir)).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use tocsin_schemas::codes::EnterpriseStatus;
    use tocsin_schemas::records::Enterprise;
    use tocsin_schemas::time::Instant;

    use super::*;

    pub fn uscc(n: u32) -> Uscc {
        let body = format!("91330784XX{n:07}");
        let check = Uscc::check_symbol(body.as_bytes()).unwrap();
        format!("{body}{}", check as char).parse().unwrap()
    }

    fn version(n: u32, version: u64, from: i32, successor_of: Option<u32>, digest: u8) -> Arrival {
        let enterprise = Enterprise {
            uscc: uscc(n),
            version,
            name: "E".into(),
            short_name: None,
            area: "330784001".into(),
            industry: "33".into(),
            valid_from: Day(from),
            status: EnterpriseStatus::Active,
            tags: Vec::new(),
            successor_of: successor_of.map(uscc),
        };
        Arrival { record: Record::Enterprise(enterprise), digest: [digest; 32], arrived_at: Instant(0) }
    }

    /// On day 10: enterprise and whose it is read as.
    fn roots(versions: &[(u32, u64, i32, Option<u32>, u8)]) -> Vec<(u32, u32)> {
        let mut all = Successors::default();
        versions
            .iter()
            .for_each(|(n, v, from, of, digest)| all.hear(&[version(*n, *v, *from, *of, *digest)]));
        let name = |of: Uscc| (0..10).find(|n| uscc(*n) == of).unwrap();
        all.roots(Day(10)).into_iter().map(|(former, root)| (name(former), name(root))).collect()
    }

    #[test]
    fn a_chain_is_followed_to_its_end() {
        assert_eq!(roots(&[(2, 1, 0, Some(1), 0), (3, 1, 5, Some(2), 0)]), [(1, 3), (2, 3)]);
    }

    #[test]
    fn a_loop_is_ignored() {
        let (two, of_itself) = ([(2, 1, 0, Some(1), 0), (1, 1, 0, Some(2), 0)], [(6, 1, 0, Some(6), 0)]);
        let three = [(3, 1, 0, Some(5), 0), (4, 1, 0, Some(3), 0), (5, 1, 0, Some(4), 0)];
        let chain = [(8, 1, 0, Some(7), 0)];
        assert_eq!(roots(&[&two[..], &of_itself, &three, &chain].concat()), [(7, 8)]);
    }

    #[test]
    fn the_version_of_the_day_decides() {
        // 2 does not begin yet; 3 gave its claim up; of 4's two contents the one with the greater digest stands.
        let later = (2, 1, 11, Some(1), 0);
        let given_up = [(3, 1, 0, Some(5), 0), (3, 2, 1, None, 0)];
        let contents = [(4, 1, 0, Some(6), 9), (4, 1, 0, Some(7), 8)];
        assert_eq!(roots(&[&[later], &given_up[..], &contents[..]].concat()), [(6, 4)]);
    }

    #[test]
    fn of_several_the_latest_takes_over_then_the_smallest() {
        let all = [(2, 1, 1, Some(1), 0), (3, 1, 4, Some(1), 0), (4, 1, 4, Some(1), 0)];
        assert_eq!(roots(&all), [(1, 3)]);
    }
}
