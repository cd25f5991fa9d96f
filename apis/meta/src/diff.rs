//! Two texts line by line: what goes and what comes, with three lines around it, as Python's `difflib` finds and writes it.
//!
//! Knows: which lines are taken to be the same where several could be. Refuses to know: what the texts are.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

/// Lines around a change that are shown.
const AROUND: usize = 3;
/// From so many lines on, one that occurs too often is not what others are found by.
const MANY: usize = 200;

/// What changes from one text to another; empty if nothing does.
pub fn unified(old: &str, new: &str) -> String {
    let (old, new) = (lines(old), lines(new));
    let mut out = String::new();
    for hunk in hunks(&changes(&old, &new)) {
        let (Some(first), Some(last)) = (hunk.first(), hunk.last()) else { continue };
        let of = |from: usize, to: usize| match to - from {
            1 => format!("{}", from + 1),
            0 => format!("{from},0"),
            length => format!("{},{length}", from + 1),
        };
        let (gone, come) = (of(first.old.0, last.old.1), of(first.new.0, last.new.1));
        // Nothing that is written to a String fails.
        let _ = writeln!(out, "@@ -{gone} +{come} @@");
        for span in &hunk {
            if span.equal {
                put(&mut out, ' ', &old[span.old.0..span.old.1]);
            } else {
                put(&mut out, '-', &old[span.old.0..span.old.1]);
                put(&mut out, '+', &new[span.new.0..span.new.1]);
            }
        }
    }
    out
}

fn put(out: &mut String, mark: char, lines: &[&str]) {
    for line in lines {
        let _ = writeln!(out, "{mark}{line}");
    }
}

fn lines(text: &str) -> Vec<&str> {
    text.split('\n').collect()
}

/// Lines of both texts: from the first to the one after the last.
#[derive(Clone, Copy)]
struct Span {
    equal: bool,
    old: (usize, usize),
    new: (usize, usize),
}

/// Lines of both texts that are the same.
struct Block {
    old: usize,
    new: usize,
    length: usize,
}

/// The texts from their beginning to their end, as what stays and what does not.
fn changes(old: &[&str], new: &[&str]) -> Vec<Span> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, line) in new.iter().enumerate() {
        places.entry(line).or_default().push(at);
    }
    if new.len() >= MANY {
        places.retain(|_, at| at.len() <= new.len() / 100 + 1);
    }
    let mut blocks = Vec::new();
    let mut left = vec![((0, old.len()), (0, new.len()))];
    while let Some((of_old, of_new)) = left.pop() {
        let block = longest(old, new, &places, of_old, of_new);
        if block.length == 0 {
            continue;
        }
        left.push(((of_old.0, block.old), (of_new.0, block.new)));
        left.push(((block.old + block.length, of_old.1), (block.new + block.length, of_new.1)));
        blocks.push(block);
    }
    blocks.sort_by_key(|block| block.old);
    spans(blocks, (old.len(), new.len()))
}

/// The longest run of the same lines in these parts, the first of several.
fn longest(
    old: &[&str],
    new: &[&str],
    places: &HashMap<&str, Vec<usize>>,
    of_old: (usize, usize),
    of_new: (usize, usize),
) -> Block {
    let mut best = Block { old: of_old.0, new: of_new.0, length: 0 };
    // How long the run is that ends before a line of the new text.
    let mut ending: BTreeMap<usize, usize> = BTreeMap::new();
    for (at, line) in old.iter().enumerate().take(of_old.1).skip(of_old.0) {
        let mut next = BTreeMap::new();
        for &place in places.get(line).into_iter().flatten() {
            if place < of_new.0 || place >= of_new.1 {
                continue;
            }
            let length = ending.get(&place).copied().unwrap_or(0) + 1;
            next.insert(place + 1, length);
            if length > best.length {
                best = Block { old: at + 1 - length, new: place + 1 - length, length };
            }
        }
        ending = next;
    }
    let same = |one: usize, other: usize| old[one] == new[other];
    while best.old > of_old.0 && best.new > of_new.0 && same(best.old - 1, best.new - 1) {
        best = Block { old: best.old - 1, new: best.new - 1, length: best.length + 1 };
    }
    while best.old + best.length < of_old.1
        && best.new + best.length < of_new.1
        && same(best.old + best.length, best.new + best.length)
    {
        best.length += 1;
    }
    best
}

fn spans(blocks: Vec<Block>, (old, new): (usize, usize)) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut at = (0, 0);
    for block in blocks.into_iter().chain([Block { old, new, length: 0 }]) {
        if at != (block.old, block.new) {
            let (old, new) = ((at.0, block.old), (at.1, block.new));
            spans.push(Span { equal: false, old, new });
        }
        at = (block.old + block.length, block.new + block.length);
        match spans.last_mut() {
            _ if block.length == 0 => {}
            Some(last) if last.equal => (last.old.1, last.new.1) = at,
            _ => spans.push(Span { equal: true, old: (block.old, at.0), new: (block.new, at.1) }),
        }
    }
    spans
}

/// The changes with what is shown around them, those that are near each other together.
fn hunks(spans: &[Span]) -> Vec<Vec<Span>> {
    let mut hunks = vec![Vec::new()];
    for (index, span) in spans.iter().enumerate() {
        if !span.equal {
            hunks.last_mut().into_iter().for_each(|hunk| hunk.push(*span));
            continue;
        }
        let length = span.old.1 - span.old.0;
        let head = Span {
            old: (span.old.0, span.old.1.min(span.old.0 + AROUND)),
            new: (span.new.0, span.new.1.min(span.new.0 + AROUND)),
            ..*span
        };
        let tail = Span {
            old: (span.old.0.max(span.old.1.saturating_sub(AROUND)), span.old.1),
            new: (span.new.0.max(span.new.1.saturating_sub(AROUND)), span.new.1),
            ..*span
        };
        let (first, last) = (index == 0, index + 1 == spans.len());
        let shown = match (first, last) {
            (true, true) => return Vec::new(),
            (true, false) => tail,
            (false, true) => head,
            (false, false) if length > 2 * AROUND => {
                hunks.last_mut().into_iter().for_each(|hunk| hunk.push(head));
                hunks.push(Vec::new());
                tail
            }
            (false, false) => *span,
        };
        hunks.last_mut().into_iter().for_each(|hunk| hunk.push(shown));
    }
    hunks.retain(|hunk| !hunk.is_empty());
    hunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_shown_with_what_is_around_it() {
        let old = "1\n2\n3\n4\n5\n6\n7\n8\n9";
        assert_eq!(unified(old, old), "");
        let one = unified(old, "1\n2\n3\n4\nfive\n6\n7\n8\n9");
        assert_eq!(one, "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n");
        let more = unified(old, "0\n1\n2\n3\n4\n5\n6\n7\n8");
        assert_eq!(more, "@@ -1,3 +1,4 @@\n+0\n 1\n 2\n 3\n@@ -6,4 +7,3 @@\n 6\n 7\n 8\n-9\n");
        assert_eq!(unified("a", "b"), "@@ -1 +1 @@\n-a\n+b\n");
        assert_eq!(unified("a\nb", "b"), "@@ -1,2 +1 @@\n-a\n b\n");
    }

    /// What stands in a long text too often is no way to find a place in it.
    #[test]
    fn lines_that_are_everywhere_find_nothing() {
        let many: Vec<String> = (0..210).map(|n| format!("{}", n / 5)).collect();
        let told = unified(&many.join("\n"), &many[1..].join("\n"));
        assert!(told.starts_with("@@ -2,209 +2,208 @@\n 0\n 0\n 0\n-0\n-1\n"), "{told}");
        let told = unified(&many[..200].join("\n"), &many[1..200].join("\n"));
        assert_eq!(told, "@@ -1,4 +1,3 @@\n-0\n 0\n 0\n 0\n");
    }
}
