//! Figures: a number with its unit, how single measurements spread, and what was aimed at.
//!
//! Pure.

use std::time::Duration;

use serde_json::{Value, json};

/// One measured number.
#[derive(Clone, Debug)]
pub struct Figure {
    what: &'static str,
    value: f64,
    unit: &'static str,
    spread: Option<Spread>,
    goal: &'static str,
}

/// The middle of single measurements, and what 99 of 100 stay below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// Half stay below this.
    pub p50: Duration,
    /// 99 of 100 stay below this.
    pub p99: Duration,
}

impl Figure {
    /// A number with nothing known about its spread.
    pub fn new(what: &'static str, value: f64, unit: &'static str, goal: &'static str) -> Figure {
        Figure { what, value, unit, spread: None, goal }
    }

    /// A time.
    pub fn time(what: &'static str, time: Duration, goal: &'static str) -> Figure {
        Figure::new(what, milliseconds(time), "ms", goal)
    }

    /// The same with its spread.
    pub fn spread(mut self, spread: Spread) -> Figure {
        self.spread = Some(spread);
        self
    }

    /// A line of the table.
    pub fn to_row(&self, bench: &str) -> Vec<String> {
        let time = |time: fn(Spread) -> Duration| {
            self.spread
                .map(time)
                .map_or(String::new(), |time| format!("{} ms", rounded(milliseconds(time))))
        };
        vec![
            bench.to_owned(),
            self.what.to_owned(),
            format!("{} {}", rounded(self.value), self.unit),
            time(|spread| spread.p50),
            time(|spread| spread.p99),
            self.goal.to_owned(),
        ]
    }

    /// For programs.
    pub fn to_json(&self, bench: &str) -> Value {
        let mut value = json!({
            "bench": bench, "what": self.what, "value": self.value, "unit": self.unit, "goal": self.goal,
        });
        if let Some(spread) = self.spread {
            value["p50_ms"] = milliseconds(spread.p50).into();
            value["p99_ms"] = milliseconds(spread.p99).into();
        }
        value
    }
}

impl Spread {
    /// Of the measurements; `None` if there are none.
    pub fn of(mut times: Vec<Duration>) -> Option<Spread> {
        times.sort_unstable();
        let last = times.len().checked_sub(1)?;
        let at = |percent: usize| times[(times.len() * percent / 100).min(last)];
        Some(Spread { p50: at(50), p99: at(99) })
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Three digits that mean something.
fn rounded(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads() {
        let times = |count: u64| (1..=count).rev().map(Duration::from_millis).collect();
        let check = |count, p50, p99| {
            let (p50, p99) = (Duration::from_millis(p50), Duration::from_millis(p99));
            assert_eq!(Spread::of(times(count)), Some(Spread { p50, p99 }), "of {count}");
        };
        assert_eq!(Spread::of(Vec::new()), None);
        check(1, 1, 1);
        check(2, 2, 2);
        check(100, 51, 100);
        check(1000, 501, 991);
    }

    #[test]
    fn rows_round_to_three_digits() {
        let spread = Spread { p50: Duration::from_micros(1234), p99: Duration::from_millis(250) };
        let figure = Figure::new("rate", 5123.4, "/s", ">= 5000/s").spread(spread);
        assert_eq!(figure.to_row("x"), ["x", "rate", "5123 /s", "1.23 ms", "250 ms", ">= 5000/s"]);
    }
}
