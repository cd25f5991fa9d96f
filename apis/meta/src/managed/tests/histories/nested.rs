//! Histories of lists and maps within others.

use super::*;

const LIST_A: &[&str] = &[".listOfLists[name='a']", ".listOfLists[name='a'].name"];

pub(super) const NESTED: &[History] = &[
    (
        "another key and another value",
        &[
            Apply("default", "{'listOfLists':[{'name':'a','value':['b','c']}]}"),
            Apply("default", "{'listOfLists':[{'name':'b','value':['a','c']}]}"),
        ],
        "{'listOfLists':[{'name':'b','value':['a','c']}]}",
        &[(
            "default",
            &[
                ".listOfLists[name='b']",
                ".listOfLists[name='b'].name",
                ".listOfLists[name='b'].value[='a']",
                ".listOfLists[name='b'].value[='c']",
            ],
        )],
    ),
    (
        "another entry of a map in a list",
        &[
            Apply("default", "{'listOfMaps':[{'name':'a','value':{'b':'x','c':'y'}}]}"),
            Apply("default", "{'listOfMaps':[{'name':'a','value':{'a':'x','c':'z'}}]}"),
        ],
        "{'listOfMaps':[{'name':'a','value':{'a':'x','c':'z'}}]}",
        &[(
            "default",
            &[
                ".listOfMaps[name='a']",
                ".listOfMaps[name='a'].name",
                ".listOfMaps[name='a'].value.a",
                ".listOfMaps[name='a'].value.c",
            ],
        )],
    ),
    (
        "another entry of a map of maps",
        &[
            Apply("default", "{'mapOfMaps':{'a':{'b':'x','c':'y'}}}"),
            Apply("default", "{'mapOfMaps':{'b':{'a':'x','c':'z'}}}"),
        ],
        "{'mapOfMaps':{'b':{'a':'x','c':'z'}}}",
        &[("default", &[".mapOfMaps.b", ".mapOfMaps.b.a", ".mapOfMaps.b.c"])],
    ),
    (
        "another entry in the middle",
        &[
            Apply("default", "{'mapOfMapsRecursive':{'a':{'b':{'c':null}}}}"),
            Apply("default", "{'mapOfMapsRecursive':{'a':{'d':{'c':null}}}}"),
        ],
        "{'mapOfMapsRecursive':{'a':{'d':{'c':null}}}}",
        &[(
            "default",
            &[".mapOfMapsRecursive.a", ".mapOfMapsRecursive.a.d", ".mapOfMapsRecursive.a.d.c"],
        )],
    ),
    (
        "a struct that is not listed any more",
        &[Apply("default", "{'struct':{'name':'a','value':1}}"), Apply("default", "{}")],
        "{}",
        &[],
    ),
    (
        "a struct of which nothing is listed any more",
        &[Apply("default", "{'struct':{'name':'a'}}"), Apply("default", "{'struct':null}")],
        "{'struct':null}",
        &[("default", &[".struct"])],
    ),
    (
        "a struct that another writes as well",
        &[
            Apply("default", "{'struct':{'name':'a'}}"),
            Update("controller", "{'struct':{'name':'a','value':1}}"),
            Apply("default", "{}"),
        ],
        "{'struct':{'value':1}}",
        &[("controller", &[".struct.value"])],
    ),
    (
        "a struct that is listed as empty",
        &[
            Apply("default", "{'struct':{'name':'a'}}"),
            Update("controller", "{'struct':{'name':'a','value':1}}"),
            Apply("default", "{'struct':{}}"),
        ],
        "{'struct':{'value':1}}",
        &[("controller", &[".struct.value"]), ("default", &[".struct"])],
    ),
    (
        "a struct of which another took the field",
        &[
            Apply("default", "{'struct':{'name':'a'}}"),
            Update("controller", "{'struct':{'name':'b','value':1}}"),
            Apply("default", "{'struct':null}"),
        ],
        "{'struct':{'name':'b','value':1}}",
        &[("controller", &[".struct.name", ".struct.value"]), ("default", &[".struct"])],
    ),
    (
        "a field shared with an applier",
        &[
            Apply(
                "apply-one",
                "{'struct':{'name':'a','scalarField':'a','complexField':{'name':'b'}}}",
            ),
            Apply("apply-two", "{'struct':{'scalarField':'a','complexField':{'name':'b'}}}"),
            Apply("apply-one", "{'struct':{'name':'a'}}"),
        ],
        "{'struct':{'name':'a','scalarField':'a','complexField':{'name':'b'}}}",
        &[
            ("apply-one", &[".struct.name"]),
            ("apply-two", &[".struct.scalarField", ".struct.complexField.name"]),
        ],
    ),
    (
        "a field shared with an updater",
        &[
            Update("updater", "{'struct':{'name':'a','scalarField':'a'}}"),
            Apply("applier", "{'struct':{'name':'a','scalarField':'a'}}"),
            Apply("applier", "{'struct':{'name':'a'}}"),
        ],
        "{'struct':{'name':'a','scalarField':'a'}}",
        &[
            ("updater", &[".struct", ".struct.name", ".struct.scalarField"]),
            ("applier", &[".struct.name"]),
        ],
    ),
    (
        "a struct with a single owner",
        &[
            Apply("apply-one", "{'struct':{'name':'a','complexField':{'name':'b'}}}"),
            Apply("apply-one", "{'struct':{'name':'a'}}"),
        ],
        "{'struct':{'name':'a'}}",
        &[("apply-one", &[".struct.name"])],
    ),
    (
        "an element that two list, each with another below it",
        &[
            Apply("apply-one", "{'listOfLists':[{'name':'a'},{'name':'b','value':['c']}]}"),
            Apply("apply-two", "{'listOfLists':[{'name':'b','value':['d']}]}"),
            Apply("apply-one", "{'listOfLists':[{'name':'a'}]}"),
        ],
        "{'listOfLists':[{'name':'a'},{'name':'b','value':['d']}]}",
        &[
            ("apply-one", LIST_A),
            (
                "apply-two",
                &[
                    ".listOfLists[name='b']",
                    ".listOfLists[name='b'].name",
                    ".listOfLists[name='b'].value[='d']",
                ],
            ),
        ],
    ),
    (
        "what a controller added below an element that stays",
        &[
            Apply("apply-one", "{'listOfLists':[{'name':'a'},{'name':'b','value':['c']}]}"),
            Apply("apply-two", "{'listOfLists':[{'name':'b','value':['d']}]}"),
            Update(
                "controller",
                "{'listOfLists':[{'name':'a'},{'name':'b','value':['c','d','e']}]}",
            ),
            Apply("apply-one", "{'listOfLists':[{'name':'a'}]}"),
        ],
        "{'listOfLists':[{'name':'a'},{'name':'b','value':['d','e']}]}",
        &[
            ("apply-one", LIST_A),
            (
                "apply-two",
                &[
                    ".listOfLists[name='b']",
                    ".listOfLists[name='b'].name",
                    ".listOfLists[name='b'].value[='d']",
                ],
            ),
            ("controller", &[".listOfLists[name='b'].value[='e']"]),
        ],
    ),
    (
        "what a controller added below an element that goes",
        &[
            Apply("apply-one", "{'listOfLists':[{'name':'a'},{'name':'b','value':['c']}]}"),
            Apply("apply-two", "{'listOfLists':[{'name':'a','value':['b']}]}"),
            Update(
                "controller",
                "{'listOfLists':[{'name':'a','value':['b']},{'name':'b','value':['c','d']}]}",
            ),
            Apply("apply-one", "{'listOfLists':[{'name':'a'}]}"),
        ],
        "{'listOfLists':[{'name':'a','value':['b']}]}",
        &[
            ("apply-one", LIST_A),
            (
                "apply-two",
                &[
                    ".listOfLists[name='a']",
                    ".listOfLists[name='a'].name",
                    ".listOfLists[name='a'].value[='b']",
                ],
            ),
        ],
    ),
    (
        "a map of maps without end",
        &[
            Apply("apply-one", "{'mapOfMapsRecursive':{'a':{'b':null},'c':{'d':null}}}"),
            Apply("apply-two", "{'mapOfMapsRecursive':{'a':null,'c':{'d':null}}}"),
            Update(
                "controller-one",
                "{'mapOfMapsRecursive':{'a':{'b':{'c':null}},'c':{'d':{'e':null}}}}",
            ),
            Update(
                "controller-two",
                "{'mapOfMapsRecursive':{'a':{'b':{'c':{'d':null}}},'c':{'d':{'e':{'f':null}}}}}",
            ),
            Update(
                "controller-one",
                "{'mapOfMapsRecursive':{'a':{'b':{'c':{'d':{'e':null}}}},'c':{'d':{'e':{'f':{'g':null}}}}}}",
            ),
            Apply("apply-one", "{'mapOfMapsRecursive':null}"),
        ],
        "{'mapOfMapsRecursive':{'a':null,'c':{'d':{'e':{'f':{'g':null}}}}}}",
        &[
            ("apply-one", &[".mapOfMapsRecursive"]),
            (
                "apply-two",
                &[".mapOfMapsRecursive.a", ".mapOfMapsRecursive.c", ".mapOfMapsRecursive.c.d"],
            ),
            ("controller-one", &[".mapOfMapsRecursive.c.d.e", ".mapOfMapsRecursive.c.d.e.f.g"]),
            ("controller-two", &[".mapOfMapsRecursive.c.d.e.f"]),
        ],
    ),
];
