//! Dockerfiles: text in, stages of typed instructions out; variables, ignore files, the image's configuration.
//!
//! Knows: the language, in docker's words. Refuses to know: files, processes, time, what a step costs.
#![forbid(unsafe_code)]

mod expand;
mod flags;
pub mod glob;
mod health;
pub mod ignore;
pub mod image;
pub mod instruction;
mod kind;
mod lines;
pub mod mount;
pub mod paths;
mod split;
pub mod stages;
mod words;

pub use kind::{Command, Heredoc, Instruction, Kind, Run, Source, Transfer};
pub use stages::{Dockerfile, Stage};
pub use words::{Env, expand_document, expand_word, expand_words};

/// What is wrong with a Dockerfile, with the line if it is one line's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Counted from one; 0 if it is the file as a whole.
    pub line: usize,
    /// In docker's words.
    pub what: String,
}

impl Wrong {
    pub(crate) fn at(line: usize, what: impl Into<String>) -> Wrong {
        Wrong { line, what: what.into() }
    }
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => f.write_str(&self.what),
            line => write!(f, "dockerfile parse error on line {line}: {}", self.what),
        }
    }
}

impl std::error::Error for Wrong {}
