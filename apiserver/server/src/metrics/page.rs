//! The page of `/metrics`.
//!
//! Knows: the names under which upstream shows each number. Refuses to know: how they come about.

use http::HeaderMap;
use leme_meta::version::{KUBERNETES, MAJOR, MINOR};

use super::requests::{Labels, Series};
use super::text::{Label, Text};
use super::{Metrics, process};
use leme_fairness::Shown;

use crate::answer::{self, Answer};
use crate::api::Api;
use crate::body::Body;

/// All numbers, in the format that the client prefers.
pub(crate) fn page(api: &Api, headers: &HeaderMap) -> Answer {
    let mut text = Text::new(headers);
    requests(&api.metrics, &mut text);
    in_flight(api, &mut text);
    storage(api, &mut text);
    build(api, &mut text);
    own(api, &mut text);
    process::write(&mut text);
    let (media_type, page) = text.done();
    answer::with_body(200, media_type, Body::whole(page))
}

/// The labels that all numbers of requests have.
fn labels<'a>(of: &'a Labels<'_>) -> [Label<'a>; 7] {
    // What is no resource is no component's.
    let component = if of.resource.is_empty() { "" } else { "apiserver" };
    [
        ("component", component),
        ("group", &of.group),
        ("resource", &of.resource),
        ("scope", of.scope),
        ("subresource", of.subresource),
        ("verb", of.verb),
        ("version", &of.version),
    ]
}

fn requests(metrics: &Metrics, text: &mut Text) {
    let all = metrics.requests.all();
    let name = "apiserver_request_total";
    text.family(name, "counter", "Requests answered.");
    for (of, series) in &all {
        for (code, count) in series.codes() {
            let more = [("code", code), ("dry_run", of.dry_run)];
            text.sample(name, &[&more[..], &labels(of)].concat(), count);
        }
    }
    let name = "apiserver_request_duration_seconds";
    text.family(name, "histogram", "How long requests took until the answer began, or ended.");
    for (of, series) in all.iter().filter(|(_, series)| series.times.count() > 0) {
        let dry_run = [("dry_run", of.dry_run)];
        text.histogram(name, &[&dry_run[..], &labels(of)].concat(), &series.times);
    }
    let name = "apiserver_response_sizes";
    text.family(name, "histogram", "Bytes of the answers to GET and LIST.");
    for (of, series) in &all {
        if let Some(sizes) = series.sizes.as_ref().filter(|sizes| sizes.count() > 0) {
            text.histogram(name, &labels(of), sizes);
        }
    }
    let name = "apiserver_longrunning_requests";
    text.family(name, "gauge", "Watches, logs, commands and proxied requests under way.");
    let runs = |of: &Labels<'_>| matches!(of.verb, "WATCH" | "CONNECT") || of.subresource == "log";
    for (of, series) in all.iter().filter(|(of, _)| runs(of)) {
        text.sample(name, &labels(of), series.running());
    }
    told(&all, text);
}

/// A series with its labels.
type Counted = (Labels<'static>, std::sync::Arc<Series>);

fn told(all: &[Counted], text: &mut Text) {
    let name = "apiserver_watch_events_total";
    text.family(name, "counter", "Events told to watches.");
    // Watches of a resource stand together but for their scope.
    let mut watches: Vec<([Label<'_>; 3], u64)> = Vec::new();
    for (of, series) in all.iter().filter(|(of, _)| of.verb == "WATCH") {
        let labels =
            [("group", &*of.group), ("resource", &*of.resource), ("version", &*of.version)];
        match watches.last_mut() {
            Some((last, events)) if *last == labels => *events += series.events(),
            _ => watches.push((labels, series.events())),
        }
    }
    for (labels, events) in watches {
        text.sample(name, &labels, events);
    }
    let name = "apiserver_requested_deprecated_apis";
    text.family(name, "gauge", "APIs on their way out that somebody has asked for.");
    let mut shown: Vec<[Label<'_>; 5]> = Vec::new();
    for (of, _) in all.iter().filter(|(_, series)| series.deprecated) {
        shown.push([
            ("group", &of.group),
            ("removed_release", ""),
            ("resource", &of.resource),
            ("subresource", of.subresource),
            ("version", &of.version),
        ]);
    }
    shown.sort();
    shown.dedup();
    for labels in shown {
        text.sample(name, &labels, 1);
    }
}

fn in_flight(api: &Api, text: &mut Text) {
    let name = "apiserver_current_inflight_requests";
    text.family(name, "gauge", "Requests under way, but for long-running ones.");
    let (reads, writes) = api.in_flight.taken();
    text.sample(name, &[("request_kind", "mutating")], writes);
    text.sample(name, &[("request_kind", "readOnly")], reads);
    let levels = api.in_flight.fairness.shown();
    let mut gauge = |name: &str, help: &str, of: fn(&Shown) -> u64| {
        text.family(name, "gauge", help);
        for level in &levels {
            text.sample(name, &[("priority_level", &*level.name)], of(level));
        }
    };
    gauge(
        "apiserver_flowcontrol_nominal_limit_seats",
        "Seats that are a priority level's own.",
        |level| level.nominal.into(),
    );
    gauge(
        "apiserver_flowcontrol_current_executing_seats",
        "Seats that requests of a priority level have.",
        |level| level.seats.into(),
    );
    gauge(
        "apiserver_flowcontrol_current_executing_requests",
        "Requests of a priority level that are under way.",
        |level| level.running as u64,
    );
    gauge(
        "apiserver_flowcontrol_current_inqueue_requests",
        "Requests of a priority level that wait for their turn.",
        |level| level.waiting as u64,
    );
    let name = "apiserver_flowcontrol_dispatched_requests_total";
    text.family(name, "counter", "Requests of a priority level whose turn came.");
    for level in &levels {
        text.sample(name, &[("priority_level", &*level.name)], level.counts.dispatched);
    }
    let name = "apiserver_flowcontrol_rejected_requests_total";
    text.family(name, "counter", "Requests of a priority level that were refused.");
    for level in &levels {
        let counts = &level.counts;
        for (reason, count) in [
            ("concurrency-limit", counts.without_seat),
            ("queue-full", counts.queue_full),
            ("time-out", counts.timed_out),
        ] {
            text.sample(name, &[("priority_level", &*level.name), ("reason", reason)], count);
        }
    }
}

fn storage(api: &Api, text: &mut Text) {
    let served = api.served.load();
    let mut objects: Vec<(String, &str, &str, usize)> = Vec::new();
    for kind in served.kinds.iter().filter(|kind| kind.is_kept()) {
        let Some(kept) = api.cache.snapshot(&kind.prefix(None)) else { continue };
        let resource = match &*kind.group {
            "" => kind.plural.to_string(),
            group => format!("{}.{group}", kind.plural),
        };
        objects.push((resource, &kind.group, &kind.plural, kept.len()));
    }
    objects.sort();
    objects.dedup();
    let name = "apiserver_storage_objects";
    text.family(name, "gauge", "Objects that are kept, by kind.");
    for (resource, _, _, count) in &objects {
        text.sample(name, &[("resource", resource)], count);
    }
    let name = "apiserver_resource_objects";
    text.family(name, "gauge", "Objects that are kept, by kind.");
    for (_, group, resource, count) in &objects {
        text.sample(name, &[("group", group), ("resource", resource)], count);
    }
    let all = api.metrics.store.all();
    let name = "etcd_request_duration_seconds";
    text.family(name, "histogram", "How long the store took, whichever it is.");
    for (of, operations) in &all {
        let labels = [("group", &*of.group), ("operation", of.word), ("resource", &*of.resource)];
        text.histogram(name, &labels, &operations.times);
    }
    let counts = [
        ("etcd_requests_total", "What the store was asked for, whichever it is."),
        ("etcd_request_errors_total", "What of it the store could not do."),
    ];
    for (at, (name, help)) in counts.into_iter().enumerate() {
        text.family(name, "counter", help);
        for (of, operations) in &all {
            let count = if at == 0 { operations.times.count() } else { operations.failed() };
            let labels =
                [("group", &*of.group), ("operation", of.word), ("resource", &*of.resource)];
            text.sample(name, &labels, count);
        }
    }
}

fn build(api: &Api, text: &mut Text) {
    let name = "kubernetes_build_info";
    text.family(name, "gauge", "What the program is built of, and of which version its API is.");
    let labels = [
        ("build_date", api.build.date),
        ("git_commit", api.build.commit),
        ("git_tree_state", api.build.tree),
        ("git_version", KUBERNETES),
        ("major", MAJOR),
        ("minor", MINOR),
    ];
    text.sample(name, &labels, 1);
}

/// What only this server counts.
fn own(api: &Api, text: &mut Text) {
    let gauges = [
        (
            "leme_store_revision",
            "The revision that the watch cache has reached.",
            api.cache.revision(),
        ),
        (
            "leme_store_unreadable_objects",
            "Objects in the store that cannot be read; /readyz?verbose names them.",
            api.cache.unreadable().len() as u64,
        ),
        (
            "leme_buffered_bytes",
            "Bytes of answers and of request bodies that wait for clients.",
            api.budget.held() as u64,
        ),
    ];
    for (name, help, value) in gauges {
        text.single(name, "gauge", help, value);
    }
}
