//! The properties of a schema: kept for as long as its kind is served, so in as little room as they take.

use super::Structural;

/// Schemas by the names of their fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Properties(Box<[(Box<str>, Structural)]>);

impl Properties {
    /// The schema of a field.
    pub fn get(&self, name: &str) -> Option<&Structural> {
        let at = self.0.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        self.0.get(at).map(|(_, schema)| schema)
    }

    /// All names with their schemas, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Structural)> {
        self.0.iter().map(|(name, schema)| (&**name, schema))
    }

    /// All schemas, in the order of their names.
    pub fn values(&self) -> impl Iterator<Item = &Structural> {
        self.0.iter().map(|(_, schema)| schema)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> FromIterator<(&'a str, Structural)> for Properties {
    fn from_iter<I: IntoIterator<Item = (&'a str, Structural)>>(all: I) -> Properties {
        let mut all: Vec<(Box<str>, Structural)> =
            all.into_iter().map(|(name, schema)| (name.into(), schema)).collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        Properties(all.into_boxed_slice())
    }
}
