//! What a write costs in processor time without sockets and disk: the server over the memory store, asked in this process
//! by one caller.
//! `cargo bench -p leme-server --bench writes [-- WORD [COUNT]]`: the writes whose name has the word, so many of each. The
//! second form is for a profiler that counts instructions: two runs of another count differ by nothing but writes.
//!
//! Knows: what is written, in the sizes of `leme bench`. Refuses to know: how fast it should be.

mod documents;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use leme_server::{Identity, LocalService, Server, ServerConfig};
use leme_store::memory::MemoryStore;
use serde_json::json;
use tower_service::Service;

/// Writes in one round, and rounds.
const COUNT: usize = 3_000;
const ROUNDS: usize = 7;
/// Objects that are changed.
const OBJECTS: usize = 500;
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

/// One request: method, path, media type, body.
type Ask = (&'static str, String, &'static str, String);

/// A sort of write: its name, what is written first, and what is measured.
struct Sort {
    name: &'static str,
    before: Option<fn(usize) -> Ask>,
    ask: fn(usize) -> Ask,
}

const SORTS: &[Sort] = &[
    Sort { name: "create", before: None, ask: |at| config_map(&format!("made-{at}")) },
    Sort {
        name: "patch",
        before: Some(|at| config_map(&format!("object-{at}"))),
        ask: |at| {
            let path = format!("{CONFIG_MAPS}/object-{}", at % OBJECTS);
            let patch = format!(r#"{{"data":{{"count":"{at}"}}}}"#);
            ("PATCH", path, "application/merge-patch+json", patch)
        },
    },
    Sort { name: "pod", before: None, ask: |at| pod(&format!("made-{at}")) },
    Sort { name: "apply", before: Some(|at| applied(at, 0)), ask: |at| applied(at % OBJECTS, at) },
    Sort {
        name: "status",
        before: Some(|at| applied(at, 0)),
        ask: |at| {
            let path = format!("{DEPLOYMENTS}/object-{}/status", at % OBJECTS);
            let patch = format!(r#"{{"status":{{"observedGeneration":{at}}}}}"#);
            ("PATCH", path, "application/merge-patch+json", patch)
        },
    },
];

fn config_map(name: &str) -> Ask {
    let body = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
        "data": {"text": "0123456789abcdef".repeat(64)},
    });
    ("POST", CONFIG_MAPS.to_owned(), "application/json", body.to_string())
}

fn pod(name: &str) -> Ask {
    let body = documents::pod(name);
    ("POST", PODS.to_owned(), "application/json", body.to_string())
}

fn applied(object: usize, count: usize) -> Ask {
    let name = format!("object-{object}");
    let body = documents::deployment(&name, count);
    let path = format!("{DEPLOYMENTS}/{name}?fieldManager=bench&force=true");
    ("PATCH", path, "application/apply-patch+yaml", body.to_string())
}

async fn write(service: &mut LocalService, (method, path, media, body): Ask) {
    let request = Request::builder().method(method).uri(path).header("content-type", media);
    let request = request.body(Full::new(Bytes::from(body))).unwrap();
    let answer = service.call(request).await.unwrap();
    let code = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(code.is_success(), "{code} {}", String::from_utf8_lossy(&body));
}

/// Processor time of this thread so far: others may use the machine meanwhile.
fn processor_time() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(told.split(' ').next().unwrap().parse().unwrap())
}

async fn measure(sort: &Sort, only: Option<usize>) {
    let dir = tempfile::tempdir().unwrap();
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let store = Arc::new(MemoryStore::new());
    let mut config = ServerConfig::new(listen, dir.path().join("pki"), store);
    // No controller makes the accounts of pods here.
    config.admission.off = vec!["ServiceAccount"];
    let server = Server::start(config).await.unwrap();
    let administrators = vec!["system:masters".to_owned()];
    let who = Identity::of_certificate("kubernetes-admin", administrators);
    let mut service = server.local_service(who);
    for at in 0..OBJECTS {
        if let Some(before) = sort.before {
            write(&mut service, before(at)).await;
        }
    }
    let (rounds, count) = only.map_or((ROUNDS, COUNT), |count| (1, count));
    let mut took: Vec<Duration> = Vec::new();
    for round in 0..rounds {
        let asks: Vec<Ask> = (0..count).map(|at| (sort.ask)(round * count + at)).collect();
        let begun = processor_time();
        for ask in asks {
            write(&mut service, ask).await;
        }
        took.push(processor_time() - begun);
    }
    took.sort_unstable();
    let each = |took: Duration| took.as_secs_f64() * 1e6 / count as f64;
    let (least, middle) = (each(took[0]), each(took[took.len() / 2]));
    let told = format!("{}: {least:.1} us at least, {middle:.1} us in the middle\n", sort.name);
    std::io::stdout().write_all(told.as_bytes()).unwrap();
    server.shutdown(Duration::ZERO).await;
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let word = words.first().map_or("", String::as_str);
    let only = words.get(1).and_then(|count| count.parse().ok());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for sort in SORTS.iter().filter(|sort| sort.name.contains(word)) {
        runtime.block_on(measure(sort, only));
    }
}
