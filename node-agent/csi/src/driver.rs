//! Calls to one plugin: over its socket, each with a connection of its own and a bound on its time.
//!
//! Knows: which call has which messages. Refuses to know: when they are made.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use prost::Message;
use tokio::net::UnixStream;

use crate::grpc::{self, DEADLINE_EXCEEDED, Fault, INTERNAL, Target, UNAVAILABLE};
use crate::wire::{
    Can, Expand, Expanded, NodeCapabilities, NodeInfo, Nothing, PluginInfo, Publish,
    RegistrationStatus, Stage, StatsQuestion, Unpublish, Unstage, VolumeStats,
};

/// Most bytes of an answer.
const ANSWER: usize = 4 << 20;
/// Who calls.
const USER_AGENT: &str = concat!("leme/", env!("CARGO_PKG_VERSION"));

async fn call<A: Message + Default>(
    socket: &PathBuf,
    limit: Duration,
    path: &str,
    question: &impl Message,
) -> Result<A, Fault> {
    let target = Target { authority: "localhost", path, user_agent: USER_AGENT, most: ANSWER };
    let message = question.encode_to_vec();
    let called = async {
        let stream = UnixStream::connect(socket).await.map_err(|error| {
            let what = format!("dial unix {}: connect: {error}", socket.display());
            Fault::of(UNAVAILABLE, format!("connection error: desc = \"transport: {what}\""))
        })?;
        grpc::call(stream, target, &message).await
    };
    let late = |_| Fault::of(DEADLINE_EXCEEDED, "context deadline exceeded");
    let answer = tokio::time::timeout(limit, called).await.map_err(late)??;
    A::decode(answer).map_err(|error| Fault::of(INTERNAL, error))
}

/// The socket by which a plugin registers.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Where it is.
    pub socket: PathBuf,
    /// How long a call may take.
    pub limit: Duration,
}

impl Registration {
    /// What the plugin says of itself.
    pub async fn info(&self) -> Result<PluginInfo, Fault> {
        call(&self.socket, self.limit, "/pluginregistration.Registration/GetInfo", &()).await
    }

    /// Tells it what becomes of it.
    pub async fn notify(&self, error: Option<&str>) -> Result<(), Fault> {
        let status = RegistrationStatus {
            plugin_registered: error.is_none(),
            error: error.unwrap_or_default().to_owned(),
        };
        let path = "/pluginregistration.Registration/NotifyRegistrationStatus";
        call::<Nothing>(&self.socket, self.limit, path, &status).await
    }
}

/// The node service of a driver.
#[derive(Clone, Debug)]
pub struct Driver {
    /// Where its socket is.
    pub socket: PathBuf,
    /// How long a call may take.
    pub limit: Duration,
}

impl Driver {
    async fn node<A: Message + Default>(
        &self,
        method: &str,
        question: &impl Message,
    ) -> Result<A, Fault> {
        call(&self.socket, self.limit, &format!("/csi.v1.Node/{method}"), question).await
    }

    /// What it says of its node.
    pub async fn info(&self) -> Result<NodeInfo, Fault> {
        self.node("NodeGetInfo", &()).await
    }

    /// What it can do.
    pub async fn capabilities(&self) -> Result<BTreeSet<Can>, Fault> {
        let told: NodeCapabilities = self.node("NodeGetCapabilities", &()).await?;
        let types = told.capabilities.iter().filter_map(|one| one.rpc.as_ref());
        Ok(types.map(|rpc| rpc.r#type()).collect())
    }

    /// Makes a volume usable on the node.
    pub async fn stage(&self, wish: &Stage) -> Result<(), Fault> {
        self.node::<Nothing>("NodeStageVolume", wish).await
    }

    /// Undoes that.
    pub async fn unstage(&self, wish: &Unstage) -> Result<(), Fault> {
        self.node::<Nothing>("NodeUnstageVolume", wish).await
    }

    /// Makes a volume be there for a pod.
    pub async fn publish(&self, wish: &Publish) -> Result<(), Fault> {
        self.node::<Nothing>("NodePublishVolume", wish).await
    }

    /// Undoes that.
    pub async fn unpublish(&self, wish: &Unpublish) -> Result<(), Fault> {
        self.node::<Nothing>("NodeUnpublishVolume", wish).await
    }

    /// Makes what has grown fit on the node.
    pub async fn expand(&self, wish: &Expand) -> Result<Expanded, Fault> {
        self.node("NodeExpandVolume", wish).await
    }

    /// What a volume uses.
    pub async fn stats(&self, question: &StatsQuestion) -> Result<VolumeStats, Fault> {
        self.node("NodeGetVolumeStats", question).await
    }
}
