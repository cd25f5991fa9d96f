//! Hosts as the Gateway API writes them. Pure: what two patterns have in common, and which of several is the closest for a name.

use std::collections::HashMap;

/// The hosts that are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::router) enum Host {
    /// All.
    #[default]
    Any,
    /// All below a domain, however deep.
    Below(String),
    /// One.
    Named(String),
}

impl Host {
    /// Reads a host; an empty one means all.
    pub(in crate::router) fn read(text: &str) -> Host {
        let text = text.to_ascii_lowercase();
        match text.strip_prefix("*.") {
            Some(domain) => Host::Below(domain.to_owned()),
            None if text.is_empty() => Host::Any,
            None => Host::Named(text),
        }
    }

    /// Whether all that another means is meant by this.
    pub(in crate::router) fn covers(&self, other: &Host) -> bool {
        match (self, other) {
            (Host::Any, _) => true,
            (_, Host::Any) | (Host::Named(_), Host::Below(_)) => false,
            (Host::Below(domain), Host::Below(other)) => other == domain || is_below(other, domain),
            (Host::Below(domain), Host::Named(name)) => is_below(name, domain),
            (Host::Named(one), Host::Named(other)) => one == other,
        }
    }

    /// What both mean, if anything.
    pub(in crate::router) fn common(&self, other: &Host) -> Option<Host> {
        match (self.covers(other), other.covers(self)) {
            (true, _) => Some(other.clone()),
            (_, true) => Some(self.clone()),
            _ => None,
        }
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Host::Any => f.write_str("every host"),
            Host::Below(domain) => write!(f, "*.{domain}"),
            Host::Named(name) => f.write_str(name),
        }
    }
}

fn is_below(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

/// How close a pattern is to a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::router) enum Closeness {
    Any,
    /// By the length of its domain.
    Below(usize),
    Named,
}

/// Something for each of several hosts.
#[derive(Debug)]
pub(in crate::router) struct HostMap<T> {
    named: HashMap<String, T>,
    below: HashMap<String, T>,
    any: Option<T>,
}

impl<T> Default for HostMap<T> {
    fn default() -> HostMap<T> {
        HostMap { named: HashMap::new(), below: HashMap::new(), any: None }
    }
}

impl<T> HostMap<T> {
    /// What is kept for a host, made if there is nothing.
    pub(in crate::router) fn entry(&mut self, host: &Host, make: impl FnOnce() -> T) -> &mut T {
        match host {
            Host::Named(name) => self.named.entry(name.clone()).or_insert_with(make),
            Host::Below(domain) => self.below.entry(domain.clone()).or_insert_with(make),
            Host::Any => self.any.get_or_insert_with(make),
        }
    }

    /// Everything that is for a name, the closest first.
    pub(in crate::router) fn all<'a, 'n>(
        &'a self,
        name: &'n str,
    ) -> impl Iterator<Item = (Closeness, &'a T)> + use<'a, 'n, T> {
        let named = self.named.get(name).map(|one| (Closeness::Named, one));
        let domains =
            std::iter::successors(name.split_once('.').map(|(_, domain)| domain), |one| {
                one.split_once('.').map(|(_, domain)| domain)
            });
        let below = domains.filter_map(|domain| {
            let one = self.below.get(domain)?;
            Some((Closeness::Below(domain.len()), one))
        });
        let any = self.any.as_ref().map(|one| (Closeness::Any, one));
        named.into_iter().chain(below).chain(any)
    }

    /// What is for a name and the closest to it.
    pub(in crate::router) fn closest(&self, name: &str) -> Option<(Closeness, &T)> {
        self.all(name).next()
    }

    /// Everything.
    pub(in crate::router) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.named.values_mut().chain(self.below.values_mut()).chain(&mut self.any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hosts_have_in_common() {
        for (one, other, common) in [
            ("", "x.test", "x.test"),
            ("*.test", "x.test", "x.test"),
            ("*.test", "a.x.test", "a.x.test"),
            ("*.test", "test", "none"),
            ("*.test", "*.x.test", "*.x.test"),
            ("*.test", "*.test", "*.test"),
            ("x.test", "y.test", "none"),
            ("*.x.test", "x.test", "none"),
            ("*.st", "x.test", "none"),
            ("", "", "every host"),
        ] {
            for (one, other) in [(one, other), (other, one)] {
                let found = Host::read(one).common(&Host::read(other));
                let shown = found.map_or("none".to_owned(), |host| host.to_string());
                assert_eq!(shown, common, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn the_closest_is_found() {
        let mut map = HostMap::default();
        for host in ["*.test", "*.x.test", "a.x.test", ""] {
            map.entry(&Host::read(host), || host);
        }
        for (name, closest) in [
            ("a.x.test", "a.x.test"),
            ("b.x.test", "*.x.test"),
            ("c.b.x.test", "*.x.test"),
            ("x.test", "*.test"),
            ("test", ""),
            ("other", ""),
        ] {
            assert_eq!(map.closest(name).unwrap().1, &closest, "{name}");
        }
        assert_eq!(map.all("a.x.test").count(), 4);
    }
}
