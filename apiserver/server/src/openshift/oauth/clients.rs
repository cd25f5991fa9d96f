//! The clients that every cluster has in which people log in.
//!
//! Knows: their names, and that they send users back to this server or to the user's own machine. Refuses to know: who else
//! asks for tokens.

use leme_meta::Status;
use leme_registry::{Target, json};
use serde_json::{Value, json};

use super::super::{kind, put};
use super::authorize::{GROUP, texts};
use super::secret;
use super::token::BROWSER;
use crate::api::Api;
use crate::request::{ResourceRequest, Verb};
use crate::write::{Change, WriteOptions};

impl Api {
    /// Makes them, and gives those that are there the addresses of this server. Those of others stay where there may be
    /// others.
    pub(crate) async fn keep_clients(&self) -> Result<(), Status> {
        let Some(oauth) = &self.oauth else { return Ok(()) };
        let below = |path: &str| -> Vec<String> {
            oauth.bases.iter().map(|base| format!("{base}{path}")).collect()
        };
        let local = ["http://127.0.0.1/callback", "http://[::1]/callback"].map(str::to_owned);
        let clients = [
            (BROWSER, below("/oauth/token/display"), json!({ "secret": secret()? })),
            (
                "openshift-challenging-client",
                below("/oauth/token/implicit"),
                json!({ "respondWithChallenges": true }),
            ),
            ("openshift-cli-client", local.to_vec(), json!({})),
        ];
        for (name, addresses, more) in clients {
            self.keep_client(name, addresses, more, oauth.shared).await?;
        }
        Ok(())
    }

    async fn keep_client(
        &self,
        name: &str,
        addresses: Vec<String>,
        mut object: Value,
        shared: bool,
    ) -> Result<(), Status> {
        let row = kind(GROUP, "oauthclients")?;
        let options = WriteOptions::plain();
        let request = ResourceRequest::of(Verb::Update, row, "", name);
        let context = self.context(&request, &options);
        let changed = self.change(&request, false, |stored, reservation| {
            let before = texts(&stored.value, "redirectURIs");
            let mut all = if shared { before.clone() } else { Vec::new() };
            all.extend(addresses.iter().filter(|one| !before.contains(one) || !shared).cloned());
            if all == before {
                return Ok(Change::Unchanged);
            }
            let mut new = stored.value.clone();
            json::set(&mut new, "redirectURIs", all);
            put(&context, (Target::Main, options.writer()), new, stored, reservation)
        });
        if changed.await?.is_some() {
            return Ok(());
        }
        object["apiVersion"] = row.api_version().into();
        object["kind"] = (*row.kind).into();
        object["metadata"] = json!({ "name": name });
        object["grantMethod"] = "auto".into();
        object["redirectURIs"] = addresses.into();
        let create = ResourceRequest::of(Verb::Create, row, "", "");
        match self.create_object(&create, options.writer(), object, &options).await {
            Err(status) if status.reason != "AlreadyExists" => Err(status),
            _ => Ok(()),
        }
    }
}
