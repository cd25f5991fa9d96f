//! A module per controller: plan(observed, now) gives actions and a report, nothing else.
