//! What the labels of a namespace ask of its pods.
//!
//! Knows: levels, versions of them, the labels and how they are read. Refuses to know: what a level means.

use std::fmt;

use leme_meta::field::{FieldError, Path};
use leme_registry::json;
use serde_json::Value;

/// How much of the host pods may have; the later, the less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Everything.
    Privileged,
    /// What does not lead out of the pod by a known way.
    Baseline,
    /// What hardened programs need.
    Restricted,
}

const LEVELS: [(&str, Level); 3] = [
    ("privileged", Level::Privileged),
    ("baseline", Level::Baseline),
    ("restricted", Level::Restricted),
];

impl Level {
    /// The level of a name.
    ///
    /// # Errors
    /// What a name must be.
    pub fn parse(text: &str) -> Result<Level, String> {
        let found = LEVELS.iter().find(|(name, _)| *name == text).map(|(_, level)| *level);
        let names = LEVELS.map(|(name, _)| name);
        found.ok_or_else(|| format!("must be one of {}", names.join(", ")))
    }
}

/// Which release's idea of a level counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// That of `v1.N`.
    Minor(i64),
    /// That of this server.
    Latest,
}

impl Version {
    /// The version of a name.
    ///
    /// # Errors
    /// What a name must be.
    pub fn parse(text: &str) -> Result<Version, String> {
        if text == "latest" {
            return Ok(Version::Latest);
        }
        let minor = text.strip_prefix("v1.").filter(|digits| {
            digits.bytes().all(|byte| byte.is_ascii_digit())
                && (digits.len() == 1 || !digits.starts_with('0'))
        });
        let minor = minor.and_then(|digits| digits.parse().ok());
        minor.map(Version::Minor).ok_or_else(|| "must be \"latest\" or \"v1.x\"".to_owned())
    }
}

/// A level as a release has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelVersion {
    /// The level.
    pub level: Level,
    /// The release.
    pub version: Version,
}

impl fmt::Display for LevelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = LEVELS.iter().find(|(_, level)| *level == self.level).map_or("", |one| one.0);
        match self.version {
            Version::Latest => write!(f, "{name}:latest"),
            Version::Minor(minor) => write!(f, "{name}:v1.{minor}"),
        }
    }
}

/// What is asked of the pods of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What refuses pods.
    pub enforce: LevelVersion,
    /// What is told to nobody but an audit.
    pub audit: LevelVersion,
    /// What whoever writes is warned of.
    pub warn: LevelVersion,
}

impl Policy {
    /// What is asked where nobody says anything: nothing.
    pub const NONE: Policy = {
        let nothing = LevelVersion { level: Level::Privileged, version: Version::Latest };
        Policy { enforce: nothing, audit: nothing, warn: nothing }
    };

    /// Whether nothing is asked of pods.
    pub fn asks_nothing(&self) -> bool {
        [self.enforce, self.warn].iter().all(|one| one.level == Level::Privileged)
    }

    /// What the labels of a namespace ask for, where they are silent what is asked otherwise; and what is wrong with them.
    /// Where they cannot be read pods are held to all there is, and nobody is warned.
    pub fn of(namespace: &Value, otherwise: Policy) -> (Policy, Vec<FieldError>) {
        let labels = json::at(namespace, &["metadata", "labels"]).unwrap_or(&Value::Null);
        let mut labels = Labels { labels, errors: Vec::new() };
        let mut policy = otherwise;
        let enforced = labels.mode("enforce", Level::Restricted, &mut policy.enforce);
        labels.mode("audit", Level::Privileged, &mut policy.audit);
        let warned = labels.mode("warn", Level::Privileged, &mut policy.warn);
        let stricter = policy.enforce.level > policy.warn.level;
        if warned.level.is_none() && enforced.level == Some(true) && stricter {
            policy.warn.level = policy.enforce.level;
            if warned.version.is_none() {
                policy.warn.version = policy.enforce.version;
            }
        }
        (policy, labels.errors)
    }
}

/// Whether a level and a version are given, and whether they could be read.
struct Given {
    level: Option<bool>,
    version: Option<bool>,
}

struct Labels<'a> {
    labels: &'a Value,
    errors: Vec<FieldError>,
}

impl Labels<'_> {
    /// Reads the two labels of a mode into what is asked.
    fn mode(&mut self, mode: &str, unreadable: Level, into: &mut LevelVersion) -> Given {
        let level = self.label(mode, Level::parse);
        if let Some(level) = level {
            into.level = level.unwrap_or(unreadable);
        }
        let version = self.label(&format!("{mode}-version"), Version::parse);
        if let Some(version) = version {
            into.version = version.unwrap_or(Version::Latest);
        }
        Given { level: level.map(|one| one.is_some()), version: version.map(|one| one.is_some()) }
    }

    /// What a label says, `None` within if that cannot be read.
    fn label<T>(&mut self, name: &str, parse: fn(&str) -> Result<T, String>) -> Option<Option<T>> {
        let name = format!("pod-security.kubernetes.io/{name}");
        let text = self.labels.get(&name)?.as_str().unwrap_or("");
        Some(
            parse(text)
                .map_err(|why| {
                    let path = Path::new("metadata").child("labels").key(&name);
                    self.errors.push(FieldError::invalid(&path, text, &why));
                })
                .ok(),
        )
    }
}
