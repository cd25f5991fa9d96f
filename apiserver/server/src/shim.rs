//! temporary
use leme_meta::Status; use serde_json::Value;
#[derive(Clone, Debug)] pub struct Identity { pub user: String, pub groups: Vec<String> }
impl Identity { pub fn is_authenticated(&self) -> bool { self.user != "system:anonymous" } }
pub static PLAIN: leme_registry::Strategy = leme_registry::Strategy::PLAIN;
pub fn strategy_of(_: &leme_kinds::Kind) -> &'static leme_registry::Strategy { &PLAIN }
pub mod patch { use super::*;
 pub fn json(base: Value, _ops: &Value) -> Result<Value, Status> { Ok(base) }
 pub fn merge(mut base: Value, p: &Value) -> Value { m(&mut base, p); base }
 fn m(b: &mut Value, p: &Value) { match p { Value::Object(o) => { if !b.is_object() { *b = serde_json::json!({}) } for (k, v) in o { if v.is_null() { b.as_object_mut().unwrap().remove(k); } else { m(b.as_object_mut().unwrap().entry(k).or_insert(Value::Null), v) } } } _ => *b = p.clone() } }
 pub fn strategic(base: Value, p: &Value) -> Result<Value, Status> { Ok(merge(base, p)) }
}
