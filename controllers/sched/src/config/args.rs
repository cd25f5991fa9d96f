//! The arguments of plugins.

use k8s_openapi::api::core::v1::{NodeAffinity, TopologySpreadConstraint};
use serde::Deserialize;

use super::read::{API_VERSION, PluginConfig, at};
use crate::profile::{Profile, Rating, Spreading};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FitArgs {
    #[serde(default)]
    ignored_resources: Vec<String>,
    #[serde(default)]
    ignored_resource_groups: Vec<String>,
    #[serde(default)]
    scoring_strategy: Option<Strategy>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Strategy {
    #[serde(rename = "type")]
    type_: String,
    #[serde(default)]
    resources: Vec<Rated>,
    #[serde(default)]
    requested_to_capacity_ratio: Option<Ratio>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rated {
    name: String,
    #[serde(default)]
    weight: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ratio {
    shape: Vec<Dot>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dot {
    utilization: i64,
    score: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AffinityArgs {
    #[serde(default)]
    added_affinity: NodeAffinity,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PodsArgs {
    #[serde(default)]
    hard_pod_affinity_weight: Option<i64>,
    #[serde(default)]
    ignore_preferred_terms_of_existing_pods: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SpreadArgs {
    #[serde(default)]
    default_constraints: Vec<TopologySpreadConstraint>,
    #[serde(default)]
    defaulting_type: Option<String>,
}

/// Reads the arguments of one plugin into a profile.
pub(super) fn read(path: &str, config: &PluginConfig, profile: &mut Profile) -> Result<(), String> {
    let mut args = config.args.clone();
    let kind = format!("{}Args", config.name);
    if let Some(fields) = args.as_object_mut() {
        for (field, expected) in [("apiVersion", API_VERSION), ("kind", kind.as_str())] {
            if fields.remove(field).is_some_and(|found| found != expected) {
                return Err(format!("{path}.args.{field}: expected {expected}"));
            }
        }
    }
    let path = format!("{path}.args");
    match config.name.as_str() {
        "NodeResourcesFit" => fit(&path, at(&path, &args)?, profile),
        "NodeAffinity" => {
            profile.added_affinity = at::<AffinityArgs>(&path, &args)?.added_affinity;
            Ok(())
        }
        "InterPodAffinity" => {
            let args: PodsArgs = at(&path, &args)?;
            profile.hard_weight = args.hard_pod_affinity_weight.unwrap_or(1);
            profile.ignores_wishes = args.ignore_preferred_terms_of_existing_pods;
            match profile.hard_weight {
                0..=100 => Ok(()),
                _ => Err(format!("{path}.hardPodAffinityWeight: not in valid range [0-100]")),
            }
        }
        "PodTopologySpread" => spreading(&path, at(&path, &args)?, profile),
        name => Err(format!("{path}: arguments of {name} are not carried out here")),
    }
}

fn fit(path: &str, args: FitArgs, profile: &mut Profile) -> Result<(), String> {
    profile.ignored = args.ignored_resources;
    profile.ignored.extend(args.ignored_resource_groups);
    let Some(strategy) = args.scoring_strategy else { return Ok(()) };
    let path = format!("{path}.scoringStrategy");
    if !strategy.resources.is_empty() {
        profile.rated =
            strategy.resources.into_iter().map(|one| (one.name, one.weight.max(1))).collect();
    }
    if let Some((name, _)) = profile.rated.iter().find(|(_, weight)| *weight > 100) {
        return Err(format!(
            "{path}.resources: the weight of {name} is not in valid range [1-100]"
        ));
    }
    profile.rating = match (strategy.type_.as_str(), strategy.requested_to_capacity_ratio) {
        ("LeastAllocated", None) => Rating::Least,
        ("MostAllocated", None) => Rating::Most,
        ("RequestedToCapacityRatio", Some(ratio)) => line(&path, &ratio.shape)?,
        ("RequestedToCapacityRatio", None) => {
            return Err(format!("{path}.requestedToCapacityRatio: Required value"));
        }
        ("LeastAllocated" | "MostAllocated", Some(_)) => {
            return Err(format!(
                "{path}.requestedToCapacityRatio: is for RequestedToCapacityRatio"
            ));
        }
        (other, _) => {
            return Err(format!(
                "{path}.type: Unsupported value: {other:?}: supported values: \"LeastAllocated\", \"MostAllocated\", \"RequestedToCapacityRatio\""
            ));
        }
    };
    Ok(())
}

fn line(path: &str, shape: &[Dot]) -> Result<Rating, String> {
    let path = format!("{path}.requestedToCapacityRatio.shape");
    if shape.is_empty() {
        return Err(format!("{path}: Required value: at least one point must be specified"));
    }
    let mut before = -1;
    for dot in shape {
        if !(0..=100).contains(&dot.utilization) || !(0..=10).contains(&dot.score) {
            return Err(format!("{path}: utilization is not in [0-100], or score not in [0-10]"));
        }
        if dot.utilization <= before {
            return Err(format!("{path}: utilization values must be sorted in increasing order"));
        }
        before = dot.utilization;
    }
    Ok(Rating::Line(shape.iter().map(|dot| (dot.utilization, dot.score * 10)).collect()))
}

fn spreading(path: &str, args: SpreadArgs, profile: &mut Profile) -> Result<(), String> {
    let path = format!("{path}.defaultConstraints");
    if args.default_constraints.iter().any(|one| one.label_selector.is_some()) {
        return Err(format!(
            "{path}: constraint must not define a selector, as they deduced for each pod"
        ));
    }
    for one in &args.default_constraints {
        let known = matches!(one.when_unsatisfiable.as_str(), "DoNotSchedule" | "ScheduleAnyway");
        if one.max_skew < 1 || one.topology_key.is_empty() || !known {
            return Err(format!(
                "{path}: each needs a maxSkew greater than zero, a topologyKey and a whenUnsatisfiable that is known"
            ));
        }
    }
    profile.spreading = match (args.defaulting_type.as_deref(), args.default_constraints) {
        (None | Some("System"), none) if none.is_empty() => Spreading::System,
        (Some("List"), list) => Spreading::By(list),
        (None | Some("System"), _) => {
            return Err(format!(
                "{path}: when .defaultingType is System, no constraints may be set"
            ));
        }
        (Some(other), _) => return Err(format!("{path}: there is no defaultingType {other:?}")),
    };
    Ok(())
}
