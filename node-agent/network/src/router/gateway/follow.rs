//! Kinds that are followed while somebody defines them. Refuses to know what their objects are.

use super::super::writes::StatusWrites;
use super::kinds::{Kind, Object};
use futures::future::select_all;
use futures::{FutureExt, StreamExt};
use leme_client::{Error, Event, Events, Key, Known, Step};
use serde::Deserialize;
use serde_json::Value;

/// A definition, as far as it decides whether a kind can be followed.
#[derive(Deserialize)]
pub(super) struct Definition {
    #[serde(default)]
    spec: DefinitionSpec,
    #[serde(default)]
    status: Value,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct DefinitionSpec {
    versions: Vec<Version>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Version {
    name: String,
    served: bool,
}

impl Definition {
    /// Whether a version is served.
    pub(super) fn serves(&self, version: &str) -> bool {
        let conditions = self.status["conditions"].as_array();
        let established = conditions
            .into_iter()
            .flatten()
            .any(|one| one["type"] == "Established" && one["status"] == "True");
        established && self.spec.versions.iter().any(|one| one.served && one.name == version)
    }
}

/// A kind that is followed while it is served.
pub(super) struct Followed {
    pub(super) kind: Kind,
    pub(super) events: Option<Events<Object>>,
    pub(super) known: Known,
}

/// What happens next to objects of one of the kinds.
pub(super) async fn next_of(followed: &mut [Followed]) -> (usize, Result<Event<Object>, Error>) {
    let all = followed.iter_mut().enumerate().filter_map(|(at, one)| {
        let events = one.events.as_mut()?;
        Some(async move { (at, events.next().await) }.boxed())
    });
    let all: Vec<_> = all.collect();
    if all.is_empty() {
        return std::future::pending().await;
    }
    match select_all(all).await.0 {
        (at, Some(event)) => (at, event),
        // Watches never end; should one, waiting beats spinning.
        (_, None) => std::future::pending().await,
    }
}

/// The next write that has ended, or may begin.
pub(super) async fn next_write(
    writes: &mut [(Kind, StatusWrites<Object>)],
) -> (Kind, Option<(Key, Result<Object, Error>)>) {
    let all = writes.iter_mut().map(|(kind, one)| async move { (*kind, one.next().await) }.boxed());
    select_all(all).await.0
}

/// What an event means; of an error nothing.
pub(super) fn step<T>(known: &mut Known, event: Result<Event<T>, Error>, what: &str) -> Step<T> {
    match event {
        Ok(event) => known.step(event),
        Err(error) => {
            tracing::debug!(%error, what, "watching");
            Step::Nothing
        }
    }
}
