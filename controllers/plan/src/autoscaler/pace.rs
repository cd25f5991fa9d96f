//! How far a target is scaled at once: recommendations of the last while, rates, bounds.
//!
//! Knows: the behaviour that an autoscaler asks for, and what goes without one. Refuses to know: metrics, and how the target
//! is scaled. Times are since some start, by a clock that is never set back.

use std::time::Duration;

use k8s_openapi::api::autoscaling::v2::{
    HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscalerBehavior,
};

/// Recommendations of so long hold back a scale-down.
const STABILISATION: Duration = Duration::from_mins(5);
/// Without rates a target grows to twice its size at once, or to this.
const SMALL: i32 = 4;

/// What is remembered of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// How many replicas were recommended, and when.
    recommendations: Vec<(Duration, i32)>,
    /// By how many it grew, and when.
    grown: Vec<(Duration, i32)>,
    /// By how many it shrank, and when.
    shrunk: Vec<(Duration, i32)>,
}

/// A size, and what is said of how it came to be: reasons and messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paced {
    /// So many replicas.
    pub replicas: i32,
    /// Of `AbleToScale`.
    pub able: (&'static str, &'static str),
    /// Of `ScalingLimited`.
    pub limited: (bool, &'static str, &'static str),
}

/// The bounds of a target, and its size now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// At least.
    pub least: i32,
    /// At most.
    pub most: i32,
    /// Now.
    pub current: i32,
}

type Said = (&'static str, &'static str);

const READY: Said = ("ReadyForNewScale", "recommended size matches current size");
const HELD_DOWN: Said = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
);
const HELD_UP: Said = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
);
const WITHIN: Said = ("DesiredWithinRange", "the desired count is within the acceptable range");
const TOO_FAST: Said =
    ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate");
const TOO_FAST_DOWN: Said = (
    "ScaleDownLimit",
    "the desired replica count is decreasing faster than the maximum scale rate",
);
const TOO_MANY: Said =
    ("TooManyReplicas", "the desired replica count is more than the maximum replica count");
const TOO_FEW: Said =
    ("TooFewReplicas", "the desired replica count is less than the minimum replica count");

impl Memory {
    /// What is there when an autoscaler is looked at first counts as recommended.
    pub fn begin(&mut self, current: i32, now: Duration) {
        if self.recommendations.is_empty() {
            self.recommendations.push((now, current));
        }
    }

    /// Takes in that the target was scaled.
    pub fn scaled(&mut self, from: i32, to: i32, now: Duration) {
        let (list, by) = match to > from {
            true => (&mut self.grown, to.saturating_sub(from)),
            false => (&mut self.shrunk, from.saturating_sub(to)),
        };
        list.push((now, by));
    }

    /// Forgets what is older than anything asks for.
    fn forget(&mut self, longest: Duration, now: Duration) {
        for list in [&mut self.recommendations, &mut self.grown, &mut self.shrunk] {
            list.retain(|(at, _)| now.saturating_sub(*at) <= longest);
        }
    }
}

/// How many replicas there shall be, of those that are recommended.
pub fn pace(
    memory: &mut Memory,
    behavior: Option<&HorizontalPodAutoscalerBehavior>,
    bounds: Bounds,
    recommended: i32,
    now: Duration,
) -> Paced {
    let (stable, held, limit) = match behavior {
        None => {
            let recent = recent(&memory.recommendations, STABILISATION, now);
            let stable = recent.fold(recommended, i32::max);
            (stable, HELD_UP, plain(bounds, stable))
        }
        Some(behavior) => {
            let (up, down) = (Rules::up(behavior), Rules::down(behavior));
            let stable = stabilised(memory, (&up, &down), bounds.current, recommended, now);
            let held = if recommended >= bounds.current { HELD_DOWN } else { HELD_UP };
            (stable, held, rated(memory, (&up, &down), bounds, stable, now))
        }
    };
    memory.recommendations.push((now, recommended));
    memory.forget(longest(behavior), now);
    let (replicas, (reason, message)) = limit;
    let able = if stable == recommended { READY } else { held };
    Paced { replicas, able, limited: (replicas != stable, reason, message) }
}

fn recent(list: &[(Duration, i32)], window: Duration, now: Duration) -> impl Iterator<Item = i32> {
    list.iter().filter(move |(at, _)| now.saturating_sub(*at) <= window).map(|(_, value)| *value)
}

/// The bounds, and no more than twice the size at once.
fn plain(bounds: Bounds, wanted: i32) -> (i32, Said) {
    let rate = bounds.current.saturating_mul(2).max(SMALL);
    let (most, said) = if bounds.most > rate { (rate, TOO_FAST) } else { (bounds.most, TOO_MANY) };
    if wanted < bounds.least {
        (bounds.least, TOO_FEW)
    } else if wanted > most {
        (most, said)
    } else {
        (wanted, WITHIN)
    }
}

/// How a target is scaled in one direction.
struct Rules<'a> {
    window: Duration,
    disabled: bool,
    /// Of several policies the one counts that changes least.
    least: bool,
    policies: Vec<Policy<'a>>,
}

struct Policy<'a> {
    kind: &'a str,
    value: i32,
    period: Duration,
}

fn seconds(seconds: i32) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

impl<'a> Rules<'a> {
    fn up(behavior: &'a HorizontalPodAutoscalerBehavior) -> Rules<'a> {
        let defaults = [("Pods", 4), ("Percent", 100)];
        Rules::new(behavior.scale_up.as_ref(), Duration::ZERO, &defaults)
    }

    fn down(behavior: &'a HorizontalPodAutoscalerBehavior) -> Rules<'a> {
        Rules::new(behavior.scale_down.as_ref(), STABILISATION, &[("Percent", 100)])
    }

    fn new(
        rules: Option<&'a HPAScalingRules>,
        window: Duration,
        defaults: &[(&'a str, i32)],
    ) -> Rules<'a> {
        let asked = rules.and_then(|rules| rules.policies.as_ref());
        let select = rules.and_then(|rules| rules.select_policy.as_deref());
        let policies = match asked {
            Some(policies) if !policies.is_empty() => policies.iter().map(Policy::of).collect(),
            _ => {
                let period = Duration::from_secs(15);
                let one = |(kind, value): &(&'a str, i32)| Policy { kind, value: *value, period };
                defaults.iter().map(one).collect()
            }
        };
        Rules {
            window: rules.and_then(|r| r.stabilization_window_seconds).map_or(window, seconds),
            disabled: select == Some("Disabled"),
            least: select == Some("Min"),
            policies,
        }
    }
}

impl Policy<'_> {
    fn of(policy: &HPAScalingPolicy) -> Policy<'_> {
        let HPAScalingPolicy { type_, value, period_seconds } = policy;
        Policy { kind: type_, value: *value, period: seconds(*period_seconds) }
    }
}

/// How far back anything is looked at.
fn longest(behavior: Option<&HorizontalPodAutoscalerBehavior>) -> Duration {
    let Some(behavior) = behavior else { return STABILISATION };
    let both = [Rules::up(behavior), Rules::down(behavior)];
    let each = both
        .iter()
        .flat_map(|rules| rules.policies.iter().map(|policy| policy.period).chain([rules.window]));
    each.max().unwrap_or(STABILISATION)
}

/// As little of a change as the recommendations of both windows allow.
fn stabilised(
    memory: &Memory,
    (up, down): (&Rules<'_>, &Rules<'_>),
    current: i32,
    recommended: i32,
    now: Duration,
) -> i32 {
    // One that is as old as the window is out of it.
    let within = |rules: &Rules<'_>| {
        let window = rules.window;
        let recent = memory.recommendations.iter();
        recent.filter(move |(at, _)| now.saturating_sub(*at) < window).map(|(_, value)| *value)
    };
    let lowest = within(up).fold(recommended, i32::min);
    let highest = within(down).fold(recommended, i32::max);
    current.max(lowest).min(highest)
}

/// The bounds, and no more of a change than the policies allow.
fn rated(
    memory: &Memory,
    (up, down): (&Rules<'_>, &Rules<'_>),
    bounds: Bounds,
    wanted: i32,
    now: Duration,
) -> (i32, Said) {
    let Bounds { least, most, current } = bounds;
    if wanted > current {
        let rate = limit(memory, up, current, true, now).max(current);
        let (most, said) = if most > rate { (rate, TOO_FAST) } else { (most, TOO_MANY) };
        if wanted > most {
            return (most, said);
        }
    } else if wanted < current {
        let rate = limit(memory, down, current, false, now).min(current);
        let (least, said) = if least < rate { (rate, TOO_FAST_DOWN) } else { (least, TOO_FEW) };
        if wanted < least {
            return (least, said);
        }
    }
    (wanted, WITHIN)
}

/// The size up or down to which policies allow to go, given what has changed in their periods.
fn limit(memory: &Memory, rules: &Rules<'_>, current: i32, up: bool, now: Duration) -> i32 {
    if rules.disabled {
        return current;
    }
    let changed = |list: &[(Duration, i32)], period: Duration| {
        let within = list.iter().filter(|(at, _)| now.saturating_sub(*at) < period);
        within.map(|(_, by)| *by).fold(0, i32::saturating_add)
    };
    let proposals = rules.policies.iter().map(|policy| {
        let grown = changed(&memory.grown, policy.period);
        let shrunk = changed(&memory.shrunk, policy.period);
        let start = current.saturating_sub(grown).saturating_add(shrunk);
        let part = |factor: f64| f64::from(start) * factor;
        let percent = f64::from(policy.value) / 100.0;
        #[expect(clippy::cast_possible_truncation, reason = "casts of floats saturate")]
        match (policy.kind, up) {
            ("Percent", true) => part(1.0 + percent).ceil() as i32,
            ("Percent", false) => part(1.0 - percent) as i32,
            (_, true) => start.saturating_add(policy.value),
            (_, false) => start.saturating_sub(policy.value),
        }
    });
    // Growing, the least change is the smallest size; shrinking, the largest.
    let chosen = if up == rules.least { proposals.min() } else { proposals.max() };
    chosen.unwrap_or(current)
}

#[cfg(test)]
mod tests;
