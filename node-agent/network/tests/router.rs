//! The router over real sockets, in a namespace of its own.

mod support;

use leme_network::{RouterConfig, router, run_router};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use support::api::Api;
use support::netns::{Netns, add_loopback_address, eventually};
use tokio_util::sync::CancellationToken;

const ONE: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);
const TWO: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 2);

/// An application that answers every request with its name and what it got, and echoes after an upgrade.
fn start_app(address: Ipv4Addr, name: &'static str) {
    let listener = TcpListener::bind((address, 8080)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve_app(stream, name));
        }
    });
}

fn serve_app(stream: TcpStream, name: &str) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let (head, length) = read_head(&mut reader)?;
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        if head.to_lowercase().contains("upgrade: websocket") {
            write!(writer, "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
                .ok()?;
            std::io::copy(&mut reader, &mut writer).ok()?;
            return None;
        }
        let text = format!("{name}\n{head}{}", String::from_utf8_lossy(&body));
        write!(writer, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len()).ok()?;
    }
}

fn read_head(reader: &mut impl BufRead) -> Option<(String, usize)> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            return Some((head, length));
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        head += &line;
    }
}

/// One client connection.
struct Conversation(BufReader<TcpStream>);

impl Conversation {
    fn with(router: SocketAddr) -> Conversation {
        let stream = TcpStream::connect(router).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Conversation(BufReader::new(stream))
    }

    /// Sends `request`, gives the status line's code and the body.
    fn say(&mut self, request: &str) -> (u16, String) {
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let (head, length) = read_head(&mut self.0).expect("an answer");
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), String::from_utf8(body).unwrap())
    }
}

fn get(router: SocketAddr, host: &str, path: &str) -> (u16, String) {
    let (code, body) =
        Conversation::with(router).say(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    (code, body.lines().next().unwrap_or_default().to_owned())
}

fn put_route(api: &Api, name: &str, second: u8, spec: Value) {
    api.put(
        "routes",
        json!({"metadata": {"namespace": "ns", "name": name, "uid": name,
            "creationTimestamp": format!("2026-01-01T00:00:{second:02}Z")}, "spec": spec}),
    );
}

fn admitted(api: &Api, name: &str) -> String {
    let condition = &api.get("routes", "ns", name)["status"]["ingress"][0]["conditions"][0];
    match condition["status"].as_str() {
        Some("True") => "True".into(),
        _ => condition["reason"].as_str().unwrap_or("nothing").to_owned(),
    }
}

fn routed<F: Future<Output = ()>>(test: impl FnOnce(Api, SocketAddr) -> F + Send) {
    Netns::new().host(|| async {
        for (address, name) in [(ONE, "one"), (TWO, "two")] {
            add_loopback_address(address).await;
            start_app(address, name);
        }
        let api = Api::default();
        api.put_endpoints("one", 8080, &[ONE]);
        api.put_endpoints("two", 8080, &[TWO]);
        let listeners = router::bind(&[(Ipv4Addr::LOCALHOST, 0).into()]).unwrap();
        let address = listeners[0].local_addr().unwrap();
        let config = RouterConfig {
            listeners,
            router_name: "default".into(),
            canonical_hostname: None,
            domain: "apps.test".into(),
            allow_wildcards: false,
        };
        let token = CancellationToken::new();
        let run = tokio::spawn(run_router(api.client(), config, token.clone()));
        test(api, address).await;
        token.cancel();
        run.await.unwrap().unwrap();
    });
}

#[test]
fn hosts_paths_and_changes() {
    routed(|api, router| async move {
        assert_eq!(get(router, "x.test", "/").0, 503);
        put_route(
            &api,
            "x",
            1,
            json!({"host": "x.test", "to": {"kind": "Service", "name": "one"}}),
        );
        put_route(
            &api,
            "xp",
            2,
            json!({"host": "x.test", "path": "/two", "to": {"name": "two"},
            "port": {"targetPort": "http"}}),
        );
        put_route(&api, "late", 3, json!({"host": "x.test", "to": {"name": "two"}}));
        put_route(
            &api,
            "tls",
            4,
            json!({"host": "t.test", "to": {"name": "two"}, "tls": {"termination": "edge"}}),
        );
        eventually(|| admitted(&api, "x"), "True".into());
        eventually(|| admitted(&api, "late"), "HostAlreadyClaimed".into());
        eventually(|| admitted(&api, "tls"), "TLSNotServed".into());
        eventually(|| admitted(&api, "xp"), "True".into());
        assert_eq!(get(router, "x.test", "/"), (200, "one".into()));
        assert_eq!(get(router, "X.TEST.:80", "/two/deep?q"), (200, "two".into()));
        assert_eq!(get(router, "x.test", "/twofold"), (200, "one".into()));
        assert_eq!(get(router, "t.test", "/").0, 503);
        assert_eq!(get(router, "unknown.test", "/").0, 503);

        // Endpoints move, vanish, come back; the displaced route follows when the older one goes.
        api.put_endpoints("one", 8080, &[TWO]);
        eventually(|| get(router, "x.test", "/"), (200, "two".into()));
        api.put_endpoints("one", 8080, &[]);
        eventually(|| get(router, "x.test", "/").0, 503);
        api.put_endpoints("one", 8080, &[ONE]);
        eventually(|| get(router, "x.test", "/"), (200, "one".into()));
        api.delete("routes", "ns", "x");
        eventually(|| admitted(&api, "late"), "True".into());
        assert_eq!(get(router, "x.test", "/"), (200, "two".into()));
        assert_eq!(api.patches(), 5, "a status is written only when it changes");
    });
}

#[test]
fn connections_are_kept_and_headers_told() {
    routed(|api, router| async move {
        put_route(&api, "x", 1, json!({"host": "x.test", "to": {"name": "one"}}));
        eventually(|| get(router, "x.test", "/").0, 200);
        let mut conversation = Conversation::with(router);
        for index in 0..3 {
            let (code, body) = conversation.say(&format!(
                "POST /{index} HTTP/1.1\r\nHost: x.test\r\nX-Forwarded-For: 198.51.100.1\r\nConnection: X-Hop\r\n\
                 X-Hop: 1\r\nContent-Length: 5\r\n\r\nhello"
            ));
            assert_eq!(code, 200);
            let lower = body.to_lowercase();
            assert!(body.starts_with(&format!("one\nPOST /{index} HTTP/1.1")), "{body}");
            assert!(body.ends_with("hello"), "{body}");
            for header in [
                "\nhost: x.test\r",
                "\nx-forwarded-for: 198.51.100.1\r",
                "\nx-forwarded-for: 127.0.0.1\r",
                "\nx-forwarded-host: x.test\r",
                "\nx-forwarded-proto: http\r",
                &format!("\nx-forwarded-port: {}\r", router.port()),
                "\nforwarded: for=127.0.0.1;host=x.test;proto=http\r",
            ] {
                assert!(lower.contains(header), "{header:?} in {body}");
            }
            assert!(!lower.contains("x-hop"), "{body}");
        }
        // An unknown host does not end the conversation either.
        assert_eq!(conversation.say("GET / HTTP/1.1\r\nHost: y.test\r\n\r\n").0, 503);
        assert_eq!(conversation.say("GET / HTTP/1.1\r\nHost: x.test\r\n\r\n").0, 200);
    });
}

#[test]
fn upgrades_become_tunnels() {
    routed(|api, router| async move {
        put_route(&api, "x", 1, json!({"host": "x.test", "to": {"name": "one"}}));
        eventually(|| get(router, "x.test", "/").0, 200);
        let mut conversation = Conversation::with(router);
        let (code, _) = conversation.say(
            "GET /ws HTTP/1.1\r\nHost: x.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        assert_eq!(code, 101);
        conversation.0.get_mut().write_all(b"ping").unwrap();
        let mut echo = [0; 4];
        conversation.0.read_exact(&mut echo).unwrap();
        assert_eq!(&echo, b"ping");
    });
}

#[test]
fn dead_endpoints_and_bad_requests() {
    routed(|api, router| async move {
        // Nobody listens on the third address: a request that may be repeated goes to another, one that may not fails.
        let nobody = Ipv4Addr::new(10, 244, 0, 3);
        add_loopback_address(nobody).await;
        api.put_endpoints("one", 8080, &[nobody, ONE]);
        put_route(&api, "x", 1, json!({"host": "x.test", "to": {"name": "one"}}));
        eventually(|| get(router, "x.test", "/").0, 200);
        for _ in 0..6 {
            assert_eq!(get(router, "x.test", "/"), (200, "one".into()));
        }
        let post = "POST / HTTP/1.1\r\nHost: x.test\r\nContent-Length: 1\r\n\r\nx";
        let mut codes: Vec<u16> = (0..2).map(|_| Conversation::with(router).say(post).0).collect();
        codes.sort();
        assert_eq!(codes, [200, 503]);
        for bad in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x.test\r\nHost: y.test\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x.test\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            "POST / HTTP/1.1\r\nHost: x.test\r\nTransfer-Encoding: gzip\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x.test\r\nbad header\r\n\r\n",
        ] {
            let code = Conversation::with(router).say(bad).0;
            assert_eq!(code, 400, "{bad:?}");
        }
    });
}
