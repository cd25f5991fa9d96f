//! A definition as upstream looks at it: what all versions have in common stands once, above them.
//!
//! Knows: which paths errors are told at. Refuses to know: what is wrong.

use leme_meta::Path;
use leme_registry::json;
use serde_json::Value;

/// The parts of versions that may be in common, and where they are told then.
const PARTS: [(&str, &str); 4] = [
    ("schema", "validation"),
    ("subresources", "subresources"),
    ("additionalPrinterColumns", "additionalPrinterColumns"),
    ("selectableFields", "selectableFields"),
];

/// The spec of a definition.
pub(super) struct View<'a> {
    pub(super) spec: &'a Value,
    pub(super) versions: &'a [Value],
    common: [bool; 4],
}

impl<'a> View<'a> {
    pub(super) fn of(spec: &'a Value) -> View<'a> {
        let versions = json::list(spec, &["versions"]);
        let part = |version: &'a Value, name: &str| {
            let lists = !matches!(name, "schema" | "subresources");
            json::at(version, &[name])
                .filter(|part| !(lists && part.as_array().is_some_and(Vec::is_empty)))
        };
        let common = PARTS.map(|(name, _)| {
            let first = versions.first().and_then(|version| part(version, name));
            !versions.is_empty() && versions.iter().all(|version| part(version, name) == first)
        });
        View { spec, versions, common }
    }

    /// Whether all versions have the same.
    pub(super) fn common(&self, name: &str) -> bool {
        PARTS.iter().zip(self.common).any(|((part, _), common)| *part == name && common)
    }

    /// What versions say of something, each once, with the path it is told at and the version it is of; none if it is
    /// of all.
    pub(super) fn parts(&self, name: &'static str) -> Vec<(Option<&'a Value>, Path, &'a Value)> {
        let spec = Path::new("spec");
        let above = PARTS.iter().find(|(part, _)| *part == name).map_or(name, |(_, above)| above);
        if self.common(name) {
            let first = self.versions.first().and_then(|version| json::at(version, &[name]));
            return first.map(|part| (None, spec.child(above), part)).into_iter().collect();
        }
        let versions = self.versions.iter().enumerate();
        versions
            .filter_map(|(index, version)| {
                let path = spec.child("versions").index(index).child(name);
                Some((Some(version), path, json::at(version, &[name])?))
            })
            .collect()
    }
}
