//! A runtime and an API for tests, in memory: the runtime.
//!
//! Knows: what was asked, in order. Refuses to know: processes and sockets.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use leme_cri::{
    ExecOutput, ExecRequest, ExecSession, PortStream, Runtime, RuntimeError, RuntimeEvent,
};
use leme_distribution::credentials::Credentials;
use leme_node_core::cri::*;
use tokio::sync::broadcast;

mod api;
mod streams;

pub use api::FakeApi;

type Result<T> = leme_cri::Result<T>;

/// Runs nothing and says that it does.
#[derive(Debug)]
pub struct FakeRuntime {
    pub state: Mutex<FakeState>,
    /// What commands had to say.
    pub told: tokio::sync::watch::Sender<Vec<String>>,
    events: broadcast::Sender<RuntimeEvent>,
}

#[derive(Debug, Default)]
pub struct FakeState {
    pub sandboxes: BTreeMap<String, SandboxStatus>,
    pub containers: BTreeMap<String, ContainerStatus>,
    pub configs: HashMap<String, ContainerConfig>,
    pub calls: Vec<String>,
    pub images: Vec<String>,
    /// Bytes in writable layers.
    pub written: HashMap<String, u64>,
    /// What sandboxes use.
    pub stats: Vec<SandboxStats>,
    next: u32,
}

impl FakeRuntime {
    pub fn new(images: &[&str]) -> Arc<Self> {
        let images = images.iter().map(|i| (*i).to_owned()).collect();
        let state = FakeState { images, ..FakeState::default() };
        Arc::new(Self {
            state: Mutex::new(state),
            told: tokio::sync::watch::Sender::default(),
            events: broadcast::channel(64).0,
        })
    }

    pub fn lock(&self) -> std::sync::MutexGuard<'_, FakeState> {
        self.state.lock().unwrap()
    }

    /// A container ends by itself.
    pub fn exit(&self, id: &str, code: i32) {
        if let Some(container) = self.lock().containers.get_mut(id) {
            container.state = ContainerState::Exited;
            container.exit_code = code;
            container.finished_at = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap();
        }
        let _ = self.events.send(RuntimeEvent::ContainerExited { id: id.to_owned() });
    }

    fn call(&self, text: String) {
        self.lock().calls.push(text);
    }
}

#[async_trait]
impl Runtime for FakeRuntime {
    async fn version(&self) -> Result<(String, String)> {
        Ok(("fake".into(), "1".into()))
    }

    async fn run_sandbox(&self, config: &SandboxConfig) -> Result<String> {
        let mut state = self.lock();
        state.next += 1;
        let id = format!("s{}", state.next);
        state.calls.push(format!("run_sandbox {}", config.pod.name));
        let status = SandboxStatus {
            id: id.clone(),
            pod: config.pod.clone(),
            attempt: config.attempt,
            state: SandboxState::Ready,
            ip: "127.0.0.1".into(),
            created_at: 1,
            labels: config.labels.clone(),
        };
        state.sandboxes.insert(id.clone(), status);
        Ok(id)
    }

    async fn stop_sandbox(&self, id: &str) -> Result<()> {
        self.call(format!("stop_sandbox {id}"));
        if let Some(sandbox) = self.lock().sandboxes.get_mut(id) {
            sandbox.state = SandboxState::NotReady;
        }
        Ok(())
    }

    async fn remove_sandbox(&self, id: &str) -> Result<()> {
        self.call(format!("remove_sandbox {id}"));
        let mut state = self.lock();
        state.sandboxes.remove(id);
        state.containers.retain(|_, c| c.sandbox_id != id);
        Ok(())
    }

    async fn sandboxes(&self) -> Result<Vec<SandboxStatus>> {
        Ok(self.lock().sandboxes.values().cloned().collect())
    }

    async fn create_container(&self, sandbox: &str, config: &ContainerConfig) -> Result<String> {
        let mut state = self.lock();
        state.next += 1;
        let id = format!("c{}", state.next);
        state.calls.push(format!("create {} #{}", config.name, config.attempt));
        let status = ContainerStatus {
            id: id.clone(),
            sandbox_id: sandbox.into(),
            name: config.name.clone(),
            attempt: config.attempt,
            state: ContainerState::Created,
            pid: 0,
            created_at: 1,
            started_at: 0,
            finished_at: 0,
            exit_code: 0,
            oom_killed: false,
            reason: String::new(),
            message: String::new(),
            image: config.image.clone(),
            image_id: "sha256:1".into(),
            log_path: String::new(),
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
        };
        state.containers.insert(id.clone(), status);
        state.configs.insert(id.clone(), config.clone());
        Ok(id)
    }

    async fn start_container(&self, id: &str) -> Result<()> {
        let mut state = self.lock();
        let container =
            state.containers.get_mut(id).ok_or_else(|| RuntimeError::NotFound(id.into()))?;
        container.state = ContainerState::Running;
        container.started_at = 1_700_000_000_000_000_000;
        Ok(())
    }

    async fn stop_container(&self, id: &str, _grace: Duration) -> Result<()> {
        self.call(format!("stop {id}"));
        self.exit(id, 143);
        Ok(())
    }

    async fn remove_container(&self, id: &str) -> Result<()> {
        self.call(format!("remove {id}"));
        self.lock().containers.remove(id);
        Ok(())
    }

    async fn containers(&self) -> Result<Vec<ContainerStatus>> {
        Ok(self.lock().containers.values().cloned().collect())
    }

    async fn container(&self, id: &str) -> Result<ContainerStatus> {
        let found = self.lock().containers.get(id).cloned();
        found.ok_or_else(|| RuntimeError::NotFound(id.into()))
    }

    async fn writable_layer(&self, id: &str) -> Result<u64> {
        Ok(self.lock().written.get(id).copied().unwrap_or(0))
    }

    async fn sandbox_stats(&self) -> Result<Vec<SandboxStats>> {
        Ok(self.lock().stats.clone())
    }

    async fn exec_sync(&self, _: &str, command: &[String], _: Duration) -> Result<ExecOutput> {
        let exit_code = i32::from(command.first().is_some_and(|c| c == "false"));
        Ok(ExecOutput { exit_code, ..ExecOutput::default() })
    }

    async fn exec(&self, _: &str, request: ExecRequest) -> Result<ExecSession> {
        Ok(streams::exec(request, self.told.clone()))
    }

    async fn attach(&self, _: &str, stdin: bool) -> Result<ExecSession> {
        Ok(streams::attach(stdin))
    }

    async fn port_forward(&self, _: &str, port: u16) -> Result<PortStream> {
        streams::port(port)
    }

    async fn may_use(&self, _: &str, _: &Credentials) -> Result<bool> {
        Ok(true)
    }

    async fn pull_image(&self, reference: &str, _: &Credentials) -> Result<Image> {
        let message = format!("no registry has {reference}");
        Err(RuntimeError::Failed { operation: "pull", message })
    }

    async fn image(&self, reference: &str) -> Result<Option<Image>> {
        let found = self.lock().images.iter().any(|i| i == reference);
        Ok(found.then(|| Image { id: "sha256:1".into(), uid: Some(0), ..Image::default() }))
    }

    async fn images(&self) -> Result<Vec<Image>> {
        Ok(Vec::new())
    }

    async fn remove_image(&self, _: &str) -> Result<()> {
        Ok(())
    }

    fn events(&self) -> BoxStream<'static, RuntimeEvent> {
        let events = self.events.subscribe();
        tokio_stream::wrappers::BroadcastStream::new(events)
            .filter_map(|e| async { e.ok() })
            .boxed()
    }
}
