//! Streams as clients of every age speak them.

use bytes::{Bytes, BytesMut};
use hyper::upgrade::Upgraded;
use leme_streams::channel::{self, Message, REMOTE_COMMAND};
use leme_streams::spdy::{Decoder, Encoder, Frame as Spdy, Headers};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite;

use super::*;

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

async fn open(server: &Server, path: &str, protocol: &str) -> Socket {
    let mut request = format!("ws://localhost{path}").into_client_request().unwrap();
    if !protocol.is_empty() {
        request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
    }
    let stream = server.connect(API_SERVER).await;
    let (socket, answer) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    let chosen = answer.headers().get("sec-websocket-protocol");
    assert_eq!(chosen.map_or("", |value| value.to_str().unwrap()), protocol);
    socket
}

fn framed(message: Message) -> Frame {
    match message {
        Message::Text(text) => Frame::Text(text.into()),
        Message::Binary(bytes) => Frame::Binary(bytes),
    }
}

/// All bytes per channel until the server closes the socket in order.
async fn all<S>(input: &mut S, protocol: &channel::Subprotocol) -> [String; 4]
where
    S: futures::Stream<Item = Result<Frame, tungstenite::Error>> + Unpin,
{
    let mut out = [const { String::new() }; 4];
    loop {
        let message = tokio::time::timeout(PATIENCE, input.next()).await.unwrap();
        let bytes = match message.expect("the socket is closed in order").unwrap() {
            Frame::Binary(bytes) => bytes,
            Frame::Text(text) => Bytes::from(text),
            Frame::Close(frame) => {
                assert_eq!(u16::from(frame.unwrap().code), 1000);
                return out;
            }
            _ => continue,
        };
        let (channel, data) = protocol.decode(&bytes).unwrap();
        out[usize::from(channel)] += std::str::from_utf8(&data).unwrap();
    }
}

/// Red when the socket is closed as soon as the status is sent: the input that is still on its way is answered with a
/// reset, and the exit code is lost.
#[tokio::test]
async fn the_exit_code_arrives_though_input_is_still_coming() {
    let server = Server::start().await;
    let path = "/exec/n/p/c?command=deaf&command=4&stdin=1&stdout=1";
    let socket = open(&server, path, "v5.channel.k8s.io").await;
    let (mut sink, mut source) = socket.split();
    let sending = tokio::spawn(async move {
        let piece = [&[0][..], &[b'x'; 64 * 1024]].concat();
        for _ in 0..48 {
            match sink.send(Frame::Binary(piece.clone().into())).await {
                Ok(()) => {}
                // The server has said goodbye.
                Err(tungstenite::Error::ConnectionClosed | tungstenite::Error::Protocol(_)) => {
                    break;
                }
                Err(error) => panic!("{error}"),
            }
        }
    });
    let [_, _, _, status] = all(&mut source, &REMOTE_COMMAND[0]).await;
    assert!(status.contains(r#""message":"4","reason":"ExitCode""#), "{status}");
    sending.await.unwrap();
}

/// Red when a client's leaving ends the command, or drops what it had sent.
#[tokio::test]
async fn a_command_without_terminal_runs_on_when_its_client_leaves() {
    let server = Server::start().await;
    let path = "/exec/n/p/c?command=cat&stdin=1&stdout=1";
    let mut socket = open(&server, path, "v4.channel.k8s.io").await;
    for piece in [&b"\0 first"[..], b"\0 second"] {
        socket.send(Frame::Binary(Bytes::from_static(piece))).await.unwrap();
    }
    socket.close(None).await.unwrap();
    drop(socket);
    let mut told = server.runtime.told.subscribe();
    let found = told.wait_for(|told| told.iter().any(|text| text == "cat first second"));
    tokio::time::timeout(PATIENCE, found).await.unwrap().unwrap();
}

/// Red when only the two newest subprotocols are known.
#[tokio::test]
async fn every_subprotocol_carries_a_command() {
    let server = Server::start().await;
    let words =
        "command terminated with non-zero exit code: error executing command [exit 3], exit code 3";
    for protocol in &REMOTE_COMMAND {
        let path = "/exec/n/p/c?command=exit&command=3&stdout=1&stderr=1";
        let mut socket = open(&server, path, protocol.name).await;
        let [_, out, err, status] = all(&mut socket, protocol).await;
        assert_eq!((out.as_str(), err.as_str()), ("exit 3", "err"), "{}", protocol.name);
        if protocol.status {
            let status: serde_json::Value = serde_json::from_str(&status).unwrap();
            assert_eq!(
                (&status["message"], &status["reason"]),
                (&json!(words), &json!("NonZeroExitCode"))
            );
        } else {
            assert_eq!(status, words, "{}", protocol.name);
        }
    }
    let protocol = channel::choose(&["base64.channel.k8s.io"], &REMOTE_COMMAND).unwrap();
    let mut socket = open(&server, "/attach/n/p/c?stdin=1&stdout=1", protocol.name).await;
    socket.send(framed(protocol.encode(0, b"typed"))).await.unwrap();
    let mut seen = String::new();
    while seen != "attached typed" {
        let Some(Ok(Frame::Text(text))) = socket.next().await else { panic!("{seen}") };
        let (channel, data) = protocol.decode(&Bytes::from(text)).unwrap();
        assert_eq!(channel, 1);
        seen += std::str::from_utf8(&data).unwrap();
    }
}

/// Red when every refusal is an answer in place of the upgrade: clients of the newest protocol try again with SPDY then.
#[tokio::test]
async fn the_newest_protocol_hears_of_a_refusal_on_its_error_channel() {
    let mut server = Server::start().await;
    server.end().await;
    for (path, why) in [
        ("/exec/n/p/c?command=a&stdout=1", r#"container not found ("c")"#),
        ("/attach/n/p/z?stdout=1", r#"container not found ("z")"#),
        ("/exec/n/q/c?command=a&stdout=1", "pod does not exist"),
    ] {
        let mut socket = open(&server, path, "v5.channel.k8s.io").await;
        let [_, _, _, status] = all(&mut socket, &REMOTE_COMMAND[0]).await;
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let words = format!("Internal error occurred: unable to upgrade connection: {why}");
        assert_eq!((&status["message"], &status["code"]), (&json!(words), &json!(500)));
    }
}

#[tokio::test]
async fn logs_come_over_websockets_as_bytes_or_base64() {
    let server = Server::start().await;
    append(&server.log(), &["1Z stdout F one", "2Z stdout F two"]);
    for (protocol, expected) in [
        ("binary.k8s.io", "one\ntwo\n"),
        ("base64.binary.k8s.io", "b25lCnR3bwo="),
        ("", "one\ntwo\n"),
    ] {
        let mut socket = open(&server, "/containerLogs/n/p/c", protocol).await;
        let mut log = String::new();
        loop {
            match socket.next().await.unwrap().unwrap() {
                Frame::Binary(bytes) if protocol != "base64.binary.k8s.io" => {
                    log += std::str::from_utf8(&bytes).unwrap();
                }
                Frame::Text(text) if protocol == "base64.binary.k8s.io" => log += &text,
                Frame::Close(_) => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(log, expected, "{protocol}");
    }
}

/// A SPDY client, as far as a test needs one.
struct Client<T> {
    io: T,
    encoder: Encoder,
    decoder: Decoder,
    next: u32,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Client<T> {
    fn over(io: T) -> Client<T> {
        Client { io, encoder: Encoder::default(), decoder: Decoder::default(), next: 1 }
    }

    async fn send(&mut self, frame: Spdy) {
        let mut bytes = BytesMut::new();
        self.encoder.put(&frame, &mut bytes).unwrap();
        self.io.write_all(&bytes).await.unwrap();
        self.io.flush().await.unwrap();
    }

    async fn data(&mut self, stream: u32, fin: bool, bytes: &'static str) {
        self.send(Spdy::Data { stream, fin, bytes: bytes.into() }).await;
    }

    async fn open(&mut self, headers: &[(&str, &str)]) -> u32 {
        let stream = self.next;
        self.next += 2;
        self.send(Spdy::Open { stream, fin: false, headers: Headers::of(headers) }).await;
        stream
    }

    /// The next frame that is no reply; `None` at the end.
    async fn frame(&mut self) -> Option<Spdy> {
        loop {
            match self.decoder.next().unwrap() {
                Some(Spdy::Reply { .. }) => continue,
                Some(frame) => return Some(frame),
                None => {}
            }
            let mut buffer = [0; 4096];
            let read = tokio::time::timeout(PATIENCE, self.io.read(&mut buffer)).await.unwrap();
            match read.unwrap() {
                0 => return None,
                length => self.decoder.push(&buffer[..length]),
            }
        }
    }

    /// What comes on streams until all of them have ended.
    async fn until_ended(
        &mut self,
        mut streams: Vec<u32>,
    ) -> std::collections::BTreeMap<u32, String> {
        let mut out = std::collections::BTreeMap::new();
        while !streams.is_empty() {
            let Some(Spdy::Data { stream, fin, bytes }) = self.frame().await else {
                panic!("{streams:?} have not ended")
            };
            *out.entry(stream).or_insert_with(String::new) += std::str::from_utf8(&bytes).unwrap();
            if fin {
                streams.retain(|own| *own != stream);
            }
        }
        out
    }
}

async fn upgrade(
    server: &Server,
    path: &str,
    protocol: &str,
) -> Result<Client<TokioIo<Upgraded>>, (u16, String)> {
    let stream = TokioIo::new(server.connect(API_SERVER).await);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    let request = http::Request::post(path)
        .header("host", "x")
        .header("connection", "Upgrade")
        .header("upgrade", "SPDY/3.1")
        .header("x-stream-protocol-version", protocol);
    let answer = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    let code = answer.status().as_u16();
    if code != 101 {
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        return Err((code, String::from_utf8(text.to_vec()).unwrap()));
    }
    assert_eq!(answer.headers()["x-stream-protocol-version"], protocol);
    let upgraded = hyper::upgrade::on(answer).await.unwrap();
    Ok(Client::over(TokioIo::new(upgraded)))
}

#[tokio::test]
async fn commands_run_over_spdy_of_every_version() {
    let server = Server::start().await;
    for (protocol, status) in [
        ("v5.channel.k8s.io", "{\"metadata\":{},\"status\":\"Success\"}"),
        ("v4.channel.k8s.io", "{\"metadata\":{},\"status\":\"Success\"}"),
        ("v3.channel.k8s.io", ""),
        ("v2.channel.k8s.io", ""),
        ("channel.k8s.io", ""),
    ] {
        let path = "/exec/n/p/c?command=cat&input=1&output=1&error=1";
        let mut client = upgrade(&server, path, protocol).await.ok().unwrap();
        let mut ids = Vec::new();
        for kind in ["error", "stdin", "stdout", "stderr"] {
            ids.push(client.open(&[("streamType", kind)]).await);
        }
        client.send(Spdy::Ping(1)).await;
        assert_eq!(client.frame().await, Some(Spdy::Ping(1)));
        client.data(ids[1], false, " in").await;
        client.data(ids[1], true, "put").await;
        let said = client.until_ended(vec![ids[0], ids[2], ids[3]]).await;
        assert_eq!(said[&ids[0]], status, "{protocol}");
        assert_eq!((said[&ids[2]].as_str(), said[&ids[3]].as_str()), ("cat input", "err"));
        assert!(matches!(client.frame().await, Some(Spdy::GoAway { .. })));
        assert_eq!(client.frame().await, None);
    }
}

/// Red when the connection is closed with the last frame.
#[tokio::test]
async fn over_spdy_the_exit_code_arrives_though_input_is_still_coming() {
    let server = Server::start().await;
    let path = "/exec/n/p/c?command=deaf&command=4&stdin=1&stdout=1";
    let mut client = upgrade(&server, path, "v4.channel.k8s.io").await.ok().unwrap();
    let mut ids = Vec::new();
    for kind in ["error", "stdin", "stdout"] {
        ids.push(client.open(&[("streamType", kind)]).await);
    }
    // Nothing is read meanwhile, as if the client only typed.
    let piece = Bytes::from(vec![b'x'; 32 * 1024]);
    for _ in 0..96 {
        client.send(Spdy::Data { stream: ids[1], fin: false, bytes: piece.clone() }).await;
    }
    let said = client.until_ended(vec![ids[0], ids[2]]).await;
    assert!(said[&ids[0]].contains("ExitCode"), "{said:?}");
}

#[tokio::test]
async fn spdy_is_refused_with_upstreams_words() {
    let mut server = Server::start().await;
    let refused = async |server: &Server, path: &str, protocol: &str| {
        upgrade(server, path, protocol).await.err().unwrap()
    };
    let exec = "/exec/n/p/c?command=a&stdout=1";
    let (code, text) = refused(&server, exec, "v9.channel.k8s.io").await;
    assert_eq!(code, 403);
    assert!(
        text.starts_with("unable to upgrade: unable to negotiate protocol: client supports [v9.channel.k8s.io], server accepts [v5.channel.k8s.io"),
        "{text}"
    );
    assert_eq!(server.get(exec).await.0, 400);
    server.end().await;
    let gone = refused(&server, exec, "v4.channel.k8s.io").await;
    assert_eq!(gone, (500, r#"container not found ("c")"#.to_owned()));
    let no_pod = refused(&server, "/portForward/n/q", "portforward.k8s.io").await;
    assert_eq!(no_pod, (404, "pod does not exist".to_owned()));
}

/// Two connections at once, one to a closed port; then a stream that makes no sense.
async fn forwards<T: AsyncRead + AsyncWrite + Unpin>(client: &mut Client<T>) {
    let mut ids = Vec::new();
    for (port, request) in [("80", "0"), ("1", "1")] {
        for kind in ["error", "data"] {
            let headers = [("streamType", kind), ("port", port), ("requestID", request)];
            ids.push(client.open(&headers).await);
        }
    }
    client.data(ids[1], false, "ping").await;
    client.data(ids[1], true, " pong").await;
    let said = client.until_ended(ids.clone()).await;
    assert_eq!((said[&ids[0]].as_str(), said[&ids[1]].as_str()), ("", "ping pong"));
    assert_eq!(
        said[&ids[2]],
        "error forwarding port 1 to pod s1, uid : connect: connection refused"
    );
    let bad = client.open(&[("streamType", "data"), ("port", "99999")]).await;
    assert!(matches!(client.frame().await, Some(Spdy::Reset { stream, .. }) if stream == bad));
}

#[tokio::test]
async fn ports_are_forwarded_over_spdy() {
    let server = Server::start().await;
    let client = upgrade(&server, "/portForward/n/p", "portforward.k8s.io").await;
    forwards(&mut client.ok().unwrap()).await;
}

#[tokio::test]
async fn ports_are_forwarded_over_spdy_in_a_websocket() {
    let server = Server::start().await;
    let socket = open(&server, "/portForward/n/p", "SPDY/3.1+portforward.k8s.io").await;
    let (near, far) = tokio::io::duplex(4096);
    let (mut sink, mut source) = socket.split();
    let (mut from, mut to) = tokio::io::split(far);
    tokio::spawn(async move {
        while let Some(Ok(Frame::Binary(bytes))) = source.next().await {
            to.write_all(&bytes).await.unwrap();
        }
    });
    tokio::spawn(async move {
        // Small pieces: frames are cut anywhere.
        let mut buffer = [0; 5];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            sink.send(Frame::Binary(Bytes::copy_from_slice(&buffer[..length]))).await.unwrap();
        }
    });
    forwards(&mut Client::over(near)).await;
}

#[tokio::test]
async fn ports_are_forwarded_over_websocket_channels() {
    let server = Server::start().await;
    for name in ["v4.channel.k8s.io", "v4.base64.channel.k8s.io", ""] {
        let protocol = channel::choose(&[name], &channel::PORT_FORWARD).unwrap();
        let mut socket = open(&server, "/portForward/n/p?port=80,1", name).await;
        socket.send(framed(protocol.encode(0, b"ping"))).await.unwrap();
        let mut seen = [const { Vec::new() }; 4];
        while seen[0].len() < 6 || seen[3].len() < 10 {
            let bytes = match socket.next().await.unwrap().unwrap() {
                Frame::Binary(bytes) => bytes,
                Frame::Text(text) => Bytes::from(text),
                other => panic!("{other:?}"),
            };
            let (channel, data) = protocol.decode(&bytes).unwrap();
            seen[usize::from(channel)].extend_from_slice(&data);
        }
        assert_eq!(seen[0], b"\x50\0ping");
        assert_eq!((&seen[1][..], &seen[2][..]), (&b"\x50\0"[..], &b"\x01\0"[..]));
        assert!(seen[3].starts_with(b"\x01\0error forwarding port 1"), "{seen:?}");
    }
}

/// Red when the server waits for the client's own goodbye, which some never say: they were held for 10 s.
#[tokio::test]
async fn a_client_that_does_not_answer_the_goodbye_is_not_held() {
    let server = Server::start().await;
    let path = "/exec/n/p/c?command=exit&command=3&stdout=1";
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         sec-websocket-protocol: v4.channel.k8s.io\r\n\r\n"
    );
    let mut stream = server.connect(API_SERVER).await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(8), stream.read_to_end(&mut all)).await;
    end.expect("the end of the connection").unwrap();
    let holds = |word: &[u8]| all.windows(word.len()).any(|part| part == word);
    assert!(holds(b"exit 3") && holds(br#""reason":"ExitCode""#), "{all:?}");
    // A close frame with code 1000, and nothing after it.
    assert!(all.ends_with(&[0x88, 2, 3, 0xe8]), "{all:?}");
}
