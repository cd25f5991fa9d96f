//! A driver of volumes for tests: directories of the host, mounted by it.
//!
//! `csi_driver --kubeconfig FILE --name NAME --folder DIR --registry DIR --node ID`. Each call is a line of `DIR/calls`; a line
//! `METHOD refuse` or `METHOD hang` of `DIR/faults` has that call fail, or never be answered.
//!
//! Knows: the interface that drivers have, by its numbers; what a provisioner, an attacher and a resizer do beside one. Refuses
//! to know: whose cluster it is in.

mod api;
mod services;
mod wire;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use leme_client::kubeconfig::Context;
use leme_csi::serve::serve;
use tokio::net::UnixListener;

/// How the driver is set up.
pub struct Driver {
    /// Its name.
    pub name: String,
    /// Its own folder.
    pub folder: PathBuf,
    /// Its name for the node.
    pub node: String,
}

impl Driver {
    /// The socket of its services.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("csi.sock")
    }
}

fn argument(name: &str) -> String {
    let mut words = std::env::args().skip_while(|word| word != name);
    words.nth(1).unwrap_or_else(|| panic!("{name} is missing"))
}

/// A socket that is made anew.
fn listen(path: &Path) -> UnixListener {
    let _ = std::fs::remove_file(path);
    UnixListener::bind(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[tokio::main]
async fn main() {
    let driver = Arc::new(Driver {
        name: argument("--name"),
        folder: PathBuf::from(argument("--folder")),
        node: argument("--node"),
    });
    std::fs::create_dir_all(driver.folder.join("volumes")).expect("make a folder for volumes");
    let client =
        Context::read(Path::new(&argument("--kubeconfig"))).await.and_then(Context::client);
    let client = client.expect("a kubeconfig");
    let own = driver.clone();
    let services = serve(listen(&driver.socket()), move |path, message| {
        services::answer(own.clone(), path, message)
    });
    let own = driver.clone();
    let registration = Path::new(&argument("--registry")).join(format!("{}-reg.sock", driver.name));
    let registration = serve(listen(&registration), move |path, message| {
        services::register(own.clone(), path, message)
    });
    tokio::join!(services, registration, api::keep(client, driver));
}
