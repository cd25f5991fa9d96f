//! Columns of templates and what is made of them.

use serde_json::Value;

use super::super::{list, shown, text};
use crate::Column;

pub(crate) const TEMPLATE: &[Column] = &[
    shown("Description", |template, _| description(template).into()),
    shown("Parameters", |template, _| parameters(template).into()),
    shown("Objects", |template, _| list(template, "/objects").len().into()),
];

pub(crate) const TEMPLATE_INSTANCE: &[Column] =
    &[shown("Template", |instance, _| text(instance, "/spec/template/metadata/name").into())];

/// Upstream gives two cells, of which the first, the namespace, is shown.
pub(crate) const BROKER_TEMPLATE_INSTANCE: &[Column] =
    &[shown("Template Instance", |instance, _| {
        text(instance, "/spec/templateInstance/namespace").into()
    })];

/// Room for the description.
const WIDTH: usize = 80;

/// The first line, cut to its room.
fn description(template: &Value) -> String {
    let whole = text(template, "/metadata/annotations/description");
    let mut shown = match whole.split_once('\n') {
        Some((first, _)) => format!("{first}..."),
        None => whole.to_owned(),
    };
    if shown.len() > WIDTH {
        shown.truncate(shown.floor_char_boundary(WIDTH - 3));
        shown = format!("{}...", shown.trim());
    }
    shown
}

fn parameters(template: &Value) -> String {
    let all = list(template, "/parameters");
    let blank = || all.iter().filter(|parameter| text(parameter, "/value").is_empty());
    let generated = blank().filter(|parameter| !text(parameter, "/generate").is_empty()).count();
    let total = all.len();
    match (blank().count() - generated, generated) {
        (0, 0) => format!("{total} (all set)"),
        (0, generated) => format!("{total} ({generated} generated)"),
        (empty, _) => format!("{total} ({empty} blank)"),
    }
}
