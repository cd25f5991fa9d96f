//! Whose a host is. Pure: of all claims on it the oldest wins, and what is below a domain that a listener holds is its Gateway's
//! namespace's too.

use super::hosts::Host;
use super::rules::RouteInfo;
use leme_client::Key;
use std::collections::HashMap;

/// Whose a host can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner<'a> {
    /// The Gateways' of a namespace.
    Namespace(&'a str),
    /// Routes' and Ingresses', which settle among themselves whose of them.
    Elsewhere,
}

impl std::fmt::Display for Owner<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Owner::Namespace(namespace) => write!(f, "a Gateway of the namespace {namespace}"),
            Owner::Elsewhere => f.write_str("a Route or Ingress"),
        }
    }
}

/// What claims a host.
#[derive(Clone, Copy, Debug)]
pub(super) enum What<'a> {
    /// A listener, by its number.
    Listener(usize),
    /// A route at a listener.
    Route(usize, &'a RouteInfo),
    /// A Route or a rule of an Ingress.
    Elsewhere(&'a Key),
}

/// A claim.
#[derive(Clone, Debug)]
pub(super) struct Claim<'a> {
    pub(super) age: &'a (String, String),
    /// A port of Gateways alone; none for those that all share.
    pub(super) port: Option<u16>,
    pub(super) host: Host,
    pub(super) owner: Owner<'a>,
    pub(super) what: What<'a>,
}

/// Who holds what.
#[derive(Default)]
pub(super) struct Claims<'a> {
    owners: HashMap<(Option<u16>, Host), Owner<'a>>,
    /// Domains that listeners hold with all that is below them.
    domains: HashMap<(Option<u16>, Host), Owner<'a>>,
}

impl<'a> Claims<'a> {
    /// The claims that lose, each with who holds the host.
    pub(super) fn settle(mut all: Vec<Claim<'a>>) -> Vec<(Claim<'a>, String)> {
        all.sort_by(|a, b| a.age.cmp(b.age));
        let mut claims = Claims::default();
        let mut lost = Vec::new();
        for claim in all {
            match claims.holder(&claim) {
                Some(holder) if holder != claim.owner => lost.push((claim, holder.to_string())),
                _ => claims.take(claim),
            }
        }
        lost
    }

    fn take(&mut self, claim: Claim<'a>) {
        let key = (claim.port, claim.host);
        if let (What::Listener(_), Host::Below(_)) = (claim.what, &key.1) {
            self.domains.entry(key.clone()).or_insert(claim.owner);
        }
        self.owners.entry(key).or_insert(claim.owner);
    }

    fn holder(&self, claim: &Claim<'a>) -> Option<Owner<'a>> {
        let key = (claim.port, claim.host.clone());
        if let Some(owner) = self.owners.get(&key) {
            return Some(*owner);
        }
        let (Host::Named(name) | Host::Below(name)) = &key.1 else { return None };
        let mut rest = name.as_str();
        while let Some((_, domain)) = rest.split_once('.') {
            let above = (claim.port, Host::Below(domain.to_owned()));
            if let Some(owner) = self.domains.get(&above) {
                return Some(*owner);
            }
            rest = domain;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red when a younger claim wins, or a host can be taken out of a domain that a listener holds.
    #[test]
    fn the_oldest_claim_wins() {
        let ages: Vec<(String, String)> =
            (0..8).map(|age| (format!("{age}"), String::new())).collect();
        let key = (String::new(), String::new());
        let claim =
            |age: usize, port: Option<u16>, host: &str, owner: Owner<'static>, domain: bool| {
                Claim {
                    age: &ages[age],
                    port,
                    host: Host::read(host),
                    owner,
                    what: if domain { What::Listener(age) } else { What::Elsewhere(&key) },
                }
            };
        let (a, b) = (Owner::Namespace("a"), Owner::Namespace("b"));
        let lost = Claims::settle(vec![
            claim(3, None, "x.test", b, false),
            claim(2, None, "x.test", a, false),
            claim(1, None, "*.d.test", a, true),
            claim(4, None, "y.d.test", b, false),
            claim(5, None, "z.d.test", a, false),
            claim(6, None, "y.d.test", Owner::Elsewhere, false),
            claim(7, Some(8080), "x.test", b, false),
            claim(0, None, "old.d.test", b, false),
        ]);
        let shown: Vec<String> =
            lost.iter().map(|(claim, by)| format!("{} {} {by}", claim.age.0, claim.host)).collect();
        let by = "a Gateway of the namespace a";
        let expected = ["3 x.test", "4 y.d.test", "6 y.d.test"].map(|one| format!("{one} {by}"));
        assert_eq!(shown, expected);
    }
}
