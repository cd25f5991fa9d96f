//! The document's fields, one by one.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Config, args};
use crate::profile::{ALWAYS, PLUGINS, PREEMPTION, Plugin, Profile};

pub(super) const API_VERSION: &str = "kubescheduler.config.k8s.io/v1";
const KIND: &str = "KubeSchedulerConfiguration";
/// The greatest weight of a score.
const HEAVIEST: i64 = i32::MAX as i64 / 100;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    api_version: String,
    kind: String,
    #[serde(default)]
    profiles: Vec<Written>,
    #[serde(default)]
    leader_election: Option<LeaderElection>,
    #[serde(default)]
    percentage_of_nodes_to_score: Option<i64>,
    #[serde(default)]
    pod_initial_backoff_seconds: Option<u64>,
    #[serde(default)]
    pod_max_backoff_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LeaderElection {
    #[serde(default)]
    leader_elect: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    #[serde(default)]
    scheduler_name: Option<String>,
    #[serde(default)]
    percentage_of_nodes_to_score: Option<i64>,
    #[serde(default)]
    plugins: Plugins,
    #[serde(default)]
    plugin_config: Vec<PluginConfig>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Plugins {
    #[serde(default)]
    multi_point: Set,
    #[serde(default)]
    filter: Set,
    #[serde(default)]
    post_filter: Set,
    #[serde(default)]
    score: Set,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Set {
    #[serde(default)]
    enabled: Vec<Named>,
    #[serde(default)]
    disabled: Vec<Named>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
    #[serde(default)]
    weight: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PluginConfig {
    pub(super) name: String,
    pub(super) args: Value,
}

/// Reads what is at a path; what cannot be read says where it stands.
pub(super) fn at<T: DeserializeOwned>(path: &str, value: &Value) -> Result<T, String> {
    T::deserialize(value).map_err(|error| format!("{path}: {error}"))
}

pub(super) fn config(document: &Value) -> Result<Config, String> {
    let document: Document = at(KIND, document)?;
    if (document.api_version.as_str(), document.kind.as_str()) != (API_VERSION, KIND) {
        let (version, kind) = (&document.api_version, &document.kind);
        return Err(format!("expected a {KIND} of {API_VERSION}, not a {kind} of {version}"));
    }
    let elects = document.leader_election.and_then(|one| one.leader_elect);
    if elects == Some(false) {
        return Err(
            "leaderElection.leaderElect: a scheduler here always holds its lease".to_owned()
        );
    }
    let mut config = Config::default();
    let seconds = |field: &str, value: Option<u64>, known: Duration| match value {
        Some(0) => Err(format!("{field}: must be greater than 0")),
        value => Ok(value.map_or(known, Duration::from_secs)),
    };
    let (first, last) = config.backoff;
    let first = seconds("podInitialBackoffSeconds", document.pod_initial_backoff_seconds, first)?;
    let last = seconds("podMaxBackoffSeconds", document.pod_max_backoff_seconds, last)?;
    if last < first {
        return Err(
            "podMaxBackoffSeconds: must be greater than or equal to PodInitialBackoffSeconds"
                .to_owned(),
        );
    }
    config.backoff = (first, last);
    let all = percent("percentageOfNodesToScore", document.percentage_of_nodes_to_score)?;
    let written =
        if document.profiles.is_empty() { vec![Written::default()] } else { document.profiles };
    config.profiles.clear();
    for (index, one) in written.into_iter().enumerate() {
        let path = format!("profiles[{index}]");
        let profile = profile(&path, one, all)?;
        if config.profiles.iter().any(|known| known.name == profile.name) {
            return Err(format!("{path}.schedulerName: Duplicate value: {:?}", profile.name));
        }
        config.profiles.push(Arc::new(profile));
    }
    Ok(config)
}

/// How many nodes are enough; 0 leaves it to the cluster's size.
fn percent(path: &str, value: Option<i64>) -> Result<Option<usize>, String> {
    match value.map(usize::try_from) {
        None | Some(Ok(0)) => Ok(None),
        Some(Ok(percent)) if percent <= 100 => Ok(Some(percent)),
        Some(_) => Err(format!("{path}: not in valid range [0-100]")),
    }
}

fn profile(path: &str, written: Written, all: Option<usize>) -> Result<Profile, String> {
    let mut profile = Profile::default();
    match written.scheduler_name.as_deref() {
        None | Some(crate::SCHEDULER_NAME) => {}
        Some("") => return Err(format!("{path}.schedulerName: Required value")),
        // Profiles are read once for each process.
        Some(name) => profile.name = Box::leak(name.to_owned().into_boxed_str()),
    }
    let field = format!("{path}.percentageOfNodesToScore");
    profile.enough = percent(&field, written.percentage_of_nodes_to_score)?.or(all);
    let plugins = &written.plugins;
    let path_of = |point: &str| format!("{path}.plugins.{point}");
    turn(&path_of("multiPoint"), &plugins.multi_point, &mut profile, Point::ALL)?;
    turn(&path_of("filter"), &plugins.filter, &mut profile, Point::FILTER)?;
    turn(&path_of("postFilter"), &plugins.post_filter, &mut profile, Point::POST_FILTER)?;
    turn(&path_of("score"), &plugins.score, &mut profile, Point::SCORE)?;
    for (index, one) in written.plugin_config.iter().enumerate() {
        args::read(&format!("{path}.pluginConfig[{index}]"), one, &mut profile)?;
    }
    Ok(profile)
}

/// Where a set of plugins says something.
#[derive(Clone, Copy)]
struct Point {
    filter: bool,
    score: bool,
    post_filter: bool,
}

impl Point {
    const ALL: Point = Point { filter: true, score: true, post_filter: true };
    const FILTER: Point = Point { filter: true, score: false, post_filter: false };
    const SCORE: Point = Point { filter: false, score: true, post_filter: false };
    const POST_FILTER: Point = Point { filter: false, score: false, post_filter: true };

    /// Turns a plugin on or off; whether there is anything of it here.
    fn set(self, plugin: &Plugin, on: bool, weight: i64, profile: &mut Profile) -> bool {
        let filter = plugin.filter.filter(|_| self.filter);
        let score = plugin.score.filter(|_| self.score);
        filter.into_iter().for_each(|one| profile.set_filter(one, on));
        // Upstream has no weight of zero: who wants none turns the score off.
        let weight = if on { weight.max(1) } else { 0 };
        score.into_iter().for_each(|(one, _)| profile.set_weight(one, weight));
        filter.is_some() || score.is_some()
    }
}

fn turn(path: &str, set: &Set, profile: &mut Profile, point: Point) -> Result<(), String> {
    for (index, named) in set.disabled.iter().enumerate() {
        let field = format!("{path}.disabled[{index}].name");
        if named.name == "*" {
            for plugin in PLUGINS {
                point.set(plugin, false, 0, profile);
            }
            profile.preempts &= !point.post_filter;
            continue;
        }
        one(&field, named, false, profile, point)?;
    }
    for (index, named) in set.enabled.iter().enumerate() {
        one(&format!("{path}.enabled[{index}].name"), named, true, profile, point)?;
    }
    Ok(())
}

fn one(
    field: &str,
    named: &Named,
    on: bool,
    profile: &mut Profile,
    point: Point,
) -> Result<(), String> {
    let name = named.name.as_str();
    if !(0..=HEAVIEST).contains(&named.weight) {
        return Err(format!("{field}: the weight of {name} must be from 0 to {HEAVIEST}"));
    }
    if name == PREEMPTION && point.post_filter {
        profile.preempts = on;
        return Ok(());
    }
    if ALWAYS.contains(&name) {
        return match on {
            true => Ok(()),
            false => Err(format!("{field}: {name} cannot be disabled")),
        };
    }
    let known = PLUGINS.iter().find(|plugin| plugin.name == name);
    match known.is_some_and(|plugin| point.set(plugin, on, named.weight, profile)) {
        true => Ok(()),
        false => Err(format!("{field}: there is no plugin {name} here")),
    }
}
