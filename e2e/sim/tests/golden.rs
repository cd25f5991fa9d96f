//! Runs every script of `scenarios/` and compares the transcript with the golden one beside it. `UPDATE_GOLDEN=1`
//! writes the golden ones anew.

use std::fs;
use std::path::{Path, PathBuf};

fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

fn check(name: &str) {
    let dir = scenarios();
    let script = fs::read_to_string(dir.join(format!("{name}.txt"))).unwrap();
    let transcript = leme_sim::run(&script, &|file| fs::read_to_string(dir.join(file))).unwrap();
    let golden = dir.join(format!("{name}.golden"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&golden, &transcript).unwrap();
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    for (number, (got, wanted)) in transcript.lines().zip(expected.lines()).enumerate() {
        assert_eq!(got, wanted, "{name}.golden, line {}", number + 1);
    }
    assert_eq!(transcript.lines().count(), expected.lines().count(), "length of {name}.golden");
}

/// A test for each script, by its name with `_` for `-`.
macro_rules! goldens {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                check(&stringify!($name).replace('_', "-"));
            }
        )*

        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

goldens! {
    autoscaler
    builds
    crash_loop
    cron_job_allow
    cron_job_crash
    cron_job_forbid
    cron_job_freeze
    cron_job_hide
    cron_job_replace
    cron_job_suspended
    cron_jobs
    daemon_set
    daemon_set_crash
    daemon_set_freeze
    daemon_set_hide
    daemon_set_nodes
    daemon_set_surge
    daemon_set_taints
    deployment
    deployment_back
    deployment_config
    deployment_config_cancel
    deployment_config_crash
    deployment_config_freeze
    deployment_config_hide
    deployment_crash
    deployment_deadline
    deployment_foreground
    deployment_freeze
    deployment_hide
    deployment_paused
    deployment_proportional
    deployment_recreate
    disruption_budget
    endpoints
    job_backoff
    job_crash
    job_failure_policy
    job_freeze
    job_hide
    job_replacement
    job_success_policy
    job_suspend
    job_ttl
    jobs
    namespace
    no_room
    node_flap
    node_lost
    node_taint
    preemption
    replica_set
    replica_set_adoption
    replica_set_crash
    replica_set_freeze
    replica_set_hide
    replication_controller_crash
    replication_controller_freeze
    replication_controller_hide
    replication_controller_orphan
    scale
    spread
    stateful_set
    stateful_set_crash
    stateful_set_freeze
    stateful_set_hide
    stateful_set_ordered
    stateful_set_parallel
    stateful_set_partition
    stateful_set_start
}

#[test]
fn every_script_has_a_test() {
    let mut names: Vec<String> = fs::read_dir(scenarios())
        .unwrap()
        .filter_map(|entry| {
            entry.unwrap().file_name().into_string().ok()?.strip_suffix(".txt").map(str::to_owned)
        })
        .collect();
    names.sort();
    let mut known: Vec<String> = NAMES.iter().map(|name| name.replace('_', "-")).collect();
    known.sort();
    assert_eq!(names, known);
}
