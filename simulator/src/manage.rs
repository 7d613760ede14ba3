//! Paths for whoever runs the simulator: what phones got, what was called, and faults to come.
//!
//! | | |
//! |---|---|
//! | `GET /simulator/messages` | every message that was taken, in order |
//! | `GET /simulator/phones` | the same by phone |
//! | `GET /simulator/calls` | every call and what was done with it |
//! | `POST /simulator/replies` | `{"gateway": "aliyun", "phone": "13800138000", "text": "收到"}`: a person writes back |
//! | `POST /simulator/faults` | `{"gateway": "aliyun", "call": "send", "faults": ["reset"]}`: for the next calls |

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use crate::fault::{Call, Fault};
use crate::http::{Request, Response};
use crate::providers::Gateway;
use crate::receipts::Pending;
use crate::state::{Message, State};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    gateway: Gateway,
    call: Call,
    faults: Vec<Fault>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenBack {
    gateway: Gateway,
    phone: String,
    text: String,
}

/// The answer, if the path is one of ours.
pub(crate) fn answer(state: &mut State, request: &Request, now: i64) -> Option<Response> {
    let what = request.path().strip_prefix("/simulator/")?;
    Some(match (request.method.as_str(), what) {
        ("GET", "messages") => Response::json(200, &json!(state.messages)),
        ("GET", "phones") => Response::json(200, &json!(by_phone(&state.messages))),
        ("GET", "calls") => Response::json(200, &json!(state.handled)),
        ("POST", "faults") => match serde_json::from_slice::<Script>(&request.body) {
            Ok(script) => {
                state.scripts.entry((script.gateway, script.call)).or_default().extend(script.faults);
                Response::json(200, &json!({"scripted": true}))
            }
            Err(error) => Response::json(400, &json!({"error": error.to_string()})),
        },
        ("POST", "replies") => match serde_json::from_slice::<WrittenBack>(&request.body) {
            Ok(WrittenBack { gateway, phone, text }) => {
                let reply = Pending::reply(gateway, &phone, &text, now);
                let pushes = reply.is_some();
                state.replies.extend(reply);
                Response::json(200, &json!({"written": pushes}))
            }
            Err(error) => Response::json(400, &json!({"error": error.to_string()})),
        },
        _ => Response::json(404, &json!({"error": "GET messages, phones, calls; POST faults, replies"})),
    })
}

fn by_phone(messages: &[Message]) -> BTreeMap<&str, Vec<&Message>> {
    let mut phones: BTreeMap<&str, Vec<&Message>> = BTreeMap::new();
    for message in messages {
        phones.entry(&message.to).or_default().push(message);
    }
    phones
}
