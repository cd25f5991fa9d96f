//! `/livez`, `/readyz` and `/healthz`, each as a whole and check by check.
//!
//! Knows: what is checked, and how upstream prints it. Refuses to know: objects.
//!
//! `livez` asks whether the process serves: a store that is away is no reason to start it again. The others also ask
//! whether the store can be read, which has the name that clients know whichever it is.

use leme_access::Identity;
use leme_meta::Status;
use leme_meta::quote;
use leme_store::cache::Unreadable;

use crate::answer::{self, Answer, text};
use crate::api::Api;
use crate::query::Query;

/// The check of the store.
const STORE: &str = "etcd";

/// The checks of a path, and what is only checked when it is asked for by its name.
const PATHS: [(&str, &[&str], &[&str]); 3] = [
    ("livez", &["ping", "log"], &[STORE]),
    ("readyz", &["ping", "log", STORE, "informer-sync", "shutdown"], &[]),
    ("healthz", &["ping", "log", STORE], &[]),
];

/// Every path, that of each check among them.
pub(crate) fn paths() -> impl Iterator<Item = String> {
    PATHS.iter().flat_map(|(path, checks, more)| {
        let below = checks.iter().chain(*more).map(move |check| format!("/{path}/{check}"));
        std::iter::once(format!("/{path}")).chain(below)
    })
}

/// Answers a request for the health of the server, by the segments of its path.
pub(crate) async fn answer(
    api: &Api,
    identity: &Identity,
    segments: &[&str],
    query: &Query,
) -> Result<Answer, Status> {
    let which = segments.first().copied().unwrap_or("");
    let known = PATHS.iter().find(|(path, ..)| *path == which);
    let (path, checks, more) = *known.ok_or_else(Status::no_such_path)?;
    // Names of checks may have slashes.
    match segments[1..].join("/").as_str() {
        "" => Ok(all(api, identity, path, checks, query).await),
        one if checks.contains(&one) || more.contains(&one) => {
            let found = check(api, one).await;
            Ok(alone(identity, found))
        }
        _ => Ok(answer::page_not_found()),
    }
}

/// What is wrong, if something is.
async fn check(api: &Api, name: &str) -> Result<(), String> {
    match name {
        STORE => api.store.revision().await.map(drop).map_err(|error| error.to_string()),
        "informer-sync" => api.cache.fresh().await.map(drop).map_err(|error| error.to_string()),
        "shutdown" if api.lifetime.is_stopping() => Err("process is shutting down".to_owned()),
        _ => Ok(()),
    }
}

fn alone(identity: &Identity, found: Result<(), String>) -> Answer {
    match found {
        Ok(()) => text(200, "ok".to_owned()),
        Err(_) if crate::admit::is_stranger(identity) => {
            text(500, "internal server error: reason withheld\n".to_owned())
        }
        Err(why) => text(500, format!("internal server error: {why}\n")),
    }
}

async fn all(
    api: &Api,
    identity: &Identity,
    path: &'static str,
    checks: &[&str],
    query: &Query,
) -> Answer {
    let counted = api.metrics.health(path);
    let mut excluded: Vec<&str> = query.all("exclude").filter(|name| !name.is_empty()).collect();
    let (mut lines, mut healthy) = (String::new(), true);
    for name in checks {
        if excluded.contains(name) {
            excluded.retain(|other| other != name);
            lines.push_str(&format!("[+]{name} excluded: ok\n"));
            continue;
        }
        match check(api, name).await {
            Ok(()) => lines.push_str(&format!("[+]{name} ok\n")),
            // Strangers read this: the reason goes to the log.
            Err(why) => {
                tracing::warn!(check = name, %why, "health check failed");
                lines.push_str(&format!("[-]{name} failed: reason withheld\n"));
                healthy = false;
            }
        }
    }
    if !excluded.is_empty() {
        lines.push_str(&not_excluded(&mut excluded));
    }
    if path == "readyz" {
        lines.push_str(&unreadable(api, identity));
    }
    let answer = match (healthy, query.has("verbose")) {
        (true, false) => text(200, "ok".to_owned()),
        (true, true) => text(200, format!("{lines}{path} check passed\n")),
        (false, _) => text(500, format!("{lines}{path} check failed\n")),
    };
    counted.answer(&answer);
    answer
}

fn not_excluded(names: &mut Vec<&str>) -> String {
    names.sort_unstable();
    names.dedup();
    let quoted: Vec<String> = names.iter().map(quote).collect();
    format!("warn: some health checks cannot be excluded: no matches for {}\n", quoted.join(","))
}

/// Objects that cannot be read, a line each. They make nobody unready: everything else is served. Strangers learn how
/// many, not which.
fn unreadable(api: &Api, identity: &Identity) -> String {
    let all = api.cache.unreadable();
    if all.is_empty() {
        return "[+]objects ok\n".to_owned();
    }
    if crate::admit::is_stranger(identity) {
        return format!("[!]objects {} unreadable: names withheld\n", all.len());
    }
    let line = |one: &Unreadable| {
        format!("[!]objects unreadable: {} (revision {}): {}\n", one.key, one.revision, one.why)
    };
    all.iter().map(line).collect()
}
