//! Times and durations taken apart.

use jiff::civil::Weekday;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};
use leme_meta::quote;

use super::{Made, Row, T, duration, run};
use crate::meter::Fault;
use crate::value::Value;

/// A part of a time: in UTC, and in a zone that is named.
macro_rules! part {
    ($name:literal, $part:expr) => {
        &[
            Row { name: $name, member: true, args: &[T::Timestamp], gives: T::Int, run: run!(Value::Timestamp(time) => _meter, {
                let part: fn(&Zoned) -> i64 = $part;
                Ok(Value::Int(part(&time.to_zoned(TimeZone::UTC))))
            }) },
            Row { name: $name, member: true, args: &[T::Timestamp, T::Text], gives: T::Int, run: run!(Value::Timestamp(time), Value::Text(zone) => _meter, {
                let part: fn(&Zoned) -> i64 = $part;
                Ok(Value::Int(part(&time.to_zoned(zone_of(zone)?))))
            }) },
        ]
    };
}

macro_rules! whole {
    ($name:literal, $nanos:literal) => {
        Row { name: $name, member: true, args: &[T::Duration], gives: T::Int, run: run!(Value::Duration(nanos) => _meter, Ok(Value::Int(nanos / $nanos))) }
    };
}

pub(super) static PARTS: [&[Row]; 10] = [
    part!("getFullYear", |time| time.year().into()),
    part!("getMonth", |time| i64::from(time.month()) - 1),
    part!("getDate", |time| time.day().into()),
    part!("getDayOfMonth", |time| i64::from(time.day()) - 1),
    part!("getDayOfWeek", |time| Weekday::to_sunday_zero_offset(time.weekday()).into()),
    part!("getDayOfYear", |time| i64::from(time.day_of_year()) - 1),
    part!("getHours", |time| time.hour().into()),
    part!("getMinutes", |time| time.minute().into()),
    part!("getSeconds", |time| time.second().into()),
    part!("getMilliseconds", |time| time.millisecond().into()),
];

pub(super) static ROWS: &[Row] = &[
    whole!("getHours", 3_600_000_000_000),
    whole!("getMinutes", 60_000_000_000),
    whole!("getSeconds", 1_000_000_000),
    whole!("getMilliseconds", 1_000_000),
    Row {
        name: "timestamp",
        member: false,
        args: &[T::Timestamp],
        gives: T::Timestamp,
        run: run!(value => _meter, Ok(value.clone())),
    },
    Row {
        name: "timestamp",
        member: false,
        args: &[T::Int],
        gives: T::Timestamp,
        run: run!(Value::Int(seconds) => _meter, {
            Timestamp::from_second(*seconds).map(Value::Timestamp).map_err(|_| Fault::said("timestamp overflow"))
        }),
    },
    Row {
        name: "timestamp",
        member: false,
        args: &[T::Text],
        gives: T::Timestamp,
        run: run!(Value::Text(text) => _meter, timestamp(text)),
    },
    Row {
        name: "duration",
        member: false,
        args: &[T::Duration],
        gives: T::Duration,
        run: run!(value => _meter, Ok(value.clone())),
    },
    Row {
        name: "duration",
        member: false,
        args: &[T::Int],
        gives: T::Duration,
        run: run!(Value::Int(nanos) => _meter, Ok(Value::Duration(*nanos))),
    },
    Row {
        name: "duration",
        member: false,
        args: &[T::Text],
        gives: T::Duration,
        run: run!(Value::Text(text) => _meter, {
            duration::parse(text).map(Value::Duration).ok_or_else(|| unreadable(text, "google.protobuf.Duration"))
        }),
    },
];

/// What is said of a text that is no such value.
fn unreadable(text: &str, type_: &str) -> Fault {
    let shown: String = text.chars().take(64).collect();
    Fault::said(format!(
        "type conversion error from 'string' to '{type_}': {shown}",
        shown = quote(&shown)
    ))
}

fn timestamp<'a>(text: &str) -> Made<'a> {
    let time = leme_meta::time::parse(text);
    time.map(Value::Timestamp).ok_or_else(|| unreadable(text, "google.protobuf.Timestamp"))
}

/// A zone by its name, or as its distance from UTC, such as `-08:00`.
fn zone_of(text: &str) -> Result<TimeZone, Fault> {
    let unknown = || Fault::said(format!("unknown time zone {text}"));
    let Some((hours, minutes)) = text.split_once(':') else {
        return match text {
            "" | "UTC" => Ok(TimeZone::UTC),
            name => TimeZone::get(name).map_err(|_| unknown()),
        };
    };
    let sign = if hours.starts_with('-') { -1 } else { 1 };
    let (hours, minutes): (i32, i32) = match (hours.parse(), minutes.parse()) {
        (Ok(hours), Ok(minutes)) => (hours, minutes),
        _ => return Err(unknown()),
    };
    let seconds = hours.checked_mul(3600).zip(minutes.checked_mul(60 * sign));
    let seconds = seconds.and_then(|(hours, minutes)| hours.checked_add(minutes));
    let offset = seconds.and_then(|seconds| Offset::from_seconds(seconds).ok());
    offset.map(TimeZone::fixed).ok_or_else(unknown)
}
