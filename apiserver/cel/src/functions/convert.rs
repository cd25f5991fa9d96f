//! Values made into values of another type.

use super::{LIST, Made, Row, T, count, run};
use crate::meter::Fault;
use crate::value::{Map, Value};
use leme_meta::quote;

macro_rules! row {
    ($name:literal, $arg:expr, $gives:expr, $run:expr) => {
        Row { name: $name, member: false, args: &[$arg], gives: $gives, run: $run }
    };
}

/// `size(x)` and `x.size()`.
macro_rules! size {
    ($member:literal) => {
        [
            Row { name: "size", member: $member, args: &[T::Text], gives: T::Int, run: run!(Value::Text(text) => meter, {
                meter.letters(text.len())?;
                Ok(count(text.chars().count()))
            }) },
            Row { name: "size", member: $member, args: &[T::Bytes], gives: T::Int, run: run!(Value::Bytes(bytes) => _meter, Ok(count(bytes.len()))) },
            Row { name: "size", member: $member, args: &[LIST], gives: T::Int, run: run!(Value::List(list) => _meter, Ok(count(list.len()))) },
            Row { name: "size", member: $member, args: &[T::Map(&T::A, &T::B)], gives: T::Int, run: run!(Value::Map(map) => _meter, Ok(count(map.len()))) },
        ]
    };
}

pub(super) static SIZE: &[Row] = &size!(false);
pub(super) static SIZE_OF: &[Row] = &size!(true);

pub(super) static ROWS: &[Row] = &[
    row!("dyn", T::A, T::Dyn, run!(value => _meter, Ok(value.clone()))),
    row!("type", T::A, T::Type(&T::A), run!(value => _meter, Ok(Value::Type(value.type_name())))),
    row!("bool", T::Bool, T::Bool, run!(value => _meter, Ok(value.clone()))),
    row!(
        "bool",
        T::Text,
        T::Bool,
        run!(Value::Text(text) => _meter, match &**text {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(Value::Bool(false)),
            text => Err(syntax("ParseBool", text)),
        })
    ),
    row!("int", T::Int, T::Int, run!(value => _meter, Ok(value.clone()))),
    row!(
        "int",
        T::Uint,
        T::Int,
        run!(Value::Uint(number) => _meter, {
            i64::try_from(*number).map(Value::Int).map_err(|_| Fault::said("integer overflow"))
        })
    ),
    row!("int", T::Double, T::Int, run!(Value::Double(number) => _meter, truncated(*number))),
    row!(
        "int",
        T::Text,
        T::Int,
        run!(Value::Text(text) => _meter, {
            text.parse().map(Value::Int).map_err(|_| syntax("ParseInt", text))
        })
    ),
    row!(
        "int",
        T::Timestamp,
        T::Int,
        run!(Value::Timestamp(time) => _meter, Ok(Value::Int(time.as_second())))
    ),
    row!(
        "int",
        T::Duration,
        T::Int,
        run!(Value::Duration(nanos) => _meter, Ok(Value::Int(*nanos)))
    ),
    row!("uint", T::Uint, T::Uint, run!(value => _meter, Ok(value.clone()))),
    row!(
        "uint",
        T::Int,
        T::Uint,
        run!(Value::Int(number) => _meter, {
            u64::try_from(*number).map(Value::Uint).map_err(|_| Fault::said("unsigned integer overflow"))
        })
    ),
    row!("uint", T::Double, T::Uint, run!(Value::Double(number) => _meter, natural(*number))),
    row!(
        "uint",
        T::Text,
        T::Uint,
        run!(Value::Text(text) => _meter, {
            text.parse().map(Value::Uint).map_err(|_| syntax("ParseUint", text))
        })
    ),
    row!("double", T::Double, T::Double, run!(value => _meter, Ok(value.clone()))),
    row!(
        "double",
        T::Int,
        T::Double,
        run!(Value::Int(number) => _meter, Ok(Value::Double(float(i128::from(*number)))))
    ),
    row!(
        "double",
        T::Uint,
        T::Double,
        run!(Value::Uint(number) => _meter, Ok(Value::Double(float(i128::from(*number)))))
    ),
    row!(
        "double",
        T::Text,
        T::Double,
        run!(Value::Text(text) => _meter, {
            text.parse().map(Value::Double).map_err(|_| syntax("ParseFloat", text))
        })
    ),
    row!("string", T::Text, T::Text, run!(value => _meter, Ok(value.clone()))),
    row!("string", T::Bool, T::Text, run!(value => _meter, shown(value))),
    row!("string", T::Int, T::Text, run!(value => _meter, shown(value))),
    row!("string", T::Uint, T::Text, run!(value => _meter, shown(value))),
    row!("string", T::Double, T::Text, run!(value => _meter, shown(value))),
    row!(
        "string",
        T::Bytes,
        T::Text,
        run!(value => meter, {
            if let Value::Bytes(bytes) = value {
                meter.letters(bytes.len())?;
            }
            shown(value)
        })
    ),
    row!("string", T::Timestamp, T::Text, run!(value => _meter, shown(value))),
    row!("string", T::Duration, T::Text, run!(value => _meter, shown(value))),
    row!("string", T::Ip, T::Text, run!(value => _meter, shown(value))),
    row!("string", T::Cidr, T::Text, run!(value => _meter, shown(value))),
    row!("bytes", T::Bytes, T::Bytes, run!(value => _meter, Ok(value.clone()))),
    row!(
        "bytes",
        T::Text,
        T::Bytes,
        run!(Value::Text(text) => meter, {
            meter.letters(text.len())?;
            Ok(Value::Bytes(text.as_bytes().into()))
        })
    ),
];

/// A number as Go converts it.
#[expect(clippy::cast_precision_loss, reason = "as Go does")]
pub(super) fn float(number: i128) -> f64 {
    number as f64
}

fn syntax(function: &str, text: &str) -> Fault {
    let shown: String = text.chars().take(64).collect();
    Fault::said(format!(
        "strconv.{function}: parsing {shown}: invalid syntax",
        shown = quote(&shown)
    ))
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn truncated<'a>(number: f64) -> Made<'a> {
    const END: f64 = 9_223_372_036_854_775_808.0;
    if number > -END && number < END {
        return Ok(Value::Int(number as i64));
    }
    Err(Fault::said("integer overflow"))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
fn natural<'a>(number: f64) -> Made<'a> {
    if (0.0..18_446_744_073_709_551_616.0).contains(&number) {
        return Ok(Value::Uint(number as u64));
    }
    Err(Fault::said("unsigned integer overflow"))
}

fn shown<'a>(value: &Value<'a>) -> Made<'a> {
    plain(value)
        .map(Value::text)
        .ok_or_else(|| Fault::said("invalid UTF-8 in bytes, cannot convert to string"))
}

/// A value as text, if it can be one.
pub(super) fn plain(value: &Value<'_>) -> Option<String> {
    Some(match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Uint(number) => number.to_string(),
        Value::Double(number) => leme_meta::structural::float(*number, -5),
        Value::Text(text) => (**text).to_owned(),
        Value::Bytes(bytes) => String::from_utf8(bytes.to_vec()).ok()?,
        Value::Duration(nanos) => super::duration::seconds(*nanos),
        Value::Timestamp(time) => time.to_string(),
        Value::Type(name) => (*name).to_owned(),
        Value::Ip(address) => address.to_string(),
        Value::Cidr(cidr) => cidr.to_string(),
        Value::Quantity(quantity) => quantity.to_string(),
        Value::Map(Map::Object(..)) | Value::List(_) | Value::Map(_) | Value::Optional(_) => {
            return None;
        }
        Value::Url(_) | Value::Semver(_) | Value::Format(_) => return None,
    })
}
