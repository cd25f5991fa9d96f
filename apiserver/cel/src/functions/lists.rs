//! Lists: sums, the least and the greatest, places.

use std::cmp::Ordering;

use super::operators::ordering;
use super::{LIST, Made, Row, T, count, run};
use crate::meter::{Fault, Meter};
use crate::value::{List, Value, equal};

macro_rules! row {
    ($name:literal, [$($arg:expr),*], $gives:expr, $run:expr) => {
        Row { name: $name, member: true, args: &[$($arg),*], gives: $gives, run: $run }
    };
}

const INTS: T = T::List(&T::Int);
const UINTS: T = T::List(&T::Uint);
const DOUBLES: T = T::List(&T::Double);
const DURATIONS: T = T::List(&T::Duration);

pub(super) static ROWS: &[Row] = &[
    row!(
        "isSorted",
        [LIST],
        T::Bool,
        run!(Value::List(list) => meter, {
            let mut before: Option<Value<'_>> = None;
            for item in list.iter() {
                if let Some(before) = &before
                    && compare(before, &item, meter)?.is_gt()
                {
                    return Ok(Value::Bool(false));
                }
                before = Some(item);
            }
            Ok(Value::Bool(true))
        })
    ),
    row!("sum", [INTS], T::Int, run!(Value::List(list) => meter, sum(list, Value::Int(0), meter))),
    row!(
        "sum",
        [UINTS],
        T::Uint,
        run!(Value::List(list) => meter, sum(list, Value::Uint(0), meter))
    ),
    row!(
        "sum",
        [DOUBLES],
        T::Double,
        run!(Value::List(list) => meter, sum(list, Value::Double(0.0), meter))
    ),
    row!(
        "sum",
        [DURATIONS],
        T::Duration,
        run!(Value::List(list) => meter, sum(list, Value::Duration(0), meter))
    ),
    row!(
        "min",
        [LIST],
        T::A,
        run!(Value::List(list) => meter, extreme(list, "min", Ordering::Less, meter))
    ),
    row!(
        "max",
        [LIST],
        T::A,
        run!(Value::List(list) => meter, extreme(list, "max", Ordering::Greater, meter))
    ),
    row!(
        "indexOf",
        [LIST, T::A],
        T::Int,
        run!(Value::List(list), item => meter, place(list, item, false, meter))
    ),
    row!(
        "lastIndexOf",
        [LIST, T::A],
        T::Int,
        run!(Value::List(list), item => meter, place(list, item, true, meter))
    ),
];

fn compare(a: &Value<'_>, b: &Value<'_>, meter: &mut Meter) -> Result<Ordering, Fault> {
    meter.spend(1)?;
    if let (Value::Text(a), Value::Text(b)) = (a, b) {
        meter.letters(a.len().min(b.len()))?;
    }
    ordering(a, b).ok_or_else(Fault::overload)
}

/// The sum; of numbers of the kind of the first, if there is one.
fn sum<'a>(list: &List<'a>, nothing: Value<'a>, meter: &mut Meter) -> Made<'a> {
    let mut items = list.iter();
    let Some(mut total) = items.next() else { return Ok(nothing) };
    for item in items {
        meter.spend(1)?;
        let overflow = || Fault::said("integer overflow");
        total = match (total, item) {
            (Value::Int(a), Value::Int(b)) => Value::Int(a.checked_add(b).ok_or_else(overflow)?),
            (Value::Uint(a), Value::Uint(b)) => Value::Uint(a.checked_add(b).ok_or_else(overflow)?),
            (Value::Double(a), Value::Double(b)) => Value::Double(a + b),
            (Value::Duration(a), Value::Duration(b)) => {
                Value::Duration(a.checked_add(b).ok_or_else(overflow)?)
            }
            _ => return Err(Fault::overload()),
        };
    }
    match total {
        Value::Int(_) | Value::Uint(_) | Value::Double(_) | Value::Duration(_) => Ok(total),
        _ => Err(Fault::overload()),
    }
}

fn extreme<'a>(list: &List<'a>, name: &str, wanted: Ordering, meter: &mut Meter) -> Made<'a> {
    let mut found: Option<Value<'a>> = None;
    for item in list.iter() {
        found = match found {
            Some(found) if compare(&item, &found, meter)? != wanted => Some(found),
            _ => Some(item),
        };
    }
    found.ok_or_else(|| Fault::said(format!("{name} called on empty list")))
}

fn place<'a>(list: &List<'_>, item: &Value<'_>, last: bool, meter: &mut Meter) -> Made<'a> {
    let mut found = None;
    for (index, known) in list.iter().enumerate() {
        if equal(&known, item, meter)? {
            found = Some(index);
            if !last {
                break;
            }
        }
    }
    Ok(found.map_or(Value::Int(-1), count))
}
