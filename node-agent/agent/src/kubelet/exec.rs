//! Commands in containers, and the streams of a container's own process.
//!
//! Knows: what a request means, which of its streams a SPDY client opens. Refuses to know: how the process runs.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use leme_cri::{ExecRequest, Runtime};
use leme_streams::channel::{REMOTE_COMMAND, REMOTE_COMMAND_SPDY, STDERR, STDOUT};
use leme_streams::spdy::Frame;
use tokio::sync::mpsc;

use super::remote::{self, Ending, FromClient, Leaving, Line, Peer, Size, Streams, ToClient};
use super::spdy::{self, Session, Stream};
use super::upgrade::{self, Wanted};
use super::{Context, Pairs, Refusal, websocket};
use crate::view::ContainerView;

/// How long a SPDY client gets to open the streams that it asked for.
const OPENING: Duration = Duration::from_secs(30);
/// Longest text of a terminal's size.
const SIZE_BYTES: usize = 4096;

/// What to talk with.
pub enum Process {
    /// A command, run for this.
    Command(Vec<String>),
    /// The container's own.
    Own,
}

type Job = Box<dyn FnOnce(Line) -> BoxFuture<'static, ()> + Send>;

/// Answers an exec or attach request.
pub async fn answer(
    context: &Context,
    container: Result<ContainerView, Refusal>,
    process: Process,
    query: &Pairs,
    request: Request,
) -> Response {
    let streams = match Streams::parse(query) {
        Ok(streams) => streams,
        Err(refusal) => return refusal.into_response(),
    };
    let wanted = match Wanted::of(request).await {
        Ok(wanted) => wanted,
        Err(answer) => return answer,
    };
    let id = container.and_then(|container| match container.running {
        Some(id) => Ok(id),
        None => Err(Refusal::no_container(&container.name)),
    });
    let job = id.map(|id| job(Arc::clone(&context.runtime), id, process, streams));
    match wanted {
        Wanted::WebSocket(upgrade, offered) => {
            let (upgrade, protocol) = match upgrade::choose(upgrade, &offered, &REMOTE_COMMAND) {
                Ok(chosen) => chosen,
                Err(refusal) => return refusal.into_response(),
            };
            let job: Job = match job {
                Ok(job) => job,
                // Clients of the newest protocol hear of it on the error channel, as if a server in between had failed to
                // go on; the others in place of the upgrade.
                Err(refusal) if protocol.closes => refused(refusal),
                Err(refusal) => return refusal.into_response(),
            };
            upgrade.on_upgrade(move |socket| async move {
                let (line, peer) = remote::line();
                tokio::spawn(job(line));
                websocket::converse(socket, protocol, streams, peer).await;
            })
        }
        Wanted::Spdy(on, headers) => {
            let job = match job {
                Ok(job) => job,
                Err(refusal) => return refusal.into_response(),
            };
            let (protocol, answer) = match upgrade::negotiate(&headers, &REMOTE_COMMAND_SPDY) {
                Ok(agreed) => agreed,
                Err(refusal) => return refusal.into_response(),
            };
            tokio::spawn(over_spdy(on, protocol, streams, job));
            answer
        }
    }
}

fn refused(refusal: Refusal) -> Job {
    Box::new(move |line| {
        Box::pin(async move {
            let cause = format!("unable to upgrade connection: {}", refusal.message);
            let _ = line.told.send(ToClient::Ended(Ending::Failed(cause))).await;
        })
    })
}

fn job(runtime: Arc<dyn Runtime>, id: String, process: Process, streams: Streams) -> Job {
    Box::new(move |line| {
        Box::pin(async move {
            let (opened, words, leaving, command) = match process {
                Process::Command(command) => {
                    let request = ExecRequest {
                        command: command.clone(),
                        tty: streams.tty,
                        stdin: streams.stdin,
                    };
                    let leaving = if streams.tty { Leaving::HangUp } else { Leaving::RunOn };
                    let opened = runtime.exec(&id, request).await;
                    (opened, "error executing command in container", leaving, command)
                }
                Process::Own => {
                    let opened = runtime.attach(&id, streams.stdin).await;
                    (opened, "error attaching to container", Leaving::HangUp, Vec::new())
                }
            };
            match opened {
                Ok(session) => remote::talk(session, line, streams, leaving, command).await,
                Err(error) => {
                    let ending = Ending::Failed(format!("{words}: {error}"));
                    let _ = line.told.send(ToClient::Ended(ending)).await;
                }
            }
        })
    })
}

/// The streams of a SPDY client, by what they are for.
#[derive(Default)]
struct Opened {
    error: Option<Stream>,
    stdin: Option<Stream>,
    stdout: Option<Stream>,
    stderr: Option<Stream>,
    resize: Option<Stream>,
}

impl Opened {
    async fn collect(session: &mut Session, streams: Streams, resizes: bool) -> Option<Opened> {
        let mut opened = Opened::default();
        let wanted = [true, streams.stdin, streams.stdout, streams.stderr, resizes];
        let mut missing = wanted.iter().filter(|wanted| **wanted).count();
        while missing > 0 {
            let stream = session.opened.recv().await?;
            let place = match stream.headers.get("streamtype") {
                Some("error") => &mut opened.error,
                Some("stdin") => &mut opened.stdin,
                Some("stdout") => &mut opened.stdout,
                Some("stderr") => &mut opened.stderr,
                Some("resize") => &mut opened.resize,
                _ => continue,
            };
            if place.replace(stream).is_none() {
                missing -= 1;
            }
        }
        Some(opened)
    }
}

async fn over_spdy(on: OnUpgrade, protocol: &'static str, streams: Streams, job: Job) {
    let transport = match on.await {
        Ok(transport) => TokioIo::new(transport),
        Err(error) => return tracing::debug!(%error, "SPDY: upgrade failed"),
    };
    let with_sizes = !matches!(protocol, "v2.channel.k8s.io" | "channel.k8s.io");
    let with_status =
        !matches!(protocol, "v3.channel.k8s.io" | "v2.channel.k8s.io" | "channel.k8s.io");
    let mut session = spdy::start(transport, |_| true);
    let collecting = Opened::collect(&mut session, streams, streams.tty && with_sizes);
    let Ok(Some(opened)) = tokio::time::timeout(OPENING, collecting).await else {
        return tracing::debug!("timed out waiting for client to create streams");
    };
    let (line, peer) = remote::line();
    tokio::spawn(job(line));
    converse(session, opened, peer, with_status).await;
}

/// Carries a conversation with a process over the streams.
async fn converse(session: Session, opened: Opened, peer: Peer, with_status: bool) {
    let Session { outbox, gone, .. } = session;
    let Opened { error, stdin, stdout, stderr, resize } = opened;
    let Peer { heard, told } = peer;
    let ids = [
        (STDOUT, stdout.as_ref().map(|stream| stream.id)),
        (STDERR, stderr.as_ref().map(|stream| stream.id)),
    ];
    let error = error.as_ref().map_or(0, |stream| stream.id);
    let listening = async {
        // Kept to the end: it is the client's leaving that ends what is heard, not the end of a stream.
        let _heard = heard.clone();
        let stdin = async {
            if let Some(stream) = stdin {
                hear_stdin(stream, heard.clone()).await;
            }
        };
        let resize = async {
            if let Some(stream) = resize {
                hear_sizes(stream, heard.clone()).await;
            }
        };
        tokio::join!(stdin, resize, gone.cancelled());
    };
    tokio::select! {
        () = listening => {}
        () = tell(&outbox, told, ids, error, with_status) => {}
    }
}

async fn hear_stdin(mut stream: Stream, heard: mpsc::Sender<FromClient>) {
    while let Some(bytes) = stream.input.recv().await {
        // What a process that has ended does not take is dropped.
        let _ = heard.send(FromClient::Stdin(bytes)).await;
    }
    let _ = heard.send(FromClient::StdinEnd).await;
}

async fn hear_sizes(mut stream: Stream, heard: mpsc::Sender<FromClient>) {
    let mut text = Vec::new();
    while let Some(bytes) = stream.input.recv().await {
        text.extend_from_slice(&bytes);
        let mut sizes = serde_json::Deserializer::from_slice(&text).into_iter::<Size>();
        let mut done = 0;
        let mut broken = false;
        while let Some(size) = sizes.next() {
            match size {
                Ok(size) => {
                    done = sizes.byte_offset();
                    let _ = heard.send(FromClient::Resize(size.width, size.height)).await;
                }
                Err(error) => {
                    broken = !error.is_eof();
                    break;
                }
            }
        }
        text.drain(..done);
        if broken || text.len() > SIZE_BYTES {
            return tracing::debug!("a terminal's size could not be read");
        }
    }
}

async fn tell(
    outbox: &mpsc::Sender<Frame>,
    mut told: mpsc::Receiver<ToClient>,
    ids: [(u8, Option<u32>); 2],
    error: u32,
    with_status: bool,
) {
    let mut last = None;
    while let Some(word) = told.recv().await {
        let (stream, bytes) = match word {
            ToClient::Output(channel, bytes) => {
                let id = ids.iter().find(|(own, _)| *own == channel).and_then(|(_, id)| *id);
                let Some(stream) = id else { continue };
                (stream, bytes)
            }
            ToClient::Ended(ending) => {
                last = Some(ending);
                break;
            }
        };
        if outbox.send(Frame::Data { stream, fin: false, bytes }).await.is_err() {
            return;
        }
    }
    let text = match &last {
        Some(ending) if with_status => ending.status().to_string(),
        Some(ending) => ending.text(),
        None => String::new(),
    };
    let ends = ids.iter().filter_map(|(_, id)| *id).map(spdy::fin);
    let error = Frame::Data { stream: error, fin: true, bytes: text.into() };
    for frame in ends.chain([error, Frame::GoAway { last: 0 }]) {
        if outbox.send(frame).await.is_err() {
            return;
        }
    }
}

/// The command of an exec request.
pub fn command(query: &Pairs) -> Result<Vec<String>, Refusal> {
    let words = query.iter().filter(|(name, _)| name == "command");
    let command: Vec<String> = words.map(|(_, word)| word.clone()).collect();
    if command.is_empty() {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "you must specify a command"));
    }
    Ok(command)
}
