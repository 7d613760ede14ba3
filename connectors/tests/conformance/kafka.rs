//! What only the Kafka log can meet: a broker that is not there, refuses, or dies.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use tocsin_connectors::log::kafka::{KafkaLog, KafkaSettings};
use tocsin_schemas::log::{EventLog as _, LogError};
use tocsin_testkit::{Broker, kafka, kafka_wanted, unique};

use crate::subject::{PATIENCE, Subject, all, read_count, reader, record, text, topic, until};

/// The one line that an operator sees, and that it came in time.
fn refused(settings: &KafkaSettings) -> LogError {
    let began = Instant::now();
    let error = KafkaLog::connect(settings).err().expect("nobody is there to connect to");
    assert!(began.elapsed() < Duration::from_secs(10), "said only after {:?}", began.elapsed());
    println!("{error}");
    assert_eq!(error.to_string().lines().count(), 1);
    error
}

#[test]
fn a_broker_that_is_not_there_is_said_with_the_reason() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = refused(&KafkaSettings::plain(&free.to_string()));
    assert!(matches!(&error, LogError::Unreachable { place, .. } if *place == free.to_string()), "{error:?}");
    assert!(error.to_string().contains("Connection refused"), "{error}");

    let error = refused(&KafkaSettings::plain("no-such-host.invalid:9092"));
    assert!(matches!(&error, LogError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().to_lowercase().contains("resolve"), "{error}");
}

fn with_security(address: &str, security: &[(&str, &str)]) -> KafkaSettings {
    let security: BTreeMap<_, _> =
        security.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    KafkaSettings { security, ..KafkaSettings::plain(address) }
}

#[test]
fn a_setting_that_is_unknown_or_not_built_in_is_said() {
    let error = refused(&with_security("127.0.0.1:1", &[("sasl.pasword", "secret")]));
    assert!(matches!(&error, LogError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("sasl.pasword") && !error.to_string().contains("secret"), "{error}");
    let settings = with_security("127.0.0.1:1", &[("sasl.password", "secret")]);
    assert!(!format!("{settings:?}").contains("secret"));
    if cfg!(not(feature = "kafka-tls")) {
        for security in [
            &[("security.protocol", "SSL")][..],
            &[("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanism", "SCRAM-SHA-512")],
        ] {
            let error = refused(&with_security("127.0.0.1:1", security));
            assert!(error.to_string().contains("kafka-tls"), "{error}");
        }
    }
}

#[test]
fn a_wrong_password_is_refused_and_the_right_one_serves() {
    if !kafka_wanted("a wrong password is refused") {
        return;
    }
    let broker = Broker::start_with_password();
    let settings = |password| {
        let security = [
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", "tocsin"),
            ("sasl.password", password),
        ];
        with_security(&broker.password_address(), &security)
    };
    let error = refused(&settings("wrong"));
    assert!(matches!(&error, LogError::Refused { .. }), "{error:?}");
    assert!(error.to_string().to_lowercase().contains("authentication"), "{error}");

    let log = KafkaLog::connect(&settings("right")).unwrap();
    let topic = topic(&log, "password", 1);
    log.writer("w").unwrap().append(&[record(&topic, "key", "in")]).unwrap();
    assert_eq!(text(&all(&log, &[&topic], 1)[0]), "in");
}

#[test]
fn an_aborted_or_abandoned_transaction_is_never_seen() {
    let Some(address) = kafka("an aborted transaction is never seen") else { return };
    let subject = Subject::broker(&address);
    let log = subject.open();
    let topic = topic(&*log, "aborted", 1);
    let name = unique("w");
    let id = format!("tocsin.{name}");
    let raw = |value: &str| {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &address)
            .set("transactional.id", &id)
            .create()
            .unwrap();
        producer.init_transactions(Duration::from_secs(10)).unwrap();
        producer.begin_transaction().unwrap();
        producer.send(BaseRecord::<str, str>::to(&topic).partition(0).key("key").payload(value)).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while producer.in_flight_count() > 0 {
            assert!(Instant::now() < deadline);
            producer.poll(Duration::from_millis(1));
        }
        producer
    };
    raw("aborted").abort_transaction(Duration::from_secs(10)).unwrap();
    // Delivered to the broker, and left open by its owner.
    let abandoned = raw("abandoned");
    let mut writer = log.writer(&name).unwrap();
    writer.append(&[record(&topic, "key", "seen")]).unwrap();
    let came = all(&*log, &[&topic], 1);
    assert_eq!(came.iter().map(text).collect::<Vec<_>>(), ["seen"]);
    assert!(came[0].offset >= 4, "two records and two markers stand before it, at {}", came[0].offset);
    assert!(abandoned.commit_transaction(Duration::from_secs(5)).is_err(), "it was fenced");
}

/// A planner and a sender write one partition; the planner is paused in the midst of a transaction.
#[test]
fn what_is_written_shows_behind_anothers_open_transaction_and_comes_when_that_is_over() {
    let Some(address) = kafka("what is written shows behind an open transaction") else { return };
    for fenced in [true, false] {
        let subject = Subject::broker(&address);
        let log = subject.open();
        let topic = topic(&*log, "open", 1);
        let (planner, sender) = (unique("planner"), unique("sender"));
        let open: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &address)
            .set("transactional.id", format!("tocsin.{planner}"))
            // Of its own end the broker takes care: it looks every 10 s for those that are over.
            .set("transaction.timeout.ms", "1000")
            .create()
            .unwrap();
        open.init_transactions(Duration::from_secs(10)).unwrap();
        open.begin_transaction().unwrap();
        open.send(BaseRecord::<str, str>::to(&topic).partition(0).key("key").payload("open")).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while open.in_flight_count() > 0 {
            assert!(Instant::now() < deadline);
            open.poll(Duration::from_millis(1));
        }
        let mut writer = log.writer(&sender).unwrap();
        writer.append(&[record(&topic, "key", "first")]).unwrap();
        writer.append(&[record(&topic, "key", "second")]).unwrap();
        // Its successor, which has to know both.
        drop(writer);
        let _successor = log.writer(&sender).unwrap();
        let mut reader = reader(&*log, &[&topic]);
        let written = log.written(&topic).unwrap();
        let held = log.bounds(&topic).unwrap()[0].end == 0 && reader.caught_up().unwrap();
        assert!(held || !fenced, "to the last stable offset there is nothing");
        assert!(written[0] >= 3, "three records stand there: {written:?}");
        let next = fenced.then(|| log.writer(&planner).unwrap());
        let mut came = Vec::new();
        until("what the sender wrote", || {
            came.extend(reader.poll(1000, Duration::from_millis(50)).unwrap());
            reader.position()[0].1 >= written[0]
        });
        assert_eq!(came.iter().map(text).collect::<Vec<_>>(), ["first", "second"], "fenced: {fenced}");
        drop(next);
    }
}

#[test]
fn what_was_acknowledged_survives_a_killed_broker_and_all_go_on() {
    if !kafka_wanted("what was acknowledged survives a killed broker") {
        return;
    }
    let mut broker = Broker::start();
    let subject = Subject::broker(broker.address());
    let log = subject.open();
    let topic = topic(&*log, "outage", 1);
    let mut reader = reader(&*log, &[&topic]);
    let stop = Arc::new(AtomicBool::new(false));
    let writing = std::thread::spawn({
        let (log, topic, stop) = (Arc::clone(&log), Arc::clone(&topic), Arc::clone(&stop));
        move || {
            let mut writer = log.writer("w").unwrap();
            let mut acknowledged = Vec::new();
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                match writer.append(&[record(&topic, "key", &n.to_string())]) {
                    Ok(()) => acknowledged.push(n),
                    Err(LogError::Retry { .. }) => {}
                    // Settle by a new writer, as the contract says; this one may be there or not.
                    Err(LogError::Uncertain { .. }) => writer = log.writer("w").unwrap(),
                    Err(other) => panic!("{other:?}"),
                }
                n += 1;
            }
            acknowledged
        }
    });
    let mut came = read_count(&mut *reader, 20);
    broker.kill9();
    broker.restart();
    let before = came.len();
    until("records after the outage", || {
        came.extend(reader.poll(1000, Duration::from_millis(50)).unwrap());
        came.len() > before + 20
    });
    stop.store(true, Ordering::Relaxed);
    let acknowledged = writing.join().unwrap();
    let seen = all(&*log, &[&topic], acknowledged.len());
    let mut numbers: Vec<u64> = seen.iter().map(|r| text(r).parse().unwrap()).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "nothing twice, nothing out of order");
    numbers.retain(|n| acknowledged.contains(n));
    assert_eq!(numbers, acknowledged, "everything acknowledged is there");
}
