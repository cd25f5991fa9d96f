//! A template processed: parameters get their values, objects have them filled in.
//!
//! Knows: `${NAME}` for text, `${{NAME}}` for any JSON, labels for every object. Refuses to know: where chance comes
//! from, and what becomes of the objects.

use leme_meta::quote;
use std::collections::HashMap;

use leme_meta::field::enough;
use leme_meta::object::map_mut;
use leme_meta::{FieldError, Path};
use leme_registry::{json, meta};
use serde_json::{Map, Value};

use super::{generate, is_word, legacy};
use crate::check::Errors;

/// Most bytes that parameters may put into one template: a small one could name a long value very often.
const ROOM: usize = 16 << 20;

/// What a template becomes: the same with a value for every parameter and with its objects filled in. `random` gives a
/// number below the one it is given. The errors make a 422.
pub fn process(
    template: &Value,
    random: &mut dyn FnMut(usize) -> usize,
) -> Result<Value, Vec<FieldError>> {
    let refuse = |errors: Errors| if errors.is_empty() { Ok(()) } else { Err(errors) };
    let mut done = template.clone();
    refuse(super::parameters(&done, &Path::default()))?;
    refuse(give_values(&mut done, random))?;
    let mut filling = Filling { values: values(&done), room: ROOM };
    if let Some(Value::String(message)) = done.get_mut("message") {
        filling.text(message);
    }
    if let Some(labels) = done.get_mut("labels").and_then(Value::as_object_mut) {
        *labels = std::mem::take(labels)
            .into_iter()
            .map(|(mut key, mut value)| {
                filling.text(&mut key);
                if let Value::String(text) = &mut value {
                    filling.text(text);
                }
                (key, value)
            })
            .collect();
    }
    let labels = done.get("labels").cloned().unwrap_or_default();
    let mut errors = Vec::new();
    for (index, object) in json::list_mut(&mut done, &["objects"]).iter_mut().enumerate() {
        errors.extend(self::object(object, &labels, &Path::new("item").index(index), &mut filling));
    }
    refuse(errors)?;
    Ok(done)
}

/// Makes up the values that are to be, and misses those that must be given.
fn give_values(template: &mut Value, random: &mut dyn FnMut(usize) -> usize) -> Errors {
    let (mut errors, mut room) = (Vec::new(), generate::MOST);
    for (index, parameter) in json::list_mut(template, &["parameters"]).iter_mut().enumerate() {
        if enough(&errors) {
            break;
        }
        if !json::text(parameter, &["value"]).is_empty() {
            continue;
        }
        let path = Path::new("template").child("parameters").index(index);
        let name = json::text(parameter, &["name"]);
        match json::text(parameter, &["generate"]) {
            "" => {}
            "expression" => {
                match generate::generate(json::text(parameter, &["from"]), &mut room, random) {
                    Ok(value) => json::set(parameter, "value", value),
                    Err(why) => {
                        let shown = meta::Raw(shown(parameter));
                        errors.push(FieldError::invalid(&path, shown, &why));
                        continue;
                    }
                };
            }
            other => {
                let why = format!("Unknown generator name '{other}' for parameter {name}");
                errors.push(FieldError::invalid(&path, other, &why));
                continue;
            }
        }
        let missing = json::text(parameter, &["value"]).is_empty();
        if missing && json::flag(parameter, &["required"]) {
            let name = json::text(parameter, &["name"]);
            let why = format!(
                "template.parameters[{index}]: parameter {name} is required and must be specified"
            );
            errors.push(FieldError::required(&path, &why));
        }
    }
    errors
}

/// A parameter as Go writes it, its fields in their order there.
fn shown(parameter: &Value) -> String {
    let texts = ["name", "displayName", "description", "value", "generate", "from"];
    let mut fields: Vec<String> = texts
        .into_iter()
        .filter(|field| *field == "name" || !json::unset(parameter, field))
        .map(|field| {
            format!(
                "{field}:{}",
                parameter.get(field).unwrap_or(&Value::Null),
                field = quote(&field)
            )
        })
        .collect();
    if json::flag(parameter, &["required"]) {
        fields.push(r#""required":true"#.to_owned());
    }
    format!("{{{}}}", fields.join(","))
}

/// The values of parameters by name; of several with one name the last.
fn values(template: &Value) -> HashMap<String, String> {
    let text = |parameter, field| json::text(parameter, &[field]).to_owned();
    json::list(template, &["parameters"])
        .iter()
        .map(|parameter| (text(parameter, "name"), text(parameter, "value")))
        .collect()
}

fn object(value: &mut Value, labels: &Value, path: &Path, filling: &mut Filling) -> Errors {
    let mut errors = Vec::new();
    if json::text(value, &["kind"]).is_empty() {
        let why = format!("unable to handle object: Object 'Kind' is missing in '{value}'");
        errors.push(FieldError::invalid(&path.child("objects"), &*value, &why));
        return errors;
    }
    strip_namespace(value);
    filling.fill(value);
    if filling.room == 0 {
        errors.push(FieldError::too_long(&path.child("parameters"), ROOM));
        return errors;
    }
    if let Some(group) = legacy::group(json::text(value, &["kind"])) {
        let version = json::text(value, &["apiVersion"]);
        if !version.contains('/') {
            let version = format!("{group}/{version}");
            json::set(value, "apiVersion", version);
        }
    }
    let Some(labels) = labels.as_object().filter(|labels| !labels.is_empty()) else {
        return errors;
    };
    if value.get("items").is_some_and(Value::is_array) {
        let why = "label could not be applied: object does not implement the Object interfaces";
        let labels = Value::Object(labels.clone());
        errors.push(FieldError::invalid(&path.child("labels"), &labels, why));
        return errors;
    }
    let own = map_mut(json::child(json::child(value, "metadata"), "labels"));
    if !own.values().all(Value::is_string) {
        own.clear();
    }
    own.extend(labels.clone());
    errors
}

/// An object goes to the namespace that it is made in, unless a parameter names another.
fn strip_namespace(object: &mut Value) {
    let place = match object.get_mut("metadata") {
        Some(metadata) => metadata.as_object_mut(),
        None => object.as_object_mut(),
    };
    let Some(place) = place else { return };
    let stays = match place.get("namespace") {
        Some(Value::String(namespace)) => references(namespace).next().is_some(),
        Some(_) => false,
        None => true,
    };
    if !stays {
        place.remove("namespace");
    }
}

/// The places and names of `${NAME}` anywhere in a text.
fn references(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.match_indices("${").filter_map(move |(at, _)| {
        let rest = &text[at + 2..];
        let length = rest.bytes().take_while(|byte| is_word(*byte)).count();
        (length > 0 && rest[length..].starts_with('}')).then(|| (at, &rest[..length]))
    })
}

/// Puts values in their places, and stops when that grows beyond bounds.
struct Filling {
    values: HashMap<String, String>,
    room: usize,
}

impl Filling {
    fn take(&mut self, size: usize) {
        self.room = self.room.saturating_sub(size);
    }

    /// Fills a text that stays one.
    fn text(&mut self, text: &mut String) {
        if let Some(value) = self.whole(text) {
            *text = value.to_owned();
        } else {
            self.parts(text);
        }
        self.take(text.len());
    }

    /// The value that a text stands for which is `${{NAME}}` as a whole.
    fn whole(&self, text: &str) -> Option<&str> {
        let name = text.strip_prefix("${{")?.strip_suffix("}}")?;
        self.values.get(name).map(String::as_str)
    }

    /// Fills the references inside a text, from left to right; what a value itself refers to is left alone.
    fn parts(&mut self, text: &mut String) {
        let (mut filled, mut done) = (String::new(), 0);
        for (at, name) in references(text) {
            let Some(value) = self.values.get(name).filter(|_| self.room > 0) else { continue };
            self.room = self.room.saturating_sub(value.len());
            filled.push_str(&text[done..at]);
            filled.push_str(value);
            done = at + name.len() + "${}".len();
        }
        if done > 0 {
            filled.push_str(&text[done..]);
            *text = filled;
        }
    }

    /// Fills every text inside a value, keys of maps included.
    fn fill(&mut self, value: &mut Value) {
        match value {
            _ if self.room == 0 => {}
            Value::String(text) => match self.whole(text) {
                Some(raw) => {
                    let size = raw.len();
                    // What is no JSON is text.
                    *value = serde_json::from_str(raw).unwrap_or_else(|_| raw.into());
                    self.take(size);
                }
                None => self.parts(text),
            },
            Value::Array(list) => list.iter_mut().for_each(|element| self.fill(element)),
            Value::Object(map) => *map = self.filled(std::mem::take(map)),
            _ => {}
        }
    }

    /// A field that becomes null is not there.
    fn filled(&mut self, map: Map<String, Value>) -> Map<String, Value> {
        let mut filled = Map::new();
        for (mut key, mut value) in map {
            if key.contains("${") {
                self.text(&mut key);
            }
            let was_text = value.is_string();
            self.fill(&mut value);
            if !(was_text && value.is_null()) {
                filled.insert(key, value);
            }
        }
        filled
    }
}
