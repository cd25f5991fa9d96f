//! `leme port-forward`: local ports that lead into a pod, or into one that an object of any kind stands for.
//!
//! Knows: a WebSocket per connection, with a channel for data and one for errors. Refuses to know: what is carried.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use futures::{SinkExt, StreamExt};
use leme_meta::Object;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;

use crate::api::{self, Api, JSON};
use crate::args::PortForwardArgs;
use crate::{connect, pods, say, targets};

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
    let api = connect::connect(&args.connect).await?;
    let pod = pods::one(&api, &args.pod).await?;
    let path = pods::kind(&api).await?.object(&api.namespace, &pod, "");
    // A pod that does not exist is better said now than at the first connection.
    let found = Object(api.get(&path, JSON).await?);
    let service = service(&api, &args.pod).await?;
    let translated = args.ports.iter().map(|text| translate(text, service.as_ref(), &found));
    let ports = translated.map(|text| ports(&text?)).collect::<Result<Vec<_>>>()?;
    let phase = found.at(&["status", "phase"]).and_then(Value::as_str).unwrap_or("Unknown");
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

/// The Service that a word names, whose ports are meant then: none if it has no address of its own.
async fn service(api: &Api, word: &str) -> Result<Option<Object>> {
    if !word.contains('/') {
        return Ok(None);
    }
    let (kind, name) = targets::parse_one(&[word.to_owned()], api.served().await?)?;
    if (kind.group.as_str(), kind.plural.as_str()) != ("", "services") {
        return Ok(None);
    }
    let path = kind.object(&api.namespace, &name, "");
    let service = Object(api.get(&path, JSON).await?);
    Ok(Some(service).filter(|service| service.text(&["spec", "clusterIP"]) != "None"))
}

/// The same with the number of the pod's port behind the colon, whether it was a Service's, a name, or both.
fn translate(text: &str, service: Option<&Object>, pod: &Object) -> Result<String> {
    let (local, remote) = text.split_once(':').unwrap_or((text, text));
    let target = match service {
        None => Value::from(remote),
        Some(service) => {
            let ports = service.at(&["spec", "ports"]).and_then(Value::as_array);
            let meant = |port: &&Value| {
                port["name"] == remote
                    || port["port"].as_u64().is_some_and(|n| n.to_string() == remote)
            };
            let Some(port) = ports.into_iter().flatten().find(meant) else {
                bail!("Service {} does not have a service port {remote}", service.name());
            };
            // Without a name the local port is the Service's.
            let number = port["port"].as_u64().unwrap_or(0);
            let target = if port["targetPort"].is_null() {
                number.into()
            } else {
                port["targetPort"].clone()
            };
            if !text.contains(':') {
                return Ok(format!("{number}:{}", number_of(&target, pod)?));
            }
            target
        }
    };
    let number = number_of(&target, pod)?;
    match text.contains(':') {
        true => Ok(format!("{local}:{number}")),
        false => Ok(number),
    }
}

/// A port of the pod, by number or name.
fn number_of(port: &Value, pod: &Object) -> Result<String> {
    let text = port.as_str().map_or_else(|| port.to_string(), str::to_owned);
    if text.starts_with(|c: char| c.is_ascii_digit()) || text.is_empty() {
        return Ok(text);
    }
    let containers = pod.at(&["spec", "containers"]).and_then(Value::as_array);
    let mut ports = containers
        .into_iter()
        .flatten()
        .flat_map(|container| container["ports"].as_array().into_iter().flatten());
    match ports.find(|port| port["name"] == *text).and_then(|port| port["containerPort"].as_u64()) {
        Some(number) => Ok(number.to_string()),
        None => bail!("Pod '{}' does not have a named port '{text}'", pod.name()),
    }
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
    let connection = target.api.client.connect(&format!("{}{query}", target.path)).await?;
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
    use serde_json::json;

    #[test]
    fn ports_of_services_and_names_are_those_of_the_pod() {
        let pod = Object(json!({"metadata": {"name": "p"}, "spec": {"containers": [
            {"ports": [{"name": "web", "containerPort": 8080}]}]}}));
        let service = Object(json!({"metadata": {"name": "s"}, "spec": {"ports": [
            {"name": "http", "port": 80, "targetPort": "web"}, {"port": 443, "targetPort": 8443}, {"port": 22}]}}));
        let check = |text: &str, of: Option<&Object>| match translate(text, of, &pod) {
            Ok(text) => text,
            Err(error) => error.to_string(),
        };
        assert_eq!(check("80", Some(&service)), "80:8080");
        assert_eq!(check("http", Some(&service)), "80:8080");
        assert_eq!(check("9000:443", Some(&service)), "9000:8443");
        assert_eq!(check(":22", Some(&service)), ":22");
        assert_eq!(check("81", Some(&service)), "Service s does not have a service port 81");
        assert_eq!(check("9000:web", None), "9000:8080");
        assert_eq!(check("web", None), "8080");
        assert_eq!(check("80", None), "80");
        assert_eq!(check("x", None), "Pod 'p' does not have a named port 'x'");
    }

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
