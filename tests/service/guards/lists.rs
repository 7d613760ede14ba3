//! What the topic `lists` held and does not hold any more. A list that was frozen cannot be made again, and what
//! lists are compared with was taken at midnights: neither is healed in silence.

use serde_json::json;
use tocsin_schemas::codes::{FreezeRefusal, List};
use tocsin_schemas::records::Listed;
use tocsin_schemas::topics;
use tocsin_testkit::{Broker, kafka_wanted};

use super::lost::delete_and_make_anew;
use super::{refuses, told};
use crate::house::{AT, House, until};

/// One incident was told, and the list of last year frozen by event `G1`.
fn frozen(house: House) -> House {
    let house = told(house);
    let run = house.run_caught_up(&["--only", "pipeline"]);
    freeze(&house, "G1");
    assert_eq!(run.stop(), Some(0));
    house
}

fn freeze(house: &House, event: &str) {
    let value = json!({"event_id": event, "kind": "freeze_list", "subject": "2024", "on": "2025-03-01",
        "version": 1, "actor": "clerk", "approver": "the head", "details": {}});
    house.append(topics::GOVERNANCE, event, &value, AT);
    until("it is decided on", || by(house, event).is_some());
}

/// What stands under an event in the list as a whole.
fn by(house: &House, event: &str) -> Option<Listed> {
    let of_it = |l: &Listed| l.list == List::Frozen && l.event_id.as_deref() == Some(event);
    house.all::<Listed>().into_iter().rfind(|l| of_it(l) && l.whole.is_some())
}

fn refusal(house: &House, event: &str) -> Option<FreezeRefusal> {
    by(house, event).and_then(|l| l.whole?.refused)
}

/// Two starts that find nothing wrong and leave the lists as they are.
fn goes_on(house: &House) {
    let lists = house.all::<Listed>();
    for _ in 0..2 {
        assert_eq!(house.run_caught_up(&[]).stop(), Some(0));
    }
    assert_eq!(house.all::<Listed>(), lists);
}

/// The topic is emptied, and stays so.
fn lost(house: &House, lose: impl FnOnce(&House)) {
    goes_on(house);
    lose(house);
    let why = [
        "topic lists holds 0 records",
        "progress says",
        "what event G1 asked",
        "--accept-difference",
        "Nothing was sent",
    ];
    refuses(house, &[], &why);
    refuses(house, &["--only", "pipeline"], &why);
    assert_eq!(house.all::<Listed>(), [], "nothing is made anew before it is accepted");
    let said = house.said();
    let run = house.run_caught_up(&["--accept-difference"]);
    // The event has a record again, which says that there is no list of it. Another event freezes.
    assert_eq!(refusal(house, "G1"), Some(FreezeRefusal::NoRecord));
    freeze(house, "G2");
    assert_eq!(refusal(house, "G2"), None);
    assert_eq!(run.stop(), Some(0));
    assert_eq!(house.said(), said, "nobody hears of a list");
    goes_on(house);
}

#[test]
fn a_lost_topic_of_lists_stops_the_start_until_it_is_accepted() {
    lost(&frozen(House::embedded()), |house| house.lose(topics::LISTS));
}

#[test]
fn a_lost_topic_of_lists_stops_the_start_on_kafka() {
    if !kafka_wanted("service: a lost topic of lists stops the start on kafka") {
        return;
    }
    let broker = Broker::start();
    let house = frozen(House::kafka(broker.address()));
    lost(&house, |house| delete_and_make_anew(house, broker.address(), &[topics::LISTS]));
}

/// As by a restore of an older copy of the topic: the list that was frozen since is not in it.
#[test]
fn a_list_that_was_frozen_and_is_not_there_stops_the_start() {
    let house = frozen(House::embedded());
    let before: Vec<_> = house.records(topics::LISTS);
    let run = house.run_caught_up(&["--only", "pipeline"]);
    freeze(&house, "G2");
    assert_eq!(run.stop(), Some(0));
    house.lose(topics::LISTS);
    for record in before {
        let key = String::from_utf8(record.key.unwrap()).unwrap();
        house.append_raw(topics::LISTS, &key, record.value.unwrap(), None);
    }
    refuses(&house, &[], &["topic lists holds", "event G2", "--accept-difference"]);
    assert_eq!(house.run_caught_up(&["--accept-difference"]).stop(), Some(0));
    assert_eq!(refusal(&house, "G2"), Some(FreezeRefusal::NoRecord));
    goes_on(&house);
}

/// A release before lists, or before they were counted, says nothing of them in its progress.
#[test]
fn an_older_log_that_never_wrote_lists_starts_and_says_what_to_freeze_again() {
    let house = frozen(House::embedded());
    house.lose(topics::LISTS);
    let mut older = house.progress().unwrap();
    older.lists = None;
    house.forge(&older);
    let run = house.run_caught_up(&[]);
    assert!(
        run.said().contains("freeze again under another event") && run.said().contains("G1"),
        "{}",
        run.said()
    );
    assert_eq!(run.stop(), Some(0));
    assert_eq!(refusal(&house, "G1"), Some(FreezeRefusal::NoRecord));
    goes_on(&house);
}
