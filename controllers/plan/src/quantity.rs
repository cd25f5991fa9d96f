//! Quantities as numbers: whole units or thousandths, rounded up, as schedulers and volume matching count them.
//!
//! Refuses to know: how a quantity is read, which is `leme_meta::quantity`.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use leme_meta::Quantity as Amount;

/// Whole units, rounded up; 0 for what cannot be read; saturating.
pub fn whole(quantity: &Quantity) -> i64 {
    Amount::parse(&quantity.0).map_or(0, |amount| amount.value())
}

/// Thousandths, rounded up; 0 for what cannot be read; saturating.
pub fn milli(quantity: &Quantity) -> i64 {
    Amount::parse(&quantity.0).map_or(0, |amount| amount.milli_value())
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
        check("99999999999999999999Ei", i64::MAX, i64::MAX);
    }
}
