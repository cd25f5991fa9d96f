//! The `hello` role: who answered, with which configuration, and a guest list on a volume when there is one.

use std::fs::OpenOptions;
use std::io::Write;

use sha2::{Digest, Sha256};

use crate::env;
use crate::http::{Request, Response};

/// Answers one request.
pub fn answer(request: &Request) -> Response {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/") => Response::text(introduction()),
        ("GET", "/healthz") => Response::text("ok\n"),
        ("GET", "/guests") => guests(),
        ("POST", "/guests") => sign(&request.body),
        ("GET" | "POST", _) => Response::error(404, "not found"),
        _ => Response::error(405, "method not allowed"),
    }
}

fn introduction() -> String {
    format!(
        "{}\npod: {}\nnode: {}\nmotd: {}\nsecret: {}\n",
        env("GREETING", "hello"),
        env("POD_NAME", "unknown"),
        env("NODE_NAME", "unknown"),
        file("/etc/hello/motd").map_or_else(|| "none".to_owned(), |text| text.trim().to_owned()),
        file("/etc/hello-secret/token")
            .map_or_else(|| "none".to_owned(), |text| fingerprint(&text)),
    )
}

/// The first bytes of the digest: enough to compare, nothing to steal.
fn fingerprint(secret: &str) -> String {
    let digest = Sha256::digest(secret.as_bytes());
    let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn file(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

fn guests() -> Response {
    match std::env::var("GUEST_FILE") {
        Ok(path) => Response::text(file(&path).unwrap_or_default()),
        Err(_) => Response::error(404, "no guest list here: GUEST_FILE is not set"),
    }
}

fn sign(body: &[u8]) -> Response {
    let Ok(path) = std::env::var("GUEST_FILE") else {
        return Response::error(404, "no guest list here: GUEST_FILE is not set");
    };
    match append(&path, &String::from_utf8_lossy(body)) {
        Ok(()) => Response::text("welcome\n"),
        Err(error) => Response::error(500, format!("cannot write {path}: {error}")),
    }
}

/// Appends one line, durably.
pub fn append(path: &str, line: &str) -> std::io::Result<()> {
    let line: String = line.chars().filter(|c| !c.is_control()).collect();
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_data()
}
