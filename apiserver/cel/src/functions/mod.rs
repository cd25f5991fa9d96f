//! All that rules can call, operators among it: one row for each signature.
//!
//! Knows: which rows fit which types, before and while a rule is carried out. Refuses to know: how an expression is read.

mod convert;
pub(crate) mod duration;
pub(crate) mod formats;
mod lists;
pub(crate) mod net;
mod operators;
mod optionals;
mod patterns;
mod printf;
mod quantities;
pub(crate) mod semver;
mod sets;
mod strings;
mod times;
pub(crate) mod urls;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use crate::meter::{Fault, Meter};
use crate::types::Type;
use crate::value::Value;

pub(crate) use patterns::{regex, spend};

/// A type in a signature.
#[derive(Clone, Copy, Debug)]
pub(crate) enum T {
    /// Whatever it is the first time, and the same again.
    A,
    B,
    Dyn,
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    Duration,
    Timestamp,
    List(&'static T),
    Map(&'static T, &'static T),
    Optional(&'static T),
    Type(&'static T),
    Quantity,
    Ip,
    Cidr,
    Url,
    Semver,
    Format,
}

/// A list of anything.
const LIST: T = T::List(&T::A);
const TEXTS: T = T::List(&T::Text);

type Made<'a> = Result<Value<'a>, Fault>;

/// One signature of a function.
pub(crate) struct Row {
    pub name: &'static str,
    /// Whether it is called on its first argument.
    pub member: bool,
    pub args: &'static [T],
    pub gives: T,
    pub run: for<'a> fn(&[Value<'a>], &mut Meter) -> Made<'a>,
}

/// What is made of arguments of certain shapes.
macro_rules! run {
    ($($pattern:pat),* => $meter:ident, $body:expr) => {
        |args, $meter| {
            let _ = &$meter;
            match args {
                [$($pattern),*] => $body,
                _ => Err($crate::meter::Fault::overload()),
            }
        }
    };
}
pub(crate) use run;

static GROUPS: &[&[Row]] = &[
    operators::ROWS,
    operators::LESS,
    operators::LESS_EQUAL,
    operators::GREATER,
    operators::GREATER_EQUAL,
    convert::ROWS,
    convert::SIZE,
    convert::SIZE_OF,
    strings::ROWS,
    printf::ROWS,
    lists::ROWS,
    sets::ROWS,
    patterns::ROWS,
    times::ROWS,
    optionals::ROWS,
    quantities::ROWS,
    net::ROWS,
    urls::ROWS,
    formats::ROWS,
    semver::ROWS,
];

/// All signatures by name.
static TABLE: LazyLock<HashMap<&'static str, Vec<&'static Row>>> = LazyLock::new(|| {
    let mut table: HashMap<&'static str, Vec<&'static Row>> = HashMap::new();
    for row in GROUPS.iter().chain(&times::PARTS).copied().flatten() {
        table.entry(row.name).or_default().push(row);
    }
    table
});

/// The signatures of a function.
pub(crate) fn named(name: &str) -> &'static [&'static Row] {
    TABLE.get(name).map_or(&[], Vec::as_slice)
}

/// What the letters of a signature stand for.
#[derive(Default)]
pub(crate) struct Bound {
    a: Option<Type>,
    b: Option<Type>,
}

impl Bound {
    /// Whether an argument of a type fits.
    pub fn fits(&mut self, wanted: T, given: &Type) -> bool {
        let letter = match wanted {
            T::A => &mut self.a,
            T::B => &mut self.b,
            _ => return self.fits_in(wanted, given),
        };
        match letter.take() {
            None => *letter = Some(given.clone()),
            Some(before) => match before.join(given) {
                Some(both) => *letter = Some(both),
                None => return false,
            },
        }
        true
    }

    fn fits_in(&mut self, wanted: T, given: &Type) -> bool {
        match (wanted, given) {
            (T::Dyn, _) => true,
            (T::List(of), Type::List(inner, _))
            | (T::Optional(of), Type::Optional(inner))
            | (T::Type(of), Type::Named(inner)) => self.fits(*of, inner),
            (T::Map(key, value), Type::Map(k, v)) => self.fits(*key, k) && self.fits(*value, v),
            // What a part of anything is, nobody knows.
            (T::List(of) | T::Optional(of), Type::Dyn) => self.fits(*of, &Type::Dyn),
            (T::Map(key, value), Type::Dyn) => {
                self.fits(*key, &Type::Dyn) && self.fits(*value, &Type::Dyn)
            }
            _ => self.type_(wanted).takes(given),
        }
    }

    /// The type that a signature means.
    pub fn type_(&self, of: T) -> Type {
        let arc = |of: &T| Arc::new(self.type_(*of));
        match of {
            T::A => self.a.clone().unwrap_or(Type::Dyn),
            T::B => self.b.clone().unwrap_or(Type::Dyn),
            T::Dyn => Type::Dyn,
            T::Bool => Type::Bool,
            T::Int => Type::Int,
            T::Uint => Type::Uint,
            T::Double => Type::Double,
            T::Text => Type::Text,
            T::Bytes => Type::Bytes,
            T::Duration => Type::Duration,
            T::Timestamp => Type::Timestamp,
            T::List(of) => Type::List(arc(of), Arc::default()),
            T::Map(key, value) => Type::Map(arc(key), arc(value)),
            T::Optional(of) => Type::Optional(arc(of)),
            T::Type(of) => Type::Named(arc(of)),
            T::Quantity => Type::Quantity,
            T::Ip => Type::Ip,
            T::Cidr => Type::Cidr,
            T::Url => Type::Url,
            T::Semver => Type::Semver,
            T::Format => Type::Format,
        }
    }
}

/// Whether a value is of a type, as far as can be seen from outside.
fn is(wanted: T, value: &Value<'_>) -> bool {
    match (wanted, value) {
        (T::A | T::B | T::Dyn, _)
        | (T::Bool, Value::Bool(_))
        | (T::Int, Value::Int(_))
        | (T::Uint, Value::Uint(_))
        | (T::Double, Value::Double(_))
        | (T::Text, Value::Text(_))
        | (T::Bytes, Value::Bytes(_))
        | (T::Duration, Value::Duration(_))
        | (T::Timestamp, Value::Timestamp(_))
        | (T::List(_), Value::List(_))
        | (T::Map(..), Value::Map(_))
        | (T::Type(_), Value::Type(_))
        | (T::Quantity, Value::Quantity(_))
        | (T::Ip, Value::Ip(_))
        | (T::Cidr, Value::Cidr(_))
        | (T::Url, Value::Url(_))
        | (T::Semver, Value::Semver(_))
        | (T::Format, Value::Format(_)) => true,
        (T::Optional(of), Value::Optional(inside)) => {
            inside.as_ref().is_none_or(|inside| is(*of, inside))
        }
        _ => false,
    }
}

/// Calls the signature that fits the values.
pub(crate) fn call<'a>(rows: &[&'static Row], args: &[Value<'a>], meter: &mut Meter) -> Made<'a> {
    meter.spend(1)?;
    let fits = |row: &&&'static Row| {
        row.args.len() == args.len()
            && row.args.iter().zip(args).all(|(wanted, value)| is(*wanted, value))
    };
    let row = rows.iter().find(fits).ok_or_else(Fault::overload)?;
    (row.run)(args, meter)
}

/// A whole number of things.
fn count<'a>(number: usize) -> Value<'a> {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}
