//! Flags of instructions: `--chown=a`, `--link`.
//!
//! Knows: which an instruction has, and docker's words for others. Refuses to know: what they mean.

use std::collections::BTreeMap;

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// `true` or `false`, or nothing.
    Bool,
    /// One value.
    Text,
    /// A value each time it stands there.
    Texts,
}

/// Flags as they were given.
#[derive(Debug, Default)]
pub(crate) struct Flags(BTreeMap<String, Vec<String>>);

impl Flags {
    pub(crate) fn read(given: &[String], known: &[(&str, Takes)]) -> Result<Flags, String> {
        let mut flags = Flags::default();
        for flag in given {
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (flag.as_str(), None),
            };
            let key = name.trim_start_matches("--");
            let takes = known.iter().find(|(known, _)| *known == key).map(|(_, takes)| *takes);
            let takes = takes.ok_or_else(|| format!("unknown flag: {name}"))?;
            let before = flags.0.entry(key.to_owned()).or_default();
            if !before.is_empty() && takes != Takes::Texts {
                return Err(format!("duplicate flag specified: {name}"));
            }
            before.push(match (takes, value) {
                (Takes::Bool, None) => "true".to_owned(),
                (_, None) => return Err(format!("missing a value on flag: {name}")),
                (Takes::Bool, Some("")) => return Err(format!("missing a value on flag: {name}")),
                (Takes::Bool, Some(value)) => match value.to_ascii_lowercase().as_str() {
                    known @ ("true" | "false") => known.to_owned(),
                    _ => {
                        let what = format!("expecting boolean value for flag {name}, not: {value}");
                        return Err(what);
                    }
                },
                (_, Some(value)) => value.to_owned(),
            });
        }
        Ok(flags)
    }

    pub(crate) fn is_true(&self, name: &str) -> bool {
        self.texts(name).first().is_some_and(|value| value == "true")
    }

    pub(crate) fn bool(&self, name: &str) -> Option<bool> {
        self.texts(name).first().map(|value| value == "true")
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.texts(name).first().cloned().filter(|value| !value.is_empty())
    }

    pub(crate) fn texts(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }
}
