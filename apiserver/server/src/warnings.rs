//! Which warnings an answer has room for.
//!
//! Knows: upstream's bounds. Refuses to know: what they say, and how headers are written.

use std::collections::HashSet;

/// Characters of all warnings of an answer; where there are more, each is cut.
const ALL: usize = 4 * 1024;
/// Characters of each then.
const EACH: usize = 256;

/// The warnings that are told, in order: each once and without control characters, all of them if they fit; otherwise
/// cut, as many as come to the bound.
pub(crate) fn fitting(warnings: &[String]) -> Vec<String> {
    let mut seen = HashSet::new();
    let different = warnings.iter().filter(|text| !text.is_empty() && seen.insert(*text));
    let clean = |text: &String| text.chars().filter(|letter| !letter.is_control()).collect();
    // More than these are too much, whatever they say.
    let mut told: Vec<String> = different.map(clean).take(ALL + 1).collect();
    let length = |text: &String| text.chars().count();
    if told.iter().map(length).sum::<usize>() <= ALL {
        return told;
    }
    let mut written = 0;
    told.retain_mut(|text| {
        let room = written < ALL;
        *text = text.chars().take(EACH).collect();
        written += length(text);
        room
    });
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(count: usize, length: usize) -> Vec<String> {
        (0..count).map(|index| format!("{index:0length$}")).collect()
    }

    #[test]
    fn what_fits_is_told_once_and_whole() {
        let some = ["a\nb", "", "c", "a\nb"].map(str::to_owned);
        assert_eq!(fitting(&some), ["ab", "c"]);
        assert_eq!(fitting(&texts(8, 512)), texts(8, 512));
    }

    // Red when every warning is told: 3,000 ports of one number made millions of them.
    #[test]
    fn what_does_not_fit_is_cut_to_the_bound() {
        let told = fitting(&texts(5_000, 1_000));
        assert_eq!(told.len(), ALL / EACH);
        assert!(told.iter().all(|text| text.len() == EACH));
        let small = fitting(&texts(100_000, 10));
        assert_eq!(small.len(), ALL / 10 + 1);
    }
}
