//! EndpointSlices that mirror Endpoints which people write by hand for Services without a selector.
//!
//! Alone writes: slices labelled as managed by it. Rule: one slice for each family and set of ports of the Endpoints; they
//! go when the Endpoints are not to be mirrored any more.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{EndpointAddress, EndpointSubset, Endpoints, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::Plan;
use crate::action::{Action, ObjectRef};
use crate::common::{Labels, annotation};
use crate::endpoints::PortKey;
use crate::endpointslice::{SERVICE_NAME, key_of, ports_of};
use crate::report::Report;

const MANAGED_BY: (&str, &str) =
    ("endpointslice.kubernetes.io/managed-by", "endpointslicemirroring-controller.k8s.io");
const SKIP_MIRROR: &str = "endpointslice.kubernetes.io/skip-mirror";
/// Endpoints that once held a leader's record are no endpoints.
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
/// Annotations that say something of the Endpoints object alone.
const NOT_COPIED: &[&str] = &[
    "endpoints.kubernetes.io/last-change-trigger-time",
    "kubectl.kubernetes.io/last-applied-configuration",
];
/// Addresses mirrored of one subset at the most.
const MAX_ENDPOINTS: usize = 1000;

/// What is seen, by the name that the Service and its Endpoints share.
#[derive(Debug)]
pub struct Observed {
    /// The service; `None` once it is gone.
    pub service: Option<Arc<Service>>,
    /// The Endpoints; `None` once they are gone.
    pub endpoints: Option<Arc<Endpoints>>,
    /// The slices that carry the service's name, whoever wrote them.
    pub slices: Vec<Arc<EndpointSlice>>,
}

/// What to do for one name.
pub fn plan(seen: &Observed, _now: Timestamp) -> Plan {
    let mine = seen.slices.iter().filter(|slice| is_managed(slice));
    let mut old: Vec<EndpointSlice> = mine.map(|slice| slice.as_ref().clone()).collect();
    let Some(endpoints) = seen.endpoints.as_ref().filter(|_| is_mirrored(seen)) else {
        let mut plan = Plan::default();
        old.iter().for_each(|slice| plan.act(Action::delete(ObjectRef::to(slice))));
        return plan;
    };
    let about = ObjectRef::to(endpoints.as_ref());
    let mut plan = Plan { report: Report::about(about.clone()), ..Plan::default() };
    let (wanted, skipped) = wanted(endpoints);
    let mut fresh = Vec::new();
    for ((family, key), list) in wanted {
        let known = old.iter().position(|one| one.address_type == family && key_of(one) == key);
        let new = slice(endpoints, family, &key, list);
        match known.map(|at| old.swap_remove(at)) {
            Some(before) => replace(&before, new, &mut plan),
            None => fresh.push(new),
        }
    }
    for new in fresh {
        // The family of a slice never changes; its ports may.
        match old.iter().position(|one| one.address_type == new.address_type) {
            Some(at) => replace(&old.swap_remove(at), new, &mut plan),
            None => plan.act(Action::create(&new)),
        }
    }
    old.iter().for_each(|slice| plan.act(Action::delete(ObjectRef::to(slice))));
    if skipped > 0 && !plan.actions.is_empty() {
        let message = format!(
            "A max of {MAX_ENDPOINTS} addresses can be mirrored to EndpointSlices per Endpoints subset. \
             {skipped} addresses were skipped"
        );
        plan.act(Action::warning(about, "TooManyAddressesToMirror", message));
    }
    plan
}

fn is_managed(slice: &EndpointSlice) -> bool {
    let labels = slice.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(MANAGED_BY.0)).map(String::as_str) == Some(MANAGED_BY.1)
}

/// Whether these Endpoints are somebody's own: of a Service that selects nothing, and not marked otherwise.
fn is_mirrored(seen: &Observed) -> bool {
    let (Some(service), Some(endpoints)) = (&seen.service, &seen.endpoints) else { return false };
    let selects = service
        .spec
        .as_ref()
        .is_some_and(|spec| spec.selector.as_ref().is_some_and(|selector| !selector.is_empty()));
    let labels = endpoints.metadata.labels.as_ref();
    let skipped =
        labels.and_then(|labels| labels.get(SKIP_MIRROR)).map(String::as_str) == Some("true");
    let going = endpoints.metadata.deletion_timestamp.is_some();
    !selects && !skipped && !going && annotation(&endpoints.metadata, LEADER).is_none()
}

type Wanted = BTreeMap<(&'static str, PortKey), BTreeMap<String, Endpoint>>;

/// The endpoints by family and ports, and there by address; and how many did not fit.
fn wanted(endpoints: &Endpoints) -> (Wanted, usize) {
    let (mut wanted, mut skipped) = (Wanted::new(), 0);
    for subset in endpoints.subsets.iter().flatten() {
        let key = port_key(subset);
        let ready = subset.addresses.iter().flatten().map(|address| (address, true));
        let unready = subset.not_ready_addresses.iter().flatten().map(|address| (address, false));
        for (number, (address, ready)) in ready.chain(unready).enumerate() {
            // What is no address was refused when it was written.
            let Ok(ip) = address.ip.parse::<IpAddr>() else { continue };
            if number >= MAX_ENDPOINTS {
                skipped += 1;
                continue;
            }
            let family = if ip.is_ipv6() { "IPv6" } else { "IPv4" };
            let list = wanted.entry((family, key.clone())).or_default();
            if list.len() < MAX_ENDPOINTS {
                list.entry(ip.to_string()).or_insert_with(|| endpoint(address, ip, ready));
            }
        }
    }
    (wanted, skipped)
}

fn port_key(subset: &EndpointSubset) -> PortKey {
    let ports = subset.ports.iter().flatten().map(|port| {
        let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
        (port.name.clone().unwrap_or_default(), port.port, protocol, port.app_protocol.clone())
    });
    ports.collect()
}

fn endpoint(address: &EndpointAddress, ip: IpAddr, ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![ip.to_string()],
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            ..EndpointConditions::default()
        }),
        hostname: address.hostname.clone(),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Endpoint::default()
    }
}

fn slice(
    endpoints: &Endpoints,
    family: &str,
    key: &PortKey,
    list: BTreeMap<String, Endpoint>,
) -> EndpointSlice {
    let owner = ObjectRef::to(endpoints);
    let mut labels = endpoints.metadata.labels.clone().unwrap_or_default();
    labels.insert(SERVICE_NAME.to_owned(), owner.name.clone());
    labels.insert(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned());
    let mut annotations: Labels = endpoints.metadata.annotations.clone().unwrap_or_default();
    annotations.retain(|name, _| !NOT_COPIED.contains(&name.as_str()));
    EndpointSlice {
        address_type: family.to_owned(),
        endpoints: Some(list.into_values().collect()),
        ports: ports_of(key),
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", owner.name)),
            namespace: endpoints.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: Some(annotations).filter(|all| !all.is_empty()),
            owner_references: Some(vec![owner.controller_ref()]),
            ..ObjectMeta::default()
        },
    }
}

/// Writes what differs of a slice that is there.
fn replace(before: &EndpointSlice, new: EndpointSlice, plan: &mut Plan) {
    let mut after = before.clone();
    after.endpoints = new.endpoints;
    after.ports = new.ports;
    after.metadata.labels = new.metadata.labels;
    after.metadata.annotations = new.metadata.annotations;
    after.metadata.owner_references = new.metadata.owner_references;
    if *before != after {
        plan.act(Action::update(&after));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Plans and carries out on the slices; gives what was done, and then each slice's family, ports and addresses.
    fn check(slices: &mut Vec<EndpointSlice>, service: Value, endpoints: Value) -> String {
        let read = |value: Value| serde_json::from_value(value).unwrap();
        let service = (!service.is_null()).then(|| {
            let meta = json!({"name": "db", "namespace": "n"});
            Arc::new(serde_json::from_value(json!({"metadata": meta, "spec": service})).unwrap())
        });
        let endpoints = (!endpoints.is_null()).then(|| Arc::new(read(endpoints)));
        let seen =
            Observed { service, endpoints, slices: slices.iter().cloned().map(Arc::new).collect() };
        let mut said = String::new();
        for action in plan(&seen, Timestamp::UNIX_EPOCH).actions {
            match action {
                Action::Create { object, .. } => {
                    said.push_str("create ");
                    let mut slice: EndpointSlice = serde_json::from_value(object.0).unwrap();
                    slice.metadata.name = Some(format!("db-{}", slices.len()));
                    slices.push(slice);
                }
                Action::Update { object, .. } => {
                    said.push_str("update ");
                    let new: EndpointSlice = serde_json::from_value(object.0).unwrap();
                    let old = slices.iter_mut().find(|one| one.metadata.name == new.metadata.name);
                    *old.unwrap() = new;
                }
                Action::Delete { target, .. } => {
                    said.push_str("delete ");
                    slices.retain(|one| one.metadata.name.as_deref() != Some(&target.name));
                }
                Action::Event { reason, .. } => said.push_str(reason),
                other => panic!("{other:?}"),
            }
        }
        for slice in slices {
            let ready =
                |one: &Endpoint| one.conditions.as_ref().and_then(|all| all.ready) == Some(true);
            let shown =
                slice.endpoints.iter().flatten().map(|one| {
                    format!("{}{}", one.addresses[0], if ready(one) { "" } else { "?" })
                });
            let ports = slice.ports.iter().flatten().map(|port| port.port.unwrap().to_string());
            let (shown, ports): (Vec<_>, Vec<_>) = (shown.collect(), ports.collect());
            said.push_str(&format!(
                "| {} {} :{} ",
                slice.address_type,
                shown.join(" "),
                ports.join(",")
            ));
        }
        said.trim_end().to_owned()
    }

    fn endpoints(port: u16, ready: &[&str], unready: &[&str]) -> Value {
        let list = |all: &[&str]| all.iter().map(|ip| json!({"ip": ip})).collect::<Vec<_>>();
        json!({
            "metadata": {"name": "db", "namespace": "n", "uid": "e", "labels": {"team": "blue"},
                "annotations": {"note": "kept", "kubectl.kubernetes.io/last-applied-configuration": "{}"}},
            "subsets": [{"addresses": list(ready), "notReadyAddresses": list(unready), "ports": [{"port": port}]}],
        })
    }

    /// Red when the plan is empty: nothing leads to endpoints that people write.
    #[test]
    fn slices_follow_the_endpoints_and_go_with_them() {
        let mut slices = Vec::new();
        let own = json!({});
        assert_eq!(
            check(
                &mut slices,
                own.clone(),
                endpoints(80, &["192.0.2.1", "2001:db8::1"], &["192.0.2.9"])
            ),
            "create create | IPv4 192.0.2.1 192.0.2.9? :80 | IPv6 2001:db8::1 :80"
        );
        let labels = slices[0].metadata.labels.clone().unwrap();
        assert_eq!(labels[SERVICE_NAME], "db");
        assert_eq!(labels[MANAGED_BY.0], MANAGED_BY.1);
        assert_eq!(labels["team"], "blue");
        assert_eq!(
            slices[0].metadata.annotations.clone().unwrap().keys().collect::<Vec<_>>(),
            ["note"]
        );
        let moved = endpoints(81, &["192.0.2.1"], &[]);
        assert_eq!(
            check(&mut slices, own.clone(), moved.clone()),
            "update delete | IPv4 192.0.2.1 :81"
        );
        assert_eq!(
            check(&mut slices, own.clone(), moved.clone()),
            "| IPv4 192.0.2.1 :81",
            "nothing to do"
        );
        assert_eq!(check(&mut slices, json!({"selector": {"app": "db"}}), moved.clone()), "delete");
        check(&mut slices, own.clone(), moved.clone());
        assert_eq!(check(&mut slices, Value::Null, moved.clone()), "delete");
        check(&mut slices, own.clone(), moved.clone());
        assert_eq!(check(&mut slices, own.clone(), Value::Null), "delete");
    }

    #[test]
    fn what_says_so_is_not_mirrored_and_too_many_are_told() {
        let mut slices = Vec::new();
        let mut skip = endpoints(80, &["192.0.2.1"], &[]);
        skip["metadata"]["labels"] = json!({SKIP_MIRROR: "true"});
        assert_eq!(check(&mut slices, json!({}), skip), "");
        let mut leader = endpoints(80, &["192.0.2.1"], &[]);
        leader["metadata"]["annotations"] = json!({LEADER: "{}"});
        assert_eq!(check(&mut slices, json!({}), leader), "");
        let many: Vec<String> =
            (0..1001).map(|n| format!("10.1.{}.{}", n / 250, n % 250)).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let said = check(&mut slices, json!({}), endpoints(80, &many, &[]));
        assert!(said.starts_with("create TooManyAddressesToMirror|"), "{said}");
        assert_eq!(slices[0].endpoints.iter().flatten().count(), MAX_ENDPOINTS);
    }
}
