//! What sandboxes and their containers use, read from their cgroups.
//!
//! Knows: which cgroup is whose. Refuses to know: rates, which take two readings.

use leme_host::cgroup::Cgroup;
use leme_host::files::now_nanos;
use leme_host::helper::protocol::Phase;
use leme_node_core::cri::{ContainerStats, Memory, PodIdentity, SandboxStats, Usage};

use super::{EmbeddedRuntime, lock};

/// A sandbox in which something runs, and where it is counted.
pub(super) struct Group {
    id: String,
    pod: PodIdentity,
    created_at: i64,
    cgroup: String,
    containers: Vec<Member>,
}

/// A container that runs, and where it is counted.
struct Member {
    id: String,
    name: String,
    started_at: i64,
    cgroup: String,
}

impl EmbeddedRuntime {
    /// The sandboxes in which something runs.
    pub(super) fn groups(&self) -> Vec<Group> {
        let sandboxes: Vec<_> = lock(&self.sandboxes).values().cloned().collect();
        let group = |record: super::SandboxRecord| {
            let inside = self.containers_of(&record.id);
            let members = inside.iter().filter_map(|entry| {
                let Phase::Running { started_at, .. } = entry.phase() else { return None };
                Some(Member {
                    id: entry.record.request.id.clone(),
                    name: entry.record.config.name.clone(),
                    started_at,
                    cgroup: entry.record.request.spec.cgroup.clone(),
                })
            });
            let cgroup = self.config.pod_cgroup(&record.config.pod.uid);
            let containers = members.collect();
            Group {
                id: record.id,
                pod: record.config.pod,
                created_at: record.created_at,
                cgroup,
                containers,
            }
        };
        let all = sandboxes.into_iter().map(group);
        all.filter(|group| !group.containers.is_empty()).collect()
    }
}

/// Reads what a sandbox and its containers use.
pub(super) fn read(group: Group) -> SandboxStats {
    let containers = group.containers.into_iter().map(|member| ContainerStats {
        usage: usage(&member.cgroup),
        id: member.id,
        name: member.name,
        started_at: member.started_at,
    });
    SandboxStats {
        usage: usage(&group.cgroup),
        id: group.id,
        pod: group.pod,
        created_at: group.created_at,
        containers: containers.collect(),
    }
}

fn usage(cgroup: &str) -> Usage {
    let read = Cgroup::new(cgroup).map(|group| group.usage()).unwrap_or_default();
    Usage {
        at: now_nanos(),
        cpu_nanos: read.cpu_nanos,
        memory: read.memory.map(|memory| Memory {
            usage: memory.usage,
            working_set: memory.working_set,
            rss: memory.rss,
            page_faults: memory.page_faults,
            major_page_faults: memory.major_page_faults,
        }),
    }
}
