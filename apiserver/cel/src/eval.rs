//! Expressions carried out, step by step, as long as the meter allows.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ast::Macro;
use crate::code::{Code, Each};
use crate::functions::{self, spend};
use crate::meter::{Fault, Meter};
use crate::value::{Key, List, Map, Text, Value};

type Made<'a> = Result<Value<'a>, Fault>;

/// Carries out an expression with the variables that it was checked with.
pub(crate) fn run<'a>(code: &'a Code, variables: Vec<Value<'a>>, meter: &mut Meter) -> Made<'a> {
    Run { variables, meter }.value(code)
}

struct Run<'a, 'm> {
    variables: Vec<Value<'a>>,
    meter: &'m mut Meter,
}

impl<'a> Run<'a, '_> {
    fn value(&mut self, code: &'a Code) -> Made<'a> {
        match code {
            Code::Null => Ok(Value::Null),
            Code::Bool(flag) => Ok(Value::Bool(*flag)),
            Code::Int(number) => Ok(Value::Int(*number)),
            Code::Uint(number) => Ok(Value::Uint(*number)),
            Code::Double(number) => Ok(Value::Double(*number)),
            Code::Text(text) => Ok(Value::Text(Text::Borrowed(text))),
            Code::Bytes(bytes) => Ok(Value::Bytes(Arc::clone(bytes))),
            Code::Type(name) => Ok(Value::Type(name)),
            Code::Variable(place) => {
                self.meter.spend(1)?;
                let known = self.variables.get(*place).cloned();
                known.ok_or_else(|| Fault::said("no such attribute(s): oldSelf"))
            }
            Code::Field { of, name } => {
                let of = self.value(of)?;
                self.meter.spend(1)?;
                match of {
                    Value::Map(map) => map.field(name).ok_or_else(|| no_key(name)),
                    _ => Err(Fault::overload()),
                }
            }
            Code::Has { of, name } => self.has(of, name),
            Code::Perhaps { of, name } => self.perhaps(of, name),
            Code::All(parts) => self.logic(parts, false),
            Code::Any(parts) => self.logic(parts, true),
            Code::If(parts) => {
                let [condition, then, other] = &**parts;
                self.meter.spend(1)?;
                match self.value(condition)? {
                    Value::Bool(true) => self.value(then),
                    Value::Bool(false) => self.value(other),
                    _ => Err(Fault::overload()),
                }
            }
            Code::List(items) => self.list(items),
            Code::Map(items) => self.map(items),
            Code::Call { rows, args } => {
                let mut values = Vec::with_capacity(args.len());
                for arg in args {
                    values.push(self.value(arg)?);
                }
                functions::call(rows, &values, self.meter)
            }
            Code::Matches { of, pattern } => match self.value(of)? {
                Value::Text(text) => {
                    spend(&text, pattern.as_str(), self.meter)?;
                    Ok(Value::Bool(pattern.matches(&text)))
                }
                _ => Err(Fault::overload()),
            },
            Code::Loop(each) => self.each(each),
        }
    }

    fn has(&mut self, of: &'a Code, name: &str) -> Made<'a> {
        match self.inside(of)? {
            None => Ok(Value::Bool(false)),
            Some(Value::Map(map)) => Ok(Value::Bool(map.field(name).is_some())),
            Some(_) => Err(Fault::overload()),
        }
    }

    fn perhaps(&mut self, of: &'a Code, name: &str) -> Made<'a> {
        match self.inside(of)? {
            None => Ok(Value::Optional(None)),
            Some(Value::Map(map)) => Ok(match map.field(name) {
                Some(Value::Optional(inside)) => Value::Optional(inside),
                found => found.map_or(Value::Optional(None), Value::some),
            }),
            Some(_) => Err(Fault::overload()),
        }
    }

    /// A value that has parts, or what is in it if it is one that may not be there; none if it is not.
    fn inside(&mut self, of: &'a Code) -> Result<Option<Value<'a>>, Fault> {
        let of = self.value(of)?;
        self.meter.spend(1)?;
        Ok(match of {
            Value::Optional(inside) => inside.map(|inside| Value::clone(&inside)),
            other => Some(other),
        })
    }

    /// Looks for the value that decides; what went wrong counts only if there is none.
    fn logic(&mut self, parts: &'a [Code], decides: bool) -> Made<'a> {
        let mut wrong = None;
        for part in parts {
            self.meter.spend(1)?;
            match self.value(part) {
                Ok(Value::Bool(flag)) if flag == decides => return Ok(Value::Bool(decides)),
                Ok(Value::Bool(_)) => {}
                Ok(_) => drop(wrong.get_or_insert_with(Fault::overload)),
                Err(Fault::Spent) => return Err(Fault::Spent),
                Err(fault) => drop(wrong.get_or_insert(fault)),
            }
        }
        wrong.map_or(Ok(Value::Bool(!decides)), Err)
    }

    /// The value of what may be left out; none if it is.
    fn item(&mut self, optional: bool, code: &'a Code) -> Result<Option<Value<'a>>, Fault> {
        match (self.value(code)?, optional) {
            (Value::Optional(inside), true) => Ok(inside.map(|inside| Value::clone(&inside))),
            (_, true) => Err(Fault::overload()),
            (value, false) => Ok(Some(value)),
        }
    }

    fn list(&mut self, items: &'a [(bool, Code)]) -> Made<'a> {
        self.meter.spend(1 + items.len() as u64)?;
        let mut all = Vec::with_capacity(items.len());
        for (optional, code) in items {
            all.extend(self.item(*optional, code)?);
        }
        Ok(List::own(all))
    }

    fn map(&mut self, items: &'a [(bool, Code, Code)]) -> Made<'a> {
        self.meter.spend(1 + items.len() as u64)?;
        let mut all = BTreeMap::new();
        for (optional, key, value) in items {
            let key = self.value(key)?;
            if let Some(value) = self.item(*optional, value)? {
                insert(&mut all, key, value)?;
            }
        }
        Ok(Value::Map(Map::Own(Arc::new(all))))
    }

    fn each(&mut self, each: &'a Each) -> Made<'a> {
        let over = self.value(&each.over)?;
        match over {
            Value::Optional(inside) if matches!(each.which, Macro::Opt | Macro::OptFlat) => {
                self.opt(each, inside)
            }
            Value::List(list) => {
                let items = (0..list.len()).filter_map(|at| {
                    let place = i64::try_from(at).unwrap_or(i64::MAX);
                    Some((Value::Int(place), list.get(at)?))
                });
                self.through(each, items, false)
            }
            Value::Map(map) => {
                let entries = map.entries();
                self.meter.spend(entries.len() as u64)?;
                self.through(each, entries.into_iter(), true)
            }
            _ => Err(Fault::overload()),
        }
    }

    fn opt(&mut self, each: &'a Each, inside: Option<Arc<Value<'a>>>) -> Made<'a> {
        let (Some(inside), Some(made)) = (inside, &each.made) else {
            return Ok(Value::Optional(None));
        };
        self.variables.push(Value::clone(&inside));
        let made = self.value(made);
        self.variables.pop();
        match (made?, each.which) {
            (value, Macro::Opt) => Ok(Value::some(value)),
            (value @ Value::Optional(_), _) => Ok(value),
            _ => Err(Fault::overload()),
        }
    }

    /// Goes through pairs of a place or key and a value; `keys` is whether one variable is the key.
    fn through(
        &mut self,
        each: &'a Each,
        items: impl Iterator<Item = (Value<'a>, Value<'a>)>,
        keys: bool,
    ) -> Made<'a> {
        let outside = self.variables.len();
        let mut found = Found::default();
        for (first, second) in items {
            self.variables.truncate(outside);
            let item = if keys { first.clone() } else { second.clone() };
            match each.pairs {
                true => self.variables.extend([first.clone(), second]),
                false => self.variables.push(item.clone()),
            }
            let go_on = self.meter.spend(2).and_then(|()| self.once(each, first, item, &mut found));
            match go_on {
                Ok(true) => {}
                Ok(false) => break,
                Err(fault) => {
                    self.variables.truncate(outside);
                    return Err(fault);
                }
            }
        }
        self.variables.truncate(outside);
        found.made(each.which)
    }

    /// One time round; whether there is more to do.
    fn once(
        &mut self,
        each: &'a Each,
        first: Value<'a>,
        item: Value<'a>,
        found: &mut Found<'a>,
    ) -> Result<bool, Fault> {
        let asked = match &each.test {
            Some(test) => match self.value(test) {
                Ok(Value::Bool(flag)) => Ok(flag),
                Ok(_) => Err(Fault::overload()),
                Err(Fault::Spent) => return Err(Fault::Spent),
                Err(fault) => Err(fault),
            },
            None => Ok(true),
        };
        match (each.which, asked) {
            (Macro::All, Ok(flag)) => found.decided |= !flag,
            (Macro::Exists, Ok(flag)) => found.decided |= flag,
            // Another element may still decide.
            (Macro::All | Macro::Exists, Err(fault)) => drop(found.wrong.get_or_insert(fault)),
            (_, Err(fault)) => return Err(fault),
            (Macro::ExistsOne, Ok(flag)) => found.count += usize::from(flag),
            (_, Ok(false)) => {}
            (Macro::Filter, Ok(true)) => found.items.push(item),
            (which, Ok(true)) => {
                let Some(made) = &each.made else { return Err(Fault::overload()) };
                let made = self.value(made)?;
                match (which, made) {
                    (Macro::List, made) => found.items.push(made),
                    (Macro::Map, made) => insert(&mut found.map, first, made)?,
                    (Macro::Entries, Value::Map(entries)) => {
                        for (key, value) in entries.entries() {
                            self.meter.spend(1)?;
                            insert(&mut found.map, key, value)?;
                        }
                    }
                    _ => return Err(Fault::overload()),
                }
            }
        }
        Ok(!found.decided)
    }
}

/// What has been found while going through something.
#[derive(Default)]
struct Found<'a> {
    decided: bool,
    wrong: Option<Fault>,
    count: usize,
    items: Vec<Value<'a>>,
    map: BTreeMap<Key, (Value<'a>, Value<'a>)>,
}

impl<'a> Found<'a> {
    fn made(self, which: Macro) -> Made<'a> {
        match which {
            Macro::All | Macro::Exists => match self.wrong {
                Some(fault) if !self.decided => Err(fault),
                _ => Ok(Value::Bool(self.decided == (which == Macro::Exists))),
            },
            Macro::ExistsOne => Ok(Value::Bool(self.count == 1)),
            Macro::Map | Macro::Entries => Ok(Value::Map(Map::Own(Arc::new(self.map)))),
            _ => Ok(List::own(self.items)),
        }
    }
}

fn no_key(name: &str) -> Fault {
    Fault::said(format!("no such key: {name}"))
}

fn insert<'a>(
    map: &mut BTreeMap<Key, (Value<'a>, Value<'a>)>,
    key: Value<'a>,
    value: Value<'a>,
) -> Result<(), Fault> {
    let at = Key::of(&key)
        .ok_or_else(|| Fault::said(format!("unsupported key type: {}", key.type_name())))?;
    if map.insert(at, (key, value)).is_some() {
        return Err(Fault::said("insert failed: key already exists"));
    }
    Ok(())
}
