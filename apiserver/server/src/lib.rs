//! HTTP in front of store and registry: identity, routing, negotiation, discovery, watches, proxying.
