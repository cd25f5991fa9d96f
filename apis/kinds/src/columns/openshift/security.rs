//! Columns of security context constraints and of ranges that were handed out.

use serde_json::Value;

use super::super::{shown, text};
use crate::Column;

macro_rules! fields {
    ($($name:literal => $pointer:literal),* $(,)?) => {
        &[$(shown($name, |constraints, _| field(constraints.pointer($pointer)).into())),*]
    };
}

pub(crate) const SECURITY_CONTEXT_CONSTRAINTS: &[Column] = fields!(
    "Priv" => "/allowPrivilegedContainer",
    "Caps" => "/allowedCapabilities",
    "SELinux" => "/seLinuxContext/type",
    "RunAsUser" => "/runAsUser/type",
    "FSGroup" => "/fsGroup/type",
    "SupGroup" => "/supplementalGroups/type",
    "Priority" => "/priority",
    "ReadOnlyRootFS" => "/readOnlyRootFilesystem",
    "Volumes" => "/volumes",
);

pub(crate) const RANGE_ALLOCATION: &[Column] = &[
    shown("Range", |allocation, _| text(allocation, "/range").into()),
    shown("Data", |allocation, _| data(allocation).into()),
];

/// A field as a JSON path prints it.
fn field(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "<no value>".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// The bytes that a text of base64 stands for, in hexadecimal digits.
fn data(allocation: &Value) -> String {
    let mut digits = String::from("0x");
    let (mut bits, mut held) = (0_u32, 0);
    for byte in text(allocation, "/data").bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => break,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            digits.push_str(&format!("{:02x}", bits >> held & 0xff));
        }
    }
    digits
}
