//! The node agent: one closed event type, one loop; status goes through the client.
