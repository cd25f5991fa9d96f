//! Identity claims and authorisation verdicts; what cannot be parsed is denied.
