//! Informers, work queue, back-off and the executor of actions; knows the client, never a kind.
