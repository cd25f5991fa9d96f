//! What the tests of this crate share: throw-away network namespaces and an API that is a map.

// Each test program uses a part.
#![allow(dead_code)]

pub mod api;
pub mod edge;
pub mod netns;
