//! How many replicas follow from what pods use: upstream's cases as a table. Amounts are in thousandths.

use serde_json::{Value, from_value, json};

use super::*;

const NOW: &str = "2026-01-01T12:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// What a pod is like besides what it uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pod_ {
    Ready,
    /// Has never been ready, though it started long ago.
    Unready,
    /// Has just become ready: nothing was measured over a whole window yet.
    Hot,
    /// Was ready, long ago.
    Lapsed,
    Pending,
    Failed,
    Deleting,
}
use Pod_::*;

fn pod(index: usize, is: Pod_, request: Option<i64>) -> Arc<Pod> {
    let phase = match is {
        Pending => "Pending",
        Failed => "Failed",
        _ => "Running",
    };
    let long_ago = "2026-01-01T08:00:00Z";
    let (start, ready, since) = match is {
        Hot => ("2026-01-01T11:59:50Z", "True", "2026-01-01T11:59:55Z"),
        Unready => (long_ago, "False", long_ago),
        Lapsed => (long_ago, "False", "2026-01-01T09:00:00Z"),
        _ => (long_ago, "True", long_ago),
    };
    let requests = request.map_or(
        json!({}),
        |milli| json!({ "cpu": format!("{milli}m"), "memory": format!("{milli}m") }),
    );
    let pod = json!({
        "metadata": { "name": format!("p{index}"),
            "deletionTimestamp": (is == Deleting).then_some(NOW) },
        "spec": { "containers": [{ "name": "c", "resources": { "requests": requests } }] },
        "status": { "phase": phase, "startTime": start,
            "conditions": [{ "type": "Ready", "status": ready, "lastTransitionTime": since }] },
    });
    Arc::new(from_value(pod).unwrap())
}

fn used(levels: &[i64]) -> Metrics {
    let one = |(index, value): (usize, &i64)| {
        let window = Duration::from_secs(60);
        (format!("p{index}"), Used { at: now(), window, value: *value })
    };
    levels.iter().enumerate().map(one).collect()
}

const CPU: Of<'_> = Of { resource: "cpu", container: "" };
const TENTH: Tolerances = Tolerances { down: 0.1, up: 0.1 };

/// Pods that request 1000 each, of which the first ones use so much: replicas, percent and average that follow for a target
/// in percent.
fn check(pods: &[Pod_], levels: &[i64], current: i32, target: i32, expected: (i32, i32, i64)) {
    let all: Vec<_> =
        pods.iter().enumerate().map(|(index, is)| pod(index, *is, Some(1000))).collect();
    let wanted = Wanted::Utilization(target);
    let proposal = propose(wanted, CPU, (&all, used(levels)), current, TENTH, now()).unwrap();
    let (replicas, percent, average) = expected;
    let expected = Proposal { replicas, utilization: Some(percent), average };
    assert_eq!(proposal, expected, "{pods:?} {levels:?} {current} {target}");
}

#[test]
fn more_is_used_than_wanted() {
    check(&[Ready; 3], &[300, 500, 700], 3, 30, (5, 50, 500));
    // Those that say nothing of the load yet take a part of it once they do.
    check(&[Unready, Ready, Ready], &[300, 500, 700], 3, 30, (4, 60, 600));
    check(&[Hot, Ready, Ready], &[300, 500, 700], 3, 30, (4, 60, 600));
    check(&[Ready, Unready, Unready], &[400, 500, 700], 3, 30, (3, 40, 400));
    check(&[Ready, Hot, Hot], &[400, 500, 700], 3, 30, (3, 40, 400));
    check(&[Ready, Pending], &[400, 0], 2, 30, (2, 40, 400));
    // What has failed or goes takes none.
    check(&[Ready, Ready, Failed, Failed], &[500, 700], 2, 30, (4, 60, 600));
    check(&[Ready, Ready, Deleting, Deleting], &[500, 700], 2, 30, (4, 60, 600));
    // One that was ready and is not any more is measured.
    check(&[Lapsed, Ready, Ready], &[300, 500, 700], 3, 30, (5, 50, 500));
}

#[test]
fn less_is_used_than_wanted() {
    let levels = [100, 300, 500, 250, 250];
    check(&[Ready; 5], &levels, 5, 50, (3, 28, 280));
    check(&[Ready, Ready, Ready, Unready, Unready], &levels, 5, 50, (2, 30, 300));
    check(&[Ready, Ready, Ready, Hot, Hot], &levels, 5, 50, (2, 30, 300));
    check(&[Ready, Ready, Ready, Ready, Ready, Failed, Failed], &levels, 5, 50, (3, 28, 280));
    check(&[Ready, Ready, Ready, Ready, Ready, Deleting], &levels, 5, 50, (3, 28, 280));
}

#[test]
fn of_some_pods_nothing_is_known() {
    check(&[Ready; 4], &[400, 95], 4, 100, (3, 24, 247));
    check(&[Ready; 2], &[1000], 2, 100, (2, 100, 1000));
    check(&[Ready; 2], &[1900], 2, 100, (2, 190, 1900));
    check(&[Ready; 2], &[600], 2, 100, (2, 60, 600));
    // Where more than the request is wanted, they are taken for what is wanted.
    check(&[Ready; 2], &[1000], 2, 300, (2, 100, 1000));
    check(&[Unready, Ready, Ready], &[100, 450], 3, 50, (3, 45, 450));
    check(&[Hot, Ready, Ready], &[100, 450], 3, 50, (3, 45, 450));
    check(&[Unready, Ready, Ready], &[100, 2000], 3, 50, (4, 200, 2000));
    check(&[Unready, Ready, Ready, Ready], &[100, 100, 100], 4, 50, (3, 10, 100));
    // More is known than there is.
    check(&[Ready; 4], &[4000, 9500, 3000, 7000, 3200, 2000], 4, 100, (24, 587, 5875));
}

#[test]
fn little_too_much_is_borne() {
    let pods: Vec<_> = [900, 1000, 1100]
        .iter()
        .enumerate()
        .map(|(index, request)| pod(index, Ready, Some(*request)))
        .collect();
    let check = |levels: &[i64], tolerances, expected| {
        let seen = (&*pods, used(levels));
        let proposal = propose(Wanted::Utilization(100), CPU, seen, 3, tolerances, now()).unwrap();
        assert_eq!(proposal.replicas, expected, "{levels:?} {tolerances:?}");
    };
    check(&[1010, 1030, 1020], TENTH, 3);
    check(&[1010, 1030, 1020], Tolerances { down: 0.1, up: 0.01 }, 4);
    check(&[600, 600, 630], TENTH, 2);
    check(&[600, 600, 630], Tolerances { down: 0.5, up: 0.1 }, 3);
}

#[test]
fn amounts_are_held_against_amounts() {
    let check = |resource, pods: &[Pod_], levels: &[i64], expected: (i32, i64)| {
        let all: Vec<_> = pods.iter().enumerate().map(|(n, is)| pod(n, *is, None)).collect();
        let of = Of { resource, container: "" };
        let seen = (&*all, used(levels));
        let proposal = propose(Wanted::Average(15_000), of, seen, 3, TENTH, now()).unwrap();
        let (replicas, average) = expected;
        assert_eq!(proposal, Proposal { replicas, utilization: None, average }, "{pods:?}");
    };
    check("memory", &[Ready; 3], &[20_000, 10_000, 30_000], (4, 20_000));
    // Only of the CPU a start says nothing.
    check("memory", &[Ready, Unready, Hot], &[50_000, 10_000, 30_000], (6, 30_000));
    check("memory", &[Hot, Ready, Unready], &[50_000, 15_000, 30_000], (7, 31_666));
    check("cpu", &[Ready, Unready, Hot], &[50_000, 10_000, 30_000], (4, 50_000));
    // One of which nothing is known uses what is wanted, or nothing.
    check("memory", &[Ready; 4], &[5_000, 5_000, 5_000], (2, 5_000));
    check("memory", &[Ready; 4], &[30_000, 30_000, 30_000], (6, 30_000));
}

#[test]
fn what_cannot_be_told_is_said() {
    let check = |pods: &[Arc<Pod>], metrics: Metrics, of: Of<'_>, expected: &str| {
        let told = propose(Wanted::Utilization(100), of, (pods, metrics), 1, TENTH, now());
        assert_eq!(told, Err(expected.to_owned()));
    };
    let one = [pod(0, Ready, Some(1000))];
    check(&[], used(&[100]), CPU, "no pods returned by selector while calculating replica count");
    let none = "did not receive metrics for targeted pods (pods might be unready)";
    check(&one, used(&[]), CPU, none);
    check(&[pod(0, Unready, Some(1000))], used(&[100]), CPU, none);
    let other = Metrics::from([("older".to_owned(), used(&[100])["p0"])]);
    check(&one, other, CPU, "no metrics returned matched known pods");
    let bare = [pod(0, Ready, None)];
    check(&bare, used(&[100]), CPU, "missing request for cpu in container c of Pod p0");
    let of = Of { resource: "cpu", container: "d" };
    check(&one, used(&[100]), of, "container d not found in Pod p0");
}

#[test]
fn requests_are_the_pods_or_its_containers() {
    let check = |spec: Value, container: &str, expected: Result<i64, &str>| {
        let pod = json!({ "metadata": { "name": "p" }, "spec": spec });
        let pod: Pod = from_value(pod).unwrap();
        let told = request(&pod, Of { resource: "cpu", container });
        assert_eq!(told, expected.map_err(str::to_owned));
    };
    let container = |name: &str, cpu: &str| json!({ "name": name, "resources": { "requests": { "cpu": cpu } } });
    let mut sidecar = container("s", "300m");
    sidecar["restartPolicy"] = "Always".into();
    let both = json!([container("a", "1"), container("b", "500m")]);
    let init = json!([container("i", "9"), sidecar]);
    check(json!({ "containers": both, "initContainers": init }), "", Ok(1800));
    check(json!({ "containers": both, "initContainers": init }), "b", Ok(500));
    check(json!({ "containers": both, "initContainers": init }), "s", Ok(300));
    let whole =
        |requests: Value| json!({ "containers": both, "resources": { "requests": requests } });
    check(whole(json!({ "cpu": "2" })), "", Ok(2000));
    check(whole(json!({ "cpu": "2" })), "a", Ok(1000));
    check(whole(json!({ "memory": "1Gi" })), "", Ok(1500));
    let bare = json!({ "containers": [{ "name": "a" }], "resources": { "requests": { "memory": "1Gi" } } });
    check(bare, "", Err("missing pod-level request for cpu in Pod p"));
}
