//! Rules of definitions in CEL: they are refused with a place and a reason, or held against an object in bounded time.

use leme_cel::{Rules, check};
use leme_fuzz::{Feed, run, word};
use leme_kinds::custom::Validator;
use leme_meta::Path;
use serde_json::json;

const SEEDS: [&str; 12] = [
    "self.n >= 1 && self.n <= 10 || has(self.t) ? self.t.matches('^[a-z]+$') : true",
    "self.l.all(x, self.l.exists_one(y, x == y)) && self.l.map(x, x > 1, x * 2).sum() > 3",
    "self.m.exists(k, v, v == 1 && k in self.m) && self.m.transformMap(k, v, v + 1)['a'] == 2",
    "self.?o.?a.orValue('x') + 'y' != \"z\" && optional.of(self.n).optMap(v, v - 1).hasValue()",
    "'%s %d %.3f %x'.format([dyn('a'), self.n, 1.5, 255]).split(' ', 2).join('-').size() < 9u.size()",
    "quantity(self.t).add(quantity('1.5Gi')).isGreaterThan(quantity('1')) && isIP(self.t) == false",
    "cidr('10.0.0.0/8').containsIP(ip('10.0.0.1')) && url('https://h:1/p?q=1').getPort() == '1'",
    "duration('1h30m') > self.d && timestamp('2026-01-02T03:04:05Z').getHours('Europe/Berlin') == 4",
    r#"r"""a\b""" + 'x\u00e9\x41\101' != b'\xff'.size() + {1: [2, 3,], 'a': null,}[1][?0].value()"#,
    "type(self.i) == string ? self.i.substring(1, 2).lastIndexOf('a', 3) == -1 : int(self.i) % 3 == 0",
    "semver('1.2.3-rc.1', true).compareTo(semver('1.2.3')) < 0 && format.dns1123Label().validate(self.t).hasValue()",
    "[[1], [2]].transformList(i, v, i > 0, v)[0] == [2] && sets.contains(self.l, [1]) && !!!(-(-1) == 1) // note",
];

const WORDS: [&str; 30] = [
    "self",
    "oldSelf",
    ".",
    "?.",
    "[?",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "'",
    "\"",
    "\"\"\"",
    "\\",
    "?",
    ":",
    "-",
    "!",
    "&&",
    "||",
    "in",
    "has(",
    ".all(x, ",
    ".map(x, ",
    ".optMap(x, ",
    ".format(",
    "9223372036854775808",
    "0x",
    "1e999",
];

#[test]
fn rules() {
    let seeds = SEEDS.iter().map(|text| text.as_bytes().to_vec()).collect();
    let object = json!({
        "n": 5, "t": "text", "l": [1, 2, 3], "m": { "a": 1, "b": 2 }, "o": {}, "d": "1h", "i": "12",
    });
    let seen = run(Feed { name: "rules", seeds, words: &WORDS, cases: 4_000 }, |input| {
        let rule = String::from_utf8_lossy(input);
        let text = json!({ "type": "string" });
        let schema = json!({
            "type": "object",
            "properties": {
                "n": { "type": "integer" }, "t": text, "l": { "type": "array", "items": { "type": "integer" } },
                "m": { "type": "object", "additionalProperties": { "type": "integer" } },
                "o": { "type": "object", "properties": { "a": text } },
                "d": { "type": "string", "format": "duration" },
                "i": { "x-kubernetes-int-or-string": true },
            },
            "x-kubernetes-validations": [{ "rule": rule }],
        });
        let refused = check(&schema, &Path::new("schema"));
        let held = Rules::of(&schema).map(|rules| rules.validate(&object, Some(&object)));
        match refused.first() {
            Some(refusal) => {
                assert!(held.is_none_or(|held| !held.is_empty()), "{rule:?} is refused and holds");
                let said = refusal.to_string();
                word(said.rsplit("<input>:").next().unwrap_or(&said))
            }
            None => format!("{:?}", held.map(|held| held.len())),
        }
    });
    assert!(seen.len() > 20, "{seen:?}");
}
