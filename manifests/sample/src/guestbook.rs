//! The guest book: `front` shows a page and asks `store` by its Service name; `store` keeps the entries on its volume.

use crate::http::{Request, Response, call};
use crate::{dns, env, hello};

/// The front end: a page with the entries and a form.
pub fn front(request: &Request) -> Response {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/") => match ask_store("GET", "") {
            Ok(entries) => Response::html(page(&entries)),
            Err(error) => Response::error(502, format!("the store does not answer: {error}")),
        },
        ("GET", "/healthz") => Response::text("ok\n"),
        ("GET", "/entries") => match ask_store("GET", "") {
            Ok(entries) => Response::text(entries),
            Err(error) => Response::error(502, format!("the store does not answer: {error}")),
        },
        ("POST", "/sign") => {
            let form = String::from_utf8_lossy(&request.body);
            let entry = decode(form.strip_prefix("entry=").unwrap_or(&form));
            match ask_store("POST", &entry) {
                Ok(_) => Response::see_other("/"),
                Err(error) => Response::error(502, format!("the store does not answer: {error}")),
            }
        }
        _ => Response::error(404, "not found"),
    }
}

/// The back end: entries in one file.
pub fn store(request: &Request) -> Response {
    let path = env("STORE_FILE", "/data/entries");
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/entries") => match std::fs::read_to_string(&path) {
            Ok(text) => Response::text(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Response::text(""),
            Err(error) => Response::error(500, format!("cannot read {path}: {error}")),
        },
        ("GET", "/healthz") => Response::text("ok\n"),
        ("POST", "/entries") => match hello::append(&path, &String::from_utf8_lossy(&request.body))
        {
            Ok(()) => Response::text("kept\n"),
            Err(error) => Response::error(500, format!("cannot write {path}: {error}")),
        },
        _ => Response::error(404, "not found"),
    }
}

fn ask_store(method: &str, body: &str) -> std::io::Result<String> {
    let address = dns::resolve(&env("STORE_HOST", "guestbook-store"))?;
    let port = env("STORE_PORT", "8080").parse().unwrap_or(8080);
    call((address, port), method, "/entries", body)
}

fn page(entries: &str) -> String {
    let list: String =
        entries.lines().map(|entry| format!("<li>{}</li>\n", escape(entry))).collect();
    format!(
        "<!doctype html>\n<title>Guest book</title>\n<h1>Guest book</h1>\n<ul>\n{list}</ul>\n\
         <form method=post action=/sign><input name=entry autofocus><button>Sign</button></form>\n\
         <p>served by {}</p>\n",
        escape(&env("POD_NAME", "unknown"))
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Decodes `application/x-www-form-urlencoded` text.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                let hex = std::str::from_utf8(&digits).ok();
                match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
                    Some(value) => bytes.push(value),
                    None => bytes.push(b'?'),
                }
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_decoded() {
        assert_eq!(decode("Ana+%26+Z%C3%A9"), "Ana & Zé");
        assert_eq!(decode("50%"), "50?");
    }

    #[test]
    fn entries_cannot_bring_markup() {
        assert!(page("<script>").contains("<li>&lt;script&gt;</li>"));
    }
}
