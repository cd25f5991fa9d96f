//! JSON patch (RFC 6902), with what upstream's library adds: negative indexes, and bounds on operations and copies.

use serde_json::Value;

use crate::decode;
use crate::status::Status;

/// Most operations of one patch.
const MAX_OPERATIONS: usize = 10_000;
/// Most bytes that the `copy` operations of one patch may add up to.
const MAX_COPIED: usize = 3 * 1024 * 1024;

/// Most elements that the patch may push aside as it adds to and removes from the middle of lists.
const MAX_SHIFTED: usize = 100_000_000;

/// Deepest document that a patch may make: as deep as one that is read. Whatever handles it later recurses.
const MAX_DEPTH: usize = 127;

/// Most values that a patch may put in place, counted with all that is in them.
const MAX_PLACED: usize = 10_000_000;

/// What a patch has cost so far.
#[derive(Default)]
struct Cost {
    copied: usize,
    shifted: usize,
    placed: usize,
}

impl Cost {
    fn copy(&mut self, bytes: usize) -> Result<(), String> {
        self.copied += bytes;
        if self.copied > MAX_COPIED {
            return Err(format!("copies of more than {MAX_COPIED} bytes"));
        }
        Ok(())
    }

    fn shift(&mut self, elements: usize) -> Result<(), String> {
        self.shifted += elements;
        if self.shifted > MAX_SHIFTED { Err("too much to push aside".to_owned()) } else { Ok(()) }
    }

    /// Counts a value that is put in place `above` levels below the top.
    fn place(&mut self, above: usize, value: &Value) -> Result<(), String> {
        let room = MAX_DEPTH.saturating_sub(above);
        self.placed += size(value, room).ok_or("exceeded max depth")?;
        if self.placed > MAX_PLACED { Err("too much to put in place".to_owned()) } else { Ok(()) }
    }
}

/// Applies a patch, all of it or nothing.
pub fn json(current: &Value, operations: &[u8]) -> Result<Value, Status> {
    let operations = parse(operations)?;
    let mut document = current.clone();
    let mut cost = Cost::default();
    for operation in &operations {
        apply(&mut document, operation, &mut cost).map_err(unprocessable)?;
    }
    Ok(document)
}

/// The fields of an operation that are text.
const TEXTS: [&str; 3] = ["op", "path", "from"];

/// What strict decoding finds odd about a patch; the error is that of the decoder.
pub fn oddities(operations: &[u8]) -> Result<Vec<String>, String> {
    let document = decode::document(operations)?;
    let cannot = |value: &Value, what: &str| {
        format!("json: cannot unmarshal {} into Go {what}", decode::go_name(value))
    };
    let list = match &document.value {
        Value::Null => return Ok(Vec::new()),
        Value::Array(list) => list,
        other => return Err(cannot(other, "value of type []handlers.jsonPatchOp")),
    };
    let mut odd = Vec::new();
    for (index, operation) in list.iter().enumerate().filter(|(_, item)| !item.is_null()) {
        let Value::Object(fields) = operation else {
            return Err(cannot(operation, "value of type handlers.jsonPatchOp"));
        };
        for (name, value) in fields {
            if !TEXTS.contains(&name.as_str()) {
                if name != "value" {
                    odd.push(format!("json patch unknown field \"[{index}].{name}\""));
                }
            } else if !value.is_string() && !value.is_null() {
                let field = format!("struct field jsonPatchOp.{name} of type string");
                return Err(cannot(value, &field));
            }
        }
    }
    odd.extend(document.duplicates.iter().map(|text| format!("json patch {text}")));
    Ok(odd)
}

struct Operation {
    name: String,
    path: Pointer,
    from: Option<Pointer>,
    value: Option<Value>,
}

/// The keys on the way to a value, unescaped.
type Pointer = Vec<String>;

fn parse(operations: &[u8]) -> Result<Vec<Operation>, Status> {
    let document = decode::document(operations).map_err(Status::bad_request)?.value;
    if document.is_null() {
        return Ok(Vec::new());
    }
    let Value::Array(list) = document else {
        return Err(Status::bad_request(format!(
            "json: cannot unmarshal {} into Go value of type jsonpatch.Patch",
            decode::go_name(&document)
        )));
    };
    if list.len() > MAX_OPERATIONS {
        return Err(Status::too_large(format!(
            "Request entity too large: The allowed maximum operations in a JSON patch is \
             {MAX_OPERATIONS}, got {}",
            list.len()
        )));
    }
    if let Some(other) = list.iter().find(|operation| !operation.is_object()) {
        return Err(Status::bad_request(format!(
            "json: cannot unmarshal {} into Go value of type jsonpatch.Operation",
            decode::go_name(other)
        )));
    }
    list.into_iter().map(operation).collect::<Result<_, String>>().map_err(unprocessable)
}

fn operation(mut operation: Value) -> Result<Operation, String> {
    let text = |field: &str| operation.get(field).and_then(Value::as_str).map(str::to_owned);
    let name = text("op").ok_or("an operation with no op")?;
    let path = pointer(&text("path").ok_or("an operation with no path")?)?;
    let from = text("from").map(|from| pointer(&from)).transpose()?;
    let value = operation.as_object_mut().and_then(|fields| fields.remove("value"));
    Ok(Operation { name, path, from, value })
}

fn pointer(text: &str) -> Result<Pointer, String> {
    match text.strip_prefix('/') {
        Some(rest) => {
            Ok(rest.split('/').map(|key| key.replace("~1", "/").replace("~0", "~")).collect())
        }
        None if text.is_empty() => Ok(Vec::new()),
        None => Err(format!("a path must begin with a slash: {text}")),
    }
}

/// 422, in the words that upstream has for every patch that cannot be applied.
fn unprocessable(_cause: String) -> Status {
    super::rejected()
}

fn apply(document: &mut Value, operation: &Operation, cost: &mut Cost) -> Result<(), String> {
    let value = || operation.value.clone().ok_or_else(|| "an operation with no value".to_owned());
    let from = || operation.from.as_ref().ok_or_else(|| "an operation with no from".to_owned());
    let path = &operation.path;
    match operation.name.as_str() {
        "add" => add(document, path, value()?, cost),
        "remove" => remove(document, path, cost).map(drop),
        "replace" => {
            let value = value()?;
            cost.place(path.len(), &value)?;
            *find_mut(document, path).ok_or_else(|| missing(path))? = value;
            Ok(())
        }
        "move" => {
            let from = from()?;
            if path.len() > from.len() && path.starts_with(from) {
                return Err("a value cannot move into itself".to_owned());
            }
            let value = remove(document, from, cost)?;
            add(document, path, value, cost)
        }
        "copy" => {
            let from = from()?;
            let value = find(document, from).ok_or_else(|| missing(from))?.clone();
            cost.copy(value.to_string().len())?;
            add(document, path, value, cost)
        }
        "test" => {
            let found = find(document, path).unwrap_or(&Value::Null);
            let wanted = operation.value.as_ref().unwrap_or(&Value::Null);
            if same(found, wanted) { Ok(()) } else { Err(format!("{path:?} is not as wanted")) }
        }
        other => Err(format!("no operation {other}")),
    }
}

/// How many values a value is; `None` if there are more than `room` levels of lists and objects.
fn size(value: &Value, room: usize) -> Option<usize> {
    let below = |value: &Value| size(value, room.checked_sub(1)?);
    match value {
        Value::Array(_) | Value::Object(_) if room == 0 => None,
        Value::Array(items) => items.iter().try_fold(1, |sum, item| Some(sum + below(item)?)),
        Value::Object(map) => map.values().try_fold(1, |sum, item| Some(sum + below(item)?)),
        _ => Some(1),
    }
}

/// Equality of JSON: `1` and `1.0` are the same number.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || one.as_f64().is_some_and(|one| Some(one) == other.as_f64())
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, value)| other.get(key).is_some_and(|it| same(value, it)))
        }
        _ => one == other,
    }
}

fn missing(path: &Pointer) -> String {
    format!("nothing at {path:?}")
}

/// The place of an index in a list of a length; negative ones count from the end.
fn index(key: &str, length: usize) -> Option<usize> {
    let plain = key.strip_prefix('-').unwrap_or(key);
    if plain.is_empty() || !plain.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: usize = plain.parse().ok()?;
    if key.starts_with('-') { length.checked_sub(number) } else { Some(number) }
}

fn find<'a>(document: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(document, |value, key| match value {
        Value::Object(map) => map.get(key),
        Value::Array(items) => items.get(index(key, items.len())?),
        _ => None,
    })
}

fn find_mut<'a>(document: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    path.iter().try_fold(document, |value, key| match value {
        Value::Object(map) => map.get_mut(key),
        Value::Array(items) => {
            let at = index(key, items.len())?;
            items.get_mut(at)
        }
        _ => None,
    })
}

fn add(document: &mut Value, path: &Pointer, value: Value, cost: &mut Cost) -> Result<(), String> {
    cost.place(path.len(), &value)?;
    let Some((last, parents)) = path.split_last() else {
        *document = value;
        return Ok(());
    };
    match find_mut(document, parents) {
        Some(Value::Object(map)) => {
            map.insert(last.clone(), value);
            Ok(())
        }
        Some(Value::Array(items)) => {
            let end = items.len();
            // Counted from the end, -1 is behind the last element.
            let at = match last.as_str() {
                "-" => Some(end),
                negative if negative.starts_with('-') => index(negative, end + 1),
                key => index(key, end),
            };
            let at = at.filter(|at| *at <= end).ok_or_else(|| missing(path))?;
            cost.shift(end - at)?;
            items.insert(at, value);
            Ok(())
        }
        _ => Err(missing(path)),
    }
}

fn remove(document: &mut Value, path: &Pointer, cost: &mut Cost) -> Result<Value, String> {
    let Some((last, parents)) = path.split_last() else {
        return Ok(document.take());
    };
    match find_mut(document, parents) {
        Some(Value::Object(map)) => map.remove(last).ok_or_else(|| missing(path)),
        Some(Value::Array(items)) => {
            let at = index(last, items.len()).filter(|at| *at < items.len());
            let at = at.ok_or_else(|| missing(path))?;
            cost.shift(items.len() - at)?;
            Ok(items.remove(at))
        }
        _ => Err(missing(path)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::tests::document;
    use super::*;

    fn patched(current: Value, operations: Value) -> Result<Value, u16> {
        super::json(&current, operations.to_string().as_bytes()).map_err(|status| status.code)
    }

    #[test]
    fn every_operation_works() {
        for (current, operations, want) in [
            (json!({}), json!([{"op": "add", "path": "/a", "value": 1}]), json!({"a": 1})),
            (json!([1]), json!([{"op": "add", "path": "/-", "value": 2}]), json!([1, 2])),
            (json!([1]), json!([{"op": "add", "path": "/0", "value": 2}]), json!([2, 1])),
            (json!([1, 2]), json!([{"op": "remove", "path": "/-1"}]), json!([1])),
            (json!({"a/b~": 1}), json!([{"op": "remove", "path": "/a~1b~0"}]), json!({})),
            (
                json!({"a": 1}),
                json!([{"op": "replace", "path": "/a", "value": null}]),
                json!({"a": null}),
            ),
            (json!({"a": 1}), json!([{"op": "move", "from": "/a", "path": "/b"}]), json!({"b": 1})),
            (
                json!({"a": 1}),
                json!([{"op": "copy", "from": "/a", "path": "/b"}]),
                json!({"a": 1, "b": 1}),
            ),
            (json!({"a": 1}), json!([{"op": "test", "path": "/a", "value": 1.0}]), json!({"a": 1})),
            (
                json!({"a": 1}),
                json!([{"op": "test", "path": "/b", "value": null}]),
                json!({"a": 1}),
            ),
            (json!({"a": 1}), json!([{"op": "add", "path": "", "value": 2}]), json!(2)),
        ] {
            assert_eq!(patched(current, operations.clone()), Ok(want), "{operations}");
        }
    }

    #[test]
    fn what_cannot_be_done_is_422() {
        for operations in [
            json!([{"op": "remove", "path": "/b"}]),
            json!([{"op": "replace", "path": "/b", "value": 1}]),
            json!([{"op": "add", "path": "/b/c", "value": 1}]),
            json!([{"op": "add", "path": "/l/5", "value": 1}]),
            json!([{"op": "test", "path": "/a", "value": 2}]),
            json!([{"op": "move", "from": "/o", "path": "/o/p"}]),
            json!([{"op": "copy", "from": "/x", "path": "/y"}]),
            json!([{"op": "add", "path": "/a"}]),
            json!([{"op": "add", "path": "a", "value": 1}]),
            json!([{"op": "jump", "path": "/a"}]),
            json!([{"path": "/a"}]),
        ] {
            let current = json!({"a": 1, "l": [1], "o": {}});
            assert_eq!(patched(current, operations.clone()), Err(422), "{operations}");
        }
        let error = super::json(&json!({}), br#"[{"op":"remove","path":"/a"}]"#);
        assert_eq!(
            error.expect_err("nothing there").message,
            "the server rejected our request due to an error in our request"
        );
    }

    #[test]
    fn what_is_no_patch_is_400_and_too_much_is_413() {
        assert_eq!(patched(json!({}), json!({})), Err(400));
        assert_eq!(patched(json!({}), json!(["add"])), Err(400));
        let error = super::json(&json!({}), b"[").expect_err("half a patch");
        assert_eq!((error.code, error.message.as_str()), (400, "unexpected end of JSON input"));
        let many = vec![json!({"op": "test", "path": "", "value": {}}); MAX_OPERATIONS + 1];
        assert_eq!(patched(json!({}), json!(many)), Err(413));
    }

    #[test]
    fn copies_are_bounded() {
        let double = json!({"op": "copy", "from": "/a", "path": "/a/-"});
        assert_eq!(patched(json!({"a": ["x"]}), json!(vec![double; 100])), Err(422));
    }

    #[test]
    fn shifting_is_bounded() {
        let current = json!({"l": vec![0; 300_000]});
        let front = json!({"op": "add", "path": "/l/0", "value": 1});
        assert_eq!(patched(current, json!(vec![front; 400])), Err(422));
    }

    /// Red without the bound: the stack of whoever drops or writes the document overflows.
    #[test]
    fn depth_is_bounded_whatever_the_steps() {
        let deepen = (0..18).map(|step| {
            let path = "/a".repeat(1 << step);
            json!({"op": "copy", "from": "", "path": path})
        });
        assert_eq!(patched(json!({"a": {}}), deepen.collect()).map(drop), Err(422));
        let chain = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!({"a": inner}));
        let deep = json!({"a": {"a": {"a": {}}}});
        let put = |op: &str, path: &str, levels: usize| {
            patched(deep.clone(), json!([{"op": op, "path": path, "value": chain(levels)}]))
        };
        assert!(put("add", "/a/a/a/b", MAX_DEPTH - 4).is_ok());
        assert_eq!(put("add", "/a/a/a/b", MAX_DEPTH - 3), Err(422));
        assert!(put("replace", "/a/a/a", MAX_DEPTH - 3).is_ok());
        assert_eq!(put("replace", "/a/a/a", MAX_DEPTH - 2), Err(422));
    }

    /// Red without the bound: it moves ten thousand times three hundred thousand values.
    #[test]
    fn moving_is_bounded() {
        let current = json!({"a": vec![0; 300_000]});
        let there = json!({"op": "move", "from": "/a", "path": "/b"});
        let back = json!({"op": "move", "from": "/b", "path": "/a"});
        assert!(patched(current.clone(), json!([there, back])).is_ok_and(|done| done == current));
        let many: Vec<Value> = [there, back].into_iter().cycle().take(MAX_OPERATIONS).collect();
        assert_eq!(patched(current, json!(many)).map(drop), Err(422));
    }

    proptest! {
        #[test]
        fn nothing_panics(
            current in document(),
            steps in prop::collection::vec(
                ("add|remove|replace|move|copy|test", "(/[a-c0-2-]){0,3}", "(/[a-c0-2-]){0,3}", document()),
                0..6,
            ),
        ) {
            let steps: Vec<Value> = steps.into_iter()
                .map(|(op, path, from, value)| json!({"op": op, "path": path, "from": from, "value": value}))
                .collect();
            let _ = patched(current, json!(steps));
        }

        #[test]
        fn replacing_the_whole_gives_the_whole(current in document(), next in document()) {
            let operations = json!([{"op": "replace", "path": "", "value": next.clone()}]);
            prop_assert_eq!(patched(current, operations), Ok(next));
        }
    }
}
