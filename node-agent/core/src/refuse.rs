//! What a pod may ask for and this node does not carry out: said before anything runs, never left out in silence.
//!
//! Every field that can ask something of a node is named here, in patterns without a rest: a field that the API gains does
//! not compile until somebody has decided. Knows: which fields this node carries out, upstream's reasons and messages.
//! Refuses to know: how fields are carried out, what is valid at all (the API server says that), whether there is room
//! (the scheduler does).

mod security;
mod sources;
#[cfg(test)]
mod tests;

use k8s_openapi::api::core::v1::{
    Container, ContainerPort, ContainerRestartRule, ContainerRestartRuleOnExitCodes, Lifecycle,
    LifecycleHandler, Pod, PodOS, PodSpec, Probe, ResourceRequirements, VolumeMount,
};

use crate::quantity::units;
use crate::spec;

/// A feature that this node lacks; the message names the field.
const UNSUPPORTED: &str = "PodFeatureUnsupported";

/// Resources that a container may ask of this node.
const RESOURCES: &[&str] = &["cpu", "memory", "ephemeral-storage"];

/// Why a pod may not run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `status.reason`, and the reason of the Event.
    pub reason: &'static str,
    /// Names the field, the Event's message.
    pub message: String,
}

/// What whoever runs the node has decided, and what its kernel enforces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// SELinux is on. Then a pod that asks for a label is refused, for processes are not labelled here; where it is off,
    /// labels mean nothing and are left out, as every runtime does.
    pub selinux: bool,
    /// Sysctls besides the safe ones that pods may set: names, or prefixes that end in `*`.
    pub unsafe_sysctls: Vec<String>,
}

impl Policy {
    /// A policy that allows these sysctls besides the safe ones.
    ///
    /// # Errors
    /// When one of them is not known to belong to the pod alone: it would be the whole machine's.
    pub fn new(unsafe_sysctls: Vec<String>) -> Result<Policy, String> {
        match unsafe_sysctls.iter().find(|pattern| !security::is_namespaced(pattern)) {
            Some(pattern) => Err(format!("the sysctl {pattern:?} is not known to be namespaced")),
            None => Ok(Policy { unsafe_sysctls, selinux: false }),
        }
    }
}

/// Answers of the rules: nothing, or the first objection.
type Verdict = Result<(), Refusal>;

/// Whether this node carries out all that the pod asks for.
///
/// # Errors
/// The first thing that it does not.
pub fn check(pod: &Pod, policy: &Policy) -> Verdict {
    security::annotations(&pod.metadata)?;
    pod.spec.as_ref().map_or(Ok(()), |spec| pod_spec(spec, policy))
}

/// Whether this node carries out all that a container asks for that was added to a pod; others are left alone.
///
/// # Errors
/// The first thing that it does not.
pub fn check_added(pod: &Pod, name: &str, policy: &Policy) -> Verdict {
    match spec::ephemeral(pod).enumerate().find(|(_, one)| one.name == name) {
        Some((index, one)) => {
            let at = format!("spec.ephemeralContainers[{index}]");
            container(&spec::as_container(one), &at, own_users(&spec::of(pod)), policy)
        }
        None => Ok(()),
    }
}

/// Objects where `asked` holds.
fn unless(asked: bool, field: &str, why: &str) -> Verdict {
    refuse(asked, UNSUPPORTED, || {
        format!("Pod requires node features that are not available: {field} ({why})")
    })
}

fn refuse(asked: bool, reason: &'static str, message: impl FnOnce() -> String) -> Verdict {
    if asked { Err(Refusal { reason, message: message() }) } else { Ok(()) }
}

fn some<T>(list: &Option<Vec<T>>) -> bool {
    list.as_ref().is_some_and(|list| !list.is_empty())
}

fn pod_spec(spec: &PodSpec, policy: &Policy) -> Verdict {
    let PodSpec {
        // Carried out.
        active_deadline_seconds: _,
        dns_config: _,
        dns_policy: _,
        enable_service_links: _,
        host_aliases: _,
        host_network: _,
        host_users: _,
        hostname: _,
        readiness_gates: _,
        restart_policy: _,
        set_hostname_as_fqdn: _,
        share_process_namespace: _,
        subdomain: _,
        termination_grace_period_seconds: _,
        // Nothing is pulled, so nothing is needed for that.
        image_pull_secrets: _,
        // The API server's, the scheduler's and the controllers'.
        affinity: _,
        automount_service_account_token: _,
        node_name: _,
        node_selector: _,
        overhead: _,
        preemption_policy: _,
        priority: _,
        priority_class_name: _,
        scheduler_name: _,
        scheduling_gates: _,
        service_account: _,
        service_account_name: _,
        tolerations: _,
        topology_spread_constraints: _,
        // Each for itself, when it comes: the pod runs already.
        ephemeral_containers: _,
        // Carried out in part, or not.
        containers,
        host_ipc,
        host_pid,
        hostname_override,
        init_containers,
        os,
        resource_claims,
        resources,
        runtime_class_name,
        scheduling_group,
        security_context,
        volumes,
    } = spec;
    operating_system(os.as_ref())?;
    if let Some(context) = security_context {
        security::of_pod(context, spec, policy)?;
    }
    let host = |field: &Option<bool>| *field == Some(true);
    unless(host(host_pid), "spec.hostPID", "containers have a process namespace of their own")?;
    unless(host(host_ipc), "spec.hostIPC", "pods have an IPC namespace of their own")?;
    let class = runtime_class_name.as_deref().is_some_and(|name| !name.is_empty());
    unless(class, "spec.runtimeClassName", "there is one runtime")?;
    unless(some(resource_claims), "spec.resourceClaims", "no driver gives devices")?;
    unless(
        hostname_override.is_some(),
        "spec.hostnameOverride",
        "the pod's name is its host name",
    )?;
    unless(scheduling_group.is_some(), "spec.schedulingGroup", "pods are scheduled one by one")?;
    let asks = |resources: &ResourceRequirements| *resources != ResourceRequirements::default();
    refuse(resources.as_ref().is_some_and(asks), "PodLevelResourcesNotSupported", || {
        "spec.resources: requests and limits are carried out for containers only".to_owned()
    })?;
    for volume in volumes.iter().flatten() {
        sources::volume(volume)?;
    }
    for (index, init) in init_containers.iter().flatten().enumerate() {
        container(init, &format!("spec.initContainers[{index}]"), own_users(spec), policy)?;
    }
    for (index, main) in containers.iter().enumerate() {
        container(main, &format!("spec.containers[{index}]"), own_users(spec), policy)?;
    }
    Ok(())
}

fn operating_system(os: Option<&PodOS>) -> Verdict {
    let Some(PodOS { name }) = os else { return Ok(()) };
    refuse(name != "linux", "PodOSNotSupported", || {
        "Failed to admit pod as the OS field doesn't match node OS".to_owned()
    })
}

/// Whether the pod's users are those of a user namespace of its own.
fn own_users(spec: &PodSpec) -> bool {
    spec.host_users == Some(false)
}

fn container(container: &Container, at: &str, own_users: bool, policy: &Policy) -> Verdict {
    let Container {
        // Carried out.
        args: _,
        command: _,
        image: _,
        image_pull_policy: _,
        name: _,
        restart_policy: _,
        stdin: _,
        stdin_once: _,
        termination_message_path: _,
        termination_message_policy: _,
        tty: _,
        working_dir: _,
        // References that are not there are the container's trouble when it starts.
        env_from: _,
        // Nothing is resized in place, so there is no policy to follow.
        resize_policy: _,
        // Carried out in part, or not.
        env,
        lifecycle,
        liveness_probe,
        ports,
        readiness_probe,
        resources,
        restart_policy_rules,
        security_context,
        startup_probe,
        volume_devices,
        volume_mounts,
    } = container;
    for variable in env.iter().flatten() {
        sources::variable(variable, at)?;
    }
    if let Some(lifecycle) = lifecycle {
        self::lifecycle(lifecycle, at)?;
    }
    [liveness_probe, readiness_probe, startup_probe].into_iter().flatten().for_each(probe);
    ports.iter().flatten().for_each(port);
    if let Some(resources) = resources {
        self::resources(resources, at)?;
    }
    for (index, rule) in restart_policy_rules.iter().flatten().enumerate() {
        self::rule(rule, &format!("{at}.restartPolicyRules[{index}]"))?;
    }
    if let Some(context) = security_context {
        security::of_container(context, at, own_users, policy)?;
    }
    unless(some(volume_devices), &format!("{at}.volumeDevices"), "volumes are file systems")?;
    for (index, mount) in volume_mounts.iter().flatten().enumerate() {
        volume_mount(mount, &format!("{at}.volumeMounts[{index}]"))?;
    }
    Ok(())
}

fn rule(rule: &ContainerRestartRule, at: &str) -> Verdict {
    let ContainerRestartRule { action, exit_codes } = rule;
    if let Some(codes) = exit_codes {
        // Carried out.
        let ContainerRestartRuleOnExitCodes { operator: _, values: _ } = codes;
    }
    let why = format!("containers start again one by one: {action:?} is not \"Restart\"");
    unless(action != "Restart", &format!("{at}.action"), &why)
}

fn lifecycle(lifecycle: &Lifecycle, at: &str) -> Verdict {
    let Lifecycle { post_start, pre_stop, stop_signal } = lifecycle;
    [post_start, pre_stop].into_iter().flatten().for_each(handler);
    unless(stop_signal.is_some(), &format!("{at}.lifecycle.stopSignal"), "the image names it")
}

/// All of it is carried out.
fn handler(handler: &LifecycleHandler) {
    let LifecycleHandler { exec: _, http_get: _, sleep: _, tcp_socket: _ } = handler;
}

/// All of it is carried out.
fn probe(probe: &Probe) {
    let Probe {
        exec: _,
        failure_threshold: _,
        grpc: _,
        http_get: _,
        initial_delay_seconds: _,
        period_seconds: _,
        success_threshold: _,
        tcp_socket: _,
        termination_grace_period_seconds: _,
        timeout_seconds: _,
    } = probe;
}

/// All of it is carried out.
fn port(port: &ContainerPort) {
    let ContainerPort { container_port: _, host_ip: _, host_port: _, name: _, protocol: _ } = port;
}

fn resources(resources: &ResourceRequirements, at: &str) -> Verdict {
    let ResourceRequirements { claims, limits, requests } = resources;
    unless(some(claims), &format!("{at}.resources.claims"), "no driver gives devices")?;
    for (list, amounts) in [("limits", limits), ("requests", requests)] {
        // Those with a domain are counted by the scheduler and mean nothing to a node without a driver for them.
        let strange = amounts.iter().flatten().find(|(name, amount)| {
            !name.contains('/')
                && !RESOURCES.contains(&name.as_str())
                && units(amount).is_none_or(|units| units > 0)
        });
        if let Some((name, _)) = strange {
            unless(true, &format!("{at}.resources.{list}[{name}]"), "this node has none")?;
        }
    }
    Ok(())
}

fn volume_mount(mount: &VolumeMount, at: &str) -> Verdict {
    let VolumeMount {
        mount_path: _,
        mount_propagation: _,
        name: _,
        read_only: _,
        sub_path: _,
        sub_path_expr: _,
        recursive_read_only,
    } = mount;
    // `IfPossible` takes what there is.
    let asked = recursive_read_only.as_deref() == Some("Enabled");
    unless(asked, &format!("{at}.recursiveReadOnly"), "mounts below the volume stay as they are")
}
