//! Expressions as they were written.
//!
//! Refuses to know: what they mean.

use std::sync::Arc;

/// A part of an expression, and where it stands: the letter that stands for it in messages.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub at: usize,
    pub expr: Expr,
    /// How deep parts are nested in it.
    pub depth: usize,
}

#[derive(Clone, Debug)]
pub(crate) enum Expr {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Arc<str>),
    Bytes(Arc<[u8]>),
    Ident(String),
    /// `of.field`, `of.?field`, and `has(of.field)`.
    Select {
        of: Box<Node>,
        field: String,
        optional: bool,
        test: bool,
    },
    /// Operators are functions with names such as `_+_`.
    Call {
        of: Option<Box<Node>>,
        name: String,
        args: Vec<Node>,
    },
    /// Elements, each with whether it is only there if it has a value.
    List(Vec<(bool, Node)>),
    Map(Vec<(bool, Node, Node)>),
    /// `Type{field: value}`.
    Message(String),
    Loop(Box<Loop>),
}

/// A macro that goes through something.
#[derive(Clone, Debug)]
pub(crate) struct Loop {
    pub which: Macro,
    pub over: Node,
    pub names: Vec<(usize, String)>,
    /// What is asked of each, where something is.
    pub test: Option<Node>,
    /// What is made of each, where something is.
    pub made: Option<Node>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Macro {
    All,
    Exists,
    ExistsOne,
    Filter,
    /// `map` and `transformList`.
    List,
    /// `transformMap`.
    Map,
    /// `transformMapEntry`.
    Entries,
    /// `optMap`.
    Opt,
    /// `optFlatMap`.
    OptFlat,
}

/// The macros with a receiver: name, how many variables, how many other arguments, and whether the first of them tests.
pub(crate) const MACROS: &[(&str, usize, usize, bool, Macro)] = &[
    ("all", 1, 1, true, Macro::All),
    ("exists", 1, 1, true, Macro::Exists),
    ("exists_one", 1, 1, true, Macro::ExistsOne),
    ("existsOne", 1, 1, true, Macro::ExistsOne),
    ("filter", 1, 1, true, Macro::Filter),
    ("map", 1, 1, false, Macro::List),
    ("map", 1, 2, true, Macro::List),
    ("all", 2, 1, true, Macro::All),
    ("exists", 2, 1, true, Macro::Exists),
    ("existsOne", 2, 1, true, Macro::ExistsOne),
    ("exists_one", 2, 1, true, Macro::ExistsOne),
    ("transformList", 2, 1, false, Macro::List),
    ("transformList", 2, 2, true, Macro::List),
    ("transformMap", 2, 1, false, Macro::Map),
    ("transformMap", 2, 2, true, Macro::Map),
    ("transformMapEntry", 2, 1, false, Macro::Entries),
    ("transformMapEntry", 2, 2, true, Macro::Entries),
    ("optMap", 1, 1, false, Macro::Opt),
    ("optFlatMap", 1, 1, false, Macro::OptFlat),
];
