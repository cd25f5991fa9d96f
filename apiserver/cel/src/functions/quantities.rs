//! Quantities, such as `1.5Gi`.

use leme_meta::quantity::Quantity;

use super::convert::float;
use super::{Made, Row, T, run};
use crate::meter::Fault;
use crate::value::Value;

macro_rules! row {
    ($name:literal, $member:literal, [$($arg:expr),*], $gives:expr, $run:expr) => {
        Row { name: $name, member: $member, args: &[$($arg),*], gives: $gives, run: $run }
    };
}

const UNIT: i128 = 1_000_000_000;
const Q: T = T::Quantity;

pub(super) static ROWS: &[Row] = &[
    row!(
        "quantity",
        false,
        [T::Text],
        Q,
        run!(Value::Text(text) => _meter, {
            Quantity::parse(text).map(Value::Quantity).map_err(Fault::Said)
        })
    ),
    row!(
        "isQuantity",
        false,
        [T::Text],
        T::Bool,
        run!(Value::Text(text) => _meter, Ok(Value::Bool(Quantity::parse(text).is_ok())))
    ),
    row!(
        "sign",
        true,
        [Q],
        T::Int,
        run!(Value::Quantity(a) => _meter, Ok(Value::Int(i64::try_from(a.nanos().signum()).unwrap_or(0))))
    ),
    row!(
        "isInteger",
        true,
        [Q],
        T::Bool,
        run!(Value::Quantity(a) => _meter, Ok(Value::Bool(whole(a).is_some())))
    ),
    row!(
        "asInteger",
        true,
        [Q],
        T::Int,
        run!(Value::Quantity(a) => _meter, {
            whole(a).map(Value::Int).ok_or_else(|| Fault::said("cannot convert value to integer"))
        })
    ),
    row!(
        "asApproximateFloat",
        true,
        [Q],
        T::Double,
        run!(Value::Quantity(a) => _meter, Ok(Value::Double(float(a.nanos()) / float(UNIT))))
    ),
    row!(
        "add",
        true,
        [Q, Q],
        Q,
        run!(Value::Quantity(a), Value::Quantity(b) => _meter, made(a.checked_add(b)))
    ),
    row!(
        "add",
        true,
        [Q, T::Int],
        Q,
        run!(Value::Quantity(a), Value::Int(b) => _meter, made(a.checked_add(&Quantity::from_units(*b))))
    ),
    row!(
        "sub",
        true,
        [Q, Q],
        Q,
        run!(Value::Quantity(a), Value::Quantity(b) => _meter, made(a.checked_sub(b)))
    ),
    row!(
        "sub",
        true,
        [Q, T::Int],
        Q,
        run!(Value::Quantity(a), Value::Int(b) => _meter, made(a.checked_sub(&Quantity::from_units(*b))))
    ),
    row!(
        "isLessThan",
        true,
        [Q, Q],
        T::Bool,
        run!(Value::Quantity(a), Value::Quantity(b) => _meter, Ok(Value::Bool(a.nanos() < b.nanos())))
    ),
    row!(
        "isGreaterThan",
        true,
        [Q, Q],
        T::Bool,
        run!(Value::Quantity(a), Value::Quantity(b) => _meter, Ok(Value::Bool(a.nanos() > b.nanos())))
    ),
    row!(
        "compareTo",
        true,
        [Q, Q],
        T::Int,
        run!(Value::Quantity(a), Value::Quantity(b) => _meter, Ok(Value::Int(a.nanos().cmp(&b.nanos()) as i64)))
    ),
];

fn whole(quantity: &Quantity) -> Option<i64> {
    let nanos = quantity.nanos();
    (nanos % UNIT == 0).then(|| i64::try_from(nanos / UNIT).ok())?
}

fn made<'a>(quantity: Option<Quantity>) -> Made<'a> {
    quantity.map(Value::Quantity).ok_or_else(|| Fault::said("quantity overflow"))
}
