//! Label selectors: `app=web,tier in (front, back),!canary`, and the `matchLabels`/`matchExpressions` of specs.

use crate::quote;
use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::lex::{Lexer, Token};
use crate::names;

/// Longest text that is parsed; URLs are shorter.
const MAX_LEN: usize = 64 * 1024;

/// How a requirement compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// The label is there and is one of the values.
    In,
    /// The label is absent or none of the values.
    NotIn,
    /// The label is the value (`=`).
    Equals,
    /// The label is the value (`==`).
    DoubleEquals,
    /// The label is absent or not the value.
    NotEquals,
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
    /// The label is a greater whole number.
    GreaterThan,
    /// The label is a lesser whole number.
    LessThan,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelRequirement {
    /// The key of the label.
    pub key: String,
    /// How it compares.
    pub operator: Operator,
    /// With what, in order.
    pub values: BTreeSet<String>,
}

/// A set of requirements that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<LabelRequirement>,
    nothing: bool,
}

impl LabelRequirement {
    /// A requirement whose key and values have been checked, in upstream's words.
    pub fn new(
        key: &str,
        operator: Operator,
        values: BTreeSet<String>,
    ) -> Result<LabelRequirement, String> {
        let mut errors = Vec::new();
        let wrong = names::qualified_name(key);
        if !wrong.is_empty() {
            errors.push(format!(
                "key: Invalid value: {key}: {}",
                wrong.join("; "),
                key = quote(&key)
            ));
        }
        if let Some(error) = wrong_values(operator, &values) {
            errors.push(error);
        }
        for (index, value) in values.iter().enumerate() {
            let wrong = names::label_value(value);
            if !wrong.is_empty() {
                let detail = wrong.join("; ");
                errors.push(format!(
                    "values[{index}][{key}]: Invalid value: {value}: {detail}",
                    value = quote(&value)
                ));
            }
        }
        match errors.len() {
            0 => Ok(LabelRequirement { key: key.to_owned(), operator, values }),
            1 => Err(errors.remove(0)),
            _ => Err(format!("[{}]", errors.join(", "))),
        }
    }

    fn holds(&self, label: Option<&str>) -> bool {
        let is_one = || label.is_some_and(|label| self.values.contains(label));
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => is_one(),
            Operator::NotIn | Operator::NotEquals => !is_one(),
            Operator::Exists => label.is_some(),
            Operator::DoesNotExist => label.is_none(),
            Operator::GreaterThan => {
                self.compare(label).is_some_and(|(label, value)| label > value)
            }
            Operator::LessThan => self.compare(label).is_some_and(|(label, value)| label < value),
        }
    }

    fn compare(&self, label: Option<&str>) -> Option<(i64, i64)> {
        Some((label?.parse().ok()?, self.values.first()?.parse().ok()?))
    }
}

/// What is wrong with the number or the shape of the values.
fn wrong_values(operator: Operator, values: &BTreeSet<String>) -> Option<String> {
    let shown =
        || format!("[{}]", values.iter().map(|v| format!("{v:?}")).collect::<Vec<_>>().join(","));
    match operator {
        Operator::In | Operator::NotIn if values.is_empty() => Some(
            "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"
                .to_owned(),
        ),
        Operator::Exists | Operator::DoesNotExist if !values.is_empty() => Some(format!(
            "values: Invalid value: {}: values set must be empty for exists and does not exist",
            shown()
        )),
        Operator::GreaterThan | Operator::LessThan => {
            values.iter().find(|value| value.parse::<i64>().is_err()).map(|value| {
                format!(
                    "values[0]: Invalid value: {value}: for 'Gt', 'Lt' operators, the value must \
                     be an integer",
                    value = quote(&value)
                )
            })
        }
        _ => None,
    }
}

impl LabelSelector {
    /// The selector that matches nothing.
    pub fn nothing() -> LabelSelector {
        LabelSelector { requirements: Vec::new(), nothing: true }
    }

    /// Parses the text of a request; the empty text selects everything.
    pub fn parse(text: &str) -> Result<LabelSelector, String> {
        if text.len() > MAX_LEN {
            return Err(format!("a selector {}", names::max_len_error(MAX_LEN)));
        }
        let mut lexer = Lexer::new(text);
        let mut requirements = Vec::new();
        loop {
            match lexer.peek() {
                (Token::Identifier | Token::Not, _) => {
                    let requirement = requirement(&mut lexer)
                        .map_err(|error| format!("unable to parse requirement: {error}"))?;
                    requirements.push(requirement);
                }
                (Token::End, _) => break,
                (_, found) => {
                    return Err(format!(
                        "found '{found}', expected: !, identifier, or 'end of string'"
                    ));
                }
            }
            match lexer.take() {
                (Token::End, _) => break,
                (Token::Comma, _) => match lexer.peek() {
                    (Token::Identifier | Token::Not, _) => {}
                    (_, found) => {
                        return Err(format!("found '{found}', expected: identifier after ','"));
                    }
                },
                (_, found) => {
                    return Err(format!("found '{found}', expected: ',' or 'end of string'"));
                }
            }
        }
        Ok(LabelSelector::of(requirements))
    }

    /// Reads a `metav1.LabelSelector`: absent or null selects nothing, `{}` everything.
    pub fn from_json(selector: &Value) -> Result<LabelSelector, String> {
        let Some(selector) = selector.as_object() else {
            return Ok(LabelSelector::nothing());
        };
        let mut requirements = Vec::new();
        let labels = selector.get("matchLabels").and_then(Value::as_object);
        for (key, value) in labels.into_iter().flatten() {
            let values = BTreeSet::from([value.as_str().unwrap_or("").to_owned()]);
            requirements.push(LabelRequirement::new(key, Operator::Equals, values)?);
        }
        let expressions = selector.get("matchExpressions").and_then(Value::as_array);
        for expression in expressions.into_iter().flatten() {
            let text = |field: &str| expression.get(field).and_then(Value::as_str).unwrap_or("");
            let operator = match text("operator") {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => {
                    return Err(format!(
                        "{other} is not a valid label selector operator",
                        other = quote(&other)
                    ));
                }
            };
            let values = expression.get("values").and_then(Value::as_array);
            let values =
                values.into_iter().flatten().filter_map(|v| Some(v.as_str()?.to_owned())).collect();
            requirements.push(LabelRequirement::new(text("key"), operator, values)?);
        }
        Ok(LabelSelector::of(requirements))
    }

    /// The selector of a map, such as a service's or a replication controller's: every label must be equal. The labels
    /// have been validated; an empty map selects everything.
    pub fn from_map<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> LabelSelector {
        let requirements = labels.into_iter().map(|(key, value)| LabelRequirement {
            key: key.to_owned(),
            operator: Operator::Equals,
            values: BTreeSet::from([value.to_owned()]),
        });
        LabelSelector::of(requirements.collect())
    }

    fn of(mut requirements: Vec<LabelRequirement>) -> LabelSelector {
        requirements.sort_by(|one, other| one.key.cmp(&other.key));
        LabelSelector { requirements, nothing: false }
    }

    /// Whether all requirements hold of the labels that `get` looks up.
    pub fn matches<'a>(&self, get: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.nothing && self.requirements.iter().all(|one| one.holds(get(&one.key)))
    }

    /// Whether everything matches.
    pub fn is_empty(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// The requirements, in order of keys.
    pub fn requirements(&self) -> &[LabelRequirement] {
        &self.requirements
    }
}

fn requirement(lexer: &mut Lexer<'_>) -> Result<LabelRequirement, String> {
    let mut first = lexer.take();
    let negated = first.0 == Token::Not;
    if negated {
        first = lexer.take();
    }
    let (token, key) = first;
    if token != Token::Identifier {
        return Err(format!("found '{key}', expected: identifier"));
    }
    let wrong = names::qualified_name(key);
    if !wrong.is_empty() {
        return Err(format!(
            "<nil>: Invalid value: {key}: {}",
            wrong.join("; "),
            key = quote(&key)
        ));
    }
    if negated {
        return LabelRequirement::new(key, Operator::DoesNotExist, BTreeSet::new());
    }
    if let (Token::End | Token::Comma, _) = lexer.peek() {
        return LabelRequirement::new(key, Operator::Exists, BTreeSet::new());
    }
    let operator = match lexer.take_operator() {
        (Token::In, _) => Operator::In,
        (Token::NotIn, _) => Operator::NotIn,
        (Token::Equal, _) => Operator::Equals,
        (Token::DoubleEqual, _) => Operator::DoubleEquals,
        (Token::NotEqual, _) => Operator::NotEquals,
        (Token::Greater, _) => Operator::GreaterThan,
        (Token::Less, _) => Operator::LessThan,
        (_, found) => {
            return Err(format!("found '{found}', expected: in, notin, =, ==, !=, gt, lt"));
        }
    };
    let values = match operator {
        Operator::In | Operator::NotIn => value_list(lexer)?,
        _ => exact_value(lexer)?,
    };
    LabelRequirement::new(key, operator, values)
}

fn exact_value(lexer: &mut Lexer<'_>) -> Result<BTreeSet<String>, String> {
    if let (Token::End | Token::Comma, _) = lexer.peek() {
        return Ok(BTreeSet::from([String::new()]));
    }
    match lexer.take() {
        (Token::Identifier, value) => Ok(BTreeSet::from([value.to_owned()])),
        (_, found) => Err(format!("found '{found}', expected: identifier")),
    }
}

/// `(a, b)`; nothing between commas is the empty value.
fn value_list(lexer: &mut Lexer<'_>) -> Result<BTreeSet<String>, String> {
    match lexer.take() {
        (Token::Open, _) => {}
        (_, found) => return Err(format!("found '{found}' expected: '('")),
    }
    if !matches!(lexer.peek().0, Token::Identifier | Token::Comma | Token::Close) {
        return Err(format!("found '{}', expected: ',', ')' or identifier", lexer.peek().1));
    }
    let mut values = BTreeSet::new();
    loop {
        if lexer.peek().0 == Token::Identifier {
            values.insert(lexer.take().1.to_owned());
        } else {
            values.insert(String::new());
        }
        match lexer.take() {
            (Token::Comma, _) => {}
            (Token::Close, _) => return Ok(values),
            (_, found) => return Err(format!("found '{found}', expected: ',' or ')'")),
        }
    }
}

impl fmt::Display for LabelRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values: Vec<&str> = self.values.iter().map(String::as_str).collect();
        let (key, values) = (&self.key, values.join(","));
        match self.operator {
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::DoubleEquals => write!(f, "{key}=={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{requirement}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "label_tests.rs"]
mod tests;
