//! The lines of the table of numbers and the fields in them, each of which can be taken out: `cargo xtask mutate` runs
//! these tests once for each.
//!
//! A mutant is `protobuf TYPE FIELD`, or `protobuf TYPE line`.

use super::table::TEXT;

/// The table as it is, or without what the environment names.
pub(crate) fn seen(text: &str) -> String {
    let asked = std::env::var("LEME_MUTANT").unwrap_or_default();
    let words: Vec<&str> = asked.split(' ').collect();
    let ["protobuf", type_, field] = words[..] else { return text.to_owned() };
    let without = |line: &str| -> Option<String> {
        if line.split(' ').next() != Some(type_) {
            return Some(line.to_owned());
        }
        let kept = line.split(' ').filter(|word| *word != field).collect::<Vec<_>>().join(" ");
        (field != "line").then_some(kept)
    };
    text.lines().filter_map(without).collect::<Vec<_>>().join("\n")
}

#[test]
#[ignore = "the list that cargo xtask mutate goes by"]
#[allow(clippy::disallowed_macros, reason = "what is printed is the point")]
fn mutants() {
    let lines =
        TEXT.lines().filter(|line| !line.starts_with(['#']) && !line.starts_with("prefix "));
    let types: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(' ')).collect();
    // Kinds have a list; what stands in them is held by the same test.
    let is_kind =
        |name: &str| types.iter().any(|(list, _)| list.strip_suffix("List") == Some(name));
    for (type_, fields) in types.iter().filter(|(type_, _)| is_kind(type_)) {
        for what in fields.split_ascii_whitespace().chain(["line"]) {
            println!("mutant protobuf {type_} {what}");
        }
    }
}
