//! The stories that every run of the demo tells, whatever its seed: ten firms to which nothing happens but
//! what stands here, so that what must be said of each is known beforehand, and is checked at the end.

use serde_json::{Value, json};

use super::city::City;
use super::feeds::{Slot, Writer, person_key};

/// The firms of the cast by what they play; the number is the place in [`City::firms`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Hospital, emergency bureau and HR tell of one injury.
    ThreeSources = 0,
    /// A claim that is taken back.
    TakenBack = 1,
    /// One injury after the other; then claims are refused.
    Several = 2,
    /// A fatal fall.
    Fatal = 3,
    /// A staffing firm whose worker is harmed elsewhere.
    Staffing = 4,
    /// Where that worker is harmed.
    Host = 5,
    /// Not in the registry until day 30.
    Unregistered = 6,
    /// Two injuries of last year, handed in now.
    LastYear = 7,
    /// A minor injury that turns out severe.
    Worsens = 8,
}

/// What must have been said about one firm of the cast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// Which firm.
    pub role: Role,
    /// The story in a sentence.
    pub story: &'static str,
    /// Changes of `owner_incident` alerts about its injuries, in order.
    pub owner: &'static [&'static str],
    /// Changes of its `escalation`, in order.
    pub escalation: &'static [&'static str],
}

/// The stories with what must have been said (notice S15 and S20; records.md section 4).
pub const STORIES: [Expected; 8] = [
    Expected {
        role: Role::ThreeSources,
        story: "three sources reported one injury: its owner was told once",
        owner: &["new"],
        escalation: &[],
    },
    Expected {
        role: Role::TakenBack,
        story: "a claim was withdrawn: its owner got one correction",
        owner: &["new", "corrected"],
        escalation: &[],
    },
    Expected {
        role: Role::Several,
        story: "four injuries at one firm: the township was warned at the second, again at yellow and orange, \
                and the warning closed when three claims were refused",
        owner: &["new", "new", "new", "new", "corrected", "corrected", "corrected"],
        escalation: &["new", "raised", "raised", "eased", "eased", "closed"],
    },
    Expected {
        role: Role::Fatal,
        story: "a fatal fall: owner, township and emergency bureau were told at once",
        owner: &["new"],
        escalation: &["new"],
    },
    Expected {
        role: Role::Staffing,
        story: "a dispatched worker was harmed: the employer and the host were both told",
        owner: &["new"],
        escalation: &[],
    },
    Expected {
        role: Role::Unregistered,
        story: "an employer missing from the registry: nobody was told until it was entered, then its owner was",
        owner: &["new"],
        escalation: &[],
    },
    Expected {
        role: Role::LastYear,
        story: "two injuries of last year came in late: too old for the owner, enough for a blue warning that \
                expired at a midnight",
        owner: &["suppressed", "suppressed"],
        escalation: &["new", "closed"],
    },
    Expected {
        role: Role::Worsens,
        story: "a minor injury turned out severe: the owner was told once more, the township warned red",
        owner: &["new", "upgraded"],
        escalation: &["new"],
    },
];

/// Everything the cast's reports have in common.
struct Teller<'a> {
    city: &'a City,
    seed: u64,
    out: &'a mut Writer,
}

/// Who tells of whom: the source, the story, and which of its persons.
type Whom<'a> = (&'a str, Role, u32);

impl Teller<'_> {
    /// A report that arrives at a slot, of an injury on the day `on`; `more` adds fields and replaces some.
    fn say(&mut self, at: Slot, (source, role, person): Whom<'_>, on: i32, more: Value) {
        let number = role as u32 * 10 + person;
        let day = self.out.day(on);
        let mut value = json!({
            "source": source, "source_record_id": format!("{}-{number:05}", source.to_uppercase()),
            "version": 1, "status": "reported", "category": "production", "occurred_on": day.to_string(),
            "reported_at": day.midnight().plus_millis(36_000_000).to_string(),
            "uscc": self.city.firms[role as usize].uscc.as_str(),
            "person_key": person_key(self.seed, number), "cause": "03",
        });
        if let (Some(fields), Value::Object(more)) = (value.as_object_mut(), more) {
            for (name, field) in more {
                fields.insert(name, field);
            }
        }
        self.out.report(at, &value);
    }
}

/// Writes the cast's reports.
pub fn write(city: &City, seed: u64, out: &mut Writer) {
    let died = out.day(16).to_string();
    let mut t = Teller { city, seed, out };
    let none = || json!({});

    // Hospital first (a suspicion), the emergency bureau two hours later without a name, HR next day.
    t.say((1, 1), ("health", Role::ThreeSources, 1), 1, json!({"cause": null, "occurred_time": "08:40"}));
    let nameless = json!({"person_key": null, "occurred_time": "08:40"});
    t.say((1, 2), ("emergency", Role::ThreeSources, 1), 1, nameless);
    t.say((2, 1), ("hr", Role::ThreeSources, 1), 1, json!({"occurred_time": "08:40", "lost_days": 20}));

    t.say((5, 0), ("hr", Role::TakenBack, 1), 3, none());
    t.say((11, 0), ("hr", Role::TakenBack, 1), 3, json!({"version": 2, "status": "withdrawn"}));

    for (person, day) in [(1, 4), (2, 9), (3, 14), (4, 19)] {
        t.say((day + 1, 4), ("hr", Role::Several, person), day, json!({"lost_days": 10 * person}));
    }
    for (person, day) in [(4, 34), (3, 38), (2, 42)] {
        let on = [4, 9, 14, 19][person as usize - 1];
        let refused = json!({"version": 2, "status": "refused", "lost_days": 10 * person});
        t.say((day, 3), ("hr", Role::Several, person), on, refused);
    }

    let fall = json!({"cause": "09", "died_on": died, "occurred_time": "09:15"});
    t.say((16, 2), ("emergency", Role::Fatal, 1), 16, fall.clone());
    t.say((18, 1), ("hr", Role::Fatal, 1), 16, fall);

    let host = json!({"host_uscc": city.firms[Role::Host as usize].uscc.as_str()});
    t.say((21, 3), ("hr", Role::Staffing, 1), 20, host);

    t.say((24, 3), ("hr", Role::Unregistered, 1), 23, none());

    // 2025-03-10 and 2025-03-20: the older one leaves the 365 days at the midnight of 2026-03-10.
    t.say((0, 2), ("hr", Role::LastYear, 1), -357, none());
    t.say((0, 2), ("hr", Role::LastYear, 2), -347, none());

    t.say((9, 5), ("hr", Role::Worsens, 1), 8, json!({"lost_days": 15}));
    let worse = json!({"version": 2, "status": "accepted", "lost_days": 130});
    t.say((25, 5), ("hr", Role::Worsens, 1), 8, worse);
}
