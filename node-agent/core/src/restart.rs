//! Whether a container that ended starts again.
//!
//! Knows: the policy of the pod, that of the container, and its rules by exit code. Refuses to know: when it starts.

use k8s_openapi::api::core::v1::{Container, ContainerRestartRule, Pod};

use crate::spec::Role;

/// What decides where no rule does: the container's own policy, or the pod's.
fn policy<'a>(pod: &'a Pod, container: &'a Container) -> &'a str {
    let of_pod = pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
    container.restart_policy.as_deref().or(of_pod).unwrap_or("Always")
}

/// Whether the API lets a container leave an end with this code.
pub fn allowed(pod: &Pod, container: &Container, code: i32) -> bool {
    let rules = container.restart_policy_rules.iter().flatten();
    // Rules are for containers that have a policy of their own.
    let mut rules = rules.filter(|_| container.restart_policy.is_some());
    if rules.any(|rule| fits(rule, code)) {
        return true;
    }
    match policy(pod, container) {
        "Never" => false,
        "OnFailure" => code != 0,
        _ => true,
    }
}

/// Whether a container starts again after it ended with this code.
pub fn decide(pod: &Pod, container: &Container, role: Role, code: i32) -> bool {
    match role {
        Role::Sidecar => true,
        Role::Ephemeral => false,
        // A failed one is tried again, a finished one is done.
        Role::Init => code != 0 && allowed(pod, container, code),
        Role::Main => allowed(pod, container, code),
    }
}

/// Whether there is a code with which a container that failed starts again.
pub fn possible(pod: &Pod, container: &Container, role: Role) -> bool {
    let rules = container.restart_policy_rules.as_deref().unwrap_or_default();
    match role {
        Role::Sidecar => true,
        Role::Ephemeral => false,
        Role::Init | Role::Main => !rules.is_empty() || policy(pod, container) != "Never",
    }
}

/// The only action that is carried out is a restart; others are refused.
fn fits(rule: &ContainerRestartRule, code: i32) -> bool {
    let Some(codes) = &rule.exit_codes else { return false };
    let listed = codes.values.iter().flatten().any(|one| *one == code);
    match codes.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        _ => false,
    }
}
