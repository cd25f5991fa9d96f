//! Histories: what several managers apply and update one after another, and who owns what in the end.

mod keyed;
mod nested;

use serde_json::json;

use super::*;
use crate::status::Status;

/// What one manager does.
enum Step {
    /// Applies a configuration.
    Apply(&'static str, &'static str),
    /// Applies one that is refused with these conflicts: manager and path.
    Refused(&'static str, &'static str, &'static [(&'static str, &'static str)]),
    /// Applies one by force.
    Force(&'static str, &'static str),
    /// Replaces the object.
    Update(&'static str, &'static str),
}

use Step::{Apply, Force, Refused, Update};

type Owned = (&'static str, &'static [&'static str]);

/// A history: its name, its steps, the object in the end, the fields of each manager.
type History = (&'static str, &'static [Step], &'static str, &'static [Owned]);

fn named(object: &str) -> Value {
    let mut object = j(object);
    let map = crate::object::map_mut(&mut object);
    map.insert("apiVersion".to_owned(), "v1".into());
    map.insert("kind".to_owned(), "Root".into());
    object
}

fn conflicts(status: &Status) -> Vec<(String, String)> {
    assert_eq!((status.code, status.reason), (409, "Conflict"), "{}", status.message);
    let causes = &status.details.as_ref().unwrap().causes;
    let pair = |cause: &crate::status::Cause| {
        assert_eq!(cause.reason, "FieldManagerConflict");
        (cause.message.clone(), cause.field.replace('"', "'"))
    };
    causes.iter().map(pair).collect()
}

fn run(history: &History) {
    let (name, steps, object, owned) = history;
    let schemas = table();
    let mut live: Option<Value> = None;
    for step in *steps {
        let (manager, config, force) = match step {
            Apply(manager, config) | Refused(manager, config, _) => (manager, config, false),
            Force(manager, config) => (manager, config, true),
            Update(manager, new) => {
                let mut new = named(new);
                update(&request(&schemas, manager), live.as_ref(), &mut new);
                live = Some(new);
                continue;
            }
        };
        let config = named(config);
        match (apply(&request(&schemas, manager), live.as_ref(), &config, force), step) {
            (Ok(new), Apply(..) | Force(..)) => live = Some(new),
            (Err(status), Refused(_, _, wanted)) => {
                let found: Vec<(String, String)> = conflicts(&status);
                let wanted: Vec<(String, String)> = wanted
                    .iter()
                    .map(|(manager, path)| {
                        let by = if manager.contains("update") || manager.contains("controller") {
                            " using v1"
                        } else {
                            ""
                        };
                        (format!("conflict with {manager:?}{by}"), (*path).to_owned())
                    })
                    .collect();
                assert_eq!(found, wanted, "{name}");
            }
            (Ok(_), _) => panic!("{name}: no conflict"),
            (Err(status), _) => panic!("{name}: {status}"),
        }
    }
    let mut live = live.unwrap();
    let list = take_list(&mut live).unwrap_or_default();
    if *object != "any" {
        let mut wanted = named(object);
        for document in [&mut live, &mut wanted] {
            let map = crate::object::map_mut(document);
            map.remove("metadata");
        }
        assert_eq!(live, wanted, "{name}");
    }
    let mut found: Vec<(String, Vec<String>)> = Entries::stored(list)
        .unwrap()
        .0
        .iter()
        .map(|entry| (entry.manager.name.clone(), paths(&entry.set().unwrap())))
        .collect();
    let mut wanted: Vec<(String, Vec<String>)> =
        owned.iter().map(|(manager, paths)| ((*manager).to_owned(), sorted(paths))).collect();
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted, "{name}");
}

const LEAVES: &[History] = &[
    (
        "apply twice",
        &[
            Apply("default", "{'numeric':1,'string':'string'}"),
            Apply("default", "{'numeric':2,'string':'string','bool':false}"),
        ],
        "{'numeric':2,'string':'string','bool':false}",
        &[("default", &[".numeric", ".string", ".bool"])],
    ),
    (
        "apply, update, apply without a conflict",
        &[
            Apply("default", "{'numeric':1,'string':'string'}"),
            Update("controller", "{'numeric':1,'string':'string','bool':true}"),
            Apply("default", "{'numeric':2,'string':'string'}"),
        ],
        "{'numeric':2,'string':'string','bool':true}",
        &[("default", &[".numeric", ".string"]), ("controller", &[".bool"])],
    ),
    (
        "apply, update, apply with a conflict",
        &[
            Apply("default", "{'numeric':1,'string':'string'}"),
            Update("controller", "{'numeric':1,'string':'controller string','bool':true}"),
            Refused(
                "default",
                "{'numeric':2,'string':'user string'}",
                &[("controller", ".string")],
            ),
            Force("default", "{'numeric':2,'string':'user string'}"),
        ],
        "{'numeric':2,'string':'user string','bool':true}",
        &[("default", &[".numeric", ".string"]), ("controller", &[".bool"])],
    ),
    (
        "what is not listed any more goes",
        &[
            Apply("default", "{'numeric':1,'string':'string','bool':false}"),
            Apply("default", "{'string':'new string'}"),
        ],
        "{'string':'new string'}",
        &[("default", &[".string"])],
    ),
    (
        "what another took over stays",
        &[
            Apply("default", "{'numeric':2}"),
            Update("controller", "{'numeric':1}"),
            Apply("default", "{}"),
        ],
        "{'numeric':1}",
        &[("controller", &[".numeric"])],
    ),
    (
        "an update takes all",
        &[Apply("default", "{'string':'string'}"), Update("controller", "{'string':'new string'}")],
        "{'string':'new string'}",
        &[("controller", &[".string"])],
    ),
    (
        "an empty configuration leaves nothing",
        &[Apply("default", "{'string':'string'}"), Apply("default", "{}")],
        "{}",
        &[],
    ),
    (
        "removed by an update",
        &[
            Apply("default", "{'numeric':1,'string':'string'}"),
            Update("controller", "{'numeric':1}"),
        ],
        "{'numeric':1}",
        &[("default", &[".numeric"])],
    ),
];

const SETS: &[History] = &[
    (
        "no overlap",
        &[
            Apply("default", "{'setStr':['a','c']}"),
            Update("controller", "{'setStr':['a','b','c','d']}"),
            Apply("default", "{'setStr':['a','aprime','c','cprime']}"),
        ],
        "{'setStr':['a','b','aprime','c','d','cprime']}",
        &[
            (
                "default",
                &[".setStr[='a']", ".setStr[='aprime']", ".setStr[='c']", ".setStr[='cprime']"],
            ),
            ("controller", &[".setStr[='b']", ".setStr[='d']"]),
        ],
    ),
    (
        "overlap is shared",
        &[
            Apply("default", "{'setStr':['a','c']}"),
            Update("controller", "{'setStr':['a','b','c','d']}"),
            Apply("default", "{'setStr':['a','b','c']}"),
        ],
        "{'setStr':['a','b','c','d']}",
        &[
            ("default", &[".setStr[='a']", ".setStr[='b']", ".setStr[='c']"]),
            ("controller", &[".setStr[='b']", ".setStr[='d']"]),
        ],
    ),
    (
        "order is the configuration's",
        &[
            Apply("default", "{'setStr':['a','b','c','d']}"),
            Update("controller", "{'setStr':['a','d','c','b']}"),
            Apply("default", "{'setStr':['a','b','c','d']}"),
        ],
        "{'setStr':['a','b','c','d']}",
        &[("default", &[".setStr[='a']", ".setStr[='b']", ".setStr[='c']", ".setStr[='d']"])],
    ),
    (
        "what is not listed any more goes",
        &[
            Apply("default", "{'setStr':['a','b','c','d']}"),
            Apply("default", "{'setStr':['a','c','e']}"),
        ],
        "{'setStr':['a','c','e']}",
        &[("default", &[".setStr[='a']", ".setStr[='c']", ".setStr[='e']"])],
    ),
    (
        "one that occurs twice is one",
        &[Update("updater", "{'set':[1,1,3,4]}")],
        "any",
        &[("updater", &[".set", ".set[=1]", ".set[=3]", ".set[=4]"])],
    ),
    (
        "a second one",
        &[Update("updater-one", "{'set':[1,3,4]}"), Update("updater-two", "{'set':[1,1,3,4]}")],
        "any",
        &[("updater-one", &[".set", ".set[=3]", ".set[=4]"]), ("updater-two", &[".set[=1]"])],
    ),
    (
        "a second one less",
        &[Update("updater-one", "{'set':[1,1,3,4]}"), Update("updater-two", "{'set':[1,3,4]}")],
        "any",
        &[("updater-one", &[".set", ".set[=3]", ".set[=4]"]), ("updater-two", &[".set[=1]"])],
    ),
    (
        "one that occurs twice is a conflict",
        &[
            Update("updater", "{'set':[1,1,3,4]}"),
            Refused("applier", "{'set':[1]}", &[("updater", ".set[=1]")]),
            Force("applier", "{'set':[1]}"),
        ],
        "{'set':[1,3,4]}",
        &[("updater", &[".set", ".set[=3]", ".set[=4]"]), ("applier", &[".set[=1]"])],
    ),
    (
        "one that occurs twice is left alone",
        &[Update("updater", "{'set':[1,1,3,4]}"), Apply("applier", "{'set':[5]}")],
        "{'set':[1,1,3,4,5]}",
        &[("updater", &[".set", ".set[=1]", ".set[=3]", ".set[=4]"]), ("applier", &[".set[=5]"])],
    ),
];

#[test]
fn histories() {
    for history in [LEAVES, SETS, keyed::KEYED, nested::NESTED].into_iter().flatten() {
        run(history);
    }
}

#[test]
fn one_conflict_in_words() {
    let schemas = table();
    let live = json!({"apiVersion": "v1", "kind": "Root", "string": "a", "set": [1]});
    let mut created = live.clone();
    let client = "kubectl-client-side-apply";
    update(&request(&schemas, client), None, &mut created);
    let config = json!({"apiVersion": "v1", "kind": "Root", "string": "b"});
    let status = apply(&request(&schemas, "other"), Some(&created), &config, false).unwrap_err();
    let wanted = "Apply failed with 1 conflict: conflict with \"kubectl-client-side-apply\" using v1: .string";
    assert_eq!(status.message, wanted);
    assert_eq!(
        status.to_json()["details"],
        json!({"causes": [{
            "reason": "FieldManagerConflict",
            "message": "conflict with \"kubectl-client-side-apply\" using v1",
            "field": ".string",
        }]})
    );
}

#[test]
fn several_conflicts_in_words() {
    let schemas = table();
    let of = |object: &str| named(object);
    let mut live = of("{'string':'a','numeric':1,'bool':true}");
    update(&Request { subresource: "status", ..request(&schemas, "b") }, None, &mut live);
    let live = apply(&request(&schemas, "a"), Some(&live), &of("{'bool':true}"), false).unwrap();
    let config = of("{'string':'b','numeric':2,'bool':false}");
    let status = apply(&request(&schemas, "c"), Some(&live), &config, false).unwrap_err();
    assert_eq!(
        status.message,
        "Apply failed with 4 conflicts: conflicts with \"a\":\n- .bool\nconflicts with \"b\" with subresource \"status\" using v1:\n- .bool\n- .numeric\n- .string"
    );
}
