//! The values that nodes have for the labels that pods are spread or gathered by, as small numbers.
//!
//! Invariant: a node that does not exist has no value. A value that no node has is forgotten.

use std::collections::HashMap;

use leme_plan::common::Labels;

use crate::node::NodeState;

/// The value of nodes that have no such label.
pub(crate) const NONE: u32 = u32::MAX;
/// The label by which every node is a domain of its own.
pub(crate) const HOSTNAME: &str = "kubernetes.io/hostname";
/// More labels than that are not remembered between decisions.
const MOST: usize = 64;

/// One label of nodes.
#[derive(Debug, Default)]
pub(crate) struct Column {
    key: String,
    /// The value's number by node.
    of: Vec<u32>,
    numbers: HashMap<String, u32>,
    /// How many nodes have each value.
    members: Vec<u32>,
    vacant: Vec<u32>,
    /// How many nodes have the label.
    having: usize,
}

impl Column {
    /// The value of a node.
    pub(crate) fn of(&self, node: usize) -> u32 {
        self.of.get(node).copied().unwrap_or(NONE)
    }

    /// How many numbers there are for values.
    pub(crate) fn size(&self) -> usize {
        self.members.len()
    }

    /// How many nodes have the value.
    pub(crate) fn members(&self, value: u32) -> u32 {
        self.members.get(value as usize).copied().unwrap_or(0)
    }

    /// How many nodes have the label.
    pub(crate) fn having(&self) -> usize {
        self.having
    }

    /// Whether every node is a domain of its own.
    pub(crate) fn is_hostname(&self) -> bool {
        self.key == HOSTNAME
    }

    fn set(&mut self, node: usize, value: Option<&String>) {
        if self.of.len() <= node {
            self.of.resize(node + 1, NONE);
        }
        let old = self.of[node];
        if old != NONE {
            if value.is_some_and(|value| self.numbers.get(value) == Some(&old)) {
                return;
            }
            self.having -= 1;
            self.members[old as usize] -= 1;
            if self.members[old as usize] == 0 {
                self.numbers.retain(|_, number| *number != old);
                self.vacant.push(old);
            }
        }
        self.of[node] = value.map_or(NONE, |value| self.number(value));
        if let Some(members) = self.members.get_mut(self.of[node] as usize) {
            *members += 1;
            self.having += 1;
        }
    }

    fn number(&mut self, value: &str) -> u32 {
        if let Some(known) = self.numbers.get(value) {
            return *known;
        }
        let fresh = self.vacant.pop().unwrap_or_else(|| {
            self.members.push(0);
            u32::try_from(self.members.len() - 1).unwrap_or(NONE)
        });
        self.numbers.insert(value.to_owned(), fresh);
        fresh
    }
}

/// All labels that somebody has asked for.
#[derive(Debug, Default)]
pub(crate) struct Topology {
    by_key: HashMap<String, usize>,
    columns: Vec<Column>,
}

impl Topology {
    /// The number of a label.
    pub(crate) fn column(&mut self, key: &str, nodes: &[NodeState]) -> usize {
        if let Some(known) = self.by_key.get(key) {
            return *known;
        }
        let mut column = Column { key: key.to_owned(), ..Column::default() };
        for (index, node) in nodes.iter().enumerate().filter(|(_, node)| node.exists) {
            column.set(index, node.labels.get(key));
        }
        self.columns.push(column);
        self.by_key.insert(key.to_owned(), self.columns.len() - 1);
        self.columns.len() - 1
    }

    /// A label by its number.
    pub(crate) fn at(&self, column: usize) -> &Column {
        &self.columns[column]
    }

    /// Takes in the labels of a node, or that it is gone.
    pub(crate) fn set(&mut self, node: usize, labels: Option<&Labels>) {
        for column in &mut self.columns {
            let value = labels.and_then(|labels| labels.get(&column.key));
            column.set(node, value);
        }
    }

    /// Forgets all labels when there are too many; between decisions, since numbers change.
    pub(crate) fn trim(&mut self) {
        if self.columns.len() > MOST {
            *self = Topology::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red when the numbers of values that are gone are kept: nodes that come and go make columns grow.
    #[test]
    fn values_that_no_node_has_are_forgotten() {
        let mut column = Column { key: HOSTNAME.to_owned(), ..Column::default() };
        for round in 0..100 {
            column.set(0, Some(&format!("n{round}")));
            column.set(1, Some(&"same".to_owned()));
        }
        assert!(column.size() <= 3 && column.numbers.len() == 2 && column.having == 2);
        column.set(0, Some(&"same".to_owned()));
        assert_eq!((column.of(0), column.members(column.of(0))), (column.of(1), 2));
        column.set(0, None);
        column.set(1, None);
        assert_eq!(
            (column.having, column.numbers.len(), column.of(0), column.of(9)),
            (0, 0, NONE, NONE)
        );
    }
}
