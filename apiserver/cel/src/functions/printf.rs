//! `format`: texts with places for values.

use super::convert::{float, plain};
use super::strings::quoted;
use super::{Row, T, run};
use crate::meter::{Fault, Meter};
use crate::value::{Map, Value};

/// The most digits after a point.
const MAX_PRECISION: usize = 1000;

pub(super) static ROWS: &[Row] = &[Row {
    name: "format",
    member: true,
    args: &[T::Text, T::List(&T::Dyn)],
    gives: T::Text,
    run: run!(Value::Text(text), Value::List(args) => meter, {
        let args: Vec<Value<'_>> = args.iter().collect();
        printed(text, &args, meter).map(Value::text)
    }),
}];

fn printed(format: &str, args: &[Value<'_>], meter: &mut Meter) -> Result<String, Fault> {
    meter.letters(format.len())?;
    let mut out = String::new();
    let mut args = args.iter().enumerate();
    let mut letters = format.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        let mut clause = letters.next();
        if clause == Some('%') {
            out.push('%');
            continue;
        }
        let mut precision = 6;
        if clause == Some('.') {
            let mut digits = String::new();
            while let Some(digit) = letters.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            precision = digits.parse().map_err(|_| {
                Fault::said("could not parse formatting clause: error while parsing precision: could not convert precision to integer")
            })?;
            clause = letters.next();
        }
        let clause = clause.ok_or_else(|| Fault::said("unexpected end of string"))?;
        if !"sdfebxXo".contains(clause) {
            let why = format!(
                "could not parse formatting clause: unrecognized formatting clause {clause:?}"
            );
            return Err(Fault::said(why));
        }
        let (index, arg) = args.next().ok_or_else(|| {
            Fault::said("index out of range: too few arguments for the formatting string")
        })?;
        if precision > MAX_PRECISION {
            return Err(Fault::said(format!("precision {precision} is too large")));
        }
        let before = out.len();
        let made = one(clause, precision, arg, meter)?;
        let made = made.ok_or_else(|| {
            let type_ = arg.type_name();
            Fault::said(format!("error during formatting: %{clause} cannot be used on argument {index} of type {type_}"))
        })?;
        out.push_str(&made);
        meter.letters(out.len() - before)?;
    }
    Ok(out)
}

/// A value as a clause wants it; none if it cannot be shown like that.
fn one(
    clause: char,
    precision: usize,
    arg: &Value<'_>,
    meter: &mut Meter,
) -> Result<Option<String>, Fault> {
    Ok(match clause {
        's' => shown(arg, false, meter)?,
        'd' => decimal(arg),
        'f' => double(arg).map(|number| format!("{number:.precision$}")),
        'e' => double(arg).map(|number| exponent(number, precision)),
        'b' => match arg {
            Value::Bool(flag) => Some(u8::from(*flag).to_string()),
            arg => radix(arg, |number| format!("{number:b}")),
        },
        'o' => radix(arg, |number| format!("{number:o}")),
        'x' => hex(arg, |number| format!("{number:x}"), |byte| format!("{byte:02x}")),
        _ => hex(arg, |number| format!("{number:X}"), |byte| format!("{byte:02X}")),
    })
}

fn decimal(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Int(_) | Value::Uint(_) => plain(value),
        Value::Double(number) if !number.is_finite() => Some(unusual(*number)),
        _ => None,
    }
}

fn double(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Double(number) => Some(*number),
        Value::Int(number) => Some(float((*number).into())),
        _ => None,
    }
}

fn unusual(number: f64) -> String {
    match number {
        number if number.is_nan() => "NaN",
        number if number > 0.0 => "Infinity",
        _ => "-Infinity",
    }
    .to_owned()
}

fn exponent(number: f64, precision: usize) -> String {
    let text = format!("{number:.precision$e}");
    let Some((digits, power)) = text.split_once('e') else { return text };
    let (sign, power) = match power.strip_prefix('-') {
        Some(power) => ('-', power),
        None => ('+', power),
    };
    format!("{digits}e{sign}{power:0>2}")
}

fn radix(value: &Value<'_>, show: fn(u64) -> String) -> Option<String> {
    match value {
        Value::Int(number) => {
            let sign = if *number < 0 { "-" } else { "" };
            Some(format!("{sign}{}", show(number.unsigned_abs())))
        }
        Value::Uint(number) => Some(show(*number)),
        _ => None,
    }
}

fn hex(value: &Value<'_>, show: fn(u64) -> String, byte: fn(&u8) -> String) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.as_bytes().iter().map(byte).collect()),
        Value::Bytes(bytes) => Some(bytes.iter().map(byte).collect()),
        value => radix(value, show),
    }
}

/// A value for people; `inside` a list or map it is shown as it would stand in a rule.
fn shown(value: &Value<'_>, inside: bool, meter: &mut Meter) -> Result<Option<String>, Fault> {
    meter.spend(1)?;
    Ok(match value {
        Value::List(list) => {
            let mut parts = Vec::new();
            for item in list.iter() {
                let Some(part) = shown(&item, true, meter)? else { return Ok(None) };
                meter.letters(part.len())?;
                parts.push(part);
            }
            Some(format!("[{}]", parts.join(", ")))
        }
        Value::Map(map) => shown_map(map, meter)?,
        Value::Text(text) if inside => Some(quoted(text)),
        Value::Bytes(_) if inside => plain(value).map(|text| format!("b{}", quoted(&text))),
        Value::Double(number) if inside => Some(format!("{number:.6}")),
        Value::Timestamp(_) if inside => {
            plain(value).map(|text| format!("timestamp({})", quoted(&text)))
        }
        Value::Duration(_) if inside => {
            plain(value).map(|text| format!("duration({})", quoted(&text)))
        }
        Value::Quantity(_) | Value::Ip(_) | Value::Cidr(_) => None,
        value => plain(value),
    })
}

fn shown_map(map: &Map<'_>, meter: &mut Meter) -> Result<Option<String>, Fault> {
    let mut parts = Vec::new();
    for (key, value) in map.entries() {
        let (Some(key), Some(value)) = (shown(&key, true, meter)?, shown(&value, true, meter)?)
        else {
            return Ok(None);
        };
        meter.letters(key.len() + value.len())?;
        parts.push(format!("{key}:{value}"));
    }
    parts.sort();
    Ok(Some(format!("{{{}}}", parts.join(", "))))
}
