//! `leme label` and `leme annotate`: pairs of metadata, set and removed on any kind of object.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use http::Method;
use serde_json::{Map, Value, json};

use crate::api::{self, Api, MERGE_PATCH};
use crate::args::{DryRun, PairsArgs};
use crate::choose::{self, Alone, Chosen};
use crate::{connect, say};

/// Which pairs of metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairs {
    /// `metadata.labels`.
    Labels,
    /// `metadata.annotations`.
    Annotations,
}

impl Pairs {
    fn field(self) -> &'static str {
        match self {
            Pairs::Labels => "labels",
            Pairs::Annotations => "annotations",
        }
    }

    fn one(self) -> &'static str {
        match self {
            Pairs::Labels => "label",
            Pairs::Annotations => "annotation",
        }
    }
}

/// What is to become of each key: its value, or none to remove it.
type Changes = BTreeMap<String, Option<String>>;

/// Runs the command.
pub async fn run(args: &PairsArgs, pairs: Pairs) -> Result<()> {
    let (words, changes) = split(&args.words, pairs)?;
    ensure!(args.list || !changes.is_empty(), "at least one {} update is required", pairs.one());
    let api = connect::connect(&args.connect).await?;
    let flag = args.connect.namespace.as_deref();
    let chosen = choose::of_words(&api, &words, &args.filter, flag, Alone::Refused).await?;
    ensure!(
        args.resource_version.is_none() || chosen.len() == 1,
        "--resource-version may only be used with a single resource"
    );
    choose::each(&chosen, async |one: &Chosen| {
        let object = one.get(&api).await?;
        if args.list {
            return list(one, &object, pairs);
        }
        let word = change(&api, args, one, &object, &changes, pairs).await?;
        say::line(format_args!("{} {word}{}", one.shown(), args.dry_run.note()))
    })
    .await
}

/// The words that name objects, and what follows them.
fn split(words: &[String], pairs: Pairs) -> Result<(Vec<String>, Changes)> {
    let is_change = |word: &str| {
        word.find('=').is_some_and(|at| at > 0) || (word.ends_with('-') && word != "-")
    };
    let first = words.iter().position(|word| is_change(word)).unwrap_or(words.len());
    let (objects, rest) = words.split_at(first);
    let mut changes = Changes::new();
    for word in rest {
        ensure!(
            is_change(word),
            "all resources must be specified before {} changes: {word}",
            pairs.one()
        );
        let (key, value) = match word.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (&word[..word.len() - 1], None),
        };
        let known = changes.insert(key.to_owned(), value.clone());
        ensure!(
            known.is_none_or(|known| known.is_some() == value.is_some()),
            "can not both modify and remove a{} {} in the same command",
            if pairs == Pairs::Labels { "" } else { "n" },
            pairs.one()
        );
    }
    Ok((objects.to_vec(), changes))
}

fn list(one: &Chosen, object: &Value, pairs: Pairs) -> Result<()> {
    let found = object["metadata"][pairs.field()].as_object();
    let lines = found.into_iter().flatten();
    let lines = lines.map(|(key, value)| format!("\n{key}={}", value.as_str().unwrap_or("")));
    say::line(format_args!(
        "Listing {} for {}:{}",
        pairs.field(),
        one.shown(),
        lines.collect::<String>()
    ))
}

/// Makes the changes, and tells in a word which.
async fn change(
    api: &Api,
    args: &PairsArgs,
    one: &Chosen,
    object: &Value,
    changes: &Changes,
    pairs: Pairs,
) -> Result<&'static str> {
    let empty = Map::new();
    let present = object["metadata"][pairs.field()].as_object().unwrap_or(&empty);
    if !args.overwrite {
        refuse_overwrites(present, changes, pairs)?;
    }
    for (key, _) in changes.iter().filter(|(_, value)| value.is_none()) {
        if !present.contains_key(key) {
            say::note(format_args!("{} {key:?} not found.", pairs.one()));
        }
    }
    let word = outcome(present, changes, pairs);
    let version = args.resource_version.as_deref();
    if version.is_none() && word.starts_with("not ") || args.dry_run == DryRun::Client {
        return Ok(word);
    }
    let mut patch = json!({"metadata": {pairs.field(): changes}});
    if let Some(version) = version {
        patch["metadata"]["resourceVersion"] = version.into();
    }
    let path = format!("{}{}", one.path(None), api::query(&[("dryRun", args.dry_run.query())]));
    api.call(Method::PATCH, &path, MERGE_PATCH, Some(&patch)).await?;
    Ok(word)
}

fn refuse_overwrites(present: &Map<String, Value>, changes: &Changes, pairs: Pairs) -> Result<()> {
    let others = changes.iter().filter_map(|(key, value)| {
        let (value, now) = (value.as_ref()?, present.get(key)?.as_str()?);
        (now != value).then(|| format!("'{key}' already has a value ({now})"))
    });
    let others: Vec<String> = others.collect();
    match (others.is_empty(), pairs) {
        (true, _) => Ok(()),
        (false, Pairs::Labels) => bail!("{}, and --overwrite is false", others.join("; ")),
        (false, Pairs::Annotations) => bail!(
            "--overwrite is false but found the following declared annotation(s): {}",
            others.join("; ")
        ),
    }
}

fn outcome(present: &Map<String, Value>, changes: &Changes, pairs: Pairs) -> &'static str {
    let differs = |(key, value): (&String, &Option<String>)| {
        present.get(key).and_then(Value::as_str) != value.as_deref()
    };
    let (sets, changed) = (changes.values().any(Option::is_some), changes.iter().any(differs));
    match (pairs, changed, sets) {
        (Pairs::Annotations, true, _) => "annotated",
        (Pairs::Annotations, false, _) => "not annotated",
        (Pairs::Labels, false, _) => "not labeled",
        (Pairs::Labels, true, true) => "labeled",
        (Pairs::Labels, true, false) => "unlabeled",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &str, pairs: Pairs) -> String {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let present = json!({"app": "web", "old": "1"});
        let present = present.as_object().unwrap();
        let done = split(&words, pairs).and_then(|(objects, changes)| {
            refuse_overwrites(present, &changes, pairs)?;
            Ok(format!("{} {}", objects.join(","), outcome(present, &changes, pairs)))
        });
        done.unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn labels() {
        let check = |words| check(words, Pairs::Labels);
        assert_eq!(check("pod a b tier=front"), "pod,a,b labeled");
        assert_eq!(check("pod/a old-"), "pod/a unlabeled");
        assert_eq!(check("pod/a old- new=x=y"), "pod/a labeled");
        assert_eq!(check("pod/a app=web"), "pod/a not labeled");
        assert_eq!(check("pod/a none-"), "pod/a not labeled");
        assert_eq!(
            check("pod/a app=db"),
            "'app' already has a value (web), and --overwrite is false"
        );
        assert_eq!(check("pod a=b c"), "all resources must be specified before label changes: c");
        assert_eq!(
            check("pod a=b a-"),
            "can not both modify and remove a label in the same command"
        );
    }

    #[test]
    fn annotations() {
        let check = |words| check(words, Pairs::Annotations);
        assert_eq!(check("pod/a note="), "pod/a annotated");
        assert_eq!(check("pod/a old-"), "pod/a annotated");
        assert_eq!(
            check("pod/a app=db"),
            "--overwrite is false but found the following declared annotation(s): 'app' already has a value (web)"
        );
    }
}
