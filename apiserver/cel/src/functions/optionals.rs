//! Values that may be there or not.

use super::{LIST, Row, T, run};
use crate::meter::Fault;
use crate::value::{List, Value};

const PERHAPS: T = T::Optional(&T::A);

macro_rules! row {
    ($name:literal, $member:literal, [$($arg:expr),*], $gives:expr, $run:expr) => {
        Row { name: $name, member: $member, args: &[$($arg),*], gives: $gives, run: $run }
    };
}

pub(super) static ROWS: &[Row] = &[
    row!(
        "optional.of",
        false,
        [T::A],
        PERHAPS,
        run!(value => _meter, Ok(Value::some(value.clone())))
    ),
    row!("optional.none", false, [], PERHAPS, run!(=> _meter, Ok(Value::Optional(None)))),
    row!(
        "optional.ofNonZeroValue",
        false,
        [T::A],
        PERHAPS,
        run!(value => _meter, {
            Ok(if zero(value) { Value::Optional(None) } else { Value::some(value.clone()) })
        })
    ),
    row!(
        "optional.unwrap",
        false,
        [T::List(&PERHAPS)],
        LIST,
        run!(Value::List(list) => meter, unwrapped(list, meter))
    ),
    row!(
        "unwrapOpt",
        true,
        [T::List(&PERHAPS)],
        LIST,
        run!(Value::List(list) => meter, unwrapped(list, meter))
    ),
    row!(
        "hasValue",
        true,
        [PERHAPS],
        T::Bool,
        run!(Value::Optional(inside) => _meter, Ok(Value::Bool(inside.is_some())))
    ),
    row!(
        "value",
        true,
        [PERHAPS],
        T::A,
        run!(Value::Optional(inside) => _meter, {
            inside.as_deref().cloned().ok_or_else(|| Fault::said("optional.none() dereference"))
        })
    ),
    row!(
        "or",
        true,
        [PERHAPS, PERHAPS],
        PERHAPS,
        run!(Value::Optional(inside), other => _meter, {
            Ok(match inside {
                Some(_) => Value::Optional(inside.clone()),
                None => other.clone(),
            })
        })
    ),
    row!(
        "orValue",
        true,
        [PERHAPS, T::A],
        T::A,
        run!(Value::Optional(inside), other => _meter, {
            Ok(inside.as_deref().unwrap_or(other).clone())
        })
    ),
    row!(
        "first",
        true,
        [LIST],
        PERHAPS,
        run!(Value::List(list) => _meter, {
            Ok(list.get(0).map_or(Value::Optional(None), Value::some))
        })
    ),
    row!(
        "last",
        true,
        [LIST],
        PERHAPS,
        run!(Value::List(list) => _meter, {
            let last = list.len().checked_sub(1).and_then(|at| list.get(at));
            Ok(last.map_or(Value::Optional(None), Value::some))
        })
    ),
];

fn unwrapped<'a>(list: &List<'a>, meter: &mut crate::meter::Meter) -> super::Made<'a> {
    meter.spend(list.len() as u64)?;
    let mut all = Vec::new();
    for item in list.iter() {
        match item {
            Value::Optional(None) => {}
            Value::Optional(Some(inside)) => all.push(Value::clone(&inside)),
            _ => return Err(Fault::overload()),
        }
    }
    Ok(List::own(all))
}

/// Whether a value is what its type begins with.
fn zero(value: &Value<'_>) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Int(number) => *number == 0,
        Value::Uint(number) => *number == 0,
        Value::Double(number) => *number == 0.0,
        Value::Text(text) => text.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::Duration(nanos) => *nanos == 0,
        Value::List(list) => list.len() == 0,
        Value::Map(map) => map.len() == 0,
        Value::Optional(inside) => inside.is_none(),
        _ => false,
    }
}
