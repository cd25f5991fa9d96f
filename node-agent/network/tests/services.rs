//! Service rules and DNS, from pods and from the host, in namespaces of their own.

mod support;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use leme_network::{
    DnsConfig, PodNetwork, PodNetworkConfig, ProxyConfig, Upstreams, proxy, run_dns,
    run_service_proxy,
};
use serde_json::json;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;
use support::api::Api;
use support::netns::{Netns, answer_udp, connect_outside, eventually, hear};
use tokio_util::sync::CancellationToken;

const VIP: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
const DNS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);

fn pods_config(state_dir: &Path) -> PodNetworkConfig {
    PodNetworkConfig {
        bridge: "leme0".into(),
        pod_cidr: (Ipv4Addr::new(10, 244, 0, 0), 24),
        cluster_cidr: (Ipv4Addr::new(10, 244, 0, 0), 16),
        service_cidr: Some((Ipv4Addr::new(10, 96, 0, 0), 16)),
        local_addresses: vec![DNS],
        state_dir: state_dir.to_owned(),
        mtu: 1500,
    }
}

fn proxy_config() -> ProxyConfig {
    ProxyConfig {
        table: proxy::default_table("leme0"),
        node_name: "node".into(),
        node_ip: GATEWAY,
        pod_cidr: (Ipv4Addr::new(10, 244, 0, 0), 24),
        cluster_cidr: (Ipv4Addr::new(10, 244, 0, 0), 16),
        service_cidr: Some((Ipv4Addr::new(10, 96, 0, 0), 16)),
        local_addresses: vec![DNS],
    }
}

fn start_proxy(api: &Api) -> (CancellationToken, tokio::task::JoinHandle<anyhow::Result<()>>) {
    let token = CancellationToken::new();
    (token.clone(), tokio::spawn(run_service_proxy(api.client(), proxy_config(), token)))
}

/// Red when clients are bound by a hash of their address, which no time-out changes.
#[test]
fn clients_stay_until_the_timeout_and_through_changes() {
    let (host, a, b, client) = (Netns::new(), Netns::new(), Netns::new(), Netns::new());
    let dir = tempfile::tempdir().unwrap();
    host.host(|| async {
        let network = PodNetwork::setup(pods_config(dir.path())).await.unwrap();
        let ip_a = network.attach("a", &a.path(), &[]).await.unwrap();
        let ip_b = network.attach("b", &b.path(), &[]).await.unwrap();
        network.attach("client", &client.path(), &[]).await.unwrap();
        a.greet((ip_a, 8080), "a");
        b.greet((ip_b, 8080), "b");
        let api = Api::default();
        let service = |seconds: u32| {
            let ports = json!([{"name": "http", "port": 80, "nodePort": 30080}]);
            let affinity = json!({"clientIP": {"timeoutSeconds": seconds}});
            api.put_service(
                "web",
                json!({"type": "NodePort", "clusterIP": VIP, "sessionAffinity": "ClientIP",
                "sessionAffinityConfig": affinity, "ports": ports}),
            );
        };
        let who = |address| client.hear(address).chars().next().unwrap();
        service(3600);
        api.put_endpoints("web", 8080, &[ip_a, ip_b]);
        let (token, proxy) = start_proxy(&api);
        eventually(|| ['a', 'b'].contains(&who((VIP, 80))), true);
        for address in [(VIP, 80), (GATEWAY, 30080)] {
            let first = who(address);
            assert!((0..24).all(|_| who(address) == first), "{address:?}");
        }
        let first = who((VIP, 80));

        // A successor keeps the client where it is.
        token.cancel();
        proxy.await.unwrap().unwrap();
        let (_token, _proxy) = start_proxy(&api);
        // Its first rules are there when a change is.
        api.put_service(
            "other",
            json!({"clusterIP": "10.96.0.2", "ports": [{"name": "http", "port": 80}]}),
        );
        api.put_endpoints("other", 8080, &[ip_a]);
        eventually(|| who((Ipv4Addr::new(10, 96, 0, 2), 80)), 'a');
        assert!((0..24).all(|_| who((VIP, 80)) == first));

        // Its endpoint goes: the client goes to the other, and stays there when the first comes back.
        let (left, other) = if first == 'a' { (ip_b, 'b') } else { (ip_a, 'a') };
        api.put_endpoints("web", 8080, &[left]);
        eventually(|| who((VIP, 80)), other);
        api.put_endpoints("web", 8080, &[ip_a, ip_b]);
        assert!((0..24).all(|_| who((VIP, 80)) == other));

        // A second without a connection, and chance decides again.
        service(1);
        let mut seen = BTreeSet::new();
        eventually(
            || {
                std::thread::sleep(Duration::from_millis(1200));
                seen.insert(who((VIP, 80)));
                seen.len()
            },
            2,
        );
    });
}

/// Whether bridged packets pass the IP firewall differs from machine to machine: both must work.
fn set_bridge_netfilter(on: bool) {
    let path = Path::new("/proc/sys/net/bridge/bridge-nf-call-iptables");
    if path.exists() {
        std::fs::write(path, if on { "1" } else { "0" }).unwrap();
    }
}

fn services_work(bridge_netfilter: bool) {
    let (host, a, b, client) = (Netns::new(), Netns::new(), Netns::new(), Netns::new());
    let dir = tempfile::tempdir().unwrap();
    host.host(|| async {
        set_bridge_netfilter(bridge_netfilter);
        let network = PodNetwork::setup(pods_config(dir.path())).await.unwrap();
        let ip_a = network.attach("a", &a.path(), &[]).await.unwrap();
        let ip_b = network.attach("b", &b.path(), &[]).await.unwrap();
        let ip_client = network.attach("client", &client.path(), &[]).await.unwrap();
        a.greet((ip_a, 8080), "a");
        b.greet((ip_b, 8080), "b");

        let api = Api::default();
        let ports = json!([{"name": "http", "port": 80, "nodePort": 30080}]);
        api.put_service("web", json!({"type": "NodePort", "clusterIP": VIP, "ports": ports}));
        api.put_endpoints("web", 8080, &[ip_a]);
        let (token, proxy) = start_proxy(&api);

        // From a pod with its own address, from the host, and from the endpoint itself.
        eventually(|| client.hear((VIP, 80)), format!("a {ip_client}"));
        assert_eq!(hear((VIP, 80)), format!("a {GATEWAY}"));
        assert_eq!(a.hear((VIP, 80)), format!("a {GATEWAY}"));
        assert_eq!(client.hear((GATEWAY, 30080)), format!("a {ip_client}"));
        assert_eq!(hear((GATEWAY, 30080)), format!("a {GATEWAY}"));

        // Both endpoints get connections.
        api.put_endpoints("web", 8080, &[ip_a, ip_b]);
        let heard = || {
            let heard = (0..32).map(|_| client.hear((VIP, 80)));
            heard.map(|text| text.split(' ').next().unwrap().to_owned()).collect::<BTreeSet<_>>()
        };
        eventually(heard, ["a".to_owned(), "b".to_owned()].into());
        api.put_endpoints("web", 8080, &[ip_b]);
        eventually(heard, ["b".to_owned()].into());

        // No endpoints, no such port, no such service: refused at once, from everywhere.
        api.put_endpoints("web", 8080, &[]);
        eventually(|| client.hear((VIP, 80)), "ConnectionRefused".into());
        assert_eq!(hear((VIP, 80)), "ConnectionRefused");
        assert_eq!(client.hear((VIP, 81)), "ConnectionRefused");
        assert_eq!(client.hear((Ipv4Addr::new(10, 96, 7, 7), 80)), "ConnectionRefused");
        assert_eq!(hear((Ipv4Addr::new(10, 96, 7, 7), 80)), "ConnectionRefused");

        // A successor removes what changed while nobody watched.
        api.put_endpoints("web", 8080, &[ip_a]);
        eventually(|| client.hear((VIP, 80)), format!("a {ip_client}"));
        token.cancel();
        proxy.await.unwrap().unwrap();
        assert_eq!(client.hear((VIP, 80)), format!("a {ip_client}"));
        api.delete("services", "ns", "web");
        let (_token, _proxy) = start_proxy(&api);
        eventually(|| client.hear((VIP, 80)), "ConnectionRefused".into());
    });
}

#[test]
fn the_outside_reaches_node_ports_and_is_reached() {
    let (host, outside, a) = (Netns::new(), Netns::new(), Netns::new());
    let dir = tempfile::tempdir().unwrap();
    host.host(|| async {
        connect_outside(&outside).await;
        let (node, far) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));
        let network = PodNetwork::setup(pods_config(dir.path())).await.unwrap();
        let ip_a = network.attach("a", &a.path(), &[]).await.unwrap();
        a.greet((ip_a, 8080), "a");
        outside.greet((far, 8080), "far");
        // The outside has no route to pods: it must see this host.
        assert_eq!(a.hear((far, 8080)), format!("far {node}"));

        let api = Api::default();
        let ports = json!([{"name": "http", "port": 80, "nodePort": 30080}]);
        api.put_service("web", json!({"type": "NodePort", "clusterIP": VIP, "ports": ports}));
        api.put_endpoints("web", 8080, &[ip_a]);
        let (_token, _proxy) = start_proxy(&api);
        eventually(|| outside.hear((node, 30080)), format!("a {far}"));
        // An endpoint outside answers pods, the host, and those who come from where it is.
        api.put_endpoints("web", 8080, &[far]);
        eventually(|| a.hear((VIP, 80)), format!("far {node}"));
        assert_eq!(hear((VIP, 80)), format!("far {node}"));
        assert_eq!(outside.hear((node, 30080)), format!("far {node}"));
    });
}

#[test]
fn services_without_bridge_netfilter() {
    services_work(false);
}

#[test]
fn services_with_bridge_netfilter() {
    services_work(true);
}

#[test]
fn sticky_clients_and_rules_removed_behind_our_back() {
    let (host, a, b, client) = (Netns::new(), Netns::new(), Netns::new(), Netns::new());
    let dir = tempfile::tempdir().unwrap();
    host.host(|| async {
        let network = PodNetwork::setup(pods_config(dir.path())).await.unwrap();
        let ip_a = network.attach("a", &a.path(), &[]).await.unwrap();
        let ip_b = network.attach("b", &b.path(), &[]).await.unwrap();
        network.attach("client", &client.path(), &[]).await.unwrap();
        a.greet((ip_a, 8080), "a");
        b.greet((ip_b, 8080), "b");
        let api = Api::default();
        let ports = json!([{"name": "http", "port": 80}]);
        api.put_service(
            "web",
            json!({"clusterIP": VIP, "sessionAffinity": "ClientIP", "ports": ports}),
        );
        api.put_endpoints("web", 8080, &[ip_a, ip_b]);
        let (_token, _proxy) = start_proxy(&api);
        eventually(|| client.hear((VIP, 80)).len() > 9, true);
        let first = client.hear((VIP, 80));
        let stays = |times: usize| (0..times).all(|_| client.hear((VIP, 80)) == first);
        assert!(stays(16), "{first}");

        let removed = std::process::Command::new("/usr/sbin/nft")
            .args(["delete", "table", "ip", &proxy::default_table("leme0")])
            .status();
        assert!(removed.unwrap().success());
        api.put_endpoints("web", 8080, &[ip_b]);
        eventually(|| client.hear((VIP, 80)).starts_with("b "), true);
    });
}

#[test]
fn udp_clients_move_when_their_endpoint_goes() {
    let (host, a, b, client) = (Netns::new(), Netns::new(), Netns::new(), Netns::new());
    let dir = tempfile::tempdir().unwrap();
    host.host(|| async {
        let network = PodNetwork::setup(pods_config(dir.path())).await.unwrap();
        let ip_a = network.attach("a", &a.path(), &[]).await.unwrap();
        let ip_b = network.attach("b", &b.path(), &[]).await.unwrap();
        network.attach("client", &client.path(), &[]).await.unwrap();
        answer_udp(&a, (ip_a, 5353), "a");
        answer_udp(&b, (ip_b, 5353), "b");
        let api = Api::default();
        let ports = json!([{"name": "dns", "port": 53, "protocol": "UDP"}]);
        api.put_service("dns", json!({"clusterIP": VIP, "ports": ports}));
        let endpoints = |ip: Ipv4Addr| {
            let metadata = json!({"namespace": "ns", "name": "dns-1",
                "labels": {"kubernetes.io/service-name": "dns"}});
            api.put(
                "endpointslices",
                json!({"metadata": metadata, "addressType": "IPv4", "endpoints": [{"addresses": [ip]}],
                    "ports": [{"name": "dns", "port": 5353, "protocol": "UDP"}]}),
            );
        };
        endpoints(ip_a);
        let (_token, _proxy) = start_proxy(&api);
        // One socket all the time: to connection tracking, one conversation.
        let socket = client.run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap());
        socket.connect((VIP, 53)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let say = || {
            let mut buffer = [0; 64];
            match socket.send(b"?").and_then(|_| socket.recv(&mut buffer)) {
                Ok(length) => String::from_utf8_lossy(&buffer[..length]).into_owned(),
                Err(error) => format!("{:?}", error.kind()),
            }
        };
        eventually(say, "a".into());
        endpoints(ip_b);
        eventually(say, "b".into());
        api.delete("endpointslices", "ns", "dns-1");
        eventually(say, "ConnectionRefused".into());
        endpoints(ip_a);
        eventually(say, "a".into());
    });
}

fn question(name: &str, kind: RecordType, edns: bool) -> Vec<u8> {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    if edns {
        let mut edns = Edns::new();
        edns.set_max_payload(4096).set_version(0);
        message.set_edns(edns);
    }
    message.to_vec().unwrap()
}

fn show(message: &Message) -> String {
    let records: Vec<String> =
        message.answers.iter().map(|record| record.data.to_string()).collect();
    match message.metadata.response_code {
        ResponseCode::NoError if message.metadata.truncation => "truncated".into(),
        ResponseCode::NoError => records.join(","),
        code => format!("{code:?}"),
    }
}

fn over_udp(server: SocketAddr, question: &[u8]) -> Message {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
    let mut buffer = [0; 4096];
    let end = std::time::Instant::now() + Duration::from_secs(8);
    loop {
        // Refused until the server listens.
        match socket.send(question).and_then(|_| socket.recv(&mut buffer)) {
            Ok(length) => return Message::from_vec(&buffer[..length]).unwrap(),
            Err(error) => assert!(std::time::Instant::now() < end, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn over_tcp(server: SocketAddr, question: &[u8]) -> Message {
    try_tcp(server, question).unwrap()
}

fn try_tcp(server: SocketAddr, question: &[u8]) -> std::io::Result<Message> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(Duration::from_secs(8)))?;
    let length = u16::try_from(question.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length, question].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut bytes)?;
    Ok(Message::from_vec(&bytes).unwrap())
}

/// An upstream that knows one name, as seen from the host.
fn start_upstream() -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let asked = Message::from_vec(&buffer[..length]).unwrap();
            let mut answer = Message::new(asked.metadata.id, MessageType::Response, OpCode::Query);
            let query = asked.queries[0].clone();
            if query.name().to_ascii() == "example.org." {
                let data =
                    hickory_proto::rr::RData::A(hickory_proto::rr::rdata::A::new(192, 0, 2, 1));
                answer.add_answer(hickory_proto::rr::Record::from_rdata(
                    query.name().clone(),
                    60,
                    data,
                ));
            } else {
                answer.metadata.response_code = ResponseCode::NXDomain;
            }
            answer.add_query(query);
            let _ = socket.send_to(&answer.to_vec().unwrap(), from);
        }
    });
    address
}

#[test]
fn pods_resolve_names() {
    let (host, pod) = (Netns::new(), Netns::new());
    let dir = tempfile::tempdir().unwrap();
    host.host(|| async {
        let network = PodNetwork::setup(pods_config(dir.path())).await.unwrap();
        network.attach("pod", &pod.path(), &[]).await.unwrap();
        let api = Api::default();
        let ports = json!([{"name": "http", "port": 80}]);
        for namespace in ["ns", "idle"] {
            api.put("namespaces", json!({"metadata": {"name": namespace}}));
        }
        api.put_service("web", json!({"clusterIP": VIP, "ports": ports}));
        api.put_service("many", json!({"clusterIP": "None", "ports": ports}));
        api.put_service("out", json!({"type": "ExternalName", "externalName": "example.org"}));
        let many: Vec<Ipv4Addr> = (2..=101).map(|n| Ipv4Addr::new(10, 244, 0, n)).collect();
        api.put_endpoints("many", 8080, &many);
        let token = CancellationToken::new();
        let server = SocketAddr::from((DNS, 53));
        let config = DnsConfig {
            listen: vec![server, (GATEWAY, 53).into()],
            cluster_domain: "cluster.local".into(),
            reverse_cidrs: vec![(Ipv4Addr::new(10, 96, 0, 0), 16)],
            upstreams: Upstreams::Fixed(vec![server, start_upstream()]),
        };
        let dns = tokio::spawn(run_dns(api.client(), config, token.clone()));
        let (_proxy_token, _proxy) = start_proxy(&api);

        let ask = |name: &str, kind| pod.run(|| over_udp(server, &question(name, kind, true)));
        let say = |name: &str, kind| show(&ask(name, kind));
        eventually(|| say("web.ns.svc.cluster.local.", RecordType::A), VIP.to_string());
        assert_eq!(say("WEB.ns.svc.cluster.local.", RecordType::A), VIP.to_string());
        assert_eq!(say("no.ns.svc.cluster.local.", RecordType::A), "NXDomain");
        let empty = ask("web.ns.svc.cluster.local.", RecordType::AAAA);
        assert_eq!((show(&empty).as_str(), empty.authorities.len()), ("", 1));
        assert!(empty.edns.is_some() && empty.metadata.authoritative);
        assert_eq!(say("1.0.96.10.in-addr.arpa.", RecordType::PTR), "web.ns.svc.cluster.local.");
        assert_eq!(say("2.0.96.10.in-addr.arpa.", RecordType::PTR), "NXDomain");
        assert_eq!(say("example.org.", RecordType::A), "192.0.2.1");
        assert_eq!(say("example.com.", RecordType::A), "NXDomain");
        assert_eq!(say("out.ns.svc.cluster.local.", RecordType::A), "example.org.,192.0.2.1");

        // A namespace without a Service has names for its pods, as long as it is there.
        assert_eq!(say("10-244-0-9.idle.pod.cluster.local.", RecordType::A), "10.244.0.9");
        api.delete("namespaces", "", "idle");
        eventually(|| say("10-244-0-9.idle.pod.cluster.local.", RecordType::A), "NXDomain".into());

        // What does not fit into a packet is cut, and whole over TCP; the host asks the gateway.
        let many = question("many.ns.svc.cluster.local.", RecordType::A, false);
        assert_eq!(show(&pod.run(|| over_udp(server, &many))), "truncated");
        assert_eq!(pod.run(|| over_tcp(server, &many)).answers.len(), 100);
        assert_eq!(over_tcp((GATEWAY, 53).into(), &many).answers.len(), 100);

        api.delete("services", "ns", "web");
        eventually(|| say("web.ns.svc.cluster.local.", RecordType::A), "NXDomain".into());
        token.cancel();
        dns.await.unwrap().unwrap();
    });
}

#[test]
fn without_upstreams_the_answer_is_quick() {
    let host = Netns::new();
    host.host(|| async {
        let api = Api::default();
        let token = CancellationToken::new();
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, 53));
        let config = DnsConfig {
            listen: vec![server],
            cluster_domain: "cluster.local".into(),
            reverse_cidrs: Vec::new(),
            upstreams: Upstreams::ResolvConf("/nonexistent/resolv.conf".into()),
        };
        let dns = tokio::spawn(run_dns(api.client(), config, token.clone()));
        let answer = over_udp(server, &question("example.org.", RecordType::A, false));
        assert_eq!(show(&answer), "ServFail");
        token.cancel();
        dns.await.unwrap().unwrap();
    });
}

/// Everything that can be wrong with a question, a byte at a time: it is answered with an error or not at all, and the next
/// question is answered as ever.
#[test]
fn malformed_questions_harm_nobody() {
    let host = Netns::new();
    host.host(|| async {
        let api = Api::default();
        api.put("namespaces", json!({"metadata": {"name": "ns"}}));
        api.put_service("web", json!({"clusterIP": VIP, "ports": [{"name": "http", "port": 80}]}));
        let token = CancellationToken::new();
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, 53));
        let config = DnsConfig {
            listen: vec![server],
            cluster_domain: "cluster.local".into(),
            reverse_cidrs: Vec::new(),
            upstreams: Upstreams::Fixed(Vec::new()),
        };
        let dns = tokio::spawn(run_dns(api.client(), config, token.clone()));
        let good = question("web.ns.svc.cluster.local.", RecordType::A, true);
        let fine = || show(&over_udp(server, &good));
        eventually(fine, VIP.to_string());

        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect(server).unwrap();
        let mut bad: Vec<Vec<u8>> = (0..good.len()).map(|length| good[..length].to_vec()).collect();
        for (at, value) in (0..good.len()).flat_map(|at| [0, 0x3f, 0xc0, 0xff].map(|v| (at, v))) {
            let mut changed = good.clone();
            changed[at] = value;
            bad.push(changed);
        }
        // A name that points at itself, one that points forward, labels without end, and more questions than there are.
        let head = [0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        bad.push([&head[..], &[0xc0, 12, 0, 1, 0, 1]].concat());
        bad.push([&head[..], &[0xc0, 14, 0xc0, 12, 0, 1, 0, 1]].concat());
        bad.push([&head[..], &[63; 4000]].concat());
        bad.push(
            [&[0, 7, 1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], &good[12..]].concat(),
        );
        for (count, packet) in bad.iter().enumerate() {
            let _ = socket.send(packet);
            if count % 16 == 0 {
                assert_eq!(fine(), VIP.to_string(), "after {packet:?}");
            }
        }
        // Over TCP: lengths that promise more than comes, nothing at all, and an end in the middle.
        let mut idle = Vec::new();
        for start in [&[0xff, 0xff, 1][..], &[0, 0], &[0], &[]] {
            let mut stream = TcpStream::connect(server).unwrap();
            stream.write_all(start).unwrap();
            idle.push(stream);
        }
        assert_eq!(show(&over_tcp(server, &good)), VIP.to_string());
        // One who opens connections by the hundred is answered on a few. Red when the bound is taken out: then on all.
        let greedy: Vec<TcpStream> =
            (0..200).map(|_| TcpStream::connect(server).unwrap()).collect();
        let length = u16::try_from(good.len()).unwrap().to_be_bytes();
        let answered = |mut stream: &TcpStream| {
            stream.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
            let asked = stream.write_all(&[&length, &good[..]].concat());
            asked.and_then(|()| stream.read_exact(&mut [0; 2])).is_ok()
        };
        let count = greedy.iter().filter(|stream| answered(stream)).count();
        assert!((1..40).contains(&count), "{count}");
        drop((idle, greedy));
        eventually(
            || try_tcp(server, &good).map(|answer| show(&answer)).ok(),
            Some(VIP.to_string()),
        );
        assert_eq!(fine(), VIP.to_string());
        token.cancel();
        dns.await.unwrap().unwrap();
    });
}

/// Endpoints that no controller made: a Service without a selector, slices that people or their programs wrote.
#[test]
fn endpoints_written_by_hand_are_carried() {
    let (host, outside, pod) = (Netns::new(), Netns::new(), Netns::new());
    let dir = tempfile::tempdir().unwrap();
    host.host(|| async {
        connect_outside(&outside).await;
        let far = Ipv4Addr::new(192, 0, 2, 2);
        let network = PodNetwork::setup(pods_config(dir.path())).await.unwrap();
        network.attach("pod", &pod.path(), &[]).await.unwrap();
        outside.greet((far, 18080), "far");
        host.greet((GATEWAY, 18080), "node");
        let api = Api::default();
        let slice = |name: &str, service: &str, address: Ipv4Addr| {
            api.put("endpointslices", json!({"metadata": {"namespace": "ns", "name": name,
                "labels": {"kubernetes.io/service-name": service,
                    "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io"}},
                "addressType": "IPv4", "ports": [{"name": "web", "port": 18080}],
                "endpoints": [{"addresses": [address]}]}));
        };
        let ports = json!([{"name": "web", "port": 80, "targetPort": 1}]);
        api.put_service("outside", json!({"clusterIP": VIP, "ports": ports}));
        slice("outside-x7k2p", "outside", far);
        slice("outside-by-hand", "outside", far);
        let (_token, _proxy) = start_proxy(&api);
        eventually(|| pod.hear((VIP, 80)), "far 192.0.2.1".into());
        assert_eq!(hear((VIP, 80)), "far 192.0.2.1");
        // A program of the node itself.
        slice("outside-x7k2p", "outside", GATEWAY);
        api.delete("endpointslices", "ns", "outside-by-hand");
        eventually(|| hear((VIP, 80)), format!("node {GATEWAY}"));
        assert!(pod.hear((VIP, 80)).starts_with("node "));
        api.delete("endpointslices", "ns", "outside-x7k2p");
        eventually(|| pod.hear((VIP, 80)), "ConnectionRefused".into());
    });
}
