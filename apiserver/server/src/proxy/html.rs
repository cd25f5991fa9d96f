//! Pages, with the references in their tags rewritten.
//!
//! Knows: tags and attributes as far as that needs. Refuses to know: what a page means; scripts and styles are left alone.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::{DeflateDecoder, GzDecoder};
use flate2::write::{DeflateEncoder, GzEncoder};

use super::rewrite::Site;

/// Largest page once decompressed.
const MAX_PLAIN: u64 = 16 * 1024 * 1024;

/// Tags and their attributes that hold a reference.
const REFERENCES: [(&str, &[&str]); 25] = [
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["src", "usemap", "formaction"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];
/// Tags whose content is text up to their end tag.
const RAW: [&str; 9] =
    ["script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes", "plaintext"];
/// Characters and how an attribute writes them.
const ENTITIES: [(char, &str); 5] =
    [('&', "&amp;"), ('"', "&#34;"), ('\'', "&#39;"), ('<', "&lt;"), ('>', "&gt;")];

/// A page rewritten, in the encoding that it came in; `None` if that is not known or the page is broken or too long.
pub(super) fn page(bytes: &[u8], encoding: &str, site: &Site) -> Option<Vec<u8>> {
    match encoding {
        "" => Some(rewrite(bytes, site)),
        "gzip" => {
            let plain = read(GzDecoder::new(bytes))?;
            let mut out = GzEncoder::new(Vec::new(), Compression::default());
            out.write_all(&rewrite(&plain, site)).ok()?;
            out.finish().ok()
        }
        "deflate" => {
            let plain = read(DeflateDecoder::new(bytes))?;
            let mut out = DeflateEncoder::new(Vec::new(), Compression::default());
            out.write_all(&rewrite(&plain, site)).ok()?;
            out.finish().ok()
        }
        _ => None,
    }
}

fn read(from: impl Read) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    from.take(MAX_PLAIN + 1).read_to_end(&mut plain).ok()?;
    (plain.len() as u64 <= MAX_PLAIN).then_some(plain)
}

fn rewrite(page: &[u8], site: &Site) -> Vec<u8> {
    let mut out = Vec::with_capacity(page.len() + 256);
    let mut rest = page;
    while let Some(start) = rest.iter().position(|byte| *byte == b'<') {
        let (text, tag) = rest.split_at(start);
        out.extend_from_slice(text);
        let length = match tag.get(1) {
            Some(byte) if byte.is_ascii_alphabetic() => start_tag(tag, site, &mut out),
            _ => markup(tag, &mut out),
        };
        rest = &tag[length..];
    }
    out.extend_from_slice(rest);
    out
}

/// Copies a comment, an end tag or a declaration; its length.
fn markup(tag: &[u8], out: &mut Vec<u8>) -> usize {
    let end = if tag.starts_with(b"<!--") {
        find(&tag[4..], b"-->").map(|at| at + 7)
    } else if tag.len() > 1 && matches!(tag[1], b'/' | b'!' | b'?') {
        find(tag, b">").map(|at| at + 1)
    } else {
        Some(1)
    };
    let end = end.unwrap_or(tag.len());
    out.extend_from_slice(&tag[..end]);
    end
}

/// Copies a start tag, its references rewritten, and the raw text that belongs to it; the length of all that.
fn start_tag(tag: &[u8], site: &Site, out: &mut Vec<u8>) -> usize {
    let name_end = 1 + tag[1..]
        .iter()
        .position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>'))
        .unwrap_or(tag.len() - 1);
    let name = String::from_utf8_lossy(&tag[1..name_end]).to_ascii_lowercase();
    let known = REFERENCES.iter().find(|(tag, _)| *tag == name).map_or(&[][..], |(_, names)| names);
    out.extend_from_slice(&tag[..name_end]);
    let mut at = name_end;
    while let Some(byte) = tag.get(at) {
        match byte {
            b'>' => {
                out.push(b'>');
                at += 1;
                return at + raw_text(&name, &tag[at..], out);
            }
            byte if byte.is_ascii_whitespace() || *byte == b'/' => {
                out.push(*byte);
                at += 1;
            }
            _ => at += attribute(&tag[at..], known, site, out),
        }
    }
    at
}

/// Copies an attribute; its length.
fn attribute(text: &[u8], known: &[&str], site: &Site, out: &mut Vec<u8>) -> usize {
    let stops = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>' | b'=');
    // An equals sign at the beginning belongs to the name.
    let name_end = 1 + text[1..].iter().position(stops).unwrap_or(text.len() - 1);
    let skip = |from: usize| {
        from + text[from..].iter().take_while(|byte| byte.is_ascii_whitespace()).count()
    };
    let equals = skip(name_end);
    if text.get(equals) != Some(&b'=') {
        out.extend_from_slice(&text[..name_end]);
        return name_end;
    }
    let start = skip(equals + 1);
    let (from, to, end) = match text.get(start) {
        Some(quote @ (b'"' | b'\'')) => {
            let from = start + 1;
            match text[from..].iter().position(|byte| byte == quote) {
                Some(length) => (from, from + length, from + length + 1),
                None => (from, text.len(), text.len()),
            }
        }
        _ => {
            let stops = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'>';
            let length = text[start..].iter().position(stops).unwrap_or(text.len() - start);
            (start, start + length, start + length)
        }
    };
    let name = String::from_utf8_lossy(&text[..name_end]).to_ascii_lowercase();
    let value = std::str::from_utf8(&text[from..to]).ok();
    match value.filter(|_| known.contains(&name.as_str())) {
        Some(value) => {
            out.extend_from_slice(&text[..name_end]);
            out.extend_from_slice(b"=\"");
            out.extend_from_slice(escaped(&site.rewritten(&unescaped(value))).as_bytes());
            out.push(b'"');
        }
        None => out.extend_from_slice(&text[..end]),
    }
    end
}

/// Copies the text of a tag that holds no tags; its length.
fn raw_text(name: &str, text: &[u8], out: &mut Vec<u8>) -> usize {
    if !RAW.contains(&name) {
        return 0;
    }
    let mut at = 0;
    let end = loop {
        match find(&text[at..], b"</") {
            None => break text.len(),
            Some(found) => {
                at += found;
                let word = text.get(at + 2..at + 2 + name.len());
                if word.is_some_and(|word| word.eq_ignore_ascii_case(name.as_bytes())) {
                    break at;
                }
                at += 2;
            }
        }
    };
    out.extend_from_slice(&text[..end]);
    end
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match ENTITIES.iter().find(|(own, _)| *own == character) {
            Some((_, entity)) => out.push_str(entity),
            None => out.push(character),
        }
    }
    out
}

fn unescaped(text: &str) -> String {
    let mut out = text.replace("&quot;", "\"").replace("&apos;", "'");
    // The ampersand last: what it makes is no entity.
    for (character, entity) in ENTITIES.iter().rev() {
        out = out.replace(entity, &character.to_string());
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn site() -> Site {
        Site { prepend: "/p".into(), backend: "10.0.0.1:80".into(), host: "h".into() }
    }

    fn check(page: &str, expected: &str) {
        let out = rewrite(page.as_bytes(), &site());
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn references_in_tags_are_rewritten_and_nothing_else() {
        check("<a href=\"/x?a=1&amp;b=2\">/x</a>", "<a href=\"/p/x?a=1&amp;b=2\">/x</a>");
        check("<A HREF='/x' class=/y>", "<A HREF=\"/p/x\" class=/y>");
        check("<img src=/x.png alt='>'/>", "<img src=\"/p/x.png\" alt='>'/>");
        check("<link rel=stylesheet href = '/s.css' >", "<link rel=stylesheet href=\"/p/s.css\" >");
        check("<div href=\"/x\"><a href=y><a href>", "<div href=\"/x\"><a href=\"y\"><a href>");
        check("<a href=\"http://10.0.0.1:80/z\">", "<a href=\"/p/z\">");
        check("<!-- <a href='/x'> --><!DOCTYPE html>", "<!-- <a href='/x'> --><!DOCTYPE html>");
        check(
            "<script src=/s.js>if (a < b) '<a href=\"/x\">'</script><a href=/x>",
            "<script src=\"/p/s.js\">if (a < b) '<a href=\"/x\">'</script><a href=\"/p/x\">",
        );
        check("1 < 2 <", "1 < 2 <");
        check("<a href=\"/never closed", "<a href=\"/p/never closed\"");
    }

    #[test]
    fn compressed_pages_stay_compressed() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(b"<a href=/x>").unwrap();
        let out = page(&gzip.finish().unwrap(), "gzip", &site()).unwrap();
        assert_eq!(read(GzDecoder::new(&out[..])).unwrap(), b"<a href=\"/p/x\">");
        assert_eq!(page(b"broken", "gzip", &site()), None);
        assert_eq!(page(b"<a href=/x>", "br", &site()), None);
    }

    proptest! {
        #[test]
        fn no_page_is_too_strange(page in "[<>a-z/=\"' !-]{0,60}") {
            rewrite(page.as_bytes(), &site());
        }
    }
}
