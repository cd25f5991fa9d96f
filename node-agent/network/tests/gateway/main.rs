//! The Gateway API over real sockets, in a namespace of its own: a row for each of upstream's conformance tests, and what hostile
//! neighbours try.

#[path = "../support/mod.rs"]
mod support;

mod asking;
mod cluster;
mod hostile;
mod rows;
mod writing;

use cluster::gatewayed;
use rows::{Row, rows};
use std::collections::BTreeSet;

/// The short names of upstream's conformance tests, of the release whose kinds are defined.
const UPSTREAM: &str = include_str!("upstream.txt");

/// Red when a test of upstream's has no row, or a row has none.
#[test]
fn every_test_of_upstream_has_a_row() {
    let upstream: Vec<&str> = UPSTREAM.lines().collect();
    let all = rows();
    let named: BTreeSet<&str> = all.iter().map(|row| row.id).collect();
    assert_eq!(named.len(), all.len(), "a row is there twice");
    assert_eq!(named.into_iter().collect::<Vec<_>>(), upstream);
    let carried: Vec<&Row> = all.iter().filter(|row| row.absent.is_none()).collect();
    for row in all.iter().filter(|row| row.absent.is_some()) {
        assert!(row.put.is_empty() && row.asked.is_empty(), "{}", row.id);
    }
    for row in &carried {
        assert!(!row.asked.is_empty() || !row.told.is_empty(), "{} shows nothing", row.id);
    }
    assert_eq!((all.len(), carried.len()), (153, 82));
}

/// Red when a row is not as upstream expects it.
#[test]
fn the_rows_are_as_upstream_expects() {
    gatewayed(|bench| async move {
        for row in rows() {
            bench.show(&row).await;
        }
    });
}
