//! Columns of what nodes and pods use.

use leme_meta::Quantity;
use serde_json::Value;

use super::{list, shown, text};
use crate::Column;

pub(crate) const NODE_METRICS: &[Column] = &[
    shown("cpu", |node, _| text(node, "/usage/cpu").into()),
    shown("memory", |node, _| text(node, "/usage/memory").into()),
    WINDOW,
];

pub(crate) const POD_METRICS: &[Column] = &[
    shown("cpu", |pod, _| sum(pod, "/usage/cpu").into()),
    shown("memory", |pod, _| sum(pod, "/usage/memory").into()),
    WINDOW,
];

const WINDOW: Column = shown("Window", |object, _| text(object, "/window").into());

/// What all containers use of a resource.
fn sum(pod: &Value, of: &str) -> String {
    let each = list(pod, "/containers").iter().map(|container| text(container, of));
    let read = each.filter_map(|used| Quantity::parse(used).ok());
    let all = read.reduce(|sum, used| sum.checked_add(&used).unwrap_or(sum));
    all.map_or_else(String::new, |all| all.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::tests::row;

    #[test]
    fn pods_use_what_their_containers_use() {
        let node = json!({ "metadata": { "name": "a" }, "usage": { "cpu": "250m", "memory": "5Ki" }, "window": "10s" });
        assert_eq!(row("nodes.metrics.k8s.io", &node), ["a", "250m", "5Ki", "10s"]);
        let used = |cpu, memory| json!({ "usage": { "cpu": cpu, "memory": memory } });
        let pod = json!({ "metadata": { "name": "p" }, "window": "15.5s",
            "containers": [used("1500u", "1Ki"), used("8500u", "3Ki")] });
        assert_eq!(row("pods.metrics.k8s.io", &pod), ["p", "10m", "4Ki", "15.5s"]);
    }
}
