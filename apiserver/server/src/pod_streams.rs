//! Logs of and commands in containers: found here, served by the node's agent.
//!
//! Knows: which container a request means, which node runs it, how a stream is passed through. Refuses to know: what is
//! in the stream.

use bytes::Bytes;
use futures::TryStreamExt;
use http::request::Parts;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use leme_meta::Status;
use leme_registry::json;
use serde_json::Value;

use crate::answer::{self, Answer};
use crate::api::Api;
use crate::body::Body;
use crate::inflight::Seat;
use crate::node_proxy::{self, Endpoint};
use crate::query::Query;
use crate::request::ResourceRequest;
use crate::table;

/// Log parameters that the node understands, and whether each is a number.
const LOG_PARAMETERS: [(&str, bool); 7] = [
    ("follow", false),
    ("previous", false),
    ("timestamps", false),
    ("sinceTime", false),
    ("sinceSeconds", true),
    ("tailLines", true),
    ("limitBytes", true),
];
const EXEC_FLAGS: [&str; 4] = ["stdin", "stdout", "stderr", "tty"];
/// What a WebSocket or SPDY handshake says, in either direction.
const HANDSHAKE: [&str; 9] = [
    "connection",
    "upgrade",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
    "sec-websocket-accept",
    "x-stream-protocol-version",
    "x-accept-spdystream-version",
];

/// A container and where it runs.
struct Place {
    container: String,
    endpoint: Endpoint,
}

impl Api {
    /// GET of a container's log.
    pub(crate) async fn log(&self, request: &ResourceRequest) -> Result<Answer, Status> {
        let query = log_query(&request.query)?;
        let pod = self.object_of(request).await?;
        let container = container(&pod, &request.name, request.query.get("container"))?;
        if !request.query.flag("previous") {
            not_waiting(&pod, &request.name, &container)?;
        }
        let place = self.place(&pod, &request.name, container).await?;
        let path = path("containerLogs", request, &place.container, &query);
        let node = self.nodes.send(&place.endpoint, node_request(&path, HeaderMap::new())?).await?;
        if node.status() != StatusCode::OK {
            return Err(node_proxy::refused(node).await);
        }
        let stopping = self.lifetime.stop_token();
        let lines = node.into_body().into_data_stream().map_err(Into::into);
        let lines = futures::StreamExt::take_until(lines, stopping.cancelled_owned());
        Ok(answer::with_body(200, "text/plain", Body::live(lines)))
    }

    /// A command run in a container: the handshake goes to the node, then bytes go both ways untouched.
    pub(crate) async fn exec(
        &self,
        request: &ResourceRequest,
        mut parts: Parts,
    ) -> Result<Answer, Status> {
        if !parts.headers.contains_key(header::UPGRADE) {
            return Err(Status::bad_request("Upgrade request required"));
        }
        let query = exec_query(&request.query)?;
        let pod = self.object_of(request).await?;
        let container = container(&pod, &request.name, request.query.get("container"))?;
        let place = self.place(&pod, &request.name, container).await?;
        let path = path("exec", request, &place.container, &query);
        let handshake = picked(&parts.headers);
        let mut node = self.nodes.send(&place.endpoint, node_request(&path, handshake)?).await?;
        if node.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(node_proxy::refused(node).await);
        }
        let mut answer = Answer::new(Body::empty());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *answer.headers_mut() = picked(node.headers());
        let of_node = hyper::upgrade::on(&mut node);
        match parts.extensions.remove::<OnUpgrade>() {
            Some(of_client) => {
                let seat = parts.extensions.remove::<Seat>();
                self.lifetime.spawn(async move {
                    joined(of_client, of_node).await;
                    drop(seat);
                });
            }
            // A client in this process takes the node's stream as its own.
            None => {
                answer.extensions_mut().insert(of_node);
            }
        }
        Ok(answer)
    }

    async fn object_of(&self, request: &ResourceRequest) -> Result<Value, Status> {
        self.catch_up(None).await?;
        let object = self
            .cache
            .get(&request.kind.prefix(None), &request.key())
            .ok_or_else(|| Status::not_found(&request.gvr(), &request.name))?;
        table::decoded(&object)
    }

    async fn place(&self, pod: &Value, name: &str, container: String) -> Result<Place, Status> {
        let node_name = json::text(pod, &["spec", "nodeName"]);
        if node_name.is_empty() {
            return Err(Status::bad_request(format!("pod {name} does not have a host assigned")));
        }
        let nodes = leme_kinds::by_resource("", "v1", "nodes").ok_or_else(Status::no_such_path)?;
        let node = self
            .cache
            .get(&nodes.prefix(None), &nodes.key("", node_name))
            .ok_or_else(|| Status::not_found(&nodes.gvr(), node_name))?;
        Ok(Place { container, endpoint: Endpoint::of_node(&table::decoded(&node)?)? })
    }
}

/// Both streams copied into each other until both have ended.
async fn joined(client: OnUpgrade, node: OnUpgrade) {
    let (client, node) = match futures::try_join!(client, node) {
        Ok(both) => both,
        Err(error) => return tracing::debug!(%error, "upgrade failed"),
    };
    let (mut client, mut node) = (TokioIo::new(client), TokioIo::new(node));
    if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut node).await {
        tracing::debug!(%error, "stream ended");
    }
}

fn names<'a>(pod: &'a Value, field: &str) -> Vec<&'a str> {
    json::list(pod, &["spec", field]).iter().map(|one| json::text(one, &["name"])).collect()
}

/// The container meant: the one named, or the only one there is.
fn container(pod: &Value, name: &str, asked: Option<&str>) -> Result<String, Status> {
    let (containers, init) = (names(pod, "containers"), names(pod, "initContainers"));
    let ephemeral = names(pod, "ephemeralContainers");
    if let Some(asked) = asked {
        let known = containers.iter().chain(&init).chain(&ephemeral).any(|one| *one == asked);
        return if known {
            Ok(asked.to_owned())
        } else {
            Err(Status::bad_request(format!("container {asked} is not valid for pod {name}")))
        };
    }
    if let [only] = containers.as_slice() {
        return Ok((*only).to_owned());
    }
    let mut message = format!("a container name must be specified for pod {name}");
    let kinds = [
        (", choose one of", containers),
        (" or one of the init containers", init),
        (" or one of the ephemeral containers", ephemeral),
    ];
    for (words, names) in kinds.iter().filter(|(_, names)| !names.is_empty()) {
        message.push_str(&format!("{words}: [{}]", names.join(" ")));
    }
    Err(Status::bad_request(message))
}

/// Refuses the log of a container that has never run.
fn not_waiting(pod: &Value, name: &str, container: &str) -> Result<(), Status> {
    let lists = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];
    let statuses = lists.iter().flat_map(|list| json::list(pod, &["status", list]));
    let Some(status) =
        statuses.into_iter().find(|status| json::text(status, &["name"]) == container)
    else {
        return Ok(());
    };
    let ran = json::at(status, &["lastState", "terminated"]).is_some();
    match json::at(status, &["state", "waiting"]) {
        Some(waiting) if !ran => Err(Status::bad_request(format!(
            "container {container:?} in pod {name:?} is waiting to start: {}",
            json::text(waiting, &["reason"])
        ))),
        _ => Ok(()),
    }
}

fn log_query(query: &Query) -> Result<String, Status> {
    let mut out = form_urlencoded::Serializer::new(String::new());
    for (name, number) in LOG_PARAMETERS {
        if number {
            if let Some(value) = query.number(name)? {
                out.append_pair(name, &value.to_string());
            }
        } else if let Some(value) = query.get(name) {
            out.append_pair(name, value);
        }
    }
    Ok(out.finish())
}

fn exec_query(query: &Query) -> Result<String, Status> {
    let mut out = form_urlencoded::Serializer::new(String::new());
    let mut commands = query.all("command").peekable();
    if commands.peek().is_none() {
        return Err(Status::bad_request("you must specify at least one command for the container"));
    }
    for command in commands {
        out.append_pair("command", command);
    }
    for flag in EXEC_FLAGS {
        if query.has(flag) {
            out.append_pair(flag, if query.flag(flag) { "true" } else { "false" });
        }
    }
    Ok(out.finish())
}

/// The path at the node. Namespace and names are made of characters that need no encoding, or do not exist.
fn path(what: &str, request: &ResourceRequest, container: &str, query: &str) -> String {
    let mut path = format!("/{what}/{}/{}/{container}", request.namespace, request.name);
    if !query.is_empty() {
        path.push('?');
        path.push_str(query);
    }
    path
}

fn node_request(path: &str, headers: HeaderMap) -> Result<Request<Empty<Bytes>>, Status> {
    let mut request = Request::builder()
        .method(Method::GET)
        .uri(path)
        .body(Empty::new())
        .map_err(|error| Status::bad_request(format!("{path}: {error}")))?;
    *request.headers_mut() = headers;
    Ok(request)
}

fn picked(headers: &HeaderMap) -> HeaderMap {
    let mut picked = HeaderMap::new();
    for name in HANDSHAKE {
        for value in headers.get_all(name) {
            picked.append(name, value.clone());
        }
    }
    picked
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(names: &[&str]) -> Value {
        let containers: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
        json!({ "spec": { "containers": containers, "initContainers": [{ "name": "i" }] } })
    }

    #[test]
    fn the_only_container_is_meant_and_otherwise_one_must_be_named() {
        assert_eq!(container(&pod(&["a"]), "p", None).unwrap(), "a");
        assert_eq!(container(&pod(&["a", "b"]), "p", Some("i")).unwrap(), "i");
        let error = container(&pod(&["a", "b"]), "p", None).unwrap_err();
        assert_eq!(error.code, 400);
        assert!(
            error
                .message
                .starts_with("a container name must be specified for pod p, choose one of: [a b]")
        );
        let error = container(&pod(&["a"]), "p", Some("z")).unwrap_err();
        assert_eq!(error.message, "container z is not valid for pod p");
    }

    #[test]
    fn a_container_that_never_ran_has_no_log() {
        let mut pod = pod(&["a"]);
        pod["status"] = json!({ "containerStatuses": [
            { "name": "a", "state": { "waiting": { "reason": "ContainerCreating" } } }
        ] });
        let error = not_waiting(&pod, "p", "a").unwrap_err();
        assert_eq!(
            error.message,
            r#"container "a" in pod "p" is waiting to start: ContainerCreating"#
        );
        pod["status"]["containerStatuses"][0]["lastState"] =
            json!({ "terminated": { "exitCode": 1 } });
        assert!(not_waiting(&pod, "p", "a").is_ok());
    }
}
