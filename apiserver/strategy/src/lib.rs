//! What each kind adds to the one write path: defaults, preparation, validation, warnings.
