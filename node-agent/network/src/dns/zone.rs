//! The names of the cluster. Pure: knows services and endpoints by name and by address; refuses to know sockets and messages
//! beyond the records they carry.
//!
//! Under the cluster domain: `SERVICE.NAMESPACE.svc`, `HOST.SERVICE.NAMESPACE.svc`, `_PORT._PROTOCOL.SERVICE.NAMESPACE.svc`,
//! `A-B-C-D.NAMESPACE.pod`, `dns-version`; and reverse names of service and endpoint addresses.

use crate::model::{Model, Protocol};
use crate::{Cidr, contains};
use hickory_proto::rr::rdata::{A, CNAME, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use leme_client::Key;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// How long answers may be kept, in seconds.
pub(super) const TTL: u32 = 5;

/// What the zone says to a question.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// These records, and some that the asker will want next.
    Records(Vec<Record>, Vec<Record>),
    /// The name is another name for the second value.
    Alias(Box<Record>, Name),
    /// The name exists, without records of this type.
    NoData,
    /// The name does not exist.
    NoName,
    /// Not a name of the cluster.
    Elsewhere,
}

/// One service, as names see it.
#[derive(Default)]
struct Entry {
    ips: Vec<Ipv4Addr>,
    headless: bool,
    alias: Option<Name>,
    ports: Vec<(String, Protocol, u16)>,
    /// Host label, address and ports of each ready endpoint.
    hosts: Vec<(String, Ipv4Addr)>,
    host_ports: Vec<(String, Protocol, u16, String)>,
}

/// The names of the cluster.
pub(super) struct Zone {
    domain: String,
    reverse_cidrs: Vec<Cidr>,
    namespaces: BTreeSet<String>,
    services: BTreeMap<Key, Entry>,
    reverse: BTreeMap<Ipv4Addr, BTreeSet<String>>,
    /// Until the first complete list, a missing name proves nothing.
    pub(super) complete: bool,
}

impl Zone {
    pub(super) fn new(domain: &str, reverse_cidrs: Vec<Cidr>) -> Zone {
        Zone {
            domain: domain.trim_matches('.').to_ascii_lowercase(),
            reverse_cidrs,
            namespaces: BTreeSet::new(),
            services: BTreeMap::new(),
            reverse: BTreeMap::new(),
            complete: false,
        }
    }

    /// A namespace is there from now on.
    pub(super) fn add_namespace(&mut self, name: String) {
        self.namespaces.insert(name);
    }

    /// A namespace is gone.
    pub(super) fn remove_namespace(&mut self, name: &str) {
        self.namespaces.remove(name);
    }

    /// Recomputes one service.
    pub(super) fn update(&mut self, model: &Model, key: &Key) {
        if let Some(old) = self.services.remove(key) {
            for (ip, name) in self.reverse_names(key, &old) {
                if let Some(names) = self.reverse.get_mut(&ip) {
                    names.remove(&name);
                    if names.is_empty() {
                        self.reverse.remove(&ip);
                    }
                }
            }
        }
        let Some(entry) = entry(model, key) else { return };
        for (ip, name) in self.reverse_names(key, &entry) {
            self.reverse.entry(ip).or_default().insert(name);
        }
        self.services.insert(key.clone(), entry);
    }

    fn reverse_names(&self, key: &Key, entry: &Entry) -> Vec<(Ipv4Addr, String)> {
        let service = self.service_name(key);
        let own = entry.ips.iter().map(|ip| (*ip, service.clone()));
        let hosts = entry.hosts.iter().map(|(host, ip)| (*ip, format!("{host}.{service}")));
        own.chain(hosts).collect()
    }

    fn service_name(&self, (namespace, name): &Key) -> String {
        format!("{name}.{namespace}.svc.{}.", self.domain)
    }

    /// Answers a question for `name`, of which `lower` is the lower-case text without the last dot.
    pub(super) fn lookup(&self, name: &Name, lower: &str, kind: RecordType) -> Answer {
        if let Some(reverse) = lower.strip_suffix(".in-addr.arpa") {
            return self.lookup_reverse(name, reverse, kind);
        }
        let Some(rest) = lower.strip_suffix(&self.domain) else { return Answer::Elsewhere };
        if rest.is_empty() {
            return self.apex(name, kind);
        }
        let Some(rest) = rest.strip_suffix('.') else { return Answer::Elsewhere };
        let labels: Vec<&str> = rest.split('.').collect();
        match labels[..] {
            ["dns-version"] => match kind {
                RecordType::TXT => one(name, RData::TXT(TXT::new(vec!["1.1.0".into()]))),
                _ => Answer::NoData,
            },
            ["svc" | "pod"] => Answer::NoData,
            [namespace, "svc" | "pod"] => self.namespace(namespace),
            [host, namespace, "pod"] => self.pod(name, host, namespace, kind),
            [service, namespace, "svc"] => self.service(name, service, namespace, kind),
            [host, service, namespace, "svc"] => self.host(name, host, service, namespace, kind),
            [port, protocol, service, namespace, "svc"] => {
                self.port(name, (port, protocol), service, namespace, kind)
            }
            _ => Answer::NoName,
        }
    }

    fn apex(&self, name: &Name, kind: RecordType) -> Answer {
        match (kind, self.authority()) {
            (RecordType::SOA, Some(soa)) => Answer::Records(vec![soa], Vec::new()),
            (RecordType::NS, _) => match Name::from_ascii(format!("ns.dns.{}.", self.domain)) {
                Ok(server) => one(name, RData::NS(hickory_proto::rr::rdata::NS(server))),
                Err(_) => Answer::NoData,
            },
            _ => Answer::NoData,
        }
    }

    /// The record that goes with a negative answer.
    pub(super) fn authority(&self) -> Option<Record> {
        let domain = Name::from_ascii(format!("{}.", self.domain)).ok()?;
        let server = Name::from_ascii(format!("ns.dns.{}.", self.domain)).ok()?;
        let contact = Name::from_ascii(format!("hostmaster.{}.", self.domain)).ok()?;
        let soa = SOA::new(server, contact, 1, 7200, 1800, 86400, TTL);
        Some(Record::from_rdata(domain, TTL, RData::SOA(soa)))
    }

    fn namespace(&self, namespace: &str) -> Answer {
        if self.namespaces.contains(namespace) { Answer::NoData } else { Answer::NoName }
    }

    fn pod(&self, name: &Name, host: &str, namespace: &str, kind: RecordType) -> Answer {
        let address = undash(host).filter(|_| self.namespace(namespace) == Answer::NoData);
        match address {
            Some(ip) => addresses(name, &[ip], kind),
            None => Answer::NoName,
        }
    }

    fn find(&self, service: &str, namespace: &str) -> Option<&Entry> {
        self.services.get(&(namespace.to_owned(), service.to_owned()))
    }

    fn service(&self, name: &Name, service: &str, namespace: &str, kind: RecordType) -> Answer {
        let Some(entry) = self.find(service, namespace) else { return Answer::NoName };
        if let Some(target) = &entry.alias {
            let record = Record::from_rdata(name.clone(), TTL, RData::CNAME(CNAME(target.clone())));
            return match kind {
                RecordType::CNAME => Answer::Records(vec![record], Vec::new()),
                _ => Answer::Alias(Box::new(record), target.clone()),
            };
        }
        if kind == RecordType::SRV {
            return self.srv(name, entry, service, namespace, |_, _| true);
        }
        if !entry.headless {
            return addresses(name, &entry.ips, kind);
        }
        // A headless service without ready endpoints has no name at all.
        let ips: BTreeSet<Ipv4Addr> = entry.hosts.iter().map(|(_, ip)| *ip).collect();
        match ips.is_empty() {
            true => Answer::NoName,
            false => addresses(name, &ips.into_iter().collect::<Vec<_>>(), kind),
        }
    }

    fn host(&self, name: &Name, host: &str, service: &str, ns: &str, kind: RecordType) -> Answer {
        let Some(entry) = self.find(service, ns) else { return Answer::NoName };
        let ips: Vec<Ipv4Addr> =
            entry.hosts.iter().filter(|(label, _)| label == host).map(|(_, ip)| *ip).collect();
        if !ips.is_empty() {
            return addresses(name, &ips, kind);
        }
        // `_tcp.SERVICE…` holds names below it, though no records.
        let protocol = host.strip_prefix('_');
        let below = |p: Protocol| Some(p.name()) == protocol;
        let used = entry.ports.iter().any(|(_, p, _)| below(*p))
            || entry.host_ports.iter().any(|(_, p, _, _)| below(*p));
        if used { Answer::NoData } else { Answer::NoName }
    }

    fn port(
        &self,
        name: &Name,
        (port, protocol): (&str, &str),
        service: &str,
        namespace: &str,
        kind: RecordType,
    ) -> Answer {
        let Some(entry) = self.find(service, namespace) else { return Answer::NoName };
        let (Some(port), Some(protocol)) = (port.strip_prefix('_'), protocol.strip_prefix('_'))
        else {
            return Answer::NoName;
        };
        let wanted = |name: &str, p: Protocol| name == port && p.name() == protocol;
        match self.srv(name, entry, service, namespace, wanted) {
            Answer::NoData => Answer::NoName,
            _ if kind != RecordType::SRV => Answer::NoData,
            found => found,
        }
    }

    /// SRV records of the ports that `wanted` accepts, with the addresses of their targets.
    fn srv(
        &self,
        name: &Name,
        entry: &Entry,
        service: &str,
        namespace: &str,
        wanted: impl Fn(&str, Protocol) -> bool,
    ) -> Answer {
        let base = self.service_name(&(namespace.to_owned(), service.to_owned()));
        let mut targets: Vec<(u16, String, Vec<Ipv4Addr>)> = Vec::new();
        if entry.headless {
            for (port_name, protocol, port, host) in &entry.host_ports {
                if wanted(port_name, *protocol) {
                    let of_host = entry.hosts.iter().filter(|(label, _)| label == host);
                    let ips = of_host.map(|(_, ip)| *ip).collect();
                    targets.push((*port, format!("{host}.{base}"), ips));
                }
            }
        } else {
            for (_, _, port) in entry.ports.iter().filter(|(n, p, _)| wanted(n, *p)) {
                targets.push((*port, base.clone(), entry.ips.clone()));
            }
        }
        let weight = u16::try_from(100 / targets.len().max(1)).unwrap_or(1).max(1);
        let (mut answers, mut extra) = (Vec::new(), BTreeMap::new());
        for (port, target, ips) in targets {
            let Ok(target) = Name::from_ascii(&target) else { continue };
            let data = RData::SRV(SRV::new(0, weight, port, target.clone()));
            answers.push(Record::from_rdata(name.clone(), TTL, data));
            for ip in ips {
                let record = Record::from_rdata(target.clone(), TTL, RData::A(A(ip)));
                extra.insert((target.to_ascii(), ip), record);
            }
        }
        match answers.is_empty() {
            true => Answer::NoData,
            false => Answer::Records(answers, extra.into_values().collect()),
        }
    }

    fn lookup_reverse(&self, name: &Name, reverse: &str, kind: RecordType) -> Answer {
        let forward: Vec<&str> = reverse.rsplit('.').collect();
        let Ok(ip) = forward.join(".").parse::<Ipv4Addr>() else { return Answer::Elsewhere };
        let Some(names) = self.reverse.get(&ip) else {
            let ours = self.reverse_cidrs.iter().any(|cidr| contains(*cidr, ip));
            return if ours { Answer::NoName } else { Answer::Elsewhere };
        };
        if kind != RecordType::PTR {
            return Answer::NoData;
        }
        let names = names.iter().filter_map(|text| Name::from_ascii(text).ok());
        let record = |target| Record::from_rdata(name.clone(), TTL, RData::PTR(PTR(target)));
        Answer::Records(names.map(record).collect(), Vec::new())
    }
}

fn one(name: &Name, data: RData) -> Answer {
    Answer::Records(vec![Record::from_rdata(name.clone(), TTL, data)], Vec::new())
}

fn addresses(name: &Name, ips: &[Ipv4Addr], kind: RecordType) -> Answer {
    if !matches!(kind, RecordType::A | RecordType::ANY) || ips.is_empty() {
        return Answer::NoData;
    }
    let record = |ip: &Ipv4Addr| Record::from_rdata(name.clone(), TTL, RData::A(A(*ip)));
    Answer::Records(ips.iter().map(record).collect(), Vec::new())
}

fn undash(host: &str) -> Option<Ipv4Addr> {
    host.replace('-', ".").parse().ok()
}

fn entry(model: &Model, key: &Key) -> Option<Entry> {
    let service = model.service(key)?;
    let alias =
        service.external_name.as_ref().map(|name| format!("{}.", name.trim_end_matches('.')));
    let mut entry = Entry {
        ips: service.cluster_ips.clone(),
        headless: service.headless,
        alias: alias.and_then(|name| Name::from_ascii(name).ok()),
        ports: service.ports.iter().map(|p| (p.name.to_lowercase(), p.protocol, p.port)).collect(),
        ..Entry::default()
    };
    // Slices overlap when two who write them do: people, and the controllers that copy what people write.
    let (mut seen, mut seen_ports) = (BTreeSet::new(), BTreeSet::new());
    for slice in model.slices(key) {
        for endpoint in slice.endpoints.iter().filter(|endpoint| endpoint.ready) {
            let dashed = || endpoint.address.to_string().replace('.', "-");
            let host = endpoint.hostname.clone().filter(|h| !h.is_empty()).unwrap_or_else(dashed);
            let host = host.to_lowercase();
            if entry.headless {
                let ports = slice.ports.iter();
                let ports =
                    ports.map(|p| (p.name.to_lowercase(), p.protocol, p.port, host.clone()));
                entry.host_ports.extend(ports.filter(|port| seen_ports.insert(port.clone())));
            }
            if seen.insert((host.clone(), endpoint.address)) {
                entry.hosts.push((host, endpoint.address));
            }
        }
    }
    Some(entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ServiceInfo, SliceInfo};
    use serde_json::{Value, json};

    fn zone() -> Zone {
        let mut model = Model::default();
        let mut add = |name: &str, spec: Value, slice: Value| {
            let key = ("ns".to_string(), name.to_string());
            let service = serde_json::from_value(json!({ "spec": spec })).unwrap();
            model.put_service(key.clone(), ServiceInfo::of(&service));
            let slice = serde_json::from_value(slice).unwrap();
            model.put_slice(key, Some(name.into()), SliceInfo::of(&slice));
        };
        let endpoints = json!({"addressType": "IPv4", "ports": [{"name": "http", "port": 8080}],
            "endpoints": [{"addresses": ["10.244.0.2"], "hostname": "db-0"},
                {"addresses": ["10.244.0.3"]},
                {"addresses": ["10.244.0.4"], "conditions": {"ready": false}}]});
        let ports =
            json!([{"name": "http", "port": 80}, {"name": "q", "protocol": "UDP", "port": 53}]);
        add("web", json!({"clusterIP": "10.96.0.7", "ports": ports}), endpoints.clone());
        add("db", json!({"clusterIP": "None", "ports": ports}), endpoints.clone());
        let none = json!({"addressType": "IPv4", "endpoints": []});
        add("empty", json!({"clusterIP": "None"}), none.clone());
        add("out", json!({"type": "ExternalName", "externalName": "example.org"}), none);
        // The same endpoints once more, as a second writer would put them.
        let twice = serde_json::from_value(endpoints).unwrap();
        model.put_slice(("ns".into(), "db-2".into()), Some("db".into()), SliceInfo::of(&twice));
        let mut zone = Zone::new("cluster.local.", vec![(Ipv4Addr::new(10, 244, 0, 0), 16)]);
        zone.add_namespace("ns".into());
        zone.add_namespace("idle".into());
        zone.add_namespace("gone".into());
        zone.remove_namespace("gone");
        for key in model.take_dirty() {
            zone.update(&model, &key);
        }
        zone
    }

    #[track_caller]
    fn check(name: &str, kind: RecordType, expected: &str) {
        let full = Name::from_ascii(format!("{name}.")).unwrap();
        let show = |records: Vec<Record>| {
            records.iter().map(|r| r.data.to_string()).collect::<Vec<_>>().join(", ")
        };
        let shown = match zone().lookup(&full, &name.to_lowercase(), kind) {
            Answer::Records(records, extra) if extra.is_empty() => show(records),
            Answer::Records(records, extra) => format!("{} + {}", show(records), show(extra)),
            Answer::Alias(_, target) => format!("alias {target}"),
            other => format!("{other:?}"),
        };
        assert_eq!(shown, expected, "{name} {kind}");
    }

    #[test]
    fn services() {
        use RecordType as T;
        check("web.ns.svc.cluster.local", T::A, "10.96.0.7");
        check("WEB.ns.svc.Cluster.local", T::A, "10.96.0.7");
        check("web.ns.svc.cluster.local", T::AAAA, "NoData");
        check("db.ns.svc.cluster.local", T::A, "10.244.0.2, 10.244.0.3");
        check("empty.ns.svc.cluster.local", T::A, "NoName");
        check("out.ns.svc.cluster.local", T::A, "alias example.org.");
        check("none.ns.svc.cluster.local", T::A, "NoName");
        check("web.other.svc.cluster.local", T::A, "NoName");
    }

    #[test]
    fn hosts_and_pods() {
        use RecordType as T;
        check("db-0.db.ns.svc.cluster.local", T::A, "10.244.0.2");
        check("10-244-0-3.db.ns.svc.cluster.local", T::A, "10.244.0.3");
        check("10-244-0-4.db.ns.svc.cluster.local", T::A, "NoName");
        check("10-1-2-3.ns.pod.cluster.local", T::A, "10.1.2.3");
        check("10-1-2-3.other.pod.cluster.local", T::A, "NoName");
        // Red when a namespace counts as there only while it holds a Service.
        check("10-1-2-3.idle.pod.cluster.local", T::A, "10.1.2.3");
        check("idle.svc.cluster.local", T::A, "NoData");
        check("10-1-2-3.gone.pod.cluster.local", T::A, "NoName");
        check("nonsense.ns.pod.cluster.local", T::A, "NoName");
    }

    #[test]
    fn ports() {
        use RecordType as T;
        let web = "0 100 80 web.ns.svc.cluster.local. + 10.96.0.7";
        check("_http._tcp.web.ns.svc.cluster.local", T::SRV, web);
        check("_http._udp.web.ns.svc.cluster.local", T::SRV, "NoName");
        check("_http._tcp.web.ns.svc.cluster.local", T::A, "NoData");
        check("_tcp.web.ns.svc.cluster.local", T::SRV, "NoData");
        check("_sctp.web.ns.svc.cluster.local", T::SRV, "NoName");
        check(
            "_http._tcp.db.ns.svc.cluster.local",
            T::SRV,
            "0 50 8080 db-0.db.ns.svc.cluster.local., 0 50 8080 10-244-0-3.db.ns.svc.cluster.local. \
             + 10.244.0.3, 10.244.0.2",
        );
    }

    #[test]
    fn reverse() {
        use RecordType as T;
        check("7.0.96.10.in-addr.arpa", T::PTR, "web.ns.svc.cluster.local.");
        check(
            "2.0.244.10.in-addr.arpa",
            T::PTR,
            "db-0.db.ns.svc.cluster.local., db-0.web.ns.svc.cluster.local.",
        );
        check("2.0.244.10.in-addr.arpa", T::A, "NoData");
        check("9.9.244.10.in-addr.arpa", T::PTR, "NoName");
        check("8.8.8.8.in-addr.arpa", T::PTR, "Elsewhere");
        check("x.8.8.8.in-addr.arpa", T::PTR, "Elsewhere");
    }

    #[test]
    fn search_lists_fail_fast() {
        use RecordType as T;
        for name in [
            "web.ns.svc.cluster.local.ns.svc.cluster.local",
            "web.ns.svc.cluster.local.svc.cluster.local",
            "web.ns.svc.cluster.local.cluster.local",
            "example.org.ns.svc.cluster.local",
            "example.org.cluster.local",
        ] {
            check(name, T::A, "NoName");
        }
        check("example.org", T::A, "Elsewhere");
        check("mycluster.local", T::A, "Elsewhere");
        check("cluster.local", T::A, "NoData");
        check("svc.cluster.local", T::A, "NoData");
        check("ns.svc.cluster.local", T::A, "NoData");
        check("nx.svc.cluster.local", T::A, "NoName");
    }
}
