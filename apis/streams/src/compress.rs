//! Header blocks of SPDY/3.1: names and values, compressed in one zlib stream per direction that begins with a
//! dictionary both ends know.
//!
//! Knows: the blocks' form, the dictionary, their largest size. Refuses to know: frames.

use std::sync::LazyLock;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use crate::spdy::{Error, Headers};

/// Largest header block, decompressed. Real ones have some hundred bytes.
const MAX_BLOCK: usize = 16 * 1024;
/// Most headers in a block.
const MAX_HEADERS: u32 = 128;

/// Words of the dictionary that stand with their length before them.
const WORDS: &[&str] = &[
    "options",
    "head",
    "post",
    "put",
    "delete",
    "trace",
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "connection",
    "content-base",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "retry-after",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "method",
    "get",
    "status",
    "200 OK",
    "version",
    "HTTP/1.1",
    "url",
    "public",
    "set-cookie",
    "keep-alive",
    "origin",
];
/// What follows them.
const TEXT: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505\
    203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized\
    403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable\
    Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT\
    chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,\
    text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

static DICTIONARY: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut bytes = Vec::with_capacity(1423);
    for word in WORDS {
        put(&mut bytes, word);
    }
    bytes.extend_from_slice(TEXT.as_bytes());
    bytes
});

/// The writing half of a connection's compression.
pub(crate) struct Deflate(Compress);

impl Deflate {
    pub(crate) fn new() -> Deflate {
        let mut stream = Compress::new(Compression::fast(), true);
        // Only a stream that has begun refuses a dictionary.
        let set = stream.set_dictionary(&DICTIONARY);
        debug_assert!(set.is_ok());
        Deflate(stream)
    }

    pub(crate) fn block(&mut self, headers: &Headers) -> Result<Vec<u8>, Error> {
        let mut plain = Vec::new();
        plain.extend_from_slice(&length(headers.0.len()));
        for (name, value) in &headers.0 {
            put(&mut plain, name);
            put(&mut plain, value);
        }
        let mut out = Vec::with_capacity(plain.len() + 64);
        let mut done = 0;
        loop {
            let before = self.0.total_in();
            self.0
                .compress_vec(&plain[done..], &mut out, FlushCompress::Sync)
                .map_err(|_| Error::Compression)?;
            done += usize::try_from(self.0.total_in() - before).map_err(|_| Error::Compression)?;
            // Room left over means that the flush is complete.
            if done == plain.len() && out.len() < out.capacity() {
                return Ok(out);
            }
            out.reserve(256);
        }
    }
}

/// The reading half of a connection's compression.
pub(crate) struct Inflate(Decompress);

impl Inflate {
    pub(crate) fn new() -> Inflate {
        Inflate(Decompress::new(true))
    }

    pub(crate) fn block(&mut self, mut input: &[u8]) -> Result<Headers, Error> {
        let mut plain = vec![0; MAX_BLOCK];
        let mut filled = 0;
        loop {
            let before = (self.0.total_in(), self.0.total_out());
            let result = self.0.decompress(input, &mut plain[filled..], FlushDecompress::Sync);
            let moved = |now: u64, then: u64| usize::try_from(now - then).unwrap_or(usize::MAX);
            let taken = moved(self.0.total_in(), before.0).min(input.len());
            input = &input[taken..];
            filled += moved(self.0.total_out(), before.1);
            match result {
                Err(error) if error.needs_dictionary().is_some() => {
                    self.0.set_dictionary(&DICTIONARY).map_err(|_| Error::Compression)?;
                    continue;
                }
                Err(_) => return Err(Error::Compression),
                Ok(_) if filled >= plain.len() => return Err(Error::TooLong),
                Ok(_) if input.is_empty() => return parse(&plain[..filled]),
                Ok(_) if taken == 0 => return Err(Error::Compression),
                Ok(_) => {}
            }
        }
    }
}

fn length(count: usize) -> [u8; 4] {
    u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes()
}

fn put(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&length(text.len()));
    bytes.extend_from_slice(text.as_bytes());
}

fn parse(mut block: &[u8]) -> Result<Headers, Error> {
    let count = number(&mut block)?;
    if count > MAX_HEADERS {
        return Err(Error::TooLong);
    }
    let mut headers = Headers::default();
    for _ in 0..count {
        let name = text(&mut block)?.to_ascii_lowercase();
        // Several values of one name are joined by zero bytes.
        for value in text(&mut block)?.split('\0') {
            headers.0.push((name.clone(), value.to_owned()));
        }
    }
    Ok(headers)
}

fn number(block: &mut &[u8]) -> Result<u32, Error> {
    let (first, rest) = block.split_first_chunk::<4>().ok_or(Error::Headers)?;
    *block = rest;
    Ok(u32::from_be_bytes(*first))
}

fn text(block: &mut &[u8]) -> Result<String, Error> {
    let length = usize::try_from(number(block)?).map_err(|_| Error::Headers)?;
    let (text, rest) = block.split_at_checked(length).ok_or(Error::Headers)?;
    *block = rest;
    Ok(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dictionary_is_the_one_of_the_protocol() {
        assert_eq!(DICTIONARY.len(), 1423);
        let (mut low, mut high) = (1u32, 0u32);
        for byte in DICTIONARY.iter() {
            low = (low + u32::from(*byte)) % 65521;
            high = (high + low) % 65521;
        }
        assert_eq!((high << 16) | low, 0xe3c6_a7c2);
    }

    #[test]
    fn blocks_of_one_connection_share_a_stream_and_have_a_size() {
        let (mut deflate, mut inflate) = (Deflate::new(), Inflate::new());
        let first = Headers::of(&[("streamtype", "data"), ("port", "8080")]);
        for headers in [&first, &Headers::default(), &first] {
            let block = deflate.block(headers).unwrap();
            assert_eq!(&inflate.block(&block).unwrap(), headers);
        }
        let bomb = Headers::of(&[("a", &"0".repeat(MAX_BLOCK))]);
        let block = deflate.block(&bomb).unwrap();
        assert_eq!(inflate.block(&block), Err(Error::TooLong));
        let crowd: Vec<(&str, &str)> = vec![("a", "b"); 200];
        let block = Deflate::new().block(&Headers::of(&crowd)).unwrap();
        assert_eq!(Inflate::new().block(&block), Err(Error::TooLong));
    }
}
