//! Formats of text that have a name.

use leme_meta::{names, structural};

use super::{Made, Row, T, TEXTS, run, urls};
use crate::meter::Meter;
use crate::value::{List, Value};

/// A format, and what is wrong with a text that has not got it.
#[derive(Debug)]
pub(crate) struct Named {
    name: &'static str,
    wrong: fn(&str) -> Vec<String>,
}

static FORMATS: [Named; 13] = [
    Named { name: "dns1123Label", wrong: names::dns1123_label },
    Named { name: "dns1123Subdomain", wrong: names::dns1123_subdomain },
    Named { name: "dns1035Label", wrong: names::dns1035_label },
    Named { name: "qualifiedName", wrong: names::qualified_name },
    Named {
        name: "dns1123LabelPrefix",
        wrong: |text| names::dns1123_label(&names::of_prefix(text)),
    },
    Named {
        name: "dns1123SubdomainPrefix",
        wrong: |text| names::dns1123_subdomain(&names::of_prefix(text)),
    },
    Named {
        name: "dns1035LabelPrefix",
        wrong: |text| names::dns1035_label(&names::of_prefix(text)),
    },
    Named { name: "labelValue", wrong: names::label_value },
    Named { name: "uri", wrong: |text| urls::wrong(text).into_iter().collect() },
    Named { name: "uuid", wrong: |text| unless("uuid", text, "does not match the UUID format") },
    Named { name: "byte", wrong: |text| unless("byte", text, "invalid base64") },
    Named { name: "date", wrong: |text| unless("date", text, "invalid date") },
    Named { name: "datetime", wrong: |text| unless("datetime", text, "invalid datetime") },
];

macro_rules! named {
    ($name:literal, $full:literal) => {
        Row { name: $full, member: false, args: &[], gives: T::Format, run: run!(=> _meter, Ok(found($name))) }
    };
}

pub(super) static ROWS: &[Row] = &[
    named!("dns1123Label", "format.dns1123Label"),
    named!("dns1123Subdomain", "format.dns1123Subdomain"),
    named!("dns1035Label", "format.dns1035Label"),
    named!("qualifiedName", "format.qualifiedName"),
    named!("dns1123LabelPrefix", "format.dns1123LabelPrefix"),
    named!("dns1123SubdomainPrefix", "format.dns1123SubdomainPrefix"),
    named!("dns1035LabelPrefix", "format.dns1035LabelPrefix"),
    named!("labelValue", "format.labelValue"),
    named!("uri", "format.uri"),
    named!("uuid", "format.uuid"),
    named!("byte", "format.byte"),
    named!("date", "format.date"),
    named!("datetime", "format.datetime"),
    Row {
        name: "format.named",
        member: false,
        args: &[T::Text],
        gives: T::Optional(&T::Format),
        run: run!(Value::Text(name) => _meter, {
            let known = FORMATS.iter().find(|format| format.name == &**name);
            Ok(known.map_or(Value::Optional(None), |format| Value::some(Value::Format(format))))
        }),
    },
    Row {
        name: "validate",
        member: true,
        args: &[T::Format, T::Text],
        gives: T::Optional(&TEXTS),
        run: run!(Value::Format(format), Value::Text(text) => meter, validate(format, text, meter)),
    },
];

fn found<'a>(name: &str) -> Value<'a> {
    FORMATS.iter().find(|format| format.name == name).map_or(Value::Null, Value::Format)
}

fn unless(format: &str, text: &str, why: &str) -> Vec<String> {
    if structural::has_format(format, text) { Vec::new() } else { vec![why.to_owned()] }
}

fn validate<'a>(format: &Named, text: &str, meter: &mut Meter) -> Made<'a> {
    meter.spend((text.len() as u64 / 10 + 1).saturating_mul(8))?;
    let wrong = (format.wrong)(text);
    Ok(match wrong.is_empty() {
        true => Value::Optional(None),
        false => Value::some(List::own(wrong.into_iter().map(Value::text).collect())),
    })
}
