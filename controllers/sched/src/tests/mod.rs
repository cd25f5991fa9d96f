//! Each filter and score one way and the other, as upstream decides.

mod company;
mod filters;
mod preemption;
mod scores;
mod spreading;
mod volumes;
