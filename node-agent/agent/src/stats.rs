//! What the node, its pods and their containers use: read when somebody asks, and never else.
//!
//! Knows: when readings have to be taken twice. Refuses to know: how they are told, and where they are counted.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use leme_cri::{Result, Runtime};
use leme_node_core::cri::{PodIdentity, SandboxStats, Usage};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::node::machine::{self, Disk};
use crate::rates::{Rate, Rates, Reading};

/// Who asks again within this gets the same answer.
const FRESH: Duration = Duration::from_secs(1);
/// Between two readings, where no earlier one helps.
const PAUSE: Duration = Duration::from_millis(1100);

/// What something uses.
#[derive(Clone, Debug)]
pub struct Used {
    /// Name of a container, empty for all else.
    pub name: String,
    /// Nanoseconds since the epoch.
    pub started_at: i64,
    /// The last reading.
    pub usage: Usage,
    /// How much of the CPU.
    pub rate: Option<Rate>,
}

/// What a pod uses.
#[derive(Clone, Debug)]
pub struct PodUsed {
    /// Which pod.
    pub pod: PodIdentity,
    /// All of it.
    pub all: Used,
    /// Its containers that run, by name.
    pub containers: Vec<Used>,
}

/// What is used at a time.
#[derive(Debug)]
pub struct Seen {
    /// Name of the node.
    pub node_name: String,
    /// The whole machine.
    pub node: Used,
    /// Pods in which something runs, by namespace and name.
    pub pods: Vec<PodUsed>,
    /// Where the node keeps what it has.
    pub disk: Disk,
}

#[derive(Default)]
struct State {
    rates: Rates,
    last: Option<(Instant, Arc<Seen>)>,
}

/// Who reads.
pub struct Stats {
    runtime: Arc<dyn Runtime>,
    node_name: String,
    data_dir: PathBuf,
    state: Mutex<State>,
}

impl Stats {
    /// Reads the machine for the first time, so that there is something to compare with.
    pub fn new(runtime: Arc<dyn Runtime>, node_name: String, data_dir: PathBuf) -> Arc<Stats> {
        let mut state = State::default();
        let began = seconds(machine::started_at());
        let _ = rate(&mut state.rates, NODE, began, &machine::usage(now()));
        Arc::new(Stats { runtime, node_name, data_dir, state: Mutex::new(state) })
    }

    /// What is used now. One reads at a time; who has waited for that gets the same.
    ///
    /// # Errors
    /// The runtime does not tell.
    pub async fn seen(&self) -> Result<Arc<Seen>> {
        let mut state = self.state.lock().await;
        if let Some((at, seen)) = &state.last
            && at.elapsed() < FRESH
        {
            return Ok(seen.clone());
        }
        let mut seen = self.read(&mut state.rates).await?;
        if seen.is_partial() {
            tokio::time::sleep(PAUSE).await;
            seen = self.read(&mut state.rates).await?;
        }
        let seen = Arc::new(seen);
        state.last = Some((Instant::now(), seen.clone()));
        Ok(seen)
    }

    async fn read(&self, rates: &mut Rates) -> Result<Seen> {
        let stats = self.runtime.sandbox_stats().await?;
        let (began, usage) = (seconds(machine::started_at()), machine::usage(now()));
        let rate = rate(rates, NODE, began, &usage);
        let node = Used { name: String::new(), started_at: began, usage, rate };
        let there: HashSet<&str> = stats
            .iter()
            .flat_map(|one| one.containers.iter().map(|c| c.id.as_str()).chain([one.id.as_str()]))
            .chain([NODE])
            .collect();
        rates.keep(|subject| there.contains(subject));
        let mut pods: Vec<PodUsed> = stats.iter().map(|one| pod(rates, one)).collect();
        pods.sort_by(|a, b| {
            let key = |one: &PodUsed| (one.pod.namespace.clone(), one.pod.name.clone());
            key(a).cmp(&key(b))
        });
        let disk = machine::file_system(&self.data_dir);
        Ok(Seen { node_name: self.node_name.clone(), node, pods, disk })
    }
}

impl Seen {
    /// Whether something is counted of which no earlier reading tells how much it uses.
    fn is_partial(&self) -> bool {
        let inside = self.pods.iter().flat_map(|pod| pod.containers.iter().chain([&pod.all]));
        let mut all = inside.chain([&self.node]);
        all.any(|used| used.usage.cpu_nanos.is_some() && used.rate.is_none())
    }
}

/// The machine among the subjects; no id of the runtime is this.
const NODE: &str = "/";

fn now() -> i64 {
    i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

fn seconds(at: i64) -> i64 {
    at.saturating_mul(1_000_000_000)
}

fn rate(rates: &mut Rates, subject: &str, started_at: i64, usage: &Usage) -> Option<Rate> {
    let cpu = usage.cpu_nanos?;
    rates.take(subject, started_at, Reading { at: usage.at, cpu })
}

fn pod(rates: &mut Rates, stats: &SandboxStats) -> PodUsed {
    let mut used = |name: &str, id: &str, started_at: i64, usage: Usage| Used {
        name: name.to_owned(),
        started_at,
        usage,
        rate: rate(rates, id, started_at, &usage),
    };
    let all = used("", &stats.id, stats.created_at, stats.usage);
    let each = stats.containers.iter();
    let mut containers: Vec<Used> =
        each.map(|one| used(&one.name, &one.id, one.started_at, one.usage)).collect();
    containers.sort_by(|a, b| a.name.cmp(&b.name));
    PodUsed { pod: stats.pod.clone(), all, containers }
}

#[cfg(test)]
mod tests {
    use leme_node_core::cri::{ContainerStats, Memory};

    use super::*;
    use crate::fakes::FakeRuntime;

    fn using(cpu: u64, started_at: i64, at: i64) -> SandboxStats {
        let memory = Some(Memory { working_set: 5, ..Memory::default() });
        let usage = Usage { at, cpu_nanos: Some(cpu), memory };
        let container = ContainerStats { id: "c1".into(), name: "c".into(), started_at, usage };
        let pod = PodIdentity { name: "p".into(), namespace: "n".into(), uid: "u".into() };
        let containers = vec![container];
        SandboxStats { id: "s1".into(), pod, created_at: started_at, usage, containers }
    }

    #[tokio::test]
    async fn what_runs_for_long_is_read_twice_and_what_has_begun_once() {
        let runtime = FakeRuntime::new(&[]);
        let stats = Stats::new(runtime.clone(), "node".to_owned(), "/".into());
        let (start, second) = (now(), 1_000_000_000);
        let rate = |nano_cores, window| Some(Rate { nano_cores, window });
        runtime.lock().stats = vec![using(1, 1, start)];
        let (asked, ()) = tokio::join!(stats.seen(), async {
            tokio::time::sleep(PAUSE / 2).await;
            runtime.lock().stats = vec![using(500_000_001, 1, start + second)];
        });
        let seen = asked.unwrap();
        let used = &seen.pods[0].containers[0];
        assert_eq!((used.name.as_str(), used.rate), ("c", rate(500_000_000, second)));
        // Who asks at once gets the same; later another container is told by its start, though it is read for the first
        // time.
        let mut other = using(250_000_000, start + second, start + 2 * second);
        other.containers[0].id = "c2".into();
        runtime.lock().stats = vec![other];
        assert!(Arc::ptr_eq(&seen, &stats.seen().await.unwrap()));
        tokio::time::sleep(FRESH).await;
        let seen = stats.seen().await.unwrap();
        assert_eq!(seen.pods[0].containers[0].rate, rate(250_000_000, second));
        assert!(seen.node.rate.is_some() && seen.disk.bytes > 0);
    }
}
