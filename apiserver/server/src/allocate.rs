//! Which numbers a Service may be given: cluster addresses and node ports.
//!
//! Knows: both ranges, which numbers the cache's Services have, which ones writes under way here have taken. Refuses to
//! know: when a Service needs one, and who has it: that is decided in the store (`claims`), where other servers write too.
//!
//! What is in use is read from the cache, once whole and then change by change, so that a write costs the same among many
//! Services as among few. A number that a write takes is held until the cache shows the write, so that writes of one server
//! do not vie for the same.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use leme_registry::{Allocator, json};
use leme_store::cache::{Cache, Cached, Event, Kind, SubEvent, Subscription};
use serde_json::Value;

use crate::table;

/// Changes taken from the cache at a time.
const BATCH: usize = 256;

/// Prefix of the objects that hold numbers.
const SERVICES: &str = "/registry/services/";
/// The API server's own Service: nobody else gets its address, also while it is gone.
const FRONT: &str = "/registry/services/default/kubernetes";

/// What is handed out once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Number {
    /// A cluster address.
    Address(u32),
    /// A node port.
    Port(u16),
}

/// Whether the objects of a key have numbers.
pub(crate) fn has_numbers(key: &str) -> bool {
    key.starts_with(SERVICES)
}

/// Both ranges and what is taken of them.
pub(crate) struct Pools {
    cidr: (Ipv4Addr, u8),
    ports: RangeInclusive<u16>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The changes since what is known; absent until the Services have been looked at, and after changes were lost.
    changes: Option<Subscription>,
    /// What each stored Service has.
    seen: HashMap<Arc<str>, Vec<Number>>,
    used: HashSet<Number>,
    /// What writes under way have taken.
    held: HashSet<Number>,
}

impl State {
    /// Brings what is used up to date with the cache, and tells how many Services were looked at for that: those that
    /// have changed.
    fn refresh(&mut self, cache: &Cache) -> usize {
        let mut looked = 0;
        while let Some(changes) = &mut self.changes {
            // What the cache shows is there to be taken: nothing is waited for.
            let Some(batch) = changes.next_batch(BATCH).now_or_never() else { break };
            if batch.is_empty() {
                self.changes = None;
            }
            for item in batch {
                match item {
                    SubEvent::Event(event) => {
                        looked += 1;
                        self.apply(&event);
                    }
                    SubEvent::Progress(_) => {}
                    SubEvent::Expired => self.changes = None,
                }
            }
        }
        if self.changes.is_none() {
            looked += self.reload(cache);
        }
        looked
    }

    fn apply(&mut self, event: &Event) {
        self.forget(&event.object.key);
        if event.kind != Kind::Deleted {
            self.learn(&event.object);
        }
    }

    /// Looks at every Service.
    fn reload(&mut self, cache: &Cache) -> usize {
        let Some(snapshot) = cache.snapshot(SERVICES) else { return 0 };
        self.seen.clear();
        self.used.clear();
        snapshot.iter().for_each(|object| self.learn(object));
        // If even that is too old, every Service is looked at again next time.
        self.changes = cache.watch(SERVICES, snapshot.revision()).ok();
        snapshot.len()
    }

    fn learn(&mut self, object: &Cached) {
        let numbers = table::decoded(object).map_or(Vec::new(), |value| numbers(&value));
        self.used.extend(&numbers);
        self.seen.insert(object.key.clone(), numbers);
    }

    fn forget(&mut self, key: &str) {
        for number in self.seen.remove(key).unwrap_or_default() {
            self.used.remove(&number);
        }
    }

    fn is_free(&self, number: Number) -> bool {
        !self.used.contains(&number) && !self.held.contains(&number)
    }
}

/// The numbers that a Service has.
pub(crate) fn numbers(value: &Value) -> Vec<Number> {
    let one = json::at(value, &["spec", "clusterIP"]);
    let addresses = one
        .into_iter()
        .chain(json::list(value, &["spec", "clusterIPs"]))
        .filter_map(|text| text.as_str()?.parse().ok())
        .map(|address: Ipv4Addr| Number::Address(address.into()));
    let ports = json::list(value, &["spec", "ports"])
        .iter()
        .filter_map(|port| json::int(port, &["nodePort"]));
    let health = json::int(value, &["spec", "healthCheckNodePort"]);
    let ports =
        ports.chain(health).filter_map(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    let mut all: Vec<Number> = addresses.chain(ports.map(Number::Port)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

impl Pools {
    /// Pools over a network and a range of ports.
    pub fn new(cidr: (Ipv4Addr, u8), ports: RangeInclusive<u16>) -> Pools {
        Pools { cidr, ports, state: Mutex::default() }
    }

    /// The address that the API server's own Service has: the first of the network.
    pub fn first(cidr: (Ipv4Addr, u8)) -> Ipv4Addr {
        Ipv4Addr::from(network(cidr).0 + 1)
    }

    /// The network that cluster addresses come from.
    pub fn network(&self) -> (Ipv4Addr, u8) {
        self.cidr
    }

    /// Whether the cache shows a Service that has the number.
    pub fn is_used(&self, cache: &Cache, number: Number) -> bool {
        let mut state = self.state();
        state.refresh(cache);
        state.used.contains(&number)
    }

    /// Whether the number is the API server's own address, which nobody else may have.
    pub fn is_own(&self, number: Number) -> bool {
        number == Number::Address(Pools::first(self.cidr).into())
    }

    /// A set of numbers for one attempt of one write to a key; empty until something is taken. `lost` are those that
    /// earlier attempts found to be another's.
    pub fn reserve<'a>(&'a self, cache: &'a Cache, key: &str, lost: &[Number]) -> Reservation<'a> {
        let (is_front, lost) = (key == FRONT, lost.to_vec());
        Reservation { pools: self, cache, lost, is_front, is_doubtful: false, taken: Vec::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// First and last address of the network itself.
fn network((address, bits): (Ipv4Addr, u8)) -> (u32, u32) {
    let mask = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0);
    let first = u32::from(address) & mask;
    (first, first | !mask)
}

/// Numbers taken by one attempt of one write; given back when dropped.
pub(crate) struct Reservation<'a> {
    pools: &'a Pools,
    cache: &'a Cache,
    lost: Vec<Number>,
    /// Whether it is for the API server's own Service.
    is_front: bool,
    is_doubtful: bool,
    taken: Vec<Number>,
}

impl Reservation<'_> {
    /// What has been taken.
    pub fn numbers(&self) -> &[Number] {
        &self.taken
    }

    /// Whether a number was refused because the cache shows it in use, where the store may not any more.
    pub fn is_doubtful(&self) -> bool {
        self.is_doubtful
    }

    /// The write is stored: the numbers are free again once the cache itself shows them used.
    pub async fn written(&self, cache: &Cache, revision: u64) {
        if !self.taken.is_empty()
            && let Err(error) = cache.at_least(revision).await
        {
            tracing::warn!(%error, "the numbers of a Service are not seen yet");
        }
    }

    fn take(&mut self, candidates: impl Iterator<Item = Number>) -> Option<Number> {
        let mut state = self.pools.state();
        state.refresh(self.cache);
        let (mut refused, lost) = (false, &self.lost);
        let mut left = candidates.into_iter().filter(|number| !lost.contains(number));
        let found = left.find(|number| {
            let free = state.is_free(*number);
            refused |= !free;
            free
        });
        self.is_doubtful |= found.is_none() && refused;
        let found = found?;
        state.held.insert(found);
        self.taken.push(found);
        Some(found)
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if !self.taken.is_empty() {
            let mut state = self.pools.state();
            for number in self.taken.drain(..) {
                state.held.remove(&number);
            }
        }
    }
}

/// Every number of `0..count`, from a random one on.
fn scattered(count: u32) -> impl Iterator<Item = u32> {
    let start = uuid::Uuid::new_v4().as_fields().0.checked_rem(count).unwrap_or(0);
    (start..count).chain(0..start)
}

impl Allocator for Reservation<'_> {
    fn object(&self, (group, plural): (&str, &str), namespace: &str, name: &str) -> Option<Value> {
        let kind = leme_kinds::by_resource(group, "v1", plural)?;
        let object = self.cache.get(&kind.prefix(None), &kind.key(namespace, name))?;
        serde_json::from_slice(&object.json).ok()
    }

    fn cluster_ip(&mut self, requested: Option<&str>) -> Result<String, String> {
        let (first, last) = network(self.pools.cidr);
        if let Some(text) = requested {
            const ELSEWHERE: &str = "the provided network does not match the current range";
            let address: Ipv4Addr = text.parse().map_err(|_| ELSEWHERE.to_owned())?;
            let number = u32::from(address);
            let (network, bits) = self.pools.cidr;
            if number < first || number > last {
                return Err(ELSEWHERE.to_owned());
            }
            if number == first || number == last {
                return Err(format!(
                    "the provided IP ({text}) is not in the valid range. The range of valid IPs is {network}/{bits}"
                ));
            }
            if address == Pools::first(self.pools.cidr) && !self.is_front {
                return Err("provided IP is already allocated".to_owned());
            }
            let taken = self.take(std::iter::once(Number::Address(number)));
            return match taken {
                Some(_) => Ok(address.to_string()),
                None => Err("provided IP is already allocated".to_owned()),
            };
        }
        // The network's own address, its last one and the API server's are never given out unasked.
        let low = first.saturating_add(2);
        let count = last.saturating_sub(low);
        match self.take(scattered(count).map(|offset| Number::Address(low + offset))) {
            Some(Number::Address(number)) => Ok(Ipv4Addr::from(number).to_string()),
            _ => Err("failed to allocate a serviceIP: range is full".to_owned()),
        }
    }

    fn node_port(&mut self, requested: Option<i64>) -> Result<i64, String> {
        let (low, high) = (*self.pools.ports.start(), *self.pools.ports.end());
        if let Some(requested) = requested {
            let port = u16::try_from(requested).ok().filter(|port| self.pools.ports.contains(port));
            let Some(port) = port else {
                return Err(format!(
                    "provided port is not in the valid range. The range of valid ports is {low}-{high}"
                ));
            };
            return match self.take(std::iter::once(Number::Port(port))) {
                Some(_) => Ok(requested),
                None => Err("provided port is already allocated".to_owned()),
            };
        }
        let count = u32::from(high.saturating_sub(low)) + 1;
        let ports =
            scattered(count).filter_map(|offset| u16::try_from(u32::from(low) + offset).ok());
        match self.take(ports.map(Number::Port)) {
            Some(Number::Port(port)) => Ok(i64::from(port)),
            _ => Err("range is full".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use leme_store::cache::Resource;
    use leme_store::memory::MemoryStore;
    use leme_store::{Expect, Outcome, Store};

    use super::*;

    async fn cache(store: &Arc<MemoryStore>) -> Arc<Cache> {
        let resource = Resource { prefix: SERVICES.to_owned(), reader: Arc::new(()) };
        Cache::start(Arc::clone(store) as Arc<dyn Store>, vec![resource]).await.unwrap()
    }

    const OTHER: &str = "/registry/services/default/other";

    fn pools() -> Pools {
        // Room for .2 to .6: five addresses.
        Pools::new((Ipv4Addr::new(10, 0, 0, 0), 29), 30000..=30001)
    }

    #[tokio::test]
    async fn a_number_is_handed_out_once_until_it_is_given_back() {
        let cache = cache(&Arc::new(MemoryStore::new())).await;
        let pools = pools();
        let mut all = pools.reserve(&cache, OTHER, &[]);
        let mut addresses: Vec<String> = (0..5).map(|_| all.cluster_ip(None).unwrap()).collect();
        addresses.sort();
        assert_eq!(addresses, ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]);
        let mut late = pools.reserve(&cache, OTHER, &[]);
        assert!(late.cluster_ip(None).unwrap_err().contains("full"));
        assert!(late.cluster_ip(Some("10.0.0.3")).unwrap_err().contains("already allocated"));
        drop(all);
        assert_eq!(late.cluster_ip(Some("10.0.0.3")).unwrap(), "10.0.0.3");
        assert!(late.cluster_ip(Some("10.0.0.1")).unwrap_err().contains("already allocated"));
        assert_eq!(
            pools.reserve(&cache, FRONT, &[]).cluster_ip(Some("10.0.0.1")).unwrap(),
            "10.0.0.1"
        );
        for outside in ["10.0.0.0", "10.0.0.7", "10.0.1.1", "x"] {
            assert!(late.cluster_ip(Some(outside)).is_err(), "{outside}");
        }
        let ports = [late.node_port(None).unwrap(), late.node_port(None).unwrap()];
        assert!(ports.contains(&30000) && ports.contains(&30001));
        assert!(late.node_port(None).is_err() && late.node_port(Some(80)).is_err());
    }

    #[tokio::test]
    async fn what_is_stored_is_used_until_it_is_deleted_and_what_is_lost_is_not_tried_again() {
        let store = Arc::new(MemoryStore::new());
        let cache = cache(&store).await;
        let pools = pools();
        let key = format!("{SERVICES}default/a");
        let body = r#"{"metadata":{"name":"a"},"spec":{"clusterIP":"10.0.0.4","clusterIPs":["10.0.0.4"]}}"#;
        let Outcome::Done(revision) = store.put(&key, body.into(), Expect::Absent).await.unwrap()
        else {
            panic!("not written")
        };
        cache.at_least(revision).await.unwrap();
        assert!(pools.reserve(&cache, OTHER, &[]).cluster_ip(Some("10.0.0.4")).is_err());
        let Outcome::Done(revision) = store.delete(&key, revision).await.unwrap() else {
            panic!("not deleted")
        };
        cache.at_least(revision).await.unwrap();
        assert!(pools.reserve(&cache, OTHER, &[]).cluster_ip(Some("10.0.0.4")).is_ok());
        let lost = [Number::Address(Ipv4Addr::new(10, 0, 0, 4).into())];
        let mut again = pools.reserve(&cache, OTHER, &lost);
        assert!(again.cluster_ip(Some("10.0.0.4")).is_err() && !again.is_doubtful());
    }

    // Red when `changes` is never kept: every Service is looked at for every number.
    #[tokio::test]
    async fn a_number_costs_the_same_among_many_services() {
        let store = Arc::new(MemoryStore::new());
        let cache = cache(&store).await;
        let pools = Pools::new((Ipv4Addr::new(10, 0, 0, 0), 16), 30000..=30001);
        let mut newest = 0;
        let mut put = async |name: usize, ip: &str| {
            let body =
                format!(r#"{{"metadata":{{"name":"s{name}"}},"spec":{{"clusterIP":"{ip}"}}}}"#);
            let key = format!("{SERVICES}default/s{name}");
            match store.put(&key, body.into(), Expect::Absent).await.unwrap() {
                Outcome::Done(revision) => newest = revision,
                Outcome::Conflict(_) => panic!("not written"),
            }
            cache.at_least(newest).await.unwrap();
            newest
        };
        for name in 0..300 {
            put(name, &format!("10.0.1.{}", name % 250)).await;
        }
        assert_eq!(pools.state().refresh(&cache), 300);
        assert_eq!(pools.state().refresh(&cache), 0);
        let revision = put(300, "10.0.2.1").await;
        assert_eq!(pools.state().refresh(&cache), 1);
        assert!(pools.reserve(&cache, OTHER, &[]).cluster_ip(Some("10.0.2.1")).is_err());
        let Outcome::Done(gone) =
            store.delete(&format!("{SERVICES}default/s300"), revision).await.unwrap()
        else {
            panic!("not deleted")
        };
        cache.at_least(gone).await.unwrap();
        assert_eq!(pools.state().refresh(&cache), 1);
        assert!(pools.reserve(&cache, OTHER, &[]).cluster_ip(Some("10.0.2.1")).is_ok());
    }
}
