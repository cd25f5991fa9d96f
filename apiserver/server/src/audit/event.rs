//! One audit event as it stands in the log.
//!
//! Knows: upstream's field names and their order. Refuses to know: when it is written.

use std::collections::BTreeMap;

use leme_access::Identity;
use serde::Serialize;
use serde_json::Value;

/// An event.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event<'a> {
    pub kind: &'static str,
    pub api_version: &'static str,
    pub level: &'static str,
    #[serde(rename = "auditID")]
    pub id: &'a str,
    pub stage: &'static str,
    #[serde(rename = "requestURI")]
    pub uri: &'a str,
    pub verb: &'a str,
    pub user: User<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impersonated_user: Option<User<'a>>,
    #[serde(rename = "sourceIPs", skip_serializing_if = "<[String]>::is_empty")]
    pub sources: &'a [String],
    #[serde(skip_serializing_if = "str::is_empty")]
    pub user_agent: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_ref: Option<&'a ObjectRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_status: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_object: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_object: Option<&'a Value>,
    pub request_received_timestamp: &'a str,
    pub stage_timestamp: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: &'a BTreeMap<&'static str, String>,
}

/// Who somebody is.
#[derive(Serialize)]
pub(super) struct User<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    username: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    uid: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    groups: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extra: &'a BTreeMap<String, Vec<String>>,
}

impl<'a> From<&'a Identity> for User<'a> {
    fn from(who: &'a Identity) -> User<'a> {
        User { username: &who.user, uid: &who.uid, groups: &who.groups, extra: &who.extra }
    }
}

/// What a request is about.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ObjectRef {
    pub resource: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_group: String,
    pub api_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subresource: String,
}
