//! Field errors: what is wrong with which field, in the words of apimachinery's `field.Error`.

use crate::quote;
use std::fmt;

use crate::status::Cause;

/// The path of a field, such as `spec.containers[0].name`. Cheap to extend: each check of a field makes a path, and few
/// of them are ever shown, so that most have no memory of their own.
#[derive(Clone)]
pub struct Path(Text);

/// Bytes of a path that is kept in place.
const SHORT: usize = 62;

#[derive(Clone)]
enum Text {
    Short([u8; SHORT], u8),
    Long(String),
}

impl Path {
    /// A path of one field.
    pub fn new(field: &str) -> Path {
        Path::default().longer(&[field])
    }

    /// The field of this one.
    pub fn child(&self, field: &str) -> Path {
        if self.length() == 0 { Path::new(field) } else { self.longer(&[".", field]) }
    }

    /// The element of this list.
    pub fn index(&self, index: usize) -> Path {
        const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
        match DIGITS.get(index) {
            Some(digit) => self.key(digit),
            None => self.key(&index.to_string()),
        }
    }

    /// The entry of this map.
    pub fn key(&self, key: &str) -> Path {
        self.longer(&["[", key, "]"])
    }

    fn longer(&self, parts: &[&str]) -> Path {
        let more: usize = parts.iter().map(|part| part.len()).sum();
        let length = self.length() + more;
        if let (Text::Short(bytes, filled), true) = (&self.0, length <= SHORT) {
            let (mut bytes, mut at) = (*bytes, usize::from(*filled));
            for part in parts {
                bytes[at..at + part.len()].copy_from_slice(part.as_bytes());
                at += part.len();
            }
            return Path(Text::Short(bytes, at as u8));
        }
        let mut path = String::with_capacity(length);
        path.push_str(self.text());
        parts.iter().for_each(|part| path.push_str(part));
        Path(Text::Long(path))
    }

    fn length(&self) -> usize {
        match &self.0 {
            Text::Short(_, filled) => usize::from(*filled),
            Text::Long(text) => text.len(),
        }
    }

    fn text(&self) -> &str {
        match &self.0 {
            // Whole texts were put into it.
            Text::Short(bytes, filled) => {
                std::str::from_utf8(&bytes[..usize::from(*filled)]).unwrap_or("")
            }
            Text::Long(text) => text,
        }
    }
}

impl Default for Path {
    fn default() -> Path {
        Path(Text::Short([0; SHORT], 0))
    }
}

impl PartialEq for Path {
    fn eq(&self, other: &Path) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Path {}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.text(), f)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// The kinds of field error; the wire reason of each is [`FieldErrorKind::reason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldErrorKind {
    /// The field must be set.
    Required,
    /// The value is malformed.
    Invalid,
    /// The value is not one of those known.
    NotSupported,
    /// The value occurs twice where it must be unique.
    Duplicate,
    /// The value may not be set, or not by this request.
    Forbidden,
    /// What the value names does not exist.
    NotFound,
    /// The value is too long.
    TooLong,
    /// The list has too many elements.
    TooMany,
    /// The value has the wrong JSON type.
    TypeInvalid,
    /// The server failed while it checked the field.
    InternalError,
}

impl FieldErrorKind {
    /// The `reason` of a Status cause.
    pub fn reason(self) -> &'static str {
        match self {
            FieldErrorKind::Required => "FieldValueRequired",
            FieldErrorKind::Invalid => "FieldValueInvalid",
            FieldErrorKind::NotSupported => "FieldValueNotSupported",
            FieldErrorKind::Duplicate => "FieldValueDuplicate",
            FieldErrorKind::Forbidden => "FieldValueForbidden",
            FieldErrorKind::NotFound => "FieldValueNotFound",
            FieldErrorKind::TooLong => "FieldValueTooLong",
            FieldErrorKind::TooMany => "FieldValueTooMany",
            FieldErrorKind::TypeInvalid => "FieldValueTypeInvalid",
            FieldErrorKind::InternalError => "InternalError",
        }
    }

    fn phrase(self) -> &'static str {
        match self {
            FieldErrorKind::Required => "Required value",
            FieldErrorKind::Invalid | FieldErrorKind::TypeInvalid => "Invalid value",
            FieldErrorKind::NotSupported => "Unsupported value",
            FieldErrorKind::Duplicate => "Duplicate value",
            FieldErrorKind::Forbidden => "Forbidden",
            FieldErrorKind::NotFound => "Not found",
            FieldErrorKind::TooLong => "Too long",
            FieldErrorKind::TooMany => "Too many",
            FieldErrorKind::InternalError => "Internal error",
        }
    }
}

/// How many errors are told of one object, and how many bytes of them: more help nobody, and each may show a whole list.
const MOST: usize = 1_000;
const MOST_BYTES: usize = 1 << 20;

/// Whether so much is wrong already that what else is need not be looked for.
pub fn enough(errors: &[FieldError]) -> bool {
    told(errors).len() < errors.len()
}

/// The errors that are told: the first always.
pub(crate) fn told(errors: &[FieldError]) -> &[FieldError] {
    let mut bytes = 0;
    let fits = |error: &&FieldError| {
        let before = bytes;
        bytes += error.body.len();
        before < MOST_BYTES
    };
    &errors[..errors.iter().take(MOST).take_while(fits).count()]
}

/// One thing wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Which field.
    pub field: String,
    /// What sort of wrong.
    pub kind: FieldErrorKind,
    /// Everything after the field, as apimachinery's `ErrorBody` prints it.
    pub body: String,
}

impl FieldError {
    /// The field must be set; `detail` may be empty.
    pub fn required(path: &Path, detail: &str) -> FieldError {
        FieldError::build(FieldErrorKind::Required, path, None, detail)
    }

    /// The value is malformed.
    pub fn invalid(path: &Path, value: impl Shown, detail: &str) -> FieldError {
        FieldError::build(FieldErrorKind::Invalid, path, Some(value.shown()), detail)
    }

    /// The value is malformed, and is not shown.
    pub fn invalid_unshown(path: &Path, detail: &str) -> FieldError {
        FieldError::build(FieldErrorKind::Invalid, path, None, detail)
    }

    /// The value is not one of `supported`.
    pub fn not_supported(path: &Path, value: impl Shown, supported: &[&str]) -> FieldError {
        let list: Vec<String> = supported.iter().map(quote).collect();
        let detail = if list.is_empty() {
            String::new()
        } else {
            format!("supported values: {}", list.join(", "))
        };
        FieldError::build(FieldErrorKind::NotSupported, path, Some(value.shown()), &detail)
    }

    /// The value occurs twice.
    pub fn duplicate(path: &Path, value: impl Shown) -> FieldError {
        FieldError::build(FieldErrorKind::Duplicate, path, Some(value.shown()), "")
    }

    /// The value may not be set.
    pub fn forbidden(path: &Path, detail: &str) -> FieldError {
        FieldError::build(FieldErrorKind::Forbidden, path, None, detail)
    }

    /// What the value names does not exist.
    pub fn not_found(path: &Path, value: impl Shown) -> FieldError {
        FieldError::build(FieldErrorKind::NotFound, path, Some(value.shown()), "")
    }

    /// The server could not say whether the field is right.
    pub fn internal(path: &Path, detail: &str) -> FieldError {
        FieldError::build(FieldErrorKind::InternalError, path, None, detail)
    }

    /// The value is longer than `max` bytes.
    pub fn too_long(path: &Path, max: usize) -> FieldError {
        FieldError::build(
            FieldErrorKind::TooLong,
            path,
            None,
            &format!("may not be more than {max} bytes"),
        )
    }

    /// The list has more than `max` elements.
    pub fn too_many(path: &Path, actual: usize, max: usize) -> FieldError {
        let detail = format!("must have at most {max} item{}", if max == 1 { "" } else { "s" });
        FieldError::build(FieldErrorKind::TooMany, path, Some(actual.to_string()), &detail)
    }

    pub(crate) fn build(
        kind: FieldErrorKind,
        path: &Path,
        value: Option<String>,
        detail: &str,
    ) -> FieldError {
        let mut body = kind.phrase().to_owned();
        for part in value.as_deref().into_iter().chain((!detail.is_empty()).then_some(detail)) {
            body.push_str(": ");
            body.push_str(part);
        }
        FieldError { field: path.to_string(), kind, body }
    }

    /// This error as a cause of a Status.
    pub fn cause(&self) -> Cause {
        Cause {
            reason: self.kind.reason().to_owned(),
            message: self.body.clone(),
            field: self.field.clone(),
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            f.write_str(&self.body)
        } else {
            write!(f, "{}: {}", self.field, self.body)
        }
    }
}

/// How a value is shown inside a message: text quoted as Go's `%q`, everything else as JSON.
pub trait Shown {
    /// The value for a message.
    fn shown(&self) -> String;
}

impl Shown for &str {
    fn shown(&self) -> String {
        quote(self)
    }
}

impl Shown for &String {
    fn shown(&self) -> String {
        quote(self)
    }
}

impl Shown for i64 {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for &serde_json::Value {
    fn shown(&self) -> String {
        match self {
            serde_json::Value::String(text) => quote(&text),
            other => other.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Red when a path is cut where it stops being short.
    #[test]
    fn long_paths_are_as_whole_as_short_ones() {
        let (mut path, mut text) = (Path::default(), String::new());
        for step in 0..40 {
            path = path.child("ü").index(step).key("a/b");
            text.push_str(&format!("{}ü[{step}][a/b]", if step > 0 { "." } else { "" }));
            assert_eq!(path.to_string(), text);
            assert_eq!(
                (path.clone(), format!("{path:?}")),
                (Path::new(&text), format!("{text:?}"))
            );
        }
    }
}
