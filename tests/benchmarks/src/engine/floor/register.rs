//! Enterprises and what is counted of them (sections 3 and 4 of the contract): versions in force, who is
//! read as whose, headcounts, the windows of each enterprise, industry, area and of the city, the levels.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use compact_str::CompactString;
use hashbrown::HashMap;
use tocsin_pipeline::Verdict;
use tocsin_pipeline::policy::Escalation;
use tocsin_schemas::codes::{CITY, Level, Scope};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::{Digest, Enterprise, Headcount, Window};
use tocsin_schemas::time::{Day, Month};

/// The windows, and which of them levels look at.
pub const WINDOWS: [Window; 7] = [
    Window::Rolling(30),
    Window::Rolling(90),
    Window::Rolling(365),
    Window::Month,
    Window::Quarter,
    Window::Year,
    Window::YearAgo,
];
/// That of the levels.
pub const LEVELS: usize = 2;
/// The one that reaches back furthest.
pub const LONGEST: usize = 6;

/// First and last day of each window.
pub fn spans(today: Day) -> [(Day, Day); WINDOWS.len()] {
    let date = today.date();
    let first = |year: i16, month: i8| Day::new(year, month, 1).unwrap_or(today);
    let year_ago = Day::new(date.year() - 1, date.month(), date.day());
    WINDOWS.map(|window| match window {
        Window::Rolling(n) => (today.plus(1 - i32::from(n)), today),
        Window::Month => (first(date.year(), date.month()), today),
        Window::Quarter => (first(date.year(), (date.month() - 1) / 3 * 3 + 1), today),
        Window::Year => (first(date.year(), 1), today),
        Window::YearAgo => {
            (first(date.year() - 1, 1), year_ago.unwrap_or_else(|| first(date.year() - 1, 3).plus(-1)))
        }
    })
}

/// A person is this many parts: every mean of up to 13 months is a whole number of them.
pub const PARTS: i64 = 360_360;

/// The register.
pub struct Register {
    /// The as-of day.
    pub today: Day,
    /// First and last day of each window.
    pub spans: [(Day, Day); WINDOWS.len()],
    enterprises: HashMap<Uscc, Known>,
    headcounts: HashMap<(Uscc, Month), (u64, Digest, u32)>,
    /// Who has a headcount of a month.
    of_month: HashMap<Month, Vec<Uscc>>,
    /// Enterprises with a version that begins on a later day.
    pending: BTreeMap<Day, Vec<Uscc>>,
    /// Who claims whom today: claimant -> since when, whom.
    claims: BTreeMap<Uscc, (Day, Uscc)>,
    industries: HashMap<CompactString, Sums>,
    areas: HashMap<CompactString, Sums>,
    city: Sums,
    /// Whose counts changed since the last judgement.
    touched: Vec<Uscc>,
}

impl Default for Register {
    fn default() -> Register {
        Register {
            today: Day(0),
            spans: spans(Day(0)),
            enterprises: HashMap::new(),
            headcounts: HashMap::new(),
            of_month: HashMap::new(),
            pending: BTreeMap::new(),
            claims: BTreeMap::new(),
            industries: HashMap::new(),
            areas: HashMap::new(),
            city: Sums::default(),
            touched: Vec::new(),
        }
    }
}

/// What is known of an enterprise.
#[derive(Default)]
pub struct Known {
    versions: Vec<Version>,
    division: CompactString,
    area: CompactString,
    /// Whose it is read as; `None` while it is not registered.
    root: Option<Uscc>,
    /// Who is read as this one, itself too.
    members: Vec<Uscc>,
    /// The days on which it has a place.
    pub days: Vec<Day>,
    counts: [Counts; WINDOWS.len()],
    level: Option<Level>,
}

struct Version {
    version: u64,
    digest: Digest,
    valid_from: Day,
    division: CompactString,
    area: CompactString,
    successor_of: Option<Uscc>,
}

/// An enterprise in a window.
#[derive(Default, Clone, Copy)]
pub struct Counts {
    /// Production incidents.
    pub incidents: i32,
    /// Their persons.
    pub persons: i32,
    /// The severe and fatal ones.
    pub severe: i32,
    /// The other categories.
    pub other: [i32; 3],
    insured: i64,
    months: i64,
}

/// What an industry, an area, the city or a single enterprise has in a window.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Sum {
    /// Production incidents.
    pub incidents: i32,
    /// Their persons.
    pub persons: i32,
    /// The other categories.
    pub other: [i32; 3],
    /// Those at enterprises with a headcount above 0.
    pub with_headcount: i32,
    /// Mean headcount, in parts of a person.
    pub parts: i64,
    /// Members with a headcount.
    pub known: i32,
}

impl Counts {
    fn share(&self) -> Sum {
        let parts = if self.months > 0 { self.insured * (PARTS / self.months) } else { 0 };
        Sum {
            incidents: self.incidents,
            persons: self.persons,
            other: self.other,
            with_headcount: if parts > 0 { self.incidents } else { 0 },
            parts,
            known: i32::from(self.months > 0),
        }
    }
}

impl Sum {
    fn add(&mut self, other: Sum, sign: i32) {
        self.incidents += sign * other.incidents;
        self.persons += sign * other.persons;
        self.other.iter_mut().zip(other.other).for_each(|(to, n)| *to += sign * n);
        self.with_headcount += sign * other.with_headcount;
        self.parts += i64::from(sign) * other.parts;
        self.known += sign * other.known;
    }

    /// Mean headcount; `None` without a record.
    pub fn headcount(&self) -> Option<f64> {
        (self.known > 0).then(|| self.parts as f64 / PARTS as f64)
    }
}

/// In every window.
pub type Sums = [Sum; WINDOWS.len()];

fn share(counts: &[Counts; WINDOWS.len()]) -> Sums {
    counts.each_ref().map(Counts::share)
}

fn add(to: &mut Sums, what: &Sums, sign: i32) {
    to.iter_mut().zip(what).for_each(|(to, what)| to.add(*what, sign));
}

impl Register {
    /// Whose this enterprise is read as; `None` if it is not registered.
    pub fn root(&self, uscc: &Uscc) -> Option<Uscc> {
        self.enterprises.get(uscc).and_then(|e| e.root)
    }

    /// An enterprise, registered or only named in a report.
    pub fn at(&mut self, uscc: Uscc) -> &mut Known {
        self.enterprises.entry(uscc).or_default()
    }

    /// A dated version at the door. All versions are kept.
    pub fn enterprise(&mut self, e: Enterprise, digest: Digest) -> Verdict {
        if e.valid_from > self.today {
            self.pending.entry(e.valid_from).or_default().push(e.uscc);
        }
        let new = Version {
            version: e.version,
            digest,
            valid_from: e.valid_from,
            division: e.division().into(),
            area: (*e.area).into(),
            successor_of: e.successor_of,
        };
        let versions = &mut self.at(e.uscc).versions;
        match versions.iter_mut().find(|v| v.version == new.version) {
            None => {
                versions.push(new);
                Verdict::Accepted
            }
            Some(standing) if standing.digest == digest => Verdict::Duplicate,
            Some(standing) => {
                if digest > standing.digest {
                    *standing = new;
                }
                Verdict::Conflict
            }
        }
    }

    /// A headcount at the door.
    pub fn headcount(&mut self, h: &Headcount, digest: Digest) -> Verdict {
        let verdict = match self.headcounts.get(&(h.uscc, h.month)) {
            None => Verdict::Accepted,
            Some((version, _, _)) if h.version > *version => Verdict::Accepted,
            Some((version, _, _)) if h.version < *version => return Verdict::Stale,
            Some((_, standing, _)) if *standing == digest => return Verdict::Duplicate,
            Some((_, standing, _)) if *standing > digest => return Verdict::Conflict,
            Some(_) => Verdict::Conflict,
        };
        if self.headcounts.insert((h.uscc, h.month), (h.version, digest, h.insured)).is_none() {
            self.of_month.entry(h.month).or_default().push(h.uscc);
        }
        let in_window = |(first, last): &(Day, Day)| first.month() <= h.month && h.month <= last.month();
        if self.spans.iter().any(in_window)
            && let Some(root) = self.root(&h.uscc)
        {
            self.weigh(root);
        }
        verdict
    }

    /// What changes with the day beside the incidents: which versions are in force, and at the turn of a
    /// month (of the first or the last day) every headcount. Returns whom to read anew.
    pub fn begin_day(&mut self) -> Vec<Uscc> {
        let months = |spans: [(Day, Day); WINDOWS.len()]| spans.map(|(a, b)| a.month().0..=b.month().0);
        let (before, now) = (months(spans(self.today.plus(-1))), months(self.spans));
        // Only whoever has a record of a month that comes or goes is weighed anew.
        let mut moved: Vec<i32> = Vec::new();
        for (before, now) in before.iter().zip(&now).filter(|(before, now)| before != now) {
            moved.extend(before.clone().filter(|m| !now.contains(m)));
            moved.extend(now.clone().filter(|m| !before.contains(m)));
        }
        let of_month = |month: &i32| self.of_month.get(&Month(*month)).cloned().unwrap_or_default();
        let mut weighed: Vec<Uscc> =
            moved.iter().flat_map(of_month).filter_map(|uscc| self.root(&uscc)).collect();
        weighed.sort_unstable();
        weighed.dedup();
        weighed.into_iter().for_each(|root| self.weigh(root));
        let later = self.pending.split_off(&self.today.plus(1));
        std::mem::replace(&mut self.pending, later).into_values().flatten().collect()
    }

    /// The mean headcount of a root over the months of each window.
    fn weigh(&mut self, root: Uscc) {
        let Some(known) = self.enterprises.get(&root) else { return };
        let months = self.spans.map(|(first, last)| (first.month().0, last.month().0));
        let first = months.iter().map(|(first, _)| *first).min().unwrap_or(0);
        let last = months.iter().map(|(_, last)| *last).max().unwrap_or(0);
        let mut weights = [(0, 0); WINDOWS.len()];
        for month in first..=last {
            let of = |uscc: &Uscc| self.headcounts.get(&(*uscc, Month(month))).map(|(_, _, n)| i64::from(*n));
            let mut records = known.members.iter().filter_map(of).peekable();
            if records.peek().is_none() {
                continue;
            }
            let insured = records.sum::<i64>();
            for (weight, (first, last)) in weights.iter_mut().zip(months) {
                if (first..=last).contains(&month) {
                    *weight = (weight.0 + insured, weight.1 + 1);
                }
            }
        }
        if known.counts.iter().zip(weights).any(|(c, w)| (c.insured, c.months) != w) {
            self.shift(root, |counts| {
                counts.iter_mut().zip(weights).for_each(|(c, w)| (c.insured, c.months) = w);
            });
        }
    }

    /// Changes the counts of an enterprise, and with them those of its industry, its area and the city.
    pub fn shift(&mut self, root: Uscc, change: impl FnOnce(&mut [Counts; WINDOWS.len()])) {
        let known = self.enterprises.entry(root).or_default();
        let mut gain = [Sum::default(); WINDOWS.len()];
        add(&mut gain, &share(&known.counts), -1);
        change(&mut known.counts);
        add(&mut gain, &share(&known.counts), 1);
        self.touched.push(root);
        if known.root == Some(root) {
            let scopes = [
                self.industries.get_mut(&known.division),
                self.areas.get_mut(&known.area),
                Some(&mut self.city),
            ];
            for scope in scopes.into_iter().flatten() {
                add(scope, &gain, 1);
            }
        }
    }

    /// Enters an enterprise in its scopes, or strikes it out.
    fn enrol(&mut self, uscc: &Uscc, sign: i32) {
        let Some(known) = self.enterprises.get(uscc).filter(|e| e.root == Some(*uscc)) else { return };
        let share = share(&known.counts);
        add(self.industries.entry(known.division.clone()).or_default(), &share, sign);
        add(self.areas.entry(known.area.clone()).or_default(), &share, sign);
        add(&mut self.city, &share, sign);
    }

    /// Looks which versions are in force. Area and industry are brought up to date; whoever is to be read
    /// as another than before is returned with that other, and the caller moves its incidents.
    pub fn reread(&mut self, enterprises: Vec<Uscc>) -> Vec<(Uscc, Uscc)> {
        let mut claims_changed = false;
        let today = self.today;
        for uscc in &enterprises {
            let Some(known) = self.enterprises.get(uscc) else { continue };
            let begun = known.versions.iter().filter(|v| v.valid_from <= today);
            let newest = begun.max_by_key(|v| v.version);
            let earliest = || known.versions.iter().min_by_key(|v| (v.valid_from, Reverse(v.version)));
            let claim = newest.and_then(|v| Some((v.valid_from, v.successor_of?)));
            let Some(in_force) = newest.or_else(earliest) else { continue };
            if (&in_force.division, &in_force.area) != (&known.division, &known.area) {
                let (division, area) = (in_force.division.clone(), in_force.area.clone());
                self.enrol(uscc, -1);
                let known = self.at(*uscc);
                (known.division, known.area) = (division, area);
                self.enrol(uscc, 1);
            }
            let before = match claim {
                Some(claim) => self.claims.insert(*uscc, claim),
                None => self.claims.remove(uscc),
            };
            claims_changed |= before != claim;
        }
        let mut asked = enterprises;
        let roots = self.successions();
        if claims_changed {
            asked.extend(
                self.enterprises.iter().filter(|(u, e)| e.root.is_some_and(|r| r != **u)).map(|(u, _)| *u),
            );
            asked.extend(roots.keys());
            asked.sort_unstable();
            asked.dedup();
        }
        let registered = |u: &Uscc| self.enterprises.get(u).filter(|e| !e.versions.is_empty());
        let moves = asked.into_iter().filter_map(|uscc| {
            let root = roots.get(&uscc).copied().unwrap_or(uscc);
            registered(&uscc).filter(|e| e.root != Some(root)).map(|_| (uscc, root))
        });
        moves.collect()
    }

    /// predecessor -> whose it is read as at last. Of several claims the latest, then the smallest code;
    /// loops are ignored.
    fn successions(&self) -> BTreeMap<Uscc, Uscc> {
        let mut parents: BTreeMap<Uscc, (Day, Reverse<Uscc>)> = BTreeMap::new();
        for (claimant, (since, predecessor)) in &self.claims {
            let claim = (*since, Reverse(*claimant));
            let best = parents.entry(*predecessor).or_insert(claim);
            *best = claim.max(*best);
        }
        let next = |uscc: &Uscc| parents.get(uscc).map(|(_, Reverse(by))| *by);
        let steps = |start: Uscc| std::iter::successors(Some(start), next).skip(1).take(parents.len());
        let looped: Vec<Uscc> = parents.keys().filter(|p| steps(**p).any(|u| u == **p)).copied().collect();
        let sound = |uscc: &Uscc| next(uscc).filter(|_| !looped.contains(uscc));
        let ends = parents
            .keys()
            .filter_map(|p| std::iter::successors(sound(p), sound).last().map(|root| (*p, root)));
        ends.collect()
    }

    /// Reads an enterprise as `root` from now on. Its incidents have been taken out of the counts.
    pub fn move_to(&mut self, uscc: Uscc, root: Uscc) {
        self.enrol(&uscc, -1);
        let old = self.at(uscc).root.replace(root);
        self.enrol(&uscc, 1);
        if let Some(old) = old {
            self.at(old).members.retain(|m| *m != uscc);
            self.weigh(old);
        }
        self.at(root).members.push(uscc);
        self.weigh(root);
        self.touched.extend([uscc, root]);
    }

    /// The levels of everybody whose counts changed.
    pub fn judge(&mut self, steps: &Escalation) {
        for uscc in std::mem::take(&mut self.touched) {
            if let Some(known) = self.enterprises.get_mut(&uscc) {
                let counts = known.counts[LEVELS];
                known.level = if known.root == Some(uscc) { level(steps, counts) } else { None };
            }
        }
    }

    /// The level of each enterprise that has one.
    pub fn levels(&self) -> HashMap<Uscc, Level> {
        self.enterprises.iter().filter_map(|(uscc, e)| Some((*uscc, e.level?))).collect()
    }

    /// Every count.
    pub fn sums(&self) -> HashMap<(Scope, String), Sums> {
        let own = self.enterprises.iter().filter(|(uscc, e)| e.root == Some(**uscc));
        let enterprises = own.map(|(uscc, e)| ((Scope::Enterprise, uscc.to_string()), share(&e.counts)));
        let industries = self.industries.iter().map(|(key, sum)| ((Scope::Industry, key.to_string()), *sum));
        let areas = self.areas.iter().map(|(key, sum)| ((Scope::Area, key.to_string()), *sum));
        let city = [((Scope::City, CITY.to_owned()), self.city)];
        enterprises.chain(industries).chain(areas).chain(city).collect()
    }
}

fn level(steps: &Escalation, counts: Counts) -> Option<Level> {
    let n = counts.incidents.max(0) as u32;
    match n {
        _ if n >= steps.red || (steps.severe_is_red && counts.severe > 0) => Some(Level::Red),
        _ if n >= steps.orange => Some(Level::Orange),
        _ if n >= steps.yellow => Some(Level::Yellow),
        _ if n >= steps.blue => Some(Level::Blue),
        _ => None,
    }
}
