//! The bytes of all answers that wait to be taken, and who goes when they become too many.
//!
//! Knows: how much each connection holds, and how much of it was taken lately. Refuses to know: what the bytes are.
//!
//! A piece of an answer is made only when the budget has room for it, and counts until it is written: whoever does not
//! read holds one piece and waits. Under pressure the connection whose bytes move slowest is cut, then the next, until
//! half of the budget is free again; without pressure nobody is cut for being slow. What all watchers share (an event's
//! frame) and what the cache holds anyway is not counted.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use leme_serve::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// How often is looked whose bytes move.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Room for the bytes of all answers.
pub(crate) struct Budget {
    all: usize,
    room: Arc<Semaphore>,
    accounts: Mutex<HashMap<u64, Weak<Account>>>,
    next: AtomicU64,
}

/// What one connection holds of the budget.
pub(crate) struct Account {
    id: u64,
    budget: Arc<Budget>,
    connection: Connection,
    held: AtomicUsize,
    /// Bytes held at the last look.
    held_before: AtomicUsize,
    /// Bytes taken since the last look.
    moved: AtomicUsize,
}

/// Whose budget an answer's bytes are counted on; none for requests that come without a connection.
pub(crate) type Payer = Option<Arc<Account>>;

/// Room for one piece, given back when dropped.
pub(crate) struct Room {
    permit: OwnedSemaphorePermit,
    account: Arc<Account>,
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(all: usize) -> Arc<Budget> {
        let room = Arc::new(Semaphore::new(all));
        Arc::new(Budget { all, room, accounts: Mutex::default(), next: AtomicU64::new(0) })
    }

    /// The account of a connection.
    pub fn account(self: &Arc<Budget>, connection: Connection) -> Arc<Account> {
        let account = Arc::new(Account {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            budget: Arc::clone(self),
            connection,
            held: AtomicUsize::new(0),
            held_before: AtomicUsize::new(0),
            moved: AtomicUsize::new(0),
        });
        self.accounts().insert(account.id, Arc::downgrade(&account));
        account
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<u64, Weak<Account>>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that wait to be taken.
    pub fn held(&self) -> usize {
        self.all - self.room.available_permits()
    }

    /// Cuts the slowest while the budget is short, until the server stops.
    pub async fn run(self: Arc<Budget>, stop: CancellationToken) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(looks.tick()).await.is_some() {
            self.look();
        }
    }

    /// Looks once at what has moved since the last time.
    fn look(&self) {
        let accounts: Vec<Arc<Account>> =
            self.accounts().values().filter_map(Weak::upgrade).collect();
        let short = self.room.available_permits() < self.all / 4;
        let speeds = accounts.into_iter().filter_map(|account| {
            let moved = account.moved.swap(0, Ordering::Relaxed);
            let held = account.held.load(Ordering::Relaxed);
            // Whoever had nothing to take then has not been slow yet.
            let before = account.held_before.swap(held, Ordering::Relaxed);
            (held > 0 && before > 0).then_some((held, moved, account))
        });
        let speeds: Vec<_> = speeds.collect();
        if !short {
            return;
        }
        for at in slowest(&speeds, self.all / 2) {
            let (held, moved, account) = &speeds[at];
            tracing::warn!(held, moved, "cut the connection that takes its answers slowest");
            account.connection.cut();
        }
    }
}

/// The slowest first, by the time that each would need for what it holds, until no more than `keep` is held.
fn slowest<T>(speeds: &[(usize, usize, T)], keep: usize) -> Vec<usize> {
    let mut held: usize = speeds.iter().map(|(held, ..)| held).sum();
    let mut order: Vec<usize> = (0..speeds.len()).collect();
    // a/b > c/d without division; nothing moved is slowest of all, and then the most held.
    order.sort_by(|one, other| {
        let (a, b) = (speeds[*one].0 as u128, speeds[*one].1 as u128);
        let (c, d) = (speeds[*other].0 as u128, speeds[*other].1 as u128);
        (c * b, c).cmp(&(a * d, a))
    });
    let cut = order.iter().take_while(|at| {
        let more = held > keep;
        held -= speeds[**at].0;
        more
    });
    cut.copied().collect()
}

impl Account {
    /// Room for a piece of so many bytes, as soon as there is some. A piece larger than a quarter of the budget counts as
    /// that.
    pub async fn room(self: &Arc<Account>, bytes: usize) -> Room {
        let bytes = u32::try_from(bytes.min(self.budget.all / 4)).unwrap_or(u32::MAX);
        // The semaphore is never closed; if it were, nothing would be counted.
        let permit = match Arc::clone(&self.budget.room).acquire_many_owned(bytes).await {
            Ok(permit) => permit,
            Err(_) => return std::future::pending().await,
        };
        self.held.fetch_add(permit.num_permits(), Ordering::Relaxed);
        Room { permit, account: Arc::clone(self) }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.budget.accounts().remove(&self.id);
    }
}

impl Room {
    /// The piece, which gives the room back when the last of it is dropped.
    pub fn filled(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Filled { bytes, _room: self })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let bytes = self.permit.num_permits();
        self.account.held.fetch_sub(bytes, Ordering::Relaxed);
        self.account.moved.fetch_add(bytes, Ordering::Relaxed);
    }
}

struct Filled {
    bytes: Bytes,
    _room: Room,
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Room on the payer's account, if there is a payer.
pub(crate) async fn room(payer: &Payer, bytes: usize) -> Option<Room> {
    match payer {
        Some(account) => Some(account.room(bytes).await),
        None => None,
    }
}

/// A piece counted in the room that was made for it, if any was.
pub(crate) fn filled(room: Option<Room>, bytes: Bytes) -> Bytes {
    match room {
        Some(room) => room.filled(bytes),
        None => bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_go_first_and_no_more_than_must() {
        // Held, and moved since the last look.
        let speeds = [(10, 10, ()), (10, 0, ()), (30, 3, ()), (10, 9, ()), (20, 0, ())];
        assert_eq!(slowest(&speeds, 80), [] as [usize; 0]);
        assert_eq!(slowest(&speeds, 79), [4]);
        assert_eq!(slowest(&speeds, 60), [4]);
        assert_eq!(slowest(&speeds, 50), [4, 1]);
        assert_eq!(slowest(&speeds, 21), [4, 1, 2]);
        assert_eq!(slowest(&speeds, 0), [4, 1, 2, 3, 0]);
    }
}
