//! The controls that levels are made of, and since when.
//!
//! Knows: which control belongs to which level from which release on, in which order they are told. Refuses to know:
//! fields of pods, which the controls read themselves.

use leme_registry::json;
use serde_json::Value;

use super::level::{Level, LevelVersion, Version};
use super::{baseline, restricted};

/// A pod, or what makes pods says of them.
#[derive(Clone, Copy, Debug)]
pub struct Pod<'a> {
    /// Its annotations.
    pub annotations: &'a Value,
    /// Its spec.
    pub spec: &'a Value,
}

impl<'a> Pod<'a> {
    /// Of a pod, or of a template of one.
    pub fn of(object: &'a Value) -> Pod<'a> {
        let at = |path: &[&str]| json::at(object, path).unwrap_or(&Value::Null);
        Pod { annotations: at(&["metadata", "annotations"]), spec: at(&["spec"]) }
    }

    /// All containers, in the order in which they are told.
    pub(super) fn containers(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        let spec = self.spec;
        let lists = ["initContainers", "containers", "ephemeralContainers"];
        lists.into_iter().flat_map(move |list| json::list(spec, &[list]))
    }

    /// The names of containers that something is true of.
    pub(super) fn which(&self, is: impl Fn(&'a Value) -> bool) -> Vec<&'a str> {
        let which = self.containers().filter(|container| is(container));
        which.map(|container| json::text(container, &["name"])).collect()
    }

    /// Whether it is for Windows, where much that is asked of pods is not there.
    pub(super) fn is_windows(&self) -> bool {
        json::text(self.spec, &["os", "name"]) == "windows"
    }

    /// Whether its users are its own, and none of the host's.
    pub(super) fn has_own_users(&self) -> bool {
        json::at(self.spec, &["hostUsers"]) == Some(&Value::Bool(false))
    }
}

/// What of a pod is not as it is asked.
#[derive(Debug, PartialEq, Eq)]
pub struct Violation {
    /// In a few words.
    pub reason: String,
    /// Where, and what to do about it.
    pub detail: String,
}

impl Violation {
    /// With the words of both.
    pub(super) fn new(reason: &str, detail: String) -> Option<Violation> {
        Some(Violation { reason: reason.to_owned(), detail })
    }
}

type Look = fn(&Pod) -> Option<Violation>;

/// A control: its name, the level that it belongs to, what it is from which release on, and which control of a lower
/// level it stands for.
struct Check {
    name: &'static str,
    level: Level,
    since: &'static [(i64, Look)],
    instead: &'static str,
}

const fn check(name: &'static str, level: Level, since: &'static [(i64, Look)]) -> Check {
    Check { name, level, since, instead: "" }
}

const fn instead(of: &'static str, check: Check) -> Check {
    Check { instead: of, ..check }
}

use Level::{Baseline, Restricted};

/// All controls in the order in which they are told: by name, those of the lower level first.
const CHECKS: &[Check] = &[
    check("appArmorProfile", Baseline, &[(0, baseline::app_armor)]),
    check("capabilities_baseline", Baseline, &[(0, baseline::capabilities)]),
    check("hostNamespaces", Baseline, &[(0, baseline::host_namespaces)]),
    check("hostPathVolumes", Baseline, &[(0, baseline::host_paths)]),
    check("hostPorts", Baseline, &[(0, baseline::host_ports)]),
    check("hostProbesAndHostLifecycle", Baseline, &[(34, baseline::probed_hosts)]),
    check("privileged", Baseline, &[(0, baseline::privileged)]),
    check(
        "procMount",
        Baseline,
        &[
            (0, baseline::proc_mount),
            (35, |pod| unless(pod.has_own_users(), pod, baseline::proc_mount)),
        ],
    ),
    check(
        "seLinuxOptions",
        Baseline,
        &[
            (0, |pod| baseline::se_linux(pod, &baseline::SE_LINUX_TYPES[..4])),
            (31, |pod| baseline::se_linux(pod, &baseline::SE_LINUX_TYPES)),
        ],
    ),
    check(
        "seccompProfile_baseline",
        Baseline,
        &[(0, baseline::seccomp_annotations), (19, baseline::seccomp)],
    ),
    check(
        "sysctls",
        Baseline,
        &[
            (0, |pod| baseline::sysctls(pod, &baseline::SYSCTLS[..5])),
            (27, |pod| baseline::sysctls(pod, &baseline::SYSCTLS[..6])),
            (29, |pod| baseline::sysctls(pod, &baseline::SYSCTLS[..10])),
            (32, |pod| baseline::sysctls(pod, &baseline::SYSCTLS)),
        ],
    ),
    check("windowsHostProcess", Baseline, &[(0, baseline::host_process)]),
    check(
        "allowPrivilegeEscalation",
        Restricted,
        &[
            (8, restricted::escalation),
            (25, |pod| unless(pod.is_windows(), pod, restricted::escalation)),
        ],
    ),
    instead(
        "capabilities_baseline",
        check(
            "capabilities_restricted",
            Restricted,
            &[
                (22, restricted::capabilities),
                (25, |pod| unless(pod.is_windows(), pod, restricted::capabilities)),
            ],
        ),
    ),
    instead("procMount", check("procMount_restricted", Restricted, &[(35, baseline::proc_mount)])),
    instead("hostPathVolumes", check("restrictedVolumes", Restricted, &[(0, restricted::volumes)])),
    check(
        "runAsNonRoot",
        Restricted,
        &[
            (0, restricted::non_root),
            (35, |pod| unless(pod.has_own_users(), pod, restricted::non_root)),
        ],
    ),
    check(
        "runAsUser",
        Restricted,
        &[(23, restricted::root), (35, |pod| unless(pod.has_own_users(), pod, restricted::root))],
    ),
    instead(
        "seccompProfile_baseline",
        check(
            "seccompProfile_restricted",
            Restricted,
            &[
                (19, restricted::seccomp),
                (25, |pod| unless(pod.is_windows(), pod, restricted::seccomp)),
            ],
        ),
    ),
];

fn unless(exempt: bool, pod: &Pod, look: Look) -> Option<Violation> {
    if exempt { None } else { look(pod) }
}

impl Check {
    /// What it is in a release, if it is there by then.
    fn look(&self, version: Version) -> Option<Look> {
        let known = |(since, _): &&(i64, Look)| Version::Minor(*since) <= version;
        self.since.iter().rev().find(known).map(|(_, look)| *look)
    }
}

/// What of a pod is not as a level asks.
pub(crate) fn violations(asks: LevelVersion, pod: &Pod) -> Vec<Violation> {
    let counts = CHECKS.iter().filter(|check| check.level <= asks.level);
    let counts = counts.filter_map(|check| Some((check, check.look(asks.version)?)));
    let counts: Vec<(&Check, Look)> = counts.collect();
    let stands = |name: &str| counts.iter().any(|(check, _)| check.instead == name);
    let looked = counts.iter().filter(|(check, _)| !stands(check.name));
    looked.filter_map(|(_, look)| look(pod)).collect()
}

/// Everything that is wrong, with where.
pub(crate) fn details(found: &[Violation]) -> String {
    let one = |violation: &Violation| match violation.detail.as_str() {
        "" => violation.reason.clone(),
        detail => format!("{} ({detail})", violation.reason),
    };
    found.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Everything that is wrong, in a few words.
pub(super) fn reasons(found: &[Violation]) -> String {
    found.iter().map(|violation| &*violation.reason).collect::<Vec<_>>().join(", ")
}

/// One thing or several.
pub(super) fn plural<'a>(one: &'a str, several: &'a str, count: usize) -> &'a str {
    if count == 1 { one } else { several }
}

/// Words in quotes, as they are.
pub(super) fn quoted<T: AsRef<str>>(words: impl IntoIterator<Item = T>) -> String {
    let words = words.into_iter().map(|word| format!("\"{}\"", word.as_ref()));
    words.collect::<Vec<_>>().join(", ")
}

/// Containers, by name.
pub(super) fn containers(names: &[&str]) -> String {
    format!("{} {}", plural("container", "containers", names.len()), quoted(names))
}

/// Who set something: the pod, containers of it, or both; empty if nobody did.
pub(super) fn setters(is_pod: bool, names: &[&str]) -> String {
    let pod = is_pod.then(|| "pod".to_owned());
    let of_containers = (!names.is_empty()).then(|| containers(names));
    pod.into_iter().chain(of_containers).collect::<Vec<_>>().join(" and ")
}
