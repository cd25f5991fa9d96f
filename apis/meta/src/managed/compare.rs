//! What changed between two objects, as sets of fields.
//!
//! Knows: upstream's comparison. Refuses to know: managers, what a change means.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::element::{Element, same};
use super::schema::{Schema, Shape, Zero};
use super::set::FieldSet;
use super::walk::{child, step};

/// What changed. No field is in more than one of the sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes<'a> {
    /// What only the earlier object has.
    pub removed: FieldSet<'a>,
    /// What both have, with other values.
    pub modified: FieldSet<'a>,
    /// What only the later object has.
    pub added: FieldSet<'a>,
}

impl<'a> Changes<'a> {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.modified.is_empty() && self.added.is_empty()
    }

    /// The changes, of each of which only so much.
    pub fn narrowed(mut self, narrow: impl Fn(&mut FieldSet<'a>)) -> Changes<'a> {
        [&mut self.removed, &mut self.modified, &mut self.added].into_iter().for_each(narrow);
        self
    }

    /// What the later object has that the earlier has not, or not so.
    pub fn written(self) -> FieldSet<'a> {
        match (self.modified.is_empty(), self.added.is_empty()) {
            (true, _) => self.added,
            (_, true) => self.modified,
            _ => self.modified.union(&self.added),
        }
    }

    /// Takes over what changed below a step, and what became of the step itself.
    fn put(&mut self, element: Element<'a>, below: Changes<'a>, this: Option<Change>) {
        let is = |change| this == Some(change);
        if is(Change::Removed) || !below.removed.is_empty() {
            self.removed.put(element.clone(), is(Change::Removed), below.removed);
        }
        if is(Change::Modified) || !below.modified.is_empty() {
            self.modified.put(element.clone(), is(Change::Modified), below.modified);
        }
        if is(Change::Added) || !below.added.is_empty() {
            self.added.put(element, is(Change::Added), below.added);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Removed,
    Modified,
    Added,
}

/// One side of a comparison.
#[derive(Clone, Copy)]
enum Side<'a> {
    Absent,
    /// An object that nobody has written yet.
    Unwritten,
    There(&'a Value),
}

const NULL: &Value = &Value::Null;

impl<'a> Side<'a> {
    fn map(self) -> Option<&'a Map<String, Value>> {
        match self {
            Side::There(value) => value.as_object(),
            _ => None,
        }
    }

    fn list(self) -> &'a [Value] {
        match self {
            Side::There(Value::Array(items)) => items,
            _ => &[],
        }
    }
}

/// What changes from one object to another; from none, all that an object nobody has written yet does not have. The
/// error says which list has an element that has no name.
pub fn compare<'a, 's: 'a, S: Schema<'s>>(
    schema: S,
    old: Option<&'a Value>,
    new: &'a Value,
) -> Result<Changes<'a>, String> {
    let mut changes = Changes::default();
    let old = old.map_or(Side::Unwritten, Side::There);
    values(schema, old, Side::There(new), &mut changes)?;
    Ok(changes)
}

/// Compares two values: what changed below them goes into the changes, what became of themselves comes back.
fn values<'a, 's: 'a, S: Schema<'s>>(
    schema: S,
    old: Side<'a>,
    new: Side<'a>,
    changes: &mut Changes<'a>,
) -> Result<Option<Change>, String> {
    let (first, second) = match (old, new) {
        (Side::There(old), Side::There(new)) => (schema.shape(old), schema.shape(new)),
        (_, Side::There(new)) => (schema.shape(new), schema.shape(new)),
        (Side::There(old), _) => (schema.shape(old), schema.shape(old)),
        _ => return Ok(None),
    };
    if first == second {
        return shaped(schema, first, old, new, changes);
    }
    // Where the schema leaves open what stands here, each is looked at as what it is. Null is taken for either.
    if let (Side::There(old_value), Side::There(new_value)) = (old, new) {
        if old_value.is_null() {
            return shaped(schema, second, old, new, changes);
        }
        if new_value.is_null() {
            return shaped(schema, first, old, new, changes);
        }
    }
    let one = shaped(schema, first, old, new, changes)?;
    let other = shaped(schema, second, old, new, changes)?;
    Ok(one.or(other))
}

fn leaf(old: Side, new: Side) -> Option<Change> {
    match (old, new) {
        (Side::Absent, Side::Absent) => None,
        (Side::Absent, _) => Some(Change::Added),
        (_, Side::Absent) => Some(Change::Removed),
        (Side::There(old), Side::There(new)) if same(old, new) => None,
        (Side::Unwritten, Side::There(Value::Object(new))) if new.is_empty() => None,
        _ => Some(Change::Modified),
    }
}

fn shaped<'a, 's: 'a, S: Schema<'s>>(
    schema: S,
    shape: Shape<'a>,
    old: Side<'a>,
    new: Side<'a>,
    changes: &mut Changes<'a>,
) -> Result<Option<Change>, String> {
    match shape {
        Shape::Scalar(_) | Shape::List | Shape::Map { atomic: true } => {
            return Ok(leaf(old, new));
        }
        Shape::Map { atomic: false } => {
            let (one, other) = (old.map(), new.map());
            let bare = |side: Side, map: Option<&Map<String, Value>>| {
                !matches!(side, Side::Unwritten) && map.is_none_or(Map::is_empty)
            };
            if bare(old, one) && bare(new, other)
                || matches!(old, Side::Unwritten) && other.is_none_or(Map::is_empty)
            {
                return Ok(leaf(old, new));
            }
            entries(schema, old, one, other, changes)?;
        }
        Shape::Set | Shape::Keyed(_) => {
            let (one, other) = (old.list(), new.list());
            if one.is_empty() && other.is_empty() {
                return Ok(leaf(old, new));
            }
            if one != other {
                items(schema, shape, one, other, changes)?;
            }
        }
    }
    Ok(match (old, new) {
        (Side::Absent, _) => Some(Change::Added),
        (_, Side::Absent) => Some(Change::Removed),
        _ => None,
    })
}

fn entries<'a, 's: 'a, S: Schema<'s>>(
    schema: S,
    old: Side<'a>,
    one: Option<&'a Map<String, Value>>,
    other: Option<&'a Map<String, Value>>,
    changes: &mut Changes<'a>,
) -> Result<(), String> {
    for (name, value) in one.into_iter().flatten() {
        let new = match other.and_then(|other| other.get(name)) {
            // Most is as it was, and need not be looked up in the schema.
            Some(new) if new == value => continue,
            Some(new) => Side::There(new),
            None => Side::Absent,
        };
        entry(child(schema, name).0, name, Side::There(value), new, changes)?;
    }
    for (name, value) in other.into_iter().flatten() {
        let unwritten = matches!(old, Side::Unwritten);
        if !unwritten && one.is_some_and(|one| one.contains_key(name)) {
            continue;
        }
        let declared = schema.field(name);
        let before = match declared.as_ref().map(|declared| declared.zero) {
            Some(Zero::Null) if unwritten => Side::There(NULL),
            Some(Zero::Object) if unwritten => Side::Unwritten,
            Some(Zero::Value(value)) if unwritten => Side::There(value),
            _ => Side::Absent,
        };
        let place = declared.map_or_else(|| schema.entry(), |declared| Some(declared.schema));
        entry(place, name, before, Side::There(value), changes)?;
    }
    Ok(())
}

fn entry<'a, 's: 'a, S: Schema<'s>>(
    place: Option<S>,
    name: &'a str,
    old: Side<'a>,
    new: Side<'a>,
    changes: &mut Changes<'a>,
) -> Result<(), String> {
    let mut below = Changes::default();
    let this = match place {
        Some(place) => {
            values(place, old, new, &mut below).map_err(|why| format!(".{name}{why}"))?
        }
        None => leaf(old, new),
    };
    if this.is_some() || !below.is_empty() {
        changes.put(Element::field(name), below, this);
    }
    Ok(())
}

/// The elements of two lists that have one step.
#[derive(Default)]
struct Pair<'a> {
    old: Vec<&'a Value>,
    new: Vec<&'a Value>,
}

fn items<'a, 's: 'a, S: Schema<'s>>(
    schema: S,
    shape: Shape<'a>,
    old: &'a [Value],
    new: &'a [Value],
    changes: &mut Changes<'a>,
) -> Result<(), String> {
    let mut pairs: BTreeMap<Element<'a>, Pair<'a>> = BTreeMap::new();
    let name = |index: usize, item| {
        step(schema, shape, item).map_err(|why| format!(": element {index}: {why}"))
    };
    for (index, item) in old.iter().enumerate() {
        pairs.entry(name(index, item)?).or_default().old.push(item);
    }
    for (index, item) in new.iter().enumerate() {
        pairs.entry(name(index, item)?).or_default().new.push(item);
    }
    for (element, pair) in pairs {
        let mut below = Changes::default();
        let mut item = |old: Option<&&'a Value>, new: Option<&&'a Value>| {
            let side =
                |value: Option<&&'a Value>| value.map_or(Side::Absent, |value| Side::There(value));
            values(schema.element(), side(old), side(new), &mut below)
                .map_err(|why| format!("{element}{why}"))
        };
        let (old, new) = (&pair.old, &pair.new);
        // Elements that occur twice are owned as a whole.
        let this = match (old.len(), new.len()) {
            (0 | 1, 0 | 1) => item(old.first(), new.first())?,
            (0 | 1, _) => {
                if !old.is_empty() {
                    item(old.first(), None)?;
                }
                changes.added.put(element.clone(), true, FieldSet::default());
                (!old.is_empty()).then_some(Change::Removed)
            }
            (_, 0 | 1) => {
                if !new.is_empty() {
                    item(None, new.first())?;
                }
                changes.removed.put(element.clone(), true, FieldSet::default());
                (!new.is_empty()).then_some(Change::Added)
            }
            _ => {
                let equal =
                    old.len() == new.len() && old.iter().zip(new).all(|(old, new)| same(old, new));
                (!equal).then_some(Change::Modified)
            }
        };
        if this.is_some() || !below.is_empty() {
            changes.put(element, below, this);
        }
    }
    Ok(())
}
