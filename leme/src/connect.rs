//! From the command line's flags to a client and a namespace.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use leme_client::kubeconfig::{Context, Unusable};

use crate::api::Api;
use crate::args::ConnectArgs;

/// Connects as the flags, the environment and the data directory say, in this order.
///
/// # Errors
/// When no kubeconfig is found (with the next step) or it cannot be used.
pub async fn connect(args: &ConnectArgs) -> Result<Api> {
    let path = kubeconfig_path(args)?;
    let mut api = connect_with(&path).await?;
    if let Some(namespace) = &args.namespace {
        api.namespace.clone_from(namespace);
    }
    Ok(api)
}

/// Connects with a kubeconfig.
pub async fn connect_with(path: &Path) -> Result<Api> {
    let context = match Context::read(path).await {
        Err(denied @ Unusable::Denied(_)) => {
            bail!("{denied}: use sudo, or name a kubeconfig of your own")
        }
        read => read?,
    };
    let namespace = context.namespace().to_owned();
    Ok(Api::new(context.client()?, namespace))
}

fn kubeconfig_path(args: &ConnectArgs) -> Result<PathBuf> {
    if let Some(path) = &args.kubeconfig {
        return Ok(path.clone());
    }
    let own = args.data_dir.join("admin.kubeconfig");
    let environment = std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty());
    let explicit = args.data_dir != Path::new(crate::args::DEFAULT_DATA_DIR);
    match environment {
        Some(list) if !explicit => std::env::split_paths(&list)
            .next()
            .context("KUBECONFIG is empty: unset it or name a file"),
        _ if own.exists() => Ok(own),
        _ => bail!(
            "no cluster found: {} does not exist; start one with `leme up`, or name a kubeconfig with --kubeconfig",
            own.display()
        ),
    }
}
