//! The one thread that writes: drains the queue, decides, commits once, publishes, answers.
//!
//! Knows: expectations, revisions, when history may be forgotten. Refuses to know: how records lie on disk.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::error::Elapsed;

use super::Shared;
use super::disk::Work;
use super::index::{Garbage, Version};
use super::reader::Reader;
use super::record::Record;
use super::request::{Allowance, Request, Write};
use super::space::{RETRY_AFTER, Space};
use crate::queue::shrink;
use crate::{Batch, Change, Entry, Outcome, StoreError};

/// Writes put into one commit at most.
const BATCH_WRITES: usize = 512;
const BATCH_BYTES: usize = 8 << 20;
/// Superfluous records removed in a commit of its own, and beside writes (twice as many as writes, and these).
const STEP: usize = 256;
const STEP_BESIDE: usize = 32;
/// Into how many steps the age of history is divided.
const AGE_STEPS: u32 = 64;
/// How much history is kept while there is no space, in revisions.
const FULL_REVISIONS: u64 = 16;

/// How much history is kept; whichever bound comes first.
#[derive(Clone, Copy, Debug)]
pub struct History {
    /// For how long.
    pub age: Duration,
    /// How many revisions.
    pub revisions: u64,
}

pub(super) struct Committer {
    shared: Arc<Shared>,
    history: History,
    /// Lets the thread wait for a while.
    clock: Runtime,
    garbage: VecDeque<Garbage>,
    /// When revisions were reached, oldest first.
    marks: VecDeque<(Instant, u64)>,
    space: Space,
}

/// A batch as decided, not yet committed.
#[derive(Default)]
struct Decided {
    changes: Vec<Change>,
    writes: Vec<(Write, Outcome)>,
    /// What keys are after the changes so far.
    pending: HashMap<Arc<str>, Option<Entry>>,
    /// The view that all writes of the batch are decided on; to open one costs as much as a read.
    reader: Option<Reader>,
}

/// What is at a key before a write.
enum Current {
    /// What a write before it in the batch made.
    Pending(Entry),
    /// What lies in the database.
    Stored(Arc<str>, Version),
}

impl Current {
    fn key(&self) -> &Arc<str> {
        match self {
            Current::Pending(entry) => &entry.key,
            Current::Stored(key, _) => key,
        }
    }

    fn version(&self) -> Version {
        match self {
            Current::Pending(entry) => {
                Version { revision: entry.mod_revision, created: entry.create_revision }
            }
            Current::Stored(_, version) => *version,
        }
    }
}

impl Committer {
    pub(super) fn new(
        shared: Arc<Shared>,
        history: History,
        garbage: VecDeque<Garbage>,
    ) -> std::io::Result<Self> {
        let clock = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let marks = VecDeque::from([(Instant::now(), shared.index().revision)]);
        let mut space = Space::new();
        space.mind_the_reserve(&shared.disk);
        let committer = Self { shared, history, clock, garbage, marks, space };
        Ok(committer)
    }

    /// Works until every sender is gone or the database is lost.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        loop {
            let first = match queue.try_recv() {
                Ok(request) => request,
                Err(_)
                    if self.removable() > 0 && self.space.refusal(Allowance::Removal).is_none() =>
                {
                    // Without space it has to wait for the next write that succeeds.
                    let removed = self.commit(Vec::new(), STEP, Allowance::Removal);
                    if removed.is_err_and(|e| !matches!(e, StoreError::Full(_))) {
                        return;
                    }
                    continue;
                }
                Err(_) => match self.wait(&mut queue) {
                    Ok(Some(request)) => request,
                    Ok(None) => return,
                    Err(_) => {
                        self.grow_old();
                        continue;
                    }
                },
            };
            self.serve(first, &mut queue);
        }
    }

    /// The next request. While there is history to forget it is not waited for longer than that takes to age: what nobody
    /// writes to any more would else keep its history for ever.
    fn wait(&self, queue: &mut mpsc::Receiver<Request>) -> Result<Option<Request>, Elapsed> {
        if self.garbage.is_empty() {
            return Ok(queue.blocking_recv());
        }
        let step = self.history.age / AGE_STEPS;
        self.clock.block_on(async { tokio::time::timeout(step, queue.recv()).await })
    }

    fn serve(&mut self, first: Request, queue: &mut mpsc::Receiver<Request>) {
        let (mut writes, mut compactions, mut bytes) = (Vec::new(), Vec::new(), 0);
        let mut next = Some(first);
        while let Some(request) = next {
            match request {
                Request::Write(write) => {
                    bytes += write.value.as_ref().map_or(0, Bytes::len);
                    writes.push(write);
                }
                Request::Compact { revision, reply } => compactions.push((revision, reply)),
            }
            let room = writes.len() < BATCH_WRITES && bytes < BATCH_BYTES;
            next = if room { queue.try_recv().ok() } else { None };
        }
        if !writes.is_empty() {
            self.write(writes);
        }
        for (revision, reply) in compactions {
            // Whoever asked may be gone.
            let _ = reply.send(self.compact(revision));
        }
    }

    fn write(&mut self, writes: Vec<Write>) {
        self.space.try_again(&self.shared.disk);
        let mut decided = Decided::default();
        let mut revision = self.shared.index().revision;
        for write in writes {
            match self.decide(&mut decided, &write, revision + 1) {
                Ok(outcome) => {
                    if let Outcome::Done(done) = outcome {
                        revision = done;
                    }
                    decided.writes.push((write, outcome));
                }
                Err(e) => write.answer(Err(e)),
            }
        }
        // What a view shows is not freed by a commit.
        decided.reader = None;
        // Also where nothing is written for want of space: time goes on.
        self.grow_old();
        if decided.changes.is_empty() {
            decided.writes.into_iter().for_each(|(write, outcome)| write.answer(Ok(outcome)));
            return;
        }
        let step = 2 * decided.changes.len() + STEP_BESIDE;
        // The whole batch shares one commit; only if there is no space for it, those that need less get one of their own.
        let allowance = decided.writes.iter().map(|(write, _)| write.allowance).max();
        let allowance = allowance.unwrap_or(Allowance::Ordinary);
        let Err((why, writes)) = self.commit_writes(decided, step, allowance) else { return };
        let full = matches!(why, StoreError::Full(_));
        if full && allowance == Allowance::Ordinary && self.space.make_room(&self.shared.disk) {
            return self.write(writes);
        }
        let again = |write: &Write| full && write.allowance < allowance;
        let (again, refused): (Vec<Write>, Vec<Write>) = writes.into_iter().partition(again);
        refused.into_iter().for_each(|write| write.answer(Err(why.again())));
        if !again.is_empty() {
            self.write(again);
        }
    }

    /// What a write comes to, given the writes before it in the batch.
    fn decide(
        &self,
        decided: &mut Decided,
        write: &Write,
        revision: u64,
    ) -> Result<Outcome, StoreError> {
        let current = match decided.pending.get(&write.key) {
            Some(pending) => pending.clone().map(Current::Pending),
            None => {
                let live = self.shared.live(&write.key);
                live.map(|(key, version)| Current::Stored(key, version))
            }
        };
        let version = current.as_ref().map(Current::version);
        if !write.expect.holds(version.map(|version| version.revision)) {
            let current = current.map(|current| self.entry(decided, current)).transpose()?;
            return Ok(Outcome::Conflict(current));
        }
        if let Some(why) = self.space.refusal(write.allowance) {
            return Err(why);
        }
        let key = current.as_ref().map_or_else(|| write.key.clone(), |there| there.key().clone());
        let entry = write.value.clone().map(|value| Entry {
            key: key.clone(),
            value,
            create_revision: version.map_or(revision, |version| version.created),
            mod_revision: revision,
        });
        let change = match (entry.clone(), current) {
            (Some(entry), _) => {
                Change::Put { entry, previous: version.map(|version| version.revision) }
            }
            (None, Some(last)) => Change::Delete { previous: self.entry(decided, last)?, revision },
            (None, None) => return Ok(Outcome::Conflict(None)),
        };
        decided.pending.insert(key, entry);
        decided.changes.push(change);
        Ok(Outcome::Done(revision))
    }

    /// What is at a key: only those who lost against somebody faster, and what is deleted, are read.
    fn entry(&self, decided: &mut Decided, current: Current) -> Result<Entry, StoreError> {
        let (key, version) = match current {
            Current::Pending(entry) => return Ok(entry),
            Current::Stored(key, version) => (key, version),
        };
        let reader = match decided.reader.take() {
            Some(reader) => reader,
            None => self.shared.disk.reader()?,
        };
        decided.reader.insert(reader).entry(&key, version)
    }

    /// Commits a batch and answers; if that fails, gives back who waits for an answer.
    fn commit_writes(
        &mut self,
        decided: Decided,
        step: usize,
        allowance: Allowance,
    ) -> Result<(), (StoreError, Vec<Write>)> {
        let Decided { changes, writes, .. } = decided;
        match self.commit(changes, step, allowance) {
            Ok(()) => {
                writes.into_iter().for_each(|(write, outcome)| write.answer(Ok(outcome)));
                Ok(())
            }
            Err(e) => Err((e, writes.into_iter().map(|(write, _)| write).collect())),
        }
    }

    /// Commits changes and up to `step` removals, and publishes them.
    fn commit(
        &mut self,
        changes: Vec<Change>,
        step: usize,
        allowance: Allowance,
    ) -> Result<(), StoreError> {
        let removals = step.min(self.removable());
        let remove: Vec<u64> = self.garbage.iter().take(removals).map(|g| g.revision).collect();
        let (revision, compacted) = {
            let index = self.shared.index();
            (changes.last().map_or(index.revision, Change::revision), index.compacted)
        };
        let records: Vec<_> = changes.iter().map(Record::of).collect();
        let work = Work { records: &records, remove: &remove, revision, compacted, allowance };
        if let Err(e) = self.shared.disk.commit(&work) {
            tracing::error!(error = %e, "a commit failed");
            if matches!(e, StoreError::Full(_)) {
                self.space.failed(&self.shared.disk, allowance, &e);
            }
            return Err(e);
        }
        drop(records);
        self.space.found(&self.shared.disk, allowance, removals > 0);
        self.publish(changes, revision, removals);
        Ok(())
    }

    /// The commit step as readers and watchers see it.
    fn publish(&mut self, changes: Vec<Change>, revision: u64, removed: usize) {
        let mut index = self.shared.index_mut();
        for garbage in self.garbage.drain(..removed) {
            index.forget(&garbage);
        }
        shrink(&mut self.garbage);
        if changes.is_empty() {
            return;
        }
        for change in &changes {
            let created = match change {
                Change::Put { entry, .. } => entry.create_revision,
                Change::Delete { .. } => 0,
            };
            let version = Version { revision: change.revision(), created };
            let (superseded, tombstone) = index.add(change.key().clone(), version);
            self.garbage.extend(superseded.into_iter().chain(tombstone));
        }
        index.publish(Batch { changes, revision });
        drop(index);
        self.shared.newest.send_replace(revision);
    }

    /// How many records of forgotten history still lie in the database.
    fn removable(&self) -> usize {
        let compacted = self.shared.index().compacted;
        self.garbage.iter().take(BATCH_WRITES * 4).take_while(|g| g.at <= compacted).count()
    }

    fn compact(&mut self, revision: u64) -> Result<(), StoreError> {
        {
            let mut index = self.shared.index_mut();
            if revision > index.revision {
                return Err(StoreError::Future { asked: revision, newest: index.revision });
            }
            if revision <= index.compacted {
                return Ok(());
            }
            index.compacted = revision;
        }
        self.commit(Vec::new(), STEP, Allowance::Removal)
    }

    /// Moves the start of history on, by age and by count.
    fn grow_old(&mut self) {
        let now = Instant::now();
        let mut index = self.shared.index_mut();
        if self.marks.back().is_none_or(|(at, _)| now - *at >= self.history.age / AGE_STEPS) {
            self.marks.push_back((now, index.revision));
        }
        let mut oldest = index.revision.saturating_sub(self.history.revisions);
        while let Some((_, revision)) =
            self.marks.front().filter(|(at, _)| now - *at >= self.history.age)
        {
            oldest = oldest.max(*revision);
            self.marks.pop_front();
        }
        if self.space.short_since().is_some() {
            // What was deleted shall make room now, or soon where it was the last that was written.
            let lately = |(at, _): &&(Instant, u64)| now - *at >= RETRY_AFTER;
            let aged = self.marks.iter().rev().find(lately).map_or(0, |(_, revision)| *revision);
            oldest = oldest.max(index.revision.saturating_sub(FULL_REVISIONS)).max(aged);
        }
        index.compacted = index.compacted.max(oldest);
        index.forget_batches();
    }
}
