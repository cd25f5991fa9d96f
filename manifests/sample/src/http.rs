//! Just enough HTTP/1.1 for a sample: one thread per connection, keep-alive, bodies by Content-Length.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// Longest head and body taken.
const LIMIT: u64 = 64 * 1024;

/// A request.
pub struct Request {
    pub method: String,
    pub path: String,
    pub body: Vec<u8>,
}

/// An answer.
pub struct Response {
    pub code: u16,
    pub content_type: &'static str,
    pub location: Option<String>,
    pub body: String,
}

impl Response {
    /// 200 with plain text.
    pub fn text(body: impl Into<String>) -> Response {
        Response {
            code: 200,
            content_type: "text/plain; charset=utf-8",
            location: None,
            body: body.into(),
        }
    }

    /// 200 with a page.
    pub fn html(body: String) -> Response {
        Response { content_type: "text/html; charset=utf-8", ..Response::text(body) }
    }

    /// An error with one line of text.
    pub fn error(code: u16, why: impl std::fmt::Display) -> Response {
        Response { code, ..Response::text(format!("{why}\n")) }
    }

    /// 303 to another path.
    pub fn see_other(path: &str) -> Response {
        Response { code: 303, location: Some(path.to_owned()), ..Response::text("") }
    }
}

/// Serves until the listener fails.
pub fn serve(listener: &TcpListener, handler: fn(&Request) -> Response) {
    for stream in listener.incoming().flatten() {
        std::thread::spawn(move || {
            // A client that goes away is nobody's error.
            let _ = converse(stream, handler);
        });
    }
}

fn converse(stream: TcpStream, handler: fn(&Request) -> Response) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader)? {
        let response = handler(&request);
        crate::log(format_args!("{} {} {}", request.method, request.path, response.code));
        write_response(&mut writer, &response)?;
    }
    Ok(())
}

fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut head = reader.by_ref().take(LIMIT);
    let mut line = String::new();
    if head.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let (method, path) = (method.to_owned(), path.to_owned());
    let mut length = 0;
    loop {
        let mut header = String::new();
        if head.read_line(&mut header)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match header.trim_end().split_once(':') {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().map_err(|_| io::ErrorKind::InvalidData)?;
            }
            Some(_) => {}
        }
    }
    if length > LIMIT {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; length as usize];
    reader.read_exact(&mut body)?;
    Ok(Some(Request { method, path, body }))
}

fn write_response(writer: &mut impl Write, response: &Response) -> io::Result<()> {
    let location =
        response.location.as_ref().map(|path| format!("Location: {path}\r\n")).unwrap_or_default();
    let text = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{location}\r\n{}",
        response.code,
        reason(response.code),
        response.content_type,
        response.body.len(),
        response.body
    );
    writer.write_all(text.as_bytes())
}

fn reason(code: u16) -> &'static str {
    match code {
        200 => "OK",
        303 => "See Other",
        404 => "Not Found",
        405 => "Method Not Allowed",
        502 => "Bad Gateway",
        _ => "Error",
    }
}

/// Sends one request to `host:port` and gives the body of a 200 answer.
pub fn call(
    address: (std::net::IpAddr, u16),
    method: &str,
    path: &str,
    body: &str,
) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address.into(), Duration::from_secs(3))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n{body}",
        address.0,
        body.len()
    );
    stream.write_all(request.as_bytes())?;
    let mut reader = BufReader::new(stream);
    let mut status = String::new();
    reader.read_line(&mut status)?;
    let mut length: u64 = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        match header.trim_end().split_once(':') {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().map_err(|_| io::ErrorKind::InvalidData)?;
            }
            Some(_) => {}
        }
    }
    let mut text = String::new();
    reader.take(length.min(LIMIT)).read_to_string(&mut text)?;
    if status.split_whitespace().nth(1) == Some("200") {
        Ok(text)
    } else {
        Err(io::Error::other(format!("{}: {}", status.trim_end(), text.trim_end())))
    }
}
