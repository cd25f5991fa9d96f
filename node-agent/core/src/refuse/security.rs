//! Security contexts: what confines a container is carried out or the pod does not run.
//!
//! Knows: the fields, the safe sysctls, upstream's words. Refuses to know: what a profile says.

use k8s_openapi::api::core::v1::{
    AppArmorProfile, Capabilities, PodSecurityContext, PodSpec, SELinuxOptions, SeccompProfile,
    SecurityContext,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Policy, Verdict, refuse, unless};

/// Sysctls that touch nobody but the pod that sets them.
const SAFE_SYSCTLS: &[&str] = &[
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];

/// How pods asked for AppArmor before there was a field.
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Annotations that confine a container.
pub(super) fn annotations(meta: &ObjectMeta) -> Verdict {
    let asked = meta.annotations.iter().flatten().find(|(name, value)| {
        name.starts_with(APP_ARMOR) && !matches!(value.as_str(), "" | "unconfined")
    });
    match asked {
        Some((name, _)) => no_app_armor(true, &format!("metadata.annotations[{name}]")),
        None => Ok(()),
    }
}

pub(super) fn of_pod(context: &PodSecurityContext, spec: &PodSpec, policy: &Policy) -> Verdict {
    let PodSecurityContext {
        // Carried out.
        fs_group: _,
        // Groups are set whenever a volume is set up, which is either policy's result.
        fs_group_change_policy: _,
        run_as_group: _,
        run_as_non_root: _,
        run_as_user: _,
        supplemental_groups: _,
        // Says how labels are set.
        se_linux_change_policy: _,
        // Carried out in part, or not.
        app_armor_profile,
        se_linux_options,
        seccomp_profile,
        supplemental_groups_policy,
        sysctls,
        windows_options,
    } = context;
    let at = "spec.securityContext";
    app_armor(app_armor_profile.as_ref(), at)?;
    seccomp(seccomp_profile.as_ref(), at)?;
    let strict = supplemental_groups_policy.as_deref() == Some("Strict");
    refuse(strict, "SupplementalGroupsPolicyNotSupported", || {
        "SupplementalGroupsPolicy=Strict is not supported in this node".to_owned()
    })?;
    let own_network = spec.host_network != Some(true);
    for name in sysctls.iter().flatten().map(|sysctl| sysctl.name.as_str()) {
        sysctl(name, own_network, policy)?;
    }
    se_linux(se_linux_options.as_ref(), at, policy)?;
    unless(windows_options.is_some(), &format!("{at}.windowsOptions"), NO_WINDOWS)
}

pub(super) fn of_container(
    context: &SecurityContext,
    at: &str,
    own_users: bool,
    policy: &Policy,
) -> Verdict {
    let SecurityContext {
        // Carried out.
        allow_privilege_escalation: _,
        privileged: _,
        read_only_root_filesystem: _,
        run_as_group: _,
        run_as_non_root: _,
        run_as_user: _,
        // Carried out in part, or not.
        app_armor_profile,
        capabilities,
        proc_mount,
        se_linux_options,
        seccomp_profile,
        windows_options,
    } = context;
    let at = format!("{at}.securityContext");
    app_armor(app_armor_profile.as_ref(), &at)?;
    seccomp(seccomp_profile.as_ref(), &at)?;
    if let Some(Capabilities { add: _, drop: _ }) = capabilities {
        // Unknown names are refused when the container is made.
    }
    let masked = proc_mount.as_deref().is_none_or(|mount| matches!(mount, "" | "Default"));
    let unsafe_proc = !masked && !own_users;
    unless(unsafe_proc, &format!("{at}.procMount"), "it is safe in user namespaces only")?;
    se_linux(se_linux_options.as_ref(), &at, policy)?;
    unless(windows_options.is_some(), &format!("{at}.windowsOptions"), NO_WINDOWS)
}

const NO_WINDOWS: &str = "this node runs Linux";

fn se_linux(options: Option<&SELinuxOptions>, at: &str, policy: &Policy) -> Verdict {
    let asked = policy.selinux && options.is_some();
    unless(asked, &format!("{at}.seLinuxOptions"), "processes are not labelled")
}

fn app_armor(profile: Option<&AppArmorProfile>, at: &str) -> Verdict {
    let Some(AppArmorProfile { localhost_profile: _, type_ }) = profile else { return Ok(()) };
    no_app_armor(type_ != "Unconfined", &format!("{at}.appArmorProfile"))
}

fn no_app_armor(asked: bool, field: &str) -> Verdict {
    refuse(asked, "AppArmor", || {
        format!("Cannot enforce AppArmor: AppArmor is not enabled on the host ({field})")
    })
}

/// A profile of the node is carried out if it is named; no name must never come to mean no profile.
fn seccomp(profile: Option<&SeccompProfile>, at: &str) -> Verdict {
    let Some(SeccompProfile { localhost_profile, type_ }) = profile else { return Ok(()) };
    match type_.as_str() {
        "Unconfined" | "RuntimeDefault" => Ok(()),
        "Localhost" => {
            let named = localhost_profile.as_deref().is_some_and(|name| !name.is_empty());
            unless(
                !named,
                &format!("{at}.seccompProfile.localhostProfile"),
                "localhostProfile must be set if seccompProfile type is Localhost",
            )
        }
        _ => unless(true, &format!("{at}.seccompProfile.type"), "the type is unknown"),
    }
}

/// Whether a sysctl may be set: known to belong to the pod's namespaces, and safe or allowed by the node's policy.
fn sysctl(name: &str, own_network: bool, policy: &Policy) -> Verdict {
    let forbid =
        |why: String| refuse(true, "SysctlForbidden", || format!("forbidden sysctl: {why}"));
    let plain = dotted(name);
    let allowed = SAFE_SYSCTLS.contains(&plain.as_str())
        || policy.unsafe_sysctls.iter().map(|pattern| dotted(pattern)).any(|pattern| match pattern
            .strip_suffix('*')
        {
            Some(prefix) => plain.starts_with(prefix),
            None => plain == pattern,
        });
    if !allowed {
        return forbid(format!("{name:?} not allowlisted"));
    }
    if plain.starts_with("net.") && !own_network {
        return forbid(format!("{name:?} not allowed with host net enabled"));
    }
    Ok(())
}

/// Whether a sysctl, or all whose names begin like a pattern, are known to exist once for each pod.
pub(super) fn is_namespaced(pattern: &str) -> bool {
    const PREFIXES: &[&str] = &["kernel.shm", "kernel.msg", "fs.mqueue.", "net."];
    let name = dotted(pattern);
    let name = name.strip_suffix('*').unwrap_or(&name);
    name == "kernel.sem" || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// A sysctl's name with its parts between dots, whichever separator comes first in it: `net/ipv4/conf/eth0.1/x` has a dot
/// within a part, which becomes a slash.
fn dotted(name: &str) -> String {
    match name.find(['.', '/']).map(|at| &name[at..=at]) {
        Some("/") => name
            .chars()
            .map(|c| match c {
                '/' => '.',
                '.' => '/',
                other => other,
            })
            .collect(),
        _ => name.to_owned(),
    }
}
