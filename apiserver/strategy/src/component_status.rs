//! ComponentStatus.
//!
//! Knows: that it is on its way out. Refuses to know: how components are; the server looks.

use leme_registry::Strategy;

pub(crate) const STRATEGY: Strategy =
    Strategy { deprecated: "v1 ComponentStatus is deprecated in v1.19+", ..Strategy::PLAIN };
