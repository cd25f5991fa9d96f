//! Admission: what may change or refuse a write besides the rules of its kind.
//!
//! Knows: where on the write path it is asked, and what about. Refuses to know: who answers, and on the ground of what.

use leme_kinds::Kind;
use leme_meta::Status;
use serde_json::Value;

use crate::{Context, Target, User, json};

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It is made.
    Create,
    /// It, or a part of it, is replaced.
    Update,
    /// It goes.
    Delete,
}

/// A write that waits for admission.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// What is done.
    pub operation: Operation,
    /// Row of the kind, as it is kept.
    pub kind: &'a Kind,
    /// Subresource, often empty.
    pub subresource: &'a str,
    /// Namespace, empty for cluster-scoped kinds.
    pub namespace: &'a str,
    /// The name that refusals call the object by.
    pub name: &'a str,
    /// Whether nothing will be stored.
    pub dry_run: bool,
    /// Who asks; nobody, if the server itself does.
    pub user: Option<User<'a>>,
}

impl Asked<'_> {
    /// Whether it is about a resource itself, not about a subresource.
    pub fn is_of(&self, group: &str, plural: &str) -> bool {
        // In the order in which most writes are told apart.
        self.kind.plural == plural && self.subresource.is_empty() && self.kind.group == group
    }

    /// Whether it is about a subresource of a resource.
    pub fn is_below(&self, group: &str, plural: &str, subresource: &str) -> bool {
        self.subresource == subresource && self.kind.plural == plural && self.kind.group == group
    }

    /// Whether an object of a resource is made.
    pub fn creates(&self, group: &str, plural: &str) -> bool {
        self.operation == Operation::Create && self.is_of(group, plural)
    }

    /// The 403 with a reason.
    pub fn forbidden(&self, why: &str) -> Status {
        Status::forbidden(&self.kind.gvr(), self.name, why)
    }
}

/// Who is asked on the write path: once the object has its defaults, and once it has been found valid.
pub trait Admission: Sync {
    /// Changes an object before it is prepared and validated, or refuses it; `None` as the old one on create.
    fn mutate(&self, asked: &Asked, new: &mut Value, old: Option<&Value>) -> Result<(), Status>;
    /// Refuses what is valid; `None` as the new one on delete, as the old one on create.
    fn validate(
        &self,
        asked: &Asked,
        new: Option<&Value>,
        old: Option<&Value>,
    ) -> Result<(), Status>;
}

/// Admission that neither changes nor refuses anything.
pub struct AdmitAll;

impl Admission for AdmitAll {
    fn mutate(&self, _: &Asked, _: &mut Value, _: Option<&Value>) -> Result<(), Status> {
        Ok(())
    }

    fn validate(&self, _: &Asked, _: Option<&Value>, _: Option<&Value>) -> Result<(), Status> {
        Ok(())
    }
}

/// The name by which a refusal calls an object, which may have none yet.
pub fn shown_name<'a>(named: &'a str, object: &'a Value) -> &'a str {
    let text = |field| json::text(object, &["metadata", field]);
    let names = [named, text("name"), text("generateName")];
    names.into_iter().find(|name| !name.is_empty()).unwrap_or("Unknown")
}

impl Context<'_> {
    /// What admission is asked about an object.
    pub(crate) fn asked<'a>(
        &'a self,
        operation: Operation,
        target: Target,
        name: &'a str,
    ) -> Asked<'a> {
        Asked {
            operation,
            kind: self.kind,
            subresource: target.subresource(),
            namespace: self.namespace,
            name,
            dry_run: self.dry_run,
            user: self.user,
        }
    }
}
