//! What upstream's tests of structured merges and of managed fields hold to, case by case.

mod defined;
mod histories;
mod lists;
mod properties;
mod walks;

use serde_json::Value;

use super::*;
use crate::schema::Schemas;

/// The types of the cases.
const TABLE: &str = r#"
prefix t test.
type t:Meta
 annotations {}string
 generation int64
 labels {}string
 managedFields []raw
 name string
 namespace string
 resourceVersion string
 uid string
type t:Root
 apiVersion string
 kind string
 metadata t:Meta ={}
 args []t:Pair list=atomic
 atomicList []string list=atomic
 atomicMap {}string atomic
 bool bool
 book []t:Chapter list=map:chapter,section
 color t:Color
 complex t:Complex
 containerPorts []t:Port list=map:port,protocol
 inner {}raw
 list []t:Element list=map:key,id
 listOfLists []t:NamedList list=map:name
 listOfMaps []t:NamedMap list=map:name
 map {}string
 mapOfMaps {}{}string
 mapOfMapsRecursive {}t:Recursive
 named []t:Named list=map:name
 numeric number
 open raw
 set []number list=set
 setBool []bool list=set
 setNumeric []number list=set
 setStr []string list=set
 spec t:Complex
 status t:Complex
 string string
 struct t:Struct
type t:Pair
 key string
 value string
type t:Color atomic
 B number
 G number
 R number
type t:Complex
 name string
 list []string list=set
 value string
type t:Chapter
 chapter number =1
 section string ="A"
 sentences []t:Sentence list=map:page,line
type t:Sentence
 line number =3
 page number =2.0
 text string
type t:Port
 name string
 port number
 protocol string ="TCP"
type t:Element
 bv bool
 id number
 key string
 nv number
 value {}string
type t:Named
 name string
 value number
 value1 number
 value2 number
type t:NamedList
 name string
 value []string list=set
type t:NamedMap
 name string
 value {}string
type t:Recursive
type t:Struct
 complexField t:Complex
 name string
 scalarField string
 value number
"#;

fn table() -> Schemas {
    Schemas::parse(TABLE).unwrap()
}

/// A document in JSON with single quotes.
fn j(text: &str) -> Value {
    serde_json::from_str(&text.replace('\'', "\"")).unwrap()
}

/// The paths of a set, sorted.
fn paths(set: &FieldSet) -> Vec<String> {
    let mut paths: Vec<String> =
        set.paths().iter().map(|path| path_text(path).replace('"', "'")).collect();
    paths.sort();
    paths
}

fn sorted(paths: &[&str]) -> Vec<String> {
    let mut paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
    paths.sort();
    paths
}

/// A request for a kind of the table.
fn request<'a>(schemas: &'a Schemas, manager: &'a str) -> Request<'a, Typed<'a>> {
    Request {
        schema: Typed::new(schemas, "test.Root"),
        manager,
        api_version: "v1",
        kind: "Root",
        subresource: "",
        now: "2026-01-01T00:00:00Z".parse().ok(),
        reset: &[],
        only: &[],
    }
}
