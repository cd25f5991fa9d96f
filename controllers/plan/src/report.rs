//! What a plan says about itself: what it waits for, and where the API tells of it. Events are rendered from it; conditions
//! are written by actions of the same plan, and the command line has rules of its own for what an object waits for.

use crate::action::ObjectRef;

/// Where the API tells of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A Normal Event on the object.
    Event,
    /// A Warning Event on the object.
    Warning,
    /// In the object's status or conditions, written by an action of the same plan, or in the object waited on.
    Status,
}

/// One thing that is being waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Machine-readable reason.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// The object that has to change, if there is one.
    pub on: Option<ObjectRef>,
    /// Where the API tells of it.
    pub shown: Shown,
}

impl Waiting {
    /// A wait on nothing in particular.
    pub fn new(reason: &'static str, message: impl Into<String>, shown: Shown) -> Waiting {
        Waiting { reason, message: message.into(), on: None, shown }
    }

    /// The same wait, on an object.
    pub fn on(mut self, object: ObjectRef) -> Waiting {
        self.on = Some(object);
        self
    }
}

/// What a plan is waiting for, and for whom.
#[must_use]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The object that waits: Events are about it.
    pub about: Option<ObjectRef>,
    /// What it waits for; empty when all is as desired.
    pub waiting: Vec<Waiting>,
}

impl Report {
    /// A report about an object.
    pub fn about(object: ObjectRef) -> Report {
        Report { about: Some(object), waiting: Vec::new() }
    }
}
