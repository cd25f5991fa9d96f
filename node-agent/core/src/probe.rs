//! One probe of one running container.
//!
//! Knows: delays, thresholds and what a result changes. Refuses to know: sockets and processes.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Probe};

use crate::backoff::add;

/// Which probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The others wait for it.
    Startup,
    /// Decides whether the container is ready.
    Readiness,
    /// Decides whether it must be restarted.
    Liveness,
}

impl Kind {
    /// As events write it.
    pub fn title(self) -> &'static str {
        match self {
            Kind::Startup => "Startup",
            Kind::Readiness => "Readiness",
            Kind::Liveness => "Liveness",
        }
    }

    /// The probe of this kind in a container.
    pub fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            Kind::Startup => container.startup_probe.as_ref(),
            Kind::Readiness => container.readiness_probe.as_ref(),
            Kind::Liveness => container.liveness_probe.as_ref(),
        }
    }
}

/// What one try gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Healthy.
    Success,
    /// Healthy, with something to be told.
    Warning(String),
    /// Not healthy, with what was seen.
    Failure(String),
    /// The try itself went wrong; changes nothing.
    Error(String),
}

/// What a result means for the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing to report.
    Quiet,
    /// A success to be told of.
    Warned(String),
    /// One failure to report.
    Failed(String),
    /// One failure to report, and the threshold is reached.
    Tripped(String),
    /// The try went wrong.
    Errored(String),
}

/// A probe's state.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeState {
    kind: Kind,
    next: Timestamp,
    in_flight: bool,
    successes: i32,
    failures: i32,
    warm_ups: u32,
    passed: bool,
}

/// The first tries of a start come quicker than the period, so that a container that is up in 30 ms is not called
/// unready for ten seconds; failures among them neither count nor are reported.
const WARM_UPS: u32 = 6;
const WARM_UP: SignedDuration = SignedDuration::from_millis(20);

impl ProbeState {
    /// A probe of a container that started at `started`. `adopted` says that the container ran before this agent did
    /// and was ready then: it stays so until the probe says otherwise.
    pub fn new(
        kind: Kind,
        probe: &Probe,
        started: Timestamp,
        now: Timestamp,
        adopted: bool,
    ) -> Self {
        let delay = SignedDuration::from_secs(i64::from(probe.initial_delay_seconds.unwrap_or(0)));
        let cheap = probe.exec.is_none();
        Self {
            kind,
            next: add(started, delay).max(now),
            in_flight: false,
            successes: 0,
            failures: 0,
            warm_ups: if cheap && !adopted && kind != Kind::Liveness { WARM_UPS } else { 0 },
            passed: adopted || kind == Kind::Liveness,
        }
    }

    /// Which probe this is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the container passes.
    pub fn passed(&self) -> bool {
        self.passed
    }

    /// When the next try is due, unless one is under way.
    pub fn due(&self) -> Option<Timestamp> {
        (!self.in_flight).then_some(self.next)
    }

    /// A try starts.
    pub fn begin(&mut self) {
        self.in_flight = true;
    }

    /// A try ended at `now`.
    pub fn end(&mut self, probe: &Probe, outcome: Outcome, now: Timestamp) -> Verdict {
        self.in_flight = false;
        let period =
            SignedDuration::from_secs(i64::from(probe.period_seconds.unwrap_or(10).max(1)));
        self.next = add(now, period);
        match outcome {
            Outcome::Success | Outcome::Warning(_) => {
                self.warm_ups = 0;
                self.failures = 0;
                self.successes = self.successes.saturating_add(1);
                self.passed |= self.successes >= probe.success_threshold.unwrap_or(1);
                match outcome {
                    Outcome::Warning(message) => Verdict::Warned(message),
                    _ => Verdict::Quiet,
                }
            }
            Outcome::Failure(_) if self.warm_ups > 0 => {
                let wait = WARM_UP * (1 << (WARM_UPS - self.warm_ups));
                self.warm_ups -= 1;
                self.next = add(now, wait.min(period));
                Verdict::Quiet
            }
            Outcome::Failure(message) => {
                self.successes = 0;
                self.failures = self.failures.saturating_add(1);
                if self.failures >= probe.failure_threshold.unwrap_or(3) {
                    self.passed = false;
                    Verdict::Tripped(message)
                } else {
                    Verdict::Failed(message)
                }
            }
            Outcome::Error(message) => Verdict::Errored(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(json: serde_json::Value) -> Probe {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn thresholds_and_delays() {
        let start = Timestamp::UNIX_EPOCH;
        let spec = probe(serde_json::json!({"exec": {"command": ["x"]}, "initialDelaySeconds": 5,
            "periodSeconds": 2, "successThreshold": 2, "failureThreshold": 2}));
        let mut state = ProbeState::new(Kind::Readiness, &spec, start, start, false);
        assert_eq!(state.due(), Some(add(start, SignedDuration::from_secs(5))));
        state.begin();
        assert_eq!(state.due(), None);
        assert_eq!(state.end(&spec, Outcome::Success, start), Verdict::Quiet);
        assert!(!state.passed());
        assert_eq!(state.due(), Some(add(start, SignedDuration::from_secs(2))));
        state.end(&spec, Outcome::Success, start);
        assert!(state.passed());
        assert_eq!(
            state.end(&spec, Outcome::Failure("a".into()), start),
            Verdict::Failed("a".into())
        );
        assert!(state.passed());
        assert_eq!(
            state.end(&spec, Outcome::Error("e".into()), start),
            Verdict::Errored("e".into())
        );
        assert_eq!(
            state.end(&spec, Outcome::Failure("b".into()), start),
            Verdict::Tripped("b".into())
        );
        assert!(!state.passed());
    }

    #[test]
    fn warm_up_failures_do_not_count() {
        let start = Timestamp::UNIX_EPOCH;
        let spec = probe(serde_json::json!({"tcpSocket": {"port": 80}, "failureThreshold": 1}));
        let mut state = ProbeState::new(Kind::Startup, &spec, start, start, false);
        for n in 0..WARM_UPS {
            assert_eq!(state.end(&spec, Outcome::Failure("x".into()), start), Verdict::Quiet);
            assert_eq!(state.due(), Some(add(start, WARM_UP * (1 << n))));
        }
        assert_eq!(
            state.end(&spec, Outcome::Failure("x".into()), start),
            Verdict::Tripped("x".into())
        );
    }
}
