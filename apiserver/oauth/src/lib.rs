//! OAuth as OpenShift speaks it: what a client asks for and may be given, who knows a password, what people are shown.
//!
//! Knows: requests as pairs of names and values, clients as their objects say, codes, tokens, cookies and pages. Refuses
//! to know: HTTP, where objects are kept, the clock and chance, which come in as arguments.
#![forbid(unsafe_code)]

mod apr1;
mod attempts;
mod authorize;
mod client;
mod exchange;
mod failure;
mod form;
/// Pages that people see.
pub mod pages;
mod passwords;
mod secret;
mod session;

pub use attempts::Attempts;
pub use authorize::{Asked, Kind, Refused, covers};
pub use client::{Client, Grant};
pub use exchange::{Exchange, Given};
pub use failure::{Code, Failure};
pub use form::{Form, basic, cookie, is_on_this_server, with_query};
pub use passwords::{LONGEST, Passwords};
pub use secret::{RANDOM, same, token_name, token_of};
pub use session::Sessions;
