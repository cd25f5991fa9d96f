//! Filter and score tables and the bind decision.
