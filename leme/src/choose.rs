//! Which objects a command is about: those that words name, those of files, those that a selector finds.

use anyhow::{Result, bail, ensure};
use leme_client::Error;
use serde_json::Value;

use crate::api::{self, Api, JSON};
use crate::args::{ChosenArgs, FilterArgs};
use crate::documents;
use crate::resource::Kind;
use crate::targets;
use crate::verbs::apply;

/// One object.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; empty for kinds without.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Chosen {
    /// `pod/web`.
    pub fn shown(&self) -> String {
        self.kind.shown(&self.name)
    }

    /// Its path, or that of a subresource.
    pub fn path(&self, subresource: Option<&str>) -> String {
        self.kind.object(&self.namespace, &self.name, subresource.unwrap_or_default())
    }

    /// The object itself.
    pub async fn get(&self, api: &Api) -> Result<Value, Error> {
        api.get(&self.path(None), JSON).await
    }
}

/// What is meant where a kind stands alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alone {
    /// Nothing: names or a selector are missing.
    Refused,
    /// All its objects.
    All,
}

/// The objects that the flags of a command mean.
///
/// # Errors
/// When they mean none, contradict each other, or the server does not answer.
pub async fn objects(
    api: &Api,
    args: &ChosenArgs,
    flag: Option<&str>,
    alone: Alone,
) -> Result<Vec<Chosen>> {
    of_words(api, &args.what, &args.filter, flag, alone).await
}

/// The same, of the words themselves.
///
/// # Errors
/// As [`objects`].
pub async fn of_words(
    api: &Api,
    words: &[String],
    filter: &FilterArgs,
    flag: Option<&str>,
    alone: Alone,
) -> Result<Vec<Chosen>> {
    let mut chosen = Vec::new();
    if !filter.files.is_empty() {
        let written = documents::read(&filter.files)?;
        let mut found = documents::resolve(written, api.served().await?)?;
        apply::settle_namespaces(api, &mut found, flag)?;
        chosen.extend(found.into_iter().map(|document| Chosen {
            kind: document.kind,
            namespace: document.namespace,
            name: document.name,
        }));
    }
    if words.is_empty() {
        ensure!(!chosen.is_empty(), "name objects, or files with -f");
        return Ok(chosen);
    }
    let selects = filter.selector.is_some() || filter.field_selector.is_some();
    for target in targets::parse(words, api.served().await?)? {
        match target.name {
            Some(_) if selects => bail!("name cannot be provided when a selector is specified"),
            Some(_) if filter.all_namespaces && target.kind.namespaced => {
                bail!("a resource cannot be retrieved by name across all namespaces")
            }
            Some(name) => chosen.push(Chosen {
                namespace: if target.kind.namespaced {
                    api.namespace.clone()
                } else {
                    String::new()
                },
                kind: target.kind,
                name,
            }),
            None if selects || filter.all || alone == Alone::All => {
                chosen.extend(listed(api, &target.kind, filter).await?);
            }
            None => bail!(
                "resource(s) were provided, but no name was specified: name the objects, or choose them with --selector or --all"
            ),
        }
    }
    Ok(chosen)
}

async fn listed(api: &Api, kind: &Kind, filter: &FilterArgs) -> Result<Vec<Chosen>> {
    let query = api::query(&[
        ("labelSelector", filter.selector.as_deref()),
        ("fieldSelector", filter.field_selector.as_deref()),
    ]);
    let namespace = (!filter.all_namespaces).then_some(api.namespace.as_str());
    let (items, _) = api.list(kind, namespace, &query).await?;
    let text =
        |item: &Value, field: &str| item["metadata"][field].as_str().unwrap_or("").to_owned();
    let chosen = |item: &Value| Chosen {
        kind: kind.clone(),
        namespace: text(item, "namespace"),
        name: text(item, "name"),
    };
    Ok(items.iter().map(chosen).collect())
}

/// Runs a step for each, and goes on after one that fails.
///
/// # Errors
/// What all of them failed of, a line each.
pub async fn each<S: AsyncFnMut(&Chosen) -> Result<()>>(
    chosen: &[Chosen],
    mut step: S,
) -> Result<()> {
    let mut failures = Vec::new();
    for one in chosen {
        match step(one).await {
            Err(error) if error.is::<crate::say::Unread>() => return Err(error),
            Err(error) => failures.push(format!("{error:#}")),
            Ok(()) => {}
        }
    }
    if failures.is_empty() { Ok(()) } else { bail!("{}", failures.join("\n")) }
}
