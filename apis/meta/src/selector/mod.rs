//! Label and field selectors: the texts clients send, the objects specs hold, and whether something matches.

mod field;
mod label;
mod lex;

pub use field::{FieldRequirement, FieldSelector};
pub use label::{LabelRequirement, LabelSelector, Operator};
