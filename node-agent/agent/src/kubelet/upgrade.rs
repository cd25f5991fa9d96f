//! The handshake before streams: what a client wants to speak, and the answer to it.
//!
//! Knows: upgrade headers, subprotocol negotiation and its error answers. Refuses to know: what is spoken afterwards.

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, WebSocketUpgrade};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::OnUpgrade;
use leme_streams::channel::{self, Subprotocol};

use super::Refusal;
use super::websocket::MAX_MESSAGE;

const SPDY: &str = "SPDY/3.1";
const VERSION: &str = "x-stream-protocol-version";

/// What a client asked for.
pub enum Wanted {
    /// A WebSocket, with the subprotocols it offers in its order.
    WebSocket(WebSocketUpgrade, Vec<String>),
    /// SPDY, with all its headers.
    Spdy(OnUpgrade, HeaderMap),
}

/// Whether the request is for a WebSocket.
pub fn is_websocket(headers: &HeaderMap) -> bool {
    upgrades_to(headers, "websocket")
}

fn upgrades_to(headers: &HeaderMap, protocol: &str) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text(header::UPGRADE).eq_ignore_ascii_case(protocol)
        && headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.to_ascii_lowercase().contains("upgrade"))
}

fn values<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    channel::names(headers.get_all(name).iter().filter_map(|value| value.to_str().ok()))
}

impl Wanted {
    /// What the request asks for, or the answer to one that asks for nothing that is spoken here.
    pub async fn of(request: Request) -> Result<Wanted, Response> {
        let (mut parts, body) = request.into_parts();
        if is_websocket(&parts.headers) {
            let offered = values(&parts.headers, "sec-websocket-protocol");
            let offered = offered.into_iter().map(str::to_owned).collect();
            let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await;
            let upgrade = upgrade.map_err(IntoResponse::into_response)?;
            let upgrade = upgrade.max_message_size(MAX_MESSAGE).max_frame_size(MAX_MESSAGE);
            return Ok(Wanted::WebSocket(upgrade, offered));
        }
        if upgrades_to(&parts.headers, SPDY) {
            let headers = parts.headers.clone();
            let on = hyper::upgrade::on(Request::from_parts(parts, body));
            return Ok(Wanted::Spdy(on, headers));
        }
        let text = "unable to upgrade: missing upgrade headers in request";
        Err(Refusal::new(StatusCode::BAD_REQUEST, text).into_response())
    }
}

/// Chooses the subprotocol of a WebSocket; the answer if there is none in common.
pub fn choose(
    upgrade: WebSocketUpgrade,
    offered: &[String],
    known: &'static [Subprotocol],
) -> Result<(WebSocketUpgrade, &'static Subprotocol), Refusal> {
    let names: Vec<&str> = offered.iter().map(String::as_str).collect();
    match channel::choose(&names, known) {
        Some(protocol) => Ok((select(upgrade, protocol.name), protocol)),
        None => {
            let known: Vec<&str> = known.iter().map(|protocol| protocol.name).collect();
            let text = format!(
                "requested protocol(s) are not supported: [{}]; supports [{}]",
                names.join(" "),
                known.join(" ")
            );
            Err(Refusal::new(StatusCode::FORBIDDEN, text))
        }
    }
}

/// Answers with a subprotocol that the client has offered.
pub fn select(mut upgrade: WebSocketUpgrade, name: &str) -> WebSocketUpgrade {
    if let Ok(value) = HeaderValue::from_str(name)
        && !name.is_empty()
    {
        upgrade.set_selected_protocol(value);
    }
    upgrade
}

/// Chooses the protocol of a SPDY connection, and the answer that goes with it or says why there is none.
pub fn negotiate(
    headers: &HeaderMap,
    known: &[&'static str],
) -> Result<(&'static str, Response), Refusal> {
    let bad = |text: String| Refusal::new(StatusCode::BAD_REQUEST, text);
    if !headers.contains_key(VERSION) {
        return Err(bad(format!(
            "unable to upgrade: header X-Stream-Protocol-Version does not exist in request with {} headers",
            headers.len()
        )));
    }
    let offered = values(headers, VERSION);
    if offered.is_empty() {
        return Err(bad("unable to upgrade: header X-Stream-Protocol-Version is empty".to_owned()));
    }
    let chosen = offered.iter().find_map(|name| known.iter().find(|own| *own == name));
    let Some(chosen) = chosen else {
        let text = format!(
            "unable to upgrade: unable to negotiate protocol: client supports [{}], server accepts [{}]",
            offered.join(" "),
            known.join(" ")
        );
        return Err(Refusal {
            accepted: known.to_vec(),
            ..Refusal::new(StatusCode::FORBIDDEN, text)
        });
    };
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let out = answer.headers_mut();
    out.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    out.insert(header::UPGRADE, HeaderValue::from_static(SPDY));
    out.insert(VERSION, HeaderValue::from_static(chosen));
    Ok((chosen, answer))
}
