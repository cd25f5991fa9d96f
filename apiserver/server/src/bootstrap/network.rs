//! What every cluster has of networking.k8s.io: where addresses of Services come from, and the class of its own router.

use std::net::Ipv4Addr;

use serde_json::json;

use super::{Keep, NAME, Wanted};

/// What tells of the network that addresses of Services come from. A cluster that has it keeps what it says.
pub(super) fn service_cidr((address, bits): (Ipv4Addr, u8)) -> Wanted {
    let object = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": { "name": NAME },
        "spec": { "cidrs": [format!("{address}/{bits}")] },
    });
    let condition = json!({
        "type": "Ready",
        "status": "True",
        "reason": "",
        "message": "Kubernetes default Service CIDR is ready",
    });
    Wanted {
        collection: "/apis/networking.k8s.io/v1/servicecidrs".into(),
        name: NAME.into(),
        object,
        condition: Some(condition),
        keep: Keep::Existence,
    }
}

/// The class of the router's Ingresses. It is no default: the router serves those that name none as well.
pub(super) fn ingress_class() -> Wanted {
    let object = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": { "name": "leme" },
        "spec": { "controller": "leme.dev/router" },
    });
    let collection = "/apis/networking.k8s.io/v1/ingressclasses";
    Wanted {
        collection: collection.into(),
        name: "leme".into(),
        object,
        condition: None,
        keep: Keep::Existence,
    }
}
