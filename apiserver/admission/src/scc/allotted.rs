//! What of users, groups and labels a namespace was allotted, and constraints that are filled in with it.
//!
//! Knows: the annotations, how blocks of numbers are written and which there are. Refuses to know: which are given away.

use leme_meta::quote;
use leme_registry::json;
use serde_json::{Value, json};

/// The users of a namespace. Where it stands constraints count.
pub(crate) const USERS: &str = "openshift.io/sa.scc.uid-range";
/// Its groups; where there are none, those of the same numbers as the users.
pub(crate) const GROUPS: &str = "openshift.io/sa.scc.supplemental-groups";
/// Its label of SELinux.
pub(crate) const LABEL: &str = "openshift.io/sa.scc.mcs";

/// All users that are given away, and how many at a time.
pub const RANGE: &str = "1000000000-1999999999/10000";
const FIRST: i64 = 1_000_000_000;
const SIZE: i64 = 10_000;
/// So many blocks there are.
pub const BLOCKS: usize = 100_000;
/// So many labels each namespace has for itself, of which it is given the first.
const LABELS: i64 = 5;

/// The annotations of a namespace that has a block.
pub fn annotations(block: usize) -> [(&'static str, String); 3] {
    let block = i64::try_from(block).unwrap_or(0);
    let users = format!("{}/{SIZE}", FIRST + block * SIZE);
    [(USERS, users.clone()), (GROUPS, users), (LABEL, label(block * LABELS))]
}

/// The label at a place: its two categories are the pair that comes there if all pairs are put in order.
fn label(mut place: i64) -> String {
    let pairs = |of: i64| of * (of - 1) / 2;
    let high = (1..1024).rev().find(|high| pairs(*high) <= place).unwrap_or(1);
    place -= pairs(high);
    format!("s0:c{high},c{place}")
}

/// The block that a namespace has.
pub fn block_of(namespace: &Value) -> Option<usize> {
    let text = json::text(namespace, &["metadata", "annotations", USERS]);
    let (first, last) = block(text).ok()?;
    let is_one = last - first + 1 == SIZE && first >= FIRST && (first - FIRST) % SIZE == 0;
    usize::try_from((first - FIRST) / SIZE).ok().filter(|block| is_one && *block < BLOCKS)
}

/// Whether a namespace is a project's by what it says: who asked for it.
pub fn was_asked_for(namespace: &Value) -> bool {
    json::at(namespace, &["metadata", "annotations", "openshift.io/requester"]).is_some()
}

/// Whether constraints count in a namespace: it was allotted its users.
pub fn is_constrained(namespace: &Value) -> bool {
    json::at(namespace, &["metadata", "annotations", USERS]).is_some()
}

/// The first and the last number of a block: `FIRST/COUNT` or `FIRST-LAST`.
fn block(text: &str) -> Result<(i64, i64), String> {
    let number = |text: &str| text.trim().parse::<u32>().map(i64::from);
    let numbers = |separator| {
        let (first, second) = text.split_once(separator)?;
        Some((number(first).ok()?, number(second).ok()?))
    };
    match (numbers('/'), numbers('-')) {
        (Some((first, count)), _) if count > 0 => Ok((first, first + count - 1)),
        (_, Some((first, last))) => Ok((first, last)),
        _ => Err(format!("{} is no block of numbers", quote(text))),
    }
}

/// Constraints in a namespace: what they leave open is what the namespace was allotted.
///
/// # Errors
/// Why the namespace cannot say.
pub(crate) fn filled(constraints: &Value, namespace: &Value) -> Result<Value, String> {
    let annotation = |name: &str| {
        json::at(namespace, &["metadata", "annotations", name]).and_then(Value::as_str)
    };
    let of = |field: &str| json::text(constraints, &[field, "type"]);
    let open = |what: &str| {
        let name = |object| json::text(object, &["metadata", "name"]);
        let (namespace, name) = (name(namespace), name(constraints));
        format!(
            "unable to find pre-allocated {what} annotation for namespace {namespace} while trying to configure SCC {name}"
        )
    };
    let mut new = constraints.clone();
    let user = json::child(&mut new, "runAsUser");
    let no_range = user.get("uidRangeMin").is_none() && user.get("uidRangeMax").is_none();
    if of("runAsUser") == "MustRunAsRange" && no_range {
        let text = annotation(USERS).unwrap_or("");
        let (first, last) = block(text).map_err(|why| format!("{}: {why}", open("uid")))?;
        json::set(user, "uidRangeMin", first);
        json::set(user, "uidRangeMax", last);
    }
    if of("seLinuxContext") == "MustRunAs" {
        let options = json::child(json::child(&mut new, "seLinuxContext"), "seLinuxOptions");
        if json::text(options, &["level"]).is_empty() {
            let level = annotation(LABEL).filter(|level| !level.is_empty());
            let why = || format!("{}: unable to find annotation {LABEL}", open("mcs"));
            json::set(options, "level", level.ok_or_else(why)?);
        }
    }
    let groups = || {
        let text = annotation(GROUPS).or_else(|| annotation(USERS)).unwrap_or("");
        let blocks = text.split(',').map(block).collect::<Result<Vec<_>, _>>();
        blocks.map_err(|why| format!("{}: {why}", open("group")))
    };
    for (field, is_one) in [("fsGroup", true), ("supplementalGroups", false)] {
        if of(field) == "MustRunAs" && json::list(&new, &[field, "ranges"]).is_empty() {
            let blocks = groups()?;
            let ranges: Vec<Value> = match is_one {
                true => blocks[..1]
                    .iter()
                    .map(|(first, _)| json!({ "min": first, "max": first }))
                    .collect(),
                false => blocks
                    .iter()
                    .map(|(first, last)| json!({ "min": first, "max": last }))
                    .collect(),
            };
            json::set(json::child(&mut new, field), "ranges", ranges);
        }
    }
    Ok(new)
}
