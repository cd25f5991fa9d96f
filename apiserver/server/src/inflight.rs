//! How many requests are under way at once, and who is told to come back later.
//!
//! Knows: requests that are soon over, whose turns `leme-fairness` gives, and long ones, which have bounds of their own.
//! Refuses to know: what is asked for.
//!
//! Of long ones (watches, logs, commands) nodes are counted apart from everybody else, so that no crowd keeps them from
//! seeing what they have to do, and administrators always get an answer. A seat is held until the answer's last byte is
//! taken.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use leme_access::{Attributes, Identity};
use leme_fairness::{Fairness, Of};
use leme_kinds::Subresource;
use leme_meta::Status;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::api::Api;
use crate::audit::Trail;
use crate::metrics::{Running, Series};
use crate::request::{ResourceRequest, Verb};

/// Requests under way at most. Reads and writes share the seats of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFlightLimits {
    /// Reads. Upstream's `--max-requests-inflight`.
    pub read_only: usize,
    /// Writes. Upstream's `--max-mutating-requests-inflight`.
    pub mutating: usize,
    /// Watches.
    pub watches: usize,
    /// Logs, commands, forwarded ports and proxied requests: each also holds a connection to a node or a pod.
    pub streams: usize,
}

impl Default for InFlightLimits {
    fn default() -> InFlightLimits {
        InFlightLimits { read_only: 400, mutating: 200, watches: 50_000, streams: 1_000 }
    }
}

/// What a request is counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    ReadOnly,
    Mutating,
    Watch,
    Stream,
}

impl Class {
    /// The class of a request for a resource.
    pub fn of(request: &ResourceRequest) -> Class {
        match (request.subresource, request.verb) {
            (
                Some(
                    Subresource::Log
                    | Subresource::Exec
                    | Subresource::Attach
                    | Subresource::PortForward
                    | Subresource::Proxy,
                ),
                _,
            ) => Class::Stream,
            (_, Verb::Watch) => Class::Watch,
            (_, Verb::Get | Verb::List) => Class::ReadOnly,
            _ => Class::Mutating,
        }
    }

    /// The class of a request for anything else.
    pub fn of_method(method: &Method) -> Class {
        if method.is_safe() { Class::ReadOnly } else { Class::Mutating }
    }

    /// Whether such a request goes on after the answer has begun.
    pub fn is_long(self) -> bool {
        matches!(self, Class::Watch | Class::Stream)
    }
}

/// A place among the requests under way; given back when the last clone is dropped.
#[derive(Clone, Default)]
pub(crate) struct Seat(Option<Arc<Held>>);

/// What a request under way holds.
#[derive(Default)]
struct Held {
    /// None for administrators who came when all were taken, and for requests that are soon over.
    _permit: Option<OwnedSemaphorePermit>,
    turn: Option<leme_fairness::Seat>,
    _counted: Option<Counted>,
    running: Option<Running>,
    /// What is told when it is given back.
    trail: OnceLock<Trail>,
}

/// One of a number of requests, as long as this lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn of(count: &Arc<AtomicUsize>) -> Counted {
        count.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Seat {
    /// Tells of the end of a request that goes on.
    pub fn ends(&self, trail: Trail) {
        if let Some(held) = &self.0 {
            // There is one for each request.
            let _ = held.trail.set(trail);
        }
    }

    /// What is counted of a long-running request.
    pub fn series(&self) -> Option<Arc<Series>> {
        self.0.as_ref()?.running.as_ref().map(Running::series)
    }

    /// Says what a long-running request was answered with; it is counted when it is over.
    pub fn answered(&self, code: u16) {
        if let Some(running) = self.0.as_ref().and_then(|held| held.running.as_ref()) {
            running.answered(code);
        }
    }

    /// Says of which schema and level a request was.
    pub fn show(&self, headers: &mut HeaderMap) {
        let of = self.0.as_ref().and_then(|held| held.turn.as_ref()).map(leme_fairness::Seat::of);
        let Some(Of { schema, level }) = of else { return };
        for (name, uid) in [(SCHEMA, schema), (LEVEL, level)] {
            if let Some(uid) = HeaderValue::from_str(uid).ok().filter(|uid| !uid.is_empty()) {
                headers.insert(name, uid);
            }
        }
    }
}

const SCHEMA: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
const LEVEL: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");

/// The seats that are free.
pub(crate) struct InFlight {
    /// Whose turn it is among requests that are soon over.
    pub fairness: Arc<Fairness>,
    /// Reads and writes that are under way.
    counts: [Arc<AtomicUsize>; 2],
    everybody: [Arc<Semaphore>; 2],
    nodes: [Arc<Semaphore>; 2],
}

impl InFlight {
    /// All seats of these limits; nodes get as many again for what is long.
    pub fn new(limits: InFlightLimits) -> InFlight {
        let InFlightLimits { read_only, mutating, watches, streams } = limits;
        let seats = || [watches, streams].map(|n| Arc::new(Semaphore::new(n)));
        let short = u32::try_from(read_only.saturating_add(mutating)).unwrap_or(u32::MAX);
        InFlight {
            fairness: Fairness::new(short),
            counts: Default::default(),
            everybody: seats(),
            nodes: seats(),
        }
    }

    /// How many reads and writes are under way.
    pub fn taken(&self) -> (usize, usize) {
        let [reads, writes] = self.counts.each_ref().map(|count| count.load(Ordering::Relaxed));
        (reads, writes)
    }

    /// A seat of a long-running request, which also holds its count; or the 429 that asks to try again.
    fn long(
        &self,
        identity: &Identity,
        class: Class,
        running: Option<Running>,
    ) -> Result<Seat, Status> {
        let seats = if identity.in_group("system:nodes") { &self.nodes } else { &self.everybody };
        let seats = &seats[usize::from(class == Class::Stream)];
        let permit = match Arc::clone(seats).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) if identity.in_group("system:masters") => None,
            Err(_) => return Err(too_many()),
        };
        Ok(Seat(Some(Arc::new(Held { _permit: permit, running, ..Held::default() }))))
    }

    /// A seat of a request that is soon over, when its turn comes; or the 429 that asks to try again.
    async fn short(
        &self,
        identity: &Identity,
        class: Class,
        what: &Attributes,
        width: impl FnOnce(u32) -> u32,
    ) -> Result<Seat, Status> {
        let entered = self.fairness.enter(identity, what, width).await;
        let turn = entered.map_err(|_| too_many())?;
        let counted = Counted::of(&self.counts[usize::from(class == Class::Mutating)]);
        let held = Held { turn: Some(turn), _counted: Some(counted), ..Held::default() };
        Ok(Seat(Some(Arc::new(held))))
    }
}

fn too_many() -> Status {
    Status::too_many_requests("Too many requests, please try again later.", 1)
}

impl Api {
    /// A seat for a request for a resource.
    pub(crate) async fn seat(
        &self,
        identity: &Identity,
        request: &ResourceRequest,
        what: &Attributes,
        running: Option<Running>,
    ) -> Result<Seat, Status> {
        let class = Class::of(request);
        if class.is_long() {
            return self.in_flight.long(identity, class, running);
        }
        self.in_flight.short(identity, class, what, |most| self.width(request, most)).await
    }

    /// A seat for a request for anything else.
    pub(crate) async fn seat_of_path(
        &self,
        identity: &Identity,
        method: &Method,
        path: &str,
    ) -> Result<Seat, Status> {
        let what = crate::admit::of_path(method, path);
        self.in_flight.short(identity, Class::of_method(method), &what, |_| 1).await
    }

    /// How many seats a request takes: a list one for each hundred objects that are looked at.
    fn width(&self, request: &ResourceRequest, most: u32) -> u32 {
        if request.verb != Verb::List || most <= 1 {
            return 1;
        }
        let kept = self.cache.snapshot(&request.kind.prefix(None)).map_or(0, |all| all.len());
        let limit = request.query.get("limit").and_then(|limit| limit.parse().ok());
        let looked_at =
            limit.filter(|limit| *limit > 0).map_or(kept, |limit: usize| limit.min(kept));
        u32::try_from(looked_at.div_ceil(100)).map_or(most, |seats| seats.clamp(1, most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(group: &str) -> Identity {
        Identity::of_certificate("jo", vec![group.to_owned()])
    }

    fn one_each() -> InFlight {
        InFlight::new(InFlightLimits { read_only: 1, mutating: 1, watches: 1, streams: 1 })
    }

    fn refusal(entered: Result<Seat, Status>) -> Status {
        entered.err().expect("no seat is free")
    }

    #[test]
    fn each_class_has_its_own_seats_and_gets_them_back() {
        for (class, other) in [(Class::Watch, Class::Stream), (Class::Stream, Class::Watch)] {
            let seats = one_each();
            let held = seats.long(&who("people"), class, None).unwrap();
            let refused = refusal(seats.long(&who("people"), class, None));
            assert_eq!((refused.code, refused.reason), (429, "TooManyRequests"));
            assert_eq!(refused.message, "Too many requests, please try again later.");
            assert_eq!(refused.details.unwrap().retry_after_seconds, 1);
            assert!(seats.long(&who("people"), other, None).is_ok());
            let kept = held.clone();
            drop(held);
            assert!(seats.long(&who("people"), class, None).is_err());
            drop(kept);
            assert!(seats.long(&who("people"), class, None).is_ok());
        }
    }

    #[test]
    fn administrators_always_get_in_and_nodes_are_not_crowded_out() {
        let seats = one_each();
        let _crowd = seats.long(&who("people"), Class::Watch, None).unwrap();
        assert!(seats.long(&who("system:masters"), Class::Watch, None).is_ok());
        let _node = seats.long(&who("system:nodes"), Class::Watch, None).unwrap();
        assert!(seats.long(&who("system:nodes"), Class::Watch, None).is_err());
    }

    #[tokio::test]
    async fn short_ones_are_counted_while_they_last() {
        let seats = one_each();
        let what = Attributes::default();
        let held = seats.short(&who("people"), Class::Mutating, &what, |_| 1).await.ok();
        assert_eq!(seats.taken(), (0, 1));
        drop(held);
        assert_eq!(seats.taken(), (0, 0));
    }
}
