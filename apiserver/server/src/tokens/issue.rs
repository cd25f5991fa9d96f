//! POST of a TokenRequest: a token of a service account, bound to what it names.
//!
//! Knows: how long tokens last, and what they may be bound to. Refuses to know: how they are signed.

use jiff::Timestamp;
use leme_kinds::{Posted, TOKEN_REQUEST};
use leme_meta::{FieldError, Gvk, Gvr, Path, Status, quote, schema};
use leme_registry::json;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Bound, Claims, ISSUER, Named};
use crate::admit;
use crate::answer::Answer;
use crate::api::Api;
use crate::body;
use crate::request::ResourceRequest;
use crate::write::{Input, WriteOptions, options, written};

/// Seconds that a token lasts if nobody says.
const USUAL: i64 = 60 * 60;
const SHORTEST: i64 = 10 * 60;
const LONGEST: i64 = 1 << 32;

impl Api {
    /// POST of a TokenRequest to an account.
    pub(crate) async fn issue_token(
        &self,
        request: &ResourceRequest,
        input: Input,
        options: &WriteOptions,
    ) -> Result<Answer, Status> {
        let bytes = body::to_json(&body::media_type(&input.headers), input.body)?;
        let (mut asked, _) = options::parsed(&bytes)?;
        check(request, &asked)?;
        schema::apply_defaults(leme_kinds::schemas(), TOKEN_REQUEST.schema, &mut asked);
        admit::post(self, request, options.dry_run, &mut asked)?;
        let account = self.stored(&request.key()).await?;
        let account = account.ok_or_else(|| Status::not_found(&request.gvr(), &request.name))?;
        let bound = self.bound(request, &asked, named(&account.value)).await?;
        let life = json::int(&asked, &["spec", "expirationSeconds"]).unwrap_or(USUAL);
        let mut audiences: Vec<String> = json::list(&asked, &["spec", "audiences"])
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        if audiences.is_empty() {
            audiences.push(ISSUER.to_owned());
        }
        let now = Timestamp::now();
        let seconds = now.as_second();
        let claims = Claims {
            aud: audiences.clone(),
            exp: seconds + life,
            iat: seconds,
            iss: ISSUER.to_owned(),
            jti: Uuid::new_v4().to_string(),
            sub: format!("system:serviceaccount:{}:{}", bound.namespace, request.name),
            bound,
            nbf: seconds,
        };
        let ends = Timestamp::from_second(claims.exp).map_err(Status::internal)?;
        let status = json!({
            "token": self.tokens.sign(&claims).map_err(Status::internal)?,
            "expirationTimestamp": leme_meta::time::seconds(ends),
        });
        json::set(json::child(&mut asked, "spec"), "audiences", audiences);
        json::set(json::child(&mut asked, "spec"), "expirationSeconds", life);
        json::set(&mut asked, "status", status);
        json::set(&mut asked, "kind", TOKEN_REQUEST.kind);
        json::set(&mut asked, "apiVersion", TOKEN_REQUEST.api_version());
        let metadata = json::child(&mut asked, "metadata");
        json::set(metadata, "name", request.name.as_str());
        json::set(metadata, "namespace", request.namespace.as_str());
        json::set(metadata, "creationTimestamp", leme_meta::time::seconds(now));
        written(request, input.wanted, 201, asked.into(), &[])
    }

    /// What the token is bound to besides its account; it must be there.
    async fn bound(
        &self,
        request: &ResourceRequest,
        asked: &Value,
        serviceaccount: Named,
    ) -> Result<Bound, Status> {
        let namespace = request.namespace.clone();
        let mut bound = Bound { namespace, node: None, pod: None, secret: None, serviceaccount };
        let Some(reference) = json::at(asked, &["spec", "boundObjectRef"]) else {
            return Ok(bound);
        };
        let text = |field: &str| json::text(reference, &[field]);
        let (plural, space) = match (text("apiVersion"), text("kind")) {
            ("v1", "Pod") => ("pods", &*request.namespace),
            ("v1", "Secret") => ("secrets", &*request.namespace),
            ("v1", "Node") => ("nodes", ""),
            (version, kind) => {
                let (group, version) = leme_meta::gvk::split_api_version(version);
                let kind = match group {
                    "" => format!("/{version}, Kind={kind}"),
                    group => format!("{group}/{version}, Kind={kind}"),
                };
                let why = format!("cannot bind token for serviceaccount to object of type {kind}");
                return Err(Status::bad_request(why));
            }
        };
        let row = leme_kinds::by_resource("", "v1", plural).ok_or_else(Status::no_such_path)?;
        let gvr = Gvr { group: String::new(), version: "v1".into(), resource: plural.into() };
        let found = self.stored(&row.key(space, text("name"))).await?;
        let found = found.ok_or_else(|| Status::not_found(&gvr, text("name")))?.value;
        let own = named(&found);
        if !text("uid").is_empty() && text("uid") != own.uid {
            let why = format!(
                "the UID in the bound object reference ({}) does not match the UID in record. The object might have been deleted and then recreated",
                text("uid")
            );
            return Err(Status::conflict(&gvr, &own.name, &why));
        }
        match plural {
            "pods" => {
                if json::text(&found, &["spec", "serviceAccountName"]) != request.name {
                    let why = format!(
                        "cannot bind token for serviceaccount {} to pod running with different serviceaccount name.",
                        quote(&request.name)
                    );
                    return Err(Status::bad_request(why));
                }
                bound.node = self.node_of(&found).await?;
                bound.pod = Some(own);
            }
            "secrets" => bound.secret = Some(own),
            _ => bound.node = Some(own),
        }
        Ok(bound)
    }

    /// The node that a pod is on, if both are there.
    async fn node_of(&self, pod: &Value) -> Result<Option<Named>, Status> {
        let name = json::text(pod, &["spec", "nodeName"]);
        let row = leme_kinds::by_resource("", "v1", "nodes").filter(|_| !name.is_empty());
        let Some(row) = row else { return Ok(None) };
        let node = self.stored(&row.key("", name)).await?;
        Ok(node.map(|node| named(&node.value)))
    }
}

fn named(object: &Value) -> Named {
    let text = |field: &str| json::text(object, &["metadata", field]).to_owned();
    Named { name: text("name"), uid: text("uid") }
}

/// All that is wrong with a request.
fn check(request: &ResourceRequest, asked: &Value) -> Result<(), Status> {
    let kind = json::text(asked, &["kind"]);
    let version = json::text(asked, &["apiVersion"]);
    if !(kind.is_empty() || kind == TOKEN_REQUEST.kind)
        || !(version.is_empty() || version == TOKEN_REQUEST.api_version())
    {
        let why = format!("no kind {} is registered for version {}", quote(kind), quote(version));
        return Err(Status::bad_request(why));
    }
    let found = schema::check(leme_kinds::schemas(), TOKEN_REQUEST.schema, asked);
    if let Some(wrong) = found.type_errors.first() {
        return Err(Status::bad_request(format!(
            "TokenRequest in version \"v1\" cannot be handled as a TokenRequest: {}",
            wrong.decoded
        )));
    }
    let name = json::text(asked, &["metadata", "name"]);
    if !name.is_empty() && name != request.name {
        let why = "the name of the object does not match the name on the URL";
        return Err(Status::bad_request(format!("{why}: {name} != {}", request.name)));
    }
    let at = Path::new("spec").child("expirationSeconds");
    let seconds = json::int(asked, &["spec", "expirationSeconds"]).unwrap_or(USUAL);
    let wrong = match seconds {
        ..SHORTEST => "may not specify a duration less than 10 minutes",
        seconds if seconds > LONGEST => "may not specify a duration larger than 2^32 seconds",
        _ => return Ok(()),
    };
    let Posted { group, version, kind, .. } = TOKEN_REQUEST;
    let gvk = Gvk { group: group.into(), version: version.into(), kind: kind.into() };
    Err(Status::invalid(&gvk, &request.name, &[FieldError::invalid(&at, seconds, wrong)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Verb;

    #[test]
    fn how_long_a_token_may_last() {
        let row = leme_kinds::by_resource("", "v1", "serviceaccounts").unwrap();
        let request = ResourceRequest::of(Verb::Create, row, "a", "bot");
        let asked = |seconds: i64| {
            let body = json!({ "spec": { "expirationSeconds": seconds, "audiences": [] } });
            check(&request, &body).map_err(|status| status.message)
        };
        assert!(asked(SHORTEST).is_ok() && asked(LONGEST).is_ok());
        let why = "TokenRequest.authentication.k8s.io \"bot\" is invalid: spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes";
        assert_eq!(asked(599), Err(why.to_owned()));
        assert!(asked(LONGEST + 1).unwrap_err().contains("larger than 2^32 seconds"));
    }
}
