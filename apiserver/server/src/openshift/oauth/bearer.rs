//! Tokens of OAuth, as requests carry them: whose each is, as long as it is good.
//!
//! Knows: that a token ends by its time, with its object and with its user. Refuses to know: other tokens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use leme_access::{Identity, scope::SCOPES};
use leme_kinds::Kind;
use leme_oauth::token_name;
use leme_registry::json;
use leme_store::cache::{Cache, Cached};
use serde_json::Value;

use super::authorize::{GROUP, texts};
use super::token::is_over;
use crate::table;

const USERS: &str = "user.openshift.io";
/// So many tokens are remembered that were found good.
const REMEMBERED: usize = 4_096;
/// Groups of whoever has such a token.
const GROUPS: [&str; 2] = ["system:authenticated:oauth", "system:authenticated"];

/// The members of a group, and of which revision of it.
type Members = (u64, Box<[String]>);

/// The groups of users as of a revision.
#[derive(Default)]
struct Groups {
    revision: u64,
    members: HashMap<Box<str>, Members>,
    of: HashMap<String, Vec<String>>,
}

/// A token and its user as they were read.
#[derive(Clone)]
struct Read {
    token: u64,
    user: u64,
    content: Arc<Value>,
    who: Identity,
}

/// Who has which token.
#[derive(Default)]
pub(crate) struct Bearers {
    groups: Mutex<Groups>,
    read: Mutex<HashMap<String, Read>>,
}

/// Whether a write of a kind decides whose a token is.
pub(crate) fn is_seen(group: &str, plural: &str) -> bool {
    matches!((group, plural), (GROUP, "oauthaccesstokens") | (USERS, "users" | "groups"))
}

fn row(group: &str, plural: &str) -> Option<&'static Arc<Kind>> {
    leme_kinds::by_resource(group, "v1", plural)
}

fn get(cache: &Cache, row: &Kind, name: &str) -> Option<Arc<Cached>> {
    cache.get(&row.prefix(None), &row.key("", name))
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bearers {
    /// Whose token this is; nothing if it is none of this kind.
    pub fn identity(&self, cache: &Cache, token: &str) -> Option<Result<Identity, &'static str>> {
        let name = token_name(token)?;
        Some(self.known(cache, name).map(|mut who| {
            let own = self.groups_of(cache, &who.user);
            who.groups = own.into_iter().chain(GROUPS.map(str::to_owned)).collect();
            who
        }))
    }

    fn known(&self, cache: &Cache, name: String) -> Result<Identity, &'static str> {
        const LOOKUP: &str = "token lookup failed";
        let token = row(GROUP, "oauthaccesstokens").and_then(|row| get(cache, row, &name));
        let token = token.ok_or(LOOKUP)?;
        let read =
            locked(&self.read).get(&name).filter(|read| read.token == token.mod_revision).cloned();
        let content = match &read {
            Some(read) => Arc::clone(&read.content),
            None => Arc::new(table::decoded(&token).map_err(|_| LOOKUP)?),
        };
        let now = Timestamp::now().as_second();
        if token.index.deleting || is_over(&content, now) {
            return Err("token is expired");
        }
        if is_unused(&content, now) {
            return Err("token timed out");
        }
        let name_of_user = json::text(&content, &["userName"]);
        let user = row(USERS, "users").and_then(|row| get(cache, row, name_of_user));
        let user = user.ok_or("user not found")?;
        if *user.index.uid != *json::text(&content, &["userUID"]) {
            return Err("user.UID does not match token.userUID");
        }
        if let Some(read) = read.filter(|read| read.user == user.mod_revision) {
            return Ok(read.who);
        }
        let scopes = texts(&content, "scopes");
        // What says nothing of its scopes was not made by an OAuth server, and lets do nothing.
        if scopes.is_empty() {
            return Err("token has no scopes");
        }
        let who = Identity {
            user: name_of_user.to_owned(),
            uid: user.index.uid.to_string(),
            groups: Vec::new(),
            extra: [(SCOPES.to_owned(), scopes)].into(),
        };
        let (token, user) = (token.mod_revision, user.mod_revision);
        let mut all = locked(&self.read);
        if all.len() >= REMEMBERED {
            all.clear();
        }
        all.insert(name, Read { token, user, content, who: who.clone() });
        Ok(who)
    }

    /// The groups that name a user: those of now, for what has changed is read anew.
    fn groups_of(&self, cache: &Cache, user: &str) -> Vec<String> {
        let Some(row) = row(USERS, "groups") else { return Vec::new() };
        let prefix = row.prefix(None);
        let mut groups = locked(&self.groups);
        let changed = cache.changed(&prefix);
        if groups.revision != changed
            && let Some(all) = cache.snapshot(&prefix)
        {
            groups.read(all.iter(), changed);
        }
        groups.of.get(user).cloned().unwrap_or_default()
    }
}

impl Groups {
    fn read<'a>(&mut self, all: impl Iterator<Item = &'a Arc<Cached>>, changed: u64) {
        let mut before = std::mem::take(&mut self.members);
        self.of.clear();
        for group in all {
            let name = group.index.name.clone();
            let known = before.remove(&name).filter(|(of, _)| *of == group.mod_revision);
            // One that cannot be read has no members.
            let read = || table::decoded(group).map(|one| texts(&one, "users")).unwrap_or_default();
            let (_, members) = known.unwrap_or_else(|| (0, read().into()));
            for member in &members {
                self.of.entry(member.clone()).or_default().push(name.to_string());
            }
            self.members.insert(name, (group.mod_revision, members));
        }
        self.revision = changed;
    }
}

/// Whether a token that ends when nobody uses it has ended so.
fn is_unused(token: &Value, now: i64) -> bool {
    let idle = json::int(token, &["inactivityTimeoutSeconds"]).unwrap_or(0);
    let made = json::text(token, &["metadata", "creationTimestamp"]).parse::<Timestamp>();
    idle > 0 && made.map_or(true, |made| made.as_second().saturating_add(idle) < now)
}
