//! Values of query parameters, read and refused as Go's decoding of them does.
//!
//! Refuses to know: parameters.

use crate::quote;
use std::num::IntErrorKind::{NegOverflow, PosOverflow};
use std::num::ParseIntError;

/// A boolean that is given: anything but `0` and `false` is true, also nothing.
pub fn flag(value: &str) -> bool {
    value != "0" && !value.eq_ignore_ascii_case("false")
}

/// A whole number.
///
/// # Errors
/// When it is none, in Go's words.
pub fn int(value: &str) -> Result<i64, String> {
    value.parse().map_err(|error| refused("ParseInt", value, &error))
}

/// A whole number that is not negative.
///
/// # Errors
/// As [`int`].
pub fn uint(value: &str) -> Result<u64, String> {
    value.parse().map_err(|error| refused("ParseUint", value, &error))
}

fn refused(function: &str, value: &str, error: &ParseIntError) -> String {
    let why = match error.kind() {
        PosOverflow | NegOverflow => "value out of range",
        _ => "invalid syntax",
    };
    format!("strconv.{function}: parsing {value}: {why}", value = quote(&value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_two_words_are_true() {
        for value in ["", "1", "true", "True", "t", "no", "00"] {
            assert!(flag(value), "{value}");
        }
        for value in ["0", "false", "False", "FALSE"] {
            assert!(!flag(value), "{value}");
        }
    }

    #[test]
    fn numbers_are_refused_in_the_words_of_go() {
        assert_eq!(int("-1"), Ok(-1));
        for (value, why) in [
            ("abc", "invalid syntax"),
            ("", "invalid syntax"),
            ("1.5", "invalid syntax"),
            ("99999999999999999999", "value out of range"),
        ] {
            assert_eq!(int(value), Err(format!("strconv.ParseInt: parsing {value:?}: {why}")));
        }
    }
}
