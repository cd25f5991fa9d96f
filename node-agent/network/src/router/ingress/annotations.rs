//! What people write for ingress-nginx, as far as it is carried out here.

use super::super::allow::AllowList;
use super::super::annotations::{Options, RewriteTarget, Speaks};
use super::super::limits::Rule;
use std::collections::BTreeMap;
use std::time::Duration;

const PREFIX: &str = "nginx.ingress.kubernetes.io/";

/// What is written for other routers.
const OTHERS: [&str; 9] = [
    "alb.ingress.kubernetes.io/",
    "haproxy-ingress.github.io/",
    "haproxy.org/",
    "haproxy.router.openshift.io/",
    "ingress.kubernetes.io/",
    "nginx.com/",
    "nginx.org/",
    "route.openshift.io/",
    "traefik.ingress.kubernetes.io/",
];

/// What an Ingress asks for in its annotations.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) options: Options,
    /// Whether requests without TLS are sent to where it is spoken.
    pub(super) redirects: Option<bool>,
    /// Whether they are so also where the Ingress says nothing of TLS.
    pub(super) forced: bool,
}

type Read = fn(&str, &mut Asked) -> Result<(), String>;

enum Handling {
    /// Carried out; a value that cannot be read refuses the Ingress.
    Done(Read),
    /// Changes nothing that this router does: for the reason given.
    Idle(#[allow(dead_code, reason = "for the reader")] &'static str),
}

use Handling::{Done, Idle};

const STREAMS: &str = "bodies are streamed, and their size is not bounded";
const ALWAYS: &str = "it is always so";

/// Any other annotation of ingress-nginx refuses the Ingress: it may keep somebody out.
const TABLE: &[(&str, Handling)] = &[
    ("affinity", Done(affinity)),
    (
        "affinity-mode",
        Idle("a client that is kept stays with its endpoint as long as that is there"),
    ),
    ("allowlist-source-range", Done(allow)),
    ("backend-protocol", Done(protocol)),
    ("client-body-buffer-size", Idle(STREAMS)),
    ("enable-access-log", Idle("what is written down is the router's own matter")),
    ("force-ssl-redirect", Done(force)),
    ("hsts", Done(no_hsts)),
    ("limit-connections", Done(at_once)),
    ("limit-rpm", Done(each_minute)),
    ("limit-rps", Done(each_second)),
    ("proxy-body-size", Idle(STREAMS)),
    ("proxy-buffer-size", Idle(STREAMS)),
    ("proxy-buffering", Idle(STREAMS)),
    ("proxy-buffers-number", Idle(STREAMS)),
    ("proxy-connect-timeout", Idle("endpoints have five seconds, and then the next is tried")),
    ("proxy-http-version", Idle("it is 1.1")),
    ("proxy-max-temp-file-size", Idle(STREAMS)),
    ("proxy-read-timeout", Done(timeout)),
    ("proxy-request-buffering", Idle(STREAMS)),
    ("proxy-send-timeout", Idle("a body that moves is waited for")),
    ("rewrite-target", Done(rewrite)),
    ("service-upstream", Idle("endpoints are spoken to themselves")),
    ("session-cookie-name", Done(cookie_name)),
    ("session-cookie-path", Idle("the cookie is for all paths")),
    ("ssl-redirect", Done(redirect)),
    ("use-regex", Done(no_regex)),
    ("websocket-services", Idle(ALWAYS)),
    ("whitelist-source-range", Done(allow_by_old_name)),
];

/// Reads the annotations of an Ingress.
///
/// # Errors
/// The annotation that is not carried out, and why.
pub(super) fn read(annotations: Option<&BTreeMap<String, String>>) -> Result<Asked, String> {
    // Nobody is kept with an endpoint who does not ask for it.
    let options = Options { no_cookie: true, ..Options::default() };
    let mut asked = Asked { options, redirects: None, forced: false };
    for (name, value) in annotations.into_iter().flatten() {
        if OTHERS.iter().any(|prefix| name.starts_with(prefix)) {
            return Err(format!(
                "annotation {name}: is for another router, and may keep somebody out"
            ));
        }
        let Some(short) = name.strip_prefix(PREFIX) else { continue };
        match TABLE.iter().find(|(known, _)| *known == short) {
            Some((_, Done(read))) => {
                read(value, &mut asked).map_err(|why| format!("annotation {name}: {why}"))?;
            }
            Some((_, Idle(_))) => {}
            None => return Err(format!("annotation {name}: not carried out by this router")),
        }
    }
    Ok(asked)
}

fn yes(value: &str) -> Result<bool, String> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

fn affinity(value: &str, asked: &mut Asked) -> Result<(), String> {
    match value {
        "cookie" => {
            asked.options.no_cookie = false;
            Ok(())
        }
        _ => Err("only cookie is known".to_owned()),
    }
}

fn cookie_name(value: &str, asked: &mut Asked) -> Result<(), String> {
    super::super::annotations::cookie_name(value, &mut asked.options)
}

/// Addresses and networks with commas between them.
fn allow(value: &str, asked: &mut Asked) -> Result<(), String> {
    let list = AllowList::parse(&value.replace(',', " "))?;
    if value.trim().is_empty() {
        return Err("it names nobody".to_owned());
    }
    asked.options.allow = Some(list);
    Ok(())
}

/// The new name comes first, and holds.
fn allow_by_old_name(value: &str, asked: &mut Asked) -> Result<(), String> {
    let new = asked.options.allow.take();
    allow(value, asked)?;
    asked.options.allow = new.or(asked.options.allow.take());
    Ok(())
}

fn force(value: &str, asked: &mut Asked) -> Result<(), String> {
    asked.forced = yes(value)?;
    Ok(())
}

fn protocol(value: &str, asked: &mut Asked) -> Result<(), String> {
    asked.options.speaks = match value {
        "HTTP" => Speaks::AsItsPort,
        "GRPC" => Speaks::Http2,
        // What is spoken inside is chosen there.
        "HTTPS" | "GRPCS" => Speaks::Tls,
        _ => return Err("only HTTP, HTTPS, GRPC and GRPCS are spoken".to_owned()),
    };
    Ok(())
}

/// How many times a rate may come at once, as ingress-nginx has it where nothing else is said.
const BURST: u64 = 5;

fn at_once(value: &str, asked: &mut Asked) -> Result<(), String> {
    asked.options.limits.at_once = Some(count(value)?);
    Ok(())
}

fn each_second(value: &str, asked: &mut Asked) -> Result<(), String> {
    bucket(value, 1_000_000, asked)
}

fn each_minute(value: &str, asked: &mut Asked) -> Result<(), String> {
    bucket(value, 60_000_000, asked)
}

fn bucket(value: &str, micros: u64, asked: &mut Asked) -> Result<(), String> {
    let count = u64::from(count(value)?);
    let rule = Rule::Bucket { each_micros: micros / count, burst: count * BURST };
    asked.options.limits.requests.push(rule);
    Ok(())
}

fn count(value: &str) -> Result<u32, String> {
    let count = value.parse().ok().filter(|count| (1..=1_000_000).contains(count));
    count.ok_or_else(|| "expected a number from 1 on".to_owned())
}

fn redirect(value: &str, asked: &mut Asked) -> Result<(), String> {
    asked.redirects = Some(yes(value)?);
    Ok(())
}

fn no_hsts(value: &str, _: &mut Asked) -> Result<(), String> {
    match yes(value)? {
        false => Ok(()),
        true => Err("there is no such header here".to_owned()),
    }
}

fn no_regex(value: &str, _: &mut Asked) -> Result<(), String> {
    match yes(value)? {
        false => Ok(()),
        true => Err("paths are not regular expressions here".to_owned()),
    }
}

fn timeout(value: &str, asked: &mut Asked) -> Result<(), String> {
    let seconds: u64 = value.parse().map_err(|_| "expected a number of seconds".to_owned())?;
    if !(1..=2_147_483).contains(&seconds) {
        return Err("out of range".to_owned());
    }
    asked.options.timeout = Duration::from_secs(seconds);
    asked.options.tunnel_timeout = Duration::from_secs(seconds);
    Ok(())
}

/// The whole path becomes another, as ingress-nginx does where the path holds no groups.
fn rewrite(value: &str, asked: &mut Asked) -> Result<(), String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~!&()*+,;=:@/%".contains(&b);
    if !value.starts_with('/') || !value.bytes().all(plain) {
        return Err("expected a path that begins with / and holds no groups".to_owned());
    }
    asked.options.rewrite = Some(RewriteTarget::Whole(value.to_owned()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, value: &str) -> Result<Asked, String> {
        read(Some(&BTreeMap::from([(format!("{PREFIX}{name}"), value.to_owned())])))
    }

    /// Red when what keeps somebody out is taken for nothing.
    #[test]
    fn what_is_not_carried_out_refuses() {
        for (name, value) in [
            ("auth-url", "http://x"),
            ("auth-type", "basic"),
            ("limit-rps", "0"),
            ("limit-connections", "few"),
            ("limit-burst-multiplier", "9"),
            ("denylist-source-range", "10.0.0.0/8"),
            ("server-snippet", "deny all;"),
            ("configuration-snippet", "deny all;"),
            ("enable-cors", "true"),
            ("canary", "true"),
            ("backend-protocol", "FCGI"),
            ("use-regex", "true"),
            ("rewrite-target", "/$2"),
            ("ssl-redirect", "yes"),
            ("whitelist-source-range", "10.0.0.0/8,nobody"),
            ("whitelist-source-range", ""),
            ("proxy-read-timeout", "0"),
            ("affinity", "ip"),
        ] {
            let error = one(name, value).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
        assert!(
            read(Some(&BTreeMap::from([("cert-manager.io/issuer".into(), "x".into())]))).is_ok()
        );
    }

    #[test]
    fn what_is_known_is_carried_out() {
        let usual = read(None).unwrap();
        assert!(usual.options.no_cookie && usual.redirects.is_none());
        assert_eq!(one("ssl-redirect", "false").unwrap().redirects, Some(false));
        assert!(!one("affinity", "cookie").unwrap().options.no_cookie);
        let list = one("whitelist-source-range", "10.0.0.0/8, 192.0.2.1").unwrap().options.allow;
        let list = list.unwrap();
        assert!(list.holds([192, 0, 2, 1].into()) && !list.holds([192, 0, 2, 2].into()));
        let both =
            [("allowlist-source-range", "192.0.2.1"), ("whitelist-source-range", "0.0.0.0/0")];
        let both = both.map(|(name, value)| (format!("{PREFIX}{name}"), value.to_owned()));
        let list = read(Some(&both.into())).unwrap().options.allow.unwrap();
        assert!(!list.holds([192, 0, 2, 2].into()), "the new name holds");
        let forced = one("force-ssl-redirect", "true").unwrap();
        assert!(forced.forced);
        for other in ["haproxy.router.openshift.io/ip_allowlist", "nginx.org/basic-auth-secret"] {
            let error = read(Some(&[(other.to_owned(), "x".to_owned())].into())).unwrap_err();
            assert!(error.contains(other), "{error}");
        }
        let long = one("proxy-read-timeout", "3600").unwrap().options;
        assert_eq!(long.timeout, Duration::from_secs(3600));
        for (value, speaks) in
            [("HTTP", Speaks::AsItsPort), ("GRPC", Speaks::Http2), ("GRPCS", Speaks::Tls)]
        {
            assert_eq!(one("backend-protocol", value).unwrap().options.speaks, speaks);
        }
        let rule = Rule::Bucket { each_micros: 100_000, burst: 50 };
        assert_eq!(one("limit-rps", "10").unwrap().options.limits.requests, [rule]);
        let rule = Rule::Bucket { each_micros: 6_000_000, burst: 50 };
        assert_eq!(one("limit-rpm", "10").unwrap().options.limits.requests, [rule]);
        assert_eq!(one("limit-connections", "10").unwrap().options.limits.at_once, Some(10));
        assert_eq!(one("proxy-body-size", "0").unwrap().options, usual.options);
    }
}
