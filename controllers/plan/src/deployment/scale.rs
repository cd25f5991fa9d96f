//! How large each replica set of a deployment may be.
//!
//! Knows: surge, unavailability, proportions. Refuses to know: where the numbers are written.

use std::cmp::Reverse;

use k8s_openapi::api::apps::v1::DeploymentSpec;

use super::rollout::Rollout;
use crate::int_or_percent::amount;

/// By how much a rolling update may differ from the size that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// It rolls; otherwise everything is recreated.
    pub(super) rolling: bool,
    /// Pods beyond.
    pub(super) surge: i32,
    /// Pods missing.
    pub(super) unavailable: i32,
}

impl Limits {
    pub(super) fn of(spec: &DeploymentSpec) -> Limits {
        let replicas = spec.replicas.unwrap_or(1);
        let strategy = spec.strategy.as_ref();
        let recreates = strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate");
        if recreates {
            return Limits { rolling: false, surge: 0, unavailable: 0 };
        }
        let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        let surge = amount(rolling.and_then(|one| one.max_surge.as_ref()), replicas, true);
        let missing = amount(rolling.and_then(|one| one.max_unavailable.as_ref()), replicas, false);
        // Both can come to nothing by rounding: nothing would ever move.
        let missing = if surge == 0 && missing == 0 { 1 } else { missing };
        Limits { rolling: true, surge, unavailable: missing.min(replicas) }
    }
}

impl Rollout<'_> {
    fn most(&self) -> i32 {
        self.replicas.saturating_add(self.limits.surge)
    }

    /// Gives a replica set a size, and writes down for which size of the deployment.
    pub(super) fn scale_to(&mut self, index: usize, replicas: i32) {
        let (desired, most) = (self.replicas, self.most());
        if let Some(set) = self.sets.get_mut(index) {
            set.scale(replicas, desired, most);
        }
    }

    /// The same, unless it has that size. Whether it had another.
    pub(super) fn resize_one(&mut self, index: usize, replicas: i32) -> bool {
        let differs = self.sets.get(index).is_some_and(|set| set.replicas != replicas);
        if differs {
            self.scale_to(index, replicas);
        }
        differs
    }

    fn total(&self) -> i32 {
        self.sets.iter().map(|set| set.replicas).sum()
    }

    /// The size that the new replica set may have, which has `size`.
    pub(super) fn size_of_new(&self, size: i32) -> i32 {
        if !self.limits.rolling {
            return self.replicas;
        }
        let room = self.most() - self.total();
        if room <= 0 { size } else { size + room.min(self.replicas - size) }
    }

    /// A step of a rolling update: up if there is room, else down. Whether there was one.
    pub(super) fn roll(&mut self) -> bool {
        let Some(new) = self.new else { return false };
        let size = self.sets[new].replicas;
        let target = if size > self.replicas { self.replicas } else { self.size_of_new(size) };
        if size != self.replicas && self.resize_one(new, target) {
            return true;
        }
        self.roll_down(new)
    }

    fn roll_down(&mut self, new: usize) -> bool {
        let old: Vec<usize> = self.old().filter(|index| self.sets[*index].replicas > 0).collect();
        let least = self.replicas - self.limits.unavailable;
        let unavailable = self.sets[new].replicas - self.sets[new].available();
        let most = self.total() - least - unavailable;
        if old.is_empty() || most <= 0 {
            return false;
        }
        // First what does not work anyway.
        let mut moved = 0;
        for index in &old {
            let broken = self.sets[*index].replicas - self.sets[*index].available();
            moved += self.shrink(*index, broken.min(most - moved));
        }
        let available: i32 = self.sets.iter().map(|set| set.available()).sum();
        let mut spare = available - least;
        for index in &old {
            let by = self.shrink(*index, spare);
            spare -= by;
            moved += by;
        }
        moved > 0
    }

    /// Takes up to `by` replicas away. How many.
    fn shrink(&mut self, index: usize, by: i32) -> i32 {
        let size = self.sets[index].replicas;
        let by = by.clamp(0, size.max(0));
        if by > 0 {
            self.scale_to(index, size - by);
        }
        by
    }

    /// Follows a change of the deployment's size amidst whatever goes on: each in proportion.
    pub(super) fn resize(&mut self) {
        let active: Vec<usize> =
            (0..self.sets.len()).filter(|index| self.sets[*index].replicas > 0).collect();
        if active.len() <= 1 {
            let only = active.first().copied().or(self.new).or_else(|| self.old().last());
            if let Some(index) = only {
                self.scale_to(index, self.replicas);
            }
        } else if self.is_saturated() {
            let new = self.new;
            for index in active.into_iter().filter(|index| Some(*index) != new) {
                self.scale_to(index, 0);
            }
        } else if self.limits.rolling {
            self.share_out(active);
        }
    }

    /// Whether the new replica set has all the pods that are wanted.
    fn is_saturated(&self) -> bool {
        self.new_set().is_some_and(|set| {
            set.replicas == self.replicas
                && set.desired() == Some(self.replicas)
                && set.available() == self.replicas
        })
    }

    fn share_out(&mut self, mut active: Vec<usize>) {
        let allowed = if self.replicas > 0 { self.most() } else { 0 };
        let missing = allowed - self.total();
        // The largest first; of equals the newer one gains and the older one loses first.
        let sets = &self.sets;
        match missing {
            1.. => active.sort_by(|one, other| {
                let key =
                    |index: usize| (Reverse(sets[index].replicas), Reverse(sets[index].age()));
                key(*one).cmp(&key(*other))
            }),
            ..0 => active.sort_by(|one, other| {
                let key = |index: usize| (Reverse(sets[index].replicas), sets[index].age());
                key(*one).cmp(&key(*other))
            }),
            0 => {}
        }
        let mut sizes = Vec::new();
        let mut given = 0;
        for index in active {
            let share = self.share(index, missing, given);
            given += share;
            sizes.push((index, self.sets[index].replicas + share));
        }
        if let Some(first) = sizes.first_mut() {
            first.1 = (first.1 + missing - given).max(0);
        }
        for (index, size) in sizes {
            self.scale_to(index, size);
        }
    }

    /// By how much a replica set changes when the deployment changes by `missing`, of which others have had `given`.
    fn share(&self, index: usize, missing: i32, given: i32) -> i32 {
        let set = &self.sets[index];
        if set.replicas == 0 || missing == given {
            return 0;
        }
        let before = set.most().filter(|most| *most != 0).or(self.status.replicas).unwrap_or(0);
        let fraction = match (self.replicas, before) {
            (0, _) => -set.replicas,
            (_, 0) => 0,
            _ => {
                let size = f64::from(set.replicas) * f64::from(self.most()) / f64::from(before);
                size.round() as i32 - set.replicas
            }
        };
        let left = missing - given;
        if missing > 0 { fraction.min(left) } else { fraction.max(left) }
    }
}
