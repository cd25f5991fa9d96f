//! Who may build by which strategy: each is a right of its own, on `builds/docker` and the like.
//!
//! Knows: the right that each strategy takes. Refuses to know: who has it.

use leme_access::{Attributes, Verdict, authorize};
use leme_registry::{Asked, Operation, json};
use serde_json::Value;

use crate::PlugIn;
use crate::escalation::identity;

const GROUP: &str = "build.openshift.io";
/// Paths below a configuration or a build at which a build is asked for.
const ASKS: [&str; 4] = ["", "clone", "instantiate", "instantiatebinary"];
/// The field of each strategy, its name, and the path below builds that is its right.
const STRATEGIES: [(&str, &str, &str); 4] = [
    ("dockerStrategy", "Docker", "docker"),
    ("sourceStrategy", "Source", "source"),
    ("customStrategy", "Custom", "custom"),
    ("jenkinsPipelineStrategy", "JenkinsPipeline", "jenkinspipeline"),
];

pub(crate) const PLUG_IN: PlugIn = PlugIn {
    name: "build.openshift.io/BuildByStrategy",
    about: |asked: &Asked| {
        let is_ours = *asked.kind.group == *GROUP
            && ["builds", "buildconfigs"].contains(&&*asked.kind.plural);
        is_ours && asked.operation != Operation::Delete && ASKS.contains(&asked.subresource)
    },
    validate: |asked, new, old, facts| {
        let (Some(new), Some(who)) = (new, identity(asked)) else { return Ok(()) };
        let strategy = |of: &Value| json::at(of, &["spec", "strategy"]).cloned();
        if old.is_some_and(|old| strategy(old) == strategy(new)) {
            return Ok(());
        }
        let has = |field: &str| json::at(new, &["spec", "strategy", field]).is_some();
        for (field, name, right) in STRATEGIES.into_iter().filter(|(field, ..)| has(field)) {
            let policy = ["spec", "strategy", field, "imageOptimizationPolicy"];
            let optimized = !["", "None"].contains(&json::text(new, &policy));
            let rights = std::iter::once(right).chain(optimized.then_some("optimizeddocker"));
            for subresource in rights {
                let what = Attributes {
                    verb: "create".to_owned(),
                    group: GROUP.to_owned(),
                    resource: "builds".to_owned(),
                    subresource: subresource.to_owned(),
                    namespace: asked.namespace.to_owned(),
                    name: asked.name.to_owned(),
                    ..Attributes::default()
                };
                if let Verdict::Deny(_) = authorize(&who, &what, &facts.policy()) {
                    return Err(asked.forbidden(&format!("build strategy {name} is not allowed")));
                }
            }
        }
        Ok(())
    },
    ..PlugIn::NONE
};
