//! Two connections that become one: after an upgrade, and of those who are passed through as they come.
//!
//! Knows: bytes both ways, and how long nothing may happen. Refuses to know: what is spoken.

use super::activity::{Activity, Noted, Way};
use super::forward::{ATTEMPTS, Ends, Forwarder, chosen};
use super::log::Record;
use super::pools::Held;
use super::sender::CONNECT_TIMEOUT;
use super::session::Session;
use super::table::Entry;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A client and an endpoint that have agreed on another protocol.
pub(super) struct Tunnel {
    pub(super) from_client: OnUpgrade,
    pub(super) from_endpoint: OnUpgrade,
    pub(super) held: [Option<Held>; 3],
    pub(super) patience: Duration,
}

impl Tunnel {
    /// Lets both talk until nothing happens for too long.
    pub(super) async fn run(self, mut session: Session) {
        let _held = self.held;
        let activity = Activity::new();
        session.moves(&activity);
        let both = async { tokio::try_join!(self.from_client, self.from_endpoint) };
        let Some(Ok((client, endpoint))) = activity.watch(self.patience, both).await else {
            return;
        };
        talk(TokioIo::new(client), TokioIo::new(endpoint), &activity, self.patience).await;
    }
}

async fn talk(
    client: impl AsyncRead + AsyncWrite + Unpin,
    endpoint: impl AsyncRead + AsyncWrite + Unpin,
    activity: &Activity,
    patience: Duration,
) {
    let mut client = Noted::new(client, activity, Way::ToApplication);
    let mut endpoint = Noted::new(endpoint, activity, Way::ToClient);
    let talk = tokio::io::copy_bidirectional(&mut client, &mut endpoint);
    let _ = activity.watch(patience, talk).await;
}

impl Forwarder {
    /// Gives a connection to an application as it came.
    pub(super) async fn tunnel(
        &self,
        client: leme_serve::Opened,
        entry: &Entry,
        host: &str,
        ends: Ends,
    ) {
        let mut session = self.begin(true, || Record::of_connection(ends.client, host));
        session.is_for(entry);
        let Some(_limited) = self.admit(entry, ends.client.ip(), true) else { return };
        for attempt in 1..=ATTEMPTS {
            let choice = match chosen(entry, None, ends, attempt).await {
                Ok(choice) => choice,
                Err(cause) => return self.trouble.tell(entry, format!("{cause:?}")),
            };
            let activity = Activity::new();
            session.goes_to(&choice, &activity);
            let connecting = TcpStream::connect(choice.address);
            let why = match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
                Ok(Ok(endpoint)) => {
                    let _ = endpoint.set_nodelay(true);
                    let talk = talk(client, endpoint, &activity, entry.options.tunnel_timeout);
                    self.token.run_until_cancelled(talk).await;
                    return;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no connection in time".to_owned(),
            };
            session.failed(true);
            self.trouble.tell(entry, format!("endpoint {}: cannot connect: {why}", choice.address));
        }
    }
}
