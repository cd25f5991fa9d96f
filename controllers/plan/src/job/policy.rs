//! What a job's policies say of a failed pod and of the indexes that are done.

use k8s_openapi::api::batch::v1::{
    PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyOnPodConditionsPattern, SuccessPolicy,
};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};

use super::indexes::Indexes;

/// What the failure policy makes of a failed pod.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Why the whole job fails, if it does.
    pub(super) fails_job: Option<String>,
    /// Whether the pod's index fails at once.
    pub(super) fails_index: bool,
    /// Whether the pod does not count as failed.
    pub(super) ignored: bool,
}

/// Judges a failed pod by the first rule that matches.
pub(super) fn judge(policy: Option<&PodFailurePolicy>, pod: &Pod) -> Verdict {
    let rules = policy.iter().flat_map(|policy| policy.rules.iter().enumerate());
    let empty = PodStatus::default();
    let status = pod.status.as_ref().unwrap_or(&empty);
    for (index, rule) in rules {
        let what = if let Some(codes) = &rule.on_exit_codes {
            exited(status, codes).map(|(name, code)| {
                format!("Container {name} for pod {} failed with exit code {code}", full_name(pod))
            })
        } else {
            condition(status, rule.on_pod_conditions.as_deref().unwrap_or_default())
                .map(|kind| format!("Pod {} has condition {kind}", full_name(pod)))
        };
        let Some(what) = what else { continue };
        match rule.action.as_str() {
            "Ignore" => return Verdict { ignored: true, ..Verdict::default() },
            "FailIndex" => return Verdict { fails_index: true, ..Verdict::default() },
            "Count" => return Verdict::default(),
            "FailJob" => {
                let why = format!("{what} matching FailJob rule at index {index}");
                return Verdict { fails_job: Some(why), ..Verdict::default() };
            }
            _ => {}
        }
    }
    Verdict::default()
}

fn full_name(pod: &Pod) -> String {
    let meta = &pod.metadata;
    format!("{}/{}", meta.namespace.as_deref().unwrap_or(""), meta.name.as_deref().unwrap_or(""))
}

fn exited<'a>(
    status: &'a PodStatus,
    wanted: &PodFailurePolicyOnExitCodesRequirement,
) -> Option<(&'a str, i32)> {
    let all = status.container_statuses.iter().flatten();
    all.chain(status.init_container_statuses.iter().flatten()).find_map(|container| {
        let code = exit_code(container).filter(|code| *code != 0)?;
        let named = wanted.container_name.as_ref().is_none_or(|name| *name == container.name);
        let listed = wanted.values.contains(&code);
        let matching = match wanted.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        };
        (named && matching).then_some((container.name.as_str(), code))
    })
}

fn exit_code(container: &ContainerStatus) -> Option<i32> {
    Some(container.state.as_ref()?.terminated.as_ref()?.exit_code)
}

fn condition<'a>(
    status: &'a PodStatus,
    patterns: &[PodFailurePolicyOnPodConditionsPattern],
) -> Option<&'a str> {
    let found = status.conditions.iter().flatten().find(|condition| {
        patterns.iter().any(|pattern| {
            pattern.type_ == condition.type_
                && pattern.status.as_deref().unwrap_or("True") == condition.status
        })
    });
    found.map(|condition| condition.type_.as_str())
}

/// What the first rule of the success policy that is met is told by, if one is.
pub(super) fn met(
    policy: Option<&SuccessPolicy>,
    done: &Indexes,
    completions: i32,
) -> Option<String> {
    if done.is_empty() {
        return None;
    }
    let mut rules = policy?.rules.iter();
    let index = rules.position(|rule| {
        let Some(text) = &rule.succeeded_indexes else {
            return rule.succeeded_count.is_some_and(|count| done.total() >= count);
        };
        let wanted = Indexes::parse(text, completions);
        let common = wanted.common(done);
        !wanted.is_empty()
            && (common == wanted.total()
                || rule.succeeded_count.is_some_and(|count| common >= count))
    })?;
    Some(format!("Matched rules at index {index}"))
}
