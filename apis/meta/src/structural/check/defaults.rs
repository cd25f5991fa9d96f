//! Whether the defaults of a schema fit the schema.

use crate::structural::go::GoJson;
use crate::structural::prune::prune_part;
use crate::structural::validate::{FUEL, spending};
use crate::structural::{Structural, embedded};
use crate::{FieldError, Path};

/// Every default of a schema that does not fit it.
pub(super) fn check(schema: &Structural, path: &Path) -> Vec<FieldError> {
    let mut walk = Walk { errors: Vec::new(), fuel: FUEL };
    walk.node(schema, path);
    walk.errors
}

struct Walk {
    errors: Vec<FieldError>,
    fuel: u32,
}

impl Walk {
    fn node(&mut self, schema: &Structural, path: &Path) {
        if let Some(default) = &schema.default {
            let at = path.child("default");
            let mut known = default.clone();
            prune_part(schema, &mut known);
            if known != *default {
                let why = "must not have unknown fields";
                self.errors.push(FieldError::invalid(&at, GoJson(default), why));
            }
            let mut wrong = embedded::unnamed(schema, &at, default);
            if wrong.is_empty() {
                wrong = spending(schema, default, None, &at, &mut self.fuel);
            }
            self.errors.extend(wrong);
        }
        if let Some(items) = &schema.items {
            self.node(items, &path.child("items"));
        }
        for (name, property) in schema.properties.iter() {
            self.node(property, &path.child("properties").key(name));
        }
    }
}
