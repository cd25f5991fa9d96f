//! One request that a rule of a Gateway's route is for: what the rule does with it, and the backend whose turn it is. Knows HTTP;
//! passing on is the forwarder's.

use super::super::actions::apply;
use super::super::forward::{Ends, Forwarder, Outcome};
use super::super::headers;
use super::super::pages::{Cause, Page};
use super::super::session::Session;
use super::super::table::Table;
use super::filters::{PathChange, RedirectTo};
use super::matches::Head;
use super::rule::{Rule, Turn};
use super::table::Decision;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::body::{Body, Incoming};

/// How a request came.
#[derive(Clone, Copy)]
pub(in crate::router) struct Came<'a> {
    /// The host that the connection's TLS was made for.
    pub(in crate::router) asked: Option<&'a str>,
    pub(in crate::router) ends: Ends,
    /// The port that it came to.
    pub(in crate::router) at: u16,
}

impl Forwarder {
    /// Answers a request whose host is a Gateway's: `host` as it was named, its bare name, and the path as it is compared.
    pub(in crate::router) async fn by_gateways(
        &self,
        table: &Table,
        request: Request<Incoming>,
        (host, name, path): (&str, &str, &str),
        came: Came<'_>,
        session: &mut Session,
    ) -> Outcome {
        let (method, query) = (request.method(), request.uri().query());
        let head = Head { method, path, query, headers: request.headers() };
        match table.gateways.decide(came.at, came.asked, name, &head) {
            Decision::Elsewhere => Cause::NoRoute.into(),
            Decision::Misdirected => Cause::OtherHost.into(),
            Decision::Nothing => Cause::NoRule.into(),
            Decision::Rule(rule) => self.by_rule(request, rule, host, came, session).await,
        }
    }

    /// Answers a request as a rule says.
    async fn by_rule(
        &self,
        request: Request<Incoming>,
        rule: &Rule,
        host: &str,
        came: Came<'_>,
        session: &mut Session,
    ) -> Outcome {
        let Some(cors) = &rule.spec.filters.cors else {
            return self.carried_out(request, rule, host, came, session).await;
        };
        if let Some(told) = cors.asked(request.method(), request.headers()) {
            return Outcome::Own(short(StatusCode::NO_CONTENT, told));
        }
        let origin = request.headers().get(header::ORIGIN).cloned();
        let mut outcome = self.carried_out(request, rule, host, came, session).await;
        let headers = match &mut outcome {
            Outcome::Own(page) | Outcome::Tunnel(page, _) => page.headers_mut(),
            Outcome::Passed(answer, _) => answer.headers_mut(),
        };
        cors.answer(origin.as_ref(), headers);
        outcome
    }

    async fn carried_out(
        &self,
        mut request: Request<Incoming>,
        rule: &Rule,
        host: &str,
        came: Came<'_>,
        session: &mut Session,
    ) -> Outcome {
        let ends = came.ends;
        let filters = &rule.spec.filters;
        if let Some(to) = &filters.redirect {
            return redirect(to, rule, request.uri(), host, came);
        }
        let Some(turn) = rule.next() else { return Cause::NotSetUp.into() };
        session.is_for(turn.entry);
        let own = &turn.written.filters;
        if let Some(to) = &own.redirect {
            return redirect(to, rule, request.uri(), host, came);
        }
        if let Some(change) = own.path.as_ref().or(filters.path.as_ref()) {
            let Some(uri) = changed(change, rule, request.uri()) else {
                return Cause::Unreadable.into();
            };
            *request.uri_mut() = uri;
        }
        let host = own.host.as_deref().or(filters.host.as_deref()).unwrap_or(host);
        self.copy(&mut request, rule, turn, host, ends);
        let passing = self.pass(request, turn.entry, host, ends, None, session);
        match rule.spec.patience.flatten() {
            None => passing.await,
            Some(patience) => match tokio::time::timeout(patience, passing).await {
                Ok(outcome) => outcome,
                Err(_) => Cause::TooSlow.into(),
            },
        }
    }

    /// Gives copies of a request to those who are to have some.
    fn copy(
        &self,
        request: &mut Request<Incoming>,
        rule: &Rule,
        turn: Turn<'_>,
        host: &str,
        ends: Ends,
    ) {
        for pool in rule.copies(turn) {
            // A conversation is not copied.
            if headers::upgrade(request.headers()).is_some() {
                return;
            }
            let mut copy = Request::new(());
            *copy.method_mut() = request.method().clone();
            *copy.uri_mut() = request.uri().clone();
            *copy.headers_mut() = request.headers().clone();
            headers::prepare(&mut copy, host, None, ends, turn.entry.options.forwarded);
            apply(&turn.entry.actions.request, copy.headers_mut());
            let empty = request.body().is_end_stream();
            self.copies.begin(copy, pool, empty, request.extensions_mut());
        }
    }
}

/// Where a path is sent on to.
fn changed(change: &PathChange, rule: &Rule, uri: &Uri) -> Option<Uri> {
    let path = change.apply(&as_matched(rule, uri.path()), rule.spec.prefix());
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    PathAndQuery::try_from(target).ok().map(Uri::from)
}

/// A path as it came, where the rule's prefix can be seen in it, else as it was compared.
fn as_matched(rule: &Rule, path: &str) -> String {
    let prefix = rule.spec.prefix().unwrap_or_default();
    let seen =
        path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if seen { path.to_owned() } else { headers::normal_path(path).into_owned() }
}

fn redirect(to: &RedirectTo, rule: &Rule, uri: &Uri, host: &str, came: Came<'_>) -> Outcome {
    let scheme = if came.ends.secure { "https" } else { "http" };
    let name = headers::bare_name(host);
    if name.is_empty() && to.host.is_none() {
        return Cause::NoHost.into();
    }
    let path = as_matched(rule, uri.path());
    let from = (scheme, name.as_str(), came.at);
    let location = to.location(from, &path, uri.query(), rule.spec.prefix());
    let Ok(location) = HeaderValue::from_str(&location) else { return Cause::Unreadable.into() };
    let mut told = HeaderMap::new();
    told.insert(header::LOCATION, location);
    apply(&rule.spec.filters.response, &mut told);
    Outcome::Own(short(to.code, told))
}

/// An answer of headers alone.
fn short(code: StatusCode, headers: HeaderMap) -> Page {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = code;
    *answer.headers_mut() = headers;
    answer
}
