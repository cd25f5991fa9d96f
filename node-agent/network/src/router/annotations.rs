//! What a Route's annotations ask of the router. Pure: one table of every annotation that OpenShift's router reads, each either
//! carried out, without effect on what is served here, or refused. One that is in neither row of the table is refused too, so
//! that a restriction nobody here has heard of is not taken for none.

use super::allow::AllowList;
use super::limits::{Limits, Rule};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long an endpoint may take to begin its answer, unless the Route says otherwise.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long nothing may happen in a tunnel, unless the Route says otherwise.
const TUNNEL_TIMEOUT: Duration = Duration::from_secs(3600);
/// The longest timeout that is taken at its word: 2^31 - 1 ms.
const LONGEST: Duration = Duration::from_millis(2_147_483_647);

/// How the next endpoint is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Balance {
    #[default]
    RoundRobin,
    Random,
    /// By the client's address.
    Source,
    /// The one with the fewest requests under way.
    LeastConn,
}

/// On which requests a browser sends a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SameSite {
    Lax,
    Strict,
    None,
}

/// What is told to the application in `Forwarded` and `X-Forwarded-*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Forwarded {
    /// Ours after what the client said.
    #[default]
    Append,
    /// Ours only.
    Replace,
    /// Ours where the client said nothing.
    IfNone,
    /// What the client said.
    Never,
}

/// What becomes of a path on its way to the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RewriteTarget {
    /// This in place of the Route's path, with what follows that.
    Prefix(String),
    /// This, whatever was asked for.
    Whole(String),
}

/// What is spoken to an application, where its port does not say so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Speaks {
    #[default]
    AsItsPort,
    /// HTTP/2 without TLS.
    Http2,
    /// TLS, whoever certifies it.
    Tls,
}

/// What a Route asks for in its annotations.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Options {
    /// How long an endpoint may take to begin its answer.
    pub(super) timeout: Duration,
    /// How long nothing may happen in a tunnel.
    pub(super) tunnel_timeout: Duration,
    /// Who may use the Route; none lets everybody.
    pub(super) allow: Option<AllowList>,
    /// What the path of the Route is replaced with.
    pub(super) rewrite: Option<RewriteTarget>,
    /// How endpoints are chosen, if that is said.
    pub(super) balance: Option<Balance>,
    /// What clients are told of how long to come by TLS alone.
    pub(super) hsts: Option<String>,
    /// To whom browsers send the cookie that keeps a client with its endpoint.
    pub(super) same_site: Option<SameSite>,
    pub(super) forwarded: Forwarded,
    /// Whether clients are not kept with their endpoint.
    pub(super) no_cookie: bool,
    /// The name of the cookie that does so, unless it is the Route's own.
    pub(super) cookie_name: Option<String>,
    pub(super) speaks: Speaks,
    /// What each client may have.
    pub(super) limits: Limits,
    /// Whether rates and connections are limited at all.
    pub(super) limited: bool,
    /// Requests and tunnels that an endpoint has at once; more wait.
    pub(super) endpoint_limit: Option<usize>,
    /// Values that could not be read and do not matter for who gets what.
    pub(super) ignored: Vec<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            timeout: TIMEOUT,
            tunnel_timeout: TUNNEL_TIMEOUT,
            allow: None,
            rewrite: None,
            balance: None,
            hsts: None,
            same_site: None,
            forwarded: Forwarded::default(),
            no_cookie: false,
            cookie_name: None,
            speaks: Speaks::default(),
            limits: Limits::default(),
            limited: false,
            endpoint_limit: None,
            ignored: Vec::new(),
        }
    }
}

type Read = fn(&str, &mut Options) -> Result<(), String>;

/// What is done with an annotation.
enum Handling {
    /// Carried out; a value that cannot be read refuses the Route.
    Done(Read),
    /// Carried out; a value that cannot be read counts as absent, as in OpenShift, and is mentioned.
    Tuning(Read),
    /// Changes nothing that this router does: for the reason given.
    Idle(#[allow(dead_code, reason = "for the reader")] &'static str),
}

use Handling::{Done, Idle, Tuning};

const TABLE: &[(&str, Handling)] = &[
    ("haproxy.router.openshift.io/balance", Tuning(balance)),
    ("haproxy.router.openshift.io/disable_cookies", Done(disable_cookies)),
    (
        "haproxy.router.openshift.io/h1-adjust-case",
        Idle("the router has no list of names to adjust"),
    ),
    ("haproxy.router.openshift.io/hsts_header", Tuning(hsts)),
    // The old name first: where both are given, the new one holds.
    ("haproxy.router.openshift.io/ip_whitelist", Done(allow)),
    ("haproxy.router.openshift.io/ip_allowlist", Done(allow)),
    ("haproxy.router.openshift.io/pod-concurrent-connections", Done(endpoint_limit)),
    // First the one without which the others say nothing.
    ("haproxy.router.openshift.io/rate-limit-connections", Done(limited)),
    ("haproxy.router.openshift.io/rate-limit-connections.concurrent-tcp", Done(at_once)),
    ("haproxy.router.openshift.io/rate-limit-connections.rate-http", Done(request_rate)),
    ("haproxy.router.openshift.io/rate-limit-connections.rate-tcp", Done(connection_rate)),
    ("haproxy.router.openshift.io/rewrite-target", Done(rewrite)),
    ("haproxy.router.openshift.io/set-forwarded-headers", Done(forwarded)),
    ("haproxy.router.openshift.io/timeout", Tuning(timeout)),
    ("haproxy.router.openshift.io/timeout-tunnel", Tuning(tunnel_timeout)),
    ("router.openshift.io/cookie-same-site", Tuning(same_site)),
    ("router.openshift.io/cookie_name", Tuning(cookie_name)),
    (
        "router.openshift.io/haproxy.health.check.interval",
        Idle("readiness comes from the endpoints"),
    ),
    ("router.openshift.io/pool-size", Idle("nothing is reloaded, so nothing is kept in reserve")),
];

/// Annotations that are addressed to a router.
const PREFIXES: [&str; 2] = ["haproxy.router.openshift.io/", "router.openshift.io/"];

/// Reads the annotations of a Route; the error names the one that this router does not carry out.
pub(super) fn read(annotations: &BTreeMap<String, String>) -> Result<Options, String> {
    let ours = |name: &&String| PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    let known = |name: &&String| TABLE.iter().any(|(known, _)| known == name);
    if let Some(name) = annotations.keys().find(|name| ours(name) && !known(name)) {
        return Err(format!("annotation {name}: not known to this router"));
    }
    let mut options = Options::default();
    for (name, handling) in TABLE {
        let Some(value) = annotations.get(*name) else { continue };
        match handling {
            Done(read) => {
                read(value, &mut options).map_err(|why| format!("annotation {name}: {why}"))?;
            }
            Tuning(read) => {
                if let Err(why) = read(value, &mut options) {
                    options.ignored.push(format!("annotation {name} is ignored: {why}"));
                }
            }
            Idle(_) => {}
        }
    }
    Ok(options)
}

fn not_read(value: &str, wanted: &str) -> String {
    let shown: String = value.chars().take(64).collect();
    format!("{shown:?} is not {wanted}")
}

fn balance(value: &str, options: &mut Options) -> Result<(), String> {
    options.balance = Some(match value {
        "roundrobin" => Balance::RoundRobin,
        "random" => Balance::Random,
        "source" => Balance::Source,
        "leastconn" => Balance::LeastConn,
        _ => return Err(not_read(value, "roundrobin, random, source or leastconn")),
    });
    Ok(())
}

/// `max-age=SECONDS`, then perhaps `includeSubDomains` and `preload`, in this order.
fn hsts(value: &str, options: &mut Options) -> Result<(), String> {
    let mut parts = value.split(';').map(|part| part.trim().to_ascii_lowercase());
    let first = parts.next().unwrap_or_default();
    let seconds = first.strip_prefix("max-age=").filter(|digits| !digits.is_empty());
    let is_number = seconds.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    let rest: Vec<String> = parts.filter(|part| !part.is_empty()).collect();
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    let known = matches!(
        rest[..],
        [] | ["includesubdomains"] | ["preload"] | ["includesubdomains", "preload"]
    );
    if !is_number || !known {
        return Err(not_read(value, "max-age=SECONDS;includeSubDomains;preload"));
    }
    options.hsts = Some(value.trim().to_owned());
    Ok(())
}

fn same_site(value: &str, options: &mut Options) -> Result<(), String> {
    options.same_site = Some(match value {
        "Lax" => SameSite::Lax,
        "Strict" => SameSite::Strict,
        "None" => SameSite::None,
        _ => return Err(not_read(value, "Lax, Strict or None")),
    });
    Ok(())
}

fn disable_cookies(value: &str, options: &mut Options) -> Result<(), String> {
    options.no_cookie = is_true(value);
    Ok(())
}

fn allow(value: &str, options: &mut Options) -> Result<(), String> {
    // An empty list is no list, as in OpenShift.
    if !value.trim().is_empty() {
        options.allow = Some(AllowList::parse(value)?);
    }
    Ok(())
}

fn endpoint_limit(value: &str, options: &mut Options) -> Result<(), String> {
    let most = usize::try_from(number(value)?).unwrap_or(usize::MAX);
    // HAProxy takes none for no limit.
    options.endpoint_limit = (most > 0).then_some(most);
    Ok(())
}

fn limited(value: &str, options: &mut Options) -> Result<(), String> {
    options.limited = is_true(value);
    Ok(())
}

/// HAProxy counts the request that asks, and refuses at the number itself.
fn at_once(value: &str, options: &mut Options) -> Result<(), String> {
    if options.limited {
        options.limits.at_once = Some(number(value)?.saturating_sub(1));
    }
    Ok(())
}

fn request_rate(value: &str, options: &mut Options) -> Result<(), String> {
    if options.limited {
        let count = number(value)?;
        options.limits.requests.push(Rule::Window { count, millis: 10_000 });
    }
    Ok(())
}

fn connection_rate(value: &str, options: &mut Options) -> Result<(), String> {
    if options.limited {
        let count = number(value)?;
        options.limits.connections = Some(Rule::Window { count, millis: 3_000 });
    }
    Ok(())
}

fn number(value: &str) -> Result<u32, String> {
    let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    value.parse().ok().filter(|_| digits).ok_or_else(|| not_read(value, "a number"))
}

fn rewrite(value: &str, options: &mut Options) -> Result<(), String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&()*+,;=:@/%".contains(&b);
    if !value.starts_with('/') || !value.bytes().all(plain) {
        return Err(not_read(value, "a path that begins with / and needs no escapes"));
    }
    options.rewrite = Some(RewriteTarget::Prefix(value.to_owned()));
    Ok(())
}

fn forwarded(value: &str, options: &mut Options) -> Result<(), String> {
    options.forwarded = match value {
        "append" => Forwarded::Append,
        "replace" => Forwarded::Replace,
        "if-none" => Forwarded::IfNone,
        "never" => Forwarded::Never,
        _ => return Err(not_read(value, "append, replace, if-none or never")),
    };
    Ok(())
}

fn timeout(value: &str, options: &mut Options) -> Result<(), String> {
    options.timeout = duration(value).ok_or_else(|| not_read(value, "a time"))?;
    Ok(())
}

fn tunnel_timeout(value: &str, options: &mut Options) -> Result<(), String> {
    options.tunnel_timeout = duration(value).ok_or_else(|| not_read(value, "a time"))?;
    Ok(())
}

/// The name of the cookie that keeps a client with its endpoint.
pub(super) fn cookie_name(value: &str, options: &mut Options) -> Result<(), String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if value.is_empty() || value.len() > 256 || !value.bytes().all(plain) {
        return Err(not_read(value, "a cookie's name"));
    }
    options.cookie_name = Some(value.to_owned());
    Ok(())
}

/// What OpenShift's router takes for yes.
fn is_true(value: &str) -> bool {
    matches!(value, "1" | "t" | "T" | "true" | "True" | "TRUE")
}

/// `30s`, `5000ms`, `2m`; a bare number is milliseconds.
fn duration(text: &str) -> Option<Duration> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let count: u64 = digits.parse().ok().filter(|count| *count > 0)?;
    let micros = match unit {
        "us" => 1,
        "" | "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        _ => return None,
    };
    Some(Duration::from_micros(count.saturating_mul(micros)).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, value: &str) -> Result<Options, String> {
        read(&BTreeMap::from([(name.to_owned(), value.to_owned())]))
    }

    /// Every annotation that the configuration template of OpenShift's router reads, with a value that asks for something, and
    /// what becomes of it. Red when a row of the table is taken out, or a refusal is made idle.
    #[test]
    fn every_annotation_is_done_or_refused() {
        let asked = [
            ("haproxy.router.openshift.io/balance", "source", "changes"),
            ("haproxy.router.openshift.io/disable_cookies", "true", "changes"),
            ("haproxy.router.openshift.io/h1-adjust-case", "true", "no difference"),
            ("haproxy.router.openshift.io/hsts_header", "max-age=1", "changes"),
            ("haproxy.router.openshift.io/ip_allowlist", "192.0.2.1", "changes"),
            ("haproxy.router.openshift.io/ip_whitelist", "192.0.2.1", "changes"),
            ("haproxy.router.openshift.io/pod-concurrent-connections", "5", "changes"),
            ("haproxy.router.openshift.io/rate-limit-connections", "true", "changes"),
            (
                "haproxy.router.openshift.io/rate-limit-connections.concurrent-tcp",
                "5",
                "no difference",
            ),
            ("haproxy.router.openshift.io/rate-limit-connections.rate-http", "5", "no difference"),
            ("haproxy.router.openshift.io/rate-limit-connections.rate-tcp", "5", "no difference"),
            ("haproxy.router.openshift.io/rewrite-target", "/", "changes"),
            ("haproxy.router.openshift.io/set-forwarded-headers", "never", "changes"),
            ("haproxy.router.openshift.io/timeout", "5s", "changes"),
            ("haproxy.router.openshift.io/timeout-tunnel", "5s", "changes"),
            ("router.openshift.io/cookie-same-site", "Lax", "changes"),
            ("router.openshift.io/cookie_name", "c", "changes"),
            ("router.openshift.io/haproxy.health.check.interval", "9s", "no difference"),
            ("router.openshift.io/pool-size", "9", "no difference"),
            ("haproxy.router.openshift.io/from-the-future", "1", "refused"),
            ("example.org/not-for-us", "1", "no difference"),
        ];
        for (name, value, expected) in asked {
            let became = match one(name, value) {
                Ok(options) if options == Options::default() => "no difference",
                Ok(_) => "changes",
                Err(error) => {
                    assert!(error.contains(name), "{error}");
                    "refused"
                }
            };
            assert_eq!(became, expected, "{name}");
        }
        assert_eq!(asked.len(), TABLE.len() + 2);
    }

    #[test]
    fn unreadable_restrictions_refuse_and_unreadable_tuning_is_mentioned() {
        for (name, value) in [
            ("haproxy.router.openshift.io/ip_allowlist", "192.0.2.1 nonsense"),
            ("haproxy.router.openshift.io/set-forwarded-headers", "Replace"),
            ("haproxy.router.openshift.io/rewrite-target", "no-slash"),
            ("haproxy.router.openshift.io/rewrite-target", "/a'b"),
            ("haproxy.router.openshift.io/rewrite-target", "/a?b"),
            ("haproxy.router.openshift.io/pod-concurrent-connections", "many"),
            ("haproxy.router.openshift.io/pod-concurrent-connections", "+5"),
        ] {
            assert!(one(name, value).is_err(), "{name} {value}");
        }
        for (name, value) in [
            ("haproxy.router.openshift.io/timeout", "1.5s"),
            ("haproxy.router.openshift.io/balance", "best"),
            ("router.openshift.io/cookie_name", "a b"),
            ("router.openshift.io/cookie-same-site", "lax"),
            ("haproxy.router.openshift.io/hsts_header", "max-age=x"),
            ("haproxy.router.openshift.io/hsts_header", "max-age=1;preload;includeSubDomains"),
            ("haproxy.router.openshift.io/hsts_header", "includeSubDomains"),
        ] {
            let ignored = one(name, value).unwrap().ignored;
            assert!(ignored.len() == 1 && ignored[0].contains(name), "{ignored:?}");
        }
        assert_eq!(
            one("haproxy.router.openshift.io/ip_allowlist", "  ").unwrap(),
            Options::default()
        );
        assert_eq!(
            one("haproxy.router.openshift.io/rate-limit-connections", "false").unwrap(),
            Options::default()
        );
    }

    /// Red when a limit is not read, or one that cannot be read is none.
    #[test]
    fn limits_act_where_they_are_switched_on() {
        const MAIN: &str = "haproxy.router.openshift.io/rate-limit-connections";
        let all = |main: &str, value: &str| {
            let parts = [".concurrent-tcp", ".rate-tcp", ".rate-http"];
            let parts = parts.map(|part| (format!("{MAIN}{part}"), value.to_owned()));
            read(&parts.into_iter().chain([(MAIN.to_owned(), main.to_owned())]).collect())
        };
        let limits = all("true", "5").unwrap().limits;
        assert_eq!(limits.at_once, Some(4));
        assert_eq!(limits.requests, [Rule::Window { count: 5, millis: 10_000 }]);
        assert_eq!(limits.connections, Some(Rule::Window { count: 5, millis: 3_000 }));
        assert!(all("false", "5").unwrap().limits.are_none());
        assert!(all("true", "five").is_err() && all("no", "five").is_ok());
    }

    #[test]
    fn the_new_name_of_the_list_wins() {
        let both = BTreeMap::from([
            ("haproxy.router.openshift.io/ip_allowlist".to_owned(), "192.0.2.1".to_owned()),
            ("haproxy.router.openshift.io/ip_whitelist".to_owned(), "192.0.2.2".to_owned()),
        ]);
        let list = read(&both).unwrap().allow.unwrap();
        assert!(list.holds([192, 0, 2, 1].into()) && !list.holds([192, 0, 2, 2].into()));
    }

    #[test]
    fn durations() {
        for (text, expected) in [
            ("30s", Some(Duration::from_secs(30))),
            ("5000", Some(Duration::from_secs(5))),
            ("1h", Some(Duration::from_secs(3600))),
            ("99999999999999999999s", None),
            ("9999999999999d", Some(LONGEST)),
            ("0s", None),
            ("-1s", None),
            ("1.5s", None),
            ("", None),
        ] {
            assert_eq!(duration(text), expected, "{text}");
        }
    }
}
