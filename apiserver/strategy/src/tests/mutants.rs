//! The hooks of the strategies, each of which can be taken out: `cargo xtask mutate` runs these tests once for each and
//! asks which of them fails.
//!
//! A mutant is `GROUP KIND HOOK`; the environment names the one that these tests shall see. `line` is the kind's line in
//! the table.

use std::sync::LazyLock;

use leme_registry::Strategy;

use crate::TABLE;

/// What the environment asks for: group, kind, hook.
static ASKED: LazyLock<Option<[String; 3]>> = LazyLock::new(|| {
    let asked = std::env::var("LEME_MUTANT").ok().filter(|asked| !asked.is_empty())?;
    let words: Vec<String> = asked.split(' ').map(str::to_owned).collect();
    Some(words.try_into().unwrap_or_else(|words| panic!("not GROUP KIND HOOK: {words:?}")))
});

/// Whether this line of the table shall be missing.
pub(crate) fn is_missing(group: &str, name: &str) -> bool {
    ASKED.as_ref().is_some_and(|asked| asked == &[group_word(group), name, "line"])
}

/// The strategy that the tests of a kind shall see: its own, or one without the hook that the environment names.
pub(crate) fn seen(group: &str, name: &str, own: &'static Strategy) -> &'static Strategy {
    static WITHOUT: LazyLock<Option<Strategy>> = LazyLock::new(|| {
        let [group, name, hook] = ASKED.as_ref()?;
        let own = TABLE.iter().find(|line| group_word(line.0) == group && line.1 == name);
        let (_, _, own) = own.unwrap_or_else(|| panic!("no strategy of {group} {name}"));
        without(own, hook)
    });
    match (ASKED.as_ref(), WITHOUT.as_ref()) {
        (Some([of, kind, _]), Some(without)) if of == group_word(group) && kind == name => without,
        _ => own,
    }
}

/// The core group has no name, and a mutant's words are not empty.
fn group_word(group: &str) -> &str {
    if group.is_empty() { "core" } else { group }
}

macro_rules! hooks {
    ($($hook:ident)*) => {
        /// The strategy with a hook as kinds have it that do not state it.
        fn without(own: &Strategy, hook: &str) -> Option<Strategy> {
            match hook {
                $(stringify!($hook) => Some(Strategy { $hook: Strategy::PLAIN.$hook, ..*own }),)*
                _ => None,
            }
        }

        /// The hooks that a strategy states.
        fn stated(own: &Strategy) -> Vec<&'static str> {
            // Whoever adds a hook to the strategies meets this line.
            let Strategy { $($hook),* } = own;
            let mut stated = Vec::new();
            $(if format!("{:?}", $hook) != format!("{:?}", Strategy::PLAIN.$hook) {
                stated.push(stringify!($hook));
            })*
            stated
        }
    };
}

hooks! {
    name decode default prepare_create prepare_update prepare_status kept_by_status finalize allocate validate
    validate_create validate_update validate_status deny warn deprecated generation create_on_update
    unconditional_update grace held mark_deleting evicted orphan_by_default returns_deleted is_heartbeat scale bind
    approval ephemeral_containers resize switched_off
}

#[test]
#[ignore = "the list that cargo xtask mutate goes by"]
#[allow(clippy::disallowed_macros, reason = "what is printed is the point")]
fn mutants() {
    for (group, name, own) in TABLE {
        for hook in ["line"].into_iter().chain(stated(own)) {
            println!("mutant {} {name} {hook}", group_word(group));
        }
    }
}
