//! Resource quantities as whole numbers, cut to the range of the type.
//!
//! Refuses to know: what is measured; how a quantity is read, which is `leme_meta::quantity`.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use leme_meta::Quantity as Amount;

fn read(quantity: &Quantity) -> Option<Amount> {
    Amount::parse(&quantity.0).ok()
}

/// Whole units, rounded up: bytes of memory.
pub fn units(quantity: &Quantity) -> Option<i64> {
    Some(read(quantity)?.value())
}

/// Thousandths, rounded up: CPU.
pub fn milli(quantity: &Quantity) -> Option<i64> {
    Some(read(quantity)?.milli_value())
}

/// `value / divisor`, rounded up; an absent or zero divisor is 1.
pub fn ratio(value: &Quantity, divisor: Option<&Quantity>) -> Option<i64> {
    let one = Amount::from_units(1);
    let divisor = match divisor.map(read) {
        None => one,
        Some(parsed) => Some(parsed?).filter(|parsed| !parsed.is_zero()).unwrap_or(one),
    };
    read(value)?.ratio(&divisor)
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
        check("12E", Some(i64::MAX));
        check("1k", Some(1000));
        check("", None);
        check("abc", None);
        check("1e99", Some(i64::MAX));
        assert_eq!(milli(&Quantity("0.25".into())), Some(250));
        assert_eq!(ratio(&Quantity("64Mi".into()), Some(&Quantity("1Mi".into()))), Some(64));
        assert_eq!(ratio(&Quantity("1500m".into()), None), Some(2));
        assert_eq!(ratio(&Quantity("3".into()), Some(&Quantity("0".into()))), Some(3));
        assert_eq!(ratio(&Quantity("3".into()), Some(&Quantity("-1".into()))), None);
    }
}
