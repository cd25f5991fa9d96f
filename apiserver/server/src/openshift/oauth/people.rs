//! Whose user a login is: its identity's, or one that takes its name and has no other identity.
//!
//! Knows: the method `claim` of upstream. Refuses to know: how a login was proved.

use leme_meta::Status;
use leme_meta::quote;
use leme_registry::{Target, json};
use serde_json::{Value, json};

use super::super::{kind, put};
use super::authorize::texts;
use super::login::Person;
use crate::api::Api;
use crate::request::{ResourceRequest, Verb};
use crate::write::{Change, WriteOptions};

const GROUP: &str = "user.openshift.io";
/// Others may log in at the same moment.
const TRIES: usize = 4;

fn person(user: &Value) -> Person {
    let of = |field: &str| json::text(user, &["metadata", field]).to_owned();
    (of("name"), of("uid"))
}

impl Api {
    /// The user of a login at a provider; made if there is none.
    pub(super) async fn user_for(&self, provider: &str, login: &str) -> Result<Person, Status> {
        let identity = format!("{provider}:{login}");
        let mut tries = 1..=TRIES;
        loop {
            let found = match self.known(kind(GROUP, "identities")?, "", &identity)? {
                Some(known) => return self.user_of(&identity, &known),
                None => self.new_identity(provider, login, &identity).await,
            };
            match found {
                Err(status) if status.code == 409 && tries.next().is_some() => {
                    self.catch_up(None).await?;
                }
                other => return other,
            }
        }
    }

    /// The user whom an identity names, if they name each other.
    fn user_of(&self, name: &str, identity: &Value) -> Result<Person, Status> {
        let gvr = leme_meta::Gvr {
            resource: "useridentitymapping".to_owned(),
            ..kind(GROUP, "useridentitymappings")?.gvr()
        };
        let missing = || Status::not_found(&gvr, name);
        let of = json::text(identity, &["user", "name"]);
        let user = match of {
            "" => None,
            of => self.known(kind(GROUP, "users")?, "", of)?,
        };
        let user = user.filter(|user| {
            json::text(identity, &["user", "uid"]) == json::text(user, &["metadata", "uid"])
                && texts(user, "identities").iter().any(|one| one == name)
        });
        user.as_ref().map(person).ok_or_else(missing)
    }

    /// Makes an identity of a user who has none yet.
    async fn new_identity(
        &self,
        provider: &str,
        login: &str,
        identity: &str,
    ) -> Result<Person, Status> {
        let (name, uid) = self.claimed_user(login, identity).await?;
        let row = kind(GROUP, "identities")?;
        let object = json!({
            "apiVersion": row.api_version(), "kind": &*row.kind, "metadata": { "name": identity },
            "providerName": provider, "providerUserName": login,
            "user": { "name": name, "uid": uid },
        });
        let options = WriteOptions::plain();
        let create = ResourceRequest::of(Verb::Create, row, "", "");
        self.create_object(&create, options.writer(), object, &options).await?;
        Ok((name, uid))
    }

    /// The user of a name, if they have this identity or take it as their first; made if there is none.
    async fn claimed_user(&self, name: &str, identity: &str) -> Result<Person, Status> {
        let row = kind(GROUP, "users")?;
        let options = WriteOptions::plain();
        let request = ResourceRequest::of(Verb::Update, row, "", name);
        let context = self.context(&request, &options);
        let changed = self.change(&request, false, |stored, reservation| {
            let own = texts(&stored.value, "identities");
            if own.iter().any(|one| one == identity) {
                return Ok(Change::Unchanged);
            }
            if !own.is_empty() {
                return Err(Status::bad_request(format!(
                    "user {} cannot be claimed by identity {} because it is already mapped to [{}]",
                    quote(name),
                    quote(identity),
                    own.join(" ")
                )));
            }
            let mut new = stored.value.clone();
            json::set(&mut new, "identities", vec![identity]);
            put(&context, (Target::Main, options.writer()), new, stored, reservation)
        });
        if let Some(done) = changed.await? {
            return Ok(person(&done.object().value));
        }
        let object = json!({
            "apiVersion": row.api_version(), "kind": &*row.kind, "metadata": { "name": name },
            "identities": [identity],
        });
        let create = ResourceRequest::of(Verb::Create, row, "", "");
        let (made, _) = self.create_object(&create, options.writer(), object, &options).await?;
        Ok(person(&made.value))
    }
}
