//! The parts of a process while they run: started in the order of their table, stopped in the opposite one.
//!
//! Knows: what they share. Refuses to know: what each does.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::cluster::access::Access;
use crate::cluster::data::DataDir;
use crate::cluster::home;
use crate::cluster::node::{Node, preflight};
use crate::cluster::plan::Plan;
use crate::cluster::simulated;
use crate::cluster::sole::Sole;
use crate::cluster::table::{PARTS, Part, Row};
use crate::discovery::Served;

/// How long the parts may take to end when they are told to.
const PARTS_GRACE: Duration = Duration::from_secs(5);

/// The parts by what they are called, each with how it ended.
type Tasks = JoinSet<(&'static str, Result<()>)>;

/// The parts of this process.
pub struct Running {
    /// What they are.
    pub plan: Plan,
    /// Where the API is: from the start, or once the server has started.
    pub access: Option<Access>,
    /// The directory of what has state, or kubeconfigs, on this machine.
    pub data: Option<DataDir>,
    /// The nodes of this machine.
    pub nodes: Vec<Node>,
    /// Where Routes are served.
    pub router: Option<SocketAddr>,
    /// Where those with TLS are, and who certifies their hosts.
    pub router_tls: Option<(SocketAddr, PathBuf)>,
    /// The kubeconfigs that were written, by whose they are.
    pub kubeconfigs: Vec<(String, PathBuf)>,
    /// Whether the controllers or the scheduler have been started: they share their caches.
    pub managed: bool,
    /// Ends when nobody waits any more for containers that end.
    pub hurry: CancellationToken,
    /// The network is this process's for as long as it has nodes.
    _sole: Option<Sole>,
    token: CancellationToken,
    tasks: Mutex<Tasks>,
}

impl Running {
    /// Starts everything, or nothing: what was started is stopped again when a later part fails.
    pub async fn start(
        plan: Plan,
        access: Option<Access>,
        data: Option<DataDir>,
    ) -> Result<Running> {
        crate::allocator::give_back()?;
        let sole = if plan.runs(Part::Node) { Some(Sole::claim()?) } else { None };
        if let (Some(_), Some(data)) = (&sole, &data) {
            preflight().await?;
            home::check(data)?;
        }
        let mut running = Running {
            plan,
            access,
            data,
            nodes: Vec::new(),
            router: None,
            router_tls: None,
            kubeconfigs: Vec::new(),
            managed: false,
            hurry: CancellationToken::new(),
            _sole: sole,
            token: CancellationToken::new(),
            tasks: Mutex::new(JoinSet::new()),
        };
        match running.start_parts().await {
            Ok(()) => Ok(running),
            Err(error) => {
                let stopped = running.stop(std::future::pending::<()>()).await;
                Err(error).context(match stopped {
                    Ok(()) => "start the cluster".to_owned(),
                    Err(stop) => format!("start the cluster (and stop it again: {stop:#})"),
                })
            }
        }
    }

    async fn start_parts(&mut self) -> Result<()> {
        for Row { part, start, .. } in PARTS {
            if self.plan.runs(*part) {
                start(self).await?;
            }
        }
        simulated::start(self).await
    }

    /// Where the API is.
    ///
    /// # Errors
    /// Before the server has started.
    pub fn access(&self) -> Result<&Access> {
        self.access.as_ref().context("there is no API server yet")
    }

    /// The data directory.
    ///
    /// # Errors
    /// When the process has none.
    pub fn data(&self) -> Result<&DataDir> {
        self.data.as_ref().context("there is no data directory")
    }

    /// Runs what goes on as long as the process does.
    pub fn spawn<F>(&mut self, name: &'static str, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let task = task(self.token.clone());
        self.tasks.get_mut().spawn(async move { (name, task.await) });
    }

    /// The administrator's view of a server in this process.
    ///
    /// # Errors
    /// Before it has started.
    pub fn api(&self) -> Result<Api> {
        let admin = self.access()?.client_as("kubernetes-admin", &["system:masters"]);
        Ok(Api::with_kinds(admin, "default".to_owned(), Served::builtin()))
    }

    /// Returns when the API has what is true now of each node and its pods, not what was when the cluster stopped.
    pub async fn caught_up(&self) -> Result<()> {
        for node in &self.nodes {
            let mut told = node.caught_up.clone();
            told.wait_for(|told| *told)
                .await
                .with_context(|| format!("node {} ended", node.name))?;
        }
        Ok(())
    }

    /// Returns when a part has ended although nobody told it to.
    pub async fn failed(&self) -> anyhow::Error {
        match self.tasks.lock().await.join_next().await {
            Some(Ok((part, Ok(())))) => anyhow!("the {part} ended"),
            Some(Ok((part, Err(error)))) => error.context(format!("the {part} failed")),
            Some(Err(panic)) => anyhow!("a part of the cluster panicked: {panic}"),
            None => std::future::pending().await,
        }
    }

    /// Stops everything: first all that acts by itself, then what is left of each part, the last one started first, so that
    /// each can finish. Does all it can and reports every failure. When `hurry` ends, containers get no more grace.
    pub async fn stop(mut self, hurry: impl Future) -> Result<()> {
        let mut failures = Vec::new();
        self.token.cancel();
        let tasks = self.tasks.get_mut();
        let ending = async {
            while let Some(ended) = tasks.join_next().await {
                match ended {
                    Ok((_, Ok(()))) => {}
                    Ok((part, Err(error))) => failures.push(format!("{part}: {error:#}")),
                    Err(panic) => failures.push(format!("a part panicked: {panic}")),
                }
            }
        };
        if tokio::time::timeout(PARTS_GRACE, ending).await.is_err() {
            failures.push(format!("{} parts did not end by themselves", tasks.len()));
            tasks.shutdown().await;
        }
        let told = self.hurry.clone();
        let left = async {
            let mut failures = Vec::new();
            for Row { part, stop, .. } in PARTS.iter().rev() {
                if self.plan.runs(*part) {
                    failures.extend(stop(&mut self).await);
                }
            }
            failures
        };
        let mut left = std::pin::pin!(left);
        failures.extend(tokio::select! {
            failed = &mut left => failed,
            _ = hurry => {
                told.cancel();
                left.await
            }
        });
        if failures.is_empty() {
            Ok(())
        } else {
            bail!("stop the cluster: {}", failures.join("; "))
        }
    }
}
