//! Mutates seeds and feeds them to a target, a bounded number of times.
//!
//! Guided by behaviour, not by instrumented code, so that it runs on a stable compiler and with the build that the other
//! tests use: a target tells in a word how it took an input (`created`, `invalid: spec.ports`), and an input that is taken
//! in a way not seen before becomes a seed itself. Knows: bytes. Refuses to know: what they mean.
//!
//! The sequence follows from the seed number alone. LEME_FUZZ_CASES and LEME_FUZZ_SEED set how many and which; a failure
//! prints both and the input.

#![allow(clippy::disallowed_macros, reason = "the test harness takes what is printed")]

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Inputs are cut to this many bytes: every parser here has bounds that small inputs can reach.
const MAX_INPUT: usize = 16 * 1024;
/// Mutations of one input at most.
const MAX_MUTATIONS: u64 = 6;
/// Seeds kept besides the given ones.
const MAX_POOL: usize = 4_000;

/// What a target is fed with.
pub struct Feed<'a> {
    /// Of the target, for messages.
    pub name: &'a str,
    /// Inputs to begin with: well-formed, and known to be awkward.
    pub seeds: Vec<Vec<u8>>,
    /// Words of the language, to be put in anywhere.
    pub words: &'a [&'a str],
    /// Inputs, unless LEME_FUZZ_CASES says otherwise.
    pub cases: usize,
}

/// Runs a target; it panics when something is wrong, and says in a word how it took the input otherwise. Gives the words.
///
/// # Panics
/// When the target does, after printing what it takes to see it again.
pub fn run(feed: Feed, mut target: impl FnMut(&[u8]) -> String) -> BTreeSet<String> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("LEME_FUZZ_SEED").unwrap_or(1);
    let cases = number("LEME_FUZZ_CASES").map_or(feed.cases, |cases| cases as usize);
    println!("{}: LEME_FUZZ_SEED={seed} LEME_FUZZ_CASES={cases}", feed.name);
    let mut random = Random(seed);
    let (mut pool, mut seen) = (feed.seeds.clone(), BTreeSet::new());
    for case in 0..cases {
        let input = match feed.seeds.get(case) {
            Some(seed) => seed.clone(),
            None => mutate(&pool, feed.words, &mut random),
        };
        match catch_unwind(AssertUnwindSafe(|| target(&input))) {
            Ok(word) => {
                if seen.insert(word) && pool.len() < MAX_POOL {
                    pool.push(input);
                }
            }
            Err(panic) => {
                let shown = input.escape_ascii();
                println!("{}: case {case} of LEME_FUZZ_SEED={seed}: b\"{shown}\"", feed.name);
                resume_unwind(panic);
            }
        }
    }
    println!("{}: {} ways of taking an input", feed.name, seen.len());
    seen
}

fn mutate(pool: &[Vec<u8>], words: &[&str], random: &mut Random) -> Vec<u8> {
    // Half of the time one of the newest: they are the ones that led somewhere new.
    let newest = pool.len().saturating_sub(16);
    let from = if random.below(2) == 0 { newest } else { 0 };
    let mut input = pool[from + random.below(pool.len() - from)].clone();
    for _ in 0..=random.next() % MAX_MUTATIONS {
        mutation(&mut input, pool, words, random);
    }
    input.truncate(MAX_INPUT);
    input
}

const INTERESTING: &[u8] = b"\0\x01\x7f\x80\xff\"'{}[]:,-%/.\\ \n\t0";

fn mutation(input: &mut Vec<u8>, pool: &[Vec<u8>], words: &[&str], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let end = (at + random.below(32)).min(input.len());
    match random.below(9) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => input[at] = INTERESTING[random.below(INTERESTING.len())],
        2 => drop(input.drain(at..end)),
        3 => {
            let copy = input[at..end].to_vec();
            for _ in 0..=random.below(8) {
                input.splice(at..at, copy.iter().copied());
            }
        }
        4 | 5 if !words.is_empty() => {
            let word = words[random.below(words.len())].bytes();
            let end = if random.below(2) == 0 { at } else { end };
            input.splice(at..end, word);
        }
        6 => {
            let other = &pool[random.below(pool.len())];
            let from = random.below(other.len() + 1);
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        7 => number(input, at, random),
        _ => input.truncate(at),
    }
}

/// Replaces the digits after `at` by a number that often breaks something.
fn number(input: &mut Vec<u8>, at: usize, random: &mut Random) {
    const NUMBERS: &[&str] =
        &["0", "-1", "65536", "2147483648", "9223372036854775808", "1e309", "0.1"];
    let Some(begin) = input[at..].iter().position(u8::is_ascii_digit).map(|found| at + found)
    else {
        return;
    };
    let digits = input[begin..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    input.splice(begin..begin + digits, NUMBERS[random.below(NUMBERS.len())].bytes());
}

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// A message without what differs between inputs: quoted text and digits go, so that two of a kind are the same word.
pub fn word(message: &str) -> String {
    let mut out = String::new();
    for (index, part) in message.split(['"', '\'', '`']).enumerate() {
        if index % 2 == 0 {
            out.extend(part.chars().filter(|c| !c.is_ascii_digit()).take(60));
        }
        if out.len() > 120 {
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(cases: usize) -> Feed<'static> {
        Feed { name: "test", seeds: vec![b"depth: 10".to_vec()], words: &["sea"], cases }
    }

    /// Red when what behaves in a new way is not kept: five words in a row are not found by chance.
    #[test]
    fn new_behaviour_is_followed() {
        let staged = |input: &[u8]| {
            let text = String::from_utf8_lossy(input);
            let stage = (1..=5).take_while(|n| text.contains(&"sea".repeat(*n))).count();
            format!("{stage}")
        };
        let seen = run(feed(20_000), staged);
        assert!(seen.contains("5"), "{seen:?}");
    }

    #[test]
    fn what_fails_is_told_and_fails() {
        let failed = catch_unwind(|| {
            run(feed(5_000), |input| {
                assert!(!input.starts_with(b"sea"), "found");
                String::new()
            })
        });
        assert!(failed.is_err());
    }

    #[test]
    fn messages_of_a_kind_are_one_word() {
        assert_eq!(word("no field \"a1\" at 12"), word("no field \"bb\" at 9"));
    }
}
