//! Amounts of what pods ask for and nodes have.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use leme_plan::quantity;

/// Amounts: CPU in thousandths, the rest in whole units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Thousandths of a CPU.
    pub cpu: i64,
    /// Bytes of memory.
    pub memory: i64,
    /// Bytes of ephemeral storage.
    pub ephemeral: i64,
    /// Everything else by name: devices, huge pages.
    pub extended: BTreeMap<String, i64>,
}

/// CPU and memory that scoring takes a container to use that asks for none.
const DEFAULT_CPU: i64 = 100;
const DEFAULT_MEMORY: i64 = 200 * 1024 * 1024;

impl Resources {
    /// Reads a resource list.
    pub fn read(list: Option<&BTreeMap<String, Quantity>>) -> Resources {
        let mut resources = Resources::default();
        for (name, amount) in list.into_iter().flatten() {
            match name.as_str() {
                "cpu" => resources.cpu = quantity::milli(amount),
                "memory" => resources.memory = quantity::whole(amount),
                "ephemeral-storage" => resources.ephemeral = quantity::whole(amount),
                "pods" => {}
                _ => {
                    resources.extended.insert(name.clone(), quantity::whole(amount));
                }
            }
        }
        resources
    }

    /// Adds amounts.
    pub fn add(&mut self, other: &Resources) {
        self.each(other, i64::saturating_add);
    }

    /// Takes amounts away.
    pub fn subtract(&mut self, other: &Resources) {
        self.each(other, i64::saturating_sub);
    }

    /// Takes the greater amount of each.
    pub fn max(&mut self, other: &Resources) {
        self.each(other, i64::max);
    }

    /// Puts what a pod as a whole asks for in the place of what its containers do.
    fn put(&mut self, list: Option<&BTreeMap<String, Quantity>>) {
        for (name, amount) in list.into_iter().flatten() {
            match name.as_str() {
                "cpu" => self.cpu = quantity::milli(amount),
                "memory" => self.memory = quantity::whole(amount),
                pages if pages.starts_with("hugepages-") => {
                    self.extended.insert(name.clone(), quantity::whole(amount));
                }
                _ => {}
            }
        }
    }

    fn each(&mut self, other: &Resources, by: fn(i64, i64) -> i64) {
        self.cpu = by(self.cpu, other.cpu);
        self.memory = by(self.memory, other.memory);
        self.ephemeral = by(self.ephemeral, other.ephemeral);
        for (name, amount) in &other.extended {
            let known = self.extended.entry(name.clone()).or_default();
            *known = by(*known, *amount);
        }
    }
}

/// What a pod asks for: the sum of its containers, or what its start needs at most, whichever is more, unless the pod as a
/// whole says; and the overhead.
/// With `floor`, containers that ask for no CPU or memory count with a default, as scoring wants it.
pub(crate) fn of_pod(spec: &PodSpec, floor: bool) -> Resources {
    let ask = |container: &Container| {
        let requests =
            container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        let mut resources = Resources::read(requests);
        let named = |name: &str| requests.is_some_and(|all| all.contains_key(name));
        if floor && !named("cpu") {
            resources.cpu = DEFAULT_CPU;
        }
        if floor && !named("memory") {
            resources.memory = DEFAULT_MEMORY;
        }
        resources
    };
    let mut running = Resources::default();
    for container in &spec.containers {
        running.add(&ask(container));
    }
    let (mut sidecars, mut starting) = (Resources::default(), Resources::default());
    for container in spec.init_containers.iter().flatten() {
        let mut need = ask(container);
        if container.restart_policy.as_deref() == Some("Always") {
            running.add(&need);
            sidecars.add(&need);
            need = sidecars.clone();
        } else {
            need.add(&sidecars);
        }
        starting.max(&need);
    }
    running.max(&starting);
    running.put(spec.resources.as_ref().and_then(|whole| whole.requests.as_ref()));
    running.add(&Resources::read(spec.overhead.as_ref()));
    running
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(spec: Value, cpu: i64) {
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        assert_eq!(of_pod(&spec, false).cpu, cpu);
    }

    fn container(cpu: &str, restart: Option<&str>) -> Value {
        json!({"name": "c", "restartPolicy": restart, "resources": {"requests": {"cpu": cpu}}})
    }

    /// Red when the containers count beside the pod, or when what is no pod's counts for one.
    #[test]
    fn a_pod_as_a_whole_says_what_it_asks_for() {
        let mut spec = json!({"containers": [container("1", None), container("500m", None)],
            "initContainers": [container("3", None)], "overhead": {"cpu": "250m"},
            "resources": {"limits": {"cpu": "9"}, "requests": {"cpu": "2", "memory": "1Mi",
                "hugepages-2Mi": "2Mi", "ephemeral-storage": "1Gi", "a.test/b": "1"}}});
        check(spec.clone(), 2250);
        let read: PodSpec = serde_json::from_value(spec.clone()).unwrap();
        let all = of_pod(&read, true);
        assert_eq!((all.memory, all.ephemeral), (1 << 20, 0));
        assert_eq!(all.extended, [("hugepages-2Mi".to_owned(), 2 << 20)].into());
        spec["resources"] = json!({"requests": {"memory": "1Mi"}});
        check(spec, 3250);
    }

    #[test]
    fn init_containers_count_by_their_peak_and_sidecars_stay() {
        check(json!({"containers": [container("1", None), container("500m", None)]}), 1500);
        check(
            json!({"containers": [container("1", None)], "initContainers": [container("3", None)]}),
            3000,
        );
        check(
            json!({"containers": [container("1", None)],
                "initContainers": [container("1", Some("Always")), container("3", None)]}),
            4000,
        );
        check(
            json!({"containers": [container("1", None)], "overhead": {"cpu": "250m"},
                "initContainers": [container("2", None), container("1", Some("Always"))]}),
            2250,
        );
    }
}
