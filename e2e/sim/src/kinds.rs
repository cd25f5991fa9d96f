//! The kinds of the simulated API: the program's own, and those that controllers define.

use std::sync::{Arc, LazyLock};

use leme_kinds::{Kind, builtin, custom};
use leme_meta::resource::Resource;

/// What controllers define is served from the start: nothing in a simulation waits for that.
static DEFINED: LazyLock<Vec<Arc<Kind>>> = LazyLock::new(|| {
    let gateways = leme_plan::gateway::definitions().into_iter().map(|one| one.0);
    let definitions = leme_plan::snapshot::definitions().into_iter().chain(gateways);
    definitions.filter_map(|one| custom::kept_kind(&one)).map(Arc::new).collect()
});

/// All kinds of which objects are kept.
pub fn kept() -> impl Iterator<Item = &'static Kind> {
    let own = builtin().filter(|kind| kind.is_kept());
    own.chain(DEFINED.iter()).map(|kind| &**kind)
}

/// The kind of that name.
pub(crate) fn by_kind(group: &str, version: &str, kind: &str) -> Option<&'static Kind> {
    let defined = DEFINED
        .iter()
        .find(|one| (&*one.group, &*one.version, &*one.kind) == (group, version, kind));
    leme_kinds::by_kind(group, version, kind).or(defined).map(|kind| &**kind)
}

/// The kind that a word of a script means.
pub(crate) fn by_word(word: &str) -> Option<&'static Kind> {
    let defined = DEFINED
        .iter()
        .find(|one| *one.plural == *word || one.short_names.iter().any(|short| **short == *word));
    leme_kinds::by_word(word).or(defined).map(|kind| &**kind)
}

/// What discovery tells of those that are defined.
pub(crate) fn defined() -> Vec<Resource> {
    DEFINED.iter().map(|kind| leme_controllers::resource(kind)).collect()
}
