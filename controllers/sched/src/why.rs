//! Why no node will do, counted and worded as upstream words it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// Why a node will not do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Reason {
    Unschedulable,
    Taints,
    NodeAffinity,
    /// Its profile gives the pod other nodes.
    AddedAffinity,
    /// The pod asks for other nodes by name.
    OtherNodes,
    Ports,
    TooManyPods,
    Insufficient(Cow<'static, str>),
    Disk,
    ClaimInUse,
    VolumeLimit,
    VolumeMissing,
    VolumeAffinity,
    NoVolume,
    VolumeZone,
    SpreadLabel,
    Spread,
    PodAffinity,
    PodAntiAffinity,
    ExistingAntiAffinity,
    /// There is nobody on it who could make room.
    NoVictims,
    /// Nobody's going would help.
    NotHelped,
}

impl Reason {
    fn text(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Reason::Unschedulable => "node(s) were unschedulable",
            Reason::Taints => "node(s) had untolerated taint(s)",
            Reason::NodeAffinity => "node(s) didn't match Pod's node affinity/selector",
            Reason::AddedAffinity => "node(s) didn't match scheduler-enforced node affinity",
            Reason::OtherNodes => "node(s) didn't satisfy plugin(s) [NodeAffinity]",
            Reason::Ports => "node(s) didn't have free ports for the requested pod ports",
            Reason::TooManyPods => "Too many pods",
            Reason::Insufficient(what) => return format!("Insufficient {what}").into(),
            Reason::Disk => "node(s) had no available disk",
            Reason::ClaimInUse => {
                "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
            }
            Reason::VolumeLimit => "node(s) exceed max volume count",
            Reason::VolumeMissing => {
                "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
            }
            Reason::VolumeAffinity => "node(s) didn't match PersistentVolume's node affinity",
            Reason::NoVolume => "node(s) didn't find available persistent volumes to bind",
            Reason::VolumeZone => "node(s) had no available volume zone",
            Reason::SpreadLabel => {
                "node(s) didn't match pod topology spread constraints (missing required label)"
            }
            Reason::Spread => "node(s) didn't match pod topology spread constraints",
            Reason::PodAffinity => "node(s) didn't match pod affinity rules",
            Reason::PodAntiAffinity => "node(s) didn't match pod anti-affinity rules",
            Reason::ExistingAntiAffinity => {
                "node(s) didn't satisfy existing pods anti-affinity rules"
            }
            Reason::NoVictims => "No preemption victims found for incoming pod",
            Reason::NotHelped => "Preemption is not helpful for scheduling",
        })
    }
}

/// Why one node will not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reasons: Vec<Reason>,
    /// Whether it might do if pods went away.
    pub(crate) for_now: bool,
}

impl Refusal {
    /// Until pods go away.
    pub(crate) fn for_now(reason: Reason) -> Refusal {
        Refusal { reasons: vec![reason], for_now: true }
    }

    /// Whatever pods go away.
    pub(crate) fn for_good(reason: Reason) -> Refusal {
        Refusal { reasons: vec![reason], for_now: false }
    }
}

/// How many nodes will not do for each reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts(pub(crate) BTreeMap<Reason, usize>);

impl Counts {
    pub(crate) fn add(&mut self, reasons: impl IntoIterator<Item = Reason>) {
        for reason in reasons {
            *self.0.entry(reason).or_default() += 1;
        }
    }

    /// As upstream tells it of so many nodes.
    pub(crate) fn told(&self, nodes: usize) -> String {
        let mut reasons: Vec<String> =
            self.0.iter().map(|(reason, count)| format!("{count} {}", reason.text())).collect();
        reasons.sort();
        format!("0/{nodes} nodes are available: {}.", reasons.join(", "))
    }
}

/// Why no node will do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unschedulable {
    pub(crate) nodes: usize,
    /// What rules all nodes out before any is looked at.
    pub(crate) before: Option<String>,
    pub(crate) counts: Counts,
    /// The nodes that pods could make room on by going away.
    pub(crate) crowded: Vec<usize>,
    /// What came of looking for such pods.
    pub(crate) after: String,
}

impl Unschedulable {
    /// Ruled out before any node was looked at.
    pub(crate) fn before_any_node(nodes: usize, why: &str) -> Unschedulable {
        // Upstream tells so of what it did not come to ask.
        let after = "not found".to_owned();
        Unschedulable { nodes, before: Some(why.to_owned()), after, ..Unschedulable::default() }
    }
}

impl Unschedulable {
    /// Whether room might be made on a node.
    pub fn is_crowded(&self) -> bool {
        !self.crowded.is_empty()
    }
}

impl fmt::Display for Unschedulable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nodes == 0 {
            return f.write_str("no nodes available to schedule pods");
        }
        match &self.before {
            Some(why) => write!(f, "0/{} nodes are available: {why}.", self.nodes)?,
            None => f.write_str(&self.counts.told(self.nodes))?,
        }
        if self.after.is_empty() { Ok(()) } else { write!(f, " {}", self.after) }
    }
}

impl std::error::Error for Unschedulable {}
