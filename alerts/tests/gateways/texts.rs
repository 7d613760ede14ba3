//! The words that a phone gets are ours, though the gateway puts them together: its approved template, our variables.

use std::net::Ipv4Addr;

use serde_json::json;
use tocsin_alerts::channel::{Outcome, Outgoing};
use tocsin_alerts::gateways::find;
use tocsin_alerts::texts::{Slot, Template, Texts};
use tocsin_simulator::{Account, Gateway, HandClock, Plan, Simulator};

use super::*;

#[tokio::test]
async fn what_the_approved_templates_say_on_the_phone_is_our_text() {
    let texts = Texts::built_in();
    let mut sent = 0;
    for (gateway, template) in
        [Gateway::Aliyun, Gateway::Tencent].into_iter().flat_map(|g| Template::ALL.map(|t| (g, t)))
    {
        let profile = find(gateway.as_str()).unwrap().profile;
        let wordings: Vec<_> = texts.wordings(template).collect();
        let approved = |id: &str| format!("TPL-{id}");
        // The operator has each wording approved, and every signature; the account's own is another one.
        let account = Account {
            sign_names: vec![wordings[0].1.signature().unwrap().to_owned()],
            templates: wordings
                .iter()
                .map(|(id, wording)| (approved(id), wording.to_approve(profile.marks.unwrap())))
                .collect(),
            ..Account::default()
        };
        let rows: serde_json::Map<_, _> = wordings
            .iter()
            .map(|(id, wording)| {
                let slots: Vec<&str> = wording.slots().iter().map(|slot| slot.name()).collect();
                let row = json!({"id": approved(id), "slots": slots, "sign_name": wording.signature()});
                ((*id).to_owned(), row)
            })
            .collect();
        let simulator = Simulator::new(account, Plan::default(), HandClock::at(NOON).clock());
        let address = simulator.serve((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        let base = format!("http://{address}");
        let client = client_of(gateway, &base, json!(rows), "另一个签名", HandClock::at(NOON));

        let everyday = texts.word(template, profile.limits.variable_chars, |s, _| Ok(s.example(template)));
        let longest = texts
            .word(template, profile.limits.variable_chars, |s: Slot, most| Ok(s.longest(template, most)));
        for worded in [everyday.unwrap(), longest.unwrap()] {
            let outgoing = Outgoing {
                text: worded.text.clone(),
                template: worded.wording().to_owned(),
                slots: worded.slots.clone(),
                ..message(gateway, sent)
            };
            let verdict = client.deliver(&outgoing).await;
            assert!(
                matches!(verdict.outcome, Outcome::Accepted { .. }),
                "{gateway:?} {worded:?}: {verdict:?}"
            );
            let got = simulator.messages().pop().unwrap();
            assert_eq!(got.text, worded.text, "{gateway:?}");
            assert_eq!(got.template.unwrap(), approved(worded.wording()), "{gateway:?}");
            sent += 1;
        }
    }
    assert_eq!(sent, 2 * 2 * 18);
}
