//! Parsers of text: selectors, JSONPath templates, JSON documents.

use leme_fuzz::{Feed, run, word};
use leme_meta::{FieldSelector, LabelSelector, decode, jsonpath};
use serde_json::{Value, json};

fn seeds(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// What is accepted means the same when it is written and read again.
#[test]
fn label_selectors() {
    let seeds =
        seeds(&["sea=north", "sea in (north,south),!depth", "a!=b,c==d, e", "x notin (),y gt 5"]);
    let words =
        &["in", "notin", "exists", "(", ")", ",", "!", "!=", "==", "=", "<", ">", "example.com/"];
    let labels = [("sea", "north"), ("depth", "10"), ("a", "b")];
    let seen = run(Feed { name: "label selectors", seeds, words, cases: 20_000 }, |input| {
        let text = String::from_utf8_lossy(input);
        let get = |key: &str| labels.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
        match LabelSelector::parse(&text) {
            Err(message) => word(&message),
            Ok(selector) => {
                let written = selector.to_string();
                let again = LabelSelector::parse(&written)
                    .unwrap_or_else(|error| panic!("{written:?}, written for {text:?}: {error}"));
                assert_eq!(again.matches(get), selector.matches(get), "{written:?} for {text:?}");
                format!("{} requirements", selector.requirements().len().min(3))
            }
        }
    });
    assert!(seen.len() > 4, "{seen:?}");
}

#[test]
fn field_selectors() {
    let seeds =
        seeds(&["metadata.name=a", "status.phase!=Running,spec.nodeName==n", r"a=b\,c", ""]);
    let words = &["=", "==", "!=", ",", "\\", "metadata.namespace"];
    let seen = run(Feed { name: "field selectors", seeds, words, cases: 20_000 }, |input| {
        match FieldSelector::parse(&String::from_utf8_lossy(input)) {
            Err(message) => word(&message),
            Ok(selector) => {
                selector.matches(|field| field.to_owned());
                format!("{} requirements", selector.requirements().len().min(3))
            }
        }
    });
    assert!(seen.len() > 2, "{seen:?}");
}

/// A template renders or is refused, and what it renders is bounded by what it was given.
#[test]
fn json_paths() {
    let seeds = seeds(&[
        "{.items[*].metadata.name}",
        r#"{range .items[?(@.metadata.name=="a")]}{.status.ports[0:2].port}{"\n"}{end}"#,
        "{..name}",
        "{.items[-1]['metadata']}",
        r"{.metadata.annotations.example\.com/a}",
        "{.items[0,1].status.ports[?(@.port>80)].port}",
    ]);
    let words = &[
        "{", "}", "[", "]", "..", "[*]", "[?(@.", "==", "range ", "{end}", "[-1]", "[0:2:1]", "\\",
        "'",
    ];
    let object = json!({
        "metadata": {"name": "list", "annotations": {"example.com/a": "b"}},
        "items": [
            {"metadata": {"name": "a"}, "status": {"ports": [{"port": 80}, {"port": 443}, {"port": 8080}]}},
            {"metadata": {"name": "b"}, "status": null},
        ],
    });
    let seen = run(Feed { name: "jsonpath", seeds, words, cases: 20_000 }, |input| {
        let text = String::from_utf8_lossy(input);
        match jsonpath::parse(&text).and_then(|template| template.render(&object)) {
            Err(error) => word(&format!("{error:#}")),
            Ok(rendered) => format!("rendered {}", rendered.len().min(200) / 20),
        }
    });
    assert!(seen.len() > 5, "{seen:?}");
}

/// What is read is what serde reads of the same text, and nothing deeper than the bound.
#[test]
fn json_documents() {
    let deep = "[".repeat(200) + &"]".repeat(200);
    let seeds = seeds(&[
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","name":"b"}}"#,
        r#"[1,-0,1e5,0.25,true,null,"\u00e9\ud83d\ude00\ud800"]"#,
        &deep,
        "{\"a\":{\"b\":[{\"c\":{}}]}}",
    ]);
    let words = &["{", "}", "[", "]", ":", ",", "null", "\\ud800", "\\u0000", "1e400", "\"a\""];
    let seen = run(Feed { name: "json", seeds, words, cases: 20_000 }, |input| {
        let plain = serde_json::from_slice::<Value>(input);
        match (decode::json(input), plain) {
            (Ok(decoded), Ok(plain)) => {
                assert_eq!(decoded.value, plain);
                format!("read, {} duplicates", decoded.duplicates.len().min(3))
            }
            (Ok(_), Err(_)) => "read, though serde does not".to_owned(),
            (Err(status), _) => word(&status.message),
        }
    });
    assert!(seen.len() > 4, "{seen:?}");
}
