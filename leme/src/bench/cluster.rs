//! Clusters to measure: this program once more, as `leme up` in a process of its own, so that client and server do not
//! share threads or memory.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::bench::client::{Ask, Target};
use crate::cluster::up::UP;

/// How long a cluster may take to start, and to stop.
const PATIENCE: Duration = Duration::from_secs(90);

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";

/// Makes the account that pods are created for, which a controller makes otherwise.
pub async fn make_account(target: &Target) -> Result<()> {
    let account = Ask::post(ACCOUNTS, &json!({"metadata": {"name": "default"}}));
    target.http1().await?.count(account).await.map(drop)
}

/// A running cluster; killed when dropped.
pub struct Cluster {
    child: Child,
    pid: u32,
    data: PathBuf,
    output: Lines<BufReader<ChildStdout>>,
    started: Instant,
}

/// What a cluster said of its start, and how long after its process was started.
pub struct Said {
    /// What it is about.
    pub what: String,
    /// What became of it.
    pub state: String,
    /// When.
    pub after: Duration,
}

impl Cluster {
    /// Starts `leme up` with these flags on free ports, and waits until it says that the cluster is up.
    pub async fn start(data: &Path, flags: &[&str]) -> Result<(Cluster, Vec<Said>)> {
        let errors = data.with_extension("stderr");
        if let Some(parent) = errors.parent() {
            std::fs::create_dir_all(parent)
                .with_context(|| format!("create {}", parent.display()))?;
        }
        let file = std::fs::File::create(&errors).context("make a file for standard error")?;
        let started = Instant::now();
        let mut child = Command::new("/proc/self/exe")
            .args(["up", "--output", "json", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data)
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .context("start leme up")?;
        let pid = child.id().context("leme up has ended already")?;
        let output = child.stdout.take().context("leme up has no output")?;
        let output = BufReader::new(output).lines();
        let mut cluster = Cluster { child, pid, data: data.to_owned(), output, started };
        let said = tokio::time::timeout(PATIENCE, cluster.until_up()).await;
        match said.context("leme up takes too long").and_then(|said| said) {
            Ok(said) => Ok((cluster, said)),
            Err(error) => {
                let text = std::fs::read_to_string(&errors).unwrap_or_default();
                Err(error.context(text.trim().to_owned()))
            }
        }
    }

    /// A control plane without a node, and how to reach it.
    pub async fn control_plane(data: &Path) -> Result<(Cluster, Target)> {
        let (cluster, _) = Cluster::start(data, &["--no-node"]).await?;
        let target = Target::of(&cluster.kubeconfig()).await?;
        Ok((cluster, target))
    }

    /// An API server and nobody who acts on what it holds, so that what is measured is its own work; with the account that
    /// pods are created for, which a controller makes otherwise.
    pub async fn server(data: &Path) -> Result<(Cluster, Target)> {
        let flags = ["--no-node", "--without", "controllers,scheduler"];
        let (cluster, _) = Cluster::start(data, &flags).await?;
        let target = Target::of(&cluster.kubeconfig()).await?;
        make_account(&target).await?;
        Ok((cluster, target))
    }

    async fn until_up(&mut self) -> Result<Vec<Said>> {
        let mut said = Vec::new();
        while let Some(line) = self.output.next_line().await.context("read progress")? {
            let line: Value = serde_json::from_str(&line).context("read progress")?;
            let text = |field: &str| line[field].as_str().unwrap_or("").to_owned();
            let now = self.started.elapsed();
            said.push(Said { what: text("what"), state: text("state"), after: now });
            if line["what"] == UP {
                return Ok(said);
            }
        }
        bail!("leme up ended before the cluster was up")
    }

    /// Does some work; fails at once when the cluster ends before it is done.
    pub async fn during<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            done = work => done,
            ended = self.child.wait() => {
                bail!("leme up ended by itself: {}", ended.context("wait for leme up")?)
            }
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.data.join("admin.kubeconfig")
    }

    /// Stops it as Ctrl-C does.
    pub async fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).context("no process")?;
        // Not waited for yet, so the number is still this child's.
        kill_process(pid, Signal::TERM).context("stop leme up")?;
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = ended.context("leme up does not stop")?.context("wait for leme up")?;
        ensure!(status.success(), "leme up ended with {status}");
        Ok(())
    }
}

/// Runs this program with these words to its end.
pub async fn leme(words: &[&str], data: &Path) -> Result<()> {
    let run = Command::new("/proc/self/exe").args(words).arg("--data-dir").arg(data).output();
    let output = run.await.with_context(|| format!("leme {}", words.join(" ")))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "leme {}: {}", words.join(" "), errors.trim());
    Ok(())
}
