//! FieldsV1 as text: sets are read, searched and held against a schema as they are written, without a document made of
//! them.
//!
//! Knows: the grammar of the text. Refuses to know: what sets mean, and whose they are.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::element::{Element, NotAnElement};
use super::schema::Schema;
use super::set::FieldSet;
use super::walk::{place, whole};

/// The set of nothing.
pub(super) const NOTHING: &str = "{}";

/// The text of a step.
struct Step;

impl<'de> DeserializeSeed<'de> for Step {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Cow<'de, str>, D::Error> {
        reader.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Step {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a step")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// What is made of the steps below a place of a set; what stands there is a map of them, null, or nothing that may be.
trait Steps<'de>: Sized {
    type Made;

    /// Of a map.
    fn map<A: MapAccess<'de>>(self, entries: A) -> Result<Self::Made, A::Error>;

    /// Of null.
    fn null(self) -> Self::Made;

    /// Of anything else.
    fn other<E: Error>(self, found: &str) -> Result<Self::Made, E>;
}

/// What is made of a place.
struct Below<T>(T);

impl<'de, T: Steps<'de>> DeserializeSeed<'de> for Below<T> {
    type Value = T::Made;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<T::Made, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de, T: Steps<'de>> Visitor<'de> for Below<T> {
    type Value = T::Made;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<T::Made, A::Error> {
        self.0.map(entries)
    }

    fn visit_unit<E: Error>(self) -> Result<T::Made, E> {
        Ok(self.0.null())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<T::Made, E> {
        self.0.other("bool")
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<T::Made, E> {
        self.0.other("float64")
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<T::Made, E> {
        self.0.other("float64")
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<T::Made, E> {
        self.0.other("float64")
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<T::Made, E> {
        self.0.other("string")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<T::Made, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        self.0.other("[]interface {}")
    }
}

/// Makes something of a whole set. The error is in the words of whoever made it.
fn walked<'de, T: Steps<'de>>(text: &'de str, steps: T) -> Result<T::Made, String> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let made = Below(steps).deserialize(&mut reader).and_then(|made| reader.end().map(|()| made));
    made.map_err(|error| {
        let said = error.to_string();
        said.rsplit_once(" at line ").map_or(said.clone(), |(why, _)| why.to_owned())
    })
}

/// The set of a place, and whether what is there is a member itself.
struct Reading {
    what: &'static str,
}

impl<'de> Steps<'de> for Reading {
    type Made = (FieldSet<'de>, bool);

    fn map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Made, A::Error> {
        let (mut set, mut member) = (FieldSet::default(), false);
        while let Some(text) = entries.next_key_seed(Step)? {
            if text == "." {
                entries.next_value::<IgnoredAny>()?;
                member = true;
                continue;
            }
            let element = match text {
                Cow::Borrowed(text) => Element::parse(text),
                Cow::Owned(text) => Element::parse(&text).map(Element::into_owned),
            };
            match element {
                Ok(element) => {
                    let below = Reading { what: "an object" };
                    let (below, member) = entries.next_value_seed(Below(below))?;
                    set.put(element, member, below);
                }
                Err(NotAnElement::Unknown) => {
                    entries.next_value::<IgnoredAny>()?;
                }
                Err(NotAnElement::Wrong(why)) => {
                    return Err(Error::custom(format!("parsing key as path element: {why}")));
                }
            }
        }
        let member = member || set.is_empty();
        Ok((set, member))
    }

    fn null(self) -> Self::Made {
        (FieldSet::default(), true)
    }

    fn other<E: Error>(self, found: &str) -> Result<Self::Made, E> {
        Err(E::custom(format!("expected {}, got {found}", self.what)))
    }
}

impl<'a> FieldSet<'a> {
    /// Reads the text of FieldsV1. Steps of a sort that nobody knows are dropped.
    ///
    /// # Errors
    /// It is no object of fields.
    pub fn parse(text: &'a str) -> Result<FieldSet<'a>, String> {
        match text {
            NOTHING => Ok(FieldSet::default()),
            _ => walked(text, Reading { what: "an object of fields" }).map(|(set, _)| set),
        }
    }
}

/// What is looked for in a set that is text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// A member of the other set.
    Any,
    /// One of those missing.
    Missing,
}

/// Looks for the members of a set at a place: whether what is there is a member itself, and whether something was found.
struct Search<'s, 'a> {
    set: &'s FieldSet<'a>,
    wanted: Wanted,
}

impl<'s, 'a> Search<'s, 'a> {
    /// The step of a text in the set that is looked for.
    fn node(&self, text: &str) -> Option<&'s super::set::Node<'a>> {
        match text.strip_prefix("f:") {
            Some(name) => self.set.get(&Element::field(name)),
            None => self.set.get(&Element::parse(text).ok()?),
        }
    }

    /// Of a place with nothing below it.
    fn nothing(&self) -> (bool, bool) {
        (true, self.wanted == Wanted::Missing && !self.set.is_empty())
    }
}

impl<'de> Steps<'de> for Search<'_, '_> {
    type Made = (bool, bool);

    fn map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(bool, bool), A::Error> {
        let (mut empty, mut member, mut found, mut met) = (true, false, false, 0);
        while let Some(text) = entries.next_key_seed(Step)? {
            empty = false;
            member |= text == ".";
            let Some(node) = self.node(&text).filter(|_| !found) else {
                entries.next_value::<IgnoredAny>()?;
                continue;
            };
            met += 1;
            let below = Search { set: &node.below, wanted: self.wanted };
            let (is, below) = entries.next_value_seed(Below(below))?;
            found = below || node.member && is == (self.wanted == Wanted::Any);
        }
        let missing = self.wanted == Wanted::Missing && met < self.set.nodes().len();
        Ok((member || empty, found || missing))
    }

    fn null(self) -> (bool, bool) {
        self.nothing()
    }

    fn other<E: Error>(self, _: &str) -> Result<(bool, bool), E> {
        Ok(self.nothing())
    }
}

fn search(fields: &str, set: &FieldSet, wanted: Wanted) -> bool {
    let nothing = || Search { set, wanted }.nothing();
    let walk = || walked(fields, Search { set, wanted }).unwrap_or_else(|_| nothing());
    !set.is_empty() && walk().1
}

/// Whether a set that is text has any member of another.
pub(super) fn touches(fields: &str, set: &FieldSet) -> bool {
    search(fields, set, Wanted::Any)
}

/// Whether a set that is text lacks any member of another.
pub(super) fn lacks(fields: &str, set: &FieldSet) -> bool {
    search(fields, set, Wanted::Missing)
}

/// Whether there are steps below what the schema has owned as a whole.
enum Stale<'k, S> {
    /// At a place of the schema.
    At(S),
    /// One step from there; most lead to nothing more, so that the schema is asked only when there is more.
    Beyond(S, &'k str),
}

impl<'de, 's, S: Schema<'s>> Steps<'de> for Stale<'_, S> {
    type Made = bool;

    fn map<A: MapAccess<'de>>(self, mut entries: A) -> Result<bool, A::Error> {
        let Some(first) = entries.next_key_seed(Step)? else { return Ok(false) };
        let (here, mut stale) = match self {
            Stale::At(schema) => (Some(schema), false),
            Stale::Beyond(schema, step) => {
                let there = place_of(schema, step);
                (there, there.is_some_and(whole))
            }
        };
        let mut next = Some(first);
        while let Some(step) = next {
            match here.filter(|_| !stale) {
                Some(schema) => {
                    let below = Below(Stale::Beyond(schema, &step));
                    stale = entries.next_value_seed(below)?;
                }
                None => {
                    entries.next_value::<IgnoredAny>()?;
                }
            }
            next = entries.next_key_seed(Step)?;
        }
        Ok(stale)
    }

    fn null(self) -> bool {
        false
    }

    fn other<E: Error>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }
}

/// The place that the text of a step leads to.
fn place_of<'a, 's: 'a, S: Schema<'s>>(schema: S, step: &str) -> Option<S> {
    match step.split_once(':') {
        Some(("f", name)) => place(schema, &Element::field(name)),
        Some(_) => Some(schema.element()),
        None => None,
    }
}

/// Whether a set that is text has steps below what the schema has owned as a whole.
pub(super) fn is_stale<'a, 's: 'a, S: Schema<'s>>(schema: S, fields: &str) -> bool {
    walked(fields, Stale::At(schema)).unwrap_or(false)
}
