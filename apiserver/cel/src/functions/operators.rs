//! Operators between values.

use std::cmp::Ordering;

use super::{LIST, Made, Row, T, run};
use crate::meter::{Fault, Meter};
use crate::types::Order;
use crate::value::{List, Value, compared, equal, keyed, position};

const SECOND: i128 = 1_000_000_000;

const fn row(
    name: &'static str,
    args: &'static [T],
    gives: T,
    run: for<'a> fn(&[Value<'a>], &mut Meter) -> Made<'a>,
) -> Row {
    Row { name, member: false, args, gives, run }
}

/// Rows of comparisons: all pairs of types that have an order.
macro_rules! compare {
    ($name:literal, $holds:expr) => {
        &[
            row($name, &[T::Bool, T::Bool], T::Bool, |args, meter| order(args, meter, $holds)),
            row($name, &[T::Int, T::Int], T::Bool, |args, meter| order(args, meter, $holds)),
            row($name, &[T::Int, T::Uint], T::Bool, |args, meter| order(args, meter, $holds)),
            row($name, &[T::Int, T::Double], T::Bool, |args, meter| order(args, meter, $holds)),
            row($name, &[T::Uint, T::Uint], T::Bool, |args, meter| order(args, meter, $holds)),
            row($name, &[T::Uint, T::Int], T::Bool, |args, meter| order(args, meter, $holds)),
            row($name, &[T::Uint, T::Double], T::Bool, |args, meter| order(args, meter, $holds)),
            row($name, &[T::Double, T::Double], T::Bool, |args, meter| order(args, meter, $holds)),
            row($name, &[T::Double, T::Int], T::Bool, |args, meter| order(args, meter, $holds)),
            row($name, &[T::Double, T::Uint], T::Bool, |args, meter| order(args, meter, $holds)),
            row($name, &[T::Text, T::Text], T::Bool, |args, meter| order(args, meter, $holds)),
            row($name, &[T::Bytes, T::Bytes], T::Bool, |args, meter| order(args, meter, $holds)),
            row($name, &[T::Duration, T::Duration], T::Bool, |args, meter| {
                order(args, meter, $holds)
            }),
            row($name, &[T::Timestamp, T::Timestamp], T::Bool, |args, meter| {
                order(args, meter, $holds)
            }),
        ]
    };
}

pub(super) static LESS: &[Row] = compare!("_<_", Ordering::is_lt);
pub(super) static LESS_EQUAL: &[Row] = compare!("_<=_", Ordering::is_le);
pub(super) static GREATER: &[Row] = compare!("_>_", Ordering::is_gt);
pub(super) static GREATER_EQUAL: &[Row] = compare!("_>=_", Ordering::is_ge);

pub(super) static ROWS: &[Row] = &[
    row("_==_", &[T::A, T::A], T::Bool, run!(a, b => meter, Ok(Value::Bool(equal(a, b, meter)?)))),
    row("_!=_", &[T::A, T::A], T::Bool, run!(a, b => meter, Ok(Value::Bool(!equal(a, b, meter)?)))),
    row("!_", &[T::Bool], T::Bool, run!(Value::Bool(flag) => _meter, Ok(Value::Bool(!flag)))),
    row("-_", &[T::Int], T::Int, run!(Value::Int(a) => _meter, whole(a.checked_neg()))),
    row("-_", &[T::Double], T::Double, run!(Value::Double(a) => _meter, Ok(Value::Double(-a)))),
    row(
        "_+_",
        &[T::Int, T::Int],
        T::Int,
        run!(Value::Int(a), Value::Int(b) => _meter, whole(a.checked_add(*b))),
    ),
    row(
        "_+_",
        &[T::Uint, T::Uint],
        T::Uint,
        run!(Value::Uint(a), Value::Uint(b) => _meter, natural(a.checked_add(*b))),
    ),
    row(
        "_+_",
        &[T::Double, T::Double],
        T::Double,
        run!(Value::Double(a), Value::Double(b) => _meter, Ok(Value::Double(a + b))),
    ),
    row(
        "_+_",
        &[T::Text, T::Text],
        T::Text,
        run!(Value::Text(a), Value::Text(b) => meter, {
            meter.letters(a.len() + b.len())?;
            Ok(Value::text(format!("{}{}", &**a, &**b)))
        }),
    ),
    row(
        "_+_",
        &[T::Bytes, T::Bytes],
        T::Bytes,
        run!(Value::Bytes(a), Value::Bytes(b) => meter, {
            meter.letters(a.len() + b.len())?;
            Ok(Value::Bytes([&**a, &**b].concat().into()))
        }),
    ),
    row(
        "_+_",
        &[LIST, LIST],
        LIST,
        run!(Value::List(a), Value::List(b) => meter, joined(a, b, meter)),
    ),
    row(
        "_+_",
        &[T::Duration, T::Duration],
        T::Duration,
        run!(Value::Duration(a), Value::Duration(b) => _meter, span(a.checked_add(*b))),
    ),
    row(
        "_+_",
        &[T::Timestamp, T::Duration],
        T::Timestamp,
        run!(Value::Timestamp(a), Value::Duration(b) => _meter, moment(a.as_nanosecond() + i128::from(*b))),
    ),
    row(
        "_+_",
        &[T::Duration, T::Timestamp],
        T::Timestamp,
        run!(Value::Duration(a), Value::Timestamp(b) => _meter, moment(i128::from(*a) + b.as_nanosecond())),
    ),
    row(
        "_-_",
        &[T::Int, T::Int],
        T::Int,
        run!(Value::Int(a), Value::Int(b) => _meter, whole(a.checked_sub(*b))),
    ),
    row(
        "_-_",
        &[T::Uint, T::Uint],
        T::Uint,
        run!(Value::Uint(a), Value::Uint(b) => _meter, natural(a.checked_sub(*b))),
    ),
    row(
        "_-_",
        &[T::Double, T::Double],
        T::Double,
        run!(Value::Double(a), Value::Double(b) => _meter, Ok(Value::Double(a - b))),
    ),
    row(
        "_-_",
        &[T::Duration, T::Duration],
        T::Duration,
        run!(Value::Duration(a), Value::Duration(b) => _meter, span(a.checked_sub(*b))),
    ),
    row(
        "_-_",
        &[T::Timestamp, T::Duration],
        T::Timestamp,
        run!(Value::Timestamp(a), Value::Duration(b) => _meter, moment(a.as_nanosecond() - i128::from(*b))),
    ),
    row(
        "_-_",
        &[T::Timestamp, T::Timestamp],
        T::Duration,
        run!(Value::Timestamp(a), Value::Timestamp(b) => _meter, {
            span(i64::try_from(a.as_nanosecond() - b.as_nanosecond()).ok())
        }),
    ),
    row(
        "_*_",
        &[T::Int, T::Int],
        T::Int,
        run!(Value::Int(a), Value::Int(b) => _meter, whole(a.checked_mul(*b))),
    ),
    row(
        "_*_",
        &[T::Uint, T::Uint],
        T::Uint,
        run!(Value::Uint(a), Value::Uint(b) => _meter, natural(a.checked_mul(*b))),
    ),
    row(
        "_*_",
        &[T::Double, T::Double],
        T::Double,
        run!(Value::Double(a), Value::Double(b) => _meter, Ok(Value::Double(a * b))),
    ),
    row(
        "_/_",
        &[T::Int, T::Int],
        T::Int,
        run!(Value::Int(a), Value::Int(b) => _meter, match b {
            0 => Err(Fault::said("division by zero")),
            b => whole(a.checked_div(*b)),
        }),
    ),
    row(
        "_/_",
        &[T::Uint, T::Uint],
        T::Uint,
        run!(Value::Uint(a), Value::Uint(b) => _meter, match b {
            0 => Err(Fault::said("division by zero")),
            b => natural(a.checked_div(*b)),
        }),
    ),
    row(
        "_/_",
        &[T::Double, T::Double],
        T::Double,
        run!(Value::Double(a), Value::Double(b) => _meter, Ok(Value::Double(a / b))),
    ),
    row(
        "_%_",
        &[T::Int, T::Int],
        T::Int,
        run!(Value::Int(a), Value::Int(b) => _meter, match b {
            0 => Err(Fault::said("modulus by zero")),
            b => whole(a.checked_rem(*b)),
        }),
    ),
    row(
        "_%_",
        &[T::Uint, T::Uint],
        T::Uint,
        run!(Value::Uint(a), Value::Uint(b) => _meter, match b {
            0 => Err(Fault::said("modulus by zero")),
            b => natural(a.checked_rem(*b)),
        }),
    ),
    row(
        "@in",
        &[T::A, LIST],
        T::Bool,
        run!(item, Value::List(list) => meter, {
            Ok(Value::Bool(position(list, item, meter)?.is_some()))
        }),
    ),
    row(
        "@in",
        &[T::A, T::Map(&T::A, &T::B)],
        T::Bool,
        run!(key, Value::Map(map) => _meter, {
            Ok(Value::Bool(map.get(key).is_some()))
        }),
    ),
    row("_[_]", &[LIST, T::Int], T::A, |args, _| at(args)),
    row("_[_]", &[T::Map(&T::A, &T::B), T::A], T::B, |args, _| at(args)),
    row("_[_]", &[T::Optional(&LIST), T::Int], T::Optional(&T::A), |args, _| perhaps(args)),
    row("_[_]", &[T::Optional(&T::Map(&T::A, &T::B)), T::A], T::Optional(&T::B), |args, _| {
        perhaps(args)
    }),
    row("_[?_]", &[LIST, T::Int], T::Optional(&T::A), |args, _| perhaps(args)),
    row("_[?_]", &[T::Map(&T::A, &T::B), T::A], T::Optional(&T::B), |args, _| perhaps(args)),
    row("_[?_]", &[T::Optional(&LIST), T::Int], T::Optional(&T::A), |args, _| perhaps(args)),
    row("_[?_]", &[T::Optional(&T::Map(&T::A, &T::B)), T::A], T::Optional(&T::B), |args, _| {
        perhaps(args)
    }),
];

fn whole<'a>(number: Option<i64>) -> Made<'a> {
    number.map(Value::Int).ok_or_else(|| Fault::said("integer overflow"))
}

fn natural<'a>(number: Option<u64>) -> Made<'a> {
    number.map(Value::Uint).ok_or_else(|| Fault::said("unsigned integer overflow"))
}

fn span<'a>(nanos: Option<i64>) -> Made<'a> {
    nanos.map(Value::Duration).ok_or_else(|| Fault::said("duration overflow"))
}

fn moment<'a>(nanos: i128) -> Made<'a> {
    let year = |time: &jiff::Timestamp| {
        (1..=9999).contains(&time.to_zoned(jiff::tz::TimeZone::UTC).year())
    };
    let in_range = nanos / SECOND > -62_135_596_801;
    let time = jiff::Timestamp::from_nanosecond(nanos).ok().filter(|time| in_range && year(time));
    time.map(Value::Timestamp).ok_or_else(|| Fault::said("timestamp overflow"))
}

/// How two values of a type with an order compare.
pub(super) fn ordering(one: &Value<'_>, other: &Value<'_>) -> Option<Ordering> {
    match (one, other) {
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Text(a), Value::Text(b)) => Some((**a).cmp(&**b)),
        (Value::Bytes(a), Value::Bytes(b)) => Some(a.cmp(b)),
        (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
        (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
        _ => compared(one, other),
    }
}

fn order<'a>(args: &[Value<'a>], meter: &mut Meter, holds: fn(Ordering) -> bool) -> Made<'a> {
    match args {
        [a, b] => {
            if let (Value::Text(a), Value::Text(b)) = (a, b) {
                meter.letters(a.len().min(b.len()))?;
            }
            let nan = |value: &Value<'_>| matches!(value, Value::Double(number) if number.is_nan());
            match ordering(a, b) {
                Some(ordering) => Ok(Value::Bool(holds(ordering))),
                None if nan(a) || nan(b) => Err(Fault::said("NaN values cannot be ordered")),
                None => Err(Fault::overload()),
            }
        }
        _ => Err(Fault::overload()),
    }
}

/// Two lists as one: sets have nothing twice, and what has keys takes the place of what had them.
fn joined<'a>(a: &List<'a>, b: &List<'a>, meter: &mut Meter) -> Made<'a> {
    meter.spend((a.len() + b.len()) as u64)?;
    let mut all: Vec<Value<'a>> = a.iter().collect();
    match a.order() {
        Order::Places => all.extend(b.iter()),
        Order::Set => {
            for item in b.iter() {
                if position(a, &item, meter)?.is_none() {
                    all.push(item);
                }
            }
        }
        Order::Keys(keys) => {
            for item in b.iter() {
                match keyed(a, keys, &item, meter)? {
                    Some(at) => all[at] = item,
                    None => all.push(item),
                }
            }
        }
    }
    Ok(List::own(all))
}

/// The element or entry, or what is wrong with asking for it.
fn at<'a>(args: &[Value<'a>]) -> Made<'a> {
    match args {
        [Value::List(list), index] => {
            let place = compared(index, &Value::Int(0)).filter(|order| order.is_ge());
            let place = place.and_then(|_| match index {
                Value::Int(index) => usize::try_from(*index).ok(),
                Value::Uint(index) => usize::try_from(*index).ok(),
                _ => None,
            });
            let shown = super::convert::plain(index).unwrap_or_default();
            let found = place.and_then(|place| list.get(place));
            found.ok_or_else(|| Fault::said(format!("index out of bounds: {shown}")))
        }
        [Value::Map(map), key] => map.get(key).ok_or_else(|| {
            let shown = super::convert::plain(key).unwrap_or_default();
            Fault::said(format!("no such key: {shown}"))
        }),
        _ => Err(Fault::overload()),
    }
}

/// The element or entry, if there is one.
fn perhaps<'a>(args: &[Value<'a>]) -> Made<'a> {
    let of = match args.first() {
        Some(Value::Optional(None)) => return Ok(Value::Optional(None)),
        Some(Value::Optional(Some(of))) => Value::clone(of),
        Some(of) => of.clone(),
        None => return Err(Fault::overload()),
    };
    let index = args.get(1).cloned().ok_or_else(Fault::overload)?;
    let found = at(&[of, index]).ok();
    Ok(found.map_or(Value::Optional(None), Value::some))
}
