//! `/metrics/resource`: what the node, its pods and their containers use, as text for Prometheus and for metrics servers.
//!
//! Knows: the names of the series. Refuses to know: how the figures are had.

use std::fmt::Write;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::Context;
use crate::stats::{Seen, Used};

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub async fn answer(State(context): State<Context>) -> Response {
    let seen = context.stats.seen().await;
    if let Err(error) = &seen {
        tracing::warn!(%error, "what pods use is not told");
    }
    ([(header::CONTENT_TYPE, TEXT)], page(seen.ok().as_deref())).into_response()
}

/// A series: its name, what it is, its type, and the value of one that is used, where it has one.
struct Family {
    what: &'static str,
    help: &'static str,
    kind: &'static str,
    value: fn(&Used) -> Option<f64>,
}

#[expect(clippy::cast_precision_loss, reason = "seconds are floating numbers on this page")]
fn cpu(used: &Used) -> Option<f64> {
    used.usage.cpu_nanos.map(|nanos| nanos as f64 / 1e9)
}

#[expect(clippy::cast_precision_loss, reason = "bytes are floating numbers on this page")]
fn memory(used: &Used) -> Option<f64> {
    used.usage.memory.map(|memory| memory.working_set as f64)
}

#[expect(clippy::cast_precision_loss, reason = "seconds are floating numbers on this page")]
fn start(used: &Used) -> Option<f64> {
    Some(used.started_at as f64 / 1e9)
}

const CPU: Family = Family {
    what: "cpu_usage_seconds_total",
    help: "Cumulative cpu time consumed by the {} in core-seconds",
    kind: "counter",
    value: cpu,
};
const MEMORY: Family = Family {
    what: "memory_working_set_bytes",
    help: "Current working set of the {} in bytes",
    kind: "gauge",
    value: memory,
};
const START: Family = Family {
    what: "start_time_seconds",
    help: "Start time of the {} since unix epoch in seconds",
    kind: "gauge",
    value: start,
};

/// The page; nothing but that it failed if nothing is known.
fn page(seen: Option<&Seen>) -> String {
    let mut page = String::new();
    if let Some(seen) = seen {
        let containers = seen.pods.iter().flat_map(|pod| {
            let of = &pod.pod;
            pod.containers.iter().map(move |used| {
                let (name, namespace) = (&used.name, &of.namespace);
                (
                    used,
                    format!(
                        "{{container=\"{name}\",namespace=\"{namespace}\",pod=\"{}\"}}",
                        of.name
                    ),
                )
            })
        });
        let containers: Vec<_> = containers.collect();
        let pods: Vec<_> = seen
            .pods
            .iter()
            .map(|pod| {
                let of = &pod.pod;
                (&pod.all, format!("{{namespace=\"{}\",pod=\"{}\"}}", of.namespace, of.name))
            })
            .collect();
        let node = [(&seen.node, String::new())];
        for family in [CPU, MEMORY, START] {
            add(&mut page, "container", &family, &containers);
        }
        for family in [CPU, MEMORY] {
            add(&mut page, "node", &family, &node);
        }
        for family in [CPU, MEMORY] {
            add(&mut page, "pod", &family, &pods);
        }
    }
    let failed = u8::from(seen.is_none());
    let help = "1 if there was an error while getting container metrics, 0 otherwise";
    let _ = writeln!(
        page,
        "# HELP resource_scrape_error [STABLE] {help}\n# TYPE resource_scrape_error gauge\nresource_scrape_error {failed}"
    );
    page
}

fn add(page: &mut String, of: &str, family: &Family, all: &[(&Used, String)]) {
    let name = format!("{of}_{}", family.what);
    let help = family.help.replace("{}", of);
    let _ = writeln!(page, "# HELP {name} [STABLE] {help}\n# TYPE {name} {}", family.kind);
    for (used, labels) in all {
        if let Some(value) = (family.value)(used) {
            // A start is told without the time of the reading: it is not one.
            let at = match family.what {
                "start_time_seconds" => String::new(),
                _ => format!(" {}", used.usage.at / 1_000_000),
            };
            let _ = writeln!(page, "{name}{labels} {value}{at}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::summary::tests::seen;
    use super::*;

    #[test]
    fn each_series_has_its_line() {
        let page = page(Some(&seen()));
        for line in [
            "# TYPE container_cpu_usage_seconds_total counter",
            "container_cpu_usage_seconds_total{container=\"a\",namespace=\"n\",pod=\"p\"} 2.5 1700000010500",
            "container_memory_working_set_bytes{container=\"a\",namespace=\"n\",pod=\"p\"} 7 1700000010500",
            "container_start_time_seconds{container=\"b\",namespace=\"n\",pod=\"p\"} 1700000000",
            "node_cpu_usage_seconds_total 2.5 1700000010500",
            "# HELP node_memory_working_set_bytes [STABLE] Current working set of the node in bytes",
            "pod_memory_working_set_bytes{namespace=\"n\",pod=\"p\"} 7 1700000010500",
            "resource_scrape_error 0",
        ] {
            assert!(page.lines().any(|one| one == line), "{line}\n{page}");
        }
        assert!(!page.contains("container_cpu_usage_seconds_total{container=\"b\""), "{page}");
        assert!(super::page(None).ends_with("\nresource_scrape_error 1\n"));
    }
}
