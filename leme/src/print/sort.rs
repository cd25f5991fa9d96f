//! `--sort-by`: the order of a field's values.
//!
//! Knows: numbers, quantities, and numbers within texts. Refuses to know: which field it is.

use std::cmp::Ordering;

use anyhow::{Result, ensure};
use leme_meta::jsonpath::Template;
use leme_meta::quantity::Quantity;
use serde_json::Value;

use super::path;

/// The order of a field.
#[derive(Debug)]
pub struct Order {
    text: String,
    path: Template,
}

impl Order {
    /// Reads the path of a field.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Order> {
        Ok(Order { text: text.to_owned(), path: path(text)? })
    }

    /// Sorts what is shown by the objects that it is of; those without the field come first.
    ///
    /// # Errors
    /// When there are objects, and none has the field.
    pub fn sort<T>(&self, shown: Vec<T>, object: impl Fn(&T) -> &Value) -> Result<Vec<T>> {
        let value = |one: &T| -> Result<Option<Value>> {
            let found = self.path.all(object(one)).map_err(anyhow::Error::msg)?;
            Ok(found.first().map(|value| (*value).clone()))
        };
        let values = shown.iter().map(value).collect::<Result<Vec<_>>>()?;
        ensure!(
            values.is_empty() || values.iter().any(Option::is_some),
            "couldn't find any field with path {:?} in the list of objects",
            self.text
        );
        let mut keyed: Vec<(Option<Value>, T)> = values.into_iter().zip(shown).collect();
        keyed.sort_by(|(a, _), (b, _)| compare(a.as_ref(), b.as_ref()));
        Ok(keyed.into_iter().map(|(_, one)| one).collect())
    }
}

fn compare(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    let (Some(a), Some(b)) = (a, b) else { return a.is_some().cmp(&b.is_some()) };
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal)
        }
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::String(a), Value::String(b)) => match (quantity(a), quantity(b)) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => natural(a, b),
        },
        (a, b) => natural(&a.to_string(), &b.to_string()),
    }
}

fn quantity(text: &str) -> Option<Quantity> {
    Quantity::parse(text).ok()
}

/// Texts whose numbers count as numbers: `web-2` before `web-10`.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (Some(x), Some(y)) = (a.chars().next(), b.chars().next()) else {
            return a.len().cmp(&b.len());
        };
        if x.is_ascii_digit() && y.is_ascii_digit() {
            let (one, other) = (digits(a), digits(b));
            let (short, long) = (one.trim_start_matches('0'), other.trim_start_matches('0'));
            let order = short.len().cmp(&long.len()).then_with(|| short.cmp(long));
            if order != Ordering::Equal {
                return order;
            }
            (a, b) = (&a[one.len()..], &b[other.len()..]);
        } else if x == y {
            (a, b) = (&a[x.len_utf8()..], &b[y.len_utf8()..]);
        } else {
            return x.cmp(&y);
        }
    }
}

/// The digits that a text begins with.
fn digits(text: &str) -> &str {
    text.split(|c: char| !c.is_ascii_digit()).next().unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(values: Value) -> String {
        let objects: Vec<Value> =
            values.as_array().unwrap().iter().map(|value| json!({"v": value})).collect();
        match Order::parse(".v").unwrap().sort(objects, |object| object) {
            Ok(objects) => {
                objects.iter().map(|object| object["v"].to_string()).collect::<Vec<_>>().join(" ")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn values_have_the_order_of_what_they_are() {
        assert_eq!(check(json!([10, 9, 2.5])), "2.5 9 10");
        assert_eq!(
            check(json!(["web-10", "web-2", "web-1", "api-3"])),
            r#""api-3" "web-1" "web-2" "web-10""#
        );
        assert_eq!(check(json!(["1Gi", "500Mi", "2G"])), r#""500Mi" "1Gi" "2G""#);
        assert_eq!(
            check(json!(["2026-02-01T00:00:00Z", "2026-01-02T00:00:00Z"])),
            r#""2026-01-02T00:00:00Z" "2026-02-01T00:00:00Z""#
        );
        assert_eq!(check(json!([true, false])), "false true");
        assert_eq!(check(json!([])), "");
    }

    #[test]
    fn what_lacks_the_field_comes_first() {
        let objects = vec![json!({"v": 1}), json!({"w": 0}), json!({"v": 0})];
        let objects = Order::parse("v").unwrap().sort(objects, |object| object).unwrap();
        assert_eq!(objects, [json!({"w": 0}), json!({"v": 0}), json!({"v": 1})]);
        let why = Order::parse(".x").unwrap().sort(objects, |object| object).unwrap_err();
        assert_eq!(
            why.to_string(),
            "couldn't find any field with path \".x\" in the list of objects"
        );
    }
}
