//! Tests of label selectors.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn matches(selector: &str, labels: &[(&str, &str)]) -> bool {
    let selector = LabelSelector::parse(selector).expect(selector);
    selector.matches(|key| labels.iter().find(|(name, _)| *name == key).map(|(_, value)| *value))
}

#[test]
fn every_operator_matches() {
    let labels = [("app", "web"), ("n", "5"), ("e", "")];
    for (selector, want) in [
        ("", true),
        ("app=web", true),
        ("app==web", true),
        (" app = web , n=5 ", true),
        ("app!=web", false),
        ("other!=web", true),
        ("app in (db, web)", true),
        ("app notin (db,web)", false),
        ("other notin (db)", true),
        ("other in (db)", false),
        ("app", true),
        ("!app", false),
        ("!other", true),
        ("n>4", true),
        ("n>5", false),
        ("n<6", true),
        ("app<6", false),
        ("e=", true),
        ("e in ()", true),
        ("e in (,x)", true),
        ("in=in", false),
        ("app=web,n=6", false),
    ] {
        assert_eq!(matches(selector, &labels), want, "{selector}");
    }
}

#[test]
fn bad_selectors_are_refused_in_upstreams_words() {
    for (selector, want) in [
        (",", "found ',', expected: !, identifier, or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("a=(", "unable to parse requirement: found '(', expected: identifier"),
        (
            "a>b",
            "unable to parse requirement: values[0]: Invalid value: \"b\": for 'Gt', 'Lt' \
             operators, the value must be an integer",
        ),
    ] {
        assert_eq!(LabelSelector::parse(selector), Err(want.to_owned()), "{selector}");
    }
    let error = LabelSelector::parse("-a=b").expect_err("a bad key");
    assert!(error.starts_with(
        "unable to parse requirement: <nil>: Invalid value: \"-a\": name part must consist"
    ));
    let error = LabelSelector::parse("a=b/c").expect_err("a bad value");
    assert!(error.starts_with("unable to parse requirement: values[0][a]: Invalid value: \"b/c\""));
}

#[test]
fn selectors_of_specs() {
    let selector = LabelSelector::from_json(&json!({
        "matchLabels": {"b": "1"},
        "matchExpressions": [
            {"key": "a", "operator": "In", "values": ["y", "x"]},
            {"key": "c", "operator": "DoesNotExist"},
        ],
    }))
    .expect("a selector");
    assert_eq!(selector.to_string(), "a in (x,y),b=1,!c");
    assert!(LabelSelector::from_json(&json!({})).expect("everything").is_empty());
    let nothing = LabelSelector::from_json(&Value::Null).expect("nothing");
    assert!(!nothing.is_empty() && !nothing.matches(|_| None));
    assert_eq!(
        LabelSelector::from_json(&json!({"matchExpressions": [{"key": "a", "operator": "Is"}]})),
        Err("\"Is\" is not a valid label selector operator".to_owned())
    );
}

proptest! {
    #[test]
    fn what_is_shown_parses_to_the_same(text in "(!?[a-c]|[a-c](=|==|!=)[a-d]?|[a-c] (not)?in \\([a-d]?(,[a-d]?){0,3}\\))(,[a-c]=[a-d]){0,3}") {
        let selector = LabelSelector::parse(&text).expect("of the grammar");
        prop_assert_eq!(LabelSelector::parse(&selector.to_string()), Ok(selector));
    }

    #[test]
    fn nothing_panics(text in "[ab=!()<>, in]{0,24}|.{0,24}") {
        let _ = LabelSelector::parse(&text);
    }
}
