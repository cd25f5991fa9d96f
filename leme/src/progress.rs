//! Progress: the tree of what is being waited for, live on a terminal, in plain lines or JSON elsewhere.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use anyhow::{Result, bail};
use leme_meta::Object;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use crate::api::Api;
use crate::args::Progress;
use crate::discovery::Served;
use crate::documents::Document;
use crate::follow::Lister;
use crate::resource::Kind;
use crate::say;
use crate::served::{self, CAUSES_IN, LOOKED_AT, State};
use crate::terminal;

/// How progress is shown. Everything goes to standard error: standard output is for results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// A tree that is drawn again and again.
    Live,
    /// A line when something changes.
    Plain,
    /// The same as one JSON document a line, on standard output.
    Json,
    /// Not at all.
    Silent,
}

impl View {
    /// Live on a terminal, plain elsewhere.
    pub fn for_terminal() -> View {
        if terminal::is_live() { View::Live } else { View::Plain }
    }

    /// As the flag says.
    pub fn of(progress: Progress) -> View {
        match progress {
            Progress::Auto => View::for_terminal(),
            Progress::Json => View::Json,
        }
    }

    /// Tells one thing that happened.
    pub fn tell(self, what: &str, state: &str, detail: &str) {
        match self {
            View::Json => {
                // Whoever read may have gone away once the cluster was up: that must not end it.
                say::offer(json!({"what": what, "state": state, "detail": detail}));
            }
            View::Silent => {}
            View::Live | View::Plain if detail.is_empty() => {
                say::note(format_args!("{what} {state}"))
            }
            View::Live | View::Plain => say::note(format_args!("{what} {state}: {detail}")),
        }
    }
}

/// The kinds to follow to judge objects of these kinds.
pub fn kinds_for<'a>(served: &Served, kinds: impl IntoIterator<Item = &'a Kind>) -> Vec<Kind> {
    with(served, LOOKED_AT.iter(), kinds)
}

/// The kinds to follow to find out why objects of a kind do not work.
pub fn kinds_to_explain(served: &Served, kind: &Kind) -> Vec<Kind> {
    with(served, LOOKED_AT.iter().chain(CAUSES_IN), [kind])
}

fn with<'a>(
    served: &Served,
    also: impl Iterator<Item = &'static (&'static str, &'static str)>,
    kinds: impl IntoIterator<Item = &'a Kind>,
) -> Vec<Kind> {
    let also = also.filter_map(|(group, plural)| served.by_resource(group, plural));
    let mut all: Vec<Kind> = Vec::new();
    for kind in also.cloned().chain(kinds.into_iter().cloned()) {
        if !all.iter().any(|known| known.is(&kind)) {
            all.push(kind);
        }
    }
    all
}

/// Waits until every document's object works, or one of them has failed for good or waits for somebody's hand.
///
/// # Errors
/// What has failed, and why; or when the time is over, what each that does not work waits for.
pub async fn wait_until_served(
    api: &Api,
    documents: &[Document],
    timeout: Duration,
    view: View,
) -> Result<()> {
    let kinds = documents.iter().map(|document| &document.kind);
    let mut lister = Lister::follow(api, &kinds_for(api.served().await?, kinds), None);
    let mut teller = Teller::new(view);
    let waiting = async {
        loop {
            lister.changed_within(served::again(&lister)).await;
            if lister.complete() {
                teller.tell(documents, &lister);
                let (failed, missing) = (failed(documents, &lister), missing(documents, &lister));
                if missing.is_empty() || !failed.is_empty() {
                    return failed;
                }
            }
        }
    };
    let outcome = timeout_at(Instant::now() + timeout, waiting).await;
    teller.finish();
    match outcome {
        Ok(failed) if failed.is_empty() => Ok(()),
        Ok(failed) => bail!("{}", failed.join("\n  ")),
        Err(_) => {
            let missing = missing(documents, &lister);
            bail!("timed out after {}s waiting for:\n  {}", timeout.as_secs(), missing.join("\n  "))
        }
    }
}

/// What does not work, each with why.
fn missing(documents: &[Document], lister: &Lister) -> Vec<String> {
    let why = |document: &Document| {
        let why = served::document(document, lister).trouble()?;
        Some(format!("{}: {why}", document.shown()))
    };
    documents.iter().filter_map(why).collect()
}

/// What will not work any more, or only when somebody does something, each with why.
fn failed(documents: &[Document], lister: &Lister) -> Vec<String> {
    let by_hand = |document: &Document| {
        let object = lister.get(&document.kind, &document.namespace, &document.name)?;
        let why = served::by_hand(object, lister)?;
        let what = if object.kind() == "PersistentVolumeClaim" { "be bound" } else { "run" };
        Some(format!("{} cannot {what}: {why}", document.shown()))
    };
    let why = |document: &Document| match served::document(document, lister) {
        State::Failed(why) => Some(told(&document.shown(), &State::Failed(why))),
        State::Waits(_) => by_hand(document),
        State::Works(_) | State::Stored(_) => None,
    };
    documents.iter().filter_map(why).collect()
}

/// An object and its state as a line.
pub fn told(shown: &str, state: &State) -> String {
    match state.told() {
        (verb, "") => format!("{shown} {verb}"),
        (verb, why) => format!("{shown} {verb}: {why}"),
    }
}

/// Says what changed since it was last asked.
struct Teller {
    view: View,
    told: HashMap<String, State>,
    drawn: usize,
}

impl Teller {
    fn new(view: View) -> Teller {
        Teller { view, told: HashMap::new(), drawn: 0 }
    }

    /// Shows the present state.
    fn tell(&mut self, documents: &[Document], lister: &Lister) {
        match self.view {
            View::Live => self.draw(documents, lister),
            View::Plain | View::Json => self.changes(documents, lister),
            View::Silent => {}
        }
    }

    fn changes(&mut self, documents: &[Document], lister: &Lister) {
        for document in documents {
            let state = served::document(document, lister);
            let what = format!("{}{}", document.shown(), place(&document.namespace));
            if self.told.get(&what) == Some(&state) {
                continue;
            }
            let (verb, why) = state.told();
            self.view.tell(&what, verb, why);
            self.told.insert(what, state);
        }
    }

    fn draw(&mut self, documents: &[Document], lister: &Lister) {
        let mut lines = Vec::new();
        for document in documents {
            lines.push(line(0, &document.shown(), &served::document(document, lister)));
            if let Some(object) = lister.get(&document.kind, &document.namespace, &document.name) {
                draw_parts(1, object, lister, &mut lines);
            }
        }
        let (columns, rows) = terminal::size().unwrap_or((80, 24));
        lines.truncate(usize::from(rows).saturating_sub(2).max(1));
        let mut out = String::new();
        if self.drawn > 0 {
            let _ = write!(out, "\x1b[{}A", self.drawn);
        }
        for line in &lines {
            let cut: String = line.chars().take(usize::from(columns).saturating_sub(1)).collect();
            let _ = writeln!(out, "\x1b[2K{cut}");
        }
        out.push_str("\x1b[J");
        self.drawn = lines.len();
        // A terminal that went away is not worth ending for.
        let _ = std::io::stderr().write_all(out.as_bytes());
    }

    fn finish(&mut self) {
        self.drawn = 0;
    }
}

/// The parts of an object, and theirs. What asks for no pods and has none is not worth a line.
fn draw_parts(depth: usize, object: &Object, lister: &Lister, lines: &mut Vec<String>) {
    const DEEPEST: usize = 3;
    for (shown, part) in served::parts(object, lister) {
        if part.at(&["spec", "replicas"]).and_then(Value::as_i64) == Some(0) {
            continue;
        }
        lines.push(line(depth, &shown, &served::state(part, lister)));
        if depth < DEEPEST {
            draw_parts(depth + 1, part, lister, lines);
        }
    }
}

fn place(namespace: &str) -> String {
    if namespace.is_empty() { String::new() } else { format!(" in {namespace}") }
}

fn line(depth: usize, what: &str, state: &State) -> String {
    let mark = match state {
        State::Works(_) => '✓',
        State::Stored(_) => '-',
        State::Waits(_) => '…',
        State::Failed(_) => '✗',
    };
    format!("{}{mark} {what}  {}", "    ".repeat(depth), state.told().1)
}
