//! PriorityLevelConfigurations.
//!
//! Knows: shares, queues, and the two levels that each cluster has. Refuses to know: which request waits.

use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json};
use serde_json::{Value, json};

use super::{CATCH_ALL, EXEMPT, positive, status};
use crate::check::{self, Errors};

const TYPES: [&str; 2] = ["Exempt", "Limited"];
const MAX_QUEUES: i64 = 10_000_000;

/// How many bits of a hash there are to choose queues by.
const HASH_BITS: i64 = 60;

/// A number for what is not said.
type Usual = (&'static str, i64);

const OF_QUEUES: [Usual; 3] = [("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)];

pub(crate) static STRATEGY: Strategy = Strategy {
    default: |level| {
        let spec = json::child(level, "spec");
        for (kind, shares) in [("exempt", 0), ("limited", 30)] {
            let Some(part) = spec.get_mut(kind).filter(|part| part.is_object()) else { continue };
            for (field, usual) in [("nominalConcurrencyShares", shares), ("lendablePercent", 0)] {
                if part.get(field).is_none_or(Value::is_null) {
                    json::set(part, field, usual);
                }
            }
        }
        let queuing = json::at_mut(spec, &["limited", "limitResponse", "queuing"]);
        if let Some(queuing) = queuing.filter(|queuing| queuing.is_object()) {
            OF_QUEUES
                .iter()
                .for_each(|(field, usual)| json::default_number(queuing, field, *usual));
        }
    },
    validate,
    validate_status: |new, _| status(new),
    generation: Some(Strategy::spec_changed),
    ..check::STATUS_ALONE
};

fn validate(level: &Value) -> Errors {
    let mut errors = Vec::new();
    let path = Path::new("spec");
    let spec = level.get("spec").unwrap_or(&Value::Null);
    let name = json::text(level, &["metadata", "name"]);
    let type_ = json::text(spec, &["type"]);
    if (name == EXEMPT) != (type_ == "Exempt") {
        let why = "type must be 'Exempt' if and only if name is 'exempt'";
        errors.push(FieldError::invalid(&path.child("type"), type_, why));
    }
    let (exempt, limited) = (json::at(spec, &["exempt"]), json::at(spec, &["limited"]));
    match type_ {
        "Exempt" => {
            if limited.is_some() {
                let why = "must be nil if the type is not Limited";
                errors.push(FieldError::forbidden(&path.child("limited"), why));
            }
            if let Some(exempt) = exempt {
                shares(exempt, &path.child("exempt"), &mut errors);
                lendable(exempt, &path.child("exempt"), &mut errors);
            }
        }
        "Limited" => {
            if exempt.is_some() {
                let why = "must be nil if the type is Limited";
                errors.push(FieldError::forbidden(&path.child("exempt"), why));
            }
            match limited {
                Some(limited) => self::limited(limited, &path.child("limited"), &mut errors),
                None => {
                    let why = "must not be empty when type is Limited";
                    errors.push(FieldError::required(&path.child("limited"), why));
                }
            }
        }
        other => errors.push(FieldError::not_supported(&path.child("type"), other, &TYPES)),
    }
    fixed(name, spec, &path, &mut errors);
    errors
}

/// Checks that a level that each cluster has is as it must be. What is exempt may lend as an administrator likes.
fn fixed(name: &str, spec: &Value, path: &Path, errors: &mut Errors) {
    let mut compared = spec.clone();
    let (must, but) = match name {
        EXEMPT => {
            json::remove(&mut compared, "exempt");
            (json!({ "type": "Exempt" }), " except the 'spec.exempt' field")
        }
        CATCH_ALL => {
            let limited = json!({
                "nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": { "type": "Reject" },
            });
            (json!({ "type": "Limited", "limited": limited }), "")
        }
        _ => return,
    };
    if compared != must {
        let why = format!("spec of '{name}'{but} must equal the fixed value");
        errors.push(FieldError::invalid(path, spec, &why));
    }
}

fn shares(part: &Value, path: &Path, errors: &mut Errors) {
    let field = "nominalConcurrencyShares";
    if let Some(shares) = json::int(part, &[field]).filter(|shares| *shares < 0) {
        let why = "must be a non-negative integer";
        errors.push(FieldError::invalid(&path.child(field), shares, why));
    }
}

fn lendable(part: &Value, path: &Path, errors: &mut Errors) {
    check::in_range(part, "lendablePercent", path, 0, 100, errors);
}

fn limited(limited: &Value, path: &Path, errors: &mut Errors) {
    shares(limited, path, errors);
    let response = limited.get("limitResponse").unwrap_or(&Value::Null);
    self::response(response, &path.child("limitResponse"), errors);
    lendable(limited, path, errors);
    let field = "borrowingLimitPercent";
    if let Some(percent) = json::int(limited, &[field]).filter(|percent| *percent < 0) {
        let why = "if specified, must be a non-negative integer";
        errors.push(FieldError::invalid(&path.child(field), percent, why));
    }
}

fn response(response: &Value, path: &Path, errors: &mut Errors) {
    let at = path.child("queuing");
    match (json::text(response, &["type"]), json::at(response, &["queuing"])) {
        ("Reject", Some(_)) => {
            let why = "must be nil if limited.limitResponse.type is not Limited";
            errors.push(FieldError::forbidden(&at, why));
        }
        ("Reject", None) => {}
        ("Queue", Some(queuing)) => self::queuing(queuing, &at, errors),
        ("Queue", None) => {
            let why = "must not be empty if limited.limitResponse.type is Limited";
            errors.push(FieldError::required(&at, why));
        }
        (other, _) => {
            let known = ["Queue", "Reject"];
            errors.push(FieldError::not_supported(&path.child("type"), other, &known));
        }
    }
}

fn queuing(queuing: &Value, path: &Path, errors: &mut Errors) {
    positive(queuing, "queueLengthLimit", None, path, errors);
    positive(queuing, "queues", Some(MAX_QUEUES), path, errors);
    let number = |field: &str| json::int(queuing, &[field]).unwrap_or(0);
    let (queues, hand) = (number("queues"), number("handSize"));
    let at = path.child("handSize");
    let bits = ((queues as f64).log2() * hand as f64).ceil();
    if hand <= 0 {
        errors.push(FieldError::invalid(&at, hand, "must be positive"));
    } else if hand > queues {
        let why = format!("should not be greater than queues ({queues})");
        errors.push(FieldError::invalid(&at, hand, &why));
    } else if bits > HASH_BITS as f64 {
        let why = format!(
            "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {HASH_BITS}"
        );
        errors.push(FieldError::invalid(&at, hand, &why));
    }
}
