//! The simulated city: its firms, its people to call, and how many work where. Pure: a seed in, a city out.
//!
//! Every firm is made up (its brand is a pair of the sexagenary cycle), every code carries a valid check
//! symbol but an organisation part (`XX…`) that is never issued, and every telephone number begins with
//! `100`, which no mobile network has. Areas and industries are those of the real Yongkang.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::time::{Day, Month};

/// One firm.
#[derive(Debug, Clone, PartialEq)]
pub struct Firm {
    /// Its code, check symbol included.
    pub uscc: Uscc,
    /// Registered name.
    pub name: String,
    /// Short name, at most 14 characters: what a township's message says.
    pub short: String,
    /// What the English around it calls the firm.
    pub english: String,
    /// Nine-digit code of the township, or the zone's own.
    pub area: &'static str,
    /// GB/T 4754-2017 class.
    pub industry: &'static str,
    /// Insured persons at the start; `None`: nobody told the city (the rate cannot be computed).
    pub insured: Option<u32>,
    /// How much more often than others somebody is harmed here.
    pub risk: f64,
    /// The owner's phone; `None`: no contact is on file.
    pub phone: Option<String>,
    /// On this day of the simulation it enters the registry.
    pub registered_on_day: i32,
}

/// One person to call.
#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    /// `owner`, `township_duty`, `industry_duty` or `emergency_duty`.
    pub role: &'static str,
    /// Whose.
    pub subject: String,
    /// A made-up name.
    pub name: String,
    /// A made-up phone.
    pub phone: String,
    /// How the display calls this person.
    pub shown_as: String,
}

/// The city.
#[derive(Debug, Clone, PartialEq)]
pub struct City {
    /// Firms; the first [`CAST`] play the stories.
    pub firms: Vec<Firm>,
    /// Everybody who can be called.
    pub people: Vec<Person>,
}

/// How many firms are kept for the stories: nothing happens to them but what the stories say.
pub const CAST: usize = 10;

const STEMS: [(&str, &str); 10] = [
    ("甲", "Jia"),
    ("乙", "Yi"),
    ("丙", "Bing"),
    ("丁", "Ding"),
    ("戊", "Wu"),
    ("己", "Ji"),
    ("庚", "Geng"),
    ("辛", "Xin"),
    ("壬", "Ren"),
    ("癸", "Gui"),
];
const BRANCHES: [(&str, &str); 12] = [
    ("子", "zi"),
    ("丑", "chou"),
    ("寅", "yin"),
    ("卯", "mao"),
    ("辰", "chen"),
    ("巳", "si"),
    ("午", "wu"),
    ("未", "wei"),
    ("申", "shen"),
    ("酉", "you"),
    ("戌", "xu"),
    ("亥", "hai"),
];
/// Class, the Chinese and the English word, and how dangerous.
const TRADES: [(&str, &str, &str, f64); 10] = [
    ("3312", "门业", "Doors", 1.4),
    ("3382", "杯业", "Cups", 1.0),
    ("3465", "工具", "Tools", 1.1),
    ("3770", "车业", "Carts", 1.2),
    ("2130", "家具", "Furniture", 1.0),
    ("3252", "铜业", "Copper", 1.5),
    ("2442", "健身器材", "Fitness", 0.9),
    ("3854", "电器", "Appliances", 0.8),
    ("2231", "包装", "Packaging", 0.7),
    ("5430", "物流", "Freight", 1.1),
];
/// The trades of the cast, in its order, where the story needs a certain one.
const CAST_TRADES: [(&str, &str, &str); CAST] = [
    ("3312", "门业", "Doors"),
    ("3382", "杯业", "Cups"),
    ("3465", "工具", "Tools"),
    ("4710", "建筑", "Builders"),
    ("7263", "劳务派遣", "Staffing"),
    ("3770", "车业", "Carts"),
    ("3252", "铜业", "Copper"),
    ("2442", "健身器材", "Fitness"),
    ("2130", "家具", "Furniture"),
    ("3854", "电器", "Appliances"),
];
const AREAS: [(&str, &str); 8] = [
    ("330784001", "Dongcheng"),
    ("330784002", "Xicheng"),
    ("330784003", "Jiangnan"),
    ("330784108", "Gushan"),
    ("330784110", "Longshan"),
    ("330784112", "Xiangzhu"),
    ("330784115", "Zhiying"),
    ("YK-KFQ", "Development Zone"),
];
const SURNAMES: [&str; 12] = ["赵", "钱", "孙", "李", "周", "吴", "郑", "王", "冯", "陈", "褚", "卫"];

/// The code of the `n`th made-up organisation: valid symbols at both ends, and an `XX` that is not issued.
pub fn made_up_uscc(n: u32) -> Uscc {
    // The inner check digit of GB 11714: X counts 33.
    let digits = format!("{n:06}");
    let weights = [9, 10, 5, 8, 4, 2];
    let sum: u32 =
        33 * 3 + 33 * 7 + digits.bytes().zip(weights).map(|(d, w)| u32::from(d - b'0') * w).sum::<u32>();
    let inner = match (11 - sum % 11) % 11 {
        10 => 'X',
        d => char::from_digit(d, 10).unwrap_or('0'),
    };
    let first = format!("91330784XX{digits}{inner}");
    let check = Uscc::check_symbol(first.as_bytes()).map_or('0', char::from);
    #[allow(clippy::expect_used, reason = "the check symbol was just computed; a test makes a thousand")]
    format!("{first}{check}").parse().expect("a made-up code is valid")
}

/// The English name of an area.
pub fn area_name(code: &str) -> &'static str {
    AREAS.iter().find(|(c, _)| *c == code).map_or("?", |(_, name)| name)
}

impl City {
    /// Builds the city of a seed. Equal for equal seeds.
    pub fn new(rng: &mut ChaCha8Rng) -> City {
        let mut firms = Vec::new();
        for i in 0..60_usize {
            let (stem, branch) = (STEMS[i % 10], BRANCHES[i % 12]);
            let (industry, word, english, risk) = if i < CAST {
                let (class, word, english) = CAST_TRADES[i];
                (class, word, english, 0.0)
            } else {
                let (class, word, english, risk) = TRADES[rng.random_range(0..TRADES.len())];
                (class, word, english, risk * [0.6, 1.0, 1.0, 1.0, 1.8][rng.random_range(0..5)])
            };
            let insured = 20 + rng.random_range(0..16_u32).pow(2) * 2 + rng.random_range(0..20);
            let short = format!("{}{}{word}", stem.0, branch.0);
            firms.push(Firm {
                uscc: made_up_uscc(i as u32 + 1),
                name: format!("永康市{short}有限公司"),
                short,
                english: format!("{}{} {english}", stem.1, branch.1),
                area: AREAS[rng.random_range(0..AREAS.len())].0,
                industry,
                insured: if i == 21 { None } else { Some(if i == 33 { 0 } else { insured }) },
                risk,
                phone: (i < CAST || i % 8 != 4).then(|| format!("1000784{:04}", i + 1)),
                registered_on_day: if i == UNREGISTERED { UNREGISTERED_UNTIL } else { 0 },
            });
        }
        let people = people(&firms, rng);
        City { firms, people }
    }

    /// Registry lines that arrive on the first day: topic, key, value.
    pub fn registry(&self, start: Day) -> Vec<(&'static str, String, Value)> {
        let mut lines = Vec::new();
        for firm in self.firms.iter().filter(|f| f.registered_on_day == 0) {
            lines.push(enterprise(firm, start));
        }
        for firm in &self.firms {
            let Some(insured) = firm.insured else { continue };
            for back in 0..15 {
                let month = Month(start.month().0 - back);
                let value = json!({"uscc": firm.uscc.as_str(), "month": month.to_string(),
                    "insured": insured.saturating_sub(back as u32 % 4), "version": 1});
                lines.push(("registry.headcount", format!("{}|{month}", firm.uscc), value));
            }
        }
        for person in &self.people {
            let value = json!({"role": person.role, "subject": person.subject, "rank": 1,
                "name": person.name, "phone": person.phone, "addresses": {}, "version": 1});
            lines.push(("registry.contacts", format!("{}|{}|1", person.role, person.subject), value));
        }
        lines
    }

    /// Whose phone this is, for the display.
    pub fn phone_of(&self, phone: &str) -> Option<&Person> {
        self.people.iter().find(|p| p.phone == phone)
    }

    /// The firm with this code.
    pub fn firm(&self, uscc: &str) -> Option<&Firm> {
        self.firms.iter().find(|f| f.uscc.as_str() == uscc)
    }
}

/// Which firm of the cast is missing from the registry at first, and until which day.
pub const UNREGISTERED: usize = 6;
/// See [`UNREGISTERED`].
pub const UNREGISTERED_UNTIL: i32 = 30;

/// The registry line of one firm.
pub fn enterprise(firm: &Firm, start: Day) -> (&'static str, String, Value) {
    let value = json!({"uscc": firm.uscc.as_str(), "version": 1, "name": firm.name, "short_name": firm.short,
        "area": firm.area, "industry": firm.industry, "status": "active",
        "valid_from": start.plus(-800).to_string()});
    ("registry.enterprises", firm.uscc.to_string(), value)
}

fn people(firms: &[Firm], rng: &mut ChaCha8Rng) -> Vec<Person> {
    let mut name = || format!("{}某", SURNAMES[rng.random_range(0..SURNAMES.len())]);
    let mut people = Vec::new();
    for firm in firms {
        let Some(phone) = firm.phone.clone() else { continue };
        people.push(Person {
            role: "owner",
            subject: firm.uscc.to_string(),
            name: name(),
            phone,
            shown_as: format!("owner of {}", firm.english),
        });
    }
    for (i, (code, english)) in AREAS.iter().enumerate() {
        people.push(Person {
            role: "township_duty",
            subject: (*code).to_owned(),
            name: name(),
            phone: format!("1000785{i:04}"),
            shown_as: format!("township duty, {english}"),
        });
    }
    let mut divisions: Vec<&str> = firms.iter().map(|f| &f.industry[..2]).collect();
    divisions.sort_unstable();
    divisions.dedup();
    for division in divisions {
        people.push(Person {
            role: "industry_duty",
            subject: division.to_owned(),
            name: name(),
            phone: format!("1000786{division:0>4}"),
            shown_as: format!("duty of industry {division}"),
        });
    }
    people.push(Person {
        role: "emergency_duty",
        subject: tocsin_schemas::codes::CITY.to_owned(),
        name: name(),
        phone: "10007870000".to_owned(),
        shown_as: "emergency bureau duty".to_owned(),
    });
    people
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng;

    use super::*;

    fn city(seed: u64) -> City {
        City::new(&mut ChaCha8Rng::seed_from_u64(seed))
    }

    #[test]
    fn a_seed_is_a_city() {
        assert_eq!(city(7), city(7));
        assert_ne!(city(7), city(8));
    }

    #[test]
    fn made_up_codes_are_valid_and_are_those_of_the_public_example() {
        assert_eq!(made_up_uscc(1).as_str(), "91330784XX00000190");
        let all: BTreeSet<String> = (1..=1000).map(|n| made_up_uscc(n).to_string()).collect();
        assert_eq!(all.len(), 1000);
    }

    #[test]
    fn nobody_shares_a_phone_and_no_phone_could_ring() {
        let city = city(1);
        let phones: BTreeSet<&str> = city.people.iter().map(|p| p.phone.as_str()).collect();
        assert_eq!(phones.len(), city.people.len());
        assert!(phones.iter().all(|p| p.len() == 11 && p.starts_with("100")));
        let names: BTreeSet<&str> = city.firms.iter().map(|f| f.short.as_str()).collect();
        assert_eq!(names.len(), city.firms.len());
        assert!(
            city.firms.iter().any(|f| f.phone.is_none()) && city.firms.iter().any(|f| f.insured.is_none())
        );
    }
}
