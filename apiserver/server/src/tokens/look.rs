//! Who sends a request: the certificate of the connection, a token, and whom they want to be taken for.
//!
//! Knows: the order in which claims are looked at, and that a token ends with what it is bound to. Refuses to know: what
//! anybody may do but act as somebody else.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::request::Parts;
use http::{HeaderMap, header};
use jiff::Timestamp;
use leme_access::{Attributes, Identity};
use leme_meta::Status;
use leme_oauth::same;
use leme_registry::json;
use leme_store::cache::Cached;
use serde_json::Value;

use super::{ISSUER, Named, OfSecret, Said};
use crate::admit;
use crate::api::Api;
use crate::audit::Trail;
use crate::request::RequestInfo;
use crate::table;

/// How long after its deletion what a token is bound to may still be there, in seconds: what runs in a pod may finish.
const LEEWAY: i64 = 60;

/// What stands before a token among the protocols of a WebSocket.
const BEARER_PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";
const ACCOUNT: &str = "system:serviceaccount:";
const ANONYMOUS: &str = "system:anonymous";
const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";

impl Api {
    /// Who a request is from: whose certificate the connection has, else whose token it carries, else nobody.
    pub(crate) async fn authenticate(
        &self,
        peer: Identity,
        headers: &HeaderMap,
    ) -> Result<Identity, Status> {
        match bearer(headers) {
            Some(token) if admit::is_stranger(&peer) => {
                let token = token?;
                self.known.prepare(&token).await;
                let known = self.owner_of(&token, &[ISSUER]).map(|(who, _)| who);
                known.map_err(|_| Status::unauthorized())
            }
            _ => Ok(peer),
        }
    }

    /// Who a request counts as, once that has been told.
    pub(crate) fn identified(
        &self,
        known: Result<Identity, Status>,
        parts: &Parts,
        info: Option<&RequestInfo>,
        trail: &mut Trail,
    ) -> Result<Identity, Status> {
        let acts_for = known.as_ref().ok().map(|who| self.acts_for(who, &parts.headers));
        if trail.is_open() {
            let (what, of) = match info {
                Some(RequestInfo::Resource(request)) => {
                    (admit::attributes(request, request.verb.name()), Some(&**request))
                }
                _ => (admit::of_path(&parts.method, parts.uri.path()), None),
            };
            let acts_for = acts_for.as_ref().and_then(|found| found.as_ref().ok()?.as_ref());
            match &known {
                Ok(who) => trail.known(who, acts_for, &what, of),
                Err(_) => trail.unauthenticated(&what, of),
            }
        }
        let who = known?;
        Ok(acts_for.transpose()?.flatten().unwrap_or(who))
    }

    /// What a token says that is good now for one of these audiences, and for which of them.
    pub(crate) fn account_of<'a>(
        &self,
        token: &str,
        audiences: &[&'a str],
    ) -> Result<(Arc<Said>, Vec<&'a str>), &'static str> {
        let now = Timestamp::now().as_second();
        let said = self.tokens.verify(token, audiences, now)?;
        let claims = match &*said {
            Said::Bound(claims) => claims,
            Said::OfSecret(claims) => {
                self.holds(claims, token, now)?;
                return Ok((said, vec![ISSUER]));
            }
        };
        let bound = &claims.bound;
        let space = bound.namespace.as_str();
        let there = |plural: &str, space: &str, named: Option<&Named>| {
            named.is_none_or(|named| self.is_there(plural, space, named, now))
        };
        if !there("serviceaccounts", space, Some(&bound.serviceaccount)) {
            return Err("service account has been deleted");
        }
        if !there("pods", space, bound.pod.as_ref()) {
            return Err("bound pod has been deleted");
        }
        if !there("secrets", space, bound.secret.as_ref()) {
            return Err("bound secret has been deleted");
        }
        // The node of a bound pod is only told.
        if bound.pod.is_none() && !there("nodes", "", bound.node.as_ref()) {
            return Err("bound node has been deleted");
        }
        let audiences = audiences.iter().filter(|one| claims.aud.iter().any(|own| own == *one));
        let audiences = audiences.copied().collect();
        Ok((said, audiences))
    }

    /// Whether a Secret still holds its token.
    fn holds(&self, claims: &OfSecret, token: &str, now: i64) -> Result<(), &'static str> {
        let account = Named { name: claims.account.clone(), uid: claims.uid.clone() };
        if !self.is_there("serviceaccounts", &claims.namespace, &account, now) {
            return Err("service account has been deleted");
        }
        let secret = self.core_object("secrets", &claims.namespace, &claims.secret);
        let secret = secret.ok_or("token has been invalidated")?;
        let held = STANDARD.decode(json::text(&secret, &["data", "token"])).unwrap_or_default();
        let going = json::at(&secret, &["metadata", "deletionTimestamp"]).is_some();
        if going || !same(&held, token.as_bytes()) {
            return Err("token does not match server's copy");
        }
        Ok(())
    }

    /// An object of the core group as the cache has it.
    pub(super) fn core_object(&self, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        let row = leme_kinds::by_resource("", "v1", plural)?;
        let found = self.cache.get(&row.prefix(None), &row.key(namespace, name))?;
        table::decoded(&found).ok()
    }

    fn is_there(&self, plural: &str, namespace: &str, named: &Named, now: i64) -> bool {
        let Some(row) = leme_kinds::by_resource("", "v1", plural) else { return false };
        let found = self.cache.get(&row.prefix(None), &row.key(namespace, &named.name));
        let same = |object: &Arc<Cached>| *object.index.uid == *named.uid;
        found.filter(same).is_some_and(|object| !object.index.deleting || is_fresh(&object, now))
    }

    /// Whom somebody acts for who says so and may.
    pub(crate) fn acts_for(
        &self,
        who: &Identity,
        headers: &HeaderMap,
    ) -> Result<Option<Identity>, Status> {
        let Some(wanted) = Wanted::read(headers)? else { return Ok(None) };
        let policy = self.policies.load();
        for what in wanted.asked() {
            admit::decide(&policy, who, &what)?;
        }
        Ok(Some(wanted.identity()))
    }
}

fn is_fresh(object: &Cached, now: i64) -> bool {
    let deleted = table::decoded(object).ok().and_then(|object| {
        json::text(&object, &["metadata", "deletionTimestamp"]).parse::<Timestamp>().ok()
    });
    deleted.is_some_and(|deleted| now <= deleted.as_second() + LEEWAY)
}

/// The token that a request carries; an error if it carries something that can be none.
fn bearer(headers: &HeaderMap) -> Option<Result<Cow<'_, str>, Status>> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return in_protocols(headers) };
    let Ok(text) = value.to_str() else { return Some(Err(Status::unauthorized())) };
    let (scheme, token) = text.trim().split_once(' ')?;
    let token = token.trim();
    let is_token = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty();
    is_token.then_some(Ok(token.into()))
}

/// The token among the protocols of a WebSocket: browsers can send it nowhere else.
fn in_protocols(headers: &HeaderMap) -> Option<Result<Cow<'_, str>, Status>> {
    let upgrade = headers.get(header::UPGRADE)?.to_str().ok()?;
    if !upgrade.eq_ignore_ascii_case("websocket") {
        return None;
    }
    let all = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let names = all.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
    let mut tokens = names.filter_map(|name| name.trim().strip_prefix(BEARER_PROTOCOL));
    let (first, second) = (tokens.next()?, tokens.next());
    let token = URL_SAFE_NO_PAD.decode(first).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let token = token.filter(|token| second.is_none() && !token.is_empty());
    Some(token.map(Cow::from).ok_or_else(Status::unauthorized))
}

/// Whom a request is to be taken for.
#[derive(Debug, Default)]
struct Wanted {
    user: String,
    uid: String,
    groups: Vec<String>,
    /// Keys are in lower case.
    extra: Vec<(String, String)>,
}

impl Wanted {
    /// What the headers say, if they say anything.
    fn read(headers: &HeaderMap) -> Result<Option<Wanted>, Status> {
        let mut wanted = Wanted::default();
        let mut any = false;
        for (name, value) in headers {
            let Some(what) = name.as_str().strip_prefix("impersonate-") else { continue };
            any = true;
            let value = value.to_str().map_err(|_| unreadable(name.as_str()))?.to_owned();
            match what {
                "user" => wanted.user = value,
                "uid" => wanted.uid = value,
                "group" => wanted.groups.push(value),
                // To ignore what is unknown would be to act with more power than was asked for.
                what => match what.strip_prefix("extra-") {
                    Some(key) => wanted.extra.push((decoded(key), value)),
                    None => return Err(unreadable(name.as_str())),
                },
            }
        }
        if any && wanted.user.is_empty() {
            let message = "requested impersonation without impersonating a user";
            return Err(Status::internal(message));
        }
        Ok(any.then_some(wanted))
    }

    /// What somebody must be allowed to for this.
    fn asked(&self) -> Vec<Attributes> {
        let of = |group: &str, resource: &str, name: &str| Attributes {
            verb: "impersonate".to_owned(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            name: name.to_owned(),
            ..Attributes::default()
        };
        let mut all = vec![match self.account() {
            Some((namespace, name)) => {
                Attributes { namespace: namespace.to_owned(), ..of("", "serviceaccounts", name) }
            }
            None => of("", "users", &self.user),
        }];
        all.extend(self.groups.iter().map(|group| of("", "groups", group)));
        const AUTHENTICATION: &str = "authentication.k8s.io";
        if !self.uid.is_empty() {
            all.push(of(AUTHENTICATION, "uids", &self.uid));
        }
        all.extend(self.extra.iter().map(|(key, value)| Attributes {
            subresource: key.clone(),
            ..of(AUTHENTICATION, "userextras", value)
        }));
        all
    }

    fn account(&self) -> Option<(&str, &str)> {
        self.user.strip_prefix(ACCOUNT)?.split_once(':')
    }

    fn identity(self) -> Identity {
        let mut who = match self.account() {
            Some((namespace, name)) if self.groups.is_empty() => {
                Identity::of_service_account(namespace, name, "")
            }
            _ => Identity { user: self.user, groups: self.groups, ..Identity::default() },
        };
        let known = [AUTHENTICATED, UNAUTHENTICATED].iter().any(|group| who.in_group(group));
        if !known {
            let group = if who.user == ANONYMOUS { UNAUTHENTICATED } else { AUTHENTICATED };
            who.groups.push(group.to_owned());
        }
        who.uid = self.uid;
        for (key, value) in self.extra {
            who.extra.entry(key).or_default().push(value);
        }
        who
    }
}

fn decoded(key: &str) -> String {
    percent_encoding::percent_decode_str(key).decode_utf8_lossy().into_owned()
}

fn unreadable(header: &str) -> Status {
    Status::bad_request(format!("unable to interpret header {header}"))
}
