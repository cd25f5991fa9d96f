//! Histories of lists whose items have keys.

use super::*;

const NAMED_B: &[&str] =
    &[".named", ".named[name='b']", ".named[name='b'].name", ".named[name='b'].value1"];

pub(super) const KEYED: &[History] = &[
    (
        "elements that occur twice",
        &[Update(
            "updater",
            "{'named':[{'name':'a','value1':1},{'name':'a','value1':2},{'name':'b','value1':3}]}",
        )],
        "any",
        &[(
            "updater",
            &[
                ".named",
                ".named[name='a']",
                ".named[name='b']",
                ".named[name='b'].name",
                ".named[name='b'].value1",
            ],
        )],
    ),
    (
        "a change of elements that occur twice",
        &[
            Update(
                "updater-one",
                "{'named':[{'name':'a','value1':1},{'name':'a','value1':2},{'name':'b','value1':3}]}",
            ),
            Update(
                "updater-two",
                "{'named':[{'name':'a','value1':1},{'name':'a','value1':3},{'name':'b','value1':3}]}",
            ),
        ],
        "any",
        &[("updater-one", NAMED_B), ("updater-two", &[".named[name='a']"])],
    ),
    (
        "an element that comes to occur twice",
        &[
            Update("updater-one", "{'named':[{'name':'a','value1':1},{'name':'b','value1':3}]}"),
            Update(
                "updater-two",
                "{'named':[{'name':'a','value1':1},{'name':'a','value2':3},{'name':'b','value1':3}]}",
            ),
        ],
        "any",
        &[("updater-one", NAMED_B), ("updater-two", &[".named[name='a']"])],
    ),
    (
        "taking elements that occur twice",
        &[
            Update(
                "updater",
                "{'named':[{'name':'a','value1':1},{'name':'a','value1':2},{'name':'b','value1':3}]}",
            ),
            Refused(
                "applier",
                "{'named':[{'name':'a','value1':3}]}",
                &[("updater", ".named[name='a']")],
            ),
            Force("applier", "{'named':[{'name':'a','value1':3}]}"),
        ],
        "{'named':[{'name':'a','value1':3},{'name':'b','value1':3}]}",
        &[
            ("updater", NAMED_B),
            ("applier", &[".named[name='a']", ".named[name='a'].name", ".named[name='a'].value1"]),
        ],
    ),
    (
        "beside elements that occur twice",
        &[
            Update(
                "updater",
                "{'named':[{'name':'a','value1':1},{'name':'a','value1':2},{'name':'b','value1':3}]}",
            ),
            Force("applier", "{'named':[{'name':'b','value1':4}]}"),
        ],
        "{'named':[{'name':'a','value1':1},{'name':'a','value1':2},{'name':'b','value1':4}]}",
        &[
            (
                "updater",
                &[".named", ".named[name='a']", ".named[name='b']", ".named[name='b'].name"],
            ),
            ("applier", &[".named[name='b']", ".named[name='b'].name", ".named[name='b'].value1"]),
        ],
    ),
    (
        "an applied element that another made occur twice",
        &[
            Apply("applier", "{'named':[{'name':'a','value1':1},{'name':'b','value1':3}]}"),
            Update(
                "updater",
                "{'named':[{'name':'a','value1':1},{'name':'a','value1':2},{'name':'b','value1':3}]}",
            ),
            Apply("applier", "{'named':[{'name':'b','value1':3}]}"),
        ],
        "{'named':[{'name':'a','value1':1},{'name':'a','value1':2},{'name':'b','value1':3}]}",
        &[
            ("applier", &[".named[name='b']", ".named[name='b'].name", ".named[name='b'].value1"]),
            ("updater", &[".named[name='a']"]),
        ],
    ),
    (
        "one of several appliers takes its own away",
        &[
            Apply("apply-one", "{'named':[{'name':'a'},{'name':'b'},{'name':'c'}]}"),
            Apply("apply-two", "{'named':[{'name':'c'},{'name':'d'}]}"),
            Apply("apply-one", "{'named':[{'name':'a'}]}"),
        ],
        "{'named':[{'name':'a'},{'name':'c'},{'name':'d'}]}",
        &[
            ("apply-one", &[".named[name='a']", ".named[name='a'].name"]),
            (
                "apply-two",
                &[
                    ".named[name='c']",
                    ".named[name='c'].name",
                    ".named[name='d']",
                    ".named[name='d'].name",
                ],
            ),
        ],
    ),
    (
        "the same value is no conflict",
        &[
            Apply("apply-one", "{'named':[{'name':'a','value':0}]}"),
            Apply("apply-two", "{'named':[{'name':'a','value':0}]}"),
            Refused(
                "apply-three",
                "{'named':[{'name':'a','value':1}]}",
                &[("apply-one", ".named[name='a'].value"), ("apply-two", ".named[name='a'].value")],
            ),
        ],
        "{'named':[{'name':'a','value':0}]}",
        &[
            ("apply-one", &[".named[name='a']", ".named[name='a'].name", ".named[name='a'].value"]),
            ("apply-two", &[".named[name='a']", ".named[name='a'].name", ".named[name='a'].value"]),
        ],
    ),
    (
        "a key that has a default",
        &[
            Apply("apply-one", "{'containerPorts':[{'port':80,'protocol':'TCP','name':'foo'}]}"),
            Refused(
                "apply-two",
                "{'containerPorts':[{'port':80,'name':'bar'}]}",
                &[("apply-one", ".containerPorts[port=80,protocol='TCP'].name")],
            ),
        ],
        "{'containerPorts':[{'port':80,'protocol':'TCP','name':'foo'}]}",
        &[(
            "apply-one",
            &[
                ".containerPorts[port=80,protocol='TCP']",
                ".containerPorts[port=80,protocol='TCP'].port",
                ".containerPorts[port=80,protocol='TCP'].protocol",
                ".containerPorts[port=80,protocol='TCP'].name",
            ],
        )],
    ),
    (
        "a key that is not given",
        &[Apply("default", "{'containerPorts':[{'protocol':'TCP','name':'A'}]}")],
        "{'containerPorts':[{'protocol':'TCP','name':'A'}]}",
        &[(
            "default",
            &[
                ".containerPorts[protocol='TCP']",
                ".containerPorts[protocol='TCP'].name",
                ".containerPorts[protocol='TCP'].protocol",
            ],
        )],
    ),
    (
        "a whole number that is another's default",
        &[
            Apply("default", "{'book':[{'sentences':[{'text':'blah'}]}]}"),
            Apply("default", "{'book':[{'sentences':[{'text':'blah','page':2}]}]}"),
        ],
        "{'book':[{'sentences':[{'text':'blah','page':2}]}]}",
        &[(
            "default",
            &[
                ".book[chapter=1,section='A']",
                ".book[chapter=1,section='A'].sentences[line=3,page=2]",
                ".book[chapter=1,section='A'].sentences[line=3,page=2].text",
                ".book[chapter=1,section='A'].sentences[line=3,page=2].page",
            ],
        )],
    ),
];
