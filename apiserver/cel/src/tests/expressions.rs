//! What expressions mean.

use super::{held, object, refused, schema};

#[test]
fn these_hold() {
    for rule in [
        // Numbers, texts, fields.
        "self.int == 5 && self.int < 6.5 && self.number == 2.0 && -self.int == -5",
        "self.int / 2 == 2 && self.int % 3 == 2 && 2 + 3 * 4 == 14 && (2 + 3) * 4 == 20 && 7 - 2 - 1 == 4",
        "0x1F == 31 && 5u == uint('5') && 1e3 == 1000.0 && .5 == 0.5",
        "!!self.flag && !(!self.flag) && self.flag != false",
        "self.text.size() == 5 && size(self.text) == 5 && self.text.startsWith('hé') && self.text.endsWith('lo')",
        r#"'a\tb\x41\u00e9\101' == "a\tbAéA" && r'\d' == '\\d' && '''it's''' == "it's""#,
        "b'hi' == self.raw && size(self.raw) == 2 && string(self.raw) == 'hi'",
        "self.__namespace__ == 'ns' && self.a__dash__b__dot__c__slash__d == 'odd' && self.under__underscores__score == 'u'",
        "self.metadata.name == 'x' && self.kind == 'Thing' && self.inner.metadata.name == 'pod'",
        "has(self.text) && !has(self.object.b) && has(self.object.a) && dyn(self.nothing) == null",
        "type(self.either) == string ? self.either.endsWith('%') : self.either < 100",
        "int(self.either.replace('%', '')) == 80 && type(self.int) == int && type(self.span) == google.protobuf.Duration",
        // What is wrong on one side does not count if the other decides.
        "self.list[9] == 1 || true",
        "!(self.list[9] == 1 && false)",
        "self.list.exists(x, x == 3 || self.list[9] == 1)",
        "!self.list.all(x, x < 3 && self.list[9 - x] == 1)",
        // Lists and maps.
        "self.list.all(x, x > 0) && self.list.exists(x, x == 2) && self.list.exists_one(x, x == 1)",
        "self.list.map(x, x * 2) == [6, 2, 4] && self.list.map(x, x > 1, x) == [3, 2] && self.list.filter(x, x > 1) == [3, 2]",
        "3 in self.list && !(9 in self.list) && self.list[0] == 3 && self.list + [4] == [3, 1, 2, 4]",
        "self.list.sum() == 6 && self.list.min() == 1 && self.list.max() == 3 && !self.list.isSorted()",
        "self.list.indexOf(2) == 2 && self.list.lastIndexOf(7) == -1 && [0, 0].lastIndexOf(0) == 1",
        "self.map['k'] == 1 && self.map.k == 1 && 'l' in self.map && self.map.all(k, self.map[k] > 0) && size(self.map) == 2",
        "{'a': 1}.a == 1 && {1: 'x'}[1] == 'x' && {'a': 1} == {'a': 1} && self.map == {'k': 1, 'l': 2}",
        "self.map.all(k, v, v > 0) && self.list.exists(i, v, i == 0 && v == 3)",
        "self.list.transformList(i, v, i * v) == [0, 1, 4] && self.map.transformMap(k, v, v + 1) == {'k': 2, 'l': 3}",
        "self.map.transformMapEntry(k, v, {v: k}) == {1: 'k', 2: 'l'} && self.list.existsOne(i, v, v == 1)",
        "self.set == ['y', 'x'] && self.set + ['x', 'z'] == ['x', 'y', 'z']",
        "self.byName == self.byName && self.byName[1].n == 2",
        "sets.contains([1, 2], [2]) && sets.intersects([1], [1, 2]) && sets.equivalent([1, 1], [1])",
        // Texts.
        "'Hello'.lowerAscii() == 'hello' && 'a'.upperAscii() == 'A' && ' a '.trim() == 'a' && 'abc'.charAt(1) == 'b'",
        "'a,b,c'.split(',') == ['a', 'b', 'c'] && 'a,b,c'.split(',', 2) == ['a', 'b,c'] && 'ab'.split('') == ['a', 'b']",
        "['a', 'b'].join('-') == 'a-b' && self.texts.join() == 'ab' && 'héllo'.substring(1, 3) == 'él' && 'abc'.substring(2) == 'c'",
        "'abcabc'.indexOf('c') == 2 && 'abcabc'.indexOf('c', 3) == 5 && 'abcabc'.lastIndexOf('a') == 3 && 'aaa'.replace('a', 'b', 2) == 'bba'",
        "'abc'.matches('^a.c$') && matches('abc', 'b') && 'a1b22'.findAll('[0-9]+') == ['1', '22'] && 'a1'.find('[0-9]') == '1'",
        "'%s is %d of %.2f, %x %b %o %e'.format([dyn('a'), 5, 2.5, 255, 5, 8, 1500.0]) == 'a is 5 of 2.50, ff 101 10 1.500000e+03'",
        r#"'%s %s'.format([dyn([dyn(1), 'a']), {'k': true}]) == '[1, "a"] {"k":true}' && strings.quote('a"b') == '"a\\"b"'"#,
        // Times.
        "self.when > timestamp('2026-01-01T00:00:00Z') && self.when.getFullYear() == 2026 && self.when.getMonth() == 1",
        "self.when.getDate() == 3 && self.when.getDayOfMonth() == 2 && self.when.getDayOfWeek() == 2 && self.when.getMilliseconds() == 789",
        "self.when.getHours('+02:00') == 6 && self.when.getHours('Europe/Berlin') == 5 && self.day == timestamp('2026-02-03T00:00:00Z')",
        "self.span == duration('90m') && self.span.getMinutes() == 90 && string(duration('1.5s')) == '1.5s'",
        "self.when + duration('1h') - self.when == duration('3600s') && duration('1h') < self.span && int(timestamp(5)) == 5",
        // Optional values.
        "self.object.?b.orValue('none') == 'none' && self.object.?a.value() == '1' && !self.object.?b.hasValue()",
        "self.map[?'z'].or(optional.of(9)).value() == 9 && self.list[?9].orValue(0) == 0 && optional.none().orValue(1) == 1",
        "self.object.?a.optMap(v, v + 'x').orValue('') == '1x' && [?self.object.?b, ?self.object.?a] == ['1'] && {?'a': self.map[?'z']} == {}",
        "optional.ofNonZeroValue('') == optional.none() && self.?object.b == optional.none() && self.list.first().value() == 3",
        // Kubernetes' own.
        "quantity('1.5Gi').isGreaterThan(quantity('1G')) && quantity('100m').add(quantity('0.9')).asInteger() == 1 && isQuantity('2k')",
        "quantity('2k').sub(1).compareTo(quantity('1999')) == 0 && quantity('-1').sign() == -1 && !isQuantity('x') && quantity('1500m').asApproximateFloat() == 1.5",
        "ip('10.0.0.1').family() == 4 && isIP('::1') && !isIP('1.2.3') && ip('::1').isLoopback() && ip.isCanonical('::1') && !ip.isCanonical('::01')",
        "cidr('10.0.0.0/8').containsIP('10.1.2.3') && cidr('10.0.0.0/8').containsCIDR(cidr('10.1.0.0/16')) && cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8')",
        "isCIDR('::/0') && !isCIDR('10.0.0.0/33') && cidr('10.0.0.0/8').prefixLength() == 8 && string(ip('1.2.3.4')) == '1.2.3.4' && cidr('1.0.0.0/8').ip() == ip('1.0.0.0')",
        "url('https://u@h.example:8/a b?x=1&x=2#f').getHost() == 'h.example:8' && url('https://h:8/').getPort() == '8' && url('https://[::1]:8/').getHostname() == '::1'",
        "url('https://h/a b').getEscapedPath() == '/a%20b' && url('/p?x=1&x=2').getQuery() == {'x': ['1', '2']} && !isURL('../x') && isURL('/x')",
        "!format.dns1123Label().validate('ok').hasValue() && format.dns1123Label().validate('NO').hasValue() && format.named('uuid').hasValue()",
        "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.0.0-rc.1').compareTo(semver('1.0.0')) == -1 && isSemver('v1.2', true) && semver('1.2.3').minor() == 2",
        // Notes and blanks.
        "// a note\n self.int == 5 // and another",
    ] {
        let schema = schema(rule);
        assert_eq!(refused(&schema), Vec::<String>::new(), "{rule}");
        assert_eq!(held(&schema, &object(), None), Vec::<String>::new(), "{rule}");
    }
}

#[test]
fn these_do_not_hold() {
    for rule in [
        "self.int == 6",
        "!!!self.flag",
        "self.text == 'x' && self.list[9] == 1",
        "self.list.all(x, x > 1)",
        "self.object == {'a': '2'} || false",
        "'abc'.matches('^b')",
        "format.dns1123Label().validate('ok') == null",
    ] {
        let wanted = format!(r#"<nil>: Invalid value: "object": failed rule: {rule}"#);
        // An object is no map to the checker.
        let schema = schema(rule);
        if refused(&schema).is_empty() {
            assert_eq!(held(&schema, &object(), None), [wanted]);
        }
    }
}

#[test]
fn what_goes_wrong_is_told() {
    for (rule, why) in [
        ("self.object.b == ''", "no such key: b evaluating rule: "),
        ("self.map['z'] == 1", "no such key: z evaluating rule: "),
        ("self.list[3] == 1", "index out of bounds: 3 evaluating rule: "),
        ("self.int / 0 == 1", "division by zero evaluating rule: "),
        ("self.int % 0 == 1", "modulus by zero evaluating rule: "),
        ("self.int + 9223372036854775807 == 1", "integer overflow evaluating rule: "),
        (
            "int(self.text) == 1",
            r#"strconv.ParseInt: parsing "héllo": invalid syntax evaluating rule: "#,
        ),
        (
            "self.either < 5",
            "'no such overload': call arguments did not match a supported operator, function or macro signature for rule: ",
        ),
        ("optional.none().value() == 1", "optional.none() dereference evaluating rule: "),
        ("self.text.charAt(9) == ''", "index out of range: 9 evaluating rule: "),
        ("self.list.filter(x, x > 9).max() == 1", "max called on empty list evaluating rule: "),
    ] {
        let schema = schema(rule);
        assert_eq!(refused(&schema), Vec::<String>::new(), "{rule}");
        let wanted = format!(r#"<nil>: Invalid value: "object": {why}{rule}"#);
        assert_eq!(held(&schema, &object(), None), [wanted]);
    }
}
