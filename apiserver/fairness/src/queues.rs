//! The queues of one priority level: who waits, and whose turn is next.
//!
//! Knows: fair queueing in virtual time, and hands of queues by which flows are kept apart. Refuses to know: clocks, tasks,
//! other levels. Times are seconds of somebody's clock.
//!
//! Each queue has the virtual time at which its next request would begin if all queues were served at once, each at the
//! same rate. The one that would end first is next. What a request takes is guessed when it begins and put right when it
//! has ended, so that a flow of long requests waits longer.

use std::collections::VecDeque;

/// What a request is thought to take for each of its seats, in seconds.
const GUESS: f64 = 0.003;

/// The queues of a level, each request with what is to be woken.
#[derive(Debug)]
pub(crate) struct Queues<T> {
    queues: Vec<Queue<T>>,
    hand: usize,
    /// Requests in a queue at most.
    most: usize,
    /// Virtual time.
    now: f64,
    /// The clock when that was true.
    at: f64,
    waiting: usize,
    seats_taken: u32,
    /// Queues in which somebody waits or of which somebody runs.
    used: usize,
}

#[derive(Debug)]
struct Queue<T> {
    waiting: VecDeque<Waiting<T>>,
    /// Seats of those that wait and of those that run.
    seats: u32,
    running: usize,
    /// When its next request begins, in virtual time.
    begins: f64,
}

#[derive(Debug)]
struct Waiting<T> {
    id: u64,
    seats: u32,
    what: T,
}

impl<T> Queue<T> {
    fn is_used(&self) -> bool {
        self.running > 0 || !self.waiting.is_empty()
    }
}

/// A request that runs.
#[derive(Debug)]
pub(crate) struct Turn {
    queue: usize,
    seats: u32,
    began: f64,
}

impl<T> Queues<T> {
    /// Empty ones; at least one, of which a hand is no more than there are.
    pub fn new(queues: usize, hand: usize, most: usize) -> Queues<T> {
        let empty = || Queue { waiting: VecDeque::new(), seats: 0, running: 0, begins: 0.0 };
        let queues: Vec<Queue<T>> = (0..queues.max(1)).map(|_| empty()).collect();
        let hand = hand.clamp(1, queues.len());
        Queues { queues, hand, most, now: 0.0, at: 0.0, waiting: 0, seats_taken: 0, used: 0 }
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Seats of those that run.
    pub fn seats_taken(&self) -> u32 {
        self.seats_taken
    }

    /// How many run.
    pub fn running(&self) -> usize {
        self.queues.iter().map(|queue| queue.running).sum()
    }

    /// A request for which there is a seat runs at once: nobody waits.
    pub fn pass(&mut self, flow: u64, seats: u32, clock: f64) -> Turn {
        self.advance(clock);
        let at = self.emptiest(flow);
        let queue = &mut self.queues[at];
        if !queue.is_used() {
            queue.begins = self.now;
            self.used += 1;
        }
        queue.seats += seats;
        queue.running += 1;
        queue.begins += f64::from(seats) * GUESS;
        self.seats_taken += seats;
        Turn { queue: at, seats, began: clock }
    }

    /// Lets a request wait in the emptiest queue of its flow's hand; gives it back if that is full.
    pub fn enqueue(
        &mut self,
        flow: u64,
        (id, seats): (u64, u32),
        what: T,
        clock: f64,
    ) -> Result<(), T> {
        self.advance(clock);
        let index = self.emptiest(flow);
        let queue = &mut self.queues[index];
        if queue.waiting.len() >= self.most {
            return Err(what);
        }
        if !queue.is_used() {
            queue.begins = self.now;
            self.used += 1;
        }
        queue.seats += seats;
        queue.waiting.push_back(Waiting { id, seats, what });
        self.waiting += 1;
        Ok(())
    }

    /// Seats of the request whose turn is next.
    pub fn next_seats(&self) -> Option<u32> {
        let next = &self.queues[self.next()?];
        next.waiting.front().map(|first| first.seats)
    }

    /// The request whose turn is next, which runs from now on.
    pub fn dispatch(&mut self, clock: f64) -> Option<(T, Turn)> {
        self.advance(clock);
        let index = self.next()?;
        let queue = &mut self.queues[index];
        let Waiting { seats, what, .. } = queue.waiting.pop_front()?;
        queue.running += 1;
        queue.begins += f64::from(seats) * GUESS;
        self.waiting -= 1;
        self.seats_taken += seats;
        Some((what, Turn { queue: index, seats, began: clock }))
    }

    /// A request has ended.
    pub fn ended(&mut self, turn: &Turn, clock: f64) {
        self.advance(clock);
        let queue = &mut self.queues[turn.queue];
        let took = (clock - turn.began).max(0.0);
        queue.begins += f64::from(turn.seats) * (took - GUESS);
        queue.running -= 1;
        queue.seats -= turn.seats;
        self.used -= usize::from(!queue.is_used());
        self.seats_taken -= turn.seats;
    }

    /// Somebody waits no more; nothing, if it is their turn already.
    pub fn leave(&mut self, id: u64) -> Option<T> {
        for queue in &mut self.queues {
            if let Some(at) = queue.waiting.iter().position(|waiting| waiting.id == id) {
                let left = queue.waiting.remove(at)?;
                queue.seats -= left.seats;
                self.used -= usize::from(!queue.is_used());
                self.waiting -= 1;
                return Some(left.what);
            }
        }
        None
    }

    /// Lets virtual time go on: as fast as each queue in use would be served.
    fn advance(&mut self, clock: f64) {
        let passed = (clock - self.at).max(0.0);
        if self.used > 0 {
            self.now += passed * f64::from(self.seats_taken.max(1)) / self.used as f64;
        }
        self.at = self.at.max(clock);
    }

    fn next(&self) -> Option<usize> {
        let ends = |queue: &Queue<T>| {
            queue.waiting.front().map(|first| queue.begins + f64::from(first.seats) * GUESS)
        };
        let waiting =
            self.queues.iter().enumerate().filter_map(|(at, queue)| Some((ends(queue)?, at)));
        waiting.min_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, at)| at)
    }

    /// Deals a hand of queues, the same for a flow each time, and picks the one with the fewest seats in it.
    fn emptiest(&self, flow: u64) -> usize {
        let count = self.queues.len();
        let mut dealt: Vec<usize> = Vec::with_capacity(self.hand);
        let (mut value, mut left) = (flow, count as u64);
        while dealt.len() < self.hand {
            // The how-many-th of those that are left.
            let mut card = (value % left) as usize;
            (value, left) = (value / left, left - 1);
            let mut sorted = dealt.clone();
            sorted.sort_unstable();
            for taken in sorted {
                card += usize::from(card >= taken);
            }
            dealt.push(card);
        }
        let seats = |at: &usize| (self.queues[*at].seats, self.queues[*at].waiting.len());
        dealt.into_iter().min_by_key(seats).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues(count: usize, hand: usize) -> Queues<&'static str> {
        Queues::new(count, hand, 50)
    }

    /// Red when it is first come, first served: whoever sends most is served most.
    #[test]
    fn a_flow_that_sends_much_does_not_keep_another_waiting() {
        // One queue each: by the rest, the flows 0 and 1 are dealt the first and the second of two.
        let mut all = queues(2, 1);
        for id in 0..40 {
            all.enqueue(0, (id, 1), "much", 0.0).unwrap();
        }
        all.enqueue(1, (100, 1), "little", 0.0).unwrap();
        let mut order = Vec::new();
        let mut clock = 0.0;
        while let Some((who, turn)) = all.dispatch(clock) {
            order.push(who);
            clock += 0.003;
            all.ended(&turn, clock);
        }
        assert!(order.iter().position(|who| *who == "little").unwrap() <= 1, "{order:?}");
        assert_eq!(order.len(), 41);
    }

    #[test]
    fn flows_of_long_requests_wait_longer() {
        let mut all = queues(2, 1);
        for id in 0..20 {
            all.enqueue(0, (id, 1), "long", 0.0).unwrap();
            all.enqueue(1, (100 + id, 1), "short", 0.0).unwrap();
        }
        let (mut clock, mut served) = (0.0, [0, 0]);
        for _ in 0..20 {
            let (who, turn) = all.dispatch(clock).unwrap();
            served[usize::from(who == "short")] += 1;
            clock += if who == "long" { 0.1 } else { 0.01 };
            all.ended(&turn, clock);
        }
        assert!(served[1] > 4 * served[0], "{served:?}");
    }

    #[test]
    fn a_full_queue_takes_nobody_and_who_leaves_makes_room() {
        let mut all: Queues<&str> = Queues::new(1, 1, 2);
        all.enqueue(7, (1, 1), "a", 0.0).unwrap();
        all.enqueue(7, (2, 3), "b", 0.0).unwrap();
        assert_eq!(all.enqueue(7, (3, 1), "c", 0.0), Err("c"));
        assert_eq!(all.leave(1), Some("a"));
        assert_eq!(all.leave(1), None);
        all.enqueue(7, (3, 1), "c", 0.0).unwrap();
        assert_eq!((all.waiting(), all.next_seats()), (2, Some(3)));
        let (who, turn) = all.dispatch(1.0).unwrap();
        assert_eq!((who, all.seats_taken(), all.running()), ("b", 3, 1));
        all.ended(&turn, 2.0);
        assert_eq!((all.seats_taken(), all.waiting()), (0, 1));
    }

    #[test]
    fn hands_are_dealt_without_repeats_and_the_same_each_time() {
        let all = queues(128, 6);
        let mut seen = std::collections::BTreeSet::new();
        for flow in 0..2_000_u64 {
            let flow = flow.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            assert_eq!(all.emptiest(flow), all.emptiest(flow));
            seen.insert(all.emptiest(flow));
        }
        assert!(seen.len() > 100, "{}", seen.len());
        // One that is full is kept out of by who is dealt others as well.
        let mut all = queues(8, 3);
        let flow = 12_345;
        let first = all.emptiest(flow);
        all.enqueue(flow, (1, 1), "a", 0.0).unwrap();
        assert_ne!(all.emptiest(flow), first);
    }
}
