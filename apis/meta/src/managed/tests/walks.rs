//! Comparisons, merges, sets of objects, removals and misfits.

use super::*;

type Paths = &'static [&'static str];

#[test]
fn comparisons() {
    // Before, after, removed, modified, added; each is looked at in the other direction as well.
    let cases: &[(&str, &str, Paths, Paths, Paths)] = &[
        ("{'numeric':1}", "{'numeric':1}", &[], &[], &[]),
        ("{'numeric':1}", "{'numeric':1.0}", &[], &[], &[]),
        ("{'numeric':1}", "{'numeric':3.14159}", &[], &[".numeric"], &[]),
        ("{'string':'aoeu'}", "{'bool':true}", &[".string"], &[], &[".bool"]),
        ("{'string':'foot'}", "{'string':'foo','bool':true}", &[], &[".string"], &[".bool"]),
        // Null and empty are told apart.
        ("{}", "{'inner':{}}", &[], &[], &[".inner"]),
        ("{}", "{'inner':null}", &[], &[], &[".inner"]),
        ("{'inner':null}", "{'inner':{}}", &[], &[".inner"], &[]),
        ("{'inner':{}}", "{'inner':{}}", &[], &[], &[]),
        ("{}", "{'struct':{}}", &[], &[], &[".struct"]),
        ("{}", "{'struct':null}", &[], &[], &[".struct"]),
        ("{'struct':null}", "{'struct':{}}", &[], &[".struct"], &[]),
        ("{}", "{'atomicList':[]}", &[], &[], &[".atomicList"]),
        ("{}", "{'atomicList':null}", &[], &[], &[".atomicList"]),
        ("{'atomicList':null}", "{'atomicList':[]}", &[], &[".atomicList"], &[]),
        // Maps.
        ("{'inner':{'a':{}}}", "{'inner':{'b':{}}}", &[".inner.a"], &[], &[".inner.b"]),
        ("{'inner':{'a':{'b':{'c':{}}}}}", "{'inner':{'a':{'b':{}}}}", &[".inner.a.b.c"], &[], &[]),
        ("{'atomicMap':{'a':'b'}}", "{'atomicMap':{'a':'c','d':'e'}}", &[], &[".atomicMap"], &[]),
        ("{'color':{'R':1}}", "{'color':{'R':2}}", &[], &[".color"], &[]),
        // Where the schema leaves open what stands there.
        ("{'open':{}}", "{'open':{'b':{}}}", &[], &[], &[".open.b"]),
        ("{'open':null}", "{'open':{'b':{}}}", &[], &[], &[".open.b"]),
        ("{'open':[]}", "{'open':['b']}", &[], &[".open"], &[]),
        ("{'open':null}", "{'open':['b']}", &[], &[".open"], &[]),
        ("{'open':null}", "{'open':'b'}", &[], &[".open"], &[]),
        ("{'open':{'b':{}}}", "{'open':['b']}", &[".open.b"], &[".open"], &[]),
        ("{'open':{'b':{}}}", "{'open':'b'}", &[".open.b"], &[".open"], &[]),
        ("{'open':['b']}", "{'open':'b'}", &[], &[".open"], &[]),
        // Sets.
        ("{'setStr':['a','b']}", "{'setStr':['a','b','c']}", &[], &[], &[".setStr[='c']"]),
        ("{'setStr':['a']}", "{'setStr':['a','b','b']}", &[], &[], &[".setStr[='b']"]),
        (
            "{'setStr':['a','b']}",
            "{'setStr':['a','b','b']}",
            &[".setStr[='b']"],
            &[],
            &[".setStr[='b']"],
        ),
        ("{'setStr':['b','b']}", "{'setStr':['a','b','b']}", &[], &[], &[".setStr[='a']"]),
        (
            "{'setStr':['a','b','b','c','a']}",
            "{'setStr':[]}",
            &[".setStr[='a']", ".setStr[='b']", ".setStr[='c']"],
            &[],
            &[],
        ),
        (
            "{'setBool':[true]}",
            "{'setBool':[false]}",
            &[".setBool[=true]"],
            &[],
            &[".setBool[=false]"],
        ),
        (
            "{'setNumeric':[1,2,2,3.14159,1]}",
            "{'setNumeric':[1,2,3]}",
            &[".setNumeric[=1]", ".setNumeric[=2]", ".setNumeric[=3.14159]"],
            &[],
            &[".setNumeric[=1]", ".setNumeric[=2]", ".setNumeric[=3]"],
        ),
        // Lists by keys.
        (
            "{}",
            "{'list':[{'key':'a','id':1,'value':{'a':'a'}}]}",
            &[],
            &[],
            &[
                ".list",
                ".list[id=1,key='a']",
                ".list[id=1,key='a'].key",
                ".list[id=1,key='a'].id",
                ".list[id=1,key='a'].value",
                ".list[id=1,key='a'].value.a",
            ],
        ),
        (
            "{'list':[{'key':'a','id':1,'value':{'a':'a'}}]}",
            "{'list':[{'key':'a','id':1,'value':{'a':'b'}}]}",
            &[],
            &[".list[id=1,key='a'].value.a"],
            &[],
        ),
        (
            "{'list':[{'key':'a','id':1},{'key':'b','id':1}]}",
            "{'list':[{'key':'a','id':1},{'key':'a','id':2}]}",
            &[".list[id=1,key='b']", ".list[id=1,key='b'].key", ".list[id=1,key='b'].id"],
            &[],
            &[".list[id=2,key='a']", ".list[id=2,key='a'].key", ".list[id=2,key='a'].id"],
        ),
        (
            "{'list':[{'key':'a','id':1,'nv':2},{'key':'a','id':1,'bv':true}]}",
            "{'list':[{'key':'a','id':1}]}",
            &[".list[id=1,key='a']"],
            &[],
            &[".list[id=1,key='a']", ".list[id=1,key='a'].key", ".list[id=1,key='a'].id"],
        ),
        (
            "{'list':[{'key':'a','id':1},{'key':'b','id':1},{'key':'a','id':1,'bv':true}]}",
            "{'list':[{'key':'a','id':1},{'key':'b','id':1},{'key':'a','id':1,'nv':1}]}",
            &[],
            &[".list[id=1,key='a']"],
            &[],
        ),
        (
            "{'list':[{'key':'a','id':1},{'key':'b','id':1},{'key':'a','id':1,'bv':true}]}",
            "{'list':[{'key':'a','id':1},{'key':'b','id':1,'bv':true},{'key':'a','id':1,'bv':true}]}",
            &[],
            &[],
            &[".list[id=1,key='b'].bv"],
        ),
    ];
    let schemas = table();
    let schema = Typed::new(&schemas, "test.Root");
    for (old, new, removed, modified, added) in cases {
        let (old, new) = (j(old), j(new));
        let changes = compare(schema, Some(&old), &new).unwrap();
        let back = compare(schema, Some(&new), &old).unwrap();
        for (found, wanted) in [
            (&changes.removed, removed),
            (&changes.modified, modified),
            (&changes.added, added),
            (&back.removed, added),
            (&back.modified, modified),
            (&back.added, removed),
        ] {
            assert_eq!(paths(found), sorted(wanted), "{old} to {new}");
        }
    }
}

#[test]
fn what_nobody_has_written_yet() {
    let table = Schemas::parse(
        "prefix t t.\ntype t:A\n items! []t:B list=map:name\n metadata t:M ={}\n name! string =\"\"\n one t:B\n open! raw\n type string =\"x\"\ntype t:B\n name! string =\"\"\n sub t:M ={}\ntype t:M\n labels {}string\n",
    )
    .unwrap();
    let schema = Typed::new(&table, "t.A");
    let cases: &[(&str, &[&str])] = &[
        ("{}", &[]),
        ("{'metadata':{},'name':'','items':null}", &[]),
        ("{'metadata':{'labels':{'a':'b'}}}", &[".metadata.labels", ".metadata.labels.a"]),
        ("{'name':'x','type':'x'}", &[".name", ".type"]),
        ("{'one':{'name':'','sub':{}}}", &[".one", ".one.name", ".one.sub"]),
        ("{'items':[{'name':'a'}]}", &[".items[name='a']", ".items[name='a'].name"]),
    ];
    for (new, wanted) in cases {
        let new = j(new);
        let changes = compare(schema, None, &new).unwrap();
        assert!(changes.removed.is_empty());
        assert_eq!(paths(&changes.modified.union(&changes.added)), sorted(wanted), "{new}");
    }
}

#[test]
fn merges() {
    let whole: &[(&str, &str, &str)] = &[
        ("{'open':{}}", "{'open':1}", "{'open':1}"),
        ("{'open':1}", "{'open':{}}", "{'open':{}}"),
        ("{'open':null}", "{'open':{}}", "{'open':{}}"),
        ("{'string':'foo'}", "{'open':true}", "{'open':true,'string':'foo'}"),
        ("{}", "{'inner':{}}", "{'inner':{}}"),
        ("{}", "{'inner':null}", "{'inner':null}"),
        ("{'inner':null}", "{'inner':{}}", "{'inner':{}}"),
        ("{'inner':{}}", "{'inner':null}", "{'inner':null}"),
        ("{'inner':{'a':1}}", "{'inner':null}", "{'inner':{'a':1}}"),
        ("{'struct':{}}", "{'struct':null}", "{'struct':null}"),
        ("{'atomicList':['a','a']}", "{'atomicList':null}", "{'atomicList':null}"),
        ("{'atomicList':['a','b']}", "{'atomicList':[]}", "{'atomicList':[]}"),
        ("{'atomicMap':{'a':'b'}}", "{'atomicMap':{'c':'d'}}", "{'atomicMap':{'c':'d'}}"),
        ("{'map':{'a':'b'}}", "{'map':{'c':'d'}}", "{'map':{'a':'b','c':'d'}}"),
        ("{'numeric':1}", "{'numeric':3.14159}", "{'numeric':3.14159}"),
    ];
    // In one list by value; a letter or digit is an element.
    let sets: &[(&str, &str, &str)] = &[
        ("abc", "ab", "abc"),
        ("ab", "abc", "abc"),
        ("abc", "", "abc"),
        ("", "abc", "abc"),
        ("ab", "ba", "ba"),
        ("abc", "def", "abcdef"),
        ("abc", "cdef", "abcdef"),
        ("abcgf", "cdef", "abcgdef"),
        ("abc", "defxyz", "abcdefxyz"),
        ("cdef", "ace", "acdef"),
        ("abcxyz", "def", "abcxyzdef"),
        ("abcxyz", "defxyz", "abcdefxyz"),
        ("cagf", "cfag", "cfag"),
        ("abcd", "defa", "bcdefa"),
        ("cdefghij", "2h3e4kl", "cdfg2hij3e4kl"),
        ("abcdefghij", "1b2h3e4kl", "a1bcdfg2hij3e4kl"),
        // Elements that occur twice are kept so unless the configuration has them.
        ("abb", "c", "abbc"),
        ("abb", "b", "ab"),
        ("abb", "a", "abb"),
        ("abcdec", "1b2ed", "a1bc2ecd"),
        ("abcdec", "1b2ced", "a1b2ced"),
        ("aabb", "bcd", "aabcd"),
        ("aabb", "", "aabb"),
        ("cagfca", "cfag", "cfag"),
    ];
    let keyed: &[(&str, &str, &str)] = &[
        ("a1", "a2", "a1 a2"),
        ("a1 b1", "a1 a2", "a1 b1 a2"),
        ("b2", "a1 b2 c3", "a1 b2 c3"),
        ("a1 b2 c3", "c3 b2", "a1 c3 b2"),
        ("a1 b2 c3", "c3 a1", "b2 c3 a1"),
    ];
    let schemas = table();
    let schema = Typed::new(&schemas, "test.Root");
    let check = |live: Value, config: Value, wanted: Value| {
        let merged = merge(schema, &live, &config).unwrap();
        assert_eq!(merged, wanted, "{live} with {config}");
    };
    for (live, config, wanted) in whole {
        check(j(live), j(config), j(wanted));
    }
    let set = |text: &str| {
        let items: Vec<String> = text.chars().map(String::from).collect();
        serde_json::json!({ "setStr": items })
    };
    for (live, config, wanted) in sets {
        check(set(live), set(config), set(wanted));
    }
    let list = |text: &str| {
        let item = |word: &str| {
            let (key, id) = word.split_at(1);
            serde_json::json!({"key": key, "id": id.parse::<i64>().unwrap()})
        };
        serde_json::json!({"list": text.split(' ').map(item).collect::<Vec<_>>()})
    };
    for (live, config, wanted) in keyed {
        check(list(live), list(config), list(wanted));
    }
    check(
        j("{'list':[{'key':'a','id':1,'bv':true},{'key':'b','id':2},{'key':'a','id':1,'nv':2}]}"),
        j("{'list':[{'key':'a','id':1,'nv':3},{'key':'c','id':3},{'key':'b','id':2}]}"),
        j("{'list':[{'key':'a','id':1,'nv':3},{'key':'c','id':3},{'key':'b','id':2}]}"),
    );
    for config in ["{'list':[{'nv':1}]}", "{'setStr':['a','a']}"] {
        assert!(merge(schema, &j("{}"), &j(config)).is_ok(), "nothing is there to be merged with");
        let live = j("{'list':[{'key':'a','id':1}],'setStr':['b']}");
        assert!(merge(schema, &live, &j(config)).is_err());
    }
}

#[test]
fn sets_of_objects() {
    let cases: &[(&str, &[&str])] = &[
        ("{}", &[]),
        ("{'bool':false}", &[".bool"]),
        ("{'string':null}", &[".string"]),
        ("{'setStr':[]}", &[]),
        ("{'setStr':['a','b','a']}", &[".setStr[='a']", ".setStr[='b']"]),
        ("{'setNumeric':[3,3.14159]}", &[".setNumeric[=3]", ".setNumeric[=3.14159]"]),
        ("{'color':{}}", &[".color"]),
        ("{'color':null}", &[".color"]),
        ("{'color':{'R':255}}", &[".color"]),
        ("{'args':[]}", &[".args"]),
        ("{'args':null}", &[".args"]),
        ("{'args':[{'key':'a'}]}", &[".args"]),
        ("{'struct':{}}", &[".struct"]),
        ("{'struct':{'name':'a'}}", &[".struct.name"]),
        ("{'inner':{'a':{'b':1}}}", &[".inner.a", ".inner.a.b"]),
        ("{'list':[]}", &[]),
        (
            "{'list':[{'key':'a','id':1,'value':{'a':'a'}}]}",
            &[
                ".list[id=1,key='a']",
                ".list[id=1,key='a'].key",
                ".list[id=1,key='a'].id",
                ".list[id=1,key='a'].value.a",
            ],
        ),
        (
            "{'list':[{'key':'a','id':1,'nv':2},{'key':'a','id':2,'nv':3},{'key':'a','id':2}]}",
            &[
                ".list[id=1,key='a']",
                ".list[id=1,key='a'].key",
                ".list[id=1,key='a'].id",
                ".list[id=1,key='a'].nv",
                ".list[id=2,key='a']",
            ],
        ),
        (
            "{'containerPorts':[{'port':80}]}",
            &[
                ".containerPorts[port=80,protocol='TCP']",
                ".containerPorts[port=80,protocol='TCP'].port",
            ],
        ),
        (
            "{'book':[{'sentences':[{'text':'x'}]}]}",
            &[
                ".book[chapter=1,section='A']",
                ".book[chapter=1,section='A'].sentences[line=3,page=2]",
                ".book[chapter=1,section='A'].sentences[line=3,page=2].text",
            ],
        ),
    ];
    let schemas = table();
    for (object, wanted) in cases {
        let object = j(object);
        let set = fields(Typed::new(&schemas, "test.Root"), &object);
        assert_eq!(paths(&set), sorted(wanted), "{object}");
        let text = set.to_value();
        assert_eq!(FieldSet::from_value(&text).unwrap(), set);
    }
}

#[test]
fn removals() {
    // An object, what is taken out of it as FieldsV1, what is left.
    let lists = "{'listOfLists':[{'name':'a','value':['b','c']},{'name':'d'}]}";
    let cases: &[(&str, &str, &str)] = &[
        ("{'string':'foo'}", "{'f:string':{}}", "null"),
        ("{'string':'foo'}", "{}", "{'string':'foo'}"),
        ("{'string':'foo','bool':true}", "{'f:string':{}}", "{'bool':true}"),
        ("{'setBool':[false]}", "{'f:setBool':{'v:false':{}}}", "{'setBool':null}"),
        ("{'setBool':[false]}", "{'f:setBool':{'v:true':{}}}", "{'setBool':[false]}"),
        ("{'setBool':[true,false]}", "{'f:setBool':{'v:true':{}}}", "{'setBool':[false]}"),
        (
            "{'setNumeric':[1,2,3,4.5]}",
            "{'f:setNumeric':{'v:1':{},'v:4.5':{}}}",
            "{'setNumeric':[2,3]}",
        ),
        ("{'atomicList':['a','a']}", "{'f:atomicList':{}}", "null"),
        ("{'atomicMap':{'a':'c'},'bool':true}", "{'f:atomicMap':{}}", "{'bool':true}"),
        (lists, "{'f:listOfLists':{}}", "null"),
        (
            lists,
            "{'f:listOfLists':{'k:{\"name\":\"d\"}':{}}}",
            "{'listOfLists':[{'name':'a','value':['b','c']}]}",
        ),
        (
            lists,
            "{'f:listOfLists':{'k:{\"name\":\"a\"}':{'f:value':{'v:\"b\"':{}}}}}",
            "{'listOfLists':[{'name':'a','value':['c']},{'name':'d'}]}",
        ),
        (lists, "{'f:listOfLists':{'k:{\"name\":\"x\"}':{}}}", lists),
        (lists, "{'v:\"b\"':{}}", lists),
        (
            "{'mapOfMaps':{'b':{'a':'x','c':'y'},'d':{'e':'z'}}}",
            "{'f:mapOfMaps':{'f:b':{'f:a':{}},'f:d':{}}}",
            "{'mapOfMaps':{'b':{'c':'y'}}}",
        ),
    ];
    let schemas = table();
    for (object, set, wanted) in cases {
        let object = j(object);
        // Single quotes delimit, double ones are inside of keys.
        let set = set.replace('"', "\\\"").replace('\'', "\"");
        let set: Value = serde_json::from_str(&set).unwrap();
        let set = FieldSet::from_value(&set).unwrap();
        let left = without(Typed::new(&schemas, "test.Root"), &object, &set);
        assert_eq!(left, j(wanted), "{object} without {set}");
    }
}

#[test]
fn misfit_words() {
    let cases: &[(&str, &[&str])] = &[
        ("{'string':'a','numeric':1,'bool':true,'setStr':['a'],'open':{'a':[1]}}", &[]),
        ("{'string':null,'list':null,'struct':null}", &[]),
        ("{'nothing':1}", &[".nothing: field not declared in schema"]),
        ("{'struct':{'nothing':1}}", &[".struct.nothing: field not declared in schema"]),
        ("{'string':1}", &[".string: expected string, got &value.valueUnstructured{Value:1}"]),
        ("{'numeric':'1'}", &[".numeric: expected numeric (int or float), got string"]),
        ("{'bool':'x'}", &[".bool: expected boolean, got &{x}"]),
        ("{'struct':'x'}", &[".struct: expected map, got &{x}"]),
        ("{'list':{'a':1}}", &[".list: expected list, got &{map[a:1]}"]),
        ("{'setStr':['a','b','a']}", &[".setStr: duplicate entries for key [='a']"]),
        (
            "{'list':[{'nv':1}]}",
            &[
                ".list: element 0: associative list with keys has an element that omits all key fields ['key' 'id'] (and doesn't have default values for any key fields)",
            ],
        ),
        (
            "{'list':[null]}",
            &[".list: element 0: associative list with keys may not have a null element"],
        ),
        (
            "{'list':[1]}",
            &[".list: element 0: associative list with keys may not have non-map elements"],
        ),
        (
            "{'setStr':[{}]}",
            &[".setStr: element 0: associative list without keys has an element that's a map type"],
        ),
        (
            "{'list':[{'key':'a','nv':'x'}]}",
            &[".list[key='a'].nv: expected numeric (int or float), got string"],
        ),
        (
            "{'containerPorts':[{'port':80},{'port':80,'protocol':'TCP'}]}",
            &[".containerPorts: duplicate entries for key [port=80,protocol='TCP']"],
        ),
    ];
    let schemas = table();
    for (object, wanted) in cases {
        let found = misfits(Typed::new(&schemas, "test.Root"), &j(object));
        let wanted: Vec<String> = wanted
            .iter()
            .map(|text| text.replace("'a'", "\"a\"").replace("'key' 'id'", "\"key\" \"id\""))
            .map(|text| text.replace("'TCP'", "\"TCP\""))
            .collect();
        assert_eq!(found, wanted, "{object}");
    }
}

#[test]
fn a_schema_that_owns_as_a_whole_by_now() {
    let schemas = table();
    let schema = Typed::new(&schemas, "test.Root");
    let old = j(
        "{'f:atomicMap':{'.':{},'f:a':{}},'f:atomicList':{'v:1':{}},'f:color':{'f:R':{}},'f:map':{'f:a':{}}}",
    );
    let set = FieldSet::from_value(&old).unwrap();
    let new = reconciled(schema, &set).unwrap();
    assert_eq!(paths(&new), [".atomicList", ".atomicMap", ".color", ".map.a"]);
    assert!(text::is_stale(schema, &old.to_string()));
    assert_eq!(reconciled(schema, &new), None);
    assert!(!text::is_stale(schema, &new.to_json()));
    assert_eq!(reconciled(Deduced, &set), None);
}
