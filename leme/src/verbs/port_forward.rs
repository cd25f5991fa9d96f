//! `leme port-forward`: local ports that lead into a pod.
//!
//! Knows: a WebSocket per connection, with a channel for data and one for errors. Refuses to know: what is carried.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use futures::{SinkExt, StreamExt};
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;

use crate::api::{self, Api, ApiError};
use crate::args::PortForwardArgs;
use crate::{connect, say, targets};

const DATA: u8 = 0;
const ERROR: u8 = 1;
/// Each channel begins with the number of its port.
const PORT_BYTES: usize = 2;
const PIECE: usize = 16 * 1024;

/// A pod's port to forward to.
struct Target {
    api: Api,
    path: String,
    remote: u16,
}

/// Listens until it is ended; what goes wrong with one connection is said and does not end the others.
pub async fn run(args: &PortForwardArgs) -> Result<()> {
    let ports = args.ports.iter().map(|text| ports(text)).collect::<Result<Vec<_>>>()?;
    let api = connect::connect(&args.connect).await?;
    let pod = args.pod.strip_prefix("pod/").unwrap_or(&args.pod);
    let path = api::path(targets::kind("pods")?, Some(&api.namespace), Some(pod), None);
    // A pod that does not exist is better said now than at the first connection.
    let found = api.client.request::<serde_json::Value>(Request::get(&path).body(Vec::new())?);
    let found = found.await.map_err(ApiError::from)?;
    let phase = found["status"]["phase"].as_str().unwrap_or("Unknown");
    if phase != "Running" {
        bail!("unable to forward port because pod is not running. Current status={phase}");
    }
    let mut listening = Vec::new();
    for (local, remote) in ports {
        let address = SocketAddr::new(args.address, local);
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("listen on {address}"))?;
        say::line(format_args!("Forwarding from {} -> {remote}", listener.local_addr()?))?;
        let target = Target { api: api.clone(), path: format!("{path}/portforward"), remote };
        listening.push(serve(listener, Arc::new(target)));
    }
    futures::future::try_join_all(listening).await.map(drop)
}

/// Local and remote port.
fn ports(text: &str) -> Result<(u16, u16)> {
    let (local, remote) = text.split_once(':').unwrap_or((text, text));
    let number = |text: &str| text.parse::<u16>().ok();
    let local = if local.is_empty() { Some(0) } else { number(local) };
    match (local, number(remote).filter(|port| *port > 0)) {
        (Some(local), Some(remote)) => Ok((local, remote)),
        _ => bail!("{text:?} is no port: PORT, LOCAL:REMOTE or :REMOTE expected"),
    }
}

async fn serve(listener: TcpListener, target: Arc<Target>) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await.context("accept a connection")?;
        let target = Arc::clone(&target);
        tokio::spawn(async move {
            if let Err(error) = forward(stream, &target).await {
                say::note(format_args!("leme: forward to port {}: {error:#}", target.remote));
            }
        });
    }
}

async fn forward(mut stream: TcpStream, target: &Target) -> Result<()> {
    let remote = target.remote.to_string();
    let query = api::query(&[("ports", Some(remote.as_str()))]);
    let request = Request::get(format!("{}{query}", target.path)).body(Vec::new())?;
    let connection = target.api.client.connect(request).await.map_err(ApiError::from)?;
    let (mut sink, mut source) = connection.into_stream().split();
    let (mut from, mut to) = stream.split();
    let outward = async {
        let mut greeted = [false; 2];
        while let Some(message) = source.next().await {
            let Message::Binary(message) = message.context("read the connection")? else {
                continue;
            };
            let Some((channel, mut data)) = message.split_first() else { continue };
            let Some(greeted) = greeted.get_mut(usize::from(*channel)) else { continue };
            if !std::mem::replace(greeted, true) {
                data = data.get(PORT_BYTES..).unwrap_or_default();
            }
            match *channel {
                DATA => to.write_all(data).await?,
                ERROR if !data.is_empty() => bail!("{}", String::from_utf8_lossy(data)),
                _ => {}
            }
        }
        Ok(())
    };
    let inward = async {
        let mut buffer = vec![0; PIECE];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let data = [&[DATA], &buffer[..count]].concat();
            if sink.send(Message::Binary(data.into())).await.is_err() {
                break;
            }
        }
        // The channels know no end of one direction: the answer is still waited for.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = outward => ended,
        () = inward => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_kubectl_reads_them() {
        for (text, expected) in [
            ("80", Some((80, 80))),
            ("8080:80", Some((8080, 80))),
            (":80", Some((0, 80))),
            ("0", None),
            ("80:", None),
            ("x:80", None),
            ("1:2:3", None),
        ] {
            assert_eq!(ports(text).ok(), expected, "{text}");
        }
    }
}
