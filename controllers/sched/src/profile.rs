//! A profile: which filters and scores count for the pods that ask for a scheduler by its name, and how much.
//!
//! Knows: upstream's plugins by name, and its default profile. Refuses to know: files, and how a plugin decides.

use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use k8s_openapi::api::core::v1::{NodeAffinity, TopologySpreadConstraint};

/// A filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    Unschedulable,
    Taints,
    NodeAffinity,
    Ports,
    Fit,
    VolumeRestrictions,
    VolumeLimits,
    VolumeBinding,
    VolumeZone,
    Spread,
    Pods,
}

/// A score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Score {
    Taints,
    NodeAffinity,
    Fit,
    Spread,
    Pods,
    Balance,
    Images,
}

const SCORES: usize = 7;

/// What a plugin of upstream's is here.
pub(crate) struct Plugin {
    pub(crate) name: &'static str,
    pub(crate) filter: Option<Filter>,
    /// With its weight in the default profile.
    pub(crate) score: Option<(Score, i64)>,
}

const fn plugin(name: &'static str, filter: Filter) -> Plugin {
    Plugin { name, filter: Some(filter), score: None }
}

const fn both(name: &'static str, filter: Filter, score: Score, weight: i64) -> Plugin {
    Plugin { name, filter: Some(filter), score: Some((score, weight)) }
}

const fn scoring(name: &'static str, score: Score, weight: i64) -> Plugin {
    Plugin { name, filter: None, score: Some((score, weight)) }
}

/// Those that can be turned on and off.
pub(crate) const PLUGINS: &[Plugin] = &[
    plugin("NodeUnschedulable", Filter::Unschedulable),
    both("TaintToleration", Filter::Taints, Score::Taints, 3),
    both("NodeAffinity", Filter::NodeAffinity, Score::NodeAffinity, 2),
    plugin("NodePorts", Filter::Ports),
    both("NodeResourcesFit", Filter::Fit, Score::Fit, 1),
    plugin("VolumeRestrictions", Filter::VolumeRestrictions),
    plugin("NodeVolumeLimits", Filter::VolumeLimits),
    plugin("VolumeBinding", Filter::VolumeBinding),
    plugin("VolumeZone", Filter::VolumeZone),
    both("PodTopologySpread", Filter::Spread, Score::Spread, 2),
    both("InterPodAffinity", Filter::Pods, Score::Pods, 2),
    scoring("NodeResourcesBalancedAllocation", Score::Balance, 1),
    scoring("ImageLocality", Score::Images, 1),
];

/// The one that makes room; it can be turned off as well.
pub(crate) const PREEMPTION: &str = "DefaultPreemption";

/// Those that every profile has: pods are taken by priority, gates hold them, and a node is named by a binding.
pub(crate) const ALWAYS: &[&str] =
    &["PrioritySort", "SchedulingGates", "NodeName", "DefaultBinder"];

/// How a node is rated by what is used of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Rating {
    /// The emptier the better.
    Least,
    /// The fuller the better.
    Most,
    /// As a line through these points says: percent in use, score from 0 to 100.
    Line(Vec<(i64, i64)>),
}

/// How pods are spread that do not say how.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Spreading {
    /// By nodes and zones, as far as it can be had.
    System,
    /// By these, without selectors.
    By(Vec<TopologySpreadConstraint>),
}

/// A profile.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// By which pods ask for it; Events speak in its name.
    pub name: &'static str,
    filters: u32,
    weights: [i64; SCORES],
    /// Whether room is made for its pods.
    pub preempts: bool,
    pub(crate) rating: Rating,
    /// What the rating looks at, each with its weight.
    pub(crate) rated: Vec<(String, i64)>,
    /// Extended resources that do not count: by name, or by what stands before the slash.
    pub(crate) ignored: Vec<String>,
    pub(crate) added_affinity: NodeAffinity,
    /// What a pod that must be near others weighs for those.
    pub(crate) hard_weight: i64,
    /// Whether the wishes of pods that are placed do not count.
    pub(crate) ignores_wishes: bool,
    pub(crate) spreading: Spreading,
    /// Percent of the nodes that are enough to choose from; `None` by the cluster's size.
    pub(crate) enough: Option<usize>,
}

impl Default for Profile {
    fn default() -> Profile {
        let rated = ["cpu", "memory"].map(|name| (name.to_owned(), 1)).into();
        let mut profile = Profile {
            name: crate::SCHEDULER_NAME,
            filters: 0,
            weights: [0; SCORES],
            preempts: true,
            rating: Rating::Least,
            rated,
            ignored: Vec::new(),
            added_affinity: NodeAffinity::default(),
            hard_weight: 1,
            ignores_wishes: false,
            spreading: Spreading::System,
            enough: None,
        };
        for plugin in PLUGINS {
            plugin.filter.into_iter().for_each(|one| profile.set_filter(one, true));
            plugin.score.into_iter().for_each(|(one, weight)| profile.set_weight(one, weight));
        }
        profile
    }
}

impl Profile {
    /// Whether a filter counts.
    pub(crate) fn has(&self, filter: Filter) -> bool {
        self.filters & 1 << filter as u32 != 0
    }

    pub(crate) fn set_filter(&mut self, filter: Filter, on: bool) {
        let bit = 1 << filter as u32;
        self.filters = if on { self.filters | bit } else { self.filters & !bit };
    }

    /// What a score weighs; nothing if it does not count.
    pub(crate) fn weight(&self, score: Score) -> i64 {
        self.weights[score as usize]
    }

    pub(crate) fn set_weight(&mut self, score: Score, weight: i64) {
        self.weights[score as usize] = weight;
    }

    /// Whether an extended resource does not count.
    pub(crate) fn ignores(&self, resource: &str) -> bool {
        let group = resource.split_once('/').map_or("", |(group, _)| group);
        self.ignored.iter().any(|one| one == resource || one == group)
    }

    /// Upstream's default profile.
    pub(crate) fn standard() -> Arc<Profile> {
        static STANDARD: LazyLock<Arc<Profile>> = LazyLock::new(Arc::default);
        STANDARD.clone()
    }
}

/// The profile of a pod: upstream's default one until another is chosen.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chosen(pub(crate) Arc<Profile>);

impl Default for Chosen {
    fn default() -> Chosen {
        Chosen(Profile::standard())
    }
}

impl Deref for Chosen {
    type Target = Profile;

    fn deref(&self) -> &Profile {
        &self.0
    }
}
