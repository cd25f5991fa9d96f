//! An expression that has been checked, ready to be carried out.

use std::sync::Arc;

use leme_meta::structural::Pattern;

use crate::ast::Macro;
use crate::functions::Row;

/// A part of an expression. Variables are known by their places.
pub(crate) enum Code {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Arc<str>),
    Bytes(Arc<[u8]>),
    /// The name of a type.
    Type(&'static str),
    Variable(usize),
    Field {
        of: Box<Code>,
        name: Arc<str>,
    },
    /// `of.?name`.
    Perhaps {
        of: Box<Code>,
        name: Arc<str>,
    },
    /// `has(of.name)`.
    Has {
        of: Box<Code>,
        name: Arc<str>,
    },
    All(Vec<Code>),
    Any(Vec<Code>),
    If(Box<[Code; 3]>),
    List(Vec<(bool, Code)>),
    Map(Vec<(bool, Code, Code)>),
    Call {
        rows: Vec<&'static Row>,
        args: Vec<Code>,
    },
    /// A pattern that the rule states.
    Matches {
        of: Box<Code>,
        pattern: Pattern,
    },
    Loop(Box<Each>),
}

/// What goes through something.
pub(crate) struct Each {
    pub which: Macro,
    pub over: Code,
    /// Whether both places and values are wanted.
    pub pairs: bool,
    pub test: Option<Code>,
    pub made: Option<Code>,
}
