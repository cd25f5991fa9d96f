//! Query parameters: each is read by name and type, and what is malformed is a 400 that says which.
//!
//! Knows: text, numbers, booleans. Refuses to know: what a parameter means.

use leme_meta::{Status, query};

/// The parameters of a request, in order, decoded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Parses the part of the address after `?`.
    pub fn parse(text: &str) -> Query {
        Query(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// The first value, if it is given and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).find(|value| !value.is_empty())
    }

    /// Every value.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Every parameter with its value.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether the parameter occurs, even empty.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// A boolean; false if it does not occur.
    pub fn flag(&self, name: &str) -> bool {
        self.all(name).next().is_some_and(query::flag)
    }

    /// A whole number, if it occurs.
    pub fn int(&self, name: &str) -> Result<Option<i64>, Status> {
        self.all(name).next().map(query::int).transpose().map_err(Status::bad_request)
    }

    /// The same with one more parameter.
    pub fn with(mut self, name: &str, value: &str) -> Query {
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }
}
