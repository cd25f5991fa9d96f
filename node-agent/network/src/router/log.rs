//! The access log: a line for every request and every connection that is passed through, in the Common Log Format or in JSON.
//! Knows: the two forms, and who writes. Refuses to know: how requests are answered.
//!
//! Nobody waits for the log: lines that the writer does not keep up with are counted and left out.

use http::{HeaderMap, Request, Version, header};
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;
use std::fmt::Write as _;
use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Lines that wait for the writer.
const WAITING: usize = 16 * 1024;
/// The longest text of a client's that is written down.
const LONGEST: usize = 2048;

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// The Common Log Format.
    #[default]
    Common,
    /// An object a line.
    Json,
}

/// Where and how requests are written down.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// The file, which is appended to; none for standard output.
    pub file: Option<PathBuf>,
    /// The form.
    pub format: LogFormat,
}

/// What is written of a request.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    time: String,
    client: String,
    #[serde(skip)]
    began: Timestamp,
    /// `http`, `https`, or `tcp` where nobody has read it.
    scheme: &'static str,
    method: String,
    host: String,
    target: String,
    protocol: &'static str,
    /// Nothing, if the client was gone before.
    pub(super) status: Option<u16>,
    bytes_in: u64,
    bytes_out: u64,
    seconds: f64,
    pub(super) namespace: String,
    pub(super) route: String,
    pub(super) endpoint: String,
    user_agent: String,
    referer: String,
}

impl Record {
    /// Of a connection that nobody has read.
    pub(super) fn of_connection(client: SocketAddr, host: &str) -> Record {
        let began = Timestamp::now();
        Record {
            time: began.to_string(),
            client: client.ip().to_string(),
            began,
            scheme: "tcp",
            method: String::new(),
            host: cut(host),
            target: String::new(),
            protocol: "",
            status: None,
            bytes_in: 0,
            bytes_out: 0,
            seconds: 0.0,
            namespace: String::new(),
            route: String::new(),
            endpoint: String::new(),
            user_agent: String::new(),
            referer: String::new(),
        }
    }

    /// Of a request.
    pub(super) fn of<B>(request: &Request<B>, client: SocketAddr, secure: bool) -> Record {
        let uri = request.uri();
        let named = uri.authority().map(|one| one.as_str().to_owned());
        let host = named.unwrap_or_else(|| text(request.headers(), &header::HOST));
        Record {
            scheme: if secure { "https" } else { "http" },
            method: cut(request.method().as_str()),
            target: cut(uri.path_and_query().map_or("", |one| one.as_str())),
            protocol: match request.version() {
                Version::HTTP_10 => "HTTP/1.0",
                Version::HTTP_2 => "HTTP/2.0",
                _ => "HTTP/1.1",
            },
            user_agent: text(request.headers(), &header::USER_AGENT),
            referer: text(request.headers(), &header::REFERER),
            ..Record::of_connection(client, &host)
        }
    }

    fn written(&self, format: LogFormat) -> String {
        match format {
            LogFormat::Json => serde_json::to_string(self).unwrap_or_default(),
            LogFormat::Common => {
                let time = self.began.strftime("%d/%b/%Y:%H:%M:%S +0000");
                let status = self.status.map_or_else(|| "-".to_owned(), |code| code.to_string());
                let asked = match self.method.is_empty() {
                    true => "-".to_owned(),
                    false => format!("{} {} {}", self.method, self.target, self.protocol),
                };
                let (client, asked) = (&self.client, plain(&asked));
                format!("{client} - - [{time}] \"{asked}\" {status} {}", self.bytes_out)
            }
        }
    }
}

/// What could end the text or the line, as escapes.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => drop(write!(out, "\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

fn text(headers: &HeaderMap, name: &header::HeaderName) -> String {
    let value = headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    value.map_or_else(String::new, |value| cut(&value))
}

/// Who writes.
pub(super) struct AccessLog {
    format: LogFormat,
    lines: SyncSender<String>,
    /// Lines that were left out.
    lost: Arc<AtomicU64>,
}

impl AccessLog {
    /// Opens a log.
    ///
    /// # Errors
    /// If its file cannot be appended to.
    pub(super) fn open(config: &LogConfig) -> std::io::Result<AccessLog> {
        let out: Box<dyn Write + Send> = match &config.file {
            None => Box::new(std::io::stdout()),
            Some(path) => {
                Box::new(std::fs::OpenOptions::new().create(true).append(true).open(path)?)
            }
        };
        let (lines, written) = sync_channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&lost);
        let name = "access log".to_owned();
        std::thread::Builder::new().name(name).spawn(move || write(&written, out, &count))?;
        Ok(AccessLog { format: config.format, lines, lost })
    }

    /// Writes a request down that has ended.
    pub(super) fn write(&self, mut record: Record, bytes: (u64, u64), took: Duration) {
        (record.bytes_in, record.bytes_out) = bytes;
        record.seconds = took.as_secs_f64();
        if self.lines.try_send(record.written(self.format)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Writes lines until nobody sends any; what has come is written out before the next is waited for.
fn write(lines: &Receiver<String>, out: impl Write, lost: &AtomicU64) {
    let mut out = BufWriter::new(out);
    let mut failed = false;
    while let Ok(line) = lines.recv() {
        let mut put =
            |line: &str| out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n"));
        let mut written = put(&line);
        while let Ok(line) = lines.try_recv() {
            written = written.and_then(|()| put(&line));
        }
        let written = written.and_then(|()| out.flush());
        match written {
            Ok(()) => failed = false,
            Err(error) if !std::mem::replace(&mut failed, true) => {
                tracing::warn!(%error, "the access log cannot be written");
            }
            Err(_) => {}
        }
        match lost.swap(0, Ordering::Relaxed) {
            0 => {}
            lost => tracing::warn!(
                lost,
                "lines of the access log were left out: it is written too slowly"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let request = Request::get("/a?b=c")
            .header("host", "x.test")
            .header("user-agent", "curl \"7\"\t")
            .body(())
            .unwrap();
        let mut record = Record::of(&request, "192.0.2.1:9".parse().unwrap(), true);
        record.status = Some(200);
        record.began = "2026-11-27T01:02:03Z".parse().unwrap();
        record.time = record.began.to_string();
        record
    }

    #[test]
    fn both_forms_hold_one_request_a_line() {
        let common = record().written(LogFormat::Common);
        assert_eq!(
            common,
            "192.0.2.1 - - [27/Nov/2026:01:02:03 +0000] \"GET /a?b=c HTTP/1.1\" 200 0"
        );
        let json: serde_json::Value =
            serde_json::from_str(&record().written(LogFormat::Json)).unwrap();
        assert_eq!(json["userAgent"], "curl \"7\"\t");
        assert_eq!((&json["host"], &json["scheme"]), (&"x.test".into(), &"https".into()));
        assert_eq!(json["time"], "2026-11-27T01:02:03Z");
        assert_eq!(plain("a\"\nb"), "a\\\"\\x0ab");
    }

    #[test]
    fn lines_reach_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let config = LogConfig { file: Some(path.clone()), format: LogFormat::Json };
        let log = AccessLog::open(&config).unwrap();
        log.write(record(), (1, 2), Duration::from_millis(1500));
        drop(log);
        let text = || std::fs::read_to_string(&path).unwrap();
        while !text().ends_with('\n') {
            std::thread::yield_now();
        }
        assert!(text().contains("\"bytesIn\":1,\"bytesOut\":2,\"seconds\":1.5"), "{}", text());
    }
}
