//! An API server alone, on a free port of loopback, over a durable store in the given directory (default: a new one
//! under the system's temporary directory). Prints the path of a kubeconfig. Ctrl-C ends it.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use leme_server::{Server, ServerConfig, pki};
use leme_store::embedded::EmbeddedStore;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = match std::env::args_os().nth(1) {
        Some(dir) => PathBuf::from(dir),
        None => std::env::temp_dir().join(format!("leme-serve-{}", std::process::id())),
    };
    std::fs::create_dir_all(&dir)?;
    let port = std::env::args().nth(2).map_or(Ok(0), |text| text.parse())?;
    let store = Arc::new(EmbeddedStore::open(&dir.join("state"))?);
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let server = Server::start(ServerConfig::new(listen, dir.join("pki"), store)).await?;
    let kubeconfig = dir.join("admin.kubeconfig");
    let url = format!("https://{}", server.addresses()[0]);
    let text = pki::kubeconfig(server.pki(), &url, &[("leme", server.pki().admin.leaf())]);
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&kubeconfig)?;
    file.write_all(text.as_bytes())?;
    writeln!(std::io::stdout(), "{}", kubeconfig.display())?;
    tokio::signal::ctrl_c().await?;
    server.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
