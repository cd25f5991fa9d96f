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
    let mut different = warnings.iter().filter(|text| !text.is_empty() && seen.insert(*text));
    let mut told: Vec<String> = Vec::new();
    let mut written = 0;
    while written <= ALL
        && let Some(text) = different.next()
    {
        let clean: String = text.chars().filter(|character| !character.is_control()).collect();
        written += clean.chars().count();
        told.push(clean);
    }
    if written <= ALL {
        return told;
    }
    let rest = different.map(|text| text.chars().filter(|c| !c.is_control()).collect());
    let mut written = 0;
    let cut =
        told.iter().cloned().chain(rest).map(|text: String| text.chars().take(EACH).collect());
    cut.take_while(|text: &String| {
        let room = written < ALL;
        written += text.chars().count();
        room
    })
    .collect()
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
