//! Which policy may take the place of which: the first day of a policy is no threshold like the others. Pure; the
//! command `publish` asks, and so does whoever reads the topic, for what came there by another way.

use tocsin_pipeline::Policies;
use tocsin_schemas::time::Day;

/// Whether a policy that is published on a day may follow the one that is in force then.
///
/// # Errors
/// What would happen to people, and what to do instead.
pub fn may_follow(old: &Policies, new: &Policies, on: Day) -> Result<(), String> {
    let (was, is) = (old.begins(), new.begins());
    let differs = format!("its first table begins on {is}, that of the policy in force on {was}");
    if is > was && was <= on {
        return Err(format!(
            "{differs}: between the two nothing would be decided. Keep the tables that hold, and add the new one"
        ));
    }
    if is < was && is <= on {
        let allowed = if was <= on {
            format!("Let the first table begin on {was}")
        } else {
            format!("Let the first table begin after {on}, such as on {was}")
        };
        return Err(format!(
            "{differs}: every injury that was first reported in between would become due at once, and its owner be \
             written to. {allowed}"
        ));
    }
    Ok(())
}

/// Whether a policy may be the first one of a log in which nothing was decided yet, instead of what would run.
///
/// # Errors
/// What would happen, and what to do instead.
pub fn may_be_first(would_run: &Policies, new: &Policies, on: Day) -> Result<(), String> {
    let (was, is) = (would_run.begins(), new.begins());
    if is > was && is > on {
        return Err(format!(
            "its first table begins on {is}, and before that day nobody would be told of anything; what would run \
             without it begins on {was}. Put a table before it that holds today; or if nothing is to be said until \
             then, name the file under [policy] in the configuration, and the first `tocsin run` publishes it"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(days: &[&str]) -> Policies {
        let tables: Vec<String> =
            days.iter().map(|d| format!("[[policy]]\neffective_from = \"{d}\"\n")).collect();
        Policies::parse(&tables.concat()).unwrap()
    }

    fn on() -> Day {
        "2025-03-01".parse().unwrap()
    }

    #[test]
    fn one_that_has_begun_keeps_its_first_day() {
        let old = from(&["2020-11-20"]);
        assert_eq!(may_follow(&old, &from(&["2020-11-20", "2026-01-01"]), on()), Ok(()));
        assert_eq!(may_follow(&from(&["2020-11-20", "2026-01-01"]), &old, on()), Ok(()));
        for (day, what) in [
            ("2026-01-01", "between the two nothing would be decided"),
            ("2025-03-01", "between the two nothing would be decided"),
            (
                "2020-11-19",
                "would become due at once, and its owner be written to. Let the first table begin on 2020-11-20",
            ),
            ("1999-01-01", "would become due at once"),
        ] {
            let why = may_follow(&old, &from(&[day, "2030-01-01"]), on()).unwrap_err();
            assert!(why.contains(what) && why.contains(day) && why.contains("on 2020-11-20"), "{why}");
        }
    }

    /// Before it has begun it may be put off, or brought forward, but not behind those who were reported already.
    #[test]
    fn one_that_has_not_begun_may_be_moved_within_the_future() {
        let old = from(&["2026-01-01"]);
        assert_eq!(may_follow(&old, &from(&["2027-01-01"]), on()), Ok(()));
        assert_eq!(may_follow(&old, &from(&["2025-03-02"]), on()), Ok(()));
        let why = may_follow(&old, &from(&["2025-03-01"]), on()).unwrap_err();
        assert!(why.contains("after 2025-03-01, such as on 2026-01-01"), "{why}");
    }

    #[test]
    fn the_first_one_of_a_log_does_not_put_off_what_would_run() {
        let default = Policies::default();
        for days in [&["2020-11-20"][..], &["2025-03-01"], &["2019-01-01"], &["2020-11-20", "2026-01-01"]] {
            assert_eq!(may_be_first(&default, &from(days), on()), Ok(()), "{days:?}");
        }
        let why = may_be_first(&default, &from(&["2025-03-02"]), on()).unwrap_err();
        assert!(why.contains("nobody would be told") && why.contains("[policy]"), "{why}");
        assert_eq!(may_be_first(&from(&["2026-01-01"]), &from(&["2026-01-01"]), on()), Ok(()));
    }
}
