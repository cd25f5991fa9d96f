//! Blobs: given in whole or in part, taken in, taken away.
//!
//! Knows: ranges, uploads and mounts as the protocol has them. Refuses to know: who may, but where a mount asks about another
//! repository.

use std::io::SeekFrom;

use futures::TryStreamExt;
use http::{HeaderMap, Method, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use leme_distribution::reference::valid_digest;
use leme_host::images::{Link, Repository};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use crate::answer::{Answer, Code, DIGEST, Outcome, Refusal, UPLOAD, empty};
use crate::auth::{Right, Who};
use crate::{Registry, Sent, route};

/// Bytes that are read from a file at a time.
const PIECE: usize = 64 << 10;

/// What stands in a query.
pub(crate) fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

impl Registry {
    /// A blob, or a part of it.
    pub(crate) async fn blob(
        &self,
        of: &Repository,
        digest: &str,
        (method, headers): (&Method, &HeaderMap),
    ) -> Outcome {
        let (store, repository, name) = (self.store.clone(), of.clone(), digest.to_owned());
        let found = crate::blocking(move || {
            let disk = |error| Refusal::disk("read a blob", &error);
            // Manifests are content as well.
            Ok(match store.linked(&repository, Link::Blob, &name).map_err(disk)? {
                Some(found) => Some(found),
                None => store.linked(&repository, Link::Manifest, &name).map_err(disk)?,
            })
        });
        let Some((path, size)) = found.await? else {
            return self.blob_from_elsewhere(of, digest, method).await;
        };
        let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
        let (status, from, to) = match range.map(|range| part(range, size)) {
            None | Some(Part::Whole) => (StatusCode::OK, 0, size),
            Some(Part::Of(from, to)) => (StatusCode::PARTIAL_CONTENT, from, to),
            Some(Part::Nothing) => {
                let why = format!("the blob has {size} bytes");
                let refusal = Refusal::new(Code::SizeInvalid, why);
                let refusal = refusal.with_status(StatusCode::RANGE_NOT_SATISFIABLE);
                return Err(refusal.with(header::CONTENT_RANGE, format!("bytes */{size}")));
            }
        };
        let length = (to - from).to_string();
        let said = [
            (header::CONTENT_TYPE, "application/octet-stream"),
            (header::CONTENT_LENGTH, &length),
            (header::ACCEPT_RANGES, "bytes"),
            (header::CACHE_CONTROL, "private, max-age=31536000"),
            (DIGEST, digest),
        ];
        let mut answer = empty(status, &said);
        if status == StatusCode::PARTIAL_CONTENT
            && let Ok(range) = format!("bytes {from}-{}/{size}", to - 1).parse()
        {
            answer.headers_mut().insert(header::CONTENT_RANGE, range);
        }
        if *method == Method::HEAD {
            return Ok(answer);
        }
        let disk = |error| Refusal::disk("read a blob", &error);
        let mut file = tokio::fs::File::open(path).await.map_err(disk)?;
        file.seek(SeekFrom::Start(from)).await.map_err(disk)?;
        let pieces = ReaderStream::with_capacity(file.take(to - from), PIECE);
        *answer.body_mut() = StreamBody::new(pieces.map_ok(Frame::data)).boxed_unsync();
        Ok(answer)
    }

    /// Takes a blob away from a repository.
    pub(crate) async fn delete_blob(&self, of: &Repository, digest: &str) -> Outcome {
        let (store, of, digest) = (self.store.clone(), of.clone(), digest.to_owned());
        crate::blocking(move || {
            let gone = store.unlink(&of, Link::Blob, &digest);
            match gone.map_err(|error| Refusal::disk("delete a blob", &error))? {
                true => Ok(empty(StatusCode::ACCEPTED, &[])),
                false => Err(unknown()),
            }
        })
        .await
    }

    /// POST of an upload: begun, had at once, or mounted from another repository.
    pub(crate) async fn begin_upload(
        &self,
        of: &Repository,
        who: &Who,
        query: &str,
        body: Sent,
    ) -> Outcome {
        if let (Some(digest), Some(from)) = (parameter(query, "mount"), parameter(query, "from"))
            && let Some(digest) = valid_digest(&digest)
            && self.mounted(of, who, &digest, &from).await?
        {
            return Ok(created(of, &digest));
        }
        let digest = match parameter(query, "digest") {
            Some(digest) => Some(wanted(&digest)?),
            None => None,
        };
        let id = self.uploads.begin(of, who.name()).await?;
        let Some(digest) = digest else { return Ok(under_way(of, &id, 0, StatusCode::ACCEPTED)) };
        let done = async {
            self.uploads.add(&id, of, None, body).await?;
            self.uploads.finish(&id, of, &digest).await
        };
        done.await.inspect_err(|_| self.uploads.end(&id))?;
        Ok(created(of, &digest))
    }

    /// Whether a blob was there for somebody in another repository, and is here now.
    async fn mounted(
        &self,
        of: &Repository,
        who: &Who,
        digest: &str,
        from: &str,
    ) -> Result<bool, Refusal> {
        let Ok(from) = route::repository(from) else { return Ok(false) };
        if !self.auth.may(who, Right::Pull, &from).await? {
            return Ok(false);
        }
        let (store, of, digest) = (self.store.clone(), of.clone(), digest.to_owned());
        crate::blocking(move || {
            let there = store.linked(&from, Link::Blob, &digest);
            let there = there.map_err(|error| Refusal::disk("read a blob", &error))?;
            Ok(there.is_some() && store.link_there(&of, (Link::Blob, ""), &digest)?)
        })
        .await
    }

    /// What is done with an upload that was begun.
    pub(crate) async fn upload(
        &self,
        of: &Repository,
        id: &str,
        (method, headers, query): (&Method, &HeaderMap, &str),
        body: Sent,
    ) -> Outcome {
        match *method {
            Method::GET | Method::HEAD => {
                let size = self.uploads.size(id, of)?;
                Ok(under_way(of, id, size, StatusCode::NO_CONTENT))
            }
            Method::DELETE => {
                self.uploads.size(id, of)?;
                self.uploads.end(id);
                Ok(empty(StatusCode::NO_CONTENT, &[]))
            }
            Method::PATCH | Method::PUT => {
                let digest = match parameter(query, "digest") {
                    Some(digest) if *method == Method::PUT => Some(wanted(&digest)?),
                    None if *method == Method::PUT => return Err(no_digest()),
                    _ => None,
                };
                let begins = begins(headers)?;
                let added = self.uploads.add(id, of, begins, body).await;
                let size = match added {
                    Ok(size) => size,
                    Err(refusal) => {
                        let has = self.uploads.size(id, of).unwrap_or_default();
                        let refusal = refusal.with(header::LOCATION, place(of, id));
                        return Err(refusal.with(header::RANGE, range(has)));
                    }
                };
                let Some(digest) = digest else {
                    return Ok(under_way(of, id, size, StatusCode::ACCEPTED));
                };
                self.uploads.finish(id, of, &digest).await?;
                Ok(created(of, &digest))
            }
            _ => Err(Refusal::new(Code::Unsupported, "uploads know no such method")),
        }
    }
}

pub(crate) fn unknown() -> Refusal {
    Refusal::new(Code::BlobUnknown, "blob unknown to registry")
}

fn no_digest() -> Refusal {
    Refusal::new(Code::DigestInvalid, "which digest shall it have? There is no parameter digest")
}

fn wanted(digest: &str) -> Result<String, Refusal> {
    let wrong = || Refusal::new(Code::DigestInvalid, format!("{digest:?} is no sha256 digest"));
    valid_digest(digest).ok_or_else(wrong)
}

fn place(of: &Repository, id: &str) -> String {
    format!("/v2/{of}/blobs/uploads/{id}")
}

fn range(size: u64) -> String {
    format!("0-{}", size.saturating_sub(1))
}

fn under_way(of: &Repository, id: &str, size: u64, status: StatusCode) -> Answer {
    let (place, range) = (place(of, id), range(size));
    let said = [(header::LOCATION, &*place), (header::RANGE, &range), (UPLOAD, id)];
    empty(status, &said)
}

fn created(of: &Repository, digest: &str) -> Answer {
    let place = format!("/v2/{of}/blobs/{digest}");
    empty(StatusCode::CREATED, &[(header::LOCATION, &place), (DIGEST, digest)])
}

/// At which byte a chunk begins, if that is said: `Content-Range: 0-99`, or as HTTP has it for answers.
fn begins(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let Some(text) = headers.get(header::CONTENT_RANGE) else { return Ok(None) };
    let wrong = || Refusal::new(Code::BlobUploadInvalid, "the Content-Range cannot be read");
    let text = text.to_str().map_err(|_| wrong())?;
    let text = text.strip_prefix("bytes ").or(text.strip_prefix("bytes=")).unwrap_or(text);
    let (from, to) = text.split_once('-').ok_or_else(wrong)?;
    let to = to.split('/').next().unwrap_or(to);
    let (from, to) =
        (from.parse::<u64>().map_err(|_| wrong())?, to.parse::<u64>().map_err(|_| wrong())?);
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    // Of nothing there is no range that could be written.
    let fits = match length {
        Some(0) | None => true,
        Some(length) => to.checked_sub(from).and_then(|last| last.checked_add(1)) == Some(length),
    };
    match fits {
        true => Ok(Some(from)),
        false => Err(Refusal::new(Code::SizeInvalid, "Content-Range and Content-Length differ")
            .with_status(StatusCode::BAD_REQUEST)),
    }
}

/// Which part of something is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Whole,
    /// From a byte on, to before another one.
    Of(u64, u64),
    Nothing,
}

/// Reads a range of bytes; several at once are given as the whole.
fn part(range: &str, size: u64) -> Part {
    let Some(range) = range.strip_prefix("bytes=").filter(|range| !range.contains(',')) else {
        return Part::Whole;
    };
    let Some((from, to)) = range.split_once('-') else { return Part::Whole };
    let (from, to) = match (from.trim(), to.trim()) {
        ("", last) => match last.parse::<u64>() {
            Ok(0) => return Part::Nothing,
            Ok(last) => (size.saturating_sub(last), size),
            Err(_) => return Part::Whole,
        },
        (from, to) => match (from.parse::<u64>(), to.parse::<u64>()) {
            (Ok(from), Err(_)) if to.is_empty() => (from, size),
            (Ok(from), Ok(to)) if from <= to => (from, to.saturating_add(1).min(size)),
            _ => return Part::Whole,
        },
    };
    if from >= size { Part::Nothing } else { Part::Of(from, to) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_http() {
        for (range, expected) in [
            ("bytes=0-3", Part::Of(0, 4)),
            ("bytes=4-", Part::Of(4, 10)),
            ("bytes=-3", Part::Of(7, 10)),
            ("bytes=-30", Part::Of(0, 10)),
            ("bytes=0-99", Part::Of(0, 10)),
            ("bytes=10-", Part::Nothing),
            ("bytes=-0", Part::Nothing),
            ("bytes=5-4", Part::Whole),
            ("bytes=0-1,3-4", Part::Whole),
            ("lines=1-2", Part::Whole),
            ("bytes=x", Part::Whole),
        ] {
            assert_eq!(part(range, 10), expected, "{range}");
        }
    }

    #[test]
    fn chunks_say_where_they_begin() {
        let said = |range: &str, length: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_RANGE, range.parse().unwrap());
            headers.insert(header::CONTENT_LENGTH, length.parse().unwrap());
            begins(&headers).map_err(|refusal| refusal.code)
        };
        assert_eq!(said("5-9", "5"), Ok(Some(5)));
        assert_eq!(said("bytes 5-9/10", "5"), Ok(Some(5)));
        assert_eq!(said("5-9", "4"), Err(Code::SizeInvalid));
        assert_eq!(said("9-5", "4"), Err(Code::SizeInvalid));
        assert_eq!(said("x", "4"), Err(Code::BlobUploadInvalid));
        assert_eq!(begins(&HeaderMap::new()).unwrap(), None);
    }
}
