//! `leme scale`: writes the scale subresource.

use anyhow::Result;
use serde_json::json;

use crate::api::{self, JSON};
use crate::args::ScaleArgs;
use crate::{connect, documents, say, targets};

/// Runs the command.
pub async fn run(args: &ScaleArgs) -> Result<()> {
    let (kind, name) = targets::parse_one(&args.what)?;
    let api = connect::connect(&args.connect).await?;
    let path = api::path(kind, Some(&api.namespace), Some(&name), Some("scale"));
    let patch = json!({"spec": {"replicas": args.replicas}});
    api.call("PATCH", &path, "application/merge-patch+json", JSON, Some(&patch)).await?;
    say::line(format_args!("{} scaled", documents::shown(kind, &name)))
}
