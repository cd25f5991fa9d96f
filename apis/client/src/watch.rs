//! One watch as it comes, line by line, until the server ends it.
//!
//! Knows: the types of events. Refuses to know: what to do when it ends: see `mirror`.

use futures::stream::BoxStream;
use futures::{AsyncBufReadExt, StreamExt};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::client::Client;
use crate::error::Error;
use crate::query::query;

/// How an object changed.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
pub enum How {
    /// It is new to whoever watches.
    Added,
    /// It is not as it was.
    Modified,
    /// It is gone.
    Deleted,
    /// Nothing changed up to the revision of this object, which says nothing else.
    Bookmark,
}

/// A line of a watch, whose object stays text.
#[derive(Debug)]
pub struct Change {
    /// How.
    pub how: How,
    /// The object as it is now, or was.
    pub object: Box<RawValue>,
}

impl Change {
    /// The object.
    pub fn value(&self) -> Result<Value, Error> {
        serde_json::from_str(self.object.get()).map_err(|error| bad(&error))
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Type {
    Change(How),
    Other(String),
}

#[derive(Deserialize)]
struct Line {
    r#type: Type,
    object: Box<RawValue>,
}

/// The changes of a watch.
pub type Changes = BoxStream<'static, Result<Change, Error>>;

impl Client {
    /// Watches the objects of a collection, those that the pairs of a query say.
    pub async fn watch(
        &self,
        collection: &str,
        pairs: &[(&str, Option<&str>)],
        accept: &str,
    ) -> Result<Changes, Error> {
        let watch = [("watch", Some("true")), ("allowWatchBookmarks", Some("true"))];
        let path = format!("{collection}{}", query(&[&watch, pairs].concat()));
        let lines = self.stream(&path, accept).await?.lines();
        Ok(lines
            .filter_map(|line| async move {
                match line {
                    Ok(line) => read(&line).transpose(),
                    Err(error) => Some(Err(Error::transport(&error))),
                }
            })
            .boxed())
    }
}

fn bad(error: &serde_json::Error) -> Error {
    Error::Transport(format!("bad watch event: {error}"))
}

/// Reads a line; nothing where the connection ended within it.
fn read(line: &str) -> Result<Option<Change>, Error> {
    let Line { r#type, object } = match serde_json::from_str(line) {
        Ok(line) => line,
        Err(error) if error.is_eof() => return Ok(None),
        Err(error) => return Err(bad(&error)),
    };
    match r#type {
        Type::Change(how) => Ok(Some(Change { how, object })),
        Type::Other(word) if word == "ERROR" => {
            let said: Value = serde_json::from_str(object.get()).map_err(|error| bad(&error))?;
            Err(Error::said(500, &said, ""))
        }
        Type::Other(word) => Err(Error::Transport(format!("bad watch event: {word}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_change_or_a_refusal() {
        let check = |line: &str| match read(line) {
            Ok(Some(change)) => format!("{:?} {}", change.how, change.object),
            Ok(None) => "nothing".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(check(r#"{"type":"ADDED","object":{"a":1}}"#), r#"Added {"a":1}"#);
        assert_eq!(check(r#"{"object":{"a":1},"type":"DELETED"}"#), r#"Deleted {"a":1}"#);
        assert_eq!(check(r#"{"type":"BOOKMARK","object":{}}"#), "Bookmark {}");
        let gone = r#"{"type":"ERROR","object":{"code":410,"reason":"Expired","message":"old"}}"#;
        assert_eq!(check(gone), "Error from server (Expired): old");
        assert_eq!(check(r#"{"type":"ADDED","object":{"a""#), "nothing");
        for bad in ["7", r#"{"type":"LOST","object":{}}"#, r#"{"type":7,"object":{}}"#] {
            assert!(check(bad).contains("bad watch event"), "{bad}: {}", check(bad));
        }
    }
}
