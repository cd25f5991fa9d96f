//! What a path of the protocol means.
//!
//! Knows: the specification's paths. Refuses to know: methods, and what is there.

use http::StatusCode;
use leme_distribution::reference::{valid_digest, valid_tag};
use leme_host::images::Repository;

use crate::answer::{Code, Refusal};

/// What a manifest is asked for by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Tag(String),
    Digest(String),
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/v2/`: whether this is a registry, and who asks.
    Base,
    /// Where tokens are had.
    Token,
    /// Whether it is well.
    Health,
    Tags(Repository),
    Manifest(Repository, By),
    Blob(Repository, String),
    Uploads(Repository),
    Upload(Repository, String),
    Referrers(Repository, String),
}

impl Route {
    /// Reads a path.
    pub fn read(path: &str) -> Result<Route, Refusal> {
        match path {
            "/v2" | "/v2/" => return Ok(Route::Base),
            "/openshift/token" => return Ok(Route::Token),
            "/healthz" => return Ok(Route::Health),
            _ => {}
        }
        let nothing = || Refusal::new(Code::Unsupported, "there is nothing at that path");
        let rest = path.strip_prefix("/v2/").ok_or_else(nothing)?;
        // Some clients leave the last slash out.
        let rest =
            if rest.ends_with("/blobs/uploads") { format!("{rest}/") } else { rest.to_owned() };
        let words = ["/manifests/", "/blobs/uploads/", "/blobs/", "/tags/list", "/referrers/"];
        let found = words.iter().find_map(|word| rest.rfind(word).map(|at| (*word, at)));
        let (word, at) = found.ok_or_else(|| nothing().with_status(StatusCode::NOT_FOUND))?;
        let (name, last) = (&rest[..at], &rest[at + word.len()..]);
        let repository = repository(name)?;
        let digest = |text: &str| {
            let wrong =
                || Refusal::new(Code::DigestInvalid, format!("{text:?} is no sha256 digest"));
            valid_digest(text).ok_or_else(wrong)
        };
        match (word, last) {
            ("/tags/list", "") => Ok(Route::Tags(repository)),
            ("/manifests/", by) if by.contains(':') => {
                Ok(Route::Manifest(repository, By::Digest(digest(by)?)))
            }
            ("/manifests/", by) => {
                // No tag that cannot be is known: that is all that there is to say of it.
                let unknown = || Refusal::new(Code::ManifestUnknown, "manifest unknown");
                Ok(Route::Manifest(repository, By::Tag(valid_tag(by).ok_or_else(unknown)?)))
            }
            ("/blobs/uploads/", "") => Ok(Route::Uploads(repository)),
            ("/blobs/uploads/", id) => Ok(Route::Upload(repository, id.to_owned())),
            ("/blobs/", by) => Ok(Route::Blob(repository, digest(by)?)),
            ("/referrers/", by) => Ok(Route::Referrers(repository, digest(by)?)),
            _ => Err(nothing().with_status(StatusCode::NOT_FOUND)),
        }
    }

    /// The repository that it is about.
    pub fn repository(&self) -> Option<&Repository> {
        match self {
            Route::Base | Route::Token | Route::Health => None,
            Route::Tags(of)
            | Route::Manifest(of, _)
            | Route::Blob(of, _)
            | Route::Uploads(of)
            | Route::Upload(of, _)
            | Route::Referrers(of, _) => Some(of),
        }
    }
}

/// A name as the grammar has it, which is that of a stream in a namespace.
pub(crate) fn repository(name: &str) -> Result<Repository, Refusal> {
    let is_name = leme_distribution::Reference::parse(&format!("registry.test/{name}"));
    match (Repository::parse(name), is_name) {
        (Some(repository), Some(_)) => Ok(repository),
        (None, Some(parsed)) if parsed.name.ends_with(name) => Err(Refusal::new(
            Code::NameUnknown,
            format!("{name:?} names no image stream: it must be namespace/name"),
        )),
        _ => Err(Refusal::new(Code::NameInvalid, format!("{name:?} is no name of a repository"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_mean_what_the_specification_says() {
        let of = || Repository::parse("shop/app").unwrap();
        let digest = format!("sha256:{}", "a".repeat(64));
        let cases = [
            ("/v2/".to_owned(), Ok(Route::Base)),
            ("/v2/shop/app/tags/list".to_owned(), Ok(Route::Tags(of()))),
            (
                "/v2/shop/app/manifests/v1".to_owned(),
                Ok(Route::Manifest(of(), By::Tag("v1".into()))),
            ),
            (
                format!("/v2/shop/app/manifests/{digest}"),
                Ok(Route::Manifest(of(), By::Digest(digest.clone()))),
            ),
            (format!("/v2/shop/app/blobs/{digest}"), Ok(Route::Blob(of(), digest.clone()))),
            (
                format!("/v2/shop/app/referrers/{digest}"),
                Ok(Route::Referrers(of(), digest.clone())),
            ),
            ("/v2/shop/app/blobs/uploads/".to_owned(), Ok(Route::Uploads(of()))),
            ("/v2/shop/app/blobs/uploads".to_owned(), Ok(Route::Uploads(of()))),
            ("/v2/shop/app/blobs/uploads/x1".to_owned(), Ok(Route::Upload(of(), "x1".into()))),
            ("/v2/shop/app/blobs/sha256:12".to_owned(), Err(Code::DigestInvalid)),
            ("/v2/shop/app/manifests/sha256:12".to_owned(), Err(Code::DigestInvalid)),
            (
                "/v2/shop/app/manifests/.INVALID_MANIFEST_NAME".to_owned(),
                Err(Code::ManifestUnknown),
            ),
            ("/v2/app/manifests/v1".to_owned(), Err(Code::NameUnknown)),
            ("/v2/a/b/c/manifests/v1".to_owned(), Err(Code::NameUnknown)),
            ("/v2/Shop/app/manifests/v1".to_owned(), Err(Code::NameInvalid)),
            ("/v2/../app/manifests/v1".to_owned(), Err(Code::NameInvalid)),
            ("/v2/shop/%2e%2e/manifests/v1".to_owned(), Err(Code::NameInvalid)),
            ("/v2/_catalog".to_owned(), Err(Code::Unsupported)),
            ("/".to_owned(), Err(Code::Unsupported)),
        ];
        for (path, expected) in cases {
            assert_eq!(Route::read(&path).map_err(|refusal| refusal.code), expected, "{path}");
        }
    }
}
