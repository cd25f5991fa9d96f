//! SPDY/3.1 frames, as far as Kubernetes clients use them.
//!
//! Knows: frames and their limits. Refuses to know: who opens streams, and flow control, which the clients' library has
//! never had: a slow reader is felt through the transport.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::compress::{Deflate, Inflate};

const VERSION: u32 = 3;
const CONTROL: u32 = 1 << 31;
const SYN_STREAM: u32 = 1;
const SYN_REPLY: u32 = 2;
const RST_STREAM: u32 = 3;
const PING: u32 = 6;
const GO_AWAY: u32 = 7;
const HEADERS: u32 = 8;
const FIN: u8 = 1;
/// Largest control frame. Data frames have no such limit: their bytes are passed on as they come.
const MAX_CONTROL: usize = 64 * 1024;
/// Largest data frame that is written.
const MAX_DATA: usize = 1 << 20;

/// `RST_STREAM`: the peer broke the protocol.
pub const PROTOCOL_ERROR: u32 = 1;
/// `RST_STREAM`: the stream is not wanted; nothing was done.
pub const REFUSED_STREAM: u32 = 3;

/// What is wrong with a peer's bytes; the connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not SPDY/3.
    #[error("not a SPDY/3.1 frame")]
    Version,
    /// More bytes than any client needs.
    #[error("frame or header block too long")]
    TooLong,
    /// A frame shorter than its fields.
    #[error("frame too short")]
    TooShort,
    /// The compressed stream is broken.
    #[error("header compression is broken")]
    Compression,
    /// The headers in it are.
    #[error("header block is broken")]
    Headers,
}

/// Names, in lower case, and values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub(crate) Vec<(String, String)>);

impl Headers {
    /// Headers from pairs.
    pub fn of(pairs: &[(&str, &str)]) -> Headers {
        Headers(pairs.iter().map(|(n, v)| (n.to_ascii_lowercase(), (*v).to_owned())).collect())
    }

    /// The first value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(own, _)| own.eq_ignore_ascii_case(name))?;
        Some(&found.1)
    }
}

/// A frame. Settings and window updates mean nothing here and are not told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A stream begins.
    Open {
        /// Odd if the client opened it.
        stream: u32,
        /// Nothing follows in this direction.
        fin: bool,
        /// What it is for.
        headers: Headers,
    },
    /// The other side has taken the stream.
    Reply {
        /// Stream.
        stream: u32,
        /// Nothing follows in this direction.
        fin: bool,
        /// More about it.
        headers: Headers,
    },
    /// The stream ends at once, in both directions.
    Reset {
        /// Stream.
        stream: u32,
        /// Why.
        status: u32,
    },
    /// To be sent back as it is.
    Ping(u32),
    /// No more streams will be taken.
    GoAway {
        /// The last one that was.
        last: u32,
    },
    /// More headers of a stream.
    Headers {
        /// Stream.
        stream: u32,
        /// Nothing follows in this direction.
        fin: bool,
        /// The headers.
        headers: Headers,
    },
    /// Bytes of a stream: a whole frame, or a part of a long one.
    Data {
        /// Stream.
        stream: u32,
        /// Nothing follows in this direction.
        fin: bool,
        /// Bytes.
        bytes: Bytes,
    },
}

/// A data frame whose end has not come yet.
#[derive(Clone, Copy, Debug)]
struct Partial {
    stream: u32,
    fin: bool,
    left: usize,
}

/// Makes frames of bytes. It holds what was pushed since the last frame, and of a control frame at most 64 KiB.
pub struct Decoder {
    buffer: BytesMut,
    partial: Option<Partial>,
    inflate: Inflate,
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder { buffer: BytesMut::new(), partial: None, inflate: Inflate::new() }
    }
}

impl Decoder {
    /// Takes in what came. [`Self::next`] is to be called until it gives nothing before more is pushed.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame; `None` until more bytes come.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            if let Some(partial) = self.partial {
                match self.data(partial) {
                    Some(frame) => return Ok(Some(frame)),
                    None if self.partial.is_some() => return Ok(None),
                    None => {}
                }
            }
            let Some(head) = self.buffer.first_chunk::<8>() else { return Ok(None) };
            let first = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
            let (flags, length) = (head[4], u32::from_be_bytes([0, head[5], head[6], head[7]]));
            let length = usize::try_from(length).map_err(|_| Error::TooLong)?;
            if first & CONTROL == 0 {
                self.buffer.advance(8);
                let fin = flags & FIN != 0;
                self.partial = Some(Partial { stream: first, fin, left: length });
                continue;
            }
            if (first & !CONTROL) >> 16 != VERSION {
                return Err(Error::Version);
            }
            if length > MAX_CONTROL {
                return Err(Error::TooLong);
            }
            if self.buffer.len() < 8 + length {
                return Ok(None);
            }
            self.buffer.advance(8);
            let payload = self.buffer.split_to(length);
            if let Some(frame) = self.control(first & 0xffff, flags, payload)? {
                return Ok(Some(frame));
            }
        }
    }

    /// What has come of a data frame, if that says anything.
    fn data(&mut self, partial: Partial) -> Option<Frame> {
        let take = partial.left.min(self.buffer.len());
        let bytes = self.buffer.split_to(take).freeze();
        let left = partial.left - take;
        self.partial = (left > 0).then_some(Partial { left, ..partial });
        let fin = partial.fin && left == 0;
        (fin || !bytes.is_empty()).then_some(Frame::Data { stream: partial.stream, fin, bytes })
    }

    fn control(
        &mut self,
        kind: u32,
        flags: u8,
        mut payload: BytesMut,
    ) -> Result<Option<Frame>, Error> {
        let fin = flags & FIN != 0;
        let number = |payload: &mut BytesMut| payload.try_get_u32().map_err(|_| Error::TooShort);
        Ok(Some(match kind {
            SYN_STREAM => {
                let stream = number(&mut payload)? & !CONTROL;
                // Associated stream, priority, slot.
                if payload.len() < 6 {
                    return Err(Error::TooShort);
                }
                payload.advance(6);
                Frame::Open { stream, fin, headers: self.inflate.block(&payload)? }
            }
            SYN_REPLY => {
                let stream = number(&mut payload)? & !CONTROL;
                Frame::Reply { stream, fin, headers: self.inflate.block(&payload)? }
            }
            HEADERS => {
                let stream = number(&mut payload)? & !CONTROL;
                Frame::Headers { stream, fin, headers: self.inflate.block(&payload)? }
            }
            RST_STREAM => Frame::Reset {
                stream: number(&mut payload)? & !CONTROL,
                status: number(&mut payload)?,
            },
            PING => Frame::Ping(number(&mut payload)?),
            GO_AWAY => Frame::GoAway { last: number(&mut payload)? & !CONTROL },
            _ => return Ok(None),
        }))
    }
}

/// Makes bytes of frames.
pub struct Encoder {
    deflate: Deflate,
}

impl Default for Encoder {
    fn default() -> Encoder {
        Encoder { deflate: Deflate::new() }
    }
}

impl Encoder {
    /// Appends a frame to `out`.
    pub fn put(&mut self, frame: &Frame, out: &mut BytesMut) -> Result<(), Error> {
        match frame {
            Frame::Open { stream, fin, headers } => {
                let block = self.deflate.block(headers)?;
                control(out, SYN_STREAM, *fin, 10 + block.len())?;
                out.put_u32(*stream);
                out.put_bytes(0, 6);
                out.put_slice(&block);
            }
            Frame::Reply { stream, fin, headers } | Frame::Headers { stream, fin, headers } => {
                let reply = matches!(frame, Frame::Reply { .. });
                let block = self.deflate.block(headers)?;
                control(out, if reply { SYN_REPLY } else { HEADERS }, *fin, 4 + block.len())?;
                out.put_u32(*stream);
                out.put_slice(&block);
            }
            Frame::Reset { stream, status } => {
                control(out, RST_STREAM, false, 8)?;
                out.put_u32(*stream);
                out.put_u32(*status);
            }
            Frame::Ping(id) => {
                control(out, PING, false, 4)?;
                out.put_u32(*id);
            }
            Frame::GoAway { last } => {
                control(out, GO_AWAY, false, 8)?;
                out.put_u32(*last);
                out.put_u32(0);
            }
            Frame::Data { stream, fin, bytes } => data(out, *stream, *fin, bytes),
        }
        Ok(())
    }
}

fn control(out: &mut BytesMut, kind: u32, fin: bool, length: usize) -> Result<(), Error> {
    if length > MAX_CONTROL {
        return Err(Error::TooLong);
    }
    out.put_u32(CONTROL | (VERSION << 16) | kind);
    head(out, fin, length);
    Ok(())
}

/// Flags and length; no length is greater than 24 bits.
fn head(out: &mut BytesMut, fin: bool, length: usize) {
    out.put_u8(if fin { FIN } else { 0 });
    out.put_uint(length as u64, 3);
}

fn data(out: &mut BytesMut, stream: u32, fin: bool, bytes: &[u8]) {
    let mut rest = bytes;
    loop {
        let (now, later) = rest.split_at(rest.len().min(MAX_DATA));
        out.put_u32(stream & !CONTROL);
        head(out, fin && later.is_empty(), now.len());
        out.put_slice(now);
        rest = later;
        if rest.is_empty() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn data(stream: u32, fin: bool, bytes: &[u8]) -> Frame {
        Frame::Data { stream, fin, bytes: Bytes::copy_from_slice(bytes) }
    }

    fn decoded(decoder: &mut Decoder, bytes: &[u8], piece: usize) -> Result<Vec<Frame>, Error> {
        let mut frames = Vec::new();
        for piece in bytes.chunks(piece.max(1)) {
            decoder.push(piece);
            while let Some(frame) = decoder.next()? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    /// Frames of all kinds, however the bytes are cut; parts of a data frame are put together again.
    #[test]
    fn frames_survive_any_cut() {
        let headers = Headers::of(&[("streamType", "stdin"), ("requestID", "0")]);
        let frames = vec![
            Frame::Open { stream: 1, fin: false, headers: headers.clone() },
            Frame::Reply { stream: 1, fin: false, headers: Headers::default() },
            data(1, false, b"some input"),
            Frame::Open { stream: 3, fin: true, headers },
            Frame::Ping(7),
            data(1, true, b""),
            Frame::Headers { stream: 1, fin: true, headers: Headers::of(&[("a", "b")]) },
            Frame::Reset { stream: 3, status: PROTOCOL_ERROR },
            Frame::GoAway { last: 3 },
        ];
        let mut bytes = BytesMut::new();
        let mut encoder = Encoder::default();
        for frame in &frames {
            encoder.put(frame, &mut bytes).unwrap();
        }
        for piece in [1, 2, 3, 7, 50, bytes.len()] {
            let mut whole: Vec<Frame> = Vec::new();
            for frame in decoded(&mut Decoder::default(), &bytes, piece).unwrap() {
                match (whole.last_mut(), frame) {
                    (
                        Some(Frame::Data { bytes: so_far, fin: done @ false, .. }),
                        Frame::Data { bytes, fin, .. },
                    ) if !bytes.is_empty() => {
                        *so_far = [&so_far[..], &bytes[..]].concat().into();
                        *done = fin;
                    }
                    (_, frame) => whole.push(frame),
                }
            }
            assert_eq!(whole, frames, "in pieces of {piece}");
        }
    }

    #[test]
    fn headers_are_found_whatever_their_case() {
        let headers = Headers::of(&[("streamType", "error")]);
        assert_eq!(headers.get("streamtype"), Some("error"));
        assert_eq!(headers.get("StreamType"), Some("error"));
        assert_eq!(headers.get("port"), None);
    }

    #[test]
    fn what_is_not_spdy_or_too_long_ends_the_connection() {
        let check = |bytes: &[u8]| decoded(&mut Decoder::default(), bytes, 8).unwrap_err();
        assert_eq!(check(&[0x80, 2, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1]), Error::Version);
        assert_eq!(check(&[0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff]), Error::TooLong);
        assert_eq!(check(&[0x80, 3, 0, 6, 0, 0, 0, 1, 9]), Error::TooShort);
        assert_eq!(check(&[0x80, 3, 0, 2, 0, 0, 0, 6, 0, 0, 0, 1, 1, 2]), Error::Compression);
        // Settings are passed over.
        let settings = [0x80, 3, 0, 4, 0, 0, 0, 4, 0, 0, 0, 0];
        assert_eq!(decoded(&mut Decoder::default(), &settings, 5), Ok(vec![]));
    }

    /// Red when the decoder waits for whole data frames: a frame may announce 16 MiB and must not be held.
    #[test]
    fn data_is_passed_on_before_its_frame_is_complete() {
        let mut decoder = Decoder::default();
        decoder.push(&[0, 0, 0, 5, FIN, 0xff, 0xff, 0xff]);
        decoder.push(b"begin");
        assert_eq!(decoder.next(), Ok(Some(data(5, false, b"begin"))));
        assert_eq!(decoder.next(), Ok(None));
        assert!(decoder.buffer.is_empty());
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes: Vec<u8>, piece in 1usize..40) {
            let _ = decoded(&mut Decoder::default(), &bytes, piece);
        }

        #[test]
        fn strange_control_frames_do_no_harm(kind in 0u8..12, payload: Vec<u8>) {
            let mut bytes = vec![0x80, 3, 0, kind, 0, 0];
            bytes.extend_from_slice(&u16::try_from(payload.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(&payload);
            let _ = decoded(&mut Decoder::default(), &bytes, 9);
        }
    }
}
