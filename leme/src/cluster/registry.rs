//! How the cluster's registry of images is started, and how nodes know it.
//!
//! Knows: its name, where it listens, its certificate, and as whom it and those who push ask the API. Refuses to know: images.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use leme_client::kubeconfig;
use leme_host::images::ImageStore;
use leme_image_registry::{Limits, Registry, RegistryConfig};
use leme_server::ImageRegistry;

use crate::cluster::access::{self, Access};
use crate::cluster::data::DataDir;
use crate::cluster::node::NodeSpec;
use crate::cluster::plan::Plan;
use crate::cluster::running::Running;
use crate::cluster::starts::{CLUSTER_DOMAIN, inward};
use crate::cluster::table::Part;

/// By which name it is known everywhere: that of its Service.
const SERVICE: &str = "image-registry.openshift-image-registry.svc";

/// The name with its port, as it stands in references.
pub fn host() -> String {
    format!("{SERVICE}:{}", leme_meta::ports::REGISTRY)
}

/// Where it listens: where the pods of the first node find the machine.
fn address(plan: &Plan, data: &DataDir) -> Option<Ipv4Addr> {
    let first = plan.nodes().first().filter(|_| plan.runs(Part::Registry))?;
    Some(first.configs(data).1.gateway())
}

/// What the server is told of it.
pub fn known(plan: &Plan, data: &DataDir) -> Option<ImageRegistry> {
    let address = SocketAddr::new(address(plan, data)?.into(), leme_meta::ports::REGISTRY);
    Some(ImageRegistry { host: host(), address })
}

/// Where the nodes of its process find it.
pub fn url(plan: &Plan, data: &DataDir) -> Option<String> {
    Some(format!("https://{}", known(plan, data)?.address))
}

/// Where the registry of a cluster is that `leme up` has begun.
pub fn usual_url(data: &DataDir) -> String {
    let gateway = NodeSpec::numbered(0).configs(data).1.gateway();
    format!("https://{}", SocketAddr::new(gateway.into(), leme_meta::ports::REGISTRY))
}

/// Starts it.
pub async fn start(running: &mut Running) -> Result<()> {
    let data = running.data()?.clone();
    let Some(known) = known(&running.plan, &data) else { return Ok(()) };
    let Access::Within(server) = running.access()? else { return Ok(()) };
    let names =
        [SERVICE.to_owned(), format!("{SERVICE}.{CLUSTER_DOMAIN}"), known.address.ip().to_string()];
    let certificate = server.pki().service("image-registry", &names)?;
    let tls = rustls::ServerConfig::builder().with_no_client_auth().with_cert_resolver(certificate);
    let listener = inward(known.address).context(
        "the registry of images has no place to listen: leave it out with --without registry",
    )?;
    // Who pushes is known by a token, as everywhere: nothing else is shown along with it.
    let admin = kubeconfig::Context::read(&data.kubeconfig()).await?;
    let bare = admin.bare()?;
    let client = running.access()?.client_of(&access::REGISTRY)?.named("image-registry");
    let root = data.images();
    let store = ImageStore::open(&root).with_context(|| format!("open {}", root.display()))?;
    let registries = running.plan.node.as_ref().map(|node| node.registries.clone());
    let registry = Registry::open(RegistryConfig {
        host: known.host,
        store,
        client,
        pushers: Arc::new(move |token| Some(bare.showing(token)?.named("image-registry"))),
        registries: registries.unwrap_or_default(),
        limits: Limits::default(),
    });
    let registry = registry.with_context(|| format!("open the registry in {}", root.display()))?;
    running.spawn("image registry", |token| {
        leme_image_registry::run(registry, listener, Some(Arc::new(tls)), token)
    });
    Ok(())
}
