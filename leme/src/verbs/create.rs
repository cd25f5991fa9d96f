//! `leme create`: objects of files, or one by flags. Fails where apply would change what is there.

mod access;
mod config;
mod network;
mod policy;
mod workload;

use anyhow::{Result, bail};
use http::Method;
use leme_meta::gvk::split_api_version;
use serde_json::{Value, json};

use crate::api::{self, Api, JSON};
use crate::args::{CreateArgs, CreateCommand, DryRun, SecretCommand, TokenArgs};
use crate::print::{self, Format};
use crate::resource::Kind;
use crate::verbs::apply;
use crate::{choose, connect, documents, say};

/// Runs the command.
pub async fn run(args: &CreateArgs) -> Result<()> {
    let format = args.output.as_deref().map(|text| Format::parse(Some(text))).transpose()?;
    let api = connect::connect(&args.connect).await?;
    match &args.command {
        None => files(&api, args, format.as_ref()).await,
        Some(_) if !args.files.is_empty() => bail!("name a kind, or files with -f: not both"),
        Some(CreateCommand::Token(wanted)) => token(&api, wanted, format.as_ref()).await,
        Some(command) => {
            let mut object = object(&api, command).await?;
            let (group, version) = split_api_version(object["apiVersion"].as_str().unwrap_or(""));
            let kind = object["kind"].as_str().unwrap_or("");
            let Some(kind) = api.served().await?.by_kind(group, version, kind).cloned() else {
                bail!("no matches for kind {kind:?} in version {}", object["apiVersion"]);
            };
            if kind.namespaced {
                object["metadata"]["namespace"] = api.namespace.as_str().into();
            }
            create(&api, args, &kind, &object, format.as_ref()).await
        }
    }
}

async fn files(api: &Api, args: &CreateArgs, format: Option<&Format>) -> Result<()> {
    if args.files.is_empty() {
        bail!("must specify one of -f, or a kind: see `leme create --help`");
    }
    let mut documents = documents::resolve(documents::read(&args.files)?, api.served().await?)?;
    apply::settle_namespaces(api, &mut documents, args.connect.namespace.as_deref())?;
    let mut failures = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        match create(api, args, &document.kind, &document.object, format).await {
            Err(error) if error.is::<say::Unread>() => return Err(error),
            Err(error) => failures.push(format!("{error:#}")),
            Ok(()) if args.dry_run == DryRun::None => {
                apply::defined(api, document, &documents[index + 1..]).await?;
            }
            Ok(()) => {}
        }
    }
    if failures.is_empty() { Ok(()) } else { bail!("{}", failures.join("\n")) }
}

async fn create(
    api: &Api,
    args: &CreateArgs,
    kind: &Kind,
    object: &Value,
    format: Option<&Format>,
) -> Result<()> {
    let created = match args.dry_run {
        DryRun::Client => object.clone(),
        dry_run => {
            let query = api::query(&[
                ("fieldManager", Some("leme-create")),
                ("fieldValidation", Some("Strict")),
                ("dryRun", dry_run.query()),
            ]);
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or(&api.namespace);
            let path = kind.collection(namespace);
            api.call(Method::POST, &format!("{path}{query}"), JSON, Some(object)).await?
        }
    };
    show(&created, kind, args.dry_run, format)
}

fn show(created: &Value, kind: &Kind, dry_run: DryRun, format: Option<&Format>) -> Result<()> {
    match format {
        None => {
            let name = created["metadata"]["name"].as_str().unwrap_or("");
            say::line(format_args!("{} created{}", kind.shown(name), dry_run.note()))
        }
        Some(format) => {
            let mut shown = created.clone();
            print::without_managed_fields(&mut shown);
            say::result(print::object(&shown, format)?)
        }
    }
}

async fn object(api: &Api, command: &CreateCommand) -> Result<Value> {
    let named = |kind: &str, name: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
    match command {
        CreateCommand::Deployment(args) => workload::deployment(args),
        CreateCommand::Job(args) => match &args.from {
            Some(from) => {
                let words = [from.clone()];
                let (kind, name) = crate::targets::parse_one(&words, api.served().await?)?;
                let namespace = api.namespace.clone();
                let owner = choose::Chosen { kind, namespace, name }.get(api).await?;
                workload::job_of(&args.name, &owner)
            }
            None => workload::job(args),
        },
        CreateCommand::Cronjob(args) => workload::cron_job(args),
        CreateCommand::Configmap(args) => config::config_map(args),
        CreateCommand::Secret { command } => match command {
            SecretCommand::Generic(args) => config::secret(args),
            SecretCommand::Tls(args) => config::tls(args),
            SecretCommand::DockerRegistry(args) => config::registry(args),
        },
        CreateCommand::Namespace { name } => Ok(named("Namespace", name)),
        CreateCommand::Serviceaccount { name } => Ok(named("ServiceAccount", name)),
        CreateCommand::Service { command } => network::service(command),
        CreateCommand::Ingress(args) => network::ingress(args),
        CreateCommand::Role(args) => access::role("Role", args, api.served().await?),
        CreateCommand::Clusterrole(args) => access::role("ClusterRole", args, api.served().await?),
        CreateCommand::Rolebinding(args) => access::binding("RoleBinding", args),
        CreateCommand::Clusterrolebinding(args) => access::binding("ClusterRoleBinding", args),
        CreateCommand::Quota(args) => policy::quota(args),
        CreateCommand::Priorityclass(args) => Ok(policy::priority(args)),
        CreateCommand::Poddisruptionbudget(args) => policy::budget(args),
        CreateCommand::Token(_) => bail!("a token is no object"),
    }
}

/// A token, printed as it is.
async fn token(api: &Api, args: &TokenArgs, format: Option<&Format>) -> Result<()> {
    let accounts = api.served().await?.by_word("serviceaccounts")?;
    if !accounts.has("token") {
        bail!("the server serves no tokens of ServiceAccounts");
    }
    let mut spec = json!({});
    if let Some(duration) = args.duration {
        spec["expirationSeconds"] = duration.as_secs().into();
    }
    if !args.audience.is_empty() {
        spec["audiences"] = args.audience.clone().into();
    }
    let request =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
    let path = accounts.object(&api.namespace, &args.name, "token");
    let answer = api.call(Method::POST, &path, JSON, Some(&request)).await?;
    match format {
        Some(format) => say::result(print::object(&answer, format)?),
        None => say::line(answer["status"]["token"].as_str().unwrap_or("")),
    }
}

/// The key and the value of `KEY=VALUE`.
fn pair(text: &str) -> Result<(&str, &str)> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key, value)),
        _ => bail!("invalid pair {text:?}, expected KEY=VALUE"),
    }
}

/// What was asked for must have been built the way that the server takes it.
#[cfg(test)]
fn check(words: &str) -> std::result::Result<Value, String> {
    use crate::args::{Cli, Command};
    use clap::Parser;

    let words = ["leme", "create"].into_iter().chain(words.split_whitespace());
    let parsed = Cli::try_parse_from(words).map_err(|error| error.to_string())?;
    let Command::Create(args) = parsed.command else { return Err("another command".to_owned()) };
    let command = args.command.ok_or("no kind")?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let nobody = tower::service_fn(|_| async {
            Err::<http::Response<leme_client::Body>, _>(std::io::Error::other("nobody"))
        });
        let client = leme_client::Client::over(nobody);
        let served = crate::discovery::Served::builtin();
        let api = Api::with_kinds(client, "default".to_owned(), served);
        object(&api, &command).await.map_err(|error| format!("{error:#}"))
    })
}
