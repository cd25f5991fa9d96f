//! How long a job waits before it makes up for failed pods: twice as long after each failure without a success between.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::common::{after, until};
use crate::pods;

const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(600);

/// When a pod ended: by its containers, else its conditions, else the time of its deletion, else that of its creation.
pub(super) fn finished(pod: &Pod) -> Timestamp {
    let created = || pod.metadata.creation_timestamp.as_ref().map_or(Timestamp::MIN, |time| time.0);
    by_containers(pod)
        .or_else(|| by_condition(pod))
        .or_else(|| by_deletion(pod))
        .unwrap_or_else(created)
}

fn by_containers(pod: &Pod) -> Option<Timestamp> {
    let all = pod.status.as_ref()?.container_statuses.as_ref()?;
    let ends: Option<Vec<Timestamp>> = all
        .iter()
        .map(|one| Some(one.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref()?.0))
        .collect();
    ends?.into_iter().max()
}

fn by_condition(pod: &Pod) -> Option<Timestamp> {
    let ready = pods::condition(pod, "Ready").filter(|condition| condition.status == "False")?;
    ready.last_transition_time.as_ref().map(|time| time.0)
}

fn by_deletion(pod: &Pod) -> Option<Timestamp> {
    let deleted = pod.metadata.deletion_timestamp.as_ref()?.0;
    Some(after(deleted, -pod.metadata.deletion_grace_period_seconds.unwrap_or(0)))
}

/// What is left of the delay after so many failures, the last of them at `last`.
pub(super) fn left(failures: i32, last: Timestamp, now: Timestamp) -> Duration {
    if failures <= 0 {
        return Duration::ZERO;
    }
    let doublings = u32::try_from(failures - 1).unwrap_or(0).min(16);
    let delay = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    until(after(last, i64::try_from(delay.as_secs()).unwrap_or(0)), now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(failures: i32, passed: i64, expected: u64) {
        let last = Timestamp::UNIX_EPOCH;
        assert_eq!(left(failures, last, after(last, passed)), Duration::from_secs(expected));
    }

    #[test]
    fn the_delay_doubles_up_to_ten_minutes() {
        check(0, 0, 0);
        check(1, 0, 10);
        check(1, 4, 6);
        check(2, 0, 20);
        check(6, 0, 320);
        check(7, 0, 600);
        check(i32::MAX, 0, 600);
        check(3, 41, 0);
    }
}
