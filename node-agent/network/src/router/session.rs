//! A request or tunnel from its beginning to its end: who counts it, and what is written of it. Refuses to know: how it is
//! answered.

use super::activity::Activity;
use super::log::{AccessLog, Record};
use super::pools::Choice;
use super::stats::Stats;
use super::table::Entry;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// One request or tunnel.
pub(super) struct Session {
    /// The way in, then the Route, then the endpoint, as far as they are known.
    counted: [Option<Arc<Stats>>; 3],
    began: Instant,
    /// What moves, once something does.
    activity: Option<Activity>,
    /// Bytes of the answer, beside those that moved.
    answered: u64,
    written: Option<(Arc<AccessLog>, Box<Record>)>,
}

impl Session {
    /// Begins, at one of the ways in.
    pub(super) fn begin(
        front: &Arc<Stats>,
        log: Option<&Arc<AccessLog>>,
        record: impl FnOnce() -> Record,
    ) -> Session {
        front.begin();
        Session {
            counted: [Some(Arc::clone(front)), None, None],
            began: Instant::now(),
            activity: None,
            answered: 0,
            written: log.map(|log| (Arc::clone(log), Box::new(record()))),
        }
    }

    /// It is for a Route.
    pub(super) fn is_for(&mut self, entry: &Entry) {
        entry.state.stats.begin();
        self.counted[1] = Some(Arc::clone(&entry.state.stats));
        if let Some((_, record)) = &mut self.written {
            (record.namespace, record.route) = entry.key.clone();
        }
    }

    /// It goes to an endpoint, after another one perhaps.
    pub(super) fn goes_to(&mut self, choice: &Choice, activity: &Activity) {
        let stats = Some(Arc::clone(&choice.stats));
        choice.stats.begin();
        if let Some(before) = std::mem::replace(&mut self.counted[2], stats) {
            before.end(0, 0);
            before.retries.fetch_add(1, Ordering::Relaxed);
        }
        self.activity = Some(activity.clone());
        if let Some((_, record)) = &mut self.written {
            record.endpoint = choice.address.to_string();
        }
    }

    /// Something else moves than a request.
    pub(super) fn moves(&mut self, activity: &Activity) {
        self.activity = Some(activity.clone());
    }

    /// The endpoint did not answer: nobody took the connection, or it broke off.
    pub(super) fn failed(&self, unreachable: bool) {
        for stats in self.counted.iter().skip(1).flatten() {
            let count = if unreachable { &stats.unreachable } else { &stats.broken };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// It is answered.
    pub(super) fn answered(&mut self, code: u16) {
        let after = self.began.elapsed();
        self.counted.iter().flatten().for_each(|stats| stats.answered(code, after));
        if let Some((_, record)) = &mut self.written {
            record.status = Some(code);
        }
    }

    /// Bytes of the answer are on their way.
    pub(super) fn gave(&mut self, bytes: usize) {
        self.answered += bytes as u64;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let moved = self.activity.as_ref().map_or((0, 0), Activity::bytes);
        let bytes = (moved.0, moved.1 + self.answered);
        self.counted.iter().flatten().for_each(|stats| stats.end(bytes.0, bytes.1));
        if let Some((log, record)) = self.written.take() {
            log.write(*record, bytes, self.began.elapsed());
        }
    }
}
