//! What is written of each type: its fields in Go's order, found by their JSON names, and what Go writes of those that
//! are not there.
//!
//! Knows: the field table joined with Go's structs. Refuses to know: values.

use std::sync::OnceLock;

use leme_meta::schema::{FieldType, TypeDef};

use super::table::{self, Numbered};
use super::write::{put_bytes, put_float, put_int_or_string, put_number, put_wrapped};

/// How a value is written.
pub(super) enum Form {
    Text,
    Int,
    Bool,
    Float,
    Bytes,
    Quantity,
    IntOrString,
    Time,
    /// JSON as it is.
    Raw,
    /// A message; `None` if nothing is known of it, and nothing that holds it can be written.
    Struct(Option<usize>),
    /// One field for each element.
    Repeated(Box<Form>),
    /// One message with the elements in its field 1: a list that has a name of its own in Go.
    Wrapped(Box<Form>),
    /// One field for each entry.
    Map(Box<Form>),
}

impl Form {
    /// How the value of a field is written.
    fn of(type_: &FieldType) -> Form {
        match type_ {
            FieldType::List(element) => Form::Repeated(Box::new(Form::of_one(element))),
            FieldType::Map(element) => Form::Map(Box::new(Form::of_one(element))),
            other => Form::of_one(other),
        }
    }

    /// How one element is written.
    fn of_one(type_: &FieldType) -> Form {
        match type_ {
            FieldType::String => Form::Text,
            FieldType::Int32 | FieldType::Int64 => Form::Int,
            FieldType::Bool => Form::Bool,
            FieldType::Number => Form::Float,
            FieldType::Bytes => Form::Bytes,
            FieldType::Quantity => Form::Quantity,
            FieldType::IntOrString => Form::IntOrString,
            FieldType::Time | FieldType::MicroTime => Form::Time,
            FieldType::Raw => Form::Raw,
            FieldType::Ref(name) => Form::Struct(leme_kinds::schemas().place_of(name)),
            FieldType::List(element) => Form::Wrapped(Box::new(Form::of_one(element))),
            // No type of Go's has maps of maps.
            FieldType::Map(_) => Form::Struct(None),
        }
    }

    /// The zero of it behind `number`, as Go writes it.
    pub fn zero(&self, number: u32) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Form::Text | Form::Time | Form::Wrapped(_) => put_bytes(&mut out, number, b""),
            Form::Int | Form::Bool => put_number(&mut out, number, 0),
            Form::Float => put_float(&mut out, number, 0.0),
            Form::Quantity => put_wrapped(&mut out, number, b"0"),
            Form::IntOrString => put_int_or_string(&mut out, number, Err(0)),
            Form::Struct(place) => {
                if let Some(plan) = place.and_then(of) {
                    put_bytes(&mut out, number, &plan.assembled(&[], &[]));
                }
            }
            Form::Bytes | Form::Raw | Form::Repeated(_) | Form::Map(_) => {}
        }
        out
    }
}

/// A field of a struct, or of one inlined in it.
pub(super) struct Slot {
    pub number: u32,
    pub form: Form,
    /// What is written if the field is not there.
    zero: Vec<u8>,
}

enum Part {
    Slot(usize),
    Inline(u32, Vec<Part>),
}

/// Where the bytes of a field lie, by its slot.
pub(super) type Span = (usize, std::ops::Range<usize>);

/// A struct.
pub(super) struct Plan {
    /// The slots by their JSON names, sorted.
    names: Vec<(&'static str, usize)>,
    pub slots: Vec<Slot>,
    parts: Vec<Part>,
}

impl Plan {
    /// The slot of a JSON field.
    pub fn slot(&self, name: &str) -> Option<usize> {
        let at = self.names.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
        Some(self.names[at].1)
    }

    /// The message in Go's order of fields that were written into `body` in any order; `spans` are sorted by slot.
    pub fn assembled(&self, body: &[u8], spans: &[Span]) -> Vec<u8> {
        let mut out = Vec::with_capacity(body.len() + 32);
        self.put(&self.parts, body, &mut spans.iter().peekable(), &mut out);
        out
    }

    fn put<'s>(
        &self,
        parts: &[Part],
        body: &[u8],
        spans: &mut std::iter::Peekable<impl Iterator<Item = &'s Span>>,
        out: &mut Vec<u8>,
    ) {
        for part in parts {
            match part {
                Part::Inline(number, parts) => {
                    let mut inner = Vec::new();
                    self.put(parts, body, spans, &mut inner);
                    put_bytes(out, *number, &inner);
                }
                Part::Slot(slot) => match spans.next_if(|(at, _)| at == slot) {
                    Some((_, range)) => out.extend_from_slice(&body[range.clone()]),
                    None => out.extend_from_slice(&self.slots[*slot].zero),
                },
            }
        }
    }

    fn made(def: &'static TypeDef) -> Option<Plan> {
        let mut plan = Plan { names: Vec::new(), slots: Vec::new(), parts: Vec::new() };
        plan.parts = match table::message(&def.name) {
            Some(_) => plan.parts_of(def, &def.name)?,
            // A struct without fields has no numbers, and is there or not.
            None if def.fields.is_empty() => Vec::new(),
            None => return None,
        };
        plan.names.sort_unstable();
        Some(plan)
    }

    /// The fields of the message `name`, whose types are those of `def`: another one for inlined messages.
    fn parts_of(&mut self, def: &'static TypeDef, name: &str) -> Option<Vec<Part>> {
        let mut fields: Vec<(u32, &'static Numbered)> = table::message(name)?.in_order().collect();
        fields.sort_unstable_by_key(|(number, _)| *number);
        let mut parts = Vec::with_capacity(fields.len());
        for (number, field) in fields {
            match field {
                Numbered::Inline(inline) => {
                    parts.push(Part::Inline(number, self.parts_of(def, inline)?));
                }
                Numbered::Field { name, pointer } => {
                    let Some(known) = def.field(name) else { continue };
                    let form = Form::of(&known.type_);
                    let zero = if *pointer { Vec::new() } else { form.zero(number) };
                    parts.push(Part::Slot(self.slots.len()));
                    self.names.push((name, self.slots.len()));
                    self.slots.push(Slot { number, form, zero });
                }
            }
        }
        Some(parts)
    }
}

/// A type of the field table, and what is written of it, once that was asked.
type Place = (&'static TypeDef, OnceLock<Option<Plan>>);

/// The type at a place of the field table; `None` for one that has no such encoding.
pub(super) fn of(place: usize) -> Option<&'static Plan> {
    static PLANS: OnceLock<Vec<Place>> = OnceLock::new();
    let plans = PLANS
        .get_or_init(|| leme_kinds::schemas().types().map(|def| (def, OnceLock::new())).collect());
    let (def, plan) = plans.get(place)?;
    plan.get_or_init(|| Plan::made(def)).as_ref()
}
