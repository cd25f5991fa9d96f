//! How pods are replaced: all at once, or some at a time.
//!
//! Knows: the limits of either way, and for how long it is waited. Refuses to know: what comes before and after it.

use super::config::{DeploymentConfig, Params};
use super::deployer::{Deployer, Step, Stop, TIMEOUT, size, timeout};
use super::helpers::{MID, POST, PRE};
use super::rollout::{ORIGINAL, Rollout, SOURCE};
use crate::pods;

impl Deployer<'_> {
    /// All old pods go, then the new ones come: one first, if there were others.
    pub(super) fn recreate(
        &mut self,
        config: &DeploymentConfig,
        params: &Params,
        desired: i32,
    ) -> Step {
        let to = self.to;
        let timeout = timeout(config);
        self.hook(config, params.pre.as_ref(), PRE)?;
        if let Some(from) = self.from.filter(|_| !to.has_done("down")) {
            self.scale_down(from, timeout)?;
        }
        self.hook(config, params.mid.as_ref(), MID)?;
        if desired == 0 || to.has_done("up") {
            return self.hook(config, params.post.as_ref(), POST);
        }
        let name = to.name();
        if self.from.is_some() && !to.has_done("accepted") {
            if to.replicas() == 0 {
                let text = format!("--> Scaling {name} to 1 before performing acceptance check");
                return self.act(to.change(self.now).scale(1).say(text).action());
            }
            self.accept(1, timeout)?;
            return self.act(to.change(self.now).done("accepted").gets_on().action());
        }
        if to.replicas() != desired {
            let text = format!("--> Scaling {name} to {desired}");
            return self.act(to.change(self.now).scale(desired).say(text).action());
        }
        if !to.is_settled() {
            return match self.has_passed(timeout) {
                true => {
                    let why = "timed out waiting for the condition";
                    Err(Stop::Failed(format!("couldn't scale {name} to {desired}: {why}")))
                }
                false => Err(Stop::Waits),
            };
        }
        if !to.has_done("accepted") {
            self.accept(desired, timeout)?;
        }
        self.act(to.change(self.now).done("up").gets_on().action())
    }

    fn scale_down(&mut self, from: &Rollout, timeout: i64) -> Step {
        let change = self.to.change(self.now);
        if from.replicas() != 0 {
            self.plan.act(size(from, 0));
            let text = format!("--> Scaling {} down to zero", from.name());
            return self.act(change.say(text).gets_on().action());
        }
        let runs = self.seen.old_pods.iter().any(|pod| !pods::is_terminal(pod));
        if !runs && from.actual() == 0 {
            return self.act(change.done("down").gets_on().action());
        }
        if !self.has_passed(timeout) {
            return Err(Stop::Waits);
        }
        let change = change.say(
            "--> Failed to wait for old pods to be terminated: timed out waiting for the condition",
        );
        let change = change.say("New pods may be scaled up before old pods get terminated!");
        self.act(change.done("down").gets_on().action())
    }

    /// Waits for so many available pods.
    fn accept(&mut self, wanted: i32, timeout: i64) -> Step {
        let to = self.to;
        if to.is_settled() && to.available() >= wanted {
            return Ok(());
        }
        if !self.has_passed(timeout) {
            return Err(Stop::Waits);
        }
        let (name, label) = (to.name(), to.label());
        Err(Stop::Failed(format!(
            "update acceptor rejected {name}: pods for rc '{label}' took longer than {timeout} seconds to become available"
        )))
    }

    fn begin_to_roll(
        &mut self,
        from: &Rollout,
        (new, old): (i64, i64),
        desired: i64,
        (least, surge): (i64, i64),
    ) -> Step {
        let to = self.to;
        if from.text(ORIGINAL).is_empty() {
            let size = from.replicas().to_string();
            self.plan.act(from.change(self.now).note(ORIGINAL, size).action());
        }
        let uid = from.seen.metadata.uid.as_deref().unwrap_or("");
        let text = format!(
            "--> Scaling up {} from {new} to {desired}, scaling down {} from {old} to 0 (keep {least} pods available, don't exceed {} pods)",
            to.name(),
            from.name(),
            desired + surge
        );
        let source = format!("{}:{uid}", from.name());
        let change = to.change(self.now).note(SOURCE, source).say(text).done("began");
        self.act(change.gets_on().action())
    }

    /// Old pods go as new ones come, within the limits.
    pub(super) fn roll(
        &mut self,
        config: &DeploymentConfig,
        (params, from): (&Params, &Rollout),
        desired: i32,
    ) -> Step {
        let to = self.to;
        if to.has_done("rolled") {
            return Ok(());
        }
        let (surge, missing) = config.limits(desired);
        // Together they can be more than one number of pods may be.
        let [desired, surge, missing] = [desired, surge, missing].map(i64::from);
        let new = i64::from(to.replicas());
        // Those that were overtaken go first.
        let olds: Vec<&Rollout> = self.others.iter().copied().chain([from]).collect();
        let old: i64 = olds.iter().map(|one| i64::from(one.replicas())).sum();
        let least = if desired == 0 { 0 } else { (desired - missing).max(0) };
        if !to.has_done("began") {
            return self.begin_to_roll(from, (new, old), desired, (least, surge));
        }
        if new == desired && old == 0 && to.is_settled() {
            return self.act(to.change(self.now).done("rolled").gets_on().action());
        }
        let most = if old == 0 { desired } else { (desired + surge - old).min(desired) };
        if new < most || new > desired {
            let next = if new > desired { desired } else { most };
            let text = format!("    Scaling {} up to {next}", to.name());
            return self.act(to.change(self.now).scale(number(next)).say(text).action());
        }
        let missing = new - i64::from(to.available()).min(new);
        let mut down = old + new - least - missing;
        if new == desired && missing == 0 {
            down = old;
        }
        if to.is_settled() && old > 0 && down > 0 {
            if !self.has_passed(params.update_period_seconds.unwrap_or(1)) {
                return Err(Stop::Waits);
            }
            let mut change = to.change(self.now).gets_on();
            for one in olds {
                let has = i64::from(one.replicas());
                let next = (has - down).max(0);
                if next != has {
                    down -= has - next;
                    self.plan.act(size(one, number(next)));
                    change = change.say(format!("    Scaling {} down to {next}", one.name()));
                }
            }
            return self.act(change.action());
        }
        match self.has_passed(params.timeout_seconds.unwrap_or(TIMEOUT)) {
            true => {
                let why = "timed out waiting for any update progress to be made";
                Err(Stop::Failed(why.to_owned()))
            }
            false => Err(Stop::Waits),
        }
    }
}

/// A number of pods as it is written.
fn number(pods: i64) -> i32 {
    i32::try_from(pods).unwrap_or(i32::MAX)
}
