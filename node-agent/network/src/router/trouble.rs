//! What goes wrong behind a Route: said in the log, and in an Event about the Route, where `describe` and `why` show it.
//!
//! Knows: what was said last, and when. Refuses to know: requests.

use super::route::Origin;
use super::table::Entry;
use leme_client::{About, Note, Recorder};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// For how long the same is not said again.
const SILENCE: Duration = Duration::from_secs(30);
/// The longest text that is told.
const LONGEST: usize = 512;

/// What was said of a Route.
#[derive(Default)]
pub(super) struct Said(Mutex<Option<(Instant, String)>>);

impl Said {
    /// Whether it is new, or was said long ago.
    fn is_news(&self, what: &str) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = said.as_ref().is_some_and(|(when, _)| when.elapsed() < SILENCE);
        let same = said.as_ref().is_some_and(|(_, before)| before == what);
        // Of two that take turns, neither is said for every request.
        if recent && (same || said.as_ref().is_some_and(|(when, _)| when.elapsed() < SILENCE / 30))
        {
            return false;
        }
        *said = Some((Instant::now(), what.to_owned()));
        true
    }
}

/// Who is told.
pub(super) struct Trouble(Recorder);

impl Trouble {
    pub(super) fn new(recorder: Recorder) -> Trouble {
        Trouble(recorder)
    }

    /// Tells of a failure behind a Route.
    pub(super) fn tell(&self, entry: &Entry, mut what: String) {
        if let Some((end, _)) = what.char_indices().nth(LONGEST) {
            what.truncate(end);
        }
        if !entry.state.said.is_news(&what) {
            return;
        }
        let (namespace, name) = &entry.key;
        tracing::warn!(%namespace, route = %name, %what, "a request was not passed on");
        let (api_version, kind, name) = match entry.origin {
            Origin::Route => ("route.openshift.io/v1", "Route", name.as_str()),
            Origin::Ingress { .. } => {
                let of = name.split('/').nth(1).unwrap_or(name);
                ("networking.k8s.io/v1", "Ingress", of)
            }
            Origin::Gateway(kind) => {
                let of = name.split('/').nth(1).unwrap_or(name);
                ("gateway.networking.k8s.io/v1", kind.name(), of)
            }
        };
        let about = About {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.clone(),
            name: name.to_owned(),
            uid: entry.uid().to_owned(),
            resource_version: String::new(),
            field_path: String::new(),
        };
        self.0.wait(Note {
            component: "leme-router",
            host: String::new(),
            about,
            warning: true,
            reason: "BackendFailed",
            message: what,
        });
    }
}
