//! How much of a device's capacity may be asked for at once.
//!
//! Knows: values and ranges that a request may name. Refuses to know: who asks.

use leme_meta::quantity::Quantity;
use leme_meta::{FieldError, Path};
use leme_registry::json;
use serde_json::Value;

use super::each;
use crate::check::Errors;
use crate::pod_spec::resources::parse;

/// Most values that a policy names.
const MAX_VALUES: usize = 10;

/// Checks a capacity, of a device that several requests may share or not.
pub(super) fn validate(capacity: &Value, shared: bool, path: &Path, errors: &mut Errors) {
    let Some(policy) = json::at(capacity, &["requestPolicy"]) else { return };
    let path = path.child("requestPolicy");
    if !shared {
        errors.push(FieldError::forbidden(&path, "allowMultipleAllocations must be true"));
        return;
    }
    let Some(all) = capacity.get("value").and_then(parse) else { return };
    let values = json::list(policy, &["validValues"]);
    let range = json::at(policy, &["validRange"]);
    let usual = policy.get("default").and_then(parse);
    let missing = |what: &str| {
        FieldError::required(&path.child("default"), &format!("required when {what} is defined"))
    };
    match (values.is_empty(), range, usual) {
        (false, Some(_), _) => {
            let why = "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the same time";
            errors.push(FieldError::forbidden(&path, why));
        }
        (false, None, None) => errors.push(missing("validValues")),
        (true, Some(_), None) => errors.push(missing("validRange")),
        (false, None, Some(usual)) => {
            self::values(values, &usual, &all, &path.child("validValues"), errors);
        }
        (true, Some(range), Some(usual)) => {
            self::range(range, &usual, &all, &path.child("validRange"), errors);
        }
        (true, None, _) => {}
    }
}

fn values(list: &[Value], usual: &Quantity, all: &Quantity, path: &Path, errors: &mut Errors) {
    let parsed: Vec<Quantity> = list.iter().filter_map(parse).collect();
    for (index, pair) in parsed.windows(2).enumerate().filter(|(_, pair)| pair[0] > pair[1]) {
        let why = "values must be sorted in ascending order";
        errors.push(FieldError::invalid(&path.index(index + 1), &pair[1].to_string(), why));
    }
    each(list, MAX_VALUES, path, errors, |value, path, errors| {
        if let Some(value) = parse(value).filter(|value| value > all) {
            let why = format!("option is larger than capacity value: {all}");
            errors.push(FieldError::invalid(path, &value.to_string(), &why));
        }
    });
    if list.len() <= MAX_VALUES {
        for (index, value) in parsed.iter().enumerate() {
            if parsed[..index].contains(value) {
                let shown = value.value().to_string();
                errors.push(FieldError::duplicate(&path.index(index), &shown));
            }
        }
    }
    if !parsed.contains(usual) {
        let why = "default value is not valid according to the requestPolicy";
        errors.push(FieldError::invalid(path, &usual.to_string(), why));
    }
}

fn range(range: &Value, usual: &Quantity, all: &Quantity, path: &Path, errors: &mut Errors) {
    let part = |field: &str| range.get(field).and_then(parse);
    let Some(least) = part("min") else {
        let why = "required when validRange is defined";
        errors.push(FieldError::required(&path.child("min"), why));
        return;
    };
    let mut wrong = |field: &str, value: &Quantity, why: String| {
        errors.push(FieldError::invalid(&path.child(field), &value.to_string(), &why));
    };
    if least > *all {
        wrong("min", &least, format!("min is larger than capacity value: {all}"));
    }
    if *usual < least {
        wrong("default", usual, format!("default is less than min: {least}"));
    }
    let most = part("max");
    if let Some(most) = &most {
        if least > *most {
            wrong("max", &least, format!("min is larger than max: {most}"));
        }
        if most > all {
            wrong("max", most, format!("max is larger than capacity value: {all}"));
        }
        if usual > most {
            wrong("default", usual, format!("default is more than max: {most}"));
        }
    }
    let Some(step) = part("step") else { return };
    if step.is_negative() || step.is_zero() {
        wrong("step", &step, "must be greater than zero".to_owned());
        return;
    }
    if let Some(one) = least.checked_add(&step).filter(|one| one > all) {
        wrong("step", &step, format!("one step {one} is larger than capacity value: {all}"));
    }
    for value in [Some(usual), most.as_ref()].into_iter().flatten() {
        let past = i128::from(value.value()) - i128::from(least.value());
        if past % i128::from(step.value()).max(1) != 0 {
            let why = format!("value is not a multiple of a given step ({step}) from ({least})");
            wrong("step", value, why);
        }
    }
}
