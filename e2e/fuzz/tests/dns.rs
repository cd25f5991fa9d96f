//! DNS messages, to the cluster's name server over its sockets: it goes on answering, and only what was asked.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use leme_fuzz::{Feed, run};
use leme_network::{DnsConfig, Upstreams, run_dns};
use leme_server::{Identity, Server, ServerConfig};
use leme_store::memory::MemoryStore;
use tokio_util::sync::CancellationToken;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
const NAME: &str = "kubernetes.default.svc.cluster.local";

/// Runs a name server over an API of its own until the test ends; gives its address.
fn serve() -> SocketAddr {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let store = Arc::new(MemoryStore::new());
            let server = Server::start(ServerConfig::new(listen, folder.path().join("pki"), store))
                .await
                .unwrap();
            let masters = vec!["system:masters".to_owned()];
            let service = server.local_service(Identity::of_certificate("fuzz", masters));
            let config = DnsConfig {
                listen: vec![free],
                cluster_domain: "cluster.local".to_owned(),
                reverse_cidrs: vec![(Ipv4Addr::new(10, 96, 0, 0), 16)],
                // Nobody: no question leaves this machine.
                upstreams: Upstreams::Fixed(Vec::new()),
            };
            let client = leme_client::Client::over(service);
            run_dns(client, config, CancellationToken::new()).await.unwrap();
        });
    });
    free
}

fn question(id: u16, name: &str, kind: u16) -> Vec<u8> {
    let mut out = id.to_be_bytes().to_vec();
    out.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&[0, 1]);
    out
}

fn seeds() -> Vec<Vec<u8>> {
    let mut edns = question(1, NAME, 1);
    edns[11] = 1;
    edns.extend_from_slice(&[0, 0, 41, 16, 0, 0, 0, 0x80, 0, 0, 0]);
    let mut pointer = question(1, NAME, 1);
    pointer.splice(12..13, [0xc0, 12]);
    vec![
        question(1, NAME, 1),
        question(1, NAME, 28),
        question(1, "_https._tcp.kubernetes.default.svc.cluster.local", 33),
        question(1, "1.0.96.10.in-addr.arpa", 12),
        question(1, "nobody.example", 255),
        edns,
        pointer,
    ]
}

const WORDS: &[&str] =
    &["\u{3}svc", "\u{7}cluster", "\u{5}local", "\0", "\u{c}", "\u{3f}", "*", "\u{4}arpa"];

/// Asks for the answer to a control question after each input: what comes before it is the answer to the input.
#[test]
fn over_udp() {
    let server = serve();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut buffer = [0; 65_535];
    let mut tries = 0;
    while socket.send(&question(1, NAME, 1)).and_then(|_| socket.recv(&mut buffer)).is_err() {
        tries += 1;
        assert!(tries < 300, "the name server does not start");
        std::thread::sleep(Duration::from_millis(100));
    }
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut control = 0x8000u16;
    let seen =
        run(Feed { name: "DNS over UDP", seeds: seeds(), words: WORDS, cases: 6_000 }, |input| {
            control = control.wrapping_add(1) | 0x8000;
            let mut input = input[..input.len().min(1_400)].to_vec();
            if let Some(first) = input.first_mut() {
                *first &= 0x7f;
            }
            socket.send(&input).unwrap();
            socket.send(&question(control, NAME, 1)).unwrap();
            let mut seen = "no answer".to_owned();
            loop {
                let length = socket.recv(&mut buffer).expect("an answer to a good question");
                let answer = &buffer[..length];
                assert!(length >= 12 && answer[2] & 0x80 != 0, "an answer says that it is one");
                let id = u16::from_be_bytes([answer[0], answer[1]]);
                if id == control {
                    return seen;
                }
                if id & 0x8000 == 0 {
                    assert_eq!(answer[..2], input[..2], "the answer to another question");
                    seen = format!("code {}, {} answers", answer[3] & 15, answer[7]);
                }
            }
        });
    assert!(seen.len() > 3, "{seen:?}");
}

#[test]
fn over_tcp() {
    let server = serve();
    let mut tries = 0;
    while TcpStream::connect(server).is_err() {
        tries += 1;
        assert!(tries < 300, "the name server does not start");
        std::thread::sleep(Duration::from_millis(100));
    }
    let framed = |message: &[u8]| {
        let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
        [&length.to_be_bytes(), &message[..usize::from(length)]].concat()
    };
    let seeds = seeds().iter().map(|seed| framed(seed)).collect();
    run(Feed { name: "DNS over TCP", seeds, words: WORDS, cases: 500 }, |input| {
        let mut hostile = TcpStream::connect(server).unwrap();
        // It may be hung up on.
        let _ = hostile.write_all(input);
        let mut good = TcpStream::connect(server).unwrap();
        good.set_read_timeout(Some(PATIENCE)).unwrap();
        good.write_all(&framed(&question(9, NAME, 1))).unwrap();
        let mut head = [0; 4];
        good.read_exact(&mut head).expect("an answer to a good question");
        assert_eq!(head[2..], [0, 9]);
        "alive".to_owned()
    });
}
