//! Who is connected: places in all and for each peer, and who goes when there is none left.
//!
//! Knows: each connection's peer, whether it is at work, since when it is idle. Refuses to know: sockets.

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::limits::Limits;
use crate::rate::Rate;

/// Of a time that is not running.
const NEVER: u64 = u64::MAX;

/// One connection, as others may see it; clones are the same connection.
#[derive(Clone, Debug)]
pub struct Connection(Arc<State>);

#[derive(Debug)]
struct State {
    peer: IpAddr,
    began: Instant,
    /// Requests whose answer has not been taken in full.
    under_way: AtomicUsize,
    requests: AtomicU64,
    /// Milliseconds after `began`: since when nothing has been under way, and when the head that is being read began.
    idle_since: AtomicU64,
    head_since: AtomicU64,
    /// Since when the peer has taken nothing of what is to be written.
    stalled_since: AtomicU64,
    /// The answer was the last before the request was read to its end.
    early: AtomicBool,
    /// Something else than HTTP is spoken now.
    upgraded: AtomicBool,
    started: Rate,
    abandoned: Rate,
    cut: CancellationToken,
    closing: Notify,
}

/// What a connection has run out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    Head,
    Idle,
    /// It takes nothing.
    Stalled,
}

impl Connection {
    fn new(peer: IpAddr, limits: &Limits) -> Connection {
        Connection(Arc::new(State {
            peer,
            began: Instant::now(),
            under_way: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            idle_since: AtomicU64::new(0),
            head_since: AtomicU64::new(NEVER),
            stalled_since: AtomicU64::new(NEVER),
            early: AtomicBool::new(false),
            upgraded: AtomicBool::new(false),
            started: Rate::new(limits.streams_per_second, limits.streams),
            abandoned: Rate::new(limits.abandoned_per_second, limits.streams.saturating_mul(2)),
            cut: CancellationToken::new(),
            closing: Notify::new(),
        }))
    }

    /// Ends it now, whatever is under way.
    pub fn cut(&self) {
        self.0.cut.cancel();
    }

    /// Takes no further request, and ends it when those under way are answered.
    pub fn close(&self) {
        self.0.closing.notify_one();
    }

    /// Resolves when it has been cut.
    pub(crate) async fn cut_short(&self) {
        self.0.cut.cancelled().await;
    }

    /// Resolves when it is to be closed.
    pub(crate) async fn closing(&self) {
        self.0.closing.notified().await;
    }

    /// What a future comes to; `None` if the connection is cut before.
    pub(crate) async fn unless_cut<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        self.0.cut.run_until_cancelled(future).await
    }

    /// A request begins: how long it must wait before it is worked on.
    pub(crate) fn begin(&self) -> Duration {
        self.0.under_way.fetch_add(1, Ordering::AcqRel);
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        self.0.head_since.store(NEVER, Ordering::Relaxed);
        self.0.started.take(self.0.began.elapsed())
    }

    /// A request ends; one that the peer gave up is counted against it.
    pub(crate) fn end(&self, abandoned: bool) {
        self.rest(self.now());
        if abandoned && !self.0.abandoned.take(self.0.began.elapsed()).is_zero() {
            tracing::debug!(peer = %self.0.peer, "cut a connection that gives up request after request");
            self.cut();
        }
    }

    /// The answer that is given now is the last, whatever of the request is still to come.
    pub(crate) fn answers_last(&self) {
        self.0.early.store(true, Ordering::Relaxed);
    }

    /// From now on something else is spoken than HTTP.
    pub(crate) fn upgrade(&self) {
        self.0.upgraded.store(true, Ordering::Relaxed);
    }

    /// Whether the end, which nobody announces, shall be one that the peer hears.
    pub(crate) fn parts_in_peace(&self) -> bool {
        self.0.upgraded.load(Ordering::Relaxed) && !self.0.cut.is_cancelled()
    }

    /// Whether the peer may still be sending when the end comes.
    pub(crate) fn may_be_heard(&self) -> bool {
        self.0.early.load(Ordering::Relaxed) || self.0.head_since.load(Ordering::Relaxed) != NEVER
    }

    fn rest(&self, now: u64) {
        self.0.idle_since.store(now, Ordering::Relaxed);
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
    }

    /// The peer takes what is written to it, or takes nothing at the moment.
    pub(crate) fn takes(&self, something: bool) {
        let since = &self.0.stalled_since;
        match something {
            true if since.load(Ordering::Relaxed) == NEVER => {}
            true => since.store(NEVER, Ordering::Relaxed),
            false => {
                let now = self.now();
                let _ = since.compare_exchange(NEVER, now, Ordering::Relaxed, Ordering::Relaxed);
            }
        }
    }

    /// Bytes of a request came: whether they are its first.
    pub(crate) fn heard(&self) -> bool {
        self.heard_at(self.now())
    }

    fn heard_at(&self, now: u64) -> bool {
        let begins = self.is_idle()
            && self.0.head_since.load(Ordering::Relaxed) == NEVER
            && !self.0.upgraded.load(Ordering::Relaxed);
        if begins {
            self.0.head_since.store(now, Ordering::Relaxed);
        }
        begins
    }

    fn is_idle(&self) -> bool {
        self.0.under_way.load(Ordering::Acquire) == 0
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(NEVER - 1)
    }

    /// What it has run out of by now, or how long until it may have.
    pub(crate) fn overdue(&self, limits: &Limits) -> Result<Duration, Overdue> {
        self.overdue_at(limits, self.now())
    }

    fn overdue_at(&self, limits: &Limits, now: u64) -> Result<Duration, Overdue> {
        let since = |then: u64| Duration::from_millis(now.saturating_sub(then));
        let left = |limit: Duration, then: u64, what: Overdue| {
            limit.checked_sub(since(then)).filter(|left| !left.is_zero()).ok_or(what)
        };
        // Whoever is idle now may have something to take soon.
        let soon = limits.stalled.unwrap_or(Duration::MAX);
        let stalled = self.0.stalled_since.load(Ordering::Relaxed);
        if let Some(most) = limits.stalled.filter(|_| stalled != NEVER) {
            return left(most, stalled, Overdue::Stalled);
        }
        if !self.is_idle() {
            return Ok(limits.head.min(limits.idle).min(soon));
        }
        let first = self.0.requests.load(Ordering::Relaxed) == 0;
        let head_since = match self.0.head_since.load(Ordering::Relaxed) {
            NEVER if first => 0,
            since => since,
        };
        if head_since != NEVER {
            return left(limits.head, head_since, Overdue::Head).map(|left| left.min(soon));
        }
        let idle_since = self.0.idle_since.load(Ordering::Relaxed);
        left(limits.idle, idle_since, Overdue::Idle).map(|left| left.min(soon))
    }
}

/// All connections of a server.
pub(crate) struct Crowd {
    limits: Limits,
    members: Mutex<Members>,
}

#[derive(Default)]
struct Members {
    next: u64,
    all: HashMap<u64, Connection>,
    peers: HashMap<IpAddr, usize>,
}

/// A connection's place, given back when dropped.
pub(crate) struct Place {
    crowd: Arc<Crowd>,
    id: u64,
    connection: Connection,
}

impl Crowd {
    pub(crate) fn new(limits: Limits) -> Arc<Crowd> {
        Arc::new(Crowd { limits, members: Mutex::default() })
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a new connection, if need be that of an idle one.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let peer = peer_of(address);
        let mut members = self.members();
        let its_own = members.peers.get(&peer).copied().unwrap_or(0) >= self.limits.per_peer;
        if its_own && !members.evict(Some(peer)) {
            return None;
        }
        if members.all.len() >= self.limits.connections && !members.evict(None) {
            return None;
        }
        let id = members.next;
        members.next += 1;
        let connection = Connection::new(peer, &self.limits);
        members.all.insert(id, connection.clone());
        *members.peers.entry(peer).or_default() += 1;
        drop(members);
        Some(Place { crowd: Arc::clone(self), id, connection })
    }

    /// Cuts an idle connection, if there is one.
    pub(crate) fn make_room(&self) {
        self.members().evict(None);
    }
}

impl Members {
    /// Cuts the connection that has been idle longest, of the peer or else of the peer that has most.
    fn evict(&mut self, of: Option<IpAddr>) -> bool {
        let idle = self
            .all
            .iter()
            .filter(|(_, member)| of.is_none_or(|peer| member.0.peer == peer) && member.is_idle());
        let longest = idle.max_by_key(|(_, member)| {
            let crowd = self.peers.get(&member.0.peer).copied().unwrap_or(0);
            let idle = member.now() - member.0.idle_since.load(Ordering::Relaxed).min(member.now());
            (crowd, idle)
        });
        let Some(id) = longest.map(|(id, _)| *id) else { return false };
        if let Some(connection) = self.remove(id) {
            connection.cut();
        }
        true
    }

    fn remove(&mut self, id: u64) -> Option<Connection> {
        let connection = self.all.remove(&id)?;
        if let Some(count) = self.peers.get_mut(&connection.0.peer) {
            *count -= 1;
            if *count == 0 {
                self.peers.remove(&connection.0.peer);
            }
        }
        Some(connection)
    }
}

impl Place {
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.members().remove(self.id);
    }
}

/// What counts as one peer: an IPv4 address, or the network that one IPv6 host is given.
fn peer_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let mask = u128::MAX << 64;
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(connections: usize, per_peer: usize) -> Arc<Crowd> {
        Crowd::new(Limits { connections, per_peer, ..Limits::default() })
    }

    fn enter(crowd: &Arc<Crowd>, address: &str) -> Option<Place> {
        crowd.enter(address.parse().unwrap())
    }

    /// A place whose connection is at work.
    fn working(crowd: &Arc<Crowd>, address: &str) -> Place {
        let place = enter(crowd, address).unwrap();
        place.connection().begin();
        place
    }

    fn is_cut(place: &Place) -> bool {
        place.connection.0.cut.is_cancelled()
    }

    #[test]
    fn places_are_counted_in_all_and_for_each_peer() {
        let crowd = crowd(3, 2);
        let _a = [working(&crowd, "10.0.0.1"), working(&crowd, "::ffff:10.0.0.1")];
        assert!(enter(&crowd, "10.0.0.1").is_none());
        let b = working(&crowd, "2001:db8::1");
        assert!(enter(&crowd, "10.0.0.2").is_none());
        drop(b);
        assert!(enter(&crowd, "10.0.0.2").is_some());
        assert_eq!(
            peer_of("2001:db8::1".parse().unwrap()),
            peer_of("2001:db8::2".parse().unwrap())
        );
    }

    #[test]
    fn an_idle_connection_makes_room_first_one_of_the_largest_crowd() {
        let crowd = crowd(4, 4);
        let alone = enter(&crowd, "10.0.0.1").unwrap();
        let many = [(); 2].map(|()| enter(&crowd, "10.0.0.2").unwrap());
        let busy = working(&crowd, "10.0.0.2");
        let late = enter(&crowd, "10.0.0.3").unwrap();
        assert!(!is_cut(&alone) && !is_cut(&busy) && !is_cut(&late));
        assert_eq!(many.iter().filter(|place| is_cut(place)).count(), 1);
        assert_eq!(crowd.members().all.len(), 4);
        drop(many);
        assert_eq!(crowd.members().all.len(), 3);
    }

    #[test]
    fn a_head_and_idleness_run_out_and_work_does_not() {
        let limits = Limits::default();
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap();
        let (head, idle) = (ms(limits.head), ms(limits.idle));
        let crowd = crowd(1, 1);
        let connection = enter(&crowd, "10.0.0.1").unwrap().connection().clone();
        let overdue = |now: u64| connection.overdue_at(&limits, now);
        assert!(overdue(0).is_ok());
        assert_eq!(overdue(head), Err(Overdue::Head));
        connection.begin();
        assert!(overdue(idle * 9).is_ok());
        connection.rest(1000);
        assert!(overdue(1000 + idle / 2).is_ok());
        connection.heard_at(1000 + idle / 2);
        connection.heard_at(1000 + idle / 2 + head - 1);
        assert!(overdue(1000 + idle / 2 + head - 1).is_ok());
        assert_eq!(overdue(1000 + idle / 2 + head), Err(Overdue::Head));
        connection.begin();
        connection.rest(2000);
        assert_eq!(overdue(2000 + idle), Err(Overdue::Idle));
    }
}
