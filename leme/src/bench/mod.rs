//! `leme bench`: measures this build on this machine.
//!
//! Knows: which benches there are, their order and their goals. A figure is never judged here: whoever reads the table does
//! that. Each bench starts what it needs in processes of its own, bounds its count and its time, and removes what it made.

mod client;
mod cluster;
mod controllers;
#[path = "../../../apiserver/server/benches/documents/mod.rs"]
mod documents;
mod figures;
mod netns;
mod node;
mod objects;
mod process;
mod scheduler;
mod watches;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use futures::future::BoxFuture;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{BenchArgs, Progress};
use crate::bench::figures::Figure;
use crate::{print, say};

/// One bench: what `--only` finds it by, what it does, and how.
struct Bench {
    name: &'static str,
    what: &'static str,
    /// Whether it is only run when it is asked for by its name.
    named: bool,
    run: fn(Setting) -> BoxFuture<'static, Result<Vec<Figure>>>,
}

const BENCHES: &[Bench] = &[
    Bench {
        name: "create",
        what: "create ConfigMaps of 1 KiB, durable, 32 in flight over TLS",
        named: false,
        run: |setting| Box::pin(objects::create(setting)),
    },
    Bench {
        name: "pod",
        what: "create pods of 1 KiB, durable, 32 in flight over TLS",
        named: false,
        run: |setting| Box::pin(objects::pod(setting)),
    },
    Bench {
        name: "apply",
        what: "apply Deployments on the server's side, durable, 32 in flight over TLS",
        named: false,
        run: |setting| Box::pin(objects::apply(setting)),
    },
    Bench {
        name: "get",
        what: "get them, 32 in flight over TLS",
        named: false,
        run: |setting| Box::pin(objects::get(setting)),
    },
    Bench {
        name: "patch",
        what: "merge-patch them, durable, 32 in flight over TLS",
        named: false,
        run: |setting| Box::pin(objects::patch(setting)),
    },
    Bench {
        name: "list",
        what: "list 10,000 of them over TLS",
        named: false,
        run: |setting| Box::pin(objects::list(setting)),
    },
    Bench {
        name: "protobuf",
        what: "list 10,000 pods in protobuf over TLS",
        named: false,
        run: |setting| Box::pin(objects::protobuf(setting)),
    },
    Bench {
        name: "watch",
        what: "1,000 watchers, 100 on each HTTP/2 connection, and 50 changes a second",
        named: false,
        run: |setting| Box::pin(watches::run(setting)),
    },
    Bench {
        name: "scheduler",
        what: "decide on pods on 5,000 nodes, one thread and no server",
        named: false,
        run: |_| Box::pin(async { tokio::task::spawn_blocking(scheduler::run).await? }),
    },
    Bench {
        name: "controllers",
        what: "a Deployment of 1,000 pods, first writes, 10,000 idle Deployments, 20,000 watched pods",
        named: false,
        run: |setting| Box::pin(controllers::run(setting)),
    },
    Bench {
        name: "large",
        what: "150,000 pods on 1,500 simulated nodes in one process",
        named: true,
        run: |setting| Box::pin(controllers::large(setting)),
    },
    Bench {
        name: "up",
        what: "a cluster with a node that runs the sample",
        named: false,
        run: |setting| Box::pin(node::run(setting)),
    },
];

/// What a bench is given.
#[derive(Clone)]
struct Setting {
    /// A directory that does not exist yet and is removed afterwards.
    folder: PathBuf,
    /// Image archive of the sample.
    image: Option<PathBuf>,
}

/// Runs the command.
pub async fn run(args: &BenchArgs) -> Result<()> {
    let word = args.bench.as_deref().or(args.only.as_deref()).unwrap_or("");
    let fits = |bench: &&Bench| bench.name.contains(word) && (!bench.named || bench.name == word);
    let chosen: Vec<&Bench> = BENCHES.iter().filter(fits).collect();
    let names: Vec<&str> = BENCHES.iter().map(|bench| bench.name).collect();
    ensure!(!chosen.is_empty(), "no bench is called {word:?}: there are {}", names.join(", "));
    let root = folder(&args.data_dir)?;
    let outcome = run_all(&chosen, &root, args).await;
    let removed = std::fs::remove_dir(&root).with_context(|| format!("remove {}", root.display()));
    let missing = outcome?;
    removed?;
    ensure!(missing == 0, "{missing} of {} could not be measured", chosen.len());
    Ok(())
}

async fn run_all(chosen: &[&Bench], root: &Path, args: &BenchArgs) -> Result<usize> {
    let interrupted = interrupts()?;
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    for bench in chosen {
        ensure!(!interrupted.load(Ordering::Relaxed), "interrupted");
        say::note(format_args!("{}: {}", bench.name, bench.what));
        let folder = root.join(bench.name);
        let setting = Setting { folder: folder.clone(), image: args.image.clone() };
        let outcome = (bench.run)(setting).await;
        let cleaned = remove(&folder);
        match outcome.and_then(|figures| cleaned.map(|()| figures)) {
            Ok(figures) => {
                for figure in figures {
                    if args.output == Progress::Json {
                        say::line(figure.to_json(bench.name))?;
                    }
                    rows.push(figure.to_row(bench.name));
                }
            }
            Err(error) => failures.push((bench.name, format!("{error:#}"))),
        }
    }
    if args.output == Progress::Auto && !rows.is_empty() {
        say::result(table(rows))?;
    }
    for (name, reason) in &failures {
        match args.output {
            Progress::Json => say::line(json!({"bench": name, "not_run": reason}))?,
            Progress::Auto => say::line(format_args!("{name}: not run: {reason}"))?,
        }
    }
    Ok(failures.len())
}

/// Set by Ctrl-C and by SIGTERM. The bench at hand cleans up, and no other is begun; a cluster that is being measured gets
/// Ctrl-C as well and ends, so that its bench fails at once.
fn interrupts() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let mut signals = signal(kind).context("listen for signals")?;
        let set = Arc::clone(&flag);
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                set.store(true, Ordering::Relaxed);
            }
        });
    }
    Ok(flag)
}

/// A new directory for this run.
fn folder(parent: &Path) -> Result<PathBuf> {
    let path = parent.join(format!("leme-bench-{}", std::process::id()));
    std::fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
    std::fs::create_dir(&path).with_context(|| format!("create {}", path.display()))?;
    Ok(path)
}

fn remove(path: &Path) -> Result<()> {
    leme_host::removal::remove_tree(path).context("remove the bench's directory")
}

fn table(rows: Vec<Vec<String>>) -> String {
    let head = ["BENCH", "WHAT", "RESULT", "P50", "P99", "GOAL"].map(str::to_owned).to_vec();
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    print::align(&lines)
}
