//! The cluster's name server. Knows how to turn the zone's answers, or an upstream's, into messages; the names are the zone's
//! (`zone`), the patience is the forwarder's (`forward`).

mod forward;
mod tcp;
mod zone;

pub use forward::Upstreams;

use crate::Cidr;
use crate::model::Feed;
use anyhow::{Context, Result};
use async_trait::async_trait;
use forward::{Forwarder, PAYLOAD};
use futures::StreamExt;
use hickory_proto::op::{Edns, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, LowerName, Record};
use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use k8s_openapi::api::core::v1::Namespace;
use leme_client::{Client, Error, Event, Events, Known, Resource, Scope, Step, follow_as};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zone::{Answer, Zone};

/// What the name server of a node needs to know.
#[derive(Clone, Debug)]
pub struct DnsConfig {
    /// Where it answers, over UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// The cluster's domain, such as `cluster.local`.
    pub cluster_domain: String,
    /// Networks whose reverse names are never asked of upstreams: those of pods and Services.
    pub reverse_cidrs: Vec<Cidr>,
    /// Who answers for everything else.
    pub upstreams: Upstreams,
}

/// Answers names of the cluster until `token` is cancelled.
pub async fn run_dns(client: Client, config: DnsConfig, token: CancellationToken) -> Result<()> {
    let zone = Zone::new(&config.cluster_domain, config.reverse_cidrs.clone());
    let zone = Arc::new(RwLock::new(zone));
    let forwarder = Arc::new(Forwarder::new(config.upstreams.clone(), config.listen.clone()));
    let handler = Handler { zone: zone.clone(), forwarder, turn: Arc::default() };
    let mut server = Server::new(handler.clone());
    let (handler, peers, over_tcp) = (Arc::new(handler), Arc::default(), TaskTracker::new());
    for &address in &config.listen {
        let udp = UdpSocket::bind(address).await;
        server.register_socket(udp.with_context(|| format!("DNS: listen on {address}/udp"))?);
        let tcp = TcpListener::bind(address).await;
        let tcp = tcp.with_context(|| format!("DNS: listen on {address}/tcp"))?;
        over_tcp.spawn(tcp::serve(tcp, handler.clone(), Arc::clone(&peers), token.clone()));
    }
    over_tcp.close();
    let client = client.named("leme-dns");
    let mut feed = Feed::new(&client);
    let namespaces = Resource::cluster("v1", "Namespace", "namespaces");
    let mut namespaces: Events<Namespace> = follow_as(client, Scope::all(namespaces));
    let mut known = Known::default();
    let mut fed = false;
    loop {
        tokio::select! {
            () = token.cancelled() => break,
            ended = server.block_until_done() => {
                return ended.context("DNS server").and(Err(anyhow::anyhow!("DNS server ended")));
            }
            changed = feed.next() => {
                let mut zone = zone.write().unwrap_or_else(PoisonError::into_inner);
                changed.iter().for_each(|key| zone.update(&feed.model, key));
                fed = true;
            }
            Some(event) = namespaces.next() => {
                let mut zone = zone.write().unwrap_or_else(PoisonError::into_inner);
                namespace_event(&mut zone, &mut known, event);
            }
        };
        if fed && known.is_complete() {
            zone.write().unwrap_or_else(PoisonError::into_inner).complete = true;
        }
    }
    over_tcp.wait().await;
    server.shutdown_gracefully().await.context("stop the DNS server")
}

fn namespace_event(zone: &mut Zone, known: &mut Known, event: Result<Event<Namespace>, Error>) {
    match event.map(|event| known.step(event)) {
        Ok(Step::Put((_, name), _)) => zone.add_namespace(name),
        Ok(Step::Gone(keys)) => keys.iter().for_each(|(_, name)| zone.remove_namespace(name)),
        Ok(Step::Nothing) => {}
        Err(error) => tracing::debug!(%error, "watching namespaces"),
    }
}

#[derive(Clone)]
struct Handler {
    zone: Arc<RwLock<Zone>>,
    forwarder: Arc<Forwarder>,
    /// Many programs take the first address: each answer starts with another.
    turn: Arc<AtomicUsize>,
}

/// An answer before it is a message.
struct Reply {
    code: ResponseCode,
    authoritative: bool,
    answers: Vec<Record>,
    authority: Vec<Record>,
    additionals: Vec<Record>,
}

impl Reply {
    fn code(code: ResponseCode) -> Reply {
        Reply {
            code,
            authoritative: false,
            answers: Vec::new(),
            authority: Vec::new(),
            additionals: Vec::new(),
        }
    }

    fn of_zone(code: ResponseCode) -> Reply {
        Reply { authoritative: true, ..Reply::code(code) }
    }
}

#[async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response: R,
    ) -> ResponseInfo {
        let reply = self.reply(request).await;
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = reply.code;
        metadata.authoritative = reply.authoritative;
        metadata.recursion_available = true;
        let edns = request.edns.as_ref().map(|asked| {
            let mut edns = Edns::new();
            edns.set_version(0).set_max_payload(asked.max_payload().clamp(512, PAYLOAD));
            edns.set_rcode_high(reply.code.high());
            edns
        });
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if let Some(edns) = &edns {
            builder.edns(edns);
        }
        let none: &[Record] = &[];
        let message =
            builder.build(metadata, &reply.answers, &reply.authority, none, &reply.additionals);
        match response.send_response(message).await {
            Ok(info) => info,
            Err(error) => {
                tracing::debug!(%error, from = %request.src(), "DNS answer not sent");
                let counts = hickory_proto::op::HeaderCounts::default();
                ResponseInfo::from(hickory_proto::op::Header { metadata, counts })
            }
        }
    }
}

impl Handler {
    async fn reply(&self, request: &Request) -> Reply {
        if request.metadata.op_code != OpCode::Query {
            return Reply::code(ResponseCode::NotImp);
        }
        if request.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
            return Reply::code(ResponseCode::BADVERS);
        }
        let Ok(info) = request.request_info() else { return Reply::code(ResponseCode::FormErr) };
        let query = info.query.original();
        if !matches!(query.query_class(), DNSClass::IN | DNSClass::ANY) {
            return Reply::code(ResponseCode::Refused);
        }
        let (answer, authority, complete) = {
            let zone = self.zone.read().unwrap_or_else(PoisonError::into_inner);
            let answer = zone.lookup(query.name(), &text(info.query.name()), query.query_type());
            (answer, zone.authority(), zone.complete)
        };
        let negative =
            |code| Reply { authority: authority.into_iter().collect(), ..Reply::of_zone(code) };
        match answer {
            Answer::Elsewhere => self.forward(query).await,
            _ if !complete => Reply::code(ResponseCode::ServFail),
            Answer::NoName => negative(ResponseCode::NXDomain),
            Answer::NoData => negative(ResponseCode::NoError),
            Answer::Records(mut answers, additionals) => {
                let turn = self.turn.fetch_add(1, Ordering::Relaxed);
                let first = turn.checked_rem(answers.len()).unwrap_or(0);
                answers.rotate_left(first);
                Reply { answers, additionals, ..Reply::of_zone(ResponseCode::NoError) }
            }
            Answer::Alias(alias, target) => {
                let mut followed = query.clone();
                followed.set_name(target);
                let mut reply = self.follow(&followed).await;
                reply.answers.insert(0, *alias);
                reply.authoritative = true;
                reply
            }
        }
    }

    /// What an alias points to: a name of the cluster or of the outside. Aliases of aliases are not followed here.
    async fn follow(&self, query: &hickory_proto::op::Query) -> Reply {
        let found = {
            let zone = self.zone.read().unwrap_or_else(PoisonError::into_inner);
            let lower = text(&LowerName::new(query.name()));
            zone.lookup(query.name(), &lower, query.query_type())
        };
        match found {
            Answer::Elsewhere => self.forward(query).await,
            Answer::Records(answers, _) => {
                Reply { answers, ..Reply::of_zone(ResponseCode::NoError) }
            }
            Answer::NoName => Reply::of_zone(ResponseCode::NXDomain),
            Answer::NoData => Reply::of_zone(ResponseCode::NoError),
            Answer::Alias(alias, _) => {
                Reply { answers: vec![*alias], ..Reply::of_zone(ResponseCode::NoError) }
            }
        }
    }

    async fn forward(&self, query: &hickory_proto::op::Query) -> Reply {
        match self.forwarder.ask(query).await {
            Ok(message) => Reply {
                code: message.metadata.response_code,
                authoritative: false,
                answers: message.answers,
                authority: message.authorities,
                additionals: message.additionals,
            },
            Err(error) => {
                tracing::debug!(name = %query.name(), "{error:#}");
                Reply::code(ResponseCode::ServFail)
            }
        }
    }
}

/// A name as the zone wants it: lower case, no last dot.
fn text(name: &LowerName) -> String {
    let mut text = name.to_string();
    if text.ends_with('.') {
        text.pop();
    }
    text
}
