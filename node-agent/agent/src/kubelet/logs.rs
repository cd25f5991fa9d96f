//! Container logs, also as they grow.
//!
//! Knows: log options, rotation, that a followed log ends with its container. Refuses to know: who writes the files.

use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use jiff::{SignedDuration, Timestamp};
use leme_meta::query;
use leme_node_core::config;
use rustix::fs::inotify;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Context, Pairs, crilog};
use crate::view::{ContainerView, PodView, Views};

/// Bytes read at once.
const BLOCK: usize = 64 * 1024;
/// Longest entry; longer ones are cut by the writer, so this is garbage.
const LONGEST: usize = 1 << 20;

/// What of a log is wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    follow: bool,
    previous: bool,
    timestamps: bool,
    tail: Option<u64>,
    since: Option<Timestamp>,
    limit: Option<u64>,
}

impl Options {
    /// From a query string.
    pub fn parse(pairs: &Pairs) -> Result<Self, String> {
        let mut options = Self::default();
        for (name, value) in pairs {
            let on = query::flag(value);
            let number = || {
                u64::try_from(query::int(value)?).map_err(|_| format!("invalid {name}: {value:?}"))
            };
            match name.as_str() {
                "follow" => options.follow = on,
                "previous" => options.previous = on,
                "timestamps" => options.timestamps = on,
                "tailLines" => options.tail = Some(number()?),
                "limitBytes" => options.limit = Some(number()?),
                "sinceSeconds" => {
                    let back = i64::try_from(number()?).unwrap_or(i64::MAX);
                    let at = Timestamp::now().checked_sub(SignedDuration::from_secs(back));
                    options.since = Some(at.unwrap_or(Timestamp::MIN));
                }
                "sinceTime" if !value.is_empty() => {
                    let at = value.parse().map_err(|_| format!("invalid sinceTime: {value:?}"))?;
                    options.since = Some(at);
                }
                _ => {}
            }
        }
        Ok(options)
    }
}

/// Answers a request for logs.
pub async fn answer(
    context: &Context,
    view: &PodView,
    container: &ContainerView,
    options: Options,
) -> Response {
    let pod = view.pod.metadata.name.as_deref().unwrap_or_default();
    let name = &container.name;
    let attempt = match (container.attempt, options.previous) {
        (Some(attempt), false) => Some(attempt),
        (Some(attempt), true) => attempt.checked_sub(1),
        (None, _) => None,
    };
    let Some(attempt) = attempt else {
        let text = if options.previous {
            format!("previous terminated container \"{name}\" in pod \"{pod}\" not found")
        } else {
            format!("container \"{name}\" in pod \"{pod}\" is waiting to start: ContainerCreating")
        };
        return (StatusCode::BAD_REQUEST, text).into_response();
    };
    let directory = context.logs.join(config::log_directory(&view.pod).replace('/', "_"));
    let source = Source {
        path: directory.join(name).join(format!("{attempt}.log")),
        views: context.views.clone(),
        view: view.clone(),
        container: name.clone(),
        attempt,
    };
    let reader = match Reader::open(&source.path, options.tail).await {
        Ok(reader) => reader,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = format!("no log of container \"{name}\" in pod \"{pod}\" is left");
            return (StatusCode::NOT_FOUND, text).into_response();
        }
        Err(error) => {
            return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response();
        }
    };
    let (to, body) = mpsc::channel(4);
    tokio::spawn(async move {
        let mut writer = Writer::new(to, options);
        if let Err(error) = source.pump(reader, &mut writer).await {
            let _ = writer.to.send(Err(error)).await;
        }
    });
    let body = Body::from_stream(ReceiverStream::new(body));
    ([(header::CONTENT_TYPE, "text/plain")], body).into_response()
}

/// An open log file.
struct Reader {
    file: tokio::fs::File,
    inode: u64,
    pending: BytesMut,
}

impl Reader {
    async fn open(path: &Path, tail: Option<u64>) -> io::Result<Self> {
        let path = path.to_owned();
        let open = move || {
            let mut file = std::fs::File::open(&path)?;
            let start = match tail {
                Some(lines) => crilog::tail_offset(&mut file, lines)?,
                None => 0,
            };
            file.seek(SeekFrom::Start(start))?;
            let inode = file.metadata()?.ino();
            io::Result::Ok((file, inode))
        };
        let (file, inode) = tokio::task::spawn_blocking(open).await.map_err(io::Error::other)??;
        Ok(Self { file: file.into(), inode, pending: BytesMut::new() })
    }

    /// Reads more; false at the end for now.
    async fn fill(&mut self) -> io::Result<bool> {
        self.pending.reserve(BLOCK);
        Ok(self.file.read_buf(&mut self.pending).await? > 0)
    }

    /// The next whole line.
    fn line(&mut self) -> Option<BytesMut> {
        let end = self.pending.iter().position(|b| *b == b'\n');
        match end {
            Some(end) => {
                let mut line = self.pending.split_to(end + 1);
                line.truncate(end);
                Some(line)
            }
            None => (self.pending.len() > LONGEST).then(|| self.pending.split()),
        }
    }
}

/// Which log it is.
struct Source {
    path: PathBuf,
    views: Views,
    view: PodView,
    container: String,
    attempt: u32,
}

impl Source {
    /// Whether the container still runs.
    fn alive(&self) -> bool {
        let meta = &self.view.pod.metadata;
        let (namespace, name) = (
            meta.namespace.as_deref().unwrap_or_default(),
            meta.name.as_deref().unwrap_or_default(),
        );
        self.views.get(namespace, name).filter(|v| v.uid == self.view.uid).is_some_and(|v| {
            v.containers.iter().any(|c| {
                c.name == self.container && c.running.is_some() && c.attempt == Some(self.attempt)
            })
        })
    }

    async fn pump(&self, mut reader: Reader, writer: &mut Writer) -> io::Result<()> {
        let mut changes = self.views.changes();
        let notify = match (writer.options.follow, self.path.parent()) {
            (true, Some(directory)) => Some(watch(directory)?),
            _ => None,
        };
        loop {
            changes.mark_unchanged();
            // Looked at before the file: what is written after a container's end does not exist.
            let alive = self.alive();
            while reader.fill().await? {
                if !writer.drain(&mut reader).await {
                    return Ok(());
                }
            }
            if !writer.flush().await {
                return Ok(());
            }
            if writer.options.follow
                && self.rotated(&reader).await
                && let Ok(next) = Reader::open(&self.path, None).await
            {
                // What was written to the old file between its end and the rename.
                while reader.fill().await? {
                    if !writer.drain(&mut reader).await {
                        return Ok(());
                    }
                }
                reader = next;
                continue;
            }
            let Some(notify) = notify.as_ref().filter(|_| alive) else { return Ok(()) };
            tokio::select! {
                ready = notify.readable() => {
                    ready?;
                    let mut buffer = [0u8; 4096];
                    while notify.try_read(&mut buffer).is_ok_and(|n| n > 0) {}
                }
                changed = changes.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                }
                () = writer.to.closed() => return Ok(()),
            }
        }
    }

    async fn rotated(&self, reader: &Reader) -> bool {
        tokio::fs::metadata(&self.path).await.is_ok_and(|m| m.ino() != reader.inode)
    }
}

fn watch(directory: &Path) -> io::Result<pipe::Receiver> {
    let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
    let notify = inotify::init(flags)?;
    let what = inotify::WatchFlags::MODIFY
        | inotify::WatchFlags::CREATE
        | inotify::WatchFlags::MOVED_TO
        | inotify::WatchFlags::MOVED_FROM;
    inotify::add_watch(&notify, directory, what)?;
    // Like a pipe it is a descriptor that becomes readable, which is all that this type relies on.
    pipe::Receiver::from_owned_fd_unchecked(notify)
}

/// Where the text goes.
struct Writer {
    to: mpsc::Sender<io::Result<Bytes>>,
    options: Options,
    left: u64,
    text: BytesMut,
    inside_line: bool,
}

impl Writer {
    fn new(to: mpsc::Sender<io::Result<Bytes>>, options: Options) -> Self {
        let left = options.limit.unwrap_or(u64::MAX);
        Self { to, options, left, text: BytesMut::new(), inside_line: false }
    }

    /// Sends the whole lines that were read; false when nothing more is wanted.
    async fn drain(&mut self, reader: &mut Reader) -> bool {
        while let Some(line) = reader.line() {
            self.add(&line);
            if self.text.len() >= BLOCK && !self.flush().await {
                return false;
            }
        }
        self.flush().await
    }

    fn add(&mut self, line: &[u8]) {
        let Some(entry) = crilog::parse(line) else { return };
        if self.options.since.is_some_and(|since| !entry.is_since(since)) {
            return;
        }
        if self.options.timestamps && !self.inside_line {
            self.text.extend_from_slice(entry.time.as_bytes());
            self.text.extend_from_slice(b" ");
        }
        self.text.extend_from_slice(entry.content);
        if !entry.partial {
            self.text.extend_from_slice(b"\n");
        }
        self.inside_line = entry.partial;
    }

    async fn flush(&mut self) -> bool {
        if self.text.is_empty() {
            return self.left > 0;
        }
        let mut text = self.text.split().freeze();
        if text.len() as u64 > self.left {
            text.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        }
        self.left -= text.len() as u64;
        self.to.send(Ok(text)).await.is_ok() && self.left > 0
    }
}
