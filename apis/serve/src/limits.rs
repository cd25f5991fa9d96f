//! The bounds of a server's connections.
//!
//! Knows: numbers. Refuses to know: how they are held.

use std::time::Duration;

/// Bounds of the connections of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one address; one /64 network counts as one IPv6 address.
    pub per_peer: usize,
    /// Longest TLS handshake.
    pub handshake: Duration,
    /// Longest time from a connection's start, or from the first byte of a further request, to the end of its head.
    pub head: Duration,
    /// How long a connection without a request under way is kept.
    pub idle: Duration,
    /// Bytes of a request's head, beyond which HTTP answers 431 by itself.
    pub head_bytes: usize,
    /// How long a peer may take nothing of what is to be written to it, if that is bounded.
    pub stalled: Option<Duration>,
    /// HTTP/2: bytes that a peer may send on a stream before they are read; four times as many on a connection.
    pub window: u32,
    /// Bytes that wait to be written of one HTTP/2 stream, or of one HTTP/1.1 connection.
    pub unwritten: usize,
    /// HTTP/2: streams open at once on a connection.
    pub streams: u32,
    /// HTTP/2: streams that a connection may start in a second; more wait.
    pub streams_per_second: u32,
    /// HTTP/2: streams that a peer may give up in a second before they are answered in full, after a burst of twice
    /// [`Limits::streams`]. Beyond that the connection is cut.
    pub abandoned_per_second: u32,
}

impl Default for Limits {
    /// Upstream's times and streams, where it has any.
    fn default() -> Limits {
        Limits {
            connections: 10_000,
            per_peer: 5_000,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(32),
            idle: Duration::from_secs(90),
            head_bytes: 128 * 1024,
            stalled: None,
            window: 1024 * 1024,
            unwritten: 128 * 1024,
            streams: 250,
            streams_per_second: 20_000,
            abandoned_per_second: 100,
        }
    }
}
