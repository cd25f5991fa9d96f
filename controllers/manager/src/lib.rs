//! The table of controllers (kinds watched to plan function) and its wiring.
