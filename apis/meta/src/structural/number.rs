//! Numbers held against a schema: whole ones among themselves, all others as upstream's floats.

use serde_json::{Number, Value};

use super::validate::{Fault, Outcome};
use super::{Rules, Type};

/// The number as upstream's decoder keeps it.
#[derive(Clone, Copy)]
enum Native {
    Int(i64),
    Float(f64),
}

fn native(number: &Number) -> Native {
    match number.as_i64() {
        Some(whole) => Native::Int(whole),
        None => Native::Float(number.as_f64().unwrap_or(f64::INFINITY)),
    }
}

impl Native {
    fn float(self) -> f64 {
        match self {
            Native::Int(whole) => whole as f64,
            Native::Float(float) => float,
        }
    }
}

/// Whether a float is a whole number, as close as upstream looks.
pub(super) fn is_whole(float: f64) -> bool {
    const SAFE: f64 = 9_007_199_254_740_991.0;
    if !float.is_finite() || float.abs() > SAFE {
        return false;
    }
    let whole = float.trunc();
    float == whole || (float - whole).abs() / (float.abs() + whole.abs()) < 1e-9
}

/// Whether a number is what a decoder keeps as a whole one.
pub(super) fn is_int(number: &Number) -> bool {
    number.as_i64().is_some()
}

/// A number held against the rules of a schema of a type.
pub(super) fn check(path: &str, number: &Number, type_: Option<Type>, rules: &Rules) -> Outcome {
    let value = native(number);
    let format = match type_ {
        Some(Type::Integer | Type::Number) => rules.format.as_str(),
        _ => "",
    };
    let integer = type_ == Some(Type::Integer);
    let range = |value: Native, what: &str| out_of_range(value, integer, format, what, path);
    let shown = Value::Number(number.clone());
    let mut out = Outcome { matches: 1, ..Outcome::default() };
    out.faults.extend(range(value, "Checked"));
    if let Some(factor) = rules.multiple_of {
        let misfit = range(Native::Float(factor), "MultipleOf");
        let value = if misfit.is_some() { Native::Float(value.float()) } else { value };
        out.faults.extend(misfit);
        out.faults.extend(multiple(path, value, factor, &shown));
    }
    let bounds = [
        (rules.minimum, false, rules.exclusive_minimum, "Minimum boundary"),
        (rules.maximum, true, rules.exclusive_maximum, "Maximum boundary"),
    ];
    for (bound, upper, exclusive, what) in bounds {
        let Some(bound) = bound else { continue };
        let misfit = range(Native::Float(bound), what);
        let value = if misfit.is_some() { Native::Float(value.float()) } else { value };
        out.faults.extend(misfit);
        out.faults.extend(beyond(path, value, bound, (upper, exclusive), &shown));
    }
    out
}

fn beyond(
    path: &str,
    value: Native,
    bound: f64,
    (upper, exclusive): (bool, bool),
    shown: &Value,
) -> Option<Fault> {
    let (order, bound) = match value {
        Native::Int(whole) => {
            let bound = bound as i64;
            (Some(whole.cmp(&bound)), bound.to_string())
        }
        Native::Float(float) => (float.partial_cmp(&bound), crate::go::float(bound, -5)),
    };
    let order = order?;
    let beyond = if upper { order.is_gt() } else { order.is_lt() };
    let wrong = beyond || (exclusive && order.is_eq());
    if !wrong {
        return None;
    }
    let words = match (upper, exclusive) {
        (true, false) => "less than or equal to",
        (true, true) => "less than",
        (false, false) => "greater than or equal to",
        (false, true) => "greater than",
    };
    Some(Fault::invalid(path, shown, &format!("{path} in body should be {words} {bound}")))
}

fn multiple(path: &str, value: Native, factor: f64, shown: &Value) -> Option<Fault> {
    let (fits, factor_shown) = match value {
        Native::Int(whole) => {
            let factor = factor as i64;
            (factor > 0 && whole % factor == 0, factor.to_string())
        }
        Native::Float(float) => {
            let times = if factor < 1.0 { 1.0 / factor * float } else { float / factor };
            (factor > 0.0 && is_whole(times), crate::go::float(factor, -5))
        }
    };
    let positive = match value {
        Native::Int(_) => factor >= 1.0,
        Native::Float(_) => factor > 0.0,
    };
    if fits {
        None
    } else if positive {
        let why = format!("{path} in body should be a multiple of {factor_shown}");
        Some(Fault::invalid(path, shown, &why))
    } else {
        let why = format!("factor MultipleOf declared for {path} must be positive: {factor_shown}");
        Some(Fault::invalid(path, &Value::from(factor), &why))
    }
}

/// What is said of a number that the stated type and format cannot hold.
fn out_of_range(
    value: Native,
    integer: bool,
    format: &str,
    what: &str,
    path: &str,
) -> Option<Fault> {
    let (fits, type_) = match (value, integer) {
        (Native::Int(whole), true) => {
            (format != "int32" || i32::try_from(whole).is_ok(), "integer")
        }
        (Native::Float(float), true) => {
            let most = if format == "int32" { f64::from(i32::MAX) } else { i64::MAX as f64 };
            (float.fract() == 0.0 && float.abs() <= most, "integer")
        }
        (value, false) => {
            (format != "float" || value.float().abs() <= f64::from(f32::MAX), "number")
        }
    };
    let format = match format {
        "" => "(default format)".to_owned(),
        format => format!("with format {format}"),
    };
    (!fits)
        .then(|| Fault::bare(&format!("{what} value must be of type {type_} {format} in {path}")))
}
