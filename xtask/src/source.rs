//! Reading Rust source well enough to hold budgets: comments and literals blanked, tests masked, functions measured.

use std::ops::Range;

/// The source with every comment and literal replaced by spaces; line breaks stay.
pub fn blank(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        match end {
            Some(end) => {
                for byte in &mut out[at..end.min(bytes.len())] {
                    if *byte != b'\n' {
                        *byte = b' ';
                    }
                }
                at = end;
            }
            None => at += 1,
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Where the comment or literal that starts at `at` ends; `None` if none starts there.
fn literal_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let word_before = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if rest.starts_with(b"//") {
        return Some(at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()));
    }
    if rest.starts_with(b"/*") {
        return Some(at + find(rest, b"*/").map_or(rest.len(), |end| end + 2));
    }
    if !word_before
        && (rest.starts_with(b"r\"") || rest.starts_with(b"r#") || rest.starts_with(b"br"))
    {
        let start = if rest[0] == b'b' { 2 } else { 1 };
        let hashes = rest[start..].iter().take_while(|b| **b == b'#').count();
        if rest.get(start + hashes) == Some(&b'"') {
            let close: Vec<u8> =
                std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
            let body = start + hashes + 1;
            return Some(
                at + find(&rest[body..], &close).map_or(rest.len(), |end| body + end + close.len()),
            );
        }
    }
    if rest[0] == b'"' {
        return Some(at + quoted(rest, b'"'));
    }
    if rest[0] == b'\'' && (rest.get(1) == Some(&b'\\') || rest.get(2) == Some(&b'\'')) {
        return Some(at + quoted(rest, b'\''));
    }
    None
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// Blanked source with the items of tests blanked as well, and how many lines those take.
pub struct Masked {
    /// Same lines, same columns.
    pub code: String,
    /// Where the tests stood, in bytes.
    pub tests: Vec<Range<usize>>,
    /// How many lines they took.
    pub test_lines: usize,
}

/// Masks every item under `#[cfg(test)]`, wherever it stands; what comes after it stays.
pub fn without_tests(blanked: &str) -> Masked {
    let mut code = blanked.as_bytes().to_vec();
    let (mut tests, mut test_lines) = (Vec::new(), 0);
    let mut from = 0;
    while let Some(at) = blanked[from..].find("#[cfg(test)]").map(|at| from + at) {
        let end = item_end(blanked.as_bytes(), at);
        test_lines += blanked[at..end].lines().count();
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        tests.push(at..end);
        from = end;
    }
    Masked { code: String::from_utf8_lossy(&code).into_owned(), tests, test_lines }
}

/// Where the item whose first attribute is at `at` ends: after its block, its semicolon, or, if it is a field, an
/// argument or an arm, its comma.
fn item_end(bytes: &[u8], at: usize) -> usize {
    let mut depth = 0usize;
    let mut words = Vec::new();
    let mut word = Vec::new();
    for (at, byte) in bytes.iter().enumerate().skip(at) {
        if byte.is_ascii_alphanumeric() || *byte == b'_' {
            word.push(*byte);
            continue;
        }
        if depth == 0 && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        word.clear();
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' if depth == 0 => return at,
            b')' | b']' => depth -= 1,
            b'{' if depth == 0 => return (block_end(bytes, at) + 1).min(bytes.len()),
            b'}' if depth == 0 => return at,
            b';' if depth == 0 => return at + 1,
            b',' if depth == 0 && !words.iter().any(|word| ITEMS.contains(&word.as_slice())) => {
                return at + 1;
            }
            _ => {}
        }
    }
    bytes.len()
}

/// Words that begin an item, in which a comma ends nothing.
const ITEMS: &[&[u8]] = &[
    b"fn",
    b"struct",
    b"enum",
    b"impl",
    b"mod",
    b"use",
    b"const",
    b"static",
    b"type",
    b"trait",
    b"let",
    b"macro_rules",
];

/// A function: its name, first line (from 1) and number of lines.
pub struct Function {
    pub name: String,
    pub line: usize,
    pub lines: usize,
}

/// The functions with a body in blanked source.
pub fn functions(blanked: &str) -> Vec<Function> {
    let bytes = blanked.as_bytes();
    let mut found = Vec::new();
    for (at, _) in blanked.match_indices("fn ") {
        if at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_') {
            continue;
        }
        let name: String =
            blanked[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if name.is_empty() {
            continue;
        }
        let Some(body) = blanked[at..].find(['{', ';']).map(|offset| at + offset) else { continue };
        if bytes[body] != b'{' {
            continue;
        }
        let end = block_end(bytes, body);
        let lines = 1 + bytes[at..end].iter().filter(|b| **b == b'\n').count();
        let line = 1 + bytes[..at].iter().filter(|b| **b == b'\n').count();
        found.push(Function { name, line, lines });
    }
    found
}

fn block_end(bytes: &[u8], open: usize) -> usize {
    let mut depth = 0usize;
    for (at, byte) in bytes.iter().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_in_text_do_not_count() {
        let source = "fn a() {\n    let x = \"}\"; // }\n    let y = '{'; let z: &'static str = r#\"}\"#;\n}\nfn b() { }\n";
        let found = functions(&blank(source));
        let shown: Vec<_> = found.iter().map(|f| (f.name.as_str(), f.line, f.lines)).collect();
        assert_eq!(shown, [("a", 1, 4), ("b", 5, 1)]);
    }

    #[test]
    fn declarations_have_no_body() {
        assert!(functions("trait T { fn a(&self); }").is_empty());
    }

    /// Red when reading stops at the first test: `b` and `c` are then never measured.
    #[test]
    fn what_comes_after_tests_is_read() {
        let source = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn t() {}\n}\nfn b() {}\n\
                      struct S {\n    #[cfg(test)]\n    seen: Vec<u8>,\n    kept: u8,\n}\nimpl S {\n\
                      \x20   #[cfg(test)]\n    fn u<A, B>(&self) -> [u8; 2] {\n    }\n    fn c() {}\n}\n\
                      #[cfg(test)]\nmod fakes;\n";
        let masked = without_tests(source);
        let shown: Vec<_> = functions(&masked.code).into_iter().map(|f| (f.name, f.line)).collect();
        assert_eq!(shown, [("a".to_owned(), 1), ("b".to_owned(), 6), ("c".to_owned(), 16)]);
        assert_eq!(masked.code.lines().count(), source.lines().count());
        assert!(masked.code.contains("kept") && !masked.code.contains("seen"), "{}", masked.code);
        assert!(!masked.code.contains("fakes"), "{}", masked.code);
        assert_eq!(masked.test_lines, 4 + 2 + 3 + 2);
    }
}
