//! Nights, weekends, holidays and old messages. Each step is a run of a worker of its own: a restart lies between any
//! two of them.

use super::*;
use crate::calendar::{Holidays, Hours};

/// An instant such as `2026-11-26 21:30`.
pub(super) fn at(text: &str) -> Instant {
    format!("{}:00+08:00", text.replace(' ', "T")).parse().unwrap()
}

/// A clock that is set by hand, and jumps over what takes at most a quarter of an hour (a retry).
struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> Instant {
        Instant(self.0.load(Ordering::SeqCst))
    }
    fn sleep_until(&self, at: Instant) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if at.0 - self.now().0 > 900_000 {
                std::future::pending::<()>().await;
            }
            tokio::task::yield_now().await;
            self.0.fetch_max(at.0, Ordering::SeqCst);
        })
    }
}

/// A log, a gateway and hours; a worker comes for each step.
pub(super) struct House {
    pub log: Arc<MemLog>,
    pub gateway: Arc<Gateway>,
    pub settings: Settings,
}

/// 21:00 to 08:00, offices from 08:30, the National Day of 2026 with its Saturday.
fn calendar() -> Calendar {
    let mut holidays = Holidays::new();
    (1..=7).for_each(|d| holidays.add(format!("2026-10-0{d}").parse().unwrap(), false).unwrap());
    holidays.add("2026-10-10".parse().unwrap(), true).unwrap();
    Calendar::new(Hours::default(), holidays)
}

impl House {
    pub fn new() -> House {
        let log = MemLog::new("l");
        log.put(&[owner("owner"), contact(Role::TownshipDuty, "330784001", 1, "town")]);
        let settings = Settings { calendar: calendar(), ..quick() };
        House { log, gateway: Arc::default(), settings }
    }

    pub fn worker(&self, now: Instant) -> Worker {
        let (log, gateway) = (Arc::clone(&self.log), Arc::clone(&self.gateway));
        Worker::new(
            log,
            Channels::one(gateway),
            Arc::new(HandClock(AtomicI64::new(now.0))),
            self.settings.clone(),
        )
    }

    /// This alert is decided now, and a worker runs until nothing is left to do at this hour.
    pub async fn step(&self, now: &str, alert: Option<Alert>) -> Stats {
        if let Some(alert) = alert {
            self.log.put(&[codec::encode(&Alert { decided_at: at(now), ..alert })]);
        }
        self.try_step(now).await.unwrap()
    }

    /// The same without an alert; the worker may die of a fault of the log.
    pub async fn try_step(&self, now: &str) -> Result<Stats, WorkerError> {
        let worker = self.worker(at(now));
        let (mut stats, ends) = (worker.stats(), ends(&self.log));
        let done = async move { drop(crate::stats::settled(&mut stats, &ends).await) };
        tokio::time::timeout(LIMIT, worker.run(done)).await.expect("settles in time")
    }

    /// A worker runs until its figures say so.
    async fn until(&self, now: &str, so: impl FnMut(&Stats) -> bool + Send) {
        let worker = self.worker(at(now));
        let mut stats = worker.stats();
        let done = async move { drop(stats.wait_for(so).await) };
        tokio::time::timeout(LIMIT, worker.run(done)).await.expect("so in time").unwrap();
    }

    /// A worker runs until the process dies.
    async fn step_to_death(&self, now: &str) {
        let worker = self.worker(at(now));
        tokio::select! {
            result = tokio::time::timeout(LIMIT, worker.run(std::future::pending())) => {
                assert!(result.expect("in time").is_err(), "it dies");
            }
            () = self.gateway.died.notified() => {}
        }
    }

    /// Ids of the alerts that rang, in order.
    pub fn rang(&self) -> Vec<String> {
        self.gateway.rung().into_iter().map(|(alert, _)| alert).collect()
    }

    /// State and reason of an alert's delivery.
    pub fn state(&self, id: &str) -> (DeliveryState, String) {
        let ledger = ledger(&self.log);
        let (state, reason) = of(&ledger, id);
        (state, reason.to_owned())
    }

    fn due(&self, id: &str) -> Option<Instant> {
        let all = self.log.records(topic::DELIVERIES);
        let mut decoded =
            all.iter().map(|r| codec::decode::<Delivery>(r, r.value.as_deref().unwrap()).unwrap());
        decoded.rfind(|d| d.alert_id == id).and_then(|d| d.due_at)
    }

    pub fn is_held(&self, id: &str, reason: &str, until: &str) {
        assert_eq!(self.state(id), (DeliveryState::Planned, reason.to_owned()), "{id}");
        assert_eq!(self.due(id), Some(at(until)), "{id}");
    }

    pub fn is(&self, id: &str, state: DeliveryState, reason: &str) {
        assert_eq!(self.state(id), (state, reason.to_owned()), "{id}");
    }
}

fn of_case(alert: Alert, case: u32) -> Option<Alert> {
    let case_no = IncidentId(case).to_string();
    Some(Alert { subject: case_no.as_str().into(), case_no: case_no.as_str().into(), ..alert })
}

/// What the owner of the enterprise is told of one incident.
pub(super) fn owner_of(id: &str, change: Change, severity: Severity) -> Option<Alert> {
    of_case(owner_alert(id, change, severity), 1)
}

/// What the township is told of the enterprise.
pub(super) fn town(id: &str, change: Change, level: Option<Level>) -> Option<Alert> {
    of_case(Alert { alert_id: id.into(), ..escalation(change, level, 2) }, 7)
}

const ACCEPTED: DeliveryState = DeliveryState::Accepted;
const SKIPPED: DeliveryState = DeliveryState::Skipped;
const FAILED: DeliveryState = DeliveryState::Failed;

#[tokio::test]
async fn a_minor_accident_at_night_rings_at_eight_and_once() {
    let house = House::new();
    let stats = house.step("2026-11-26 21:30", owner_of("a", Change::New, Severity::Minor)).await;
    house.is_held("a", "quiet_hours", "2026-11-27 08:00");
    assert_eq!((stats.open, stats.held, stats.next_due), (1, 1, Some(at("2026-11-27 08:00"))));
    assert!(stats.progress.iter().all(|o| o.next == 0), "a restart reads the alert again");
    let written = house.log.records(topic::DELIVERIES).len();
    house.step("2026-11-27 03:00", None).await;
    house.step("2026-11-27 07:40", None).await;
    assert_eq!(house.log.records(topic::DELIVERIES).len(), written, "what stands there is not written again");
    assert!(house.rang().is_empty());
    house.step("2026-11-27 08:00", None).await;
    house.is("a", ACCEPTED, "");
    let stats = house.step("2026-11-27 08:01", None).await;
    assert_eq!((house.rang(), stats.held, stats.open), (vec!["a".to_owned()], 0, 0));
}

#[tokio::test]
async fn one_worker_that_runs_through_the_night_rings_in_the_morning() {
    let house = House::new();
    let alert = owner_of("a", Change::New, Severity::Minor).unwrap();
    house.log.put(&[codec::encode(&Alert { decided_at: at("2026-11-26 21:30"), ..alert })]);
    let clock = Arc::new(JumpClock(AtomicI64::new(at("2026-11-26 21:30").0)));
    let (log, gateway) = (Arc::clone(&house.log), Arc::clone(&house.gateway));
    let worker = Worker::new(
        log,
        Channels::one(gateway),
        Arc::clone(&clock) as Arc<dyn Clock>,
        house.settings.clone(),
    );
    let mut stats = worker.stats();
    let done = async move { drop(stats.wait_for(|s| s.in_state(ACCEPTED) == 1).await) };
    tokio::time::timeout(LIMIT, worker.run(done)).await.unwrap().unwrap();
    assert_eq!((house.rang(), clock.now()), (vec!["a".to_owned()], at("2026-11-27 08:00")));
}

#[tokio::test]
async fn a_severe_or_fatal_accident_rings_at_any_hour() {
    for severity in [Severity::Severe, Severity::Fatal] {
        let house = House::new();
        house.step("2026-11-26 23:00", owner_of("a", Change::New, severity)).await;
        assert_eq!(house.rang(), ["a"]);
    }
}

#[tokio::test]
async fn a_red_level_rings_at_night_and_a_yellow_one_in_the_morning() {
    let house = House::new();
    house.step("2026-11-26 23:00", town("y", Change::New, Some(Level::Yellow))).await;
    house.is_held("y", "quiet_hours", "2026-11-27 08:00");
    house.step("2026-11-26 23:30", town("r", Change::Raised, Some(Level::Red))).await;
    house.is("y", SKIPPED, "superseded");
    assert_eq!(house.rang(), ["r"]);
}

#[tokio::test]
async fn what_is_withdrawn_before_morning_is_never_heard_of() {
    let house = House::new();
    house.step("2026-11-26 21:30", owner_of("a", Change::New, Severity::Minor)).await;
    house.step("2026-11-26 23:00", owner_of("b", Change::Corrected, Severity::Minor)).await;
    house.is("a", SKIPPED, "superseded");
    house.is("b", SKIPPED, "nothing_to_correct");
    house.step("2026-11-27 08:00", None).await;
    assert!(house.rang().is_empty());
}

#[tokio::test]
async fn the_same_when_both_were_decided_before_a_worker_came() {
    let house = House::new();
    let corrected = owner_of("b", Change::Corrected, Severity::Minor).unwrap();
    let new = owner_of("a", Change::New, Severity::Minor).unwrap();
    house.log.put(&[codec::encode(&Alert { decided_at: at("2026-11-26 21:30"), ..new })]);
    house.step("2026-11-26 23:00", Some(corrected)).await;
    house.is("a", SKIPPED, "superseded");
    house.is("b", SKIPPED, "nothing_to_correct");
}

#[tokio::test]
async fn a_death_known_at_night_takes_the_place_of_what_was_held() {
    let house = House::new();
    house.step("2026-11-26 21:30", owner_of("a", Change::New, Severity::Minor)).await;
    house.step("2026-11-26 23:30", owner_of("b", Change::Upgraded, Severity::Fatal)).await;
    house.is("a", SKIPPED, "superseded");
    assert_eq!(house.rang(), ["b"]);
}

#[tokio::test]
async fn the_correction_of_a_minor_message_of_the_evening_waits() {
    let house = House::new();
    house.step("2026-11-26 20:50", owner_of("a", Change::New, Severity::Minor)).await;
    house.step("2026-11-26 21:10", owner_of("b", Change::Corrected, Severity::Minor)).await;
    house.is_held("b", "quiet_hours", "2026-11-27 08:00");
    house.step("2026-11-27 08:00", None).await;
    assert_eq!(house.rang(), ["a", "b"]);
}

#[tokio::test]
async fn who_was_rung_at_night_hears_at_night_that_it_was_not_so() {
    for change in [Change::Corrected, Change::Downgraded] {
        let house = House::new();
        house.step("2026-11-26 22:00", owner_of("a", Change::New, Severity::Fatal)).await;
        house.step("2026-11-27 04:00", owner_of("b", change, Severity::Minor)).await;
        assert_eq!(house.rang(), ["a", "b"]);
    }
}

#[tokio::test]
async fn the_correction_of_a_severe_message_is_worth_a_night_for_twelve_hours() {
    for (told, rings) in [("2026-11-26 11:00", true), ("2026-11-26 09:00", false)] {
        let house = House::new();
        house.step(told, owner_of("a", Change::New, Severity::Severe)).await;
        house.step("2026-11-26 22:00", owner_of("b", Change::Corrected, Severity::Severe)).await;
        assert_eq!(house.rang().len() == 2, rings, "{told}");
    }
}

#[tokio::test]
async fn a_blue_warning_of_a_saturday_waits_for_monday_and_a_yellow_one_does_not() {
    let house = House::new();
    house.step("2026-11-28 10:00", town("b", Change::New, Some(Level::Blue))).await;
    house.is_held("b", "holiday", "2026-11-30 08:30");
    house.step("2026-11-30 08:10", None).await;
    assert!(house.rang().is_empty());
    house.step("2026-11-30 08:30", None).await;
    assert_eq!(house.rang(), ["b"]);
    let house = House::new();
    house.step("2026-11-28 10:00", town("y", Change::New, Some(Level::Yellow))).await;
    assert_eq!(house.rang(), ["y"]);
}

#[tokio::test]
async fn a_blue_warning_of_a_friday_night_waits_for_monday_not_for_saturday_morning() {
    let house = House::new();
    house.step("2026-11-27 22:00", town("b", Change::New, Some(Level::Blue))).await;
    house.is_held("b", "holiday", "2026-11-30 08:30");
    house.step("2026-11-28 08:00", None).await;
    assert!(house.rang().is_empty());
}

#[tokio::test]
async fn a_blue_warning_of_a_weeknight_waits_until_offices_read() {
    let house = House::new();
    house.step("2026-11-24 22:00", town("b", Change::New, Some(Level::Blue))).await;
    house.is_held("b", "quiet_hours", "2026-11-25 08:30");
    house.step("2026-11-25 08:10", None).await;
    assert!(house.rang().is_empty());
    house.step("2026-11-25 08:30", None).await;
    assert_eq!(house.rang(), ["b"]);
}

#[tokio::test]
async fn a_week_of_holidays_passes_and_the_saturday_that_is_made_up_is_a_workday() {
    let house = House::new();
    house.step("2026-09-30 22:00", town("b", Change::New, Some(Level::Blue))).await;
    house.is_held("b", "holiday", "2026-10-08 08:30");
    house.step("2026-10-05 12:00", None).await;
    house.step("2026-10-08 08:30", None).await;
    assert_eq!(house.rang(), ["b"]);
    let house = House::new();
    house.step("2026-10-10 10:00", town("b", Change::New, Some(Level::Blue))).await;
    assert_eq!(house.rang(), ["b"], "made up");
}

#[tokio::test]
async fn an_owner_hears_of_a_minor_accident_on_a_holiday_by_day() {
    let house = House::new();
    house.step("2026-10-03 10:00", owner_of("a", Change::New, Severity::Minor)).await;
    assert_eq!(house.rang(), ["a"]);
}

#[tokio::test]
async fn who_was_told_on_friday_hears_on_saturday_that_it_is_over() {
    let house = House::new();
    house.step("2026-11-27 15:00", town("b", Change::New, Some(Level::Blue))).await;
    house.step("2026-11-28 10:00", town("c", Change::Closed, None)).await;
    assert_eq!(house.rang(), ["b", "c"]);
}

#[tokio::test]
async fn a_blue_that_is_over_before_monday_is_never_heard_of_and_one_that_rose_rings_as_yellow() {
    for (change, level, rings) in
        [(Change::Closed, None, &[][..]), (Change::Raised, Some(Level::Yellow), &["c"])]
    {
        let house = House::new();
        house.step("2026-11-28 10:00", town("b", Change::New, Some(Level::Blue))).await;
        house.step("2026-11-29 10:00", town("c", change, level)).await;
        house.is("b", SKIPPED, "superseded");
        house.step("2026-11-30 08:30", None).await;
        assert_eq!(house.rang(), rings, "{change}");
    }
}

/// A correction that is held has grave news behind it: both ring, the correction first.
#[tokio::test]
async fn grave_news_pulls_what_stands_before_it_out_of_the_night() {
    let house = House::new();
    house.step("2026-11-26 20:00", owner_of("a", Change::New, Severity::Minor)).await;
    house.step("2026-11-26 22:00", owner_of("b", Change::Corrected, Severity::Minor)).await;
    house.is_held("b", "quiet_hours", "2026-11-27 08:00");
    house.step("2026-11-26 23:00", owner_of("c", Change::New, Severity::Fatal)).await;
    assert_eq!(house.rang(), ["a", "b", "c"]);
}

/// The same in one run, in which what is held already must be looked at again.
#[tokio::test]
async fn a_running_worker_pulls_it_out_too() {
    let house = House::new();
    house.step("2026-11-26 20:00", owner_of("a", Change::New, Severity::Minor)).await;
    let worker = house.worker(at("2026-11-26 22:00"));
    let mut stats = worker.stats();
    let log = Arc::clone(&house.log);
    let script = async move {
        let put = |alert: Option<Alert>| {
            let decided_at = at("2026-11-26 22:00");
            log.put(&[codec::encode(&Alert { decided_at, ..alert.unwrap() })]);
        };
        put(owner_of("b", Change::Corrected, Severity::Minor));
        stats.wait_for(|s| (s.open, s.held) == (1, 1)).await.unwrap();
        put(owner_of("c", Change::New, Severity::Fatal));
        stats.wait_for(|s| s.in_state(ACCEPTED) == 3 && (s.open, s.held) == (0, 0)).await.unwrap();
    };
    tokio::time::timeout(LIMIT, worker.run(script)).await.unwrap().unwrap();
    assert_eq!(house.rang(), ["a", "b", "c"]);
}

#[tokio::test]
async fn a_township_that_was_rung_at_night_for_red_hears_at_night_that_it_is_not() {
    let house = House::new();
    house.step("2026-11-26 22:00", town("r", Change::New, Some(Level::Red))).await;
    house.step("2026-11-26 23:00", town("e", Change::Eased, Some(Level::Yellow))).await;
    assert_eq!(house.rang(), ["r", "e"]);
    // Told by day: its end waits.
    let house = House::new();
    house.step("2026-11-26 20:00", town("r", Change::New, Some(Level::Red))).await;
    house.step("2026-11-26 23:00", town("e", Change::Eased, Some(Level::Yellow))).await;
    house.is_held("e", "quiet_hours", "2026-11-27 08:00");
}

#[tokio::test]
async fn a_minor_message_that_may_have_come_is_corrected_in_the_morning() {
    let house = House::new();
    let lost = Outcome::Unknown { reason: "timeout".into(), retry_after_ms: Some(300_000) };
    house.gateway.says("owner", [lost]);
    house.step("2026-11-26 20:58", owner_of("a", Change::New, Severity::Minor)).await;
    house.is_held("a", "quiet_hours", "2026-11-27 08:00");
    house.step("2026-11-26 22:00", owner_of("b", Change::Corrected, Severity::Minor)).await;
    house.is("a", FAILED, "superseded");
    house.is_held("b", "quiet_hours", "2026-11-27 08:00");
    house.step("2026-11-27 08:00", None).await;
    assert_eq!(house.rang(), ["b"]);
}

#[tokio::test]
async fn a_retry_that_would_fall_into_the_night_waits_for_the_morning() {
    let house = House::new();
    let busy = Outcome::Transient { reason: "http_429".into(), retry_after_ms: Some(120_000) };
    house.gateway.says("owner", [busy]);
    let stats = house.step("2026-11-26 20:59", owner_of("a", Change::New, Severity::Minor)).await;
    house.is_held("a", "quiet_hours", "2026-11-27 08:00");
    assert_eq!((stats.requests, stats.held), (1, 1));
    house.step("2026-11-27 08:00", None).await;
    assert_eq!(house.rang(), ["a"]);
}

#[tokio::test]
async fn a_request_of_the_evening_whose_outcome_a_crash_hid_is_not_repeated_at_night() {
    for rings in [false, true] {
        let house = House::new();
        *house.gateway.die_at.lock().unwrap() = Some((0, rings));
        let alert = owner_of("a", Change::New, Severity::Minor).unwrap();
        house.log.put(&[codec::encode(&Alert { decided_at: at("2026-11-26 20:59"), ..alert })]);
        house.step_to_death("2026-11-26 20:59").await;
        let stats = house.step("2026-11-26 22:00", None).await;
        house.is_held("a", "quiet_hours", "2026-11-27 08:00");
        assert_eq!((stats.resent_in_flight, house.gateway.asked()), (1, 1));
        house.step("2026-11-27 08:00", None).await;
        house.is("a", ACCEPTED, "");
        let keys: HashSet<_> =
            house.gateway.asked.lock().unwrap().iter().map(|m| m.idempotency_key.clone()).collect();
        assert_eq!((house.gateway.asked(), keys.len(), house.rang()), (2, 1, vec!["a".to_owned()]));
    }
}

#[tokio::test]
async fn hours_that_are_configured_otherwise_hold_for_what_is_held_already() {
    let mut house = House::new();
    house.step("2026-11-26 21:30", owner_of("a", Change::New, Severity::Minor)).await;
    let hours = |from: &str, to: &str| Hours {
        quiet_from: from.parse().unwrap(),
        quiet_to: to.parse().unwrap(),
        ..Hours::default()
    };
    house.settings.calendar = Calendar::new(hours("21:00", "09:00"), Holidays::new());
    // What was held counts as settled from the start: only the sender knows better.
    let held_anew = |s: &Stats| s.next_due == Some(at("2026-11-27 09:00"));
    house.until("2026-11-26 21:40", held_anew).await;
    house.is_held("a", "quiet_hours", "2026-11-27 09:00");
    house.settings.calendar = Calendar::new(hours("22:00", "08:00"), Holidays::new());
    house.until("2026-11-26 21:50", |s| s.in_state(ACCEPTED) == 1).await;
    assert_eq!(house.rang(), ["a"]);
}

#[tokio::test]
async fn a_night_full_of_minor_accidents_does_not_keep_a_death_from_being_read() {
    let mut house = House::new();
    house.settings.max_open = 3;
    let decided_at = at("2026-11-26 22:00");
    for case in 10..30 {
        let alert = of_case(owner_alert(&format!("m{case}"), Change::New, Severity::Minor), case).unwrap();
        house.log.put(&[codec::encode(&Alert { decided_at, ..alert })]);
    }
    let worker = house.worker(decided_at);
    let (mut stats, log) = (worker.stats(), Arc::clone(&house.log));
    let script = async move {
        stats.wait_for(|s| (s.open, s.held) == (20, 20)).await.unwrap();
        let death = owner_of("d", Change::New, Severity::Fatal).unwrap();
        log.put(&[codec::encode(&Alert { decided_at, ..death })]);
        stats.wait_for(|s| s.in_state(ACCEPTED) == 1).await.unwrap();
    };
    tokio::time::timeout(LIMIT, worker.run(script)).await.expect("it is read").unwrap();
    assert_eq!(house.rang(), ["d"]);
    house.step("2026-11-27 08:00", None).await;
    assert_eq!(house.rang().len(), 21);
}

#[tokio::test]
async fn what_nobody_could_send_for_three_days_expires_and_is_counted() {
    let mut house = House::new();
    house.settings.expire_after = Some(Duration::from_secs(72 * 3600));
    let alert = owner_of("a", Change::New, Severity::Minor).unwrap();
    house.log.put(&[codec::encode(&Alert { decided_at: at("2026-11-23 10:00"), ..alert })]);
    let stats = house.step("2026-11-26 10:00", None).await;
    house.is("a", FAILED, "expired");
    assert_eq!(stats.deliveries[&(FAILED, "expired".to_owned())], 1);
    house.step("2026-11-26 10:01", owner_of("b", Change::Corrected, Severity::Minor)).await;
    house.is("b", SKIPPED, "nothing_to_correct");
    assert!(house.rang().is_empty());
}

#[tokio::test]
async fn a_long_holiday_does_not_eat_a_message_and_a_late_correction_is_still_owed() {
    let mut house = House::new();
    house.settings.expire_after = Some(Duration::from_secs(72 * 3600));
    house.step("2026-10-01 10:00", town("b", Change::New, Some(Level::Blue))).await;
    house.step("2026-10-08 08:30", None).await;
    assert_eq!(house.rang(), ["b"]);
    let closed = town("c", Change::Closed, None).unwrap();
    house.log.put(&[codec::encode(&Alert { decided_at: at("2026-10-09 10:00"), ..closed })]);
    house.step("2026-10-19 10:00", None).await;
    assert_eq!(house.rang(), ["b", "c"]);
}

#[tokio::test]
async fn a_kill_before_or_after_any_append_of_a_night_doubles_and_loses_nothing() {
    let steps = ["2026-11-26 21:30", "2026-11-27 08:00"];
    for step in 0..2 {
        for append in 0..4 {
            for fault in [Fault::DieBefore, Fault::DieAfter] {
                let house = House::new();
                let alert = owner_of("a", Change::New, Severity::Minor).unwrap();
                house.log.put(&[codec::encode(&Alert { decided_at: at(steps[0]), ..alert })]);
                if step == 1 {
                    house.step(steps[0], None).await;
                }
                house.log.faults(std::iter::repeat_n(Fault::None, append).chain([fault]));
                // It dies, or has settled in fewer appends.
                let _ = house.try_step(steps[step]).await;
                house.log.faults([]);
                house.step("2026-11-27 03:00", None).await;
                assert_eq!(house.rang().len(), usize::from(step == 1 && house.gateway.asked() > 0));
                house.step("2026-11-27 08:00", None).await;
                house.is("a", ACCEPTED, "");
                assert_eq!(house.rang(), ["a"], "step {step}, {fault:?} append {append}");
            }
        }
    }
}
