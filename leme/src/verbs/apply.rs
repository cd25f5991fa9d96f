//! `leme apply`: create what is not there, change what differs, in the order of the files.
//!
//! Works as kubectl's client-side apply does: what was applied last is kept in an annotation, and what is gone from the
//! file since then is removed from the object; fields that nobody applied stay.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use http::Method;
use leme_client::Error;
use leme_client::discovery::is_served;
use leme_kinds::schemas;
use leme_meta::patch;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::api::{self, Api, JSON, MERGE_PATCH, STRATEGIC_PATCH};
use crate::args::ApplyArgs;
use crate::choose::Chosen;
use crate::documents::{self, Document};
use crate::resource::Kind;
use crate::{connect, discovery, follow, progress, resource, say, served};

/// The annotation that kubectl and this command share.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// How long a server may take to serve what was defined, and the pause between two questions where nothing of it is served
/// yet that could be followed.
const DEFINED_WITHIN: Duration = Duration::from_secs(20);
const DEFINED_PAUSE: Duration = Duration::from_millis(50);
/// Tries at an object that others change at the same time.
const TRIES: usize = 5;

/// What an apply came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was not there.
    Created,
    /// It differed.
    Configured,
    /// It was so already.
    Unchanged,
}

impl Outcome {
    /// The word that kubectl prints.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Created => "created",
            Outcome::Configured => "configured",
            Outcome::Unchanged => "unchanged",
        }
    }
}

/// Runs the command.
pub async fn run(args: &ApplyArgs) -> Result<()> {
    let written = documents::read(&args.files)?;
    let api = connect::connect(&args.connect).await?;
    let mut documents = documents::resolve(written, api.served().await?)?;
    settle_namespaces(&api, &mut documents, args.connect.namespace.as_deref())?;
    apply_all(&api, &documents, args.dry_run, |document, outcome| {
        let dry = if args.dry_run { " (server dry run)" } else { "" };
        say::line(format_args!("{} {}{dry}", document.shown(), outcome.word()))
    })
    .await?;
    if args.wait && !args.dry_run {
        let view = progress::View::for_terminal();
        progress::wait_until_served(&api, &documents, args.timeout, view).await?;
    }
    Ok(())
}

/// Gives every namespaced document its namespace.
///
/// # Errors
/// When `-n` says another namespace than a document.
pub fn settle_namespaces(api: &Api, documents: &mut [Document], flag: Option<&str>) -> Result<()> {
    for document in documents.iter_mut().filter(|document| document.kind.namespaced) {
        if document.namespace.is_empty() {
            document.namespace.clone_from(&api.namespace);
            document.object["metadata"]["namespace"] = api.namespace.as_str().into();
        } else if let Some(flag) = flag.filter(|flag| *flag != document.namespace) {
            bail!(
                "{}: the namespace from the document ({}) does not match --namespace ({flag})",
                document.source,
                document.namespace
            );
        }
    }
    Ok(())
}

/// Applies all, in order; stops at the first that fails and says what has been done before it.
pub async fn apply_all(
    api: &Api,
    documents: &[Document],
    dry_run: bool,
    mut told: impl FnMut(&Document, Outcome) -> Result<()>,
) -> Result<()> {
    for (index, document) in documents.iter().enumerate() {
        let outcome = apply(api, document, dry_run).await.with_context(|| {
            let rest = documents.len() - index;
            format!(
                "{}: {}: {index} of {} objects were applied, this one and {} after it were not",
                document.source,
                document.shown(),
                documents.len(),
                rest - 1
            )
        })?;
        told(document, outcome)?;
        if !dry_run {
            defined(api, document, &documents[index + 1..]).await?;
        }
    }
    Ok(())
}

/// Waits until what a document defines is served, if documents after it are of these kinds.
pub async fn defined(api: &Api, definition: &Document, rest: &[Document]) -> Result<()> {
    let needed = |kind: &Kind| rest.iter().any(|document| *document.kind == **kind);
    let kinds: Vec<Kind> =
        discovery::defined(&definition.object).into_iter().filter(needed).collect();
    let names: Vec<String> = kinds.iter().map(|kind| kind.qualified()).collect();
    if kinds.is_empty() {
        return Ok(());
    }
    let (mut why, wait) = (String::new(), DEFINED_WITHIN.as_secs());
    let served = async {
        established(api, definition, &mut why).await?;
        for kind in &kinds {
            changed(api, definition, kind).await?;
        }
        anyhow::Ok(())
    };
    let outcome = timeout(DEFINED_WITHIN, served).await;
    outcome.unwrap_or_else(|_| {
        let why = if why.is_empty() { String::new() } else { format!(": {why}") };
        let (source, names) = (&definition.source, names.join(", "));
        bail!("{source}: {names} are still not served after {wait}s{why}")
    })
}

/// Waits until a kind is served. A definition that was established before serves what it defines anew a moment after it has
/// changed, and says nothing of that; but it ends the watches of the kinds that it served.
async fn changed(api: &Api, definition: &Document, kind: &Kind) -> Result<()> {
    let all = discovery::defined(&definition.object);
    loop {
        // No object is asked for: the end is.
        let none = [("fieldSelector", Some("metadata.name=none"))];
        let mut watch = None;
        for known in &all {
            let opened = api.client.watch(&known.collection(""), &none, JSON).await;
            watch = opened.ok();
            if watch.is_some() {
                break;
            }
        }
        // What changed before the watch began is seen now, what changes after it ends it.
        if is_served(&api.client, kind).await? {
            return Ok(());
        }
        match watch {
            Some(mut changes) => while changes.next().await.is_some() {},
            None => tokio::time::sleep(DEFINED_PAUSE).await,
        }
    }
}

/// Follows a definition until it says that its kinds are served; keeps in `why` what it says until then.
async fn established(api: &Api, definition: &Document, why: &mut String) -> Result<()> {
    let one = Chosen {
        kind: definition.kind.clone(),
        namespace: String::new(),
        name: definition.name.clone(),
    };
    follow::until(api, &one, |object| {
        let Some(object) = object else {
            bail!("{}: {} is gone", definition.source, definition.shown())
        };
        let said = |type_| served::condition(object, type_);
        if let Some((true, _)) = said("Established") {
            return Ok(Some(()));
        }
        let refused = [said("NamesAccepted"), said("Established")].into_iter().flatten();
        *why = refused.filter(|(is, _)| !is).map(|(_, why)| why).next().unwrap_or_default();
        Ok(None)
    })
    .await
}

/// Applies one document.
pub async fn apply(
    api: &Api,
    document: &Document,
    dry_run: bool,
) -> std::result::Result<Outcome, Error> {
    let mut modified = document.object.clone();
    if !modified["metadata"]["annotations"].is_object() {
        modified["metadata"]["annotations"] = json!({});
    }
    modified["metadata"]["annotations"][LAST_APPLIED] = note(&modified).into();
    let mut last = None;
    for _ in 0..TRIES {
        let current = api.find(&document.kind, &document.namespace, &document.name).await?;
        let outcome = match current {
            None => create(api, document, &modified, dry_run).await,
            Some(current) => change(api, document, &modified, &current, dry_run).await,
        };
        match outcome {
            Err(error) if error.is_conflict() => last = Some(error),
            outcome => return outcome,
        }
    }
    Err(last.unwrap_or_else(|| Error::Transport("no try was made".to_owned())))
}

/// The object as kubectl notes it: Go's JSON, which escapes what HTML could trip over, and a line break. The same text
/// from both means that neither sees a change where the other has applied.
fn note(object: &Value) -> String {
    let text = object.to_string();
    let mut note = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                note.push_str(&format!("\\u{:04x}", u32::from(c)))
            }
            c => note.push(c),
        }
    }
    note.push('\n');
    note
}

async fn create(
    api: &Api,
    document: &Document,
    object: &Value,
    dry_run: bool,
) -> std::result::Result<Outcome, Error> {
    // What was exported carries the version of another time; what is new has none yet.
    let mut object = object.clone();
    if let Some(meta) = object["metadata"].as_object_mut() {
        meta.remove("resourceVersion");
    }
    let path = document.kind.collection(&document.namespace);
    api.call(Method::POST, &format!("{path}{}", query(dry_run)), JSON, Some(&object)).await?;
    Ok(Outcome::Created)
}

async fn change(
    api: &Api,
    document: &Document,
    modified: &Value,
    current: &Value,
    dry_run: bool,
) -> std::result::Result<Outcome, Error> {
    let original = current["metadata"]["annotations"][LAST_APPLIED]
        .as_str()
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or(Value::Null);
    let schema = resource::schema(&document.kind);
    let change = patch::three_way(schemas(), schema, &original, modified, current);
    if change.as_object().is_none_or(serde_json::Map::is_empty) {
        return Ok(Outcome::Unchanged);
    }
    let path = document.kind.object(&document.namespace, &document.name, "");
    // Only built-in kinds have a schema to merge lists by.
    let media_type = if schema.is_empty() { MERGE_PATCH } else { STRATEGIC_PATCH };
    let path = format!("{path}{}", query(dry_run));
    let changed = api.call(Method::PATCH, &path, media_type, Some(&change)).await?;
    let version =
        |object: &Value| object["metadata"]["resourceVersion"].as_str().map(str::to_owned);
    let same = version(&changed) == version(current) && !dry_run;
    Ok(if same { Outcome::Unchanged } else { Outcome::Configured })
}

fn query(dry_run: bool) -> String {
    api::query(&[
        ("fieldManager", Some("leme-apply")),
        ("fieldValidation", Some("Strict")),
        ("dryRun", dry_run.then_some("All")),
    ])
}
