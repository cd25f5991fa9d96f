//! Reading a pod's specification.
//!
//! Knows: where things are in a Pod and what their defaults are. Refuses to know: what runs.

use std::borrow::Cow;

use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::cri::PodIdentity;

/// What role a container has in its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Runs to its end before the next one starts.
    Init,
    /// An init container with `restartPolicy: Always`: runs beside the others.
    Sidecar,
    /// An ordinary one.
    Main,
    /// One that was added to look at the pod: nothing of the pod depends on it.
    Ephemeral,
}

/// The containers that make up the pod, init containers first, in the order of the specification.
pub fn containers(pod: &Pod) -> impl Iterator<Item = (&Container, Role)> {
    let spec = pod.spec.as_ref();
    let inits = spec.and_then(|s| s.init_containers.as_deref()).unwrap_or_default();
    let mains = spec.map(|s| s.containers.as_slice()).unwrap_or_default();
    inits
        .iter()
        .map(|c| match c.restart_policy.as_deref() {
            Some("Always") => (c, Role::Sidecar),
            _ => (c, Role::Init),
        })
        .chain(mains.iter().map(|c| (c, Role::Main)))
}

/// The containers that were added to the pod to look at it.
pub fn ephemeral(pod: &Pod) -> impl Iterator<Item = &EphemeralContainer> {
    pod.spec.iter().flat_map(|s| s.ephemeral_containers.iter().flatten())
}

/// One of them, as a container like any other.
pub fn as_container(ephemeral: &EphemeralContainer) -> Container {
    let EphemeralContainer {
        args,
        command,
        env,
        env_from,
        image,
        image_pull_policy,
        lifecycle,
        liveness_probe,
        name,
        ports,
        readiness_probe,
        resize_policy,
        resources,
        restart_policy,
        restart_policy_rules,
        security_context,
        startup_probe,
        stdin,
        stdin_once,
        // Where it runs, not what.
        target_container_name: _,
        termination_message_path,
        termination_message_policy,
        tty,
        volume_devices,
        volume_mounts,
        working_dir,
    } = ephemeral.clone();
    Container {
        args,
        command,
        env,
        env_from,
        image,
        image_pull_policy,
        lifecycle,
        liveness_probe,
        name,
        ports,
        readiness_probe,
        resize_policy,
        resources,
        restart_policy,
        restart_policy_rules,
        security_context,
        startup_probe,
        stdin,
        stdin_once,
        termination_message_path,
        termination_message_policy,
        tty,
        volume_devices,
        volume_mounts,
        working_dir,
    }
}

/// All containers: those that make up the pod, then those that were added.
pub fn all(pod: &Pod) -> impl Iterator<Item = (Cow<'_, Container>, Role)> {
    let added = ephemeral(pod).map(|c| (Cow::Owned(as_container(c)), Role::Ephemeral));
    containers(pod).map(|(c, role)| (Cow::Borrowed(c), role)).chain(added)
}

/// A container by name.
pub fn container<'a>(pod: &'a Pod, name: &str) -> Option<(Cow<'a, Container>, Role)> {
    all(pod).find(|(c, _)| c.name == name)
}

/// The container whose processes this one is to see, if it is to.
pub fn target<'a>(pod: &'a Pod, name: &str) -> Option<&'a str> {
    let target = ephemeral(pod).find(|c| c.name == name)?.target_container_name.as_deref();
    target.filter(|target| !target.is_empty())
}

/// The specification; an empty one if the pod has none.
pub fn of(pod: &Pod) -> Cow<'_, PodSpec> {
    match &pod.spec {
        Some(spec) => Cow::Borrowed(spec),
        None => Cow::Owned(PodSpec::default()),
    }
}

/// Name, namespace and UID.
pub fn identity(pod: &Pod) -> PodIdentity {
    let meta = &pod.metadata;
    PodIdentity {
        name: meta.name.clone().unwrap_or_default(),
        namespace: meta.namespace.clone().unwrap_or_default(),
        uid: meta.uid.clone().unwrap_or_default(),
    }
}

/// `NAME_NAMESPACE(UID)`, as messages write a pod.
pub fn label(pod: &Pod) -> String {
    let id = identity(pod);
    format!("{}_{}({})", id.name, id.namespace, id.uid)
}

/// Whether the API wants the pod gone, and the seconds it gives.
pub fn deletion_grace(pod: &Pod) -> Option<i64> {
    pod.metadata.deletion_timestamp.as_ref()?;
    Some(pod.metadata.deletion_grace_period_seconds.unwrap_or_else(|| grace(pod)).max(0))
}

/// `spec.terminationGracePeriodSeconds`; one below zero is taken for 1, as the API takes it.
pub fn grace(pod: &Pod) -> i64 {
    match pod.spec.as_ref().and_then(|s| s.termination_grace_period_seconds) {
        None => 30,
        Some(seconds) if seconds < 0 => 1,
        Some(seconds) => seconds,
    }
}

/// `status.phase` in the API.
pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|s| s.phase.as_deref()).unwrap_or("Pending")
}

/// Whether the API already calls the pod ended.
pub fn is_terminal(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// A port by number or by its name in the container.
pub fn port(container: &Container, port: &IntOrString) -> Option<u16> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => match name.parse() {
            Ok(number) => number,
            Err(_) => {
                container
                    .ports
                    .as_deref()
                    .unwrap_or_default()
                    .iter()
                    .find(|p| p.name.as_deref() == Some(name))?
                    .container_port
            }
        },
    };
    u16::try_from(number).ok().filter(|p| *p > 0)
}

/// The field path by which events name a container.
pub fn field_path(name: &str, role: Role) -> String {
    match role {
        Role::Main => format!("spec.containers{{{name}}}"),
        Role::Init | Role::Sidecar => format!("spec.initContainers{{{name}}}"),
        Role::Ephemeral => format!("spec.ephemeralContainers{{{name}}}"),
    }
}
