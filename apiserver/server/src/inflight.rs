//! How many requests are under way at once, and who is told to come back later.
//!
//! Knows: reads, writes and long-running requests, and whose count each is on. Refuses to know: what is asked for.
//!
//! Upstream's rules: reads and writes are counted apart; long-running ones (watches, logs, commands) are not among them,
//! and have bounds of their own here; administrators always get an answer. Nodes are counted apart from everybody else,
//! so that no crowd keeps them from saying that they are alive. A seat is held until the answer's last byte is taken.

use std::sync::{Arc, OnceLock};

use leme_access::Identity;
use leme_kinds::Subresource;
use leme_meta::Status;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::audit::Trail;
use crate::metrics::{Running, Series};
use crate::request::{ResourceRequest, Verb};

/// Requests under way at most.
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
    pub fn of_method(method: &http::Method) -> Class {
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
struct Held {
    /// None for administrators who came when all were taken.
    _permit: Option<OwnedSemaphorePermit>,
    running: Option<Running>,
    /// What is told when it is given back.
    trail: OnceLock<Trail>,
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
}

/// The seats that are free.
pub(crate) struct InFlight {
    everybody: [Arc<Semaphore>; 4],
    nodes: [Arc<Semaphore>; 4],
    limits: InFlightLimits,
}

impl InFlight {
    /// All seats of these limits; nodes get as many again.
    pub fn new(limits: InFlightLimits) -> InFlight {
        let InFlightLimits { read_only, mutating, watches, streams } = limits;
        let seats = || [read_only, mutating, watches, streams].map(|n| Arc::new(Semaphore::new(n)));
        InFlight { everybody: seats(), nodes: seats(), limits }
    }

    /// How many reads and writes are under way.
    pub fn taken(&self) -> (usize, usize) {
        let taken = |class: Class, all: usize| {
            let seats = [&self.everybody, &self.nodes];
            let free = seats.map(|seats| seats[class as usize].available_permits());
            free.into_iter().map(|free| all.saturating_sub(free)).sum()
        };
        let InFlightLimits { read_only, mutating, .. } = self.limits;
        (taken(Class::ReadOnly, read_only), taken(Class::Mutating, mutating))
    }

    /// A seat, which also holds the count of a long-running request; or the 429 that asks to try again.
    pub fn enter(
        &self,
        identity: &Identity,
        class: Class,
        running: Option<Running>,
    ) -> Result<Seat, Status> {
        let seats = if identity.in_group("system:nodes") { &self.nodes } else { &self.everybody };
        let permit = match Arc::clone(&seats[class as usize]).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) if identity.in_group("system:masters") => None,
            Err(_) => {
                let message = "Too many requests, please try again later.";
                return Err(Status::too_many_requests(message, 1));
            }
        };
        Ok(Seat(Some(Arc::new(Held { _permit: permit, running, trail: OnceLock::new() }))))
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
        for class in [Class::ReadOnly, Class::Mutating, Class::Watch, Class::Stream] {
            let seats = one_each();
            let held = seats.enter(&who("people"), class, None).unwrap();
            let refused = refusal(seats.enter(&who("people"), class, None));
            assert_eq!((refused.code, refused.reason), (429, "TooManyRequests"));
            assert_eq!(refused.message, "Too many requests, please try again later.");
            assert_eq!(refused.details.unwrap().retry_after_seconds, 1);
            let free = [Class::ReadOnly, Class::Mutating, Class::Watch, Class::Stream];
            for other in free.into_iter().filter(|other| *other != class) {
                assert!(seats.enter(&who("people"), other, None).is_ok());
            }
            let kept = held.clone();
            drop(held);
            assert!(seats.enter(&who("people"), class, None).is_err());
            drop(kept);
            assert!(seats.enter(&who("people"), class, None).is_ok());
        }
    }

    #[test]
    fn administrators_always_get_in_and_nodes_are_not_crowded_out() {
        let seats = one_each();
        let _crowd = seats.enter(&who("people"), Class::Mutating, None).unwrap();
        assert!(seats.enter(&who("system:masters"), Class::Mutating, None).is_ok());
        let _node = seats.enter(&who("system:nodes"), Class::Mutating, None).unwrap();
        assert!(seats.enter(&who("system:nodes"), Class::Mutating, None).is_err());
    }
}
