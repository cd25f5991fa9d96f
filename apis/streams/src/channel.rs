//! WebSocket subprotocols that carry several channels: the first byte (or digit) of each message names its channel.
//!
//! Knows: which subprotocols exist, and how each writes a message. Refuses to know: WebSocket frames.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

/// Standard input of a command.
pub const STDIN: u8 = 0;
/// Its standard output, or its terminal.
pub const STDOUT: u8 = 1;
/// Its standard error.
pub const STDERR: u8 = 2;
/// How it ended.
pub const ERROR: u8 = 3;
/// Size of its terminal.
pub const RESIZE: u8 = 4;
/// `v5`: the channel that the next byte names ends.
pub const CLOSE: u8 = 255;

/// Before the name of a SPDY subprotocol: the WebSocket carries the SPDY connection as a byte stream.
pub const TUNNEL: &str = "SPDY/3.1+";
/// The SPDY subprotocol of port-forward.
pub const PORT_FORWARD_SPDY: &str = "portforward.k8s.io";
/// The SPDY subprotocols of exec and attach, newest first.
pub const REMOTE_COMMAND_SPDY: [&str; 5] = [
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v3.channel.k8s.io",
    "v2.channel.k8s.io",
    "channel.k8s.io",
];

/// How a subprotocol writes messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Binary messages as they are.
    Raw,
    /// Text messages: the channel as a digit, the rest in base64.
    Base64,
}

/// A WebSocket subprotocol.
#[derive(Debug, PartialEq, Eq)]
pub struct Subprotocol {
    /// As clients name it; empty when a client names none.
    pub name: &'static str,
    /// How messages are written.
    pub coding: Coding,
    /// Whether the end of a command is told as a `Status` in JSON, its exit code in it, or as a line of text.
    pub status: bool,
    /// Whether a client can end one channel with [`CLOSE`].
    pub closes: bool,
}

const fn protocol(name: &'static str, coding: Coding, status: bool, closes: bool) -> Subprotocol {
    Subprotocol { name, coding, status, closes }
}

/// Of exec and attach.
pub static REMOTE_COMMAND: [Subprotocol; 6] = [
    protocol("v5.channel.k8s.io", Coding::Raw, true, true),
    protocol("v4.channel.k8s.io", Coding::Raw, true, false),
    protocol("v4.base64.channel.k8s.io", Coding::Base64, true, false),
    protocol("channel.k8s.io", Coding::Raw, false, false),
    protocol("base64.channel.k8s.io", Coding::Base64, false, false),
    protocol("", Coding::Raw, false, false),
];

/// Of port-forward: two channels per port, data and error.
pub static PORT_FORWARD: [Subprotocol; 3] = [
    protocol("v4.channel.k8s.io", Coding::Raw, false, false),
    protocol("v4.base64.channel.k8s.io", Coding::Base64, false, false),
    protocol("", Coding::Raw, false, false),
];

/// Of logs, which have no channels.
pub static LOG: [Subprotocol; 3] = [
    protocol("binary.k8s.io", Coding::Raw, false, false),
    protocol("base64.binary.k8s.io", Coding::Base64, false, false),
    protocol("", Coding::Raw, false, false),
];

/// The names in a `Sec-WebSocket-Protocol` or `X-Stream-Protocol-Version` header's values.
pub fn names<'a>(values: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let parts = values.into_iter().flat_map(|value| value.split(','));
    parts.map(str::trim).filter(|name| !name.is_empty()).collect()
}

/// The first offered subprotocol that is known. A client that offers none means the one without a name.
pub fn choose(offered: &[&str], known: &'static [Subprotocol]) -> Option<&'static Subprotocol> {
    let offered = if offered.is_empty() { &[""] } else { offered };
    offered.iter().find_map(|name| known.iter().find(|protocol| protocol.name == *name))
}

/// A WebSocket message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// UTF-8.
    Text(String),
    /// Any bytes.
    Binary(Bytes),
}

impl Subprotocol {
    /// A message on a channel.
    pub fn encode(&self, channel: u8, data: &[u8]) -> Message {
        match self.coding {
            Coding::Raw => {
                let mut bytes = Vec::with_capacity(data.len() + 1);
                bytes.push(channel);
                bytes.extend_from_slice(data);
                Message::Binary(bytes.into())
            }
            Coding::Base64 => {
                let mut text = String::with_capacity(data.len() * 4 / 3 + 4);
                text.push(char::from(b'0'.saturating_add(channel)));
                STANDARD.encode_string(data, &mut text);
                Message::Text(text)
            }
        }
    }

    /// Channel and data of a message's bytes, whichever type it came as; `None` for an empty message and for data that
    /// is no base64 where it must be.
    pub fn decode(&self, message: &Bytes) -> Option<(u8, Bytes)> {
        let channel = *message.first()?;
        let data = message.slice(1..);
        match self.coding {
            Coding::Raw => Some((channel, data)),
            Coding::Base64 => {
                let channel = channel.wrapping_sub(b'0');
                Some((channel, STANDARD.decode(&data).ok()?.into()))
            }
        }
    }

    /// A message of a subprotocol without channels.
    pub fn whole(&self, data: &Bytes) -> Message {
        match self.coding {
            Coding::Raw => Message::Binary(data.clone()),
            Coding::Base64 => Message::Text(STANDARD.encode(data)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chosen(offered: &[&str]) -> Option<&'static str> {
        choose(offered, &REMOTE_COMMAND).map(|protocol| protocol.name)
    }

    #[test]
    fn the_clients_order_counts_and_no_offer_is_the_oldest_protocol() {
        assert_eq!(chosen(&[]), Some(""));
        assert_eq!(chosen(&["channel.k8s.io", "v5.channel.k8s.io"]), Some("channel.k8s.io"));
        assert_eq!(chosen(&["v9.channel.k8s.io", "v4.channel.k8s.io"]), Some("v4.channel.k8s.io"));
        assert_eq!(chosen(&["v9.channel.k8s.io"]), None);
        assert_eq!(names(["a, b", " c,"]), ["a", "b", "c"]);
    }

    #[test]
    fn base64_messages_are_text_with_a_digit_before_them() {
        let protocol = choose(&["base64.channel.k8s.io"], &REMOTE_COMMAND).unwrap();
        assert_eq!(protocol.encode(STDOUT, b"\n"), Message::Text("1Cg==".into()));
        let (channel, data) = protocol.decode(&Bytes::from_static(b"0Zm9vCgo=")).unwrap();
        assert_eq!((channel, &data[..]), (STDIN, &b"foo\n\n"[..]));
        assert_eq!(protocol.decode(&Bytes::from_static(b"0***")), None);
        assert_eq!(protocol.decode(&Bytes::new()), None);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(channel in 0u8..5, data: Vec<u8>) {
            for protocol in &REMOTE_COMMAND {
                let bytes = match protocol.encode(channel, &data) {
                    Message::Text(text) => Bytes::from(text),
                    Message::Binary(bytes) => bytes,
                };
                let (back, rest) = protocol.decode(&bytes).unwrap();
                prop_assert_eq!((back, rest.to_vec()), (channel, data.clone()));
            }
        }

        #[test]
        fn no_message_is_too_strange(bytes: Vec<u8>) {
            for protocol in &REMOTE_COMMAND {
                let _ = protocol.decode(&Bytes::from(bytes.clone()));
            }
        }
    }
}
