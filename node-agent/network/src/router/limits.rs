//! What one client may have of a Route: requests at once, requests and connections in a time. Pure: counts and times.
//!
//! Knows: clients by their address, of which a whole /64 network counts as one. Refuses to know: requests, clocks, Routes.
//!
//! Rejected requests count as well: who does not stop asking is not let in.

use super::pools::Held;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Clients of one Route that are remembered at once; more make those be forgotten that have nothing under way.
const CLIENTS: usize = 100_000;
/// For how long a client is remembered that does nothing.
const EXPIRES_MS: u64 = 30_000;

/// So many in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Fewer than this many in any such time, in milliseconds: how HAProxy counts.
    Window { count: u32, millis: u64 },
    /// One in each such time, in microseconds, and so many at once besides: how nginx counts.
    Bucket { each_micros: u64, burst: u64 },
}

/// What a Route allows each client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    /// Requests and tunnels under way at once.
    pub(super) at_once: Option<u32>,
    /// Requests.
    pub(super) requests: Vec<Rule>,
    /// Connections.
    pub(super) connections: Option<Rule>,
}

impl Limits {
    /// Whether nothing is limited.
    pub(super) fn are_none(&self) -> bool {
        *self == Limits::default()
    }
}

/// What has been counted for a rule.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// A window's beginning, or when all that was taken will have been due.
    time: u64,
    current: u32,
    previous: u32,
}

impl Count {
    /// Takes one; whether the rule allows it.
    fn take(&mut self, rule: Rule, now_ms: u64) -> bool {
        match rule {
            Rule::Window { count, millis } => {
                match now_ms.saturating_sub(self.time) / millis.max(1) {
                    0 => {}
                    1 => {
                        *self =
                            Count { time: self.time + millis, current: 0, previous: self.current }
                    }
                    _ => *self = Count { time: now_ms, current: 0, previous: 0 },
                }
                self.current = self.current.saturating_add(1);
                // Of the window before, what is not over yet.
                let left = millis.saturating_sub(now_ms.saturating_sub(self.time));
                let before = u64::from(self.previous) * left / millis.max(1);
                before + u64::from(self.current) < u64::from(count)
            }
            Rule::Bucket { each_micros, burst } => {
                let now = now_ms.saturating_mul(1000);
                let due = self.time.max(now);
                if due - now > each_micros.saturating_mul(burst) {
                    return false;
                }
                self.time = due.saturating_add(each_micros);
                true
            }
        }
    }
}

#[derive(Default)]
struct Client {
    under_way: Arc<AtomicUsize>,
    requests: Vec<Count>,
    connections: Count,
    seen_ms: u64,
}

/// The clients of a Route.
#[derive(Default)]
pub(super) struct Clients(Mutex<HashMap<IpAddr, Client>>);

impl Clients {
    /// A request of a client, which may be the first of its connection; none if it has had enough. What is given back is kept
    /// as long as it is under way.
    pub(super) fn admit(
        &self,
        limits: &Limits,
        address: IpAddr,
        first: bool,
        now_ms: u64,
    ) -> Option<Held> {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let address = network(address);
        if clients.len() >= CLIENTS && !clients.contains_key(&address) {
            make_room(&mut clients, now_ms);
        }
        let client = clients.entry(address).or_default();
        client.seen_ms = now_ms;
        let held = Held::new(&client.under_way);
        client.requests.resize(limits.requests.len(), Count::default());
        let mut fine = true;
        for (count, rule) in client.requests.iter_mut().zip(&limits.requests) {
            fine &= count.take(*rule, now_ms);
        }
        if let Some(rule) = limits.connections.filter(|_| first) {
            fine &= client.connections.take(rule, now_ms);
        }
        let under_way = client.under_way.load(Ordering::Relaxed);
        fine &= limits.at_once.is_none_or(|most| under_way <= most as usize);
        fine.then_some(held)
    }
}

/// Forgets who has done nothing for long; if everybody has done something, whoever has nothing under way.
fn make_room(clients: &mut HashMap<IpAddr, Client>, now_ms: u64) {
    let busy = |client: &Client| client.under_way.load(Ordering::Relaxed) > 0;
    let recent = |client: &Client| now_ms.saturating_sub(client.seen_ms) < EXPIRES_MS;
    clients.retain(|_, client| busy(client) || recent(client));
    if clients.len() >= CLIENTS {
        clients.retain(|_, client| busy(client));
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => v4.into(),
            None => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    /// Red when the window before is forgotten, or one that is over is not.
    #[test]
    fn windows_count_what_is_not_over() {
        let rule = Rule::Window { count: 4, millis: 1000 };
        let mut count = Count::default();
        let mut take = |now: u64| count.take(rule, now);
        assert_eq!([0, 1, 2, 3].map(&mut take), [true, true, true, false]);
        // A tenth of the window has gone: four of those before are still there in part.
        assert!(!take(1100));
        assert!(take(1900));
        assert!(take(9000) && take(9001) && take(9002) && !take(9003));
    }

    #[test]
    fn a_bucket_takes_its_burst_and_then_its_rate() {
        let rule = Rule::Bucket { each_micros: 100_000, burst: 3 };
        let mut count = Count::default();
        let mut take = |now: u64| count.take(rule, now);
        assert_eq!([5000, 5000, 5000, 5000, 5000].map(&mut take), [true, true, true, true, false]);
        assert!(take(5100) && !take(5101));
    }

    /// Red when what has ended counts on, or one client's count is another's.
    #[test]
    fn clients_have_what_is_under_way_for_themselves() {
        let clients = Clients::default();
        let limits = Limits { at_once: Some(1), ..Limits::default() };
        let first = clients.admit(&limits, CLIENT, true, 0);
        assert!(first.is_some() && clients.admit(&limits, CLIENT, false, 0).is_none());
        assert!(clients.admit(&limits, [192, 0, 2, 1].into(), true, 0).is_some());
        drop(first);
        assert!(clients.admit(&limits, CLIENT, false, 0).is_some());
        let (a, b) = ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
        let _held = clients.admit(&limits, a, true, 0).unwrap();
        assert!(clients.admit(&limits, b, true, 0).is_none(), "one network is one client");
    }

    /// Red when addresses cost memory for ever.
    #[test]
    fn clients_are_forgotten() {
        let clients = Clients::default();
        let limits =
            Limits { requests: vec![Rule::Window { count: 9, millis: 1 }], ..Limits::default() };
        for number in 0..u32::try_from(CLIENTS).unwrap() + 9 {
            clients.admit(&limits, IpAddr::V4(number.into()), true, u64::from(number)).unwrap();
        }
        assert!(clients.0.lock().unwrap().len() <= CLIENTS);
    }
}
