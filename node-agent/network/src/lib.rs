//! Pod network, service rules, cluster DNS and the HTTP router.
