//! Logs, commands, attached streams and forwarded ports of pods: found here, served by the node's agent.
//!
//! Knows: which container a request means, which node runs it, how a stream is passed through. Refuses to know: what is
//! in the stream.

use bytes::Bytes;
use futures::TryStreamExt;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use leme_kinds::Subresource;
use leme_meta::quote;
use leme_meta::{FieldError, Gvk, Path, Status};
use leme_registry::json;
use serde_json::Value;

use crate::answer::{self, Answer};
use crate::api::Api;
use crate::body::Body;
use crate::node_proxy::{self, Endpoint};
use crate::query::Query;
use crate::request::ResourceRequest;
use crate::{proxy, table, tunnel};

/// Log parameters that the node understands: what is asked for or not.
const LOG_FLAGS: [&str; 3] = ["follow", "previous", "timestamps"];
/// And numbers, each with the least there is and what is said of one that is less.
const LOG_NUMBERS: [(&str, i64, &str); 3] = [
    ("tailLines", 0, "must be greater than or equal to 0"),
    ("limitBytes", 1, "must be greater than 0"),
    ("sinceSeconds", 1, "must be greater than 0"),
];
const SINCE_TIME: &str = "sinceTime";
const STREAMS: [&str; 4] = ["stdin", "stdout", "stderr", "tty"];
/// What a WebSocket or SPDY handshake says, in either direction.
const HANDSHAKE: [&str; 10] = [
    "connection",
    "upgrade",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
    "sec-websocket-accept",
    "x-stream-protocol-version",
    "x-accept-spdystream-version",
    "x-accepted-stream-protocol-versions",
];
/// Errors of nodes are a line of text.
const ERROR_BYTES: usize = 64 * 1024;

impl Api {
    /// GET of a container's log, also over a WebSocket.
    pub(crate) async fn log(
        &self,
        request: &ResourceRequest,
        mut parts: Parts,
    ) -> Result<Answer, Status> {
        let query = log_query(&request.query, &request.name)?;
        let pod = self.object_of(request).await?;
        let container = container(&pod, &request.name, request.query.get("container"))?;
        if !request.query.flag("previous") {
            not_waiting(&pod, &request.name, &container)?;
        }
        let endpoint = self.endpoint(&pod, &request.name)?;
        let path = path("containerLogs", request, &container, &query);
        let websocket = proxy::upgrade(&parts.headers).is_some();
        let handshake = if websocket { picked(&parts.headers) } else { HeaderMap::new() };
        let node = self.nodes.send(&endpoint, node_request(Method::GET, &path, handshake)?).await?;
        match node.status() {
            StatusCode::SWITCHING_PROTOCOLS if websocket => {
                let headers = picked(node.headers());
                self.tunnel(&mut parts.extensions, node, headers)
            }
            StatusCode::OK => {
                let stopping = self.lifetime.stop_token();
                let lines = node.into_body().into_data_stream().map_err(Into::into);
                let lines = futures::StreamExt::take_until(lines, stopping.cancelled_owned());
                Ok(answer::with_body(200, "text/plain", Body::live(lines)))
            }
            _ => Err(node_proxy::refused(node).await),
        }
    }

    /// A command run in a container, its own streams, or its pod's ports: the handshake goes to the node, then bytes go
    /// both ways untouched. What the node answers in place of an upgrade is the client's answer.
    pub(crate) async fn connect(
        &self,
        request: &ResourceRequest,
        mut parts: Parts,
    ) -> Result<Answer, Status> {
        if proxy::upgrade(&parts.headers).is_none() {
            return Err(Status::bad_request("Upgrade request required"));
        }
        let handshake = picked(&parts.headers);
        let node = self.to_node(request, parts.method.clone(), handshake).await?;
        match node.status() {
            StatusCode::SWITCHING_PROTOCOLS => {
                let headers = picked(node.headers());
                self.tunnel(&mut parts.extensions, node, headers)
            }
            code if code.as_u16() < 400 => Err(tunnel::invalid(code.as_u16())),
            _ => Ok(echoed(node).await),
        }
    }

    /// The same for the server itself: the node's agreement to a handshake.
    pub(crate) async fn open_stream(
        &self,
        request: &ResourceRequest,
        handshake: HeaderMap,
    ) -> Result<Response<Incoming>, Status> {
        let node = self.to_node(request, Method::GET, handshake).await?;
        match node.status() {
            StatusCode::SWITCHING_PROTOCOLS => Ok(node),
            _ => Err(node_proxy::refused(node).await),
        }
    }

    async fn to_node(
        &self,
        request: &ResourceRequest,
        method: Method,
        handshake: HeaderMap,
    ) -> Result<Response<Incoming>, Status> {
        let query = match request.subresource {
            Some(Subresource::Exec) => exec_query(&request.query)?,
            Some(Subresource::Attach) => attach_query(&request.query),
            _ => ports_query(&request.query)?,
        };
        let pod = self.object_of(request).await?;
        let path = match request.subresource {
            Some(Subresource::PortForward) => path("portForward", request, "", &query),
            other => {
                let container = container(&pod, &request.name, request.query.get("container"))?;
                path(other.map_or("exec", Subresource::name), request, &container, &query)
            }
        };
        let endpoint = self.endpoint(&pod, &request.name)?;
        self.nodes.send(&endpoint, node_request(method, &path, handshake)?).await
    }

    async fn object_of(&self, request: &ResourceRequest) -> Result<Value, Status> {
        self.catch_up(None).await?;
        let object = self
            .cache
            .get(&request.kind.prefix(None), &request.key())
            .ok_or_else(|| Status::not_found(&request.gvr(), &request.name))?;
        table::decoded(&object)
    }

    fn endpoint(&self, pod: &Value, name: &str) -> Result<Endpoint, Status> {
        let node_name = json::text(pod, &["spec", "nodeName"]);
        if node_name.is_empty() {
            return Err(Status::bad_request(format!("pod {name} does not have a host assigned")));
        }
        let nodes = leme_kinds::by_resource("", "v1", "nodes").ok_or_else(Status::no_such_path)?;
        let node = self
            .cache
            .get(&nodes.prefix(None), &nodes.key("", node_name))
            .ok_or_else(|| Status::not_found(&nodes.gvr(), node_name))?;
        Endpoint::of_node(&table::decoded(&node)?)
    }
}

/// A node's refusal as it is: clients show its text.
async fn echoed(node: Response<Incoming>) -> Answer {
    let (parts, body) = node.into_parts();
    let text = Limited::new(body, ERROR_BYTES).collect().await;
    let text = text.map(|text| text.to_bytes()).unwrap_or_default();
    let mut answer = answer::with_body(parts.status.as_u16(), "text/plain", Body::whole(text));
    for name in [header::CONTENT_TYPE.as_str(), "x-accepted-stream-protocol-versions"] {
        if parts.headers.contains_key(name) {
            answer.headers_mut().remove(name);
        }
        for value in parts.headers.get_all(name) {
            if let Ok(name) = http::HeaderName::try_from(name) {
                answer.headers_mut().append(name, value.clone());
            }
        }
    }
    answer
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
            "container {container} in pod {name} is waiting to start: {}",
            json::text(waiting, &["reason"]),
            container = quote(&container),
            name = quote(&name)
        ))),
        _ => Ok(()),
    }
}

/// What the node is asked, of parameters that make sense.
fn log_query(query: &Query, pod: &str) -> Result<String, Status> {
    let mut out = form_urlencoded::Serializer::new(String::new());
    for name in LOG_FLAGS.into_iter().filter(|name| query.flag(name)) {
        out.append_pair(name, "true");
    }
    let since = query.get(SINCE_TIME).filter(|text| *text != "null");
    if let Some(text) = since {
        let time: Result<jiff::Timestamp, _> = text.parse();
        time.map_err(|_| {
            Status::bad_request(format!(
                "parsing time {text} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text} as \"2006\"", text = quote(&text)))
        })?;
        out.append_pair(SINCE_TIME, text);
    }
    let mut errors = Vec::new();
    for (name, least, detail) in LOG_NUMBERS {
        let Some(value) = query.int(name)? else { continue };
        out.append_pair(name, &value.to_string());
        if name == "sinceSeconds" && since.is_some() {
            let detail = "at most one of `sinceTime` or `sinceSeconds` may be specified";
            // Both, which has no name.
            errors.push(FieldError::forbidden(&Path::new("[]"), detail));
        } else if value < least {
            errors.push(FieldError::invalid(&Path::new(name), &Value::from(value), detail));
        }
    }
    if errors.is_empty() {
        return Ok(out.finish());
    }
    let kind = Gvk { kind: "PodLogOptions".to_owned(), ..Gvk::default() };
    Err(Status::invalid(&kind, pod, &errors))
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
    add_streams(&mut out, query);
    Ok(out.finish())
}

fn attach_query(query: &Query) -> String {
    let mut out = form_urlencoded::Serializer::new(String::new());
    add_streams(&mut out, query);
    out.finish()
}

fn add_streams(out: &mut form_urlencoded::Serializer<'_, String>, query: &Query) {
    for flag in STREAMS.into_iter().filter(|flag| query.has(flag)) {
        out.append_pair(flag, if query.flag(flag) { "true" } else { "false" });
    }
}

/// The ports that a WebSocket without SPDY in it forwards; the others name theirs later.
fn ports_query(query: &Query) -> Result<String, Status> {
    let mut out = form_urlencoded::Serializer::new(String::new());
    for text in query.all("ports") {
        let port: i32 = text.parse().map_err(|_| {
            Status::bad_request(format!(
                "invalid value for query parameter ports: {text}",
                text = quote(&text)
            ))
        })?;
        out.append_pair("port", &port.to_string());
    }
    Ok(out.finish())
}

/// The path at the node. Namespace and names are made of characters that need no encoding, or do not exist.
fn path(what: &str, request: &ResourceRequest, container: &str, query: &str) -> String {
    let mut path = format!("/{what}/{}/{}", request.namespace, request.name);
    if !container.is_empty() {
        path.push('/');
        path.push_str(container);
    }
    if !query.is_empty() {
        path.push('?');
        path.push_str(query);
    }
    path
}

fn node_request(
    method: Method,
    path: &str,
    headers: HeaderMap,
) -> Result<Request<Empty<Bytes>>, Status> {
    let mut request = Request::builder()
        .method(method)
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
