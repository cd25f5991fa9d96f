//! Quantities: `100m`, `1.5Gi`, `2e3`, read and written as upstream reads and writes them.
//!
//! A quantity is held in billionths; a finer part is rounded away from zero, as upstream does. What exceeds the largest
//! whole number of 63 bits and is not written in few digits is cut to it.

use std::cmp::Ordering;
use std::fmt;

const WRONG_FORMAT: &str = "quantities must match the regular expression \
                            '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
const WRONG_SUFFIX: &str = "unable to parse quantity's suffix";
const WRONG_NUMBER: &str = "unable to parse numeric part of quantity";

const NANOS: i128 = 1_000_000_000;
/// The largest amount of many digits.
const CAP: i128 = i64::MAX as i128 * NANOS;
/// The largest amount of few digits: a power of ten that leaves room for sums.
const FEW_CAP: i128 = 10i128.pow(36);
/// Longest text that is looked at.
const MAX_LEN: usize = 1024;

/// How a quantity was written, which decides how it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// `2e3`.
    Exponent,
    /// `2k`, `100m`.
    Decimal,
    /// `2Ki`.
    Binary,
}

/// An amount of a resource.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

const DECIMAL: &[(&str, i32)] = &[
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];

const BINARY: &[(&str, u32)] =
    &[("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

/// What a suffix multiplies by.
enum Scale {
    Ten(i32, Format),
    Two(u32),
}

fn scale(suffix: &str) -> Result<Scale, String> {
    if let Some((_, power)) = DECIMAL.iter().find(|(known, _)| *known == suffix) {
        return Ok(Scale::Ten(*power, Format::Decimal));
    }
    if let Some((_, power)) = BINARY.iter().find(|(known, _)| *known == suffix) {
        return Ok(Scale::Two(*power));
    }
    match suffix.strip_prefix(['e', 'E']).map(str::parse::<i32>) {
        Some(Ok(power)) => Ok(Scale::Ten(power, Format::Exponent)),
        _ => Err(WRONG_SUFFIX.to_owned()),
    }
}

/// Sign, digits before the point, digits after it, suffix.
fn split(text: &str) -> Result<(bool, &str, &str, &str), String> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (whole, rest) = rest.split_at(digits(rest));
    let (fraction, suffix) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(digits(rest)),
        None => ("", rest),
    };
    let letters = suffix.trim_start_matches(|c: char| "eEinumkKMGTP".contains(c));
    let exponent = letters.strip_prefix(['+', '-']).unwrap_or(letters);
    if !exponent.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(WRONG_FORMAT.to_owned());
    }
    Ok((negative, whole, fraction, suffix))
}

impl Quantity {
    /// Parses a text.
    pub fn parse(text: &str) -> Result<Quantity, String> {
        if text.is_empty() || text.len() > MAX_LEN {
            return Err(WRONG_FORMAT.to_owned());
        }
        let (negative, whole, fraction, suffix) = split(text)?;
        let scale = scale(suffix)?;
        if whole.is_empty() && fraction.is_empty() && !matches!(suffix, "" | "e" | "E") {
            return Err(WRONG_NUMBER.to_owned());
        }
        let (power_of_two, power_of_ten, format) = match scale {
            Scale::Ten(power, format) => (0, power, format),
            Scale::Two(power) => (power, 0, Format::Binary),
        };
        let nanos = amount(whole, fraction, power_of_two, power_of_ten);
        Ok(Quantity { nanos: if negative { -nanos } else { nanos }, format })
    }

    /// A whole number of units, shown in decimal.
    pub fn from_units(units: i64) -> Quantity {
        Quantity { nanos: i128::from(units) * NANOS, format: Format::Decimal }
    }

    /// Billionths of a unit.
    pub fn nanos(&self) -> i128 {
        self.nanos
    }

    /// Thousandths of a unit, rounded up.
    pub fn milli(&self) -> i128 {
        ceil(self.nanos, 1_000_000)
    }

    /// Thousandths of a unit, rounded up, and cut to the range of the type.
    pub fn milli_value(&self) -> i64 {
        cut(self.milli())
    }

    /// Units, rounded up, and cut to the range of the type.
    pub fn value(&self) -> i64 {
        cut(ceil(self.nanos, NANOS))
    }

    /// The same in whole thousandths, a finer part being rounded away from zero; nothing if there is none.
    pub fn rounded_up(self) -> Option<Quantity> {
        const MILLI: i128 = NANOS / 1000;
        let rest = self.nanos % MILLI;
        let nanos = self.nanos - rest + rest.signum() * MILLI;
        (rest != 0).then_some(Quantity { nanos, ..self })
    }

    /// How often the divisor fits, rounded up, and cut to the range of the type; nothing unless it is above zero.
    pub fn ratio(&self, divisor: &Quantity) -> Option<i64> {
        (divisor.nanos > 0).then(|| cut(ceil(self.nanos, divisor.nanos)))
    }

    /// Whether the amount is zero.
    pub fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    /// Whether the amount is less than zero.
    pub fn is_negative(&self) -> bool {
        self.nanos < 0
    }

    /// The sum, unless it is beyond every bound.
    pub fn checked_add(&self, other: &Quantity) -> Option<Quantity> {
        let nanos = self.nanos.checked_add(other.nanos)?;
        Some(Quantity { nanos, format: self.format_with(other) })
    }

    /// The difference, unless it is beyond every bound.
    pub fn checked_sub(&self, other: &Quantity) -> Option<Quantity> {
        let nanos = self.nanos.checked_sub(other.nanos)?;
        Some(Quantity { nanos, format: self.format_with(other) })
    }

    /// Zero takes the format of what it is added to.
    fn format_with(&self, other: &Quantity) -> Format {
        if self.nanos == 0 { other.format } else { self.format }
    }
}

/// `(whole.fraction * 2^two * 10^ten)` in billionths, rounded up and bounded.
fn amount(whole: &str, fraction: &str, two: u32, ten: i32) -> i128 {
    // All digits as one number; where its point is, is in the power of ten. Past 28 digits (18 where a power of two
    // follows) only whether there is anything more counts.
    let limit = if two == 0 { 28 } else { 18 };
    let mut digits: i128 = 0;
    let mut power = i64::from(ten) + 9;
    let (mut taken, mut more) = (0, false);
    for (index, digit) in whole.bytes().chain(fraction.bytes()).enumerate() {
        let is_fraction = index >= whole.len();
        let digit = i128::from(digit - b'0');
        if taken >= limit {
            more |= digit != 0;
            power += i64::from(!is_fraction);
            continue;
        }
        digits = digits * 10 + digit;
        taken += usize::from(digits != 0);
        power -= i64::from(is_fraction);
    }
    let few = taken <= 18 && two == 0;
    let digits = (digits << two) + i128::from(more);
    let cap = if few { FEW_CAP } else { CAP };
    shift(digits, power).map_or(cap, |nanos| nanos.min(cap))
}

/// A number times a power of ten, rounded up; nothing if it is too large.
fn shift(number: i128, power: i64) -> Option<i128> {
    if number == 0 {
        return Some(0);
    }
    let factor = u32::try_from(power.unsigned_abs()).ok().and_then(|p| 10i128.checked_pow(p));
    match (factor, power < 0) {
        (Some(factor), false) => number.checked_mul(factor),
        (None, false) => None,
        (Some(factor), true) => Some(ceil(number, factor)),
        (None, true) => Some(1),
    }
}

fn cut(number: i128) -> i64 {
    i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX })
}

fn ceil(number: i128, by: i128) -> i128 {
    number.div_euclid(by) + i128::from(number.rem_euclid(by) != 0)
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let (units, rest) = (self.nanos / NANOS, self.nanos % NANOS);
        // What is small or not whole is clearer in decimal.
        if self.format == Format::Binary && rest == 0 && units.abs() >= 1024 {
            let power = (units.trailing_zeros() / 10).min(6);
            let suffix = power.checked_sub(1).map_or("", |index| BINARY[index as usize].0);
            return write!(f, "{}{suffix}", units >> (power * 10));
        }
        let (mut number, mut power) = (self.nanos, -9);
        while number % 1000 == 0 && (power < 18 || self.format == Format::Exponent) {
            number /= 1000;
            power += 3;
        }
        match self.format {
            Format::Exponent if power == 0 => write!(f, "{number}"),
            Format::Exponent => write!(f, "{number}e{power}"),
            Format::Decimal | Format::Binary => {
                let suffix = DECIMAL.iter().find(|(_, known)| *known == power);
                write!(f, "{number}{}", suffix.map_or("", |(suffix, _)| suffix))
            }
        }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Quantity) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, shown: &str) {
        let quantity = Quantity::parse(text).expect(text);
        assert_eq!(quantity.to_string(), shown, "{text}");
    }

    #[test]
    fn quantities_are_shown_canonically() {
        for (text, shown) in [
            ("0", "0"),
            ("-0", "0"),
            ("0Gi", "0"),
            ("1", "1"),
            ("+1", "1"),
            ("100m", "100m"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("0.5", "500m"),
            (".5", "500m"),
            ("1.", "1"),
            ("1.5Gi", "1536Mi"),
            ("1024Mi", "1Gi"),
            ("1023Ki", "1023Ki"),
            ("0.5Ki", "512"),
            ("1000Ki", "1000Ki"),
            ("0.1Gi", "107374182400m"),
            ("1e3", "1e3"),
            ("12e6", "12e6"),
            ("1e2", "100"),
            ("1E", "1E"),
            ("1E3", "1e3"),
            ("1000k", "1M"),
            ("100k", "100k"),
            ("1n", "1n"),
            ("0.1n", "1n"),
            ("-1.5", "-1500m"),
            ("-2Ki", "-2Ki"),
            ("9223372036854775807", "9223372036854775807"),
            ("99999999999999999999", "9223372036854775807"),
            ("9Ei", "9223372036854775807"),
            ("12E", "12E"),
            ("1e-100", "1e-9"),
        ] {
            check(text, shown);
        }
    }

    #[test]
    fn bad_quantities_are_refused() {
        for (text, want) in [
            ("", WRONG_FORMAT),
            ("1 Gi", WRONG_FORMAT),
            ("abc", WRONG_FORMAT),
            ("1.2.3", WRONG_FORMAT),
            ("1KiB", WRONG_FORMAT),
            ("0x1", WRONG_FORMAT),
            ("1ki", WRONG_SUFFIX),
            ("1K", WRONG_SUFFIX),
            ("1ee3", WRONG_SUFFIX),
            ("1e99999999999", WRONG_SUFFIX),
            ("１", WRONG_FORMAT),
        ] {
            assert_eq!(
                Quantity::parse(text).map(|q| q.to_string()),
                Err(want.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn amounts_round_up_and_compare() {
        let parse = |text: &str| Quantity::parse(text).expect(text);
        assert_eq!(parse("1.5Gi").value(), 1_610_612_736);
        assert_eq!((parse("100m").milli(), parse("100m").value()), (100, 1));
        assert_eq!((parse("1u").milli(), parse("-1500m").value()), (1, -1));
        assert_eq!((parse("1.5").milli_value(), parse("12E").milli_value()), (1500, i64::MAX));
        assert_eq!(parse("1500m").ratio(&parse("1")), Some(2));
        assert_eq!(parse("1").ratio(&parse("0")), None);
        assert!(parse("1Gi") > parse("1G") && parse("1000m") == parse("1"));
        let sum = parse("0").checked_add(&parse("1Gi")).and_then(|q| q.checked_add(&parse("1Gi")));
        assert_eq!(sum.map(|q| q.to_string()).as_deref(), Some("2Gi"));
        let rounded = |text: &str| parse(text).rounded_up().map(|q| q.to_string());
        let fine = ["1u", "-1500001n", "0.1m"].map(rounded);
        assert_eq!(fine.map(Option::unwrap), ["1m", "-2m", "1m"]);
        assert_eq!(["0", "100m", "0.1Ki", "-1"].map(rounded), [const { None }; 4]);
        let rest = parse("1").checked_sub(&parse("100m"));
        assert_eq!(rest.map(|q| q.to_string()).as_deref(), Some("900m"));
    }

    proptest! {
        #[test]
        fn what_is_shown_parses_to_the_same(
            text in "[+-]?[0-9]{1,24}(\\.[0-9]{0,12})?([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,2})?",
        ) {
            let quantity = Quantity::parse(&text).expect("of the grammar");
            // Past the cap upstream, too, keeps or cuts an amount by how many digits it has.
            prop_assume!(quantity.nanos.abs() <= CAP);
            let shown = quantity.to_string();
            let again = Quantity::parse(&shown).expect("canonical");
            prop_assert_eq!(again.to_string(), shown);
            prop_assert_eq!(again, quantity);
        }

        #[test]
        fn nothing_panics(text in "[0-9.eEinumkKMGTP+-]{0,40}|.{0,16}") {
            let _ = Quantity::parse(&text);
        }
    }
}
