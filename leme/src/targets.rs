//! What a command is about: `KIND NAME..`, `KIND/NAME..`, `KIND,KIND`, and `all`.

use anyhow::{Result, bail, ensure};
use leme_kinds::{Kind, builtin};

/// Kinds, with names or without: without, all objects of the kind are meant.
#[derive(Debug)]
pub struct Target {
    /// The kind.
    pub kind: &'static Kind,
    /// One object's name.
    pub name: Option<String>,
}

/// The row that a word names.
pub fn kind(word: &str) -> Result<&'static Kind> {
    match leme_kinds::by_word(word) {
        Some(kind) => Ok(kind),
        None => bail!("the server doesn't have a resource type {word:?}"),
    }
}

/// Reads the words of a command.
pub fn parse(words: &[String]) -> Result<Vec<Target>> {
    if words.iter().any(|word| word.contains('/')) {
        return words.iter().map(|word| slashed(word)).collect();
    }
    let Some((kinds, names)) = words.split_first() else { bail!("name a kind") };
    let mut targets = Vec::new();
    for word in kinds.split(',').filter(|word| !word.is_empty()) {
        for kind in kinds_of(word)? {
            targets.extend(names.iter().map(|name| Target { kind, name: Some(name.clone()) }));
            if names.is_empty() {
                targets.push(Target { kind, name: None });
            }
        }
    }
    ensure!(!targets.is_empty(), "name a kind");
    Ok(targets)
}

/// Reads words that must name exactly one object.
pub fn parse_one(words: &[String]) -> Result<(&'static Kind, String)> {
    let mut targets = parse(words)?;
    match (targets.pop(), targets.is_empty()) {
        (Some(Target { kind, name: Some(name) }), true) => Ok((kind, name)),
        _ => bail!("name one object: KIND NAME or KIND/NAME"),
    }
}

/// Reads words that must name objects, not whole kinds.
pub fn parse_named(words: &[String]) -> Result<Vec<(&'static Kind, String)>> {
    let named = |target: Target| match target.name {
        Some(name) => Ok((target.kind, name)),
        None => bail!("name an object: KIND NAME or KIND/NAME"),
    };
    parse(words)?.into_iter().map(named).collect()
}

fn kinds_of(word: &str) -> Result<Vec<&'static Kind>> {
    let category: Vec<&'static Kind> = builtin()
        .map(|row| &**row)
        .filter(|row| row.categories.iter().any(|category| category == word))
        .collect();
    if category.is_empty() { Ok(vec![kind(word)?]) } else { Ok(category) }
}

fn slashed(word: &str) -> Result<Target> {
    match word.split_once('/') {
        Some((kind_word, name)) if !name.is_empty() && !name.contains('/') => {
            Ok(Target { kind: kind(kind_word)?, name: Some(name.to_owned()) })
        }
        _ => {
            bail!("{word:?} is not KIND/NAME; there must be no mix of the two ways to name objects")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &str) -> String {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let shown = |target: Target| match target.name {
            Some(name) => format!("{}/{name}", target.kind.plural),
            None => target.kind.plural.to_string(),
        };
        match parse(&words) {
            Ok(targets) => targets.into_iter().map(shown).collect::<Vec<_>>().join(" "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn ways_to_name() {
        assert_eq!(check("po"), "pods");
        assert_eq!(check("pod a b"), "pods/a pods/b");
        assert_eq!(check("svc,rc"), "services replicationcontrollers");
        assert_eq!(check("pod/a route/b"), "pods/a routes/b");
        assert!(check("all").starts_with("pods"));
    }

    #[test]
    fn what_is_not_understood() {
        assert_eq!(check("cats"), "the server doesn't have a resource type \"cats\"");
        assert!(check("pod/a b").contains("no mix"));
        assert!(check("pod/a/b").contains("KIND/NAME"));
    }
}
