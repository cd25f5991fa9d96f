//! What Go's structs are like beyond what JSON tells: the order of fields, their protobuf numbers, which are pointers.
//!
//! Knows: the text form of `numbers.txt`. Refuses to know: values.

use std::collections::HashMap;
use std::sync::OnceLock;

/// What a number stands for.
#[derive(Debug)]
pub(crate) enum Numbered {
    Field {
        name: String,
        /// Go tells a zero from nothing.
        pointer: bool,
    },
    /// The fields of another message, inlined.
    Inline(String),
}

/// A struct: its fields in Go's order, each with its number.
pub(crate) struct Message {
    fields: Vec<(u32, Numbered)>,
}

impl Message {
    /// The fields in Go's order.
    pub fn in_order(&self) -> impl Iterator<Item = (u32, &Numbered)> {
        self.fields.iter().map(|(number, field)| (*number, field))
    }

    /// What a number stands for; `None` for fields of a newer version.
    pub fn numbered(&self, number: u32) -> Option<&Numbered> {
        self.fields.iter().find(|(known, _)| *known == number).map(|(_, field)| field)
    }
}

type Table = HashMap<String, Message>;

/// The struct of a type of the field table; OpenShift's types have none.
pub(crate) fn message(type_: &str) -> Option<&'static Message> {
    table().get(type_)
}

/// The table; it is part of the program and checked by a test.
pub(super) fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    #[cfg(test)]
    return TABLE.get_or_init(|| parse(&super::tests::mutants::seen(TEXT)));
    #[cfg(not(test))]
    TABLE.get_or_init(|| parse(TEXT))
}

pub(super) const TEXT: &str = include_str!("numbers.txt");

/// The packages by their short names.
type Prefixes<'a> = HashMap<&'a str, &'a str>;

fn full_name(short: &str, prefixes: &Prefixes<'_>) -> String {
    let (prefix, name) = short.split_once(':').unwrap_or(("", short));
    format!("{}{name}", prefixes.get(prefix).unwrap_or(&""))
}

fn parse(text: &str) -> Table {
    let (mut table, mut prefixes) = (Table::new(), Prefixes::new());
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_ascii_whitespace();
        let Some(message) = words.next() else { continue };
        if message == "prefix" {
            prefixes.extend(words.next().zip(words.next()));
            continue;
        }
        let fields = words.filter_map(|word| {
            let (name, number) = word.split_once('=')?;
            let numbered = match (name.strip_prefix('+'), name.strip_suffix('*')) {
                (Some(inline), _) => Numbered::Inline(full_name(inline, &prefixes)),
                (None, Some(name)) => Numbered::Field { name: name.to_owned(), pointer: true },
                (None, None) => Numbered::Field { name: name.to_owned(), pointer: false },
            };
            Some((number.parse().ok()?, numbered))
        });
        table.insert(full_name(message, &prefixes), Message { fields: fields.collect() });
    }
    table
}
