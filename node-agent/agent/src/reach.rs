//! Whether the API lets this node in: said once when it does not, and once when it does again.
//!
//! Knows: what was tried last and how it went. Refuses to know: what the calls are for.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a failure lasts before it is one to speak of: a start has a few.
const PATIENCE: Duration = Duration::from_secs(3);

/// A change that whoever runs the node should hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The API has not let this node do something for a while: what, and the error.
    Lost(String),
    /// It lets it do everything again.
    Back,
}

/// How the node gets on with the API.
#[derive(Debug, Default)]
pub struct Reach {
    /// What fails, since when.
    failing: BTreeMap<&'static str, Instant>,
    told: bool,
}

impl Reach {
    /// Takes in how a call went; gives a change that is to be told.
    pub fn note(
        &mut self,
        what: &'static str,
        error: Option<&str>,
        now: Instant,
    ) -> Option<Change> {
        let Some(error) = error else {
            self.failing.remove(what);
            let back = self.failing.is_empty() && std::mem::take(&mut self.told);
            return back.then_some(Change::Back);
        };
        let since = *self.failing.entry(what).or_insert(now);
        if self.told || now.duration_since(since) < PATIENCE {
            return None;
        }
        self.told = true;
        Some(Change::Lost(format!("{what}: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red when each failure is told, or none.
    #[test]
    fn one_line_for_each_change() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut reach = Reach::default();
        assert_eq!(reach.note("lease", Some("early"), at(0)), None);
        assert_eq!(reach.note("lease", None, at(1)), None);
        let lost = Some(Change::Lost("lease: Forbidden".to_owned()));
        assert_eq!(reach.note("lease", Some("Forbidden"), at(10)), None);
        assert_eq!(reach.note("pods", Some("Forbidden"), at(11)), None);
        assert_eq!(reach.note("lease", Some("Forbidden"), at(13)), lost);
        for second in 14..60 {
            assert_eq!(reach.note("lease", Some("Forbidden"), at(second)), None);
            assert_eq!(reach.note("pods", Some("Forbidden"), at(second)), None);
        }
        assert_eq!(reach.note("lease", None, at(60)), None);
        assert_eq!(reach.note("pods", None, at(61)), Some(Change::Back));
        assert_eq!(reach.note("pods", None, at(62)), None);
    }
}
