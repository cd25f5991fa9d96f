//! `metadata.managedFields`: the list of who owns what.
//!
//! Knows: what an entry is, which entries are one manager's, their order, how many there may be. Refuses to know:
//! objects and schemas.

use crate::quote;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::kept;
use super::set::FieldSet;
use super::text;
use crate::time;

/// How many entries there are for updates; older ones are put together.
pub const MAX_UPDATE_MANAGERS: usize = 10;

/// The manager that older updates are put together under.
const ANCIENT: &str = "ancient-changes";

/// How a manager owns its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// By server-side apply.
    Apply,
    /// By any other write.
    Update,
}

impl Operation {
    fn of(text: &str) -> Option<Operation> {
        match text {
            "Apply" => Some(Operation::Apply),
            "Update" => Some(Operation::Update),
            _ => None,
        }
    }

    /// The word for it in an entry.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        }
    }
}

/// What tells the entries of one list apart. Those that apply are the same in all versions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Manager {
    /// Its name.
    pub name: String,
    /// How it owns.
    pub operation: Operation,
    /// The version that its fields are of; empty for one that applies.
    pub api_version: String,
    /// The subresource that it wrote.
    pub subresource: String,
}

impl Manager {
    /// The text that upstream sorts managers by.
    pub(super) fn identifier(&self) -> String {
        let mut text = String::from("{");
        let parts = [
            ("manager", self.name.as_str()),
            ("operation", self.operation.as_str()),
            ("apiVersion", &self.api_version),
            ("subresource", &self.subresource),
        ];
        for (name, value) in parts.iter().filter(|(_, value)| !value.is_empty()) {
            if text.len() > 1 {
                text.push(',');
            }
            crate::go::json_text(name, &mut text);
            text.push(':');
            crate::go::json_text(value, &mut text);
        }
        text.push('}');
        text
    }
}

/// One entry of the list, as it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Whose it is.
    pub manager: Manager,
    /// The version that its fields are of.
    pub api_version: String,
    /// When it last changed something.
    pub time: Option<String>,
    /// FieldsV1, as text.
    pub fields: String,
}

/// Takes a text out of an entry; what is no text is none.
fn take(entry: &mut Map<String, Value>, field: &str) -> String {
    match entry.remove(field) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    }
}

impl Entry {
    fn read(index: usize, entry: Value) -> Result<Entry, String> {
        let Value::Object(mut entry) = entry else {
            return Err(format!("managed fields entry {index} is no object"));
        };
        let operation = Operation::of(&take(&mut entry, "operation"))
            .ok_or_else(|| "operation must be `Apply` or `Update`".to_owned())?;
        let api_version = take(&mut entry, "apiVersion");
        if api_version.is_empty() {
            return Err("apiVersion must not be empty".to_owned());
        }
        match take(&mut entry, "fieldsType").as_str() {
            "FieldsV1" => {}
            "" => return Err(format!("missing fieldsType in managed fields entry {index}")),
            other => {
                let other = quote(other);
                return Err(format!("invalid fieldsType {other} in managed fields entry {index}"));
            }
        }
        let time = take(&mut entry, "time");
        Ok(Entry {
            manager: Manager {
                name: take(&mut entry, "manager"),
                operation,
                api_version: match operation {
                    Operation::Apply => String::new(),
                    Operation::Update => api_version.clone(),
                },
                subresource: take(&mut entry, "subresource"),
            },
            api_version,
            time: (!time.is_empty()).then_some(time),
            fields: match entry.remove("fieldsV1") {
                Some(Value::String(text)) => text,
                Some(Value::Null) | None => text::NOTHING.to_owned(),
                Some(document) => kept::of_document(&document),
            },
        })
    }

    fn write(self) -> Value {
        let mut entry = Map::new();
        let mut put = |field: &str, value: String| {
            if !value.is_empty() {
                entry.insert(field.to_owned(), Value::String(value));
            }
        };
        put("manager", self.manager.name);
        put("operation", self.manager.operation.as_str().to_owned());
        put("apiVersion", self.api_version);
        put("time", self.time.unwrap_or_default());
        put("fieldsType", "FieldsV1".to_owned());
        put("subresource", self.manager.subresource);
        entry.insert("fieldsV1".to_owned(), Value::String(self.fields));
        Value::Object(entry)
    }

    /// The set of its fields.
    pub(super) fn set(&self) -> Result<FieldSet<'_>, String> {
        FieldSet::parse(&self.fields).map_err(|why| format!("error decoding set: {why}"))
    }

    fn seconds(&self) -> i64 {
        self.time.as_deref().and_then(time::parse).map_or(0, Timestamp::as_second)
    }
}

/// The list of an object; no two entries are one manager's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entries(pub(super) Vec<Entry>);

impl Entries {
    /// Reads a list as it is stored: written by this module.
    pub fn stored(list: Value) -> Result<Entries, String> {
        let Value::Array(list) = list else { return Ok(Entries::default()) };
        let mut entries = Entries(Vec::with_capacity(list.len() + 1));
        for (index, entry) in list.into_iter().enumerate() {
            entries.put(Entry::read(index, entry)?);
        }
        Ok(entries)
    }

    /// Reads a list that a client wrote, and writes its sets anew.
    pub fn foreign(list: Value) -> Result<Entries, String> {
        let mut entries = Entries::stored(list)?;
        for entry in &mut entries.0 {
            let fields = entry.set()?.to_json();
            entry.fields = fields;
        }
        Ok(entries)
    }

    /// The list, sorted; none if there is no entry.
    pub fn write(self) -> Option<Value> {
        if self.0.is_empty() {
            return None;
        }
        let mut timed: Vec<(i64, Entry)> = match self.0.len() {
            1 => self.0.into_iter().map(|entry| (0, entry)).collect(),
            _ => self.0.into_iter().map(|entry| (entry.seconds(), entry)).collect(),
        };
        timed.sort_by(|(seconds, one), (other_seconds, other)| {
            let (manager, other_manager) = (&one.manager, &other.manager);
            manager
                .operation
                .cmp(&other_manager.operation)
                .then_with(|| seconds.cmp(other_seconds))
                .then_with(|| manager.name.cmp(&other_manager.name))
                .then_with(|| one.api_version.cmp(&other.api_version))
                .then_with(|| manager.subresource.cmp(&other_manager.subresource))
        });
        Some(Value::Array(timed.into_iter().map(|(_, entry)| entry.write()).collect()))
    }

    /// The entry of a manager.
    pub(super) fn get(&self, manager: &Manager) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.manager == *manager)
    }

    /// Adds an entry, or puts it in the place of the one its manager has.
    pub(super) fn put(&mut self, entry: Entry) {
        match self.0.iter_mut().find(|there| there.manager == entry.manager) {
            Some(there) => *there = entry,
            None => self.0.push(entry),
        }
    }

    pub(super) fn remove(&mut self, manager: &Manager) {
        self.0.retain(|entry| entry.manager != *manager);
    }

    /// Drops the entries that own nothing.
    pub(super) fn drop_empty(&mut self) {
        self.0.retain(|entry| entry.fields != text::NOTHING);
    }

    /// Puts the oldest updates together until there are no more than may be.
    pub(super) fn cap(&mut self) {
        let is_update = |entry: &&Entry| entry.manager.operation == Operation::Update;
        let mut length = self.0.iter().filter(is_update).count();
        if length <= MAX_UPDATE_MANAGERS {
            return;
        }
        let mut updaters: Vec<(i64, String, Manager)> = self
            .0
            .iter()
            .filter(is_update)
            .map(|entry| (entry.seconds(), entry.manager.identifier(), entry.manager.clone()))
            .collect();
        updaters.sort();
        let mut first_of: BTreeMap<String, Manager> = BTreeMap::new();
        for (_, _, manager) in updaters {
            if length <= MAX_UPDATE_MANAGERS {
                return;
            }
            let Some(entry) = self.get(&manager).cloned() else { continue };
            let version = entry.api_version.clone();
            let Some(first) = first_of.get(&version).cloned() else {
                first_of.insert(version, manager);
                continue;
            };
            let bucket = Manager {
                name: ANCIENT.to_owned(),
                operation: Operation::Update,
                api_version: version.clone(),
                subresource: String::new(),
            };
            // The first of a version becomes the bucket, unless there is one already.
            let there = self.get(&bucket).or_else(|| self.get(&first)).cloned();
            if manager == bucket {
                continue;
            }
            let fields = match &there {
                Some(there) => union(&there.fields, &entry.fields),
                None => entry.fields,
            };
            self.remove(&manager);
            if self.get(&bucket).is_none() {
                self.remove(&first);
            }
            self.put(Entry { manager: bucket, api_version: version, time: entry.time, fields });
            length -= 1;
        }
    }
}

fn union(one: &str, other: &str) -> String {
    match (FieldSet::parse(one), FieldSet::parse(other)) {
        (Ok(one), Ok(other)) => one.union(&other).to_json(),
        _ => one.to_owned(),
    }
}

/// Whether a list that came with a request takes all ownership away: it is there and says nothing.
pub fn is_reset(list: &Value) -> bool {
    let unset = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        _ => false,
    };
    match list.as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([Value::Object(entry)]) => entry.values().all(unset),
        _ => false,
    }
}
