//! How fast the embedded engine writes durably, and lists. `cargo bench -p leme-store`

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use leme_store::embedded::EmbeddedStore;
use leme_store::{Expect, Store};
use tokio::runtime::Runtime;

const LISTED: usize = 10_000;

fn value() -> bytes::Bytes {
    vec![b'x'; 1024].into()
}

/// One round: `flight` creations at the same time.
async fn round(store: &Arc<EmbeddedStore>, next: &AtomicU64, flight: usize) {
    let puts = (0..flight).map(|_| {
        let key = format!("/registry/things/{:012}", next.fetch_add(1, Ordering::Relaxed));
        let store = store.clone();
        tokio::spawn(async move { store.put(&key, value(), Expect::Absent).await.unwrap() })
    });
    for put in puts.collect::<Vec<_>>() {
        put.await.unwrap();
    }
}

fn puts(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(EmbeddedStore::open(&dir.path().join("store.db")).unwrap());
    let next = AtomicU64::new(0);
    let mut group = c.benchmark_group("durable put of 1 KiB");
    for flight in [1, 32, 64] {
        group.throughput(Throughput::Elements(flight as u64));
        group.bench_function(format!("{flight} in flight"), |b| {
            b.iter(|| runtime.block_on(round(&store, &next, flight)));
        });
    }
    group.finish();
}

fn list(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(EmbeddedStore::open(&dir.path().join("store.db")).unwrap());
    runtime.block_on(round(&store, &AtomicU64::new(0), LISTED));
    let mut group = c.benchmark_group("list");
    group.throughput(Throughput::Bytes(LISTED as u64 * 1024));
    group.bench_function("10,000 of 1 KiB", |b| {
        let all = || runtime.block_on(store.list("/registry/things/", "", 0, 0)).unwrap();
        b.iter_batched(|| (), |()| all(), BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, puts, list);
criterion_main!(benches);
