//! Objects held against a schema, in the words of upstream's validator: every error it finds, and of several
//! alternatives the errors of the one that came closest.
//!
//! Refuses to know: where the object stands in a request.

use crate::quote;
use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::rules::{self, Kinds};
use super::{Additional, GoJson, Rules, Structural, go};
use crate::field::{FieldErrorKind, Shown};
use crate::schema::ListType;
use crate::{FieldError, Path};

/// How many pairs of value and schema are looked at: what takes more is hostile.
pub(super) const FUEL: u32 = 4_000_000;

/// What an error costs that may be thrown away.
const FAULT: usize = 8;

/// How many errors are told.
const MAX_ERRORS: usize = 1000;

/// What an update found in the place of a value, and what the schema says of both.
#[derive(Clone, Copy)]
pub struct Old<'a> {
    /// The value before.
    pub value: &'a Value,
    /// The structural schema of both.
    pub schema: &'a Structural,
}

/// One thing that is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Fault {
    /// Where, none if that is only in the text.
    path: Option<String>,
    kind: FieldErrorKind,
    value: Option<String>,
    detail: String,
}

impl Fault {
    /// The value does not fit a rule.
    pub(super) fn invalid(path: &str, value: &Value, detail: &str) -> Fault {
        Fault::of(FieldErrorKind::Invalid, path, Some(GoJson(value).shown()), detail)
    }

    /// A message that says itself where.
    pub(super) fn bare(detail: &str) -> Fault {
        let value = Some("\"\"".to_owned());
        Fault { path: None, kind: FieldErrorKind::Invalid, value, detail: detail.to_owned() }
    }

    /// One of another kind.
    pub(super) fn of(
        kind: FieldErrorKind,
        path: &str,
        value: Option<String>,
        detail: &str,
    ) -> Fault {
        Fault { path: Some(path.to_owned()), kind, value, detail: detail.to_owned() }
    }

    /// The field error, of a value that stands below `base`. Upstream shows the path of the whole as nil.
    fn error(self, base: &Path) -> FieldError {
        let below = self.path.as_deref().map_or("", |path| path.strip_prefix('.').unwrap_or(path));
        let path = match (below, base == &Path::default()) {
            ("", true) => Path::new("<nil>"),
            ("", false) => base.clone(),
            (below, _) => base.child(below),
        };
        FieldError::build(self.kind, &path, self.value, &self.detail)
    }
}

/// What a value is told, and how many rules it kept: the alternative with most is the closest.
#[derive(Default)]
pub(super) struct Outcome {
    pub faults: Vec<Fault>,
    pub matches: u64,
}

impl Outcome {
    fn fault(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// Takes in what another check found.
    fn merge(&mut self, other: Outcome) {
        self.faults.extend(other.faults);
        self.matches += other.matches;
    }

    /// The same for a check that counts as one, whatever it found.
    fn merge_counted(&mut self, other: Outcome) {
        self.merge(other);
        self.matches += 1;
    }

    fn valid(&self) -> bool {
        self.faults.is_empty()
    }
}

/// All that is wrong with a value that stands at `base`. What an update leaves as it was, it may keep.
pub fn validate(
    schema: &Structural,
    value: &Value,
    old: Option<Old>,
    base: &Path,
) -> Vec<FieldError> {
    spending(schema, value, old, base, &mut { FUEL })
}

/// The same, with fuel that several checks share.
pub(super) fn spending(
    schema: &Structural,
    value: &Value,
    old: Option<Old>,
    base: &Path,
    fuel: &mut u32,
) -> Vec<FieldError> {
    let mut walk = Walk { fuel: *fuel, path: String::new() };
    let outcome = walk.node(schema, value, old);
    *fuel = walk.fuel;
    if *fuel == 0 {
        let why = "the object takes too long to be held against its schema";
        return vec![Fault::bare(why).error(base)];
    }
    let mut told = HashSet::new();
    let new = outcome.faults.into_iter().filter(|fault| told.insert(fault.clone()));
    new.take(MAX_ERRORS).map(|fault| fault.error(base)).collect()
}

struct Walk {
    fuel: u32,
    path: String,
}

impl Walk {
    /// A value with the old one in its place.
    fn node(&mut self, schema: &Structural, value: &Value, old: Option<Old>) -> Outcome {
        let mut outcome = self.value(schema, value, old);
        if !outcome.valid() && old.is_some_and(|old| old.value == value) {
            outcome.faults.clear();
        }
        outcome
    }

    fn value(&mut self, schema: &Structural, value: &Value, old: Option<Old>) -> Outcome {
        let mut out = Outcome::default();
        if self.fuel == 0 {
            return out;
        }
        self.fuel -= 1;
        let none = Rules::default();
        let rules = schema.rules.as_deref().unwrap_or(&none);
        let kinds = Kinds::of(schema);
        if value.is_null() {
            out.merge(rules::type_of(&self.path, value, kinds, schema.nullable, &rules.format));
            out.faults.extend(rules::enumerated(&self.path, value, rules));
            return out;
        }
        if kinds.stated() || !rules.format.is_empty() {
            let found = rules::type_of(&self.path, value, kinds, schema.nullable, &rules.format);
            out.merge_counted(found);
        }
        let found = self.alternatives(rules, value, old);
        out.merge_counted(found);
        match value {
            Value::String(text) => {
                self.spend(text.len() >> 4);
                out.faults.extend(rules::text(&self.path, text, rules));
                out.matches += 1;
                if let Some(checked) = rules::formatted(&self.path, text, kinds, rules) {
                    out.faults.extend(checked);
                    out.matches += 1;
                }
            }
            Value::Number(number) => {
                let type_ = kinds.single();
                out.merge_counted(super::number::check(&self.path, number, type_, rules));
            }
            Value::Array(list) => {
                let found = self.list(schema, rules, list, old);
                out.merge_counted(found);
            }
            _ => {}
        }
        self.spend(rules.enumerated.len());
        out.faults.extend(rules::enumerated(&self.path, value, rules));
        out.matches += 1;
        if let Value::Object(map) = value {
            let found = self.object(schema, rules, map, old);
            out.merge_counted(found);
        }
        out.matches += 1;
        out
    }

    fn alternatives(&mut self, rules: &Rules, value: &Value, old: Option<Old>) -> Outcome {
        let mut out = Outcome::default();
        let path = self.path.clone();
        if !rules.any_of.is_empty() {
            let (valid, found) = self.closest(&rules.any_of, value, old, true);
            if valid == 0 {
                out.fault(Fault::bare(&format!(
                    "{path} must validate at least one schema (anyOf)",
                    path = quote(&path)
                )));
            }
            out.merge(found);
        }
        if !rules.one_of.is_empty() {
            let (valid, found) = self.closest(&rules.one_of, value, old, false);
            if valid != 1 {
                let how = match valid {
                    0 => "Found none valid".to_owned(),
                    valid => format!("Found {valid} valid alternatives"),
                };
                out.fault(Fault::bare(&format!(
                    "{path} must validate one and only one schema (oneOf). {how}",
                    path = quote(&path)
                )));
            }
            if valid <= 1 {
                out.merge(found);
            }
        }
        let mut valid = 0;
        for schema in &rules.all_of {
            let found = self.value(schema, value, old);
            valid += usize::from(found.valid());
            out.merge(found);
        }
        if valid != rules.all_of.len() {
            let none = if valid == 0 { ". None validated" } else { "" };
            out.fault(Fault::bare(&format!(
                "{path} must validate all the schemas (allOf){none}",
                path = quote(&path)
            )));
        }
        let not = rules.not.as_deref();
        if not.is_some_and(|not| self.value(not, value, old).valid()) {
            out.fault(Fault::bare(&format!(
                "{path} must not validate the schema (not)",
                path = quote(&path)
            )));
        }
        out.matches += 1;
        out
    }

    /// How many of several schemas a value fits, and the outcome of the first of those or of the closest.
    fn closest(
        &mut self,
        schemas: &[Structural],
        value: &Value,
        old: Option<Old>,
        one_is_enough: bool,
    ) -> (usize, Outcome) {
        let (mut valid, mut best) = (0, None::<Outcome>);
        for schema in schemas {
            let found = self.value(schema, value, old);
            self.spend(found.faults.len() * FAULT);
            if found.valid() {
                if valid == 0 {
                    best = Some(found);
                }
                valid += 1;
                if one_is_enough {
                    break;
                }
            } else if valid == 0 && best.as_ref().is_none_or(|best| found.matches > best.matches) {
                best = Some(found);
            }
        }
        (valid, best.unwrap_or_default())
    }

    fn list(
        &mut self,
        schema: &Structural,
        rules: &Rules,
        list: &[Value],
        old: Option<Old>,
    ) -> Outcome {
        let mut out = Outcome::default();
        if let Some(items) = &schema.items {
            let before = Before::of(old);
            for (index, item) in list.iter().enumerate() {
                let step = format!("[{index}]");
                let old = before.find(item);
                out.merge(self.below(&step, |walk| walk.node(items, item, old)));
            }
        }
        if rules.unique_items {
            self.spend(list.len());
        }
        out.faults.extend(rules::list(&self.path, list, rules));
        out.matches += 1;
        out
    }

    fn object(
        &mut self,
        schema: &Structural,
        rules: &Rules,
        map: &serde_json::Map<String, Value>,
        old: Option<Old>,
    ) -> Outcome {
        let mut out = Outcome::default();
        out.faults.extend(rules::count(&self.path, map.len(), rules));
        let root = self.path.is_empty();
        let before = |name: &str| {
            let old = old.filter(|_| !(root && matches!(name, "kind" | "apiVersion")))?;
            Some(Old { value: old.value.get(name)?, schema: old.schema.property(name)? })
        };
        for (name, value) in map {
            let known = schema.properties.get(name);
            match (known, &schema.additional) {
                (Some(property), _) => {
                    let step = if root { name.clone() } else { format!(".{name}") };
                    let old = before(name);
                    out.merge(self.below(&step, |walk| walk.node(property, value, old)));
                }
                (None, Some(Additional::Allowed(false))) => {
                    let why = format!("{}.{name} in body is a forbidden property", self.path);
                    out.fault(Fault::invalid(&self.path, &Value::from(name.as_str()), &why));
                }
                (None, Some(Additional::Schema(property))) => {
                    let old = before(name);
                    let step = format!(".{name}");
                    out.merge(self.below(&step, |walk| walk.node(property, value, old)));
                }
                (None, _) => {}
            }
        }
        for name in rules.required.iter().filter(|name| !map.contains_key(*name)) {
            out.fault(Fault::of(
                FieldErrorKind::Required,
                &format!("{}.{name}", self.path),
                None,
                "",
            ));
        }
        out
    }

    fn spend(&mut self, fuel: usize) {
        self.fuel = self.fuel.saturating_sub(u32::try_from(fuel).unwrap_or(u32::MAX));
    }

    fn below(&mut self, step: &str, inner: impl FnOnce(&mut Walk) -> Outcome) -> Outcome {
        let length = self.path.len();
        self.path.push_str(step);
        let out = inner(self);
        self.path.truncate(length);
        out
    }
}

/// The elements of an old list that has keys.
struct Before<'a> {
    keys: &'a [String],
    elements: HashMap<String, Old<'a>>,
}

impl<'a> Before<'a> {
    fn of(old: Option<Old<'a>>) -> Before<'a> {
        let mut before = Before { keys: &[], elements: HashMap::new() };
        let Some(old) = old.filter(|old| old.schema.list_type == Some(ListType::Map)) else {
            return before;
        };
        let (Some(list), Some(schema)) = (old.value.as_array(), old.schema.items.as_deref()) else {
            return before;
        };
        before.keys = &old.schema.map_keys;
        for value in list {
            before.elements.entry(before.key(value)).or_insert(Old { value, schema });
        }
        before
    }

    fn key(&self, element: &Value) -> String {
        let keys = self.keys.iter().map(|key| element.get(key).unwrap_or(&Value::Null));
        keys.map(|key| go::json(key) + ",").collect()
    }

    fn find(&self, element: &Value) -> Option<Old<'a>> {
        if self.elements.is_empty() { None } else { self.elements.get(&self.key(element)).copied() }
    }
}
