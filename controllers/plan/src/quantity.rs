//! Quantities as numbers: whole units or thousandths, rounded up, as schedulers and volume matching count them.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Whole units, rounded up; 0 for what cannot be read; saturating.
pub fn whole(quantity: &Quantity) -> i64 {
    scaled(&quantity.0, 0).unwrap_or(0)
}

/// Thousandths, rounded up; 0 for what cannot be read; saturating.
pub fn milli(quantity: &Quantity) -> i64 {
    scaled(&quantity.0, 3).unwrap_or(0)
}

const SUFFIXES: &[(&str, i32, i32)] = &[
    // suffix, power of two, power of ten
    ("Ki", 10, 0),
    ("Mi", 20, 0),
    ("Gi", 30, 0),
    ("Ti", 40, 0),
    ("Pi", 50, 0),
    ("Ei", 60, 0),
    ("n", 0, -9),
    ("u", 0, -6),
    ("m", 0, -3),
    ("k", 0, 3),
    ("M", 0, 6),
    ("G", 0, 9),
    ("T", 0, 12),
    ("P", 0, 15),
    ("E", 0, 18),
];

fn scaled(text: &str, extra: i32) -> Option<i64> {
    let text = text.trim();
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, suffix) = text.split_at(end);
    let (two, ten) = match SUFFIXES.iter().find(|(name, ..)| *name == suffix) {
        Some((_, two, ten)) => (*two, *ten),
        None if suffix.is_empty() => (0, 0),
        None => (0, suffix.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?),
    };
    let (integer, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = &fraction[..fraction.len().min(18)];
    if integer.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value: i128 = format!("{integer}{fraction}").parse().ok()?;
    value = value.checked_shl(two as u32).filter(|_| value.leading_zeros() as i32 > two + 1)?;
    let power = ten.checked_add(extra)?.checked_sub(fraction.len() as i32)?;
    let factor = |power: u32| 10i128.checked_pow(power);
    if power >= 0 {
        value = factor(power as u32).and_then(|by| value.checked_mul(by)).unwrap_or(i128::MAX);
    } else {
        value = factor(power.unsigned_abs()).map_or(1.min(value), |by| value.div_ceil_positive(by));
    }
    let value = if negative { -value } else { value };
    Some(i64::try_from(value).unwrap_or(if negative { i64::MIN } else { i64::MAX }))
}

trait DivCeilPositive {
    fn div_ceil_positive(self, by: i128) -> i128;
}

impl DivCeilPositive for i128 {
    fn div_ceil_positive(self, by: i128) -> i128 {
        self / by + i128::from(self % by != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, units: i64, thousandths: i64) {
        let quantity = Quantity(text.to_owned());
        assert_eq!((whole(&quantity), milli(&quantity)), (units, thousandths), "{text}");
    }

    #[test]
    fn reads_every_form() {
        check("100m", 1, 100);
        check("1.5", 2, 1500);
        check("1Ki", 1024, 1_024_000);
        check("1.5Gi", 1_610_612_736, 1_610_612_736_000);
        check("2e3", 2000, 2_000_000);
        check("1E", 1_000_000_000_000_000_000, i64::MAX);
        check("1n", 1, 1);
        check("-1", -1, -1000);
        check("", 0, 0);
        check("junk", 0, 0);
        check("99999999999999999999Ei", 0, 0);
    }
}
