//! Containers as the runtime of a simulated node tells of them.
//!
//! Knows: the form of a status. Refuses to know: when containers run.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use leme_node_core::config::IMAGE;
use leme_node_core::cri::{ContainerState, ContainerStatus};

pub(crate) fn nanos(time: Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond()).unwrap_or(0)
}

/// The image of a pod's container, as the pod says it.
pub(crate) fn image_of(pod: &Pod, name: &str) -> String {
    let spec = pod.spec.as_ref();
    let init = spec.and_then(|spec| spec.init_containers.as_ref()).into_iter().flatten();
    let mut all = spec.map_or(&[][..], |spec| &spec.containers).iter().chain(init);
    let own = all.find(|one| one.name == name).and_then(|one| one.image.clone());
    own.unwrap_or_default()
}

/// What a runtime says of a container that runs, or has ended.
pub(crate) fn status(
    id: &str,
    (name, image): (&str, &str),
    attempt: u32,
    started: Timestamp,
    ended: Option<(Timestamp, i32)>,
) -> ContainerStatus {
    let code = ended.map_or(0, |(_, code)| code);
    let reason = match ended {
        None => "",
        Some((_, 0)) => "Completed",
        Some(_) => "Error",
    };
    ContainerStatus {
        id: id.to_owned(),
        sandbox_id: String::new(),
        name: name.to_owned(),
        attempt,
        state: if ended.is_some() { ContainerState::Exited } else { ContainerState::Running },
        pid: 1,
        created_at: nanos(started),
        started_at: nanos(started),
        finished_at: ended.map_or(0, |(at, _)| nanos(at)),
        exit_code: code,
        oom_killed: false,
        reason: reason.to_owned(),
        message: String::new(),
        image: image.to_owned(),
        image_id: "sha256:0".to_owned(),
        log_path: String::new(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::from([(IMAGE.to_owned(), image.to_owned())]),
    }
}
