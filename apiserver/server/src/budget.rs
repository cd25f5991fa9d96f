//! The bytes of all answers that wait to be taken, and who goes when they become too many.
//!
//! Knows: how much each connection holds, and how much of it was taken lately. Refuses to know: what the bytes are.
//!
//! A piece of an answer is made only when the budget has room for it, and counts until it is written: whoever does not
//! read holds one piece and waits. Under pressure the connection whose bytes move slowest is cut, then the next, until
//! half of the budget is free again; without pressure nobody is cut for being slow. What all watchers share (an event's
//! frame) and what the cache holds anyway is not counted.
//!
//! Writes have a share of their own, for their bodies and their answers: no crowd of readers makes one wait.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// How often is looked whose bytes move.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// One part in so many of the budget is for writes.
const WRITES: usize = 4;

/// Room for the bytes of all answers.
pub(crate) struct Budget {
    reads: Share,
    writes: Share,
    accounts: Mutex<HashMap<u64, Weak<Account>>>,
    next: AtomicU64,
}

/// Room for the bytes of all reads, or of all writes.
struct Share {
    all: usize,
    room: Arc<Semaphore>,
}

/// What one connection holds of the budget.
pub(crate) struct Account {
    id: u64,
    budget: Arc<Budget>,
    cut: Box<dyn Fn() + Send + Sync>,
    reads: Moves,
    writes: Moves,
}

/// What one connection holds of a share.
#[derive(Default)]
struct Moves {
    held: AtomicUsize,
    /// Bytes held at the last look.
    held_before: AtomicUsize,
    /// Bytes taken since the last look.
    moved: AtomicUsize,
}

/// Whose budget an answer's bytes are counted on; none for requests that come without a connection.
#[derive(Clone, Default)]
pub(crate) struct Payer {
    account: Option<Arc<Account>>,
    writes: bool,
}

/// Room for one piece, given back when dropped.
pub(crate) struct Room {
    permit: OwnedSemaphorePermit,
    payer: Arc<Account>,
    writes: bool,
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(all: usize) -> Arc<Budget> {
        let writes = all / WRITES;
        let share = |all| Share { all, room: Arc::new(Semaphore::new(all)) };
        let (accounts, next) = (Mutex::default(), AtomicU64::new(0));
        Arc::new(Budget { reads: share(all - writes), writes: share(writes), accounts, next })
    }

    /// The account of a connection, with what cuts that.
    pub fn account(self: &Arc<Budget>, cut: impl Fn() + Send + Sync + 'static) -> Payer {
        let account = Arc::new(Account {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            budget: Arc::clone(self),
            cut: Box::new(cut),
            reads: Moves::default(),
            writes: Moves::default(),
        });
        self.accounts().insert(account.id, Arc::downgrade(&account));
        Payer { account: Some(account), writes: false }
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<u64, Weak<Account>>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn share(&self, writes: bool) -> &Share {
        if writes { &self.writes } else { &self.reads }
    }

    /// Bytes that wait to be taken.
    pub fn held(&self) -> usize {
        let held = |share: &Share| share.all - share.room.available_permits();
        held(&self.reads) + held(&self.writes)
    }

    /// Cuts the slowest while the budget is short, until the server stops.
    pub async fn run(self: Arc<Budget>, stop: CancellationToken) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(looks.tick()).await.is_some() {
            self.look(false);
            self.look(true);
        }
    }

    /// Looks once at what has moved in a share since the last time.
    fn look(&self, writes: bool) {
        let accounts: Vec<Arc<Account>> =
            self.accounts().values().filter_map(Weak::upgrade).collect();
        let Share { all, room } = self.share(writes);
        let short = room.available_permits() < all / 4;
        let speeds = accounts.into_iter().filter_map(|account| {
            let Moves { held, held_before, moved } = account.moves(writes);
            let moved = moved.swap(0, Ordering::Relaxed);
            let held = held.load(Ordering::Relaxed);
            // Whoever had nothing to take then has not been slow yet.
            let before = held_before.swap(held, Ordering::Relaxed);
            (held > 0 && before > 0).then_some((held, moved, account))
        });
        let speeds: Vec<_> = speeds.collect();
        if !short {
            return;
        }
        for at in slowest(&speeds, all / 2) {
            let (held, moved, account) = &speeds[at];
            tracing::warn!(held, moved, "cut the connection that takes its answers slowest");
            (account.cut)();
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
    fn moves(&self, writes: bool) -> &Moves {
        if writes { &self.writes } else { &self.reads }
    }

    /// Room for a piece of so many bytes, as soon as there is some. A piece larger than a third of the share counts as
    /// that.
    async fn room(self: &Arc<Account>, bytes: usize, writes: bool) -> Room {
        let Share { all, room } = self.budget.share(writes);
        let bytes = u32::try_from(bytes.min(all / 3)).unwrap_or(u32::MAX);
        // The semaphore is never closed; if it were, nothing would be counted.
        let permit = match Arc::clone(room).acquire_many_owned(bytes).await {
            Ok(permit) => permit,
            Err(_) => return std::future::pending().await,
        };
        self.moves(writes).held.fetch_add(permit.num_permits(), Ordering::Relaxed);
        Room { permit, payer: Arc::clone(self), writes }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.budget.accounts().remove(&self.id);
    }
}

impl Payer {
    /// The same account, for a request of this method.
    pub fn of(mut self, method: &Method) -> Payer {
        self.writes = !method.is_safe();
        self
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
        let Moves { held, moved, .. } = self.payer.moves(self.writes);
        held.fetch_sub(bytes, Ordering::Relaxed);
        moved.fetch_add(bytes, Ordering::Relaxed);
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
    match &payer.account {
        Some(account) => Some(account.room(bytes, payer.writes).await),
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
    use futures::FutureExt;

    use super::*;

    /// Red when reads and writes wait for the same room: the write then waits until a reader is cut.
    #[test]
    fn a_write_does_not_wait_behind_readers_who_do_not_read() {
        let budget = Budget::new(1 << 20);
        let (readers, writer) = (budget.account(|| {}), budget.account(|| {}));
        let held: Vec<_> = std::iter::from_fn(|| room(&readers, 100_000).now_or_never()).collect();
        assert!(held.len() >= 7 && room(&writer, 100_000).now_or_never().is_none());
        let writer = writer.of(&Method::PATCH);
        let (body, answer) = (room(&writer, 3 << 20), room(&writer, 100_000));
        let (body, answer) = (body.now_or_never(), answer.now_or_never());
        assert!(body.is_some() && answer.is_some());
        drop((held, body, answer));
        assert_eq!(budget.held(), 0);
    }

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
