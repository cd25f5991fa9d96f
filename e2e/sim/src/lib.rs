//! A whole cluster in one thread on a fake clock, driven by golden transcripts.
