//! Types of expressions, and what a schema says of the type of an object.
//!
//! Refuses to know: what can be done with values of a type.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::names::escaped;

#[derive(Clone, Debug)]
pub(crate) enum Type {
    /// Anything, told only when it is there.
    Dyn,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    Duration,
    Timestamp,
    List(Arc<Type>, Arc<Order>),
    Map(Arc<Type>, Arc<Type>),
    Object(Arc<Object>),
    Optional(Arc<Type>),
    Named(Arc<Type>),
    Quantity,
    Ip,
    Cidr,
    Url,
    Semver,
    Format,
}

/// What tells elements of a list apart.
#[derive(Debug, Default, PartialEq)]
pub(crate) enum Order {
    #[default]
    Places,
    Set,
    Keys(Vec<String>),
}

/// The fields of an object that rules can see, by the names that rules have for them.
#[derive(Debug, Default)]
pub(crate) struct Object {
    pub fields: BTreeMap<String, Field>,
}

#[derive(Debug)]
pub(crate) struct Field {
    /// Its name in the object, where that is another.
    pub name: Option<String>,
    pub type_: Type,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Type::List(of, _) => return write!(f, "list({of})"),
            Type::Map(key, value) => return write!(f, "map({key}, {value})"),
            Type::Optional(of) => return write!(f, "optional_type({of})"),
            Type::Named(of) => return write!(f, "type({of})"),
            Type::Dyn => "dyn",
            Type::Null => "null",
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Uint => "uint",
            Type::Double => "double",
            Type::Text => "string",
            Type::Bytes => "bytes",
            Type::Duration => "duration",
            Type::Timestamp => "timestamp",
            Type::Object(_) => "object",
            Type::Quantity => "kubernetes.Quantity",
            Type::Ip => "net.IP",
            Type::Cidr => "net.CIDR",
            Type::Url => "kubernetes.URL",
            Type::Semver => "kubernetes.Semver",
            Type::Format => "kubernetes.NamedFormat",
        };
        f.write_str(name)
    }
}

impl Type {
    pub fn list(of: Type) -> Type {
        Type::List(Arc::new(of), Arc::default())
    }

    /// Whether it and all its parts are the same; what tells elements apart does not count.
    pub fn same(&self, other: &Type) -> bool {
        match (self, other) {
            (Type::List(a, _), Type::List(b, _))
            | (Type::Optional(a), Type::Optional(b))
            | (Type::Named(a), Type::Named(b)) => a.same(b),
            (Type::Map(k, v), Type::Map(l, w)) => k.same(l) && v.same(w),
            (Type::Object(a), Type::Object(b)) => Arc::ptr_eq(a, b),
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }

    /// Whether a value of another type can stand where one of this type is wanted.
    pub fn takes(&self, other: &Type) -> bool {
        match (self, other) {
            (Type::Dyn, _) | (_, Type::Dyn) => true,
            (Type::List(a, _), Type::List(b, _))
            | (Type::Optional(a), Type::Optional(b))
            | (Type::Named(a), Type::Named(b)) => a.takes(b),
            (Type::Map(k, v), Type::Map(l, w)) => k.takes(l) && v.takes(w),
            (wanted, Type::Null) => wanted.nullable() || matches!(wanted, Type::Null),
            _ => self.same(other),
        }
    }

    /// Whether null can stand for it.
    fn nullable(&self) -> bool {
        matches!(
            self,
            Type::Object(_)
                | Type::Duration
                | Type::Timestamp
                | Type::Optional(_)
                | Type::Quantity
                | Type::Ip
                | Type::Cidr
                | Type::Url
                | Type::Semver
                | Type::Format
        )
    }

    /// What can stand for both, if the checker finds something.
    pub fn join(self, other: &Type) -> Option<Type> {
        match (&self, other) {
            (Type::Dyn, _) | (_, Type::Dyn) => Some(Type::Dyn),
            (Type::Null, wanted) if wanted.nullable() => Some(other.clone()),
            _ if self.takes(other) => Some(self),
            _ => None,
        }
    }

    /// The type of what a schema describes; none if rules cannot see it. `root` is whether it is an object of the API.
    pub fn of(schema: &Json, root: bool) -> Option<Type> {
        let text = |name: &str| schema.get(name).and_then(Json::as_str).unwrap_or("");
        let flag = |name: &str| schema.get(name) == Some(&Json::Bool(true));
        if flag("x-kubernetes-int-or-string") {
            return Some(Type::Dyn);
        }
        Some(match text("type") {
            "boolean" => Type::Bool,
            "integer" => Type::Int,
            "number" => Type::Double,
            "string" => match text("format") {
                "byte" => Type::Bytes,
                "duration" => Type::Duration,
                "date" | "date-time" => Type::Timestamp,
                _ => Type::Text,
            },
            "array" => {
                Type::List(Arc::new(Type::below(schema.get("items")?)?), Arc::new(order(schema)))
            }
            "object" => {
                match schema.get("additionalProperties").filter(|value| value.is_object()) {
                    Some(values) => Type::Map(Arc::new(Type::Text), Arc::new(Type::below(values)?)),
                    None => Type::Object(Arc::new(object(schema, root))),
                }
            }
            _ => return None,
        })
    }

    fn below(schema: &Json) -> Option<Type> {
        Type::of(schema, schema.get("x-kubernetes-embedded-resource") == Some(&Json::Bool(true)))
    }
}

fn order(schema: &Json) -> Order {
    let list = schema.get("x-kubernetes-list-type").and_then(Json::as_str);
    let keys = schema.get("x-kubernetes-list-map-keys").and_then(Json::as_array);
    match list {
        Some("set") => Order::Set,
        Some("map") => {
            let keys = keys.into_iter().flatten().filter_map(Json::as_str);
            Order::Keys(keys.map(str::to_owned).collect())
        }
        _ => Order::Places,
    }
}

fn object(schema: &Json, root: bool) -> Object {
    let mut object = Object::default();
    let stated = schema.get("properties").and_then(Json::as_object);
    for (name, property) in stated.into_iter().flatten() {
        let (Some(seen), Some(type_)) = (escaped(name), Type::below(property)) else { continue };
        let name = (seen != *name).then(|| name.clone());
        object.fields.insert(seen, Field { name, type_ });
    }
    if root {
        let plain = |type_| Field { name: None, type_ };
        let names = ["name", "generateName"].map(|name| (name.to_owned(), plain(Type::Text)));
        let metadata = Object { fields: names.into_iter().collect() };
        for name in ["kind", "apiVersion"] {
            object.fields.insert(name.to_owned(), plain(Type::Text));
        }
        object.fields.insert("metadata".to_owned(), plain(Type::Object(Arc::new(metadata))));
    }
    object
}
