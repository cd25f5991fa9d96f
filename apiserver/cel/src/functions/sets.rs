//! Lists taken as sets.

use super::{LIST, Row, T, run};
use crate::meter::{Fault, Meter};
use crate::value::{List, Value, position};

macro_rules! row {
    ($name:literal, $holds:expr) => {
        Row { name: $name, member: false, args: &[LIST, LIST], gives: T::Bool, run: run!(Value::List(a), Value::List(b) => meter, {
            let holds: fn(&List<'_>, &List<'_>, &mut Meter) -> Result<bool, Fault> = $holds;
            holds(a, b, meter).map(Value::Bool)
        }) }
    };
}

pub(super) static ROWS: &[Row] = &[
    row!("sets.contains", contains),
    row!("sets.equivalent", |a, b, meter| Ok(contains(a, b, meter)? && contains(b, a, meter)?)),
    row!("sets.intersects", |a, b, meter| {
        for item in b.iter() {
            if position(a, &item, meter)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }),
];

fn contains(all: &List<'_>, some: &List<'_>, meter: &mut Meter) -> Result<bool, Fault> {
    for item in some.iter() {
        if position(all, &item, meter)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}
