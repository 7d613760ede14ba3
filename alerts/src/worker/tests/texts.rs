//! What a gateway is handed besides the text: the wording's id, and the values of its slots.

use super::*;
use crate::texts::Texts;

#[tokio::test]
async fn a_gateway_gets_the_wording_and_its_slots_and_an_operators_own_text() {
    let log = MemLog::new("l");
    log.put(&[owner("owner"), contact(Role::TownshipDuty, "330784001", 1, "town"), new_alert("a1", 1)]);
    log.put(&[about(7, escalation(Change::New, Some(Level::Blue), 2))]);
    let gateway = Arc::new(Gateway::default());
    let own = BTreeMap::from([("T1".to_owned(), "【永康人社】工伤{{ n }}起，编号{{ id }}".to_owned())]);
    let texts = Arc::new(Texts::read(&own).unwrap());
    let worker = worker(&log, &gateway, quick()).with_texts(texts);
    let mut stats = worker.stats();
    let script = async {
        crate::stats::settled(&mut stats, &ends(&log)).await.unwrap();
    };
    tokio::time::timeout(LIMIT, worker.run(script)).await.unwrap().unwrap();
    let mut asked = gateway.asked.lock().unwrap().clone();
    asked.sort_by_key(|message| message.template.clone());
    let got: Vec<_> = asked.iter().map(|m| (m.template.as_str(), m.text.as_str())).collect();
    let case = IncidentId(1).to_string();
    let township = format!(
        "【永康工伤预警】东城街道：长城五金近365天2起工伤，达蓝色预警，请24小时内核查。单号{}",
        IncidentId(7)
    );
    assert_eq!(got, [("T1", &*format!("【永康人社】工伤3起，编号{case}")), ("T7", &*township)]);
    assert_eq!(asked[0].slots, [("n", "3".to_owned()), ("id", case)]);
    let names: Vec<&str> = asked[1].slots.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["town", "ent", "w", "n", "lv", "id"]);
}
