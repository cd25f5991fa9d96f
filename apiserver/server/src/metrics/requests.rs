//! What is counted of requests.
//!
//! Knows: upstream's words for what a request does. Refuses to know: how it is done.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::header::CONTENT_TYPE;
use http::request::Parts;
use http_body::Body as _;
use leme_kinds::Subresource;

use super::histogram::{BYTES, Histogram, SECONDS};
use super::{Metrics, owned};
use crate::answer::Answer;
use crate::request::{ResourceRequest, Verb};

/// What series of requests are told apart by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Labels<'a> {
    pub group: Cow<'a, str>,
    pub version: Cow<'a, str>,
    pub resource: Cow<'a, str>,
    pub subresource: &'static str,
    pub verb: &'static str,
    pub scope: &'static str,
    pub dry_run: &'static str,
}

/// The codes that are counted each for itself. What a backend says besides is `other`.
const CODES: [(u16, &str); 32] = [
    (200, "200"),
    (201, "201"),
    (202, "202"),
    (204, "204"),
    (101, "101"),
    (301, "301"),
    (302, "302"),
    (304, "304"),
    (307, "307"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (406, "406"),
    (408, "408"),
    (409, "409"),
    (410, "410"),
    (411, "411"),
    (413, "413"),
    (414, "414"),
    (415, "415"),
    (422, "422"),
    (429, "429"),
    (431, "431"),
    (500, "500"),
    (501, "501"),
    (502, "502"),
    (503, "503"),
    (504, "504"),
    (507, "507"),
    (0, "other"),
];

/// What is counted of requests that all labels but the code are the same of.
pub(crate) struct Series {
    codes: [AtomicU64; CODES.len()],
    pub times: Histogram,
    /// Of what is only read.
    pub sizes: Option<Histogram>,
    /// Long-running ones under way.
    running: AtomicU64,
    /// Events told by watches.
    events: AtomicU64,
    /// Whether the kind is on its way out.
    pub deprecated: bool,
}

impl Series {
    fn new(reads: bool, deprecated: bool) -> Series {
        Series {
            codes: std::array::from_fn(|_| AtomicU64::new(0)),
            times: Histogram::new(SECONDS),
            sizes: reads.then(|| Histogram::new(BYTES)),
            running: AtomicU64::new(0),
            events: AtomicU64::new(0),
            deprecated,
        }
    }

    /// The codes that were answered with, each with how often.
    pub fn codes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counted = CODES.iter().zip(&self.codes);
        counted
            .map(|((_, word), count)| (*word, count.load(Ordering::Relaxed)))
            .filter(|(_, count)| *count > 0)
    }

    /// Long-running requests under way.
    pub fn running(&self) -> u64 {
        self.running.load(Ordering::Relaxed)
    }

    /// Events that watches have told.
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// Counts events that a watch tells.
    pub fn told(&self, events: u64) {
        self.events.fetch_add(events, Ordering::Relaxed);
    }

    fn answered(&self, code: u16, took: Duration) {
        let other = CODES.len() - 1;
        let at = CODES.iter().position(|(known, _)| *known == code).unwrap_or(other);
        self.codes[at].fetch_add(1, Ordering::Relaxed);
        self.times.observe(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }
}

/// A request that is counted when it is answered.
#[derive(Clone)]
pub(crate) struct Counted {
    series: Arc<Series>,
    began: Instant,
}

impl Counted {
    /// Counts a request that was answered with this code.
    pub fn code(&self, code: u16) {
        self.series.answered(code, self.began.elapsed());
    }

    /// Counts a request that was answered so.
    pub fn answer(&self, answer: &Answer) {
        self.code(answer.status().as_u16());
        if let (Some(sizes), Some(size)) = (&self.series.sizes, answer.body().size_hint().exact()) {
            sizes.observe(size);
        }
    }
}

/// A long-running request, which is counted when it is over.
pub(crate) struct Running {
    counted: Counted,
    /// What it was answered with, so far nothing.
    code: AtomicU16,
}

impl Running {
    pub fn new(counted: Counted) -> Running {
        counted.series.running.fetch_add(1, Ordering::Relaxed);
        Running { counted, code: AtomicU16::new(0) }
    }

    /// Where it is counted.
    pub fn series(&self) -> Arc<Series> {
        Arc::clone(&self.counted.series)
    }

    /// Says what it was answered with.
    pub fn answered(&self, code: u16) {
        self.code.store(code, Ordering::Relaxed);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.counted.series.running.fetch_sub(1, Ordering::Relaxed);
        match self.code.load(Ordering::Relaxed) {
            0 => {}
            code => self.counted.code(code),
        }
    }
}

impl Metrics {
    /// The count of a request for a resource.
    pub fn request(&self, request: &ResourceRequest, parts: &Parts) -> Counted {
        let kind = &request.kind;
        let verb = verb(request, parts);
        let labels = Labels {
            group: Cow::Borrowed(&kind.group),
            version: Cow::Borrowed(&kind.version),
            resource: Cow::Borrowed(&kind.plural),
            subresource: request.subresource.map_or("", Subresource::name),
            verb,
            scope: scope(request),
            dry_run: dry_run(request),
        };
        let deprecated = || !crate::api::Api::strategy(kind).deprecated.is_empty();
        self.counted(&labels, || Series::new(matches!(verb, "GET" | "LIST"), deprecated()))
    }

    /// The count of a look at the server's health, at one of the paths that have a count.
    pub fn health(&self, path: &'static str) -> Counted {
        let labels = Labels {
            group: Cow::Borrowed(""),
            version: Cow::Borrowed(""),
            resource: Cow::Borrowed(""),
            subresource: path,
            verb: "GET",
            scope: "",
            dry_run: "",
        };
        self.counted(&labels, || Series::new(true, false))
    }

    fn counted(&self, labels: &Labels<'_>, make: impl Fn() -> Series) -> Counted {
        let began = Instant::now();
        let known = self.requests.0.load();
        // The key borrows: nothing is copied to look it up.
        let found = find(&known, labels).map(Arc::clone);
        let series = found.unwrap_or_else(|| {
            let labels = Labels {
                group: owned(&labels.group),
                version: owned(&labels.version),
                resource: owned(&labels.resource),
                ..*labels
            };
            self.requests.made(&labels, make)
        });
        Counted { series, began }
    }
}

fn find<'k, 'a>(
    known: &'k std::collections::HashMap<Labels<'a>, Arc<Series>>,
    labels: &Labels<'a>,
) -> Option<&'k Arc<Series>> {
    known.get(labels)
}

fn verb(request: &ResourceRequest, parts: &Parts) -> &'static str {
    let connects = matches!(
        request.subresource,
        Some(
            Subresource::Exec | Subresource::Attach | Subresource::PortForward | Subresource::Proxy
        )
    );
    match request.verb {
        _ if connects => "CONNECT",
        Verb::Get => "GET",
        Verb::List => "LIST",
        Verb::Watch => "WATCH",
        Verb::Create => "POST",
        Verb::Update => "PUT",
        Verb::Patch if parts.headers.get(CONTENT_TYPE).is_some_and(|media| media == APPLY) => {
            "APPLY"
        }
        Verb::Patch => "PATCH",
        Verb::Delete | Verb::DeleteCollection => "DELETE",
    }
}

const APPLY: &str = "application/apply-patch+yaml";

fn scope(request: &ResourceRequest) -> &'static str {
    if !request.name.is_empty() || request.verb == Verb::Create {
        "resource"
    } else if request.namespace.is_empty() {
        "cluster"
    } else {
        "namespace"
    }
}

fn dry_run(request: &ResourceRequest) -> &'static str {
    let values = || request.query.all("dryRun");
    match (values().next().is_some(), values().all(|value| value == "All")) {
        (false, _) => "",
        (true, true) => "All",
        (true, false) => "invalid",
    }
}
