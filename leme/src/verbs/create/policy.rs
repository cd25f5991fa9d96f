//! ResourceQuotas, PriorityClasses and PodDisruptionBudgets as `leme create` makes them.

use anyhow::{Context, Result};
use leme_meta::quantity::Quantity;
use serde_json::{Map, Value, json};

use super::pair;
use crate::args::{BudgetArgs, PriorityArgs, QuotaArgs};

/// A ResourceQuota.
pub fn quota(args: &QuotaArgs) -> Result<Value> {
    let mut spec = json!({});
    let mut hard = Map::new();
    for text in &args.hard {
        let (name, amount) = pair(text)?;
        Quantity::parse(amount)
            .map_err(anyhow::Error::msg)
            .with_context(|| format!("--hard {text}"))?;
        hard.insert(name.to_owned(), amount.into());
    }
    if !hard.is_empty() {
        spec["hard"] = hard.into();
    }
    if !args.scopes.is_empty() {
        spec["scopes"] = args.scopes.clone().into();
    }
    Ok(json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": args.name}, "spec": spec,
    }))
}

/// A PriorityClass.
pub fn priority(args: &PriorityArgs) -> Value {
    json!({
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": args.name},
        "value": args.value,
        "globalDefault": args.global_default,
        "description": args.description,
        "preemptionPolicy": args.preemption_policy,
    })
}

/// A PodDisruptionBudget.
pub fn budget(args: &BudgetArgs) -> Result<Value> {
    let mut labels = Map::new();
    for text in args.selector.split(',') {
        let (key, value) = pair(text)?;
        labels.insert(key.to_owned(), value.trim_start_matches('=').into());
    }
    let mut spec = json!({"selector": {"matchLabels": labels}});
    for (field, amount) in
        [("minAvailable", &args.min_available), ("maxUnavailable", &args.max_unavailable)]
    {
        if let Some(text) = amount {
            spec[field] = text.parse::<u32>().map_or_else(|_| text.as_str().into(), Value::from);
        }
    }
    Ok(json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": args.name}, "spec": spec,
    }))
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    #[test]
    fn quotas_classes_and_budgets() {
        let made = check("quota q --hard cpu=1,pods=2 --scopes BestEffort").unwrap();
        assert_eq!(
            made["spec"],
            json!({"hard": {"cpu": "1", "pods": "2"}, "scopes": ["BestEffort"]})
        );
        assert!(check("quota q --hard cpu=x").unwrap_err().starts_with("--hard cpu=x"));
        let made = check("priorityclass p --value -5 --global-default=true").unwrap();
        assert_eq!((&made["value"], &made["globalDefault"]), (&json!(-5), &json!(true)));
        let made = check("pdb b --selector app=web --min-available 50%").unwrap();
        assert_eq!(
            made["spec"],
            json!({"selector": {"matchLabels": {"app": "web"}}, "minAvailable": "50%"})
        );
        assert_eq!(
            check("pdb b --selector a=b --max-unavailable 1").unwrap()["spec"]["maxUnavailable"],
            1
        );
        assert!(check("pdb b --selector a=b").is_err());
    }
}
