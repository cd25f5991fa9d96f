//! What is counted of everybody who comes in, of Routes and of endpoints; and how it is told: under the names that OpenShift's
//! router gives what HAProxy counts, for Prometheus. Knows: numbers. Refuses to know: requests.
//!
//! Counting takes no lock. What a client says is no label: only names of the API are.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Answers by the first digit of their code, and others.
const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];
/// How many of the last answers an average is of.
const AVERAGED: u64 = 1024;

/// The counters of one of them.
#[derive(Debug, Default)]
pub(super) struct Stats {
    answers: [AtomicU64; CLASSES.len()],
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    sessions: AtomicU64,
    current: AtomicUsize,
    most: AtomicUsize,
    /// Nobody took the connection.
    pub(super) unreachable: AtomicU64,
    /// It broke off before the answer.
    pub(super) broken: AtomicU64,
    pub(super) retries: AtomicU64,
    /// The average time to an answer, in microseconds, times [`AVERAGED`].
    latency: AtomicU64,
}

impl Stats {
    /// A request or tunnel begins.
    pub(super) fn begin(&self) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
        let current = self.current.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(current, Ordering::Relaxed);
    }

    /// It ends.
    pub(super) fn end(&self, bytes_in: u64, bytes_out: u64) {
        self.current.fetch_sub(1, Ordering::Relaxed);
        self.bytes_in.fetch_add(bytes_in, Ordering::Relaxed);
        self.bytes_out.fetch_add(bytes_out, Ordering::Relaxed);
    }

    /// It is answered.
    pub(super) fn answered(&self, code: u16, after: Duration) {
        let class = match code / 100 {
            class @ 1..=5 => usize::from(class) - 1,
            _ => CLASSES.len() - 1,
        };
        if let Some(count) = self.answers.get(class) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX / AVERAGED);
        let next = |sum: u64| Some((sum - sum / AVERAGED).saturating_add(micros));
        let _ = self.latency.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }
}

/// What is told of each of them.
type Metric = (&'static str, &'static str, fn(&Stats) -> u64);

fn of(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

const METRICS: &[Metric] = &[
    ("current_sessions", "Current number of active sessions.", |all| {
        all.current.load(Ordering::Relaxed) as u64
    }),
    ("max_sessions", "Maximum observed number of active sessions.", |all| {
        all.most.load(Ordering::Relaxed) as u64
    }),
    ("connections_total", "Total number of connections.", |all| of(&all.sessions)),
    ("bytes_in_total", "Current total of incoming bytes.", |all| of(&all.bytes_in)),
    ("bytes_out_total", "Current total of outgoing bytes.", |all| of(&all.bytes_out)),
];

/// And of those who are behind.
const BEHIND: &[Metric] = &[
    ("connection_errors_total", "Total of connection errors.", |all| of(&all.unreachable)),
    ("response_errors_total", "Total of response errors.", |all| of(&all.broken)),
    ("retry_warnings_total", "Total of retry warnings.", |all| of(&all.retries)),
    (
        "http_average_response_latency_milliseconds",
        "Average response latency of the last 1024 requests in milliseconds.",
        |all| of(&all.latency) / AVERAGED / 1000,
    ),
];

/// One of them, with its labels.
pub(super) struct Counted<'a> {
    pub(super) labels: Vec<(&'static str, String)>,
    pub(super) stats: &'a Stats,
    /// Whether it can be used; none where that is not asked.
    pub(super) up: Option<bool>,
}

/// Tells of some of one sort: `frontend`, `backend` or `server`.
pub(super) fn tell(text: &mut String, sort: &str, all: &[Counted<'_>]) {
    let behind = if sort == "frontend" { &[][..] } else { BEHIND };
    for (name, help, read) in METRICS.iter().chain(behind) {
        let name = format!("haproxy_{sort}_{name}");
        head(text, &name, help);
        for one in all {
            line(text, &name, &one.labels, None, read(one.stats));
        }
    }
    let name = format!("haproxy_{sort}_http_responses_total");
    head(text, &name, "Total of HTTP responses.");
    for one in all {
        for (class, count) in CLASSES.iter().zip(&one.stats.answers) {
            line(text, &name, &one.labels, Some(class), of(count));
        }
    }
    if sort != "frontend" {
        let name = format!("haproxy_{sort}_up");
        head(text, &name, "Current health status (1 = UP, 0 = DOWN).");
        for (one, up) in all.iter().filter_map(|one| Some((one, one.up?))) {
            line(text, &name, &one.labels, None, u64::from(up));
        }
    }
}

/// One number of the whole router.
pub(super) fn single(text: &mut String, name: &str, help: &str, value: u64) {
    head(text, name, help);
    line(text, name, &[], None, value);
}

fn head(text: &mut String, name: &str, help: &str) {
    // OpenShift's router calls all of them gauges.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
}

fn line(
    text: &mut String,
    name: &str,
    labels: &[(&'static str, String)],
    code: Option<&str>,
    value: u64,
) {
    text.push_str(name);
    let code = code.map(|code| ("code", code));
    let labels = labels.iter().map(|(name, value)| (*name, value.as_str()));
    for (index, (label, value)) in code.into_iter().chain(labels).enumerate() {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(text, "{}{label}=\"{value}\"", if index == 0 { '{' } else { ',' });
    }
    let end = if text.ends_with('"') { "}" } else { "" };
    let _ = writeln!(text, "{end} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_told_in_the_words_of_prometheus() {
        let stats = Stats::default();
        stats.begin();
        stats.begin();
        stats.end(5, 7);
        for (code, millis) in [(200, 2048), (404, 0), (503, 0), (99, 0)] {
            stats.answered(code, Duration::from_millis(millis));
        }
        let labels = vec![("backend", "http".to_owned()), ("route", "a\"b".to_owned())];
        let mut text = String::new();
        tell(&mut text, "backend", &[Counted { labels, stats: &stats, up: Some(true) }]);
        single(&mut text, "haproxy_up", "Up.", 1);
        for expected in [
            "# TYPE haproxy_backend_current_sessions gauge\n",
            "haproxy_backend_current_sessions{backend=\"http\",route=\"a\\\"b\"} 1\n",
            "haproxy_backend_max_sessions{backend=\"http\",route=\"a\\\"b\"} 2\n",
            "haproxy_backend_bytes_out_total{backend=\"http\",route=\"a\\\"b\"} 7\n",
            "haproxy_backend_http_responses_total{code=\"4xx\",backend=\"http\",route=\"a\\\"b\"} 1\n",
            "haproxy_backend_http_responses_total{code=\"other\",backend=\"http\",route=\"a\\\"b\"} 1\n",
            "haproxy_backend_http_average_response_latency_milliseconds{backend=\"http\",route=\"a\\\"b\"} 1\n",
            "haproxy_backend_up{backend=\"http\",route=\"a\\\"b\"} 1\n",
            "haproxy_up 1\n",
        ] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
    }
}
