//! The strategic merge patch that brings an object to what a person wrote, keeping what others added: what
//! `kubectl apply` computes from the last applied, the new and the live object.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use crate::schema::{Field, FieldType, PatchStrategy, Schemas, TypeDef};

/// The patch that turns `current` into `modified` plus everything that neither `original` nor `modified` speaks of.
///
/// `original` is what was applied last (null for nothing): what it holds and `modified` does not is removed. An empty
/// object means that nothing needs to change. Source: the three-way merge of `kubectl apply`.
pub fn three_way(
    schemas: &Schemas,
    type_name: &str,
    original: &Value,
    modified: &Value,
    current: &Value,
) -> Value {
    let differ = Differ { schemas };
    Value::Object(differ.object(schemas.get(type_name), original, modified, current))
}

struct Differ<'a> {
    schemas: &'a Schemas,
}

impl Differ<'_> {
    fn object(
        &self,
        type_: Option<&TypeDef>,
        original: &Value,
        modified: &Value,
        current: &Value,
    ) -> Map<String, Value> {
        let mut patch = Map::new();
        let empty = Map::new();
        let (old, new, live) = (
            original.as_object().unwrap_or(&empty),
            modified.as_object().unwrap_or(&empty),
            current.as_object().unwrap_or(&empty),
        );
        for key in old.keys().filter(|key| !new.contains_key(*key) && live.contains_key(*key)) {
            patch.insert(key.clone(), Value::Null);
        }
        for (key, wanted) in new {
            let field = type_.and_then(|type_| type_.field(key));
            let before = old.get(key).unwrap_or(&Value::Null);
            match live.get(key) {
                Some(live) => self.field(&mut patch, key, field, before, wanted, live),
                None if wanted.is_null() => {}
                None => {
                    patch.insert(key.clone(), wanted.clone());
                }
            }
        }
        patch
    }

    fn field(
        &self,
        patch: &mut Map<String, Value>,
        key: &str,
        field: Option<&Field>,
        original: &Value,
        modified: &Value,
        current: &Value,
    ) {
        if modified == current {
            return;
        }
        let strategy = field.map(|field| field.patch).unwrap_or_default();
        let name = match field.map(|field| &field.type_) {
            None | Some(FieldType::Map(_)) => None,
            Some(type_) => type_.element_ref(),
        };
        let type_ = name.and_then(|name| self.schemas.of(name));
        match (modified, current) {
            (Value::Object(_), Value::Object(_)) if !strategy.replace => {
                let mut inner = self.object(type_, original, modified, current);
                if !inner.is_empty() {
                    retain_keys(&mut inner, strategy, modified);
                    patch.insert(key.to_owned(), Value::Object(inner));
                }
            }
            (Value::Array(new), Value::Array(live)) if strategy.merge => {
                let none = Vec::new();
                let old = original.as_array().unwrap_or(&none);
                match field.and_then(|field| field.merge_key.as_deref()) {
                    Some(merge_key) => {
                        let items = self.items(type_, strategy, merge_key, [old, new, live]);
                        if !items.is_empty() {
                            patch.insert(key.to_owned(), Value::Array(items));
                        }
                    }
                    None => primitives(patch, key, [old, new, live]),
                }
            }
            _ => {
                patch.insert(key.to_owned(), modified.clone());
            }
        }
    }

    /// The patch of a list whose elements are told apart by a key.
    fn items(
        &self,
        type_: Option<&TypeDef>,
        strategy: PatchStrategy,
        merge_key: &str,
        [old, new, live]: [&[Value]; 3],
    ) -> Vec<Value> {
        let [olds, news, lives] = [old, new, live].map(|list| by_key(list, merge_key));
        let mut items = Vec::new();
        for wanted in new {
            let key = wanted.get(merge_key);
            let Some(current) = lives.get(&key) else {
                items.push(wanted.clone());
                continue;
            };
            let before = olds.get(&key).copied().unwrap_or(&Value::Null);
            let mut inner = self.object(type_, before, wanted, current);
            if !inner.is_empty() {
                retain_keys(&mut inner, strategy, wanted);
                if let Some(key) = wanted.get(merge_key) {
                    inner.insert(merge_key.to_owned(), key.clone());
                }
                items.push(Value::Object(inner));
            }
        }
        let is_gone = |item: &&Value| {
            let key = item.get(merge_key);
            !news.contains_key(&key) && lives.contains_key(&key)
        };
        for gone in old.iter().filter(is_gone) {
            let key = gone.get(merge_key).cloned().unwrap_or_default();
            let delete =
                [("$patch".to_owned(), Value::from("delete")), (merge_key.to_owned(), key)];
            items.push(Value::Object(delete.into_iter().collect()));
        }
        items
    }
}

/// The elements of a list by the value of a key in them; of several with one value the first.
fn by_key<'a>(list: &'a [Value], key: &str) -> HashMap<Option<&'a Value>, &'a Value> {
    let mut found = HashMap::with_capacity(list.len());
    for item in list {
        found.entry(item.get(key)).or_insert(item);
    }
    found
}

/// Says which fields stay when the server merges: a union's other members must go.
fn retain_keys(patch: &mut Map<String, Value>, strategy: PatchStrategy, modified: &Value) {
    if strategy.retain_keys
        && let Some(modified) = modified.as_object()
    {
        let keys: Vec<Value> = modified.keys().map(|key| Value::from(key.as_str())).collect();
        patch.insert("$retainKeys".to_owned(), Value::Array(keys));
    }
}

/// The patch of a list of plain values that is merged as a set.
fn primitives(patch: &mut Map<String, Value>, key: &str, [old, new, live]: [&[Value]; 3]) {
    let without = |list: &[Value], others: &[Value]| -> Vec<Value> {
        let others: HashSet<&Value> = others.iter().collect();
        list.iter().filter(|value| !others.contains(value)).cloned().collect()
    };
    let added = without(new, live);
    if !added.is_empty() {
        patch.insert(key.to_owned(), Value::Array(added));
    }
    let mut removed = without(old, new);
    let live: HashSet<&Value> = live.iter().collect();
    removed.retain(|value| live.contains(value));
    if !removed.is_empty() {
        patch.insert(format!("$deleteFromPrimitiveList/{key}"), Value::Array(removed));
    }
}
