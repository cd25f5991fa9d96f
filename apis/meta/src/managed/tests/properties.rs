//! What holds for any object.

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Any object that fits the table, small enough to meet others.
fn object() -> impl Strategy<Value = Value> {
    let word = || "[a-c]{1}";
    let number = || 0..3i64;
    let set = || prop::collection::btree_set(word(), 0..3);
    let named = || {
        prop::collection::btree_map(
            word(),
            (prop::option::of(number()), prop::option::of(set())),
            0..3,
        )
    };
    let ports = prop::collection::btree_map((number(), prop::bool::ANY), word(), 0..3);
    (
        prop::option::of(number()),
        prop::option::of(word()),
        set(),
        named(),
        ports,
        prop::collection::btree_map(word(), word(), 0..3),
        prop::option::of((word(), prop::option::of(word()))),
        prop::collection::vec(word(), 0..3),
    )
        .prop_map(|(number, text, set, named, ports, map, spec, atomic)| {
            let mut object = json!({"apiVersion": "v1", "kind": "Root", "setStr": set, "map": map});
            if let Some(number) = number {
                object["numeric"] = number.into();
            }
            if let Some(text) = text {
                object["string"] = text.into();
            }
            if let Some((name, value)) = spec {
                object["spec"] = json!({"name": name, "value": value});
            }
            let items = |(name, (_, value)): (&String, &(Option<i64>, Option<_>))| {
                json!({"name": name, "value": value})
            };
            object["listOfLists"] = named.iter().map(items).collect();
            let items =
                |(name, (value, _)): (&String, &(Option<i64>, _))| json!({"name": name, "value": value});
            object["named"] = named.iter().map(items).collect();
            object["containerPorts"] = ports
                .iter()
                .map(|((port, tcp), name)| match tcp {
                    true => json!({"port": port, "name": name}),
                    false => json!({"port": port, "name": name, "protocol": "UDP"}),
                })
                .collect();
            object["atomicList"] = json!(atomic);
            drop_nulls(&mut object);
            object
        })
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

fn drop_empty(value: &mut Value) {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    };
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(drop_empty);
            map.retain(|_, value| !empty(value));
        }
        Value::Array(items) => items.iter_mut().for_each(drop_empty),
        _ => {}
    }
}

fn bare(object: &Value) -> Value {
    let mut object = object.clone();
    take_list(&mut object);
    if let Some(map) = object.as_object_mut() {
        map.remove("metadata");
    }
    object
}

/// Any text that FieldsV1 may have for a step, and some that it may not.
fn step_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "f:[a-c<\"]{0,2}",
        "v:[0-9]{1,2}",
        "v:\"[a-c]\"",
        "i:[0-9]",
        "k:\\{\"[ab]\":[0-9]\\}",
        Just(".".to_owned()),
        "[a-z:.{}\"]{0,4}",
    ]
}

fn any_fields() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![9 => Just(json!({})), 1 => Just(json!(null)), 1 => Just(json!(1))];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop::collection::vec((step_text(), inner), 0..3)
            .prop_map(|pairs| Value::Object(pairs.into_iter().collect()))
    })
}

/// Sets that were read from their own text.
fn canonical(fields: &Value) -> Option<Value> {
    FieldSet::from_value(fields).ok().map(|set| set.to_value())
}

proptest! {
    #[test]
    fn applying_twice_changes_nothing(live in object(), config in object()) {
        let schemas = table();
        let (mut live, mut config) = (live, config);
        // What is listed as empty is owned even where it is not empty.
        drop_empty(&mut config);
        update(&request(&schemas, "updater"), None, &mut live);
        let once = apply(&request(&schemas, "applier"), Some(&live), &config, true).unwrap();
        let later = Request {
            now: "2026-02-02T00:00:00Z".parse().ok(), ..request(&schemas, "applier")
        };
        let twice = apply(&later, Some(&once), &config, false).unwrap();
        prop_assert_eq!(&once, &twice);
        // What is applied is there.
        let schema = Typed::new(&schemas, "test.Root");
        let (set, there) = (fields(schema, &config), bare(&once));
        let all = fields(schema, &there);
        let mut less = set.difference(&all);
        forget_nobodys(&mut less);
        prop_assert!(less.leaves().is_empty());
    }

    #[test]
    fn taking_back_all_leaves_what_was_there(live in object(), config in object()) {
        let schemas = table();
        let mut live = live;
        update(&request(&schemas, "updater"), None, &mut live);
        let Ok(once) = apply(&request(&schemas, "applier"), Some(&live), &config, false) else {
            return Ok(());
        };
        let nothing = json!({"apiVersion": "v1", "kind": "Root"});
        let back = apply(&request(&schemas, "applier"), Some(&once), &nothing, false).unwrap();
        let schema = Typed::new(&schemas, "test.Root");
        // The order of lists may have become another, and what was empty is null or not there.
        let (mut before, mut after) = (bare(&live), bare(&back));
        drop_empty(&mut before);
        drop_empty(&mut after);
        let changes = compare(schema, Some(&before), &after).unwrap();
        prop_assert!(changes.is_empty(), "{before} {after}");
    }

    #[test]
    fn no_field_is_two_updaters(one in object(), other in object(), third in object()) {
        let schemas = table();
        let mut live = one;
        update(&request(&schemas, "one"), None, &mut live);
        for (manager, new) in [("other", other), ("one", third)] {
            let mut new = new;
            update(&request(&schemas, manager), Some(&live), &mut new);
            live = new;
        }
        let entries = Entries::stored(list_of(&live).cloned().unwrap_or_default()).unwrap();
        let sets: Vec<FieldSet> = entries.0.iter().map(|entry| entry.set().unwrap()).collect();
        for (index, set) in sets.iter().enumerate() {
            for other in sets.iter().skip(index + 1) {
                prop_assert!(set.intersection(other).is_empty());
            }
        }
        // And each field is somebody's.
        let object = bare(&live);
        let all = fields(Typed::new(&schemas, "test.Root"), &object);
        let owned = sets.iter().fold(FieldSet::default(), |all, set| all.union(set));
        let mut less = all.difference(&owned);
        forget_nobodys(&mut less);
        prop_assert!(less.is_empty());
    }

    #[test]
    fn an_update_that_changes_nothing_leaves_the_list(live in object()) {
        let schemas = table();
        let mut live = live;
        update(&request(&schemas, "one"), None, &mut live);
        let mut new = live.clone();
        update(&request(&schemas, "other"), Some(&live), &mut new);
        prop_assert_eq!(&new, &live);
        take_list(&mut new);
        update(&request(&schemas, "other"), Some(&live), &mut new);
        prop_assert_eq!(&new, &live);
    }

    #[test]
    fn fields_go_in_and_out(fields in any_fields()) {
        let Some(text) = canonical(&fields) else { return Ok(()) };
        let set = FieldSet::from_value(&text).unwrap();
        prop_assert_eq!(&set.to_value(), &text);
        let json: Value = serde_json::from_str(&set.to_json()).unwrap();
        prop_assert_eq!(&json, &text);
    }

    #[test]
    fn text_is_read_as_its_document_is(fields in any_fields(), pretty: bool) {
        let text = if pretty { format!("{fields:#}") } else { fields.to_string() };
        prop_assert_eq!(FieldSet::parse(&text).ok(), FieldSet::from_value(&fields).ok());
        let mut shown = json!({"metadata": {"name": "a\n", "managedFields": [{
            "manager": "m", "fieldsV1": fields, "time": null,
        }]}, "spec": {"managedFields": [{"fieldsV1": {"f:a": {}}}]}});
        let mut kept = read(shown.to_string().as_bytes()).unwrap();
        let entry = kept["metadata"]["managedFields"][0].take();
        prop_assert!(entry["fieldsV1"].is_string());
        kept["metadata"]["managedFields"][0] = entry;
        show(&mut kept);
        show(&mut shown);
        prop_assert_eq!(kept, shown);
    }

    #[test]
    fn what_is_no_object_is_read_as_it_is(document in crate::patch::tests::document()) {
        for document in [json!({"metadata": {"managedFields": document}}), json!({"metadata": document}), document] {
            prop_assert_eq!(read(document.to_string().as_bytes()).unwrap(), document);
        }
    }

    #[test]
    fn sets_are_sets(one in any_fields(), other in any_fields()) {
        let (Some(one), Some(other)) = (canonical(&one), canonical(&other)) else { return Ok(()) };
        let (a, b) = (FieldSet::from_value(&one).unwrap(), FieldSet::from_value(&other).unwrap());
        let (both, either) = (a.intersection(&b), a.union(&b));
        prop_assert_eq!(&either, &b.union(&a));
        prop_assert_eq!(&both, &b.intersection(&a));
        prop_assert_eq!(a.len() + b.len(), both.len() + either.len());
        prop_assert_eq!(&a.difference(&b).union(&both), &a);
        prop_assert!(a.difference(&b).intersection(&b).is_empty());
        let one = a.to_json();
        prop_assert_eq!(text::touches(&one, &b), !both.is_empty());
        prop_assert_eq!(text::lacks(&one, &b), !b.difference(&a).is_empty());
        for path in either.paths() {
            prop_assert_eq!(a.has(&path) || b.has(&path), either.has(&path));
        }
    }

    #[test]
    fn nothing_panics(
        live in crate::patch::tests::document(),
        config in crate::patch::tests::document(),
        fields in any_fields(),
    ) {
        let schemas = Schemas::parse(
            "prefix t test.\ntype t:Root\n a []t:Root list=map:b\n b string =\"x\"\n c {}t:Root\n metadata raw\n",
        ).unwrap();
        let list = json!([{
            "manager": "m", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
            "fieldsV1": fields,
        }, {
            "manager": "n", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1",
            "fieldsV1": fields,
        }]);
        let mut live = live;
        let mut config = config;
        for document in [&mut live, &mut config] {
            set_list(document, Some(list.clone()));
        }
        let typed = request(&schemas, "m");
        let open = Request {
            schema: Deduced, manager: "m", api_version: "v1", kind: "Root", subresource: "",
            now: typed.now, reset: &[&["a"]], only: &[],
        };
        for old in [Some(&live), None] {
            let mut new = config.clone();
            update(&typed, old, &mut new);
            let mut new = config.clone();
            update(&open, old, &mut new);
        }
        take_list(&mut config);
        config["apiVersion"] = "v1".into();
        config["kind"] = "Root".into();
        for force in [true, false] {
            let _ = apply(&typed, Some(&live), &config, force);
            let _ = apply(&open, Some(&live), &config, force);
            let _ = apply(&open, None, &config, force);
        }
        let mut new = config.clone();
        settle(&live, &mut new);
    }
}
