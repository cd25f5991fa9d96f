//! temporary
use crate::shim::Identity;
use http::Method;
use leme_meta::Status;
use serde_json::Value;
use crate::api::Api;
use crate::request::ResourceRequest;
pub(crate) fn authorize(identity: &Identity, _r: &ResourceRequest) -> Result<(), Status> { if identity.is_authenticated() { Ok(()) } else { Err(Status::unauthorized()) } }
pub(crate) fn authorize_path(identity: &Identity, _m: &Method, _p: &str) -> Result<(), Status> { if identity.is_authenticated() { Ok(()) } else { Err(Status::unauthorized()) } }
pub(crate) async fn create(_api: &Api, _r: &ResourceRequest, _b: &Value) -> Result<(), Status> { Ok(()) }
