//! Keys of steps: whoever would do the same to the same finds what was done.
//!
//! Knows: that everything a step depends on is in its key, and nothing else. Refuses to know: where keys are kept.

use leme_host::images::BuiltLayer;
use leme_host::images::reference::digest_of;
use serde_json::{Value, json};

/// The form of keys; another one finds nothing of what was made before.
const FORM: u32 = 1;

/// The key of a step on top of layers.
pub(crate) fn key(layers: &[BuiltLayer], epoch: Option<i64>, what: &Value) -> String {
    let below = layers.last().map(|layer| layer.chain.as_str());
    let text = json!({"form": FORM, "below": below, "epoch": epoch, "step": what}).to_string();
    digest_of(text.as_bytes())
}
