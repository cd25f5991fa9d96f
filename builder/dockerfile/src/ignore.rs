//! `.dockerignore`: what of the context a build does not see.
//!
//! Knows: its patterns, the last of which decides. Refuses to know: files.

use crate::glob::Pattern;
use crate::paths;

/// Bytes of an ignore file at most, and patterns in it.
const FILE: usize = 1 << 20;
const PATTERNS: usize = 10_000;

/// The patterns of an ignore file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    /// Whether what it means is seen after all.
    again: bool,
    pattern: Pattern,
}

impl Ignore {
    /// Reads an ignore file.
    ///
    /// # Errors
    /// When a pattern is none.
    pub fn read(bytes: &[u8]) -> Result<Ignore, String> {
        if bytes.len() > FILE {
            return Err(format!(".dockerignore is larger than {FILE} bytes"));
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = String::from_utf8_lossy(bytes);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Ignore::of(lines.map(str::trim).filter(|line| !line.is_empty()))
    }

    /// Of patterns, such as each `--exclude`.
    ///
    /// # Errors
    /// When a pattern is none.
    pub fn of<'a>(patterns: impl Iterator<Item = &'a str>) -> Result<Ignore, String> {
        let mut rules = Vec::new();
        for text in patterns {
            let (again, path) = match text.strip_prefix('!') {
                Some(path) => (true, path.trim()),
                None => (false, text),
            };
            if path.is_empty() {
                return Err("illegal exclusion pattern: \"!\"".to_owned());
            }
            let path = paths::clean(path);
            let path = path.strip_prefix('/').filter(|rest| !rest.is_empty()).unwrap_or(&path);
            let pattern = Pattern::of_path(path).map_err(|why| format!("{text:?}: {why}"))?;
            rules.push(Rule { again, pattern });
            if rules.len() > PATTERNS {
                return Err(format!("more than {PATTERNS} patterns"));
            }
        }
        Ok(Ignore { rules })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether a path below the context is not seen. A pattern that means a directory means all below it.
    pub fn hides(&self, path: &str) -> bool {
        let mut hidden = false;
        for rule in &self.rules {
            // A rule that would change nothing need not be tried.
            if rule.again == hidden && rule.means(path) {
                hidden = !rule.again;
            }
        }
        hidden
    }

    /// Whether something below a hidden directory may be seen after all.
    pub fn has_exceptions(&self) -> bool {
        self.rules.iter().any(|rule| rule.again)
    }
}

impl Rule {
    fn means(&self, path: &str) -> bool {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        ends.into_iter().any(|end| self.pattern.matches(&path[..end]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pattern_decides() {
        let file = b"\xef\xbb\xbf# comment\n\n/target/\n**/*.log\nnode_modules\n!keep.log\ndocs/*\n!docs/README.md\n*.tmp \n";
        let ignore = Ignore::read(file).unwrap();
        for (path, hidden) in [
            ("target", true),
            ("target/a/b", true),
            ("a/target", false),
            ("x.log", true),
            ("a/b/x.log", true),
            ("keep.log", false),
            ("a/keep.log", true),
            ("node_modules/x", true),
            ("a/node_modules", false),
            ("docs/a.md", true),
            ("docs/README.md", false),
            ("docs", false),
            ("a.tmp", true),
            ("a/b.tmp", false),
        ] {
            assert_eq!(ignore.hides(path), hidden, "{path}");
        }
        assert!(Ignore::default().is_empty() && !Ignore::default().hides("x"));
        let all = Ignore::read(b"*\n!src").unwrap();
        assert!(all.hides("a") && !all.hides("src") && !all.hides("src/a"));
        for bad in ["!", "[", "a\\"] {
            assert!(Ignore::read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
