//! Network namespaces that exist as long as a file is open: nothing is left behind, whatever happens to the test.

use futures::TryStreamExt;
use nix::sched::{CloneFlags, setns, unshare};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A network namespace.
pub struct Netns(File);

impl Netns {
    /// A new, empty one. Needs root.
    pub fn new() -> Netns {
        let make = || {
            unshare(CloneFlags::CLONE_NEWNET).expect("tests of the network need root: unshare");
            File::open("/proc/thread-self/ns/net").unwrap()
        };
        Netns(std::thread::spawn(make).join().unwrap())
    }

    /// A path that names it within this process.
    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }

    /// Runs `inside` in the namespace, on a thread of its own.
    pub fn run<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let enter = || {
                setns(&self.0, CloneFlags::CLONE_NEWNET).unwrap();
                inside()
            };
            match scope.spawn(enter).join() {
                Ok(value) => value,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Runs a test in the namespace as the host, with a runtime whose threads are all there and loopback up.
    pub fn host<F: Future<Output = ()>>(&self, test: impl FnOnce() -> F + Send) {
        self.run(|| {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            let runtime = runtime.unwrap();
            runtime.block_on(async {
                link_up("lo").await;
                test().await;
            });
            runtime.shutdown_timeout(Duration::from_secs(5));
        });
    }

    /// Starts a server here that says `name` to whoever connects.
    pub fn greet(&self, address: (Ipv4Addr, u16), name: &'static str) {
        let listener = self.run(|| TcpListener::bind(address).unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let peer = stream.peer_addr().unwrap().ip();
                let _ = write!(stream, "{name} {peer}");
            }
        });
    }

    /// What the server at `address` says, or the kind of the error.
    pub fn hear(&self, address: (Ipv4Addr, u16)) -> String {
        self.run(|| hear(address))
    }
}

/// A UDP server that says `name` to whoever asks.
pub fn answer_udp(pod: &Netns, address: (Ipv4Addr, u16), name: &'static str) {
    let socket = pod.run(|| UdpSocket::bind(address).unwrap());
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(name.as_bytes(), from);
        }
    });
}

/// What the server at `address` says to this namespace, or the kind of the error.
pub fn hear(address: (Ipv4Addr, u16)) -> String {
    let heard = TcpStream::connect_timeout(&SocketAddr::from(address), Duration::from_secs(3));
    let heard = heard.and_then(|mut stream| {
        stream.set_read_timeout(Some(Duration::from_secs(3)))?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    });
    heard.unwrap_or_else(|error| format!("{:?}", error.kind()))
}

async fn netlink() -> rtnetlink::Handle {
    let (connection, handle, _) = rtnetlink::new_connection().unwrap();
    tokio::spawn(connection);
    handle
}

/// Brings a link of this namespace up.
pub async fn link_up(name: &str) {
    let up = rtnetlink::LinkUnspec::new_with_name(name).up().build();
    netlink().await.link().set(up).execute().await.unwrap();
}

/// Adds an address to this namespace's loopback.
pub async fn add_loopback_address(address: Ipv4Addr) {
    netlink().await.address().add(1, address.into(), 32).execute().await.unwrap();
}

/// Connects this namespace, as 192.0.2.1, with `outside`, as 192.0.2.2, which has no other route.
pub async fn connect_outside(outside: &Netns) {
    let peer = rtnetlink::LinkMessageBuilder::<rtnetlink::LinkUnspec>::new()
        .name("up0")
        .setns_by_fd(outside.0.as_raw_fd())
        .build();
    let data = rtnetlink::packet_route::link::InfoVeth::Peer(peer);
    let pair = rtnetlink::LinkVeth::new("up0", "up0")
        .set_info_data(rtnetlink::packet_route::link::InfoData::Veth(data))
        .build();
    netlink().await.link().add(pair).execute().await.unwrap();
    let address = |last| async move {
        let handle = netlink().await;
        let link = handle.link().get().match_name("up0").execute();
        let index = std::pin::pin!(link).try_next().await.unwrap().unwrap().header.index;
        let address = Ipv4Addr::new(192, 0, 2, last).into();
        handle.address().add(index, address, 24).execute().await.unwrap();
        link_up("up0").await;
    };
    address(1).await;
    outside.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(address(2));
    });
}

/// Tries until `probe` gives `expected`; shows the last value after ten seconds.
#[track_caller]
pub fn eventually<T: PartialEq + std::fmt::Debug>(mut probe: impl FnMut() -> T, expected: T) {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let value = probe();
        if value == expected {
            return;
        }
        assert!(Instant::now() < end, "still {value:?}, not {expected:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
