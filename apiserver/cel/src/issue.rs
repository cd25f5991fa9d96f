//! What is wrong with an expression, shown as upstream shows it.

/// Something wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Issue {
    at: usize,
    why: String,
}

impl Issue {
    pub(crate) fn new(at: usize, why: String) -> Issue {
        Issue { at, why }
    }

    /// The message, with the line that it is about and a mark under the place.
    pub(crate) fn shown(&self, source: &[char]) -> String {
        let before = source.get(..self.at).unwrap_or(source);
        let line = before.iter().filter(|letter| **letter == '\n').count();
        let start = before.iter().rposition(|letter| *letter == '\n').map_or(0, |at| at + 1);
        let column = self.at.min(source.len()) - start;
        let text: String = source[start..].iter().take_while(|letter| **letter != '\n').collect();
        let (line, dots, shown) = (line + 1, ".".repeat(column), column + 1);
        let text = text.replace('\t', " ");
        format!("ERROR: <input>:{line}:{shown}: {}\n | {text}\n | {dots}^", self.why)
    }
}

/// All that is wrong, in the order of its places.
pub(crate) fn shown(issues: &[Issue], source: &[char]) -> String {
    let mut sorted: Vec<&Issue> = issues.iter().collect();
    sorted.sort_by_key(|issue| issue.at);
    let shown: Vec<String> = sorted.iter().map(|issue| issue.shown(source)).collect();
    shown.join("\n")
}
