//! What a start from the log's index knows, against what a start from the whole ledger knows: random ledgers of twelve
//! days, cut at a random place, which go on afterwards.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use tocsin_schemas::codes::{AnswerKind, Reason, Says, Urgency};
use tocsin_schemas::records::{Answer, Audience};

use super::memlog::MemLog;
use super::*;
use crate::answers::SentTo;
use crate::decide::{self, Why};
use crate::fixtures::audience;
use crate::gateways::limits::{Limits, NO_LIMITS, Per, Quota, Window};
use crate::ledger::{ThreadKey, stands_for, terminal};
use crate::plan::told::{ConversationKey, Heard, ShareKey, Told};
use crate::planner::start::{self as planner_start, Promised};
use crate::quota::{self, Quotas};
use crate::sender::start::Past;
use crate::worker::reading::Reading;
use crate::worker::recall::{Known, Recall};

const DAYS: i64 = 12;
const DAY_MS: i64 = 86_400_000;
const CHANNELS: [&str; 2] = ["webhook", "sms"];

fn now() -> Instant {
    day().midnight().plus_millis(DAY_MS / 2)
}

/// A ledger as it was written, and the alerts that it is of.
struct Written {
    random: StdRng,
    alerts: Vec<Alert>,
    steps: Vec<Delivery>,
    last: BTreeMap<String, Delivery>,
}

impl Written {
    fn new(seed: u64) -> Written {
        let random = StdRng::seed_from_u64(seed);
        let mut written = Written { random, alerts: Vec::new(), steps: Vec::new(), last: BTreeMap::new() };
        let steps = written.random.random_range(20..160);
        for step in 0..steps {
            let at = now().plus_millis(-DAYS * DAY_MS + DAYS * DAY_MS * step / steps);
            match written.random.random_range(0..4) {
                0 => written.alert(at),
                _ => written.go_on(at),
            }
        }
        written
    }

    fn write(&mut self, delivery: Delivery) {
        self.last.insert(delivery.delivery_id.clone(), delivery.clone());
        self.steps.push(delivery);
    }

    /// A new message of one of a few cases, planned for its audiences.
    fn alert(&mut self, at: Instant) {
        let case = self.random.random_range(0..6_u32);
        let case_no = IncidentId(case + 1).to_string();
        let before = self.alerts.iter().filter(|alert| *alert.case_no == *case_no).count();
        let changes = [Change::Corrected, Change::Upgraded, Change::Downgraded, Change::New];
        let change = if before == 0 { Change::New } else { *changes.choose(&mut self.random).unwrap() };
        let mut alert = owner_alert(&format!("A{case}R{before}"), change, Severity::Minor);
        alert.case_no = case_no.as_str().into();
        alert.revision = u32::try_from(before).unwrap() + 1;
        alert.decided_at = at;
        alert.reason = (change == Change::Corrected).then_some(Reason::Withdrawn);
        alert.audiences =
            vec![audience(Role::Owner, uscc().as_str()), audience(Role::TownshipDuty, "330784001")];
        for audience in alert.audiences.clone() {
            for _ in 0..self.random.random_range(1..3) {
                self.plan(&alert, &audience, at);
            }
        }
        self.alerts.push(alert);
    }

    fn plan(&mut self, alert: &Alert, audience: &Audience, at: Instant) {
        let (rank, channel) =
            (self.random.random_range(1..4_u32), *CHANNELS.choose(&mut self.random).unwrap());
        let (phone, address) = (format!("P{rank}"), format!("W{rank}{channel}"));
        let whom = [address.as_str()];
        let subject = audience.subject.to_string();
        let id = crate::ledger::delivery_id(&alert.alert_id, audience.role, &subject, channel, &whom);
        if self.last.contains_key(&id) {
            return;
        }
        let urgencies = [Urgency::Daytime, Urgency::AtOnce, Urgency::Morning];
        let urgency = *urgencies.choose(&mut self.random).unwrap();
        let fused = decide::looks_back(alert.change) && self.random.random_range(0..4) == 0;
        self.write(Delivery {
            delivery_id: id,
            case_no: alert.case_no.to_string(),
            role: audience.role,
            subject,
            contact_role: Some(audience.role),
            contact_rank: Some(rank),
            contact_version: Some(1),
            channel: channel.into(),
            phone_hash: Some(phone),
            address_hash: Some(address),
            change: alert.change,
            urgency,
            decided_at: Some(alert.decided_at),
            revision: alert.revision,
            reason: fused.then(|| Why::Fuse.as_str().to_owned()),
            due_at: Some(at.plus_millis(3_600_000)),
            at,
            ..crate::fixtures::delivery(&alert.alert_id, DeliveryState::Planned)
        });
    }

    /// Something happens to one that is open, or to one that has ended and may still move.
    fn go_on(&mut self, at: Instant) {
        use DeliveryState::*;
        let all: Vec<Delivery> = self.last.values().cloned().collect();
        let Some(one) = all.choose(&mut self.random).cloned() else { return };
        let dice = self.random.random_range(0..6);
        let to = |state, reason: Option<&str>| Delivery {
            state,
            reason: reason.map(str::to_owned),
            due_at: None,
            at,
            ..one.clone()
        };
        let held =
            |reason: &str| Delivery { due_at: Some(at.plus_millis(DAY_MS)), ..to(Planned, Some(reason)) };
        let sending = Delivery { attempt: one.attempt + 1, sent_at: Some(at), ..to(Sending, None) };
        let next = match (one.state, dice) {
            (Planned, 0) if !quota::is_digest(&one) => return self.join(&one, at),
            (Planned, 1) => held("quiet_hours"),
            (Planned, 2) => to(Skipped, Some("superseded")),
            (Planned, _) => sending,
            (Sending, 0) => to(Failed, Some("http_404")),
            (Sending, 1) => Delivery { uncertain: true, ..to(Uncertain, Some("unknown:timeout")) },
            (Sending, 2) => held("http_500"),
            (Sending | Uncertain, 3..) => to(Accepted, None),
            (Uncertain, 0) => held("not_sent"),
            (Uncertain, _) => to(Failed, Some("gave_up:timeout")),
            (Accepted, 0) => Delivery { uncertain: false, ..to(Failed, Some("bounced")) },
            (Accepted, 1) => to(Delivered, Some("not_ours")),
            (Accepted, 2) => to(Delivered, Some("acknowledged")),
            (Accepted, _) => to(Delivered, None),
            (Skipped, 0) if stands_for(&one).is_some() => to(Skipped, Some("superseded")),
            (Failed, 0) if one.attempt > 0 => to(Delivered, None),
            // A planner that could not know.
            (_, 5) => Delivery { attempt: 0, sent_at: None, uncertain: false, ..to(Planned, None) },
            _ => return,
        };
        self.write(next);
    }

    /// It joins the digest of its phone that is open, or a new one.
    fn join(&mut self, one: &Delivery, at: Instant) {
        let open = self.last.values().find(|d| {
            quota::is_digest(d)
                && d.state == DeliveryState::Planned
                && (&d.phone_hash, &d.channel, d.role) == (&one.phone_hash, &one.channel, one.role)
        });
        let due = at.plus_millis(self.random.random_range(1..4) * DAY_MS);
        let digest = quota::joined(open, one, open.and_then(|d| d.due_at).unwrap_or(due), at);
        if self.last.get(&digest.delivery_id).is_some_and(|known| terminal(known.state)) {
            return;
        }
        let reason = format!("{}:{}", Why::InDigest.as_str(), digest.delivery_id);
        self.write(Delivery {
            state: DeliveryState::Skipped,
            reason: Some(reason),
            due_at: None,
            at,
            ..one.clone()
        });
        self.write(digest);
    }

    /// The alerts that are not over when so much is written: those with something open, and some more.
    fn promised(&mut self, upto: usize) -> Promised {
        let mut last: BTreeMap<&str, &Delivery> = BTreeMap::new();
        for step in &self.steps[..upto] {
            last.insert(&step.delivery_id, step);
        }
        let open: HashSet<&str> =
            last.values().filter(|d| !terminal(d.state)).map(|d| d.alert_id.as_str()).collect();
        let random = &mut self.random;
        let all: Vec<&Alert> = self
            .alerts
            .iter()
            .filter(|alert| open.contains(&*alert.alert_id) || random.random_range(0..4) == 0)
            .collect();
        Promised {
            alerts: Arc::new(all.iter().map(|alert| alert.alert_id.clone()).collect()),
            cases: all.iter().map(|alert| alert.case_no.to_string()).collect(),
            earliest: all.iter().map(|alert| alert.decided_at).min(),
        }
    }
}

/// Everything that planning asks about an alert.
fn asked(told: &Told, alert: &Alert, contacts: &[Heard]) -> String {
    let mut answers = String::new();
    for audience in &alert.audiences {
        let share = told.share(ShareKey::new(alert, audience));
        let standings: Vec<_> =
            share.into_iter().flat_map(|share| &share.tries).map(|one| told.standing(one)).collect();
        let of = ConversationKey::new(alert, audience);
        answers += &format!(
            "{share:?} {standings:?} heard {:?} overtaken {} last {:?} past {} unfinished {} answered {:?}\n",
            told.heard_before(alert, audience),
            told.overtaken(alert, audience),
            told.last(of),
            told.has_past(of),
            told.unfinished_before(alert, audience),
            told.answered(ShareKey::new(alert, audience)),
        );
    }
    let refused: Vec<bool> =
        contacts.iter().flat_map(|whom| [Some(1), Some(2), None].map(|of| told.refuses(whom, of))).collect();
    answers + &format!("{refused:?}")
}

fn contacts() -> Vec<Heard> {
    let contact = |rank: u32, channel: &str, role, subject: &str| Heard {
        role,
        subject: subject.into(),
        rank,
        channel: channel.into(),
        phone_hash: format!("P{rank}"),
        address_hash: format!("W{rank}{channel}"),
    };
    let all = (1..4).flat_map(|rank| CHANNELS.map(|channel| (rank, channel)));
    all.flat_map(|(rank, channel)| {
        [
            contact(rank, channel, Role::Owner, uscc().as_str()),
            contact(rank, channel, Role::TownshipDuty, "330784001"),
        ]
    })
    .collect()
}

fn open_ids(told: &Told) -> BTreeSet<String> {
    told.ledger().all_open().map(|d| format!("{} {:?}", d.delivery_id, d.state)).collect()
}

fn corrections(told: &Told, alerts: &[Alert], from: Instant) -> Vec<bool> {
    let recent = alerts.iter().filter(|alert| alert.decided_at >= from);
    let later = recent.flat_map(|alert| {
        let later = |ms| Alert { decided_at: alert.decided_at.plus_millis(ms), ..alert.clone() };
        [alert.clone(), later(60_000), later(3_000_000)]
    });
    later.map(|alert| told.corrections().blows(Some(2), &alert, None)).collect()
}

fn answer(delivery: &Delivery, by_phone: bool) -> Answer {
    Answer {
        answer_id: "a".into(),
        delivery_id: (!by_phone).then(|| delivery.delivery_id.clone()),
        gateway: delivery.channel.clone(),
        gateway_ref: None,
        kind: AnswerKind::Reply,
        says: Says::Acknowledged,
        class: None,
        code: None,
        phone_hash: delivery.phone_hash.clone(),
        case_no: None,
        received_at: delivery.at.plus_millis(60_000),
        said_at: None,
    }
}

fn ends_of(log: &MemLog) -> Vec<u64> {
    log.written(topic::DELIVERIES).unwrap()
}

fn whole(log: &MemLog, promised: &Promised) -> Told {
    let mut told = Told::with_promised(Arc::clone(&promised.alerts));
    for record in log.records(topic::DELIVERIES) {
        told.recall(&codec::decode(&record, record.value.as_ref().unwrap()).unwrap());
    }
    told
}

#[test]
fn a_planner_knows_the_same_from_the_index_as_from_the_whole_ledger() {
    let here = Arc::new(());
    let reading = Reading::new(&here, LIMIT);
    for seed in 0..300 {
        let mut written = Written::new(seed);
        let cut = written.random.random_range(0..=written.steps.len());
        let promised = written.promised(cut);
        let log = MemLog::new("log");
        log.put(&written.steps[..cut].iter().map(codec::encode).collect::<Vec<_>>());
        let mut all = whole(&log, &promised);

        let (known, mut some) = (Known::default(), Told::with_promised(Arc::clone(&promised.alerts)));
        let mut recall = Recall::open(&*log, None, &known, &promised.alerts, &reading).unwrap().unwrap();
        planner_start::look_up(&mut recall, &known, &promised, &ends_of(&log), now(), &mut some).unwrap();

        let at = |ms| now().plus_millis(ms);
        assert_eq!(open_ids(&some), open_ids(&all), "seed {seed}");
        for when in [at(0), at(DAY_MS), at(-DAY_MS)] {
            assert_eq!(some.held(when), all.held(when), "seed {seed}");
        }
        assert_eq!(some.corrections().held(), all.corrections().held(), "seed {seed}");
        let from = promised.earliest.unwrap_or(now()).min(now());
        let [left, right] = [&some, &all].map(|told| corrections(told, &written.alerts, from));
        assert_eq!(left, right, "seed {seed}");
        // What persons have answered, whatever it is about.
        let last: BTreeMap<&str, &Delivery> =
            written.steps[..cut].iter().map(|step| (&*step.delivery_id, step)).collect();
        for step in written.steps[..cut].iter().filter(|step| step.at >= from) {
            for by_phone in [false, true] {
                // What a phone was sent longer ago is forgotten with the next message to it, or not.
                let believed = |sent: SentTo| sent.at > now().plus_millis(-3 * DAY_MS);
                if by_phone && !SentTo::of(last[&*step.delivery_id]).is_some_and(believed) {
                    continue;
                }
                let answer = answer(step, by_phone);
                let [left, right] = [&mut some, &mut all].map(|told| told.answer(&answer));
                let [left, right] = [left, right].map(|moved| moved.into_iter().collect::<BTreeSet<_>>());
                assert_eq!(left, right, "seed {seed}, by phone {by_phone}: {step:?}");
            }
        }
        // The cases come up one after the other, and the ledger goes on.
        let mut rest: Vec<Delivery> = written.steps[cut..].to_vec();
        written.alerts.reverse();
        for alert in &written.alerts {
            let recalled = recall.cases([&*alert.case_no], &[]).unwrap();
            for delivery in recalled.taken_in(&known) {
                some.recall(&delivery);
            }
            let [left, right] = [&some, &all].map(|told| asked(told, alert, &contacts()));
            assert_eq!(left, right, "seed {seed}, alert {}", alert.alert_id);
            let next = written.random.random_range(0..=rest.len().min(12));
            for step in rest.drain(..next) {
                let before = ends_of(&log);
                log.put(&[codec::encode(&step)]);
                let recalled = recall.cases([&*step.case_no], &before).unwrap();
                for delivery in recalled.taken_in(&known) {
                    some.recall(&delivery);
                }
                let [left, right] = [&mut some, &mut all].map(|told| told.apply(&step));
                let [left, right] = [left, right].map(|moved| moved.into_iter().collect::<BTreeSet<_>>());
                assert_eq!(left, right, "seed {seed}: {step:?}");
            }
        }
        assert_eq!(open_ids(&some), open_ids(&all), "seed {seed}");
    }
}

const QUOTAS: &[Quota] = &[
    Quota { max: 2, per: Per::Phone, window: Window::Day },
    Quota { max: 3, per: Per::Phone, window: Window::Seconds(7_200) },
];

/// When the phones of these may ring.
fn room(past: &Past, steps: &[Delivery]) -> Vec<Result<(), Instant>> {
    let limits = Limits { quotas: QUOTAS, ..NO_LIMITS };
    let quotas = Quotas { limits: &limits, per_phone_a_day: Some(2) };
    let at = [0, 3_600_000, DAY_MS].map(|later| now().plus_millis(later));
    steps.iter().flat_map(|step| at.map(|at| past.usage.room(step, quotas, at))).collect()
}

#[test]
fn a_sender_knows_the_same_from_the_index_as_from_the_whole_partition() {
    let here = Arc::new(());
    let reading = Reading::new(&here, LIMIT);
    for seed in 0..300 {
        let mut written = Written::new(seed);
        let cut = written.random.random_range(0..=written.steps.len());
        let log = MemLog::new("log");
        log.put(&written.steps[..cut].iter().map(codec::encode).collect::<Vec<_>>());
        for partition in 0..3 {
            let mine: Vec<Delivery> = log
                .records(topic::DELIVERIES)
                .iter()
                .filter(|record| record.partition == partition)
                .map(|record| codec::decode(record, record.value.as_ref().unwrap()).unwrap())
                .collect();
            let (mut all, mut some, known) = (Past::default(), Past::default(), Known::default());
            mine.iter().cloned().for_each(|delivery| all.read(delivery));
            let mut recall =
                Recall::open(&*log, Some(partition), &known, &Arc::default(), &reading).unwrap().unwrap();
            some.look_up(&mut recall, &known, &CHANNELS, &ends_of(&log), now()).unwrap();

            let open = |past: &Past| -> BTreeSet<String> {
                past.ledger.all_open().map(|d| format!("{} {:?}", d.delivery_id, d.state)).collect()
            };
            assert_eq!(open(&some), open(&all), "seed {seed}");
            assert_eq!(room(&some, &mine), room(&all, &mine), "seed {seed}");
            let recent = |past: &mut Past| -> BTreeSet<String> {
                past.recent.purge(now());
                past.recent.ended().map(|d| format!("{d:?}")).collect()
            };
            assert_eq!(recent(&mut some), recent(&mut all), "seed {seed}");
            let refused = |past: &Past| -> Vec<_> {
                let of = |d: &Delivery| {
                    let subject = d.contact_subject.as_deref().unwrap_or(&d.subject);
                    past.refusals.of(subject, &d.channel, d.address_hash.as_deref()?, Some(1))
                };
                mine.iter().map(of).collect()
            };
            assert_eq!(refused(&some), refused(&all), "seed {seed}");
            assert!(some.proven.is_superset(&all.proven), "seed {seed}");
            // Of what is open, and of what may get a receipt, everything is known without a further look.
            let known_by_now: BTreeSet<String> = some
                .ledger
                .all_open()
                .chain(some.recent.ended())
                .map(|delivery| delivery.case_no.clone())
                .collect();
            let same = |some: &Past, of: &Delivery| {
                let thread = ThreadKey::of(of);
                assert_eq!(some.ledger.past(thread), all.ledger.past(thread), "seed {seed}: {of:?}");
                assert_eq!(some.digests.of(thread), all.digests.of(thread), "seed {seed}: {of:?}");
                let ended = |past: &Past| past.ledger.how(&of.delivery_id).map(|how| format!("{how:?}"));
                assert_eq!(ended(some), ended(&all), "seed {seed}: {of:?}");
            };
            for delivery in mine.iter().filter(|d| known_by_now.contains(&d.case_no)) {
                same(&some, delivery);
            }
            // A digest that may still be joined.
            let today = quota::digest_number(now().day());
            for delivery in mine.iter().filter(|d| quota::is_digest(d) && d.case_no >= today) {
                same(&some, delivery);
            }
            for delivery in &mine {
                let recalled = recall.cases([&*delivery.case_no], &[]).unwrap();
                for delivery in recalled.taken_in(&known) {
                    some.digests.apply(&delivery);
                    some.ledger.apply(delivery);
                }
                same(&some, delivery);
            }
        }
    }
}
