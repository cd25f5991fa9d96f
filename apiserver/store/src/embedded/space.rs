//! What to do where there is no space: who need not even try, and when it is worth trying again.
//!
//! Knows: failures, the reserve, what deletions leave behind. Refuses to know: what is written.

use std::time::{Duration, Instant};

use super::disk::{Disk, Given};
use super::request::Allowance;
use crate::StoreError;

/// While there is no space, a commit is tried when so much more is free, or so much time has passed.
const RETRY_BYTES: u64 = 256 << 10;
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What failed for want of space, and what has changed since.
pub(super) struct Space {
    /// For each allowance, the least first: once there is no space for one, there is none for those after it.
    full: [Option<Full>; 3],
    /// Whether something was removed since space was given back, and when that was tried last.
    removed: bool,
    tried: Option<Instant>,
    /// Whether the file system can have space given back at all.
    gives: bool,
}

/// Since when, and what would have to change.
struct Full {
    since: Instant,
    /// Free bytes when the last attempt failed.
    free: u64,
    why: StoreError,
}

impl Full {
    fn is_worth_a_try(&self, disk: &Disk) -> bool {
        self.since.elapsed() >= RETRY_AFTER
            || disk.file().free_space() >= self.free.saturating_add(RETRY_BYTES)
    }
}

impl Space {
    /// Nothing has failed so far; nobody knows what was removed before.
    pub(super) fn new() -> Self {
        Self { full: [None, None, None], removed: true, tried: None, gives: true }
    }

    /// Why a write need not even be tried.
    pub(super) fn refusal(&self, allowance: Allowance) -> Option<StoreError> {
        self.full[allowance as usize].as_ref().map(|full| full.why.again())
    }

    /// Since when there has been no space for ordinary writes.
    pub(super) fn short_since(&self) -> Option<Instant> {
        self.full[Allowance::Ordinary as usize].as_ref().map(|full| full.since)
    }

    /// A commit found no space.
    pub(super) fn failed(&mut self, disk: &Disk, allowance: Allowance, why: &StoreError) {
        let (since, free) = (Instant::now(), disk.file().free_space());
        for full in &mut self.full[allowance as usize..] {
            *full = Some(Full { since, free, why: why.again() });
        }
    }

    /// A commit found space, and removed something or not.
    pub(super) fn found(&mut self, disk: &Disk, allowance: Allowance, removed: bool) {
        self.removed |= removed;
        self.full[..=allowance as usize].fill_with(|| None);
        if allowance != Allowance::Ordinary {
            self.mind_the_reserve(disk);
        }
    }

    /// Forgets that there was no space where that may have changed.
    pub(super) fn try_again(&mut self, disk: &Disk) {
        for allowance in [Allowance::Removal, Allowance::Reserved, Allowance::Ordinary] {
            let full = &mut self.full[allowance as usize];
            if full.take_if(|full| full.is_worth_a_try(disk)).is_some()
                && allowance == Allowance::Ordinary
            {
                self.give_back(disk);
                self.mind_the_reserve(disk);
            }
        }
    }

    /// After an ordinary write found no space: whether that was changed at once.
    pub(super) fn make_room(&mut self, disk: &Disk) -> bool {
        let made = self.give_back(disk);
        if made {
            self.full[Allowance::Ordinary as usize] = None;
            self.mind_the_reserve(disk);
        }
        made
    }

    /// Refuses ordinary writes while a part of the reserve is used up and cannot be taken back: each round of filling and
    /// deleting would else use up a little more, until deletions fail. Where space cannot be given back, deletions must
    /// have left as much unused in the file itself.
    pub(super) fn mind_the_reserve(&mut self, disk: &Disk) {
        let reserve = disk.file().reserve();
        if self.short_since().is_some() || reserve.take() {
            return;
        }
        self.give_back(disk);
        if !reserve.take() && (self.gives || disk.unused() < reserve.wanted()) {
            let path = disk.file().path.display();
            let why = format!(
                "no space is left for {path} but what is kept back for deletions; free some space there"
            );
            self.failed(disk, Allowance::Ordinary, &StoreError::Full(why));
        }
    }

    /// Gives back what deletions have left unused, if there can be any and it was not tried just now; tells whether that
    /// was done.
    fn give_back(&mut self, disk: &Disk) -> bool {
        let lately = self.tried.is_some_and(|at| at.elapsed() < RETRY_AFTER);
        if !self.removed || !self.gives || lately {
            return false;
        }
        self.tried = Some(Instant::now());
        match disk.give_back() {
            Ok(given) => {
                self.removed = given != Given::All;
                self.gives = given != Given::Never;
                given == Given::All
            }
            Err(error) => {
                tracing::warn!(%error, "what deletions have left unused stays with the store");
                false
            }
        }
    }
}
