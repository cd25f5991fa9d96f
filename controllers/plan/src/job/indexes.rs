//! Sets of completion indexes, written as `0,2-4`.

use std::fmt::{self, Display, Formatter};

/// Indexes as intervals in order, both ends included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Indexes(Vec<(i32, i32)>);

impl Indexes {
    /// Reads what a status or a policy holds. What cannot be read is left out, as is what is beyond `completions`.
    pub(super) fn parse(text: &str, completions: i32) -> Indexes {
        let mut all = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (Ok(first), Ok(last)) = (first.parse::<i32>(), last.parse::<i32>()) else {
                continue;
            };
            let last = last.min(completions.saturating_sub(1));
            if first <= last {
                all.push((first, last));
            }
        }
        Indexes::joined(all)
    }

    fn joined(mut all: Vec<(i32, i32)>) -> Indexes {
        all.sort_unstable();
        let mut out: Vec<(i32, i32)> = Vec::new();
        for (first, last) in all {
            match out.last_mut() {
                Some(known) if first <= known.1.saturating_add(1) => known.1 = known.1.max(last),
                _ => out.push((first, last)),
            }
        }
        Indexes(out)
    }

    /// These and more.
    pub(super) fn with(&self, more: impl IntoIterator<Item = i32>) -> Indexes {
        let more = more.into_iter().map(|index| (index, index));
        Indexes::joined(self.0.iter().copied().chain(more).collect())
    }

    /// These and those.
    pub(super) fn merge(&self, other: &Indexes) -> Indexes {
        Indexes::joined(self.0.iter().chain(&other.0).copied().collect())
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub(super) fn total(&self) -> i32 {
        let sum: i64 =
            self.0.iter().map(|(first, last)| i64::from(*last) - i64::from(*first) + 1).sum();
        i32::try_from(sum).unwrap_or(i32::MAX)
    }

    /// Whether `index` is one of them.
    pub(super) fn has(&self, index: i32) -> bool {
        let at = self.0.partition_point(|(_, last)| *last < index);
        self.0.get(at).is_some_and(|(first, _)| *first <= index)
    }

    /// How many both have.
    pub(super) fn common(&self, other: &Indexes) -> i32 {
        let (mut here, mut there, mut sum) = (0, 0, 0_i64);
        while let (Some(one), Some(two)) = (self.0.get(here), other.0.get(there)) {
            sum += (i64::from(one.1.min(two.1)) - i64::from(one.0.max(two.0)) + 1).max(0);
            here += usize::from(one.1 <= two.1);
            there += usize::from(two.1 <= one.1);
        }
        i32::try_from(sum).unwrap_or(i32::MAX)
    }

    /// The first `count` indexes below `completions` that are not among them.
    pub(super) fn missing(&self, count: usize, completions: i32) -> Vec<i32> {
        let (mut out, mut next) = (Vec::new(), 0);
        for (first, last) in &self.0 {
            out.extend((next..(*first).min(completions)).take(count - out.len()));
            next = next.max(last.saturating_add(1));
        }
        out.extend((next..completions).take(count - out.len()));
        out
    }
}

impl Display for Indexes {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        for (number, (first, last)) in self.0.iter().enumerate() {
            if number > 0 {
                out.write_str(",")?;
            }
            match last - first {
                0 => write!(out, "{first}")?,
                1 => write!(out, "{first},{last}")?,
                _ => write!(out, "{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, more: &[i32], written: &str, total: i32, missing: &[i32]) {
        let indexes = Indexes::parse(text, 10).with(more.iter().copied());
        assert_eq!(
            (indexes.to_string().as_str(), indexes.total(), indexes.missing(3, 10).as_slice()),
            (written, total, missing),
            "{text:?}"
        );
    }

    #[test]
    fn intervals_are_read_joined_and_written() {
        check("", &[], "", 0, &[0, 1, 2]);
        check("0", &[1], "0,1", 2, &[2, 3, 4]);
        check("1-3,5", &[4, 7], "1-5,7", 6, &[0, 6, 8]);
        check("8-20,x,5-", &[0], "0,8,9", 3, &[1, 2, 3]);
        check("0-9", &[], "0-9", 10, &[]);
    }

    #[test]
    fn sets_are_compared() {
        let (one, two) = (Indexes::parse("0-3,6-8", 10), Indexes::parse("2-6,8,9", 10));
        assert_eq!((one.common(&two), two.common(&one)), (4, 4));
        assert!(one.has(3) && one.has(6) && !one.has(4) && !one.has(9));
        assert_eq!(one.merge(&two).to_string(), "0-9");
    }
}
