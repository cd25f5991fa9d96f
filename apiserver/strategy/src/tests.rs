//! Behaviour of the kinds through the write path.
