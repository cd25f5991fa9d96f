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
        write!(
            writer,
            "HTTP/1.1 200 OK\r\nx-app: 1\r\ncontent-length: {}\r\n\r\n{text}",
            text.len()
        )
        .ok()?;
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
        let (code, _, body) = self.exchange(request);
        (code, body)
    }

    /// Sends `request`, gives the status line's code, the head in lower case and the body.
    fn exchange(&mut self, request: &str) -> (u16, String, String) {
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let (head, length) = read_head(&mut self.0).expect("an answer");
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        (code, head.to_lowercase(), String::from_utf8(body).unwrap())
    }

    /// A connection from this address of loopback.
    async fn from(source: Ipv4Addr, router: SocketAddr) -> Conversation {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((source, 0).into()).unwrap();
        let stream = socket.connect(router).await.unwrap().into_std().unwrap();
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Conversation(BufReader::new(stream))
    }
}

fn get(router: SocketAddr, host: &str, path: &str) -> (u16, String) {
    let (code, body) =
        Conversation::with(router).say(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    (code, body.lines().next().unwrap_or_default().to_owned())
}

fn put_route(api: &Api, name: &str, second: u8, spec: Value) {
    put_annotated(api, name, second, json!({}), spec);
}

fn put_annotated(api: &Api, name: &str, second: u8, annotations: Value, spec: Value) {
    api.put(
        "routes",
        json!({"metadata": {"namespace": "ns", "name": name, "uid": name, "annotations": annotations,
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
            secure: None,
            router_name: "default".into(),
            canonical_hostname: None,
            domain: "apps.test".into(),
            cluster_domain: "cluster.local".into(),
            address: Some(Ipv4Addr::new(192, 0, 2, 9).into()),
            ..RouterConfig::default()
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
        // Where no TLS is spoken nobody reaches it, and it is not served without.
        let tls = json!({"termination": "edge", "insecureEdgeTerminationPolicy": "Redirect"});
        put_route(&api, "tls", 4, json!({"host": "t.test", "to": {"name": "two"}, "tls": tls}));
        eventually(|| admitted(&api, "x"), "True".into());
        eventually(|| admitted(&api, "late"), "HostAlreadyClaimed".into());
        eventually(|| admitted(&api, "tls"), "True".into());
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

/// Red when the list is not asked, or a Route with an unknown restriction is admitted.
#[test]
fn who_is_not_on_the_list_gets_nothing() {
    routed(|api, router| async move {
        for (second, name) in [(1, "ip_whitelist"), (2, "ip_allowlist")] {
            let list =
                json!({format!("haproxy.router.openshift.io/{name}"): "192.0.2.0/24 127.0.0.2"});
            let host = format!("{}.test", name.replace('_', "-"));
            put_annotated(&api, &host, second, list, json!({"host": host, "to": {"name": "one"}}));
            eventually(|| admitted(&api, &host), "True".into());
            let request =
                format!("GET / HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: 127.0.0.2\r\n\r\n");
            let (code, body) = Conversation::with(router).say(&request);
            assert!(code == 403 && !body.starts_with("one"), "{code} {body}");
            let friend = Ipv4Addr::new(127, 0, 0, 2);
            assert_eq!(Conversation::from(friend, router).await.say(&request).0, 200);
        }
        for (second, name, value) in [
            (3, "pod-concurrent-connections", "many"),
            (4, "ip_allowlist", "10.0.0.0/99"),
            (5, "unheard-of", "1"),
        ] {
            let annotation = format!("haproxy.router.openshift.io/{name}");
            let host = format!("r{second}.test");
            let spec = json!({"host": host, "to": {"name": "one"}});
            put_annotated(&api, &host, second, json!({annotation.clone(): value}), spec);
            eventually(|| admitted(&api, &host), "ExtendedValidationFailed".into());
            let status = api.get("routes", "ns", &host)["status"].to_string();
            assert!(status.contains(&annotation), "{status}");
            assert_eq!(get(router, &host, "/").0, 503);
        }
        put_route(&api, "self", 6, json!({"host": "127.0.0.1", "to": {"name": "one"}}));
        eventually(|| admitted(&api, "self"), "RouteNotAdmitted".into());
        assert_eq!(get(router, "127.0.0.1", "/").0, 503);
    });
}

/// Red when `spec.httpHeaders` or the rewrite target is not read.
#[test]
fn headers_and_paths_are_changed_as_asked() {
    routed(|api, router| async move {
        let set = |name: &str, value: &str| json!({"name": name, "action": {"type": "Set", "set": {"value": value}}});
        let delete = |name: &str| json!({"name": name, "action": {"type": "Delete"}});
        let spec = json!({"host": "h.test", "path": "/shop", "to": {"name": "one"}, "httpHeaders": {"actions": {
            "request": [delete("X-Drop"), set("X-Agent", "%[req.hdr(User-Agent),lower]")],
            "response": [set("X-Frame-Options", "DENY"), delete("X-App")]}}});
        let annotations = json!({"haproxy.router.openshift.io/rewrite-target": "/v2",
            "haproxy.router.openshift.io/set-forwarded-headers": "replace"});
        put_annotated(&api, "h", 1, annotations, spec);
        eventually(|| admitted(&api, "h"), "True".into());
        let request = "GET /shop/cart?id=1 HTTP/1.1\r\nHost: h.test\r\nX-Drop: 1\r\nUser-Agent: Probe\r\n\
                       X-Forwarded-For: 198.51.100.1\r\n\r\n";
        let (code, head, body) = Conversation::with(router).exchange(request);
        let lower = body.to_lowercase();
        assert_eq!(code, 200);
        assert!(
            head.contains("\r\nx-frame-options: deny\r\n")
                || head.contains("x-frame-options: deny"),
            "{head}"
        );
        assert!(!head.contains("x-app"), "{head}");
        assert!(body.starts_with("one\nGET /v2/cart?id=1 HTTP/1.1"), "{body}");
        assert!(!lower.contains("x-drop") && !lower.contains("198.51.100.1"), "{body}");
        assert!(lower.contains("\nx-agent: probe\r"), "{body}");
    });
}

/// Red when the cookie is not read, or no second endpoint is tried for one that is gone.
#[test]
fn a_cookie_keeps_the_endpoint() {
    routed(|api, router| async move {
        api.put_endpoints("one", 8080, &[ONE, TWO]);
        put_route(&api, "x", 1, json!({"host": "x.test", "to": {"name": "one"}}));
        let off = json!({"haproxy.router.openshift.io/disable_cookies": "true"});
        put_annotated(&api, "off", 2, off, json!({"host": "off.test", "to": {"name": "one"}}));
        eventually(|| get(router, "x.test", "/").0, 200);
        let ask = |host: &str, cookie: &str| {
            let request =
                format!("GET / HTTP/1.1\r\nHost: {host}\r\nCookie: own=1{cookie}\r\n\r\n");
            Conversation::with(router).exchange(&request)
        };
        let (_, head, body) = ask("x.test", "");
        let cookie =
            head.split("set-cookie: ").nth(1).expect("a cookie").split(';').next().unwrap();
        let first = body.lines().next().unwrap().to_owned();
        for _ in 0..6 {
            let (code, head, body) = ask("x.test", &format!("; {cookie}"));
            assert_eq!((code, body.lines().next().unwrap()), (200, first.as_str()));
            assert!(!head.contains("set-cookie") && !body.contains(cookie), "{head}{body}");
            assert!(body.to_lowercase().contains("\ncookie: own=1\r"), "{body}");
        }
        assert!(!ask("off.test", "").1.contains("set-cookie"));
        // Its endpoint goes: the client gets the other, and the cookie of that one.
        let (left, other) = if first == "one" { (TWO, "two") } else { (ONE, "one") };
        api.put_endpoints("one", 8080, &[left]);
        eventually(
            || ask("x.test", &format!("; {cookie}")).2.lines().next().map(str::to_owned),
            Some(other.into()),
        );
    });
}

#[test]
fn a_silent_tunnel_ends() {
    routed(|api, router| async move {
        let annotations = json!({"haproxy.router.openshift.io/timeout-tunnel": "300ms"});
        put_annotated(&api, "x", 1, annotations, json!({"host": "x.test", "to": {"name": "one"}}));
        eventually(|| get(router, "x.test", "/").0, 200);
        let mut conversation = Conversation::with(router);
        let (code, _) = conversation.say(
            "GET /ws HTTP/1.1\r\nHost: x.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        assert_eq!(code, 101);
        let mut rest = Vec::new();
        assert_eq!(conversation.0.read_to_end(&mut rest).expect("the end, not silence"), 0);
    });
}

/// Red when HTTP/2 is begun in the middle of HTTP/1.1: what comes then escapes this router.
#[test]
fn http2_is_begun_at_the_beginning_alone() {
    routed(|api, router| async move {
        put_route(&api, "x", 1, json!({"host": "x.test", "to": {"name": "one"}}));
        eventually(|| get(router, "x.test", "/").0, 200);
        let mut conversation = Conversation::with(router);
        // The preface, and an empty SETTINGS frame.
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        conversation.0.get_mut().write_all(preface).unwrap();
        let mut frame = [0; 9];
        conversation.0.read_exact(&mut frame).unwrap();
        assert_eq!(frame[3], 4, "SETTINGS are answered");
        let upgrade = "GET / HTTP/1.1\r\nHost: x.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
                       HTTP2-Settings: AAMAAABk\r\n\r\n";
        let mut conversation = Conversation::with(router);
        assert_eq!(conversation.say(upgrade).0, 200);
        conversation.0.get_mut().write_all(preface).unwrap();
        let mut answer = Vec::new();
        conversation.0.read_to_end(&mut answer).expect("the end, not silence");
        let text = String::from_utf8_lossy(&answer);
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 4"), "{text}");
    });
}

/// Red when a client may have as much as it likes of what is limited.
#[test]
fn clients_are_limited_as_the_route_asks() {
    routed(|api, router| async move {
        const LIMIT: &str = "haproxy.router.openshift.io/rate-limit-connections";
        let spec = |host: &str| json!({"host": host, "to": {"name": "one"}});
        let rate = json!({LIMIT: "true", format!("{LIMIT}.rate-http"): "4"});
        put_annotated(&api, "rate", 1, rate, spec("rate.test"));
        let tcp = json!({LIMIT: "true", format!("{LIMIT}.rate-tcp"): "3"});
        put_annotated(&api, "tcp", 1, tcp, spec("tcp.test"));
        eventually(
            || [admitted(&api, "rate"), admitted(&api, "tcp")].join(" "),
            "True True".to_owned(),
        );
        let codes: Vec<u16> = (0..5).map(|_| get(router, "rate.test", "/").0).collect();
        assert_eq!(codes, [200, 200, 200, 429, 429]);
        // Others are not concerned.
        let mut other = Conversation::from(Ipv4Addr::new(127, 0, 0, 9), router).await;
        let request = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(other.say(&request("rate.test")).0, 200);
        // Connections count, not what is said on them.
        let mut one = Conversation::with(router);
        assert!((0..5).all(|_| one.say(&request("tcp.test")).0 == 200));
        assert_eq!(get(router, "tcp.test", "/").0, 200);
        assert_eq!(get(router, "tcp.test", "/").0, 429);
    });
}

/// Red when an endpoint has more at once than it may, or what waits for it is given up.
#[test]
fn endpoints_have_so_many_requests_at_once() {
    routed(|api, router| async move {
        let limit = json!({"haproxy.router.openshift.io/pod-concurrent-connections": "1"});
        let spec = json!({"host": "limit.test", "to": {"name": "one"}});
        put_annotated(&api, "limit", 1, limit, spec);
        eventually(|| get(router, "limit.test", "/").0, 200);
        // A tunnel is one.
        let mut tunnel = Conversation::with(router);
        let upgrade = "GET / HTTP/1.1\r\nHost: limit.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        assert_eq!(tunnel.say(upgrade).0, 101);
        let waiting = std::thread::spawn(move || get(router, "limit.test", "/").0);
        std::thread::sleep(Duration::from_millis(300));
        assert!(!waiting.is_finished());
        drop(tunnel);
        assert_eq!(waiting.join().unwrap(), 200);
    });
}
