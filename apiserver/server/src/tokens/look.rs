//! Who sends a request: the certificate of the connection, a token, and whom they want to be taken for.
//!
//! Knows: the order in which claims are looked at, and that a token ends with what it is bound to. Refuses to know: what
//! anybody may do but act as somebody else.

use std::sync::Arc;

use http::{HeaderMap, header};
use jiff::Timestamp;
use leme_access::{Attributes, Identity};
use leme_meta::Status;
use leme_registry::json;
use leme_store::cache::Cached;

use super::{Claims, ISSUER, Named};
use crate::admit;
use crate::api::Api;
use crate::table;

/// How long after its deletion what a token is bound to may still be there, in seconds: what runs in a pod may finish.
const LEEWAY: i64 = 60;

const ACCOUNT: &str = "system:serviceaccount:";
const ANONYMOUS: &str = "system:anonymous";
const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";

impl Api {
    /// Who a request is from: whose certificate the connection has, else whose token it carries, else nobody; and then
    /// whom that one acts for.
    pub(crate) fn authenticate(
        &self,
        peer: Identity,
        headers: &HeaderMap,
    ) -> Result<Identity, Status> {
        let who = match bearer(headers) {
            Some(token) if admit::is_stranger(&peer) => {
                let known = self.account_of(token?, &[ISSUER]).map(|(claims, _)| claims);
                known.map_err(|_| Status::unauthorized())?.identity()
            }
            _ => peer,
        };
        self.impersonated(who, headers)
    }

    /// What a token says that is good now for one of these audiences, and for which of them.
    pub(crate) fn account_of<'a>(
        &self,
        token: &str,
        audiences: &[&'a str],
    ) -> Result<(Arc<Claims>, Vec<&'a str>), &'static str> {
        let now = Timestamp::now().as_second();
        let claims = self.tokens.verify(token, audiences, now)?;
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
        Ok((claims, audiences))
    }

    fn is_there(&self, plural: &str, namespace: &str, named: &Named, now: i64) -> bool {
        let Some(row) = leme_kinds::by_resource("", "v1", plural) else { return false };
        let found = self.cache.get(&row.prefix(None), &row.key(namespace, &named.name));
        let same = |object: &Arc<Cached>| *object.index.uid == *named.uid;
        found.filter(same).is_some_and(|object| !object.index.deleting || is_fresh(&object, now))
    }

    /// Whom somebody acts for who says so and may.
    fn impersonated(&self, who: Identity, headers: &HeaderMap) -> Result<Identity, Status> {
        let Some(wanted) = Wanted::read(headers)? else { return Ok(who) };
        let policy = self.policies.load();
        for what in wanted.asked() {
            admit::decide(&policy, &who, &what)?;
        }
        Ok(wanted.identity())
    }
}

fn is_fresh(object: &Cached, now: i64) -> bool {
    let deleted = table::decoded(object).ok().and_then(|object| {
        json::text(&object, &["metadata", "deletionTimestamp"]).parse::<Timestamp>().ok()
    });
    deleted.is_some_and(|deleted| now <= deleted.as_second() + LEEWAY)
}

/// The token that a request carries; an error if it carries something that can be none.
fn bearer(headers: &HeaderMap) -> Option<Result<&str, Status>> {
    let value = headers.get(header::AUTHORIZATION)?;
    let Ok(text) = value.to_str() else { return Some(Err(Status::unauthorized())) };
    let (scheme, token) = text.trim().split_once(' ')?;
    let token = token.trim();
    let is_token = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty();
    is_token.then_some(Ok(token))
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
