//! One rule: compiled, carried out, and what is said when it does not hold.
//!
//! Refuses to know: where in an object it is held.

use leme_meta::quote;
use std::fmt;

use leme_meta::field::Shown;
use leme_meta::{FieldError, Path};
use serde_json::{Value as Json, json};

use crate::checker::{Checked, check};
use crate::code::Code;
use crate::eval::run;
use crate::issue::{Issue, shown};
use crate::meter::{Fault, Meter};
use crate::parse::parse;
use crate::types::Type;
use crate::value::Value;

/// The longest message that an expression may make.
const MAX_MESSAGE: usize = 5 * 1024;

const SPENT: &str = "no further validation rules will be run";

/// A rule as a definition states it, compiled.
pub(crate) struct Rule {
    text: String,
    message: String,
    code: Code,
    told: Option<Code>,
    reason: String,
    /// The path below the place of the rule that it is about.
    field: String,
    /// Whether it says how something may change.
    pub compares: bool,
    /// Whether one that compares is also held against what is new.
    pub optional_old: bool,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rule({})", self.text)
    }
}

/// That a message takes more steps than are left.
struct Exhausted;

/// What is wrong with a rule: of which of its fields, and why.
pub(crate) struct Wrong {
    pub field: &'static str,
    pub why: String,
}

fn text<'a>(stated: &'a Json, field: &str) -> &'a str {
    stated.get(field).and_then(Json::as_str).unwrap_or("")
}

/// A rule as the struct that upstream shows.
pub(crate) struct Stated<'a>(pub &'a Json);

impl Shown for Stated<'_> {
    fn shown(&self) -> String {
        let field = |name: &str| self.0.get(name).cloned().unwrap_or(Json::Null);
        let parts = [
            ("Rule", json!(text(self.0, "rule"))),
            ("Message", json!(text(self.0, "message"))),
            ("MessageExpression", json!(text(self.0, "messageExpression"))),
            ("Reason", field("reason")),
            ("FieldPath", json!(text(self.0, "fieldPath"))),
            ("OptionalOldSelf", field("optionalOldSelf")),
        ];
        let parts: Vec<String> = parts
            .iter()
            .map(|(name, value)| format!("{name}:{value}", name = quote(&name)))
            .collect();
        format!("{{{}}}", parts.join(","))
    }
}

/// An expression compiled, or all that is wrong with it.
fn compiled(text: &str, variables: &[(&'static str, Type)]) -> Result<Checked, String> {
    let source: Vec<char> = text.chars().collect();
    let told = |issues: &[Issue]| shown(issues, &source);
    let node = parse(&source).map_err(|issue| told(&[issue]))?;
    let checked = check(&node, variables);
    if checked.issues.is_empty() { Ok(checked) } else { Err(told(&checked.issues)) }
}

impl Rule {
    /// Compiles a rule about something of a type; none if it says nothing.
    pub fn of(stated: &Json, type_: &Type, field: String) -> Result<Option<Rule>, Wrong> {
        let rule = text(stated, "rule");
        if rule.trim().is_empty() {
            return Ok(None);
        }
        let optional_old = stated.get("optionalOldSelf") == Some(&Json::Bool(true));
        let old = if optional_old { Type::Optional(type_.clone().into()) } else { type_.clone() };
        let variables = [("self", type_.clone()), ("oldSelf", old)];
        let wrong = |field, why: String| Wrong { field, why };
        let checked = compiled(rule, &variables)
            .map_err(|why| wrong("rule", format!("compilation failed: {why}")))?;
        if !matches!(checked.type_, Type::Bool) {
            return Err(wrong("rule", "must evaluate to a bool".to_owned()));
        }
        let expression = text(stated, "messageExpression");
        let told = match expression.trim() {
            "" => None,
            _ => {
                let field = "messageExpression";
                let told = compiled(expression, &variables).map_err(|why| {
                    wrong(field, format!("messageExpression compilation failed: {why}"))
                })?;
                if !matches!(told.type_, Type::Text) {
                    return Err(wrong(
                        field,
                        "messageExpression must evaluate to a string".to_owned(),
                    ));
                }
                Some(told.code)
            }
        };
        Ok(Some(Rule {
            text: rule.trim().to_owned(),
            message: text(stated, "message").trim().to_owned(),
            compares: checked.second,
            code: checked.code,
            told,
            reason: text(stated, "reason").to_owned(),
            field,
            optional_old,
        }))
    }

    /// The rule as errors name it.
    fn named(&self) -> &str {
        if self.message.is_empty() { &self.text } else { &self.message }
    }

    /// What is said of a rule that cannot be carried out.
    fn failed(&self, why: &str) -> String {
        let named = self.named();
        if why.starts_with("no such overload") {
            return format!(
                "'{why}': call arguments did not match a supported operator, function or macro signature for rule: {named}"
            );
        }
        format!("{why} evaluating rule: {named}")
    }

    /// What the rule says of itself when it does not hold.
    fn told<'a>(
        &'a self,
        variables: Vec<Value<'a>>,
        meter: &mut Meter,
    ) -> Result<String, Exhausted> {
        if let Some(told) = &self.told {
            meter.begin();
            match run(told, variables, meter) {
                Err(Fault::Spent) => return Err(Exhausted),
                Ok(Value::Text(made)) => {
                    let made = made.trim();
                    if !made.is_empty() && !made.contains('\n') && made.len() <= MAX_MESSAGE {
                        return Ok(made.to_owned());
                    }
                }
                _ => {}
            }
        }
        Ok(match self.message.as_str() {
            "" => format!("failed rule: {}", self.text),
            message => message.to_owned(),
        })
    }

    /// Holds it against something. Gives what is wrong, and whether that is that it does not hold.
    ///
    /// # Errors
    /// What is told when no more rules can be held.
    pub fn hold<'a>(
        &'a self,
        new: &Value<'a>,
        old: Option<&Value<'a>>,
        (path, type_): (&Path, &str),
        meter: &mut Meter,
    ) -> Result<Option<(FieldError, bool)>, FieldError> {
        let here = at(path);
        let invalid = |why: &str| FieldError::invalid(&here, type_, why);
        let spent = format!("validation failed due to running out of cost budget, {SPENT}");
        if !meter.begin() {
            return Err(invalid(&spent));
        }
        let before = match (old, self.optional_old) {
            (Some(old), true) => Value::some(old.clone()),
            (None, true) => Value::Optional(None),
            (Some(old), false) => old.clone(),
            (None, false) => Value::Null,
        };
        let variables = || vec![new.clone(), before.clone()];
        match run(&self.code, variables(), meter) {
            Ok(Value::Bool(true)) => return Ok(None),
            Ok(_) => {}
            Err(Fault::Spent) if meter.is_empty() => return Err(invalid(&spent)),
            Err(Fault::Spent) => {
                let named = self.named();
                return Err(invalid(&format!(
                    "'operation cancelled: actual cost limit exceeded': {SPENT} due to call cost exceeds limit for rule: {named}"
                )));
            }
            Err(Fault::Said(why)) => return Ok(Some((invalid(&self.failed(&why)), false))),
        }
        let path = match self.field.as_str() {
            "" => here.clone(),
            field => path.child(field),
        };
        let said = self.told(variables(), meter).map_err(|Exhausted| {
            let why = format!(
                "messageExpression evaluation failed due to running out of cost budget, {SPENT}"
            );
            FieldError::invalid(&path, type_, &why)
        })?;
        let error = match self.reason.as_str() {
            "FieldValueForbidden" => FieldError::forbidden(&path, &said),
            "FieldValueRequired" => FieldError::required(&path, &said),
            "FieldValueDuplicate" => FieldError::duplicate(&path, type_),
            _ => FieldError::invalid(&path, type_, &said),
        };
        Ok(Some((error, true)))
    }
}

/// A path as messages show it: that of a whole object has no name.
pub(crate) fn at(path: &Path) -> Path {
    if *path == Path::default() { Path::new("<nil>") } else { path.clone() }
}
