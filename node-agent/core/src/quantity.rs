//! Resource quantities as whole numbers.
//!
//! Knows: the suffixes of `resource.Quantity`. Refuses to know: what is measured, how a quantity is printed.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

const NANO: i128 = 1_000_000_000;

const SUFFIXES: &[(&str, i128)] = &[
    ("Ki", NANO << 10),
    ("Mi", NANO << 20),
    ("Gi", NANO << 30),
    ("Ti", NANO << 40),
    ("Pi", NANO << 50),
    ("Ei", NANO << 60),
    ("n", 1),
    ("u", 1_000),
    ("m", 1_000_000),
    ("k", NANO * 1_000),
    ("M", NANO * 1_000_000),
    ("G", NANO * 1_000_000_000),
    ("T", NANO * 1_000_000_000_000),
    ("P", NANO * 1_000_000_000_000_000),
    ("E", NANO * 1_000_000_000_000_000_000),
];

/// The quantity in billionths, or `None` if it is not one.
pub fn nano(quantity: &Quantity) -> Option<i128> {
    let text = quantity.0.trim();
    let (number, unit) = split(text);
    let scale = if unit.is_empty() {
        NANO
    } else if let Some((_, scale)) = SUFFIXES.iter().find(|(suffix, _)| *suffix == unit) {
        *scale
    } else {
        let exponent: i32 = unit.strip_prefix(['e', 'E'])?.parse().ok()?;
        if !(-9..=18).contains(&exponent) {
            return None;
        }
        if exponent >= 0 {
            NANO * 10i128.pow(exponent.unsigned_abs())
        } else {
            NANO / 10i128.pow(exponent.unsigned_abs())
        }
    };
    decimal(number, scale)
}

/// Splits a number from its unit.
fn split(text: &str) -> (&str, &str) {
    let end = text
        .char_indices()
        .find(|(_, c)| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-')))
        .map_or(text.len(), |(at, _)| at);
    text.split_at(end)
}

/// `number * scale`, rounded up.
fn decimal(number: &str, scale: i128) -> Option<i128> {
    let (negative, digits) = match number.as_bytes().first()? {
        b'-' => (true, &number[1..]),
        b'+' => (false, &number[1..]),
        _ => (false, number),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.len() > 18 {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut value = whole.checked_mul(scale)?;
    if !fraction.is_empty() {
        let parts: i128 = fraction.parse().ok()?;
        let unit = 10i128.pow(u32::try_from(fraction.len()).ok()?);
        value = value.checked_add(div_ceil(parts.checked_mul(scale)?, unit))?;
    }
    Some(if negative { -value } else { value })
}

/// Division that rounds up, for a positive divisor.
fn div_ceil(value: i128, divisor: i128) -> i128 {
    let quotient = value.div_euclid(divisor);
    if value.rem_euclid(divisor) == 0 { quotient } else { quotient + 1 }
}

/// Whole units, rounded up: bytes of memory.
pub fn units(quantity: &Quantity) -> Option<i64> {
    i64::try_from(div_ceil(nano(quantity)?, NANO)).ok()
}

/// Thousandths, rounded up: CPU.
pub fn milli(quantity: &Quantity) -> Option<i64> {
    i64::try_from(div_ceil(nano(quantity)?, 1_000_000)).ok()
}

/// `value / divisor`, rounded up; an absent or zero divisor is 1.
pub fn ratio(value: &Quantity, divisor: Option<&Quantity>) -> Option<i64> {
    let divisor = match divisor.map(nano) {
        None | Some(Some(0)) => NANO,
        Some(parsed) => parsed.filter(|d| *d > 0)?,
    };
    i64::try_from(div_ceil(nano(value)?, divisor)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_suffix() {
        let check = |text: &str, want: Option<i64>| {
            assert_eq!(units(&Quantity(text.into())), want, "{text}");
        };
        check("64Mi", Some(64 << 20));
        check("1.5Gi", Some(3 << 29));
        check("100m", Some(1));
        check("2e3", Some(2000));
        check("12E", None);
        check("1k", Some(1000));
        check("", None);
        check("abc", None);
        check("1e99", None);
        assert_eq!(milli(&Quantity("0.25".into())), Some(250));
        assert_eq!(ratio(&Quantity("64Mi".into()), Some(&Quantity("1Mi".into()))), Some(64));
        assert_eq!(ratio(&Quantity("1500m".into()), None), Some(2));
    }
}
