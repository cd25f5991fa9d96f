//! Numbers written for Prometheus: its own text format, and OpenMetrics.
//!
//! Knows: what the two formats write differently. Refuses to know: what is measured.

use std::fmt::{Display, Write};

use http::HeaderMap;

use super::histogram::Histogram;
use crate::negotiate::Accepted;

/// A label with its value.
pub(crate) type Label<'a> = (&'static str, &'a str);

/// A page of numbers.
pub(crate) struct Text {
    out: String,
    open: bool,
}

impl Text {
    /// An empty page in the format that the client prefers.
    pub fn new(headers: &HeaderMap) -> Text {
        let accepted = Accepted::all(headers);
        let mut known = accepted.iter().filter_map(|entry| match entry.media {
            "application/openmetrics-text" => {
                matches!(entry.parameter("version"), "" | "0.0.1" | "1.0.0").then_some(true)
            }
            "text/plain" | "text/*" | "*/*" => Some(false),
            _ => None,
        });
        Text { out: String::with_capacity(64 * 1024), open: known.next().unwrap_or(false) }
    }

    /// The page, and its media type.
    pub fn done(mut self) -> (&'static str, String) {
        match self.open {
            true => {
                self.out.push_str("# EOF\n");
                ("application/openmetrics-text; version=1.0.0; charset=utf-8", self.out)
            }
            false => ("text/plain; version=0.0.4; charset=utf-8", self.out),
        }
    }

    /// Begins the numbers of a name.
    pub fn family(&mut self, name: &str, kind: &str, help: &str) {
        // There a counter has its ending only where its number stands.
        let name = match self.open && kind == "counter" {
            true => name.strip_suffix("_total").unwrap_or(name),
            false => name,
        };
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    /// A number.
    pub fn sample(&mut self, name: &str, labels: &[Label<'_>], value: impl Display) {
        self.out.push_str(name);
        let mut before = '{';
        for (label, text) in labels {
            self.out.push(before);
            before = ',';
            self.out.push_str(label);
            self.out.push_str("=\"");
            for letter in text.chars() {
                match letter {
                    '\\' => self.out.push_str("\\\\"),
                    '"' => self.out.push_str("\\\""),
                    '\n' => self.out.push_str("\\n"),
                    other => self.out.push(other),
                }
            }
            self.out.push('"');
        }
        if !labels.is_empty() {
            self.out.push('}');
        }
        self.line(format_args!(" {value}"));
    }

    /// A name with one number and no labels.
    pub fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    /// The numbers of a histogram.
    pub fn histogram(&mut self, name: &str, labels: &[Label<'_>], histogram: &Histogram) {
        let counts = histogram.counts();
        let bucket = format!("{name}_bucket");
        for (at, count) in counts.iter().enumerate() {
            let bound = match histogram.bounds.shown.get(at) {
                Some(bound) if self.open => format!("{bound:?}"),
                Some(bound) => bound.to_string(),
                None => "+Inf".to_owned(),
            };
            let labels: Vec<Label<'_>> =
                labels.iter().copied().chain([("le", bound.as_str())]).collect();
            self.sample(&bucket, &labels, count);
        }
        self.sample(&format!("{name}_sum"), labels, histogram.sum());
        self.sample(&format!("{name}_count"), labels, counts.last().copied().unwrap_or(0));
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to memory does not fail.
        let _ = self.out.write_fmt(text);
        self.out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use http::header::ACCEPT;

    use super::*;
    use crate::metrics::histogram::BYTES;

    fn page(accept: &str) -> (&'static str, String) {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        let mut text = Text::new(&headers);
        text.family("a_total", "counter", "What.");
        text.sample("a_total", &[("x", "1\"\\\n")], 7);
        text.family("b", "histogram", "What.");
        let sizes = Histogram::new(BYTES);
        sizes.observe(2000);
        text.histogram("b", &[("x", "y")], &sizes);
        text.done()
    }

    #[test]
    fn each_format_as_its_readers_know_it() {
        let (media, text) = page("text/plain");
        assert!(media.starts_with("text/plain; version=0.0.4"));
        assert!(text.starts_with("# HELP a_total What.\n# TYPE a_total counter\n"), "{text}");
        assert!(text.contains("a_total{x=\"1\\\"\\\\\\n\"} 7\n"), "{text}");
        for line in ["le=\"1000\"} 0", "le=\"10000\"} 1", "le=\"+Inf\"} 1", "b_sum{x=\"y\"} 2000"] {
            assert!(text.contains(line), "{line}: {text}");
        }
        let (media, text) = page("application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
        assert!(media.starts_with("application/openmetrics-text; version=1.0.0"));
        assert!(text.contains("# TYPE a counter\na_total{"), "{text}");
        assert!(text.contains("le=\"1000.0\"} 0") && text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn the_client_says_which() {
        for (accept, open) in [
            ("*/*", false),
            ("application/json", false),
            ("application/openmetrics-text;q=0.1,text/plain", false),
            ("application/openmetrics-text;version=2.0.0", false),
            ("application/openmetrics-text", true),
        ] {
            assert_eq!(page(accept).0.contains("openmetrics"), open, "{accept}");
        }
    }
}
