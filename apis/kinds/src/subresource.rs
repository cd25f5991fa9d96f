//! What hangs below an object's own path.
//!
//! Knows: names, verbs and the kinds that are spoken there. Refuses to know: what is done by any.

use crate::Kind;

/// What hangs below an object's own path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subresource {
    /// `status`.
    Status,
    /// `scale`.
    Scale,
    /// `approval` of a request for a certificate.
    Approval,
    /// `ephemeralcontainers` of a pod: those that look at what runs.
    EphemeralContainers,
    /// `resize` of a pod: what its containers may use.
    Resize,
    /// `binding`.
    Binding,
    /// `log`.
    Log,
    /// `exec`, a connection.
    Exec,
    /// `attach`, a connection.
    Attach,
    /// `portforward`, a connection.
    PortForward,
    /// `proxy`, a connection by any method.
    Proxy,
    /// `eviction`.
    Eviction,
    /// `finalize` of a namespace.
    Finalize,
    /// `instantiate`: the next rollout or build of a configuration.
    Instantiate,
    /// `instantiatebinary`: the next build, of what is sent.
    InstantiateBinary,
    /// `rollback`: a configuration as an earlier rollout had it.
    Rollback,
    /// `webhooks`, by which others start builds; the path goes on after it.
    Webhooks,
    /// `clone`: a build once more.
    Clone,
    /// `details`: what a build says of itself.
    Details,
    /// `layers`: the blobs of a stream's images.
    Layers,
    /// `secrets`: those by which images are pulled.
    Secrets,
    /// `token` of a service account.
    Token,
}

/// A kind that is posted to an object and none of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posted {
    /// API group.
    pub group: &'static str,
    /// Version.
    pub version: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// Its type in the table of fields.
    pub schema: &'static str,
}

impl Posted {
    /// Group and version as objects say them.
    pub fn api_version(&self) -> String {
        leme_meta::gvk::api_version(self.group, self.version)
    }
}

/// What binds a pod to a node.
pub const BINDING: Posted =
    Posted { group: "", version: "v1", kind: "Binding", schema: "io.k8s.api.core.v1.Binding" };

/// What asks for a pod to go.
pub const EVICTION: Posted = Posted {
    group: "policy",
    version: "v1",
    kind: "Eviction",
    schema: "io.k8s.api.policy.v1.Eviction",
};

/// What asks for a token of a service account.
pub const TOKEN_REQUEST: Posted = Posted {
    group: "authentication.k8s.io",
    version: "v1",
    kind: "TokenRequest",
    schema: "io.k8s.api.authentication.v1.TokenRequest",
};

/// All of them.
pub const POSTED: [Posted; 3] = [BINDING, EVICTION, TOKEN_REQUEST];

impl Subresource {
    /// The kind that is posted to it, where that is of another group than the object.
    pub fn posted(self) -> Option<Posted> {
        match self {
            Subresource::Binding => Some(BINDING),
            Subresource::Eviction => Some(EVICTION),
            Subresource::Token => Some(TOKEN_REQUEST),
            _ => None,
        }
    }

    /// The last segment of the path.
    pub fn name(self) -> &'static str {
        match self {
            Subresource::Status => "status",
            Subresource::Scale => "scale",
            Subresource::Approval => "approval",
            Subresource::EphemeralContainers => "ephemeralcontainers",
            Subresource::Resize => "resize",
            Subresource::Binding => "binding",
            Subresource::Log => "log",
            Subresource::Exec => "exec",
            Subresource::Attach => "attach",
            Subresource::PortForward => "portforward",
            Subresource::Proxy => "proxy",
            Subresource::Eviction => "eviction",
            Subresource::Finalize => "finalize",
            Subresource::Instantiate => "instantiate",
            Subresource::InstantiateBinary => "instantiatebinary",
            Subresource::Rollback => "rollback",
            Subresource::Webhooks => "webhooks",
            Subresource::Clone => "clone",
            Subresource::Details => "details",
            Subresource::Layers => "layers",
            Subresource::Secrets => "secrets",
            Subresource::Token => "token",
        }
    }

    /// What can be done with it, in the words of discovery.
    pub fn verbs(self) -> &'static [&'static str] {
        match self {
            Subresource::Status
            | Subresource::Scale
            | Subresource::Approval
            | Subresource::EphemeralContainers
            | Subresource::Resize => &["get", "patch", "update"],
            Subresource::Binding
            | Subresource::Eviction
            | Subresource::Token
            | Subresource::Instantiate
            | Subresource::InstantiateBinary
            | Subresource::Rollback
            | Subresource::Webhooks
            | Subresource::Clone => &["create"],
            Subresource::Log | Subresource::Layers | Subresource::Secrets => &["get"],
            Subresource::Exec | Subresource::Attach | Subresource::PortForward => {
                &["create", "get"]
            }
            Subresource::Proxy => &["create", "delete", "get", "patch", "update"],
            Subresource::Finalize | Subresource::Details => &["update"],
        }
    }

    /// The kind that it speaks in the kind's own group and version, where that is not the kind itself.
    pub fn kind(self, row: &Kind) -> Option<&'static str> {
        match (self, &*row.singular) {
            (Subresource::Log, "deploymentconfig") => Some("DeploymentLog"),
            (Subresource::Log, "build") => Some("BuildLog"),
            (Subresource::Instantiate, "deploymentconfig") => Some("DeploymentRequest"),
            (Subresource::Instantiate | Subresource::Clone, _) => Some("BuildRequest"),
            (Subresource::InstantiateBinary, _) => Some("BinaryBuildRequestOptions"),
            (Subresource::Rollback, _) => Some("DeploymentConfigRollback"),
            (Subresource::Webhooks, _) => Some("Build"),
            (Subresource::Layers, _) => Some("ImageStreamLayers"),
            (Subresource::Secrets, _) => Some("SecretList"),
            _ => None,
        }
    }

    /// The kind of the options of a subresource that is connected to.
    pub fn options(self, row: &Kind) -> Option<&'static str> {
        match (self, &*row.singular) {
            (Subresource::Exec, _) => Some("PodExecOptions"),
            (Subresource::Attach, _) => Some("PodAttachOptions"),
            (Subresource::PortForward, _) => Some("PodPortForwardOptions"),
            (Subresource::Proxy, "pod") => Some("PodProxyOptions"),
            (Subresource::Proxy, "service") => Some("ServiceProxyOptions"),
            (Subresource::Proxy, "node") => Some("NodeProxyOptions"),
            _ => None,
        }
    }
}
