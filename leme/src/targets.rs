//! What a command is about: `KIND NAME..`, `KIND/NAME..`, `KIND,KIND`, and categories such as `all`.

use anyhow::{Result, bail, ensure};

use crate::discovery::Served;
use crate::resource::Kind;

/// Kinds, with names or without: without, all objects of the kind are meant.
#[derive(Debug)]
pub struct Target {
    /// The kind.
    pub kind: Kind,
    /// One object's name.
    pub name: Option<String>,
}

/// Reads the words of a command.
pub fn parse(words: &[String], served: &Served) -> Result<Vec<Target>> {
    if words.iter().any(|word| word.contains('/')) {
        return words.iter().map(|word| slashed(word, served)).collect();
    }
    let Some((kinds, names)) = words.split_first() else { bail!("name a kind") };
    let mut targets = Vec::new();
    for word in kinds.split(',').filter(|word| !word.is_empty()) {
        for kind in served.named(word)? {
            let named = |name: &String| Target { kind: kind.clone(), name: Some(name.clone()) };
            targets.extend(names.iter().map(named));
            if names.is_empty() {
                targets.push(Target { kind, name: None });
            }
        }
    }
    ensure!(!targets.is_empty(), "name a kind");
    Ok(targets)
}

/// Reads words that must name exactly one object.
pub fn parse_one(words: &[String], served: &Served) -> Result<(Kind, String)> {
    let mut targets = parse(words, served)?;
    match (targets.pop(), targets.is_empty()) {
        (Some(Target { kind, name: Some(name) }), true) => Ok((kind, name)),
        _ => bail!("name one object: KIND NAME or KIND/NAME"),
    }
}

fn slashed(word: &str, served: &Served) -> Result<Target> {
    match word.split_once('/') {
        Some((kind, name)) if !name.is_empty() && !name.contains('/') => {
            Ok(Target { kind: served.by_word(kind)?.clone(), name: Some(name.to_owned()) })
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
            None => target.kind.plural.clone(),
        };
        match parse(&words, &Served::builtin()) {
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
        assert_eq!(check("deploy.v1.apps/a"), "deployments/a");
        assert_eq!(check("deployments.apps a"), "deployments/a");
        assert!(check("all").starts_with("pods"));
    }

    #[test]
    fn what_is_not_understood() {
        assert_eq!(check("cats"), "the server doesn't have a resource type \"cats\"");
        assert!(check("pod/a b").contains("no mix"));
        assert!(check("pod/a/b").contains("KIND/NAME"));
    }
}
