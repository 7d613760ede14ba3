//! Simulated time, and a backlog of our own: what the gateway sees of us, minute by minute.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;
use tocsin_schemas::codes::Severity;

use super::*;
use crate::gateways::{Fate, Verdict, find};

const WALL: Instant = Instant(1_767_225_600_000);

fn seconds(seconds: u64) -> Tick {
    Duration::from_secs(seconds)
}

/// The wall's clock at this tick.
fn wall(now: Tick) -> Instant {
    WALL.plus_millis(i64::try_from(now.as_millis()).unwrap())
}

fn profile(name: &str) -> &'static Profile {
    find(name).unwrap().profile
}

fn admission(name: &str) -> Admission {
    Admission::new(profile(name), AdmissionSettings::default())
}

fn go(permit: Permit) -> Ticket {
    match permit {
        Permit::Go(ticket) => ticket,
        Permit::NotBefore(at, wait) => panic!("not before {at:?}: {wait:?}"),
    }
}

fn wait(permit: Permit) -> (Tick, Wait) {
    match permit {
        Permit::Go(_) => panic!("it goes"),
        Permit::NotBefore(at, wait) => (at, wait),
    }
}

fn yes() -> Outcome {
    Outcome::Accepted { gateway_ref: None }
}
fn refused() -> Outcome {
    Outcome::Transient { reason: "connection_refused".into(), retry_after_ms: None }
}
fn timeout() -> Outcome {
    Outcome::Unknown { reason: "timeout".into(), retry_after_ms: None }
}
fn no_balance() -> Outcome {
    Outcome::Account { reason: "isv.AMOUNT_NOT_ENOUGH".into() }
}

fn no_template() -> Outcome {
    Outcome::Text { reason: "isv.SMS_TEMPLATE_ILLEGAL".into() }
}

/// Sends at this time and hears this.
fn send(admission: &Admission, outcome: &Outcome, now: Tick) {
    go(admission.permit(now)).done(outcome, now, wall(now));
}

#[test]
fn no_minute_has_more_calls_than_the_published_limit_and_few_are_given_away() {
    for name in ["dingtalk_robot", "wecom_robot"] {
        let limit = profile(name).limits.calls_per_minute.unwrap() as usize;
        for step_ms in [50, 333, 1_000, 2_999] {
            let admission = admission(name);
            let mut calls: Vec<Tick> = Vec::new();
            let mut now = seconds(7);
            while now < seconds(7 + 600) {
                match admission.permit(now) {
                    Permit::Go(ticket) => {
                        calls.push(now);
                        ticket.done(&yes(), now, wall(now));
                    }
                    Permit::NotBefore(at, why) => {
                        assert_eq!(why, Wait::Rate);
                        assert!(at > now && at <= now + seconds(60), "{at:?}");
                        now += Duration::from_millis(step_ms);
                    }
                }
            }
            for (n, from) in calls.iter().enumerate() {
                let within = calls[n..].iter().take_while(|at| **at <= *from + seconds(60)).count();
                assert!(within <= limit, "{name}: {within} calls from {from:?}");
            }
            assert!(calls.len() >= 10 * limit * 6 / 10, "{name}: {} calls in 10 minutes", calls.len());
        }
    }
}

#[test]
fn the_whole_robot_waits_for_its_window_and_an_sms_gateway_for_none_of_one_phone() {
    let used_up = |until| Outcome::WindowUsedUp { reason: "130101".into(), until };
    for (name, until, held) in [
        ("dingtalk_robot", Some(wall(seconds(600))), Some(600)),
        ("dingtalk_robot", None, Some(600)),
        ("wecom_robot", None, Some(60)),
        // One phone has had its messages of today; the others have not.
        ("tencent", Some(wall(seconds(600))), None),
        ("aliyun", Some(wall(seconds(600))), None),
        // What the gateway says is believed for an hour at most.
        ("dingtalk_robot", Some(wall(seconds(86_400))), Some(3_600)),
    ] {
        let admission = admission(name);
        send(&admission, &used_up(until), seconds(0));
        match held {
            None => drop(go(admission.permit(seconds(0)))),
            Some(end) => {
                let expected = (seconds(end), Wait::Hold("130101".into()));
                assert_eq!(wait(admission.permit(seconds(0))), expected, "{name}");
                assert_eq!(wait(admission.permit(seconds(end - 1))), expected, "{name}");
                drop(go(admission.permit(seconds(end))));
            }
        }
        assert_eq!(admission.report().open, None, "{name}: an answer is no failure");
    }
}

#[test]
fn retry_after_holds_back_everything_to_that_gateway() {
    let admission = admission("webhook");
    let busy = Outcome::Transient { reason: "http_429".into(), retry_after_ms: Some(90_000) };
    send(&admission, &busy, seconds(0));
    for permit in [admission.permit(seconds(89)), admission.permit_question(seconds(89))] {
        assert_eq!(wait(permit), (seconds(90), Wait::Hold("http_429".into())));
    }
    send(&admission, &yes(), seconds(90));
}

#[test]
fn a_hold_is_reported_and_a_yes_ends_one_of_retry_after_but_no_window() {
    let webhook = admission("webhook");
    assert_eq!(webhook.report().held_until, None);
    let under_way = go(webhook.permit(seconds(0)));
    let busy = Outcome::Transient { reason: "http_429".into(), retry_after_ms: Some(90_000) };
    send(&webhook, &busy, seconds(0));
    assert_eq!(webhook.report().held_until, Some(wall(seconds(90))));
    assert!(!webhook.serves(seconds(89)) && webhook.serves(seconds(90)));
    under_way.done(&yes(), seconds(1), wall(seconds(1)));
    assert_eq!((webhook.report().held_until, webhook.serves(seconds(1))), (None, true));
    send(&webhook, &yes(), seconds(1));

    let robot = admission("dingtalk_robot");
    let under_way = go(robot.permit(seconds(0)));
    let until = Some(wall(seconds(60)));
    send(&robot, &Outcome::WindowUsedUp { reason: "window".into(), until }, seconds(0));
    under_way.done(&yes(), seconds(1), wall(seconds(1)));
    let report = robot.report();
    assert_eq!((report.held_until, report.window_until), (None, until));
    assert_eq!(wait(robot.permit(seconds(59))), (seconds(60), Wait::Hold("window".into())));
    go(robot.permit(seconds(60))).done(&yes(), seconds(60), wall(seconds(60)));
}

#[test]
fn how_long_it_is_away_counts_from_the_first_opening_over_every_round_of_probes() {
    let webhook = admission("webhook");
    (0..5).for_each(|_| send(&webhook, &refused(), seconds(10)));
    let away = |now| webhook.away(now).map(|(because, away)| (because.account, away));
    assert_eq!(away(seconds(11)), Some((false, seconds(1))));
    assert_eq!(away(seconds(100)), Some((false, seconds(90))), "that it may be probed does not end it");
    (0..2).for_each(|_| send(&webhook, &refused(), seconds(100)));
    assert_eq!(away(seconds(101)), Some((false, seconds(91))));
    send(&webhook, &yes(), seconds(900));
    assert!(webhook.serves(seconds(900)));
    assert_eq!(away(seconds(900)), None);
    send(&webhook, &no_balance(), seconds(1_000));
    assert_eq!(away(seconds(1_001)), Some((true, seconds(1))));
}

/// A message of the simulated backlog.
#[derive(Debug, Clone)]
struct Waiting {
    arrived: Tick,
    /// Whether the gateway breaks on it, whatever it is like otherwise.
    poison: bool,
}

/// What a simulation came to.
#[derive(Debug, Default)]
struct Seen {
    /// Calls: when, and whose.
    calls: Vec<(Tick, String)>,
    /// Yeses, in order.
    accepted: Vec<(Tick, Turn)>,
    /// Why something had to wait, by name.
    waits: BTreeSet<&'static str>,
    under_way_at_most: usize,
    left: usize,
}

/// One gateway, its backlog, a step of 100 ms: `answers(message, tick)` is what a call that begins then comes to, and
/// how long it takes.
fn simulate(
    admission: &Admission,
    mut arrivals: VecDeque<(Tick, Turn, bool)>,
    end: Tick,
    answers: impl Fn(&Waiting, Tick) -> (Outcome, Tick),
) -> Seen {
    let mut seen = Seen::default();
    let mut backlog: BTreeMap<Turn, Waiting> = BTreeMap::new();
    let mut under_way: Vec<(Tick, Ticket, Outcome, Turn, Waiting)> = Vec::new();
    let mut now = seconds(0);
    while now <= end {
        while arrivals.front().is_some_and(|(at, ..)| *at <= now) {
            let (arrived, turn, poison) = arrivals.pop_front().unwrap();
            backlog.insert(turn, Waiting { arrived, poison });
        }
        let (done, going): (Vec<_>, Vec<_>) = under_way.into_iter().partition(|(at, ..)| *at <= now);
        under_way = going;
        for (_, ticket, outcome, turn, waiting) in done {
            ticket.done(&outcome, now, wall(now));
            match outcome {
                Outcome::Accepted { .. } => seen.accepted.push((now, turn)),
                _ => drop(backlog.insert(turn, waiting)),
            }
        }
        while !backlog.is_empty() {
            match admission.permit(now) {
                Permit::NotBefore(until, wait) => {
                    assert!(until > now, "{wait:?} until {until:?} at {now:?}");
                    seen.waits.insert(wait.as_str());
                    break;
                }
                Permit::Go(ticket) => {
                    let (turn, waiting) = backlog.pop_first().unwrap();
                    seen.calls.push((now, turn.delivery_id().to_owned()));
                    let (outcome, takes) = answers(&waiting, now);
                    under_way.push((now + takes, ticket, outcome, turn, waiting));
                }
            }
        }
        seen.under_way_at_most = seen.under_way_at_most.max(under_way.len());
        now += Duration::from_millis(100);
    }
    seen.left = backlog.len() + under_way.len();
    seen
}

/// A message every 3 seconds for 40 minutes, one in ten severe, one in fifty fatal.
fn city() -> VecDeque<(Tick, Turn, bool)> {
    let turn = |n: u64| {
        let severity = match n {
            n if n % 50 == 49 => Severity::Fatal,
            n if n % 10 == 9 => Severity::Severe,
            _ => Severity::Minor,
        };
        let at = seconds(n * 3);
        (at, Turn::new(severity, wall(at), "", &format!("d{n:04}")), false)
    };
    (0..800).map(turn).collect()
}

/// The most calls of a gateway that is down for so long: those that open the breaker, and the probes between, by
/// doubling its shortest delays by hand.
fn most_calls(down: Tick, settings: &AdmissionSettings) -> usize {
    let breaker = settings.breaker;
    let (mut rounds, mut at, mut delay) = (0, Duration::ZERO, breaker.first_open);
    while at + delay <= down {
        at += delay;
        rounds += 1;
        delay = (delay * 2).min(breaker.longest_open);
    }
    (breaker.failures + rounds * breaker.probes) as usize
}

#[test]
fn a_gateway_down_for_half_an_hour_is_probed_and_the_backlog_drains_in_order() {
    let (from, to) = (seconds(300), seconds(300 + 1_800));
    for (name, takes, fails) in [
        // What is under way when it goes down can be more than what opens the breaker.
        ("aliyun", Duration::from_millis(100), refused()),
        ("aliyun", seconds(10), timeout()),
        ("wecom_robot", Duration::from_millis(100), refused()),
    ] {
        let admission = admission(name);
        let down = |now: Tick| (from..to).contains(&now);
        let seen = simulate(&admission, city(), seconds(7_000), |_, now| match down(now) {
            true => (fails.clone(), takes),
            false => (yes(), Duration::from_millis(100)),
        });
        let at = format!("{name}, {fails:?}");

        let settings = AdmissionSettings::default();
        let calls = seen.calls.iter().filter(|(at, _)| down(*at)).count();
        // A call that takes 10 s lets three more messages arrive and go while it is under way.
        let already = if takes > seconds(3) { 10_usize.div_ceil(3) } else { 0 };
        let most = most_calls(to - from, &settings) + already;
        println!("{at}: {calls} calls in 30 minutes without an answer, at most {most}; {:?}", seen.waits);
        assert!(calls <= most, "{at}: {calls} calls, at most {most}");
        assert!(calls >= 10, "{at}: only {calls} calls: would it notice that the gateway is back?");

        // Everything got through, and what had to wait has a name for it.
        assert_eq!((seen.accepted.len(), seen.left), (800, 0), "{at}");
        let accepted: BTreeSet<_> = seen.accepted.iter().map(|(_, turn)| turn.clone()).collect();
        assert_eq!(accepted.len(), 800, "{at}: one twice");
        assert!(
            seen.waits.is_subset(&BTreeSet::from(["open", "probing", "rate", "full"])),
            "{:?}",
            seen.waits
        );

        // It noticed within a round, whose delay is the longest one, spread.
        let back = seen.accepted.iter().map(|(at, _)| *at).find(|at| *at >= to).unwrap();
        assert!(back <= to + settings.breaker.longest_open * 2 + seconds(1), "{at}: {back:?}");

        // What had come before it was back: the worst first, of these the oldest.
        let came = city();
        let waited: BTreeSet<&Turn> = came
            .iter()
            .filter(|(arrived, turn, _)| {
                *arrived < back && !seen.accepted.iter().any(|(at, a)| a == turn && *at < to)
            })
            .map(|(_, turn, _)| turn)
            .collect();
        assert!(waited.len() > 500, "{at}: {}", waited.len());
        let drained: Vec<&Turn> =
            seen.accepted.iter().map(|(_, turn)| turn).filter(|turn| waited.contains(turn)).collect();
        assert_eq!(drained, waited.into_iter().collect::<Vec<_>>(), "{at}");
        assert_eq!(admission.report().open, None);
    }
}

#[test]
fn no_more_are_under_way_than_may_be_and_no_gateway_takes_the_places_of_another() {
    let slow = admission("aliyun");
    let fast = admission("tencent");
    let burst =
        (0..500).map(|n| (seconds(0), Turn::new(Severity::Minor, WALL, "", &format!("d{n:04}")), false));
    let seen = simulate(&slow, burst.collect(), seconds(60), |_, _| (yes(), seconds(30)));
    assert_eq!(seen.under_way_at_most, profile("aliyun").limits.max_in_flight as usize);
    assert_eq!(seen.waits, BTreeSet::from(["full"]));
    // All places of the slow one are taken; the fast one knows nothing of it.
    let slow = admission("aliyun");
    let _tickets: Vec<_> = (0..32).map(|_| go(slow.permit(seconds(0)))).collect();
    assert_eq!(wait(slow.permit(seconds(0))), (seconds(10), Wait::Full));
    for _ in 0..1_000 {
        send(&fast, &yes(), seconds(0));
    }
}

#[test]
fn one_message_that_the_gateway_breaks_on_does_not_hold_the_others_back() {
    let admission = admission("webhook");
    let mut arrivals = city();
    // The worst of all, so it is always the first probe.
    arrivals.push_front((seconds(0), Turn::new(Severity::Fatal, WALL.plus_millis(-1), "", "poison"), true));
    let down = |now: Tick| now < seconds(120);
    let seen = simulate(&admission, arrivals, seconds(3_000), |waiting, now| {
        assert!(waiting.arrived <= now);
        let lost = Outcome::Unknown { reason: "http_500".into(), retry_after_ms: None };
        (if waiting.poison || down(now) { lost } else { yes() }, Duration::from_millis(100))
    });
    assert_eq!((seen.accepted.len(), seen.left), (800, 1));
    let back = seen.accepted.first().unwrap().0;
    assert!(back < seconds(120 + 300), "{back:?}");
}

#[test]
fn an_account_that_is_refused_is_the_operators_at_once_and_probed_by_its_own_interval() {
    let admission = admission("aliyun");
    send(&admission, &no_balance(), seconds(0));
    let because = Because { account: true, reason: "isv.AMOUNT_NOT_ENOUGH".into() };
    assert_eq!(wait(admission.permit(seconds(299))), (seconds(300), Wait::Open(because.clone())));
    let report = admission.report();
    assert_eq!((report.open, report.opened, report.opened_by_account), (Some(because), 0, 1));
    // What was sent before can still be asked about.
    let found = Told::Known { fate: Fate::Delivered, gateway_ref: None };
    assert_eq!(go(admission.permit_question(seconds(1))).answered(&found, seconds(1)), Asked::Answered);
    // A day of it: one refusal closes a round, whatever the number of probes.
    let mut probes = 0;
    for second in 300..86_400 {
        if let Permit::Go(ticket) = admission.permit(seconds(second)) {
            assert!(ticket.is_probe());
            probes += 1;
            ticket.done(&no_balance(), seconds(second), wall(seconds(second)));
        }
    }
    assert_eq!(probes, 86_400 / 300 - 1);
    // It was paid: the next probe is a message that goes out.
    send(&admission, &yes(), seconds(86_700));
    assert_eq!(admission.report().open, None);
}

#[test]
fn a_refused_number_never_opens_it_and_a_code_that_is_unknown_neither() {
    let admission = admission("tencent");
    for reason in ["FailedOperation.PhoneNumberInBlacklist", "unknown_code"] {
        for _ in 0..1_000 {
            let outcome = match reason {
                "unknown_code" => Outcome::Unknown { reason: reason.into(), retry_after_ms: None },
                _ => Outcome::Permanent { reason: reason.into() },
            };
            send(&admission, &outcome, seconds(0));
        }
    }
    // Nor do failures with an answer between them.
    for _ in 0..100 {
        (0..4).for_each(|_| send(&admission, &timeout(), seconds(0)));
        send(&admission, &Outcome::Permanent { reason: "no".into() }, seconds(0));
    }
    assert_eq!(admission.report(), Report::default());
    (0..5).for_each(|_| send(&admission, &timeout(), seconds(0)));
    assert_eq!(admission.report().open.unwrap().reason, "timeout");
}

#[test]
fn what_began_before_it_opened_changes_nothing_but_that_the_account_is_refused() {
    let admission = admission("aliyun");
    let old: Vec<_> = (0..8).map(|_| go(admission.permit(seconds(0)))).collect();
    (0..5).for_each(|_| send(&admission, &refused(), seconds(1)));
    let (until, _) = wait(admission.permit(seconds(1)));
    let mut old = old.into_iter();
    for outcome in [yes(), refused(), timeout()] {
        old.next().unwrap().done(&outcome, seconds(2), wall(seconds(2)));
        assert_eq!(wait(admission.permit(seconds(2))).0, until, "{outcome:?}");
    }
    old.next().unwrap().done(&no_balance(), seconds(3), wall(seconds(3)));
    assert!(
        matches!(wait(admission.permit(seconds(3))), (at, Wait::Open(b)) if b.account && at == seconds(303))
    );
    assert_eq!(admission.report().in_flight, 4);
    drop(old);
    assert_eq!(admission.report().in_flight, 0);
}

#[test]
fn a_probe_that_is_given_up_can_be_had_again() {
    let admission = admission("aliyun");
    (0..5).for_each(|_| send(&admission, &refused(), seconds(0)));
    let (until, _) = wait(admission.permit(seconds(0)));
    for _ in 0..10 {
        let probes = [go(admission.permit(until)), go(admission.permit(until))];
        assert!(probes.iter().all(Ticket::is_probe));
        assert!(matches!(wait(admission.permit(until)).1, Wait::Probing(_)));
        drop(probes);
    }
    send(&admission, &yes(), until);
    assert!(!go(admission.permit(until)).is_probe());
}

#[test]
fn questions_never_take_a_place_of_a_send() {
    let settings = AdmissionSettings { max_in_flight: Some(3), ..AdmissionSettings::default() };
    let admission = Admission::new(profile("aliyun"), settings);
    // As many as are let, all without an answer.
    let mut questions = Vec::new();
    let (mut at, mut now) = (Vec::new(), seconds(0));
    while now < seconds(60) {
        if let Permit::Go(ticket) = admission.permit_question(now) {
            questions.push(ticket);
            at.push(now);
        }
        now += Duration::from_millis(100);
    }
    assert_eq!(at, [seconds(0), seconds(1)], "two under way, and not at once");
    let sends: Vec<_> = (0..3).map(|_| go(admission.permit(now))).collect();
    assert_eq!(wait(admission.permit(now)).1, Wait::Full);
    // And with all places of sends taken, a question has its own.
    drop(questions);
    let asked = go(admission.permit_question(now));
    assert_eq!(asked.answered(&Told::NotFound, now), Asked::Answered);
    drop(sends);
    // A minute of answers at once: capped and spread.
    let mut asked = Vec::new();
    while now < seconds(180) {
        if let Permit::Go(ticket) = admission.permit_question(now) {
            let _ = ticket.answered(&Told::NotFound, now);
            asked.push(now);
        }
        now += Duration::from_millis(50);
    }
    assert!((115..=120).contains(&asked.len()), "{}", asked.len());
    assert!(asked.windows(2).all(|pair| pair[1] - pair[0] >= seconds(1)));
}

#[test]
fn a_question_that_is_refused_is_told_as_that() {
    let told = |outcome| Told::CannotTell(Verdict::of(outcome));
    let admission = admission("aliyun");
    let ask = |told: &Told, now| go(admission.permit_question(now)).answered(told, now);
    let reason = || OutcomeReason::from("isp.RAM_PERMISSION_DENY");
    assert_eq!(
        ask(&told(Outcome::Permanent { reason: reason() }), seconds(0)),
        Asked::Refused { reason: reason(), account: false }
    );
    assert_eq!(ask(&told(timeout()), seconds(2)), Asked::Unanswered { reason: "timeout".into() });
    assert_eq!(admission.report().questions_open, None);
    assert_eq!(
        ask(&told(Outcome::Account { reason: reason() }), seconds(4)),
        Asked::Refused { reason: reason(), account: true }
    );
    let report = admission.report();
    assert_eq!((report.questions_refused, report.opened_by_account), (2, 0));
    assert_eq!(report.questions_open, Some(Because { account: true, reason: reason() }));
    assert!(matches!(wait(admission.permit_question(seconds(300))).1, Wait::Open(_)));
    // It may not be asked; it may be sent to.
    send(&admission, &yes(), seconds(4));
}

#[test]
fn a_gateway_that_is_down_is_not_asked_but_found_up_by_a_question_alone() {
    let admission = admission("aliyun");
    (0..5).for_each(|_| send(&admission, &refused(), seconds(0)));
    let (until, _) = wait(admission.permit(seconds(0)));
    assert!(matches!(wait(admission.permit_question(seconds(0))), (at, Wait::Open(_)) if at == until));
    // Nothing is left to send that could probe it.
    assert_eq!(go(admission.permit_question(until)).answered(&Told::NotFound, until), Asked::Answered);
}

#[derive(Debug, Clone)]
enum Step {
    Permit,
    Question,
    Done(usize, u8),
    Drop(usize),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Permit),
        1 => Just(Step::Question),
        4 => (0..40_usize, 0..5_u8).prop_map(|(n, what)| Step::Done(n, what)),
        1 => (0..40_usize).prop_map(Step::Drop),
        2 => (0..120_u64).prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 0..400)
}

proptest! {
    /// Whatever happens: places are counted right, nothing goes before the instant that was named, and at rest some
    /// message always gets through in the end.
    #[test]
    fn whatever_happens_it_counts_right_and_never_stays_shut(steps in steps()) {
        let settings = AdmissionSettings { max_in_flight: Some(4), ..AdmissionSettings::default() };
        let admission = Admission::new(profile("aliyun"), settings);
        let (mut now, mut sends, mut questions) = (seconds(0), Vec::new(), Vec::new());
        let mut shut: Option<Tick> = None;
        for step in steps {
            match step {
                Step::Pass(more) => now += seconds(more),
                Step::Permit => match admission.permit(now) {
                    Permit::Go(ticket) => {
                        prop_assert!(shut.is_none_or(|until| now >= until), "it went before {shut:?}");
                        sends.push(ticket);
                    }
                    Permit::NotBefore(until, Wait::Open(_) | Wait::Hold(_)) => shut = Some(until),
                    Permit::NotBefore(..) => {}
                },
                Step::Question => if let Permit::Go(ticket) = admission.permit_question(now) {
                    questions.push(ticket);
                },
                Step::Done(n, what) if !sends.is_empty() => {
                    let outcome = match what {
                        0 => yes(),
                        1 => refused(),
                        2 => timeout(),
                        3 => no_balance(),
                        _ => Outcome::Permanent { reason: "no".into() },
                    };
                    let ticket: Ticket = sends.swap_remove(n % sends.len());
                    let probe = ticket.is_probe();
                    ticket.done(&outcome, now, wall(now));
                    if probe && what == 0 {
                        shut = None;
                    }
                }
                Step::Drop(n) if !sends.is_empty() => drop(sends.swap_remove(n % sends.len())),
                Step::Done(..) | Step::Drop(_) => {}
            }
            let report = admission.report();
            prop_assert_eq!(report.in_flight as usize, sends.len());
            prop_assert_eq!(report.questions_in_flight as usize, questions.len());
            prop_assert!(sends.len() <= 4 && questions.len() <= 2);
        }
        drop((sends, questions));
        now += seconds(3_600);
        send(&admission, &yes(), now);
        prop_assert_eq!(admission.report().open, None);
    }
}

#[test]
fn a_template_that_is_refused_keeps_no_message_with_another_one_back() {
    let admission = admission("aliyun");
    (0..10).for_each(|second| send(&admission, &no_template(), seconds(second)));
    send(&admission, &yes(), seconds(10));
    let report = admission.report();
    assert!(report.opened_by_account == 0 && report.open.is_none(), "{report:?}");
}
