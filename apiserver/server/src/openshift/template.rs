//! POST of a template to process: what comes of it is answered, and nothing is kept.
//!
//! Knows: what it is answered with. Refuses to know: how templates are processed.

use leme_kinds::Kind;
use leme_meta::Status;
use leme_registry::json;
use serde_json::Value;

use crate::answer::Answer;
use crate::api::Api;
use crate::request::ResourceRequest;
use crate::write::{Input, WriteOptions, options, written};

/// A Template with its parameters filled in.
pub(super) fn processed(kind: &Kind, template: &Value) -> Result<Value, Status> {
    let mut random = |below: usize| {
        let (high, _) = uuid::Uuid::new_v4().as_u64_pair();
        usize::try_from(high % (below.max(1) as u64)).unwrap_or(0)
    };
    leme_strategy::process_template(template, &mut random).map_err(|errors| {
        Status::invalid(&kind.gvk(), json::text(template, &["metadata", "name"]), &errors)
    })
}

impl Api {
    /// A Template with its parameters filled in; nothing is kept.
    pub(crate) fn process_template(
        &self,
        request: &ResourceRequest,
        input: Input,
        options: &WriteOptions,
    ) -> Result<Answer, Status> {
        let Input { headers, body, wanted, .. } = input;
        let decoded = options::question(&request.kind, &headers, body, options)?;
        let made = processed(&request.kind, &decoded.value)?;
        written(request, wanted, 201, made.into(), &decoded.warnings)
    }
}
