//! Sets of fields: a tree of steps, each of which may be a member itself, have members below it, or both.
//!
//! Knows: the operations on sets and their text as FieldsV1. Refuses to know: objects and schemas.

use std::cmp::Ordering;
use std::fmt;

use serde_json::{Map, Value};

use super::element::{Element, NotAnElement};
use super::go;

/// A set of fields. Steps are sorted, and none is kept that is no member and has none below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet<'a> {
    nodes: Vec<Node<'a>>,
}

/// One step of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node<'a> {
    /// The step.
    pub element: Element<'a>,
    /// Whether what it leads to is a member itself.
    pub member: bool,
    /// The members below it.
    pub below: FieldSet<'a>,
}

/// What is kept of a step that only one of two sets has, or both have.
type Rule<'a> = fn(Option<&Node<'a>>, Option<&Node<'a>>) -> Option<Node<'a>>;

impl<'a> FieldSet<'a> {
    /// The set of nothing.
    pub const EMPTY: FieldSet<'static> = FieldSet { nodes: Vec::new() };

    /// The steps, sorted.
    pub fn nodes(&self) -> &[Node<'a>] {
        &self.nodes
    }

    /// Whether nothing is a member.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.nodes.iter().map(|node| usize::from(node.member) + node.below.len()).sum()
    }

    fn find(&self, element: &Element) -> Result<usize, usize> {
        self.nodes.binary_search_by(|node| node.element.cmp(element))
    }

    /// The step of an element.
    pub fn get(&self, element: &Element) -> Option<&Node<'a>> {
        self.find(element).ok().and_then(|at| self.nodes.get(at))
    }

    /// Adds a path; the parents of it are not added.
    pub fn insert(&mut self, path: &[Element<'a>]) {
        let Some((first, rest)) = path.split_first() else { return };
        let at = match self.find(first) {
            Ok(at) => at,
            Err(at) => {
                let node =
                    Node { element: first.clone(), member: false, below: FieldSet::default() };
                self.nodes.insert(at, node);
                at
            }
        };
        if let Some(node) = self.nodes.get_mut(at) {
            if rest.is_empty() {
                node.member = true;
            } else {
                node.below.insert(rest);
            }
        }
    }

    /// Whether a path is a member.
    pub fn has(&self, path: &[Element]) -> bool {
        match path.split_first() {
            None => false,
            Some((first, [])) => self.get(first).is_some_and(|node| node.member),
            Some((first, rest)) => self.get(first).is_some_and(|node| node.below.has(rest)),
        }
    }

    /// Adds a step with what is below it, if there is anything to add.
    pub(super) fn put(&mut self, element: Element<'a>, member: bool, below: FieldSet<'a>) {
        if !member && below.is_empty() {
            return;
        }
        let node = Node { element, member, below };
        match self.nodes.last() {
            Some(last) if last.element >= node.element => match self.find(&node.element) {
                Err(at) => self.nodes.insert(at, node),
                Ok(at) => {
                    if let Some(there) = self.nodes.get_mut(at) {
                        there.member |= node.member;
                        there.below = there.below.union(&node.below);
                    }
                }
            },
            _ => self.nodes.push(node),
        }
    }

    fn zip(&self, other: &FieldSet<'a>, rule: Rule<'a>) -> FieldSet<'a> {
        let (mut ours, mut theirs) = (self.nodes.iter().peekable(), other.nodes.iter().peekable());
        let mut nodes = Vec::with_capacity(self.nodes.len());
        loop {
            let order = match (ours.peek(), theirs.peek()) {
                (None, None) => return FieldSet { nodes },
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(one), Some(other)) => one.element.cmp(&other.element),
            };
            let one = if order.is_le() { ours.next() } else { None };
            let other = if order.is_ge() { theirs.next() } else { None };
            nodes.extend(rule(one, other).filter(|node| node.member || !node.below.is_empty()));
        }
    }

    /// What is in either set.
    pub fn union(&self, other: &FieldSet<'a>) -> FieldSet<'a> {
        if other.is_empty() {
            return self.clone();
        }
        self.zip(other, |one, other| match (one, other) {
            (Some(one), Some(other)) => Some(Node {
                element: one.element.clone(),
                member: one.member || other.member,
                below: one.below.union(&other.below),
            }),
            (one, other) => one.or(other).cloned(),
        })
    }

    /// What is in both sets.
    pub fn intersection(&self, other: &FieldSet<'a>) -> FieldSet<'a> {
        self.zip(other, |one, other| {
            let (one, other) = (one?, other?);
            Some(Node {
                element: one.element.clone(),
                member: one.member && other.member,
                below: one.below.intersection(&other.below),
            })
        })
    }

    /// What is in this set and not in the other. What is below a member of the other stays.
    pub fn difference(&self, other: &FieldSet) -> FieldSet<'a> {
        let mut left = self.clone();
        left.subtract(other);
        left
    }

    /// Takes the members of another set out of this one. What is below them stays.
    pub fn subtract(&mut self, other: &FieldSet) {
        for theirs in &other.nodes {
            let Ok(at) = self.find(&theirs.element) else { continue };
            let Some(ours) = self.nodes.get_mut(at) else { continue };
            ours.member &= !theirs.member;
            ours.below.subtract(&theirs.below);
            if !ours.member && ours.below.is_empty() {
                self.nodes.remove(at);
            }
        }
    }

    /// Takes a field out by the names on the way to it, with all below it or without.
    pub fn forget(&mut self, path: &[&str], all_below: bool) {
        let Some((name, rest)) = path.split_first() else { return };
        let Ok(at) = self.find(&Element::field(*name)) else { return };
        let Some(node) = self.nodes.get_mut(at) else { return };
        if !rest.is_empty() {
            node.below.forget(rest, all_below);
        } else {
            node.member = false;
            if all_below {
                node.below.nodes.clear();
            }
        }
        if !node.member && node.below.is_empty() {
            self.nodes.remove(at);
        }
    }

    /// Keeps only what lies on one of the paths or below its end; `*` is any step.
    pub fn narrow(&mut self, paths: &[&[&str]]) {
        self.nodes.retain_mut(|node| {
            let leads = |name: &str| name == "*" || node.element == Element::field(name);
            let on = paths.iter().filter_map(|path| path.split_first());
            let rests: Vec<&[&str]> =
                on.filter(|(name, _)| leads(name)).map(|(_, rest)| rest).collect();
            if rests.is_empty() {
                return false;
            }
            if !rests.iter().any(|rest| rest.is_empty()) {
                node.below.narrow(&rests);
            }
            node.member || !node.below.is_empty()
        });
    }

    /// The members that have no member below them.
    pub fn leaves(&self) -> FieldSet<'a> {
        let leaf = |node: &Node<'a>| Node {
            element: node.element.clone(),
            member: node.member && node.below.is_empty(),
            below: node.below.leaves(),
        };
        FieldSet { nodes: self.nodes.iter().map(leaf).collect() }
    }

    /// Every path: the members of a level first, then what is below each.
    pub fn paths(&self) -> Vec<Vec<Element<'a>>> {
        let mut paths = Vec::new();
        self.collect(&mut Vec::new(), &mut paths);
        paths
    }

    fn collect(&self, prefix: &mut Vec<Element<'a>>, paths: &mut Vec<Vec<Element<'a>>>) {
        for node in self.nodes.iter().filter(|node| node.member) {
            let mut path = prefix.clone();
            path.push(node.element.clone());
            paths.push(path);
        }
        for node in &self.nodes {
            prefix.push(node.element.clone());
            node.below.collect(prefix, paths);
            prefix.pop();
        }
    }

    /// Reads FieldsV1. Steps of a sort that nobody knows are dropped.
    pub fn from_value(fields: &'a Value) -> Result<FieldSet<'a>, String> {
        match fields {
            Value::Null => Ok(FieldSet::default()),
            Value::Object(map) => FieldSet::read(map).map(|(set, _)| set),
            other => Err(format!("expected an object of fields, got {}", go::type_name(other))),
        }
    }

    /// The set of a map, and whether what has it is a member itself: if it says so, or if nothing is below it.
    fn read(map: &'a Map<String, Value>) -> Result<(FieldSet<'a>, bool), String> {
        let mut set = FieldSet { nodes: Vec::with_capacity(map.len()) };
        let mut member = false;
        for (text, value) in map {
            if text == "." {
                member = true;
                continue;
            }
            let element = match Element::parse(text) {
                Ok(element) => element,
                Err(NotAnElement::Unknown) => continue,
                Err(NotAnElement::Wrong(why)) => {
                    return Err(format!("parsing key as path element: {why}"));
                }
            };
            let (below, member) = match value {
                Value::Object(map) => FieldSet::read(map)?,
                Value::Null => (FieldSet::default(), true),
                other => return Err(format!("expected an object, got {}", go::type_name(other))),
            };
            set.put(element, member, below);
        }
        let member = member || set.is_empty();
        Ok((set, member))
    }

    /// FieldsV1 as a document.
    pub fn to_value(&self) -> Value {
        Value::Object(self.to_map(false))
    }

    fn to_map(&self, member: bool) -> Map<String, Value> {
        let this = (member && !self.is_empty()).then(|| (".".to_owned(), Map::new().into()));
        let below = self.nodes.iter().map(|node| {
            let mut text = String::new();
            node.element.write(&mut text);
            (text, Value::Object(node.below.to_map(node.member)))
        });
        this.into_iter().chain(below).collect()
    }

    /// FieldsV1 as text, its steps in the order that upstream writes them in.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write(false, &mut out);
        out
    }

    fn write(&self, member: bool, out: &mut String) {
        out.push('{');
        let mut more = false;
        if member && !self.is_empty() {
            out.push_str("\".\":{}");
            more = true;
        }
        for node in &self.nodes {
            if more {
                out.push(',');
            }
            more = true;
            match &node.element {
                Element::Field(name) => {
                    out.push_str("\"f:");
                    crate::go::json_escaped(name, out);
                    out.push('"');
                }
                other => {
                    let mut text = String::new();
                    other.write(&mut text);
                    crate::go::json_text(&text, out);
                }
            }
            out.push(':');
            node.below.write(node.member, out);
        }
        out.push('}');
    }
}

impl fmt::Display for FieldSet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, path) in self.paths().iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&path_text(path))?;
        }
        Ok(())
    }
}

/// A path as messages show it, such as `.spec.containers[name="web"].image`.
pub fn path_text(path: &[Element]) -> String {
    path.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
#[path = "set_tests.rs"]
mod tests;
