//! The page behind a link: one case, two buttons, no person. Words in Chinese, for a phone; no script, nothing fetched.

use std::sync::LazyLock;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use minijinja::{AutoEscape, Environment, context};
use tocsin_schemas::codes::{AnswerKind, Says};

use super::pushed::{read, take};
use super::serve::Peer;
use super::{Case, Outcome, Parts};
use crate::answers::link::Link;
use crate::answers::{Came, person_said};

/// The page. Everything that is put into it is escaped.
static PAGE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::empty();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    // Judged by a test: it is part of the program.
    let _ = environment.add_template("page", include_str!("page.html"));
    environment
});

/// What a page says.
struct Words<'a> {
    status: StatusCode,
    heading: &'a str,
    note: &'a str,
    case: Option<&'a Case>,
    buttons: bool,
}

/// `GET /a/{token}`: shows, and does nothing.
pub(super) async fn show(
    State(parts): State<Parts>,
    Path(token): Path<String>,
    request: Request,
) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    if let Err(outcome) = let_in(&parts, peer, request.headers()) {
        return parts.refuse(outcome);
    }
    match case(&parts, &token) {
        Err(outcome) => ended(&parts, outcome, None),
        Ok(case) if case.said.is_some() => ended(&parts, Outcome::Used, Some(&case)),
        Ok(case) => {
            parts.counts.count(Outcome::Shown, 1);
            let note = "请核对后回复。如非贵单位事项，请按“不是我单位”，我们不再向本号码发送此事项。";
            let says = Words {
                status: StatusCode::OK,
                heading: title(&case),
                note,
                case: Some(&case),
                buttons: true,
            };
            page(&parts, &says)
        }
    }
}

/// `POST /a/{token}`: one answer, once.
pub(super) async fn answer(
    State(parts): State<Parts>,
    Path(token): Path<String>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    if let Err(outcome) = let_in(&parts, head.extensions.get::<Peer>().copied(), &head.headers) {
        return parts.refuse(outcome);
    }
    let case = match case(&parts, &token) {
        Err(outcome) => return ended(&parts, outcome, None),
        Ok(case) if case.said.is_some() => return ended(&parts, Outcome::Used, Some(&case)),
        Ok(case) => case,
    };
    // The page's own two buttons and nothing else.
    let says = match read(body).await.as_deref() {
        Ok(b"answer=acknowledged") => Says::Acknowledged,
        Ok(b"answer=not_ours") => Says::NotOurs,
        Ok(_) => return parts.refuse(Outcome::Unreadable),
        Err(outcome) => return parts.refuse(*outcome),
    };
    let came = Came { gateway: case.gateway.clone(), kind: AnswerKind::Link, received_at: parts.now() };
    // Without a time of its own: pressed twice it is one answer.
    let answer = person_said(came, &case.delivery_id, says, None);
    if let Err(outcome) = take(&parts, vec![answer]).await {
        return ended(&parts, outcome, Some(&case));
    }
    let (heading, note) = match says {
        Says::NotOurs => ("已记录：不是我单位", "谢谢。工作人员会核实，本号码不再收到此事项的消息。"),
        _ => ("已记录：收到", "谢谢，无需再次回复。"),
    };
    page(&parts, &Words { status: StatusCode::OK, heading, note, case: Some(&case), buttons: false })
}

fn let_in(parts: &Parts, peer: Option<Peer>, headers: &HeaderMap) -> Result<(), Outcome> {
    let Peer(peer) = peer.ok_or(Outcome::WrongAddress)?;
    parts.door.browser(peer, headers)
}

/// The case of a token that holds.
fn case(parts: &Parts, token: &str) -> Result<Case, Outcome> {
    let links = parts.links.as_ref().ok_or(Outcome::Nowhere)?;
    match links.read(token, parts.now()) {
        None => Err(Outcome::NoLink),
        Some(Link::Expired(_)) => Err(Outcome::Expired),
        // Whether it was used is not known yet.
        Some(Link::Of(_)) if !parts.given.ready() => Err(Outcome::NotYet),
        // So old that it was forgotten: ended too.
        Some(Link::Of(prefix)) => parts.given.linked(prefix).ok_or(Outcome::Expired),
    }
}

/// Why there is nothing to press, and whom to call.
fn ended(parts: &Parts, outcome: Outcome, case: Option<&Case>) -> Response {
    let (status, heading, note) = match outcome {
        Outcome::Nowhere => return parts.refuse(outcome),
        Outcome::Used if case.and_then(|case| case.said) == Some(Says::NotOurs) => {
            (StatusCode::OK, "您已回复：不是我单位", "链接只能使用一次。如需更正，请致电。")
        }
        Outcome::Used => (StatusCode::OK, "您已回复", "链接只能使用一次。如需更正，请致电。"),
        Outcome::Expired => (StatusCode::GONE, "链接已过期", "此链接已失效。如需回复，请致电。"),
        Outcome::NotYet => {
            (StatusCode::SERVICE_UNAVAILABLE, "暂时无法显示", "系统正在启动，请一分钟后再打开，或致电。")
        }
        Outcome::NotDurable => {
            (StatusCode::SERVICE_UNAVAILABLE, "暂时无法记录", "您的回复尚未记录，请稍后再按一次，或致电。")
        }
        _ => (StatusCode::NOT_FOUND, "链接无效", "请核对短信中的链接是否完整，或致电。"),
    };
    parts.counts.count(outcome, 1);
    page(parts, &Words { status, heading, note, case, buttons: false })
}

/// What the message was, by its text.
fn title(case: &Case) -> &'static str {
    match case.template.trim_end_matches("_fallback") {
        "T1" => "工伤登记告知",
        "T2" => "重伤或死亡事故告知",
        "T3" | "T12" => "工伤信息更正",
        "T4" | "T5" | "T6" => "多发岗位告知书",
        "T7" | "T8" => "工伤预警",
        "T9" => "重点监管告知",
        "T11" => "工伤预警变更",
        _ => "工伤信息告知",
    }
}

fn page(parts: &Parts, says: &Words<'_>) -> Response {
    let case = says.case;
    let filled = PAGE.get_template("page").and_then(|page| {
        page.render(context! {
            heading => says.heading,
            note => says.note,
            case_no => case.map(|case| case.case_no.as_str()),
            text => case.and_then(|case| case.text.as_deref()),
            buttons => says.buttons,
            call => parts.call.as_str(),
        })
    });
    let Ok(html) = filled else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let mut response = (says.status, Html(html)).into_response();
    let fixed = [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
    ];
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response.headers_mut().insert("x-robots-tag", HeaderValue::from_static("noindex, nofollow"));
    response
}
