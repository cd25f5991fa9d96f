//! The wire formats of exec, attach, port-forward and logs: the WebSocket subprotocols and SPDY/3.1.
//!
//! Knows: frames, channels, header compression; every parser holds a bounded number of bytes. Refuses to know: sockets,
//! containers, and what the streams carry.
#![forbid(unsafe_code)]

pub mod channel;
mod compress;
pub mod spdy;
