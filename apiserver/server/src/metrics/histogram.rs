//! A histogram of whole numbers.
//!
//! Knows: buckets. Refuses to know: what is measured; the bounds say in which unit it is shown.

use std::sync::atomic::{AtomicU64, Ordering};

/// The upper bounds of buckets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// In the unit that is shown, in order. What is above the last has a bucket of its own.
    pub shown: &'static [f64],
    /// Units that are counted in one that is shown.
    pub scale: f64,
}

/// Upstream's for requests, of nanoseconds.
pub(crate) const SECONDS: Bounds = Bounds {
    shown: &[
        0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0,
        10.0, 15.0, 20.0, 30.0, 45.0, 60.0,
    ],
    scale: 1e9,
};

/// Upstream's for answers.
pub(crate) const BYTES: Bounds = Bounds { shown: &[1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9], scale: 1.0 };

/// How often what was measured fell into which bucket, and all of it together.
pub(crate) struct Histogram {
    pub bounds: Bounds,
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    pub fn new(bounds: Bounds) -> Histogram {
        let buckets = (0..=bounds.shown.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram { bounds, buckets, sum: AtomicU64::new(0) }
    }

    /// Counts one, in the unit that is counted.
    pub fn observe(&self, value: u64) {
        let shown = value as f64 / self.bounds.scale;
        let at = self.bounds.shown.partition_point(|bound| *bound < shown);
        self.buckets[at].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// How many were counted up to each bound, and in all.
    pub fn counts(&self) -> Vec<u64> {
        let mut so_far = 0;
        let counts = self.buckets.iter().map(|bucket| {
            so_far += bucket.load(Ordering::Relaxed);
            so_far
        });
        counts.collect()
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    /// All of it together, in the unit that is shown.
    pub fn sum(&self) -> f64 {
        self.sum.load(Ordering::Relaxed) as f64 / self.bounds.scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A bound is in its own bucket.
    #[test]
    fn what_is_measured_falls_into_the_first_bucket_that_holds_it() {
        let times = Histogram::new(SECONDS);
        for nanoseconds in [0, 5_000_000, 5_000_001, 60_000_000_000, u64::from(u32::MAX) * 1000] {
            times.observe(nanoseconds);
        }
        let counts = times.counts();
        assert_eq!((counts[0], counts[1], counts[22], counts[23]), (2, 3, 4, 5));
        assert_eq!(times.count(), 5);
        assert!(times.sum() > 4000.0);
    }
}
