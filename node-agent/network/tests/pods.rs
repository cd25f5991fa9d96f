//! The pod network in namespaces of its own.

mod support;

use leme_network::{HostPort, PodNetwork, PodNetworkConfig, check};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::time::Duration;
use support::netns::{Netns, answer_udp, connect_outside, eventually, hear};

fn config(state_dir: &Path) -> PodNetworkConfig {
    PodNetworkConfig {
        bridge: "leme0".into(),
        pod_cidr: (Ipv4Addr::new(10, 244, 0, 0), 24),
        cluster_cidr: (Ipv4Addr::new(10, 244, 0, 0), 16),
        service_cidr: Some((Ipv4Addr::new(10, 96, 0, 0), 16)),
        local_addresses: vec![Ipv4Addr::new(10, 96, 0, 10)],
        state_dir: state_dir.to_owned(),
        mtu: 1500,
    }
}

fn links() -> Vec<String> {
    let text = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let name = |line: &str| Some(line.split_once(':')?.0.trim().to_owned());
    let mut names: Vec<String> = text.lines().filter_map(name).collect();
    names.sort();
    names
}

/// Threads that serve netlink sockets.
fn netlink_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm"));
    tasks.filter_map(|task| name(task).ok()).filter(|name| name.trim() == "leme-netlink").count()
}

fn tables() -> String {
    let output = std::process::Command::new("/usr/sbin/nft").args(["list", "tables"]).output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

#[test]
fn pods_reach_each_other_and_everything_goes_away() {
    let (host, a, b) = (Netns::new(), Netns::new(), Netns::new());
    let dir = tempfile::tempdir().unwrap();
    host.host(|| async {
        let before = links();
        let forward = std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
        let network = PodNetwork::setup(config(dir.path())).await.unwrap();
        let ip_a = network.attach("a", &a.path(), &[]).await.unwrap();
        let ip_b = network.attach("b", &b.path(), &[]).await.unwrap();
        assert_eq!(network.gateway(), Ipv4Addr::new(10, 244, 0, 1));
        assert_eq!((ip_a, ip_b), (Ipv4Addr::new(10, 244, 0, 2), Ipv4Addr::new(10, 244, 0, 3)));
        a.greet((ip_a, 80), "a");
        assert_eq!(b.hear((ip_a, 80)), format!("a {ip_b}"));
        assert_eq!(hear((ip_a, 80)), "a 10.244.0.1");
        // The node's own servers, its DNS and kubelet among them: red when all that has no route is refused.
        host.greet((network.gateway(), 8053), "node");
        assert_eq!(a.hear((network.gateway(), 8053)), format!("node {ip_a}"));
        assert_eq!(a.hear((ip_a, 80)), format!("a {ip_a}"), "loopback is up");

        // Again, and by a successor that knows nothing: same addresses, connections go on.
        assert_eq!(network.attach("a", &a.path(), &[]).await.unwrap(), ip_a);
        drop(network);
        let network = PodNetwork::setup(config(dir.path())).await.unwrap();
        assert_eq!(network.attach("b", &b.path(), &[]).await.unwrap(), ip_b);
        assert_eq!(b.hear((ip_a, 80)), format!("a {ip_b}"));

        network.detach("a").await.unwrap();
        network.detach("a").await.unwrap();
        assert_eq!(network.address("a").await, None);
        assert_eq!(a.run(links), ["lo"]);
        let gone = network.retain(&BTreeSet::from(["x".to_owned()])).await.unwrap();
        assert_eq!(gone, ["b"]);

        network.attach("a", &a.path(), &[]).await.unwrap();
        drop(network);
        PodNetwork::teardown(&config(dir.path())).await.unwrap();
        PodNetwork::teardown(&config(dir.path())).await.unwrap();
        assert_eq!(links(), before);
        assert_eq!(tables(), "");
        assert_eq!(std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap(), forward);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        if std::env::var_os("NEXTEST").is_some() {
            // Alone in its process, this test can tell that sockets do not outlive their use.
            eventually(netlink_threads, 0);
        }
    });
}

#[test]
fn many_pods_at_once() {
    let host = Netns::new();
    let pods: Vec<Netns> = (0..20).map(|_| Netns::new()).collect();
    let dir = tempfile::tempdir().unwrap();
    host.host(|| async {
        let network = PodNetwork::setup(config(dir.path())).await.unwrap();
        let names: Vec<String> = (0..pods.len()).map(|index| format!("pod-{index}")).collect();
        let paths: Vec<_> = pods.iter().map(Netns::path).collect();
        let attach = names.iter().zip(&paths).map(|(name, path)| network.attach(name, path, &[]));
        let addresses = futures::future::try_join_all(attach).await.unwrap();
        assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), pods.len());
        pods[0].greet((addresses[0], 80), "first");
        assert_eq!(pods[19].hear((addresses[0], 80)), format!("first {}", addresses[19]));
        // Half go in order, half are forgotten; the namespaces of some are gone already.
        let (mut even, mut odd) = (BTreeSet::new(), Vec::new());
        for (index, name) in names.iter().enumerate() {
            if index % 2 == 0 {
                even.insert(name.clone());
            } else {
                odd.push(name);
            }
        }
        drop(pods);
        futures::future::try_join_all(odd.iter().map(|name| network.detach(name))).await.unwrap();
        assert_eq!(network.retain(&even).await.unwrap(), Vec::<String>::new());
        assert_eq!(network.retain(&BTreeSet::new()).await.unwrap().len(), 10);
        assert!(!links().iter().any(|link| link.starts_with("veth")), "{:?}", links());
    });
}

#[test]
fn a_damaged_book_never_gives_an_address_twice() {
    let (host, a, b) = (Netns::new(), Netns::new(), Netns::new());
    let dir = tempfile::tempdir().unwrap();
    host.host(|| async {
        let network = PodNetwork::setup(config(dir.path())).await.unwrap();
        let ip_a = network.attach("a", &a.path(), &[]).await.unwrap();
        drop(network);
        std::fs::write(dir.path().join("ipam.json"), "{\"version\":1,").unwrap();
        let network = PodNetwork::setup(config(dir.path())).await.unwrap();
        assert_ne!(network.attach("b", &b.path(), &[]).await.unwrap(), ip_a);
        assert_eq!(network.attach("a", &a.path(), &[]).await.unwrap(), ip_a);
        a.greet((ip_a, 80), "a");
        assert!(b.hear((ip_a, 80)).starts_with("a "));
    });
}

#[test]
fn a_failed_attach_gives_its_address_back() {
    let (host, a) = (Netns::new(), Netns::new());
    let dir = tempfile::tempdir().unwrap();
    host.host(|| async {
        let network = PodNetwork::setup(config(dir.path())).await.unwrap();
        let error = network.attach("x", Path::new("/nonexistent/ns"), &[]).await.unwrap_err();
        assert!(format!("{error:#}").contains("/nonexistent/ns"), "{error:#}");
        let file = dir.path().join("plain");
        std::fs::write(&file, "").unwrap();
        assert!(network.attach("y", &file, &[]).await.is_err());
        assert_eq!((network.address("x").await, network.address("y").await), (None, None));
        // A namespace made anew for the same pod is connected again.
        let ip = network.attach("a", &a.path(), &[]).await.unwrap();
        let anew = Netns::new();
        assert_eq!(network.attach("a", &anew.path(), &[]).await.unwrap(), ip);
        anew.greet((ip, 80), "anew");
        assert_eq!(hear((ip, 80)), "anew 10.244.0.1");
    });
}

#[test]
fn a_link_that_is_no_bridge_is_left_alone() {
    let host = Netns::new();
    let dir = tempfile::tempdir().unwrap();
    host.host(|| async {
        let mut config = config(dir.path());
        config.bridge = "lo".into();
        let error = PodNetwork::setup(config.clone()).await.err().unwrap();
        assert!(format!("{error:#}").contains("not a bridge"), "{error:#}");
        PodNetwork::teardown(&config).await.unwrap();
        assert!(links().contains(&"lo".to_owned()));
    });
}

fn nft(script: &str) {
    let mut words = script.split(' ').collect::<Vec<_>>();
    words.retain(|word| !word.is_empty());
    assert!(std::process::Command::new("/usr/sbin/nft").args(words).status().unwrap().success());
}

#[test]
fn a_firewall_in_the_way_is_named() {
    Netns::new().host(|| async {
        assert_eq!(check::preflight().await, Vec::<String>::new());
        nft("add table ip filter");
        nft("add chain ip filter FORWARD { type filter hook forward priority filter ; policy drop ; }");
        let failures = check::preflight().await;
        assert!(failures.len() == 1 && failures[0].contains("iptables -I FORWARD -i leme+"));
        nft("add rule ip filter FORWARD iifname leme* counter accept");
        assert_eq!(check::preflight().await.len(), 1);
        nft("add rule ip filter FORWARD oifname leme* counter accept");
        assert_eq!(check::preflight().await, Vec::<String>::new());
    });
}

#[test]
fn two_nodes_share_a_machine() {
    let (host, a, b) = (Netns::new(), Netns::new(), Netns::new());
    let (dir, other_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    host.host(|| async {
        let first = PodNetwork::setup(config(dir.path())).await.unwrap();
        let other = PodNetworkConfig {
            bridge: "leme1".into(),
            pod_cidr: (Ipv4Addr::new(10, 244, 1, 0), 24),
            local_addresses: Vec::new(),
            ..config(other_dir.path())
        };
        let second = PodNetwork::setup(other.clone()).await.unwrap();
        // Each has its own port 8099, and the first to be there has it on loopback.
        let ports = [port("", "TCP", 8099)];
        let ip_a = first.attach("a", &a.path(), &ports).await.unwrap();
        let ip_b = second.attach("b", &b.path(), &ports).await.unwrap();
        let others = second.gateway();
        assert_eq!(hear((GATEWAY, 8099)), "ConnectionRefused");
        b.greet((ip_b, 80), "b");
        assert_eq!(hear((others, 8099)), format!("b {others}"));
        assert_eq!(a.hear((others, 8099)), format!("b {ip_a}"));
        assert_eq!(a.hear((ip_b, 80)), format!("b {ip_a}"));
        // What one leaves does not take the other along.
        let services = || std::fs::read_to_string("/proc/thread-self/net/route").unwrap();
        PodNetwork::teardown(&other).await.unwrap();
        assert!(
            services().lines().any(|line| line.starts_with("leme0\t0000600A")),
            "{}",
            services()
        );
        a.greet((ip_a, 80), "a");
        assert_eq!(hear((ip_a, 80)), "a 10.244.0.1");
    });
}

const NODE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);

fn port(address: &str, protocol: &str, port: u16) -> HostPort {
    HostPort::new(address, protocol, port, 80).unwrap()
}

/// Red when the rules of `ports` are left out, or are not written again by a successor.
#[test]
fn host_ports_lead_to_pods() {
    let (host, outside, a, b) = (Netns::new(), Netns::new(), Netns::new(), Netns::new());
    let dir = tempfile::tempdir().unwrap();
    host.host(|| async {
        connect_outside(&outside).await;
        let network = PodNetwork::setup(config(dir.path())).await.unwrap();
        let ports = [port("", "TCP", 8099), port("192.0.2.1", "TCP", 8098)];
        let ip_a = network.attach("a", &a.path(), &ports).await.unwrap();
        let ip_b = network.attach("b", &b.path(), &[]).await.unwrap();
        a.greet((ip_a, 80), "a");
        let everywhere = || {
            assert_eq!(outside.hear((NODE, 8099)), "a 192.0.2.2");
            assert_eq!(outside.hear((NODE, 8098)), "a 192.0.2.2");
            // From this host, by each of its addresses.
            assert_eq!(hear((NODE, 8099)), "a 192.0.2.1");
            assert_eq!(hear((NODE, 8098)), "a 192.0.2.1");
            assert_eq!(hear((GATEWAY, 8099)), "a 10.244.0.1");
            assert_eq!(hear((Ipv4Addr::LOCALHOST, 8099)), "a 10.244.0.1");
            // From another pod, and from the pod to itself.
            assert_eq!(b.hear((GATEWAY, 8099)), format!("a {ip_b}"));
            assert_eq!(b.hear((NODE, 8099)), format!("a {ip_b}"));
            assert!(a.hear((NODE, 8099)).starts_with("a "));
            // Not where it was not asked for: another address, another protocol, another machine.
            assert_eq!(hear((GATEWAY, 8098)), "ConnectionRefused");
            assert_eq!(b.hear((GATEWAY, 8098)), "ConnectionRefused");
            assert_eq!(b.hear((Ipv4Addr::new(192, 0, 2, 2), 8099)), "ConnectionRefused");
        };
        everywhere();
        // Another pod cannot have it, and is left with nothing.
        let other = Netns::new();
        let taken = network.attach("c", &other.path(), &[port("192.0.2.1", "TCP", 8099)]).await;
        let taken = format!("{:#}", taken.unwrap_err());
        assert!(taken.contains("192.0.2.1:8099/tcp is taken by pod a"), "{taken}");
        assert_eq!(network.address("c").await, None);

        drop(network);
        assert_eq!(outside.hear((NODE, 8099)), "a 192.0.2.2", "the rules outlive the program");
        let network = PodNetwork::setup(config(dir.path())).await.unwrap();
        everywhere();
        network.detach("a").await.unwrap();
        assert_eq!(outside.hear((NODE, 8099)), "ConnectionRefused");
        assert_eq!(hear((NODE, 8098)), "ConnectionRefused");
        let ip_c = network.attach("c", &other.path(), &ports).await.unwrap();
        other.greet((ip_c, 80), "c");
        assert_eq!(outside.hear((NODE, 8099)), "c 192.0.2.2");
        PodNetwork::teardown(&config(dir.path())).await.unwrap();
        assert_eq!(tables(), "");
    });
}

/// Red when conversations are not forgotten: the kernel goes on sending them where it sent the first packet.
#[test]
fn host_ports_carry_datagrams_from_pod_to_pod() {
    let (host, outside, a, b) = (Netns::new(), Netns::new(), Netns::new(), Netns::new());
    let dir = tempfile::tempdir().unwrap();
    host.host(|| async {
        connect_outside(&outside).await;
        let network = PodNetwork::setup(config(dir.path())).await.unwrap();
        let socket = outside.run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap());
        socket.connect((NODE, 8125)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let say = || {
            let mut buffer = [0; 64];
            match socket.send(b"?").and_then(|_| socket.recv(&mut buffer)) {
                Ok(length) => String::from_utf8_lossy(&buffer[..length]).into_owned(),
                Err(error) => format!("{:?}", error.kind()),
            }
        };
        // Begun before there is a pod.
        eventually(say, "ConnectionRefused".into());
        for (id, pod) in [("a", &a), ("b", &b)] {
            let ip = network.attach(id, &pod.path(), &[port("", "UDP", 8125)]).await.unwrap();
            answer_udp(pod, (ip, 80), id);
            eventually(say, id.into());
            network.detach(id).await.unwrap();
            eventually(say, "ConnectionRefused".into());
        }
    });
}

/// Red when the route to the whole network leads to the bridge: then nobody answers for three seconds.
#[test]
fn an_address_without_a_pod_answers_at_once() {
    let (host, a, b) = (Netns::new(), Netns::new(), Netns::new());
    let dir = tempfile::tempdir().unwrap();
    host.host(|| async {
        let network = PodNetwork::setup(config(dir.path())).await.unwrap();
        let ip_a = network.attach("a", &a.path(), &[]).await.unwrap();
        let ip_b = network.attach("b", &b.path(), &[]).await.unwrap();
        b.greet((ip_b, 80), "b");
        assert_eq!(a.hear((ip_b, 80)), format!("b {ip_a}"));
        network.detach("b").await.unwrap();
        for address in [ip_b, Ipv4Addr::new(10, 244, 0, 200)] {
            // The kernel's own patience for a neighbour that does not answer would show as the same error later, so what is
            // looked at is who says it: a route that leads nowhere.
            assert_eq!(hear((address, 80)), "HostUnreachable");
            assert_eq!(a.hear((address, 80)), "ConnectionRefused");
            let asked = std::process::Command::new("ip")
                .args(["route", "get", &address.to_string()])
                .output();
            let said = String::from_utf8(asked.unwrap().stderr).unwrap();
            assert!(said.contains("No route to host"), "{said}");
        }
        drop(network);
        let network = PodNetwork::setup(config(dir.path())).await.unwrap();
        a.greet((ip_a, 80), "a");
        assert_eq!(hear((ip_a, 80)), "a 10.244.0.1");
        drop(network);
        PodNetwork::teardown(&config(dir.path())).await.unwrap();
        let routes = std::fs::read_to_string("/proc/thread-self/net/route").unwrap();
        assert_eq!(routes.lines().count(), 1, "{routes}");
    });
}

/// Who listens on loopback only trusts who calls; a neighbour that addresses packets to 127.0.0.1 is not one of them.
/// Red when the chain `martians` is left out and the kernel's own check is off, as other programs turn it.
#[test]
fn loopback_is_out_of_reach() {
    let (host, outside) = (Netns::new(), Netns::new());
    let dir = tempfile::tempdir().unwrap();
    host.host(|| async {
        connect_outside(&outside).await;
        let _network = PodNetwork::setup(config(dir.path())).await.unwrap();
        let secret = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        secret.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let inner = secret.local_addr().unwrap().port();
        for link in ["all", "up0"] {
            let path = format!("/proc/sys/net/ipv4/conf/{link}/route_localnet");
            std::fs::write(path, "1").unwrap();
        }
        outside.run(|| {
            // Its own loopback is down, so 127.0.0.1 is somewhere else.
            let route = ["route", "add", "127.0.0.1/32", "via", "192.0.2.1"];
            assert!(std::process::Command::new("ip").args(route).status().unwrap().success());
            let socket = UdpSocket::bind((Ipv4Addr::new(192, 0, 2, 2), 0)).unwrap();
            for _ in 0..5 {
                socket.send_to(b"let me in", (Ipv4Addr::LOCALHOST, inner)).unwrap();
            }
        });
        let heard = secret.recv(&mut [0; 64]);
        assert!(heard.is_err(), "a packet from outside reached 127.0.0.1");
    });
}
