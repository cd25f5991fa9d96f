//! What filters do to requests and answers, and how long answers may take.

use super::super::writing::*;
use super::{Row, row};
use serde_json::{Value, json};

fn changed() -> Value {
    request(json!({"set": [{"name": "X-Set", "value": "new"}],
        "add": [{"name": "X-Add", "value": "one"}, {"name": "X-Append", "value": "two"}],
        "remove": ["X-Remove"]}))
}

const SENT: &str = "@X-Append=one @X-Remove=1 @X-Set=old";
const GOT: &str = "req:x-set=new req:x-add=one req:x-append=one,two no-req:x-remove";

pub fn rows() -> Vec<Row> {
    let mut all = redirects();
    all.extend(headers());
    all.extend(rewrites());
    all.extend(mirrors());
    all.extend(timeouts());
    all.push(cors());
    all
}

fn redirects() -> Vec<Row> {
    let code = |id: &'static str, code: u16| {
        let rules = json!([filtered(
            &["/"],
            redirect(json!({"hostname": "y.test", "statusCode": code})),
            ""
        )]);
        let expected = format!("{code} to=http://y.test/a");
        row(id, vec![route("r", rules)], &[], &[("http://x.test/a", &expected)])
    };
    let to_scheme = |scheme: &str| redirect(json!({ "scheme": scheme, "hostname": "y.test" }));
    vec![
        code("HTTPRoute303Redirect", 303),
        code("HTTPRoute307Redirect", 307),
        code("HTTPRoute308Redirect", 308),
        row(
            "HTTPRouteRedirectHostAndStatus",
            vec![route(
                "r",
                json!([
                    filtered(&["/host"], redirect(json!({"hostname": "y.test"})), ""),
                    filtered(
                        &["/both"],
                        redirect(json!({"hostname": "y.test", "statusCode": 301})),
                        ""
                    ),
                ]),
            )],
            &[],
            &[
                ("http://x.test/host", "302 to=http://y.test/host"),
                ("http://x.test/both", "301 to=http://y.test/both"),
            ],
        ),
        row(
            "HTTPRouteRedirectPath",
            vec![route(
                "r",
                json!([
                    filtered(&["/old"], redirect(prefix("/new")), ""),
                    filtered(&["/full"], redirect(full("/whole")), ""),
                    filtered(
                        &["/host"],
                        redirect(with(prefix("/new"), json!({"hostname": "y.test"}))),
                        ""
                    ),
                    filtered(
                        &["/code"],
                        redirect(with(full("/whole"), json!({"statusCode": 301}))),
                        ""
                    ),
                ]),
            )],
            &[],
            &[
                ("http://x.test/old/lemon?a=b", "302 to=http://x.test/new/lemon?a=b"),
                ("http://x.test/full/path", "302 to=http://x.test/whole"),
                ("http://x.test/host", "302 to=http://y.test/new"),
                ("http://x.test/code", "301 to=http://x.test/whole"),
            ],
        ),
        row(
            "HTTPRouteRedirectPort",
            vec![route(
                "r",
                json!([
                    filtered(&["/port"], redirect(json!({"port": 8083})), ""),
                    filtered(&["/host"], redirect(json!({"port": 8083, "hostname": "y.test"})), ""),
                    filtered(&["/code"], redirect(json!({"port": 8083, "statusCode": 301})), ""),
                ]),
            )],
            &[],
            &[
                ("http://x.test/port", "302 to=http://x.test:8083/port"),
                ("http://x.test/host", "302 to=http://y.test:8083/host"),
                ("http://x.test/code", "301 to=http://x.test:8083/code"),
            ],
        ),
        row(
            "HTTPRouteRedirectPortAndScheme",
            vec![
                route(
                    "r",
                    json!([
                        filtered(&["/none"], redirect(json!({"hostname": "y.test"})), ""),
                        filtered(&["/80"], redirect(json!({"hostname": "y.test", "port": 80})), ""),
                        filtered(
                            &["/8080"],
                            redirect(json!({"hostname": "y.test", "port": 8080})),
                            ""
                        ),
                        filtered(&["/https"], to_scheme("https"), ""),
                        filtered(&["/443"], redirect(json!({"scheme": "https", "port": 443})), ""),
                        filtered(
                            &["/8443"],
                            redirect(json!({"scheme": "https", "port": 8443})),
                            ""
                        ),
                    ]),
                ),
                to(
                    "other-port",
                    "r8080",
                    &[],
                    json!([
                        filtered(&["/none"], redirect(json!({"hostname": "y.test"})), ""),
                        filtered(&["/80"], redirect(json!({"hostname": "y.test", "port": 80})), ""),
                        filtered(&["/https"], to_scheme("https"), ""),
                    ]),
                ),
                to(
                    "secure/https",
                    "r443",
                    &[],
                    json!([
                        filtered(&["/none"], redirect(json!({"hostname": "y.test"})), ""),
                        filtered(
                            &["/8443"],
                            redirect(json!({"hostname": "y.test", "port": 8443})),
                            ""
                        ),
                        filtered(&["/http"], to_scheme("http"), ""),
                        filtered(&["/8080"], redirect(json!({"scheme": "http", "port": 8080})), ""),
                    ]),
                ),
            ],
            &[],
            &[
                ("http://x.test/none", "302 to=http://y.test/none"),
                ("http://x.test/80", "302 to=http://y.test/80"),
                ("http://x.test/8080", "302 to=http://y.test:8080/8080"),
                ("http://x.test/https", "302 to=https://y.test/https"),
                ("http://x.test/443", "302 to=https://x.test/443"),
                ("http://x.test/8443", "302 to=https://x.test:8443/8443"),
                ("http://x.test:8080/none", "302 to=http://y.test:8080/none"),
                ("http://x.test:8080/80", "302 to=http://y.test/80"),
                ("http://x.test:8080/https", "302 to=https://y.test/https"),
                ("https://x.test/none", "302 to=https://y.test/none"),
                ("https://x.test/8443", "302 to=https://y.test:8443/8443"),
                ("https://x.test/http", "302 to=http://y.test/http"),
                ("https://x.test/8080", "302 to=http://x.test:8080/8080"),
            ],
        ),
        row(
            "HTTPRouteRedirectScheme",
            vec![route(
                "r",
                json!([
                    filtered(&["/scheme"], redirect(json!({"scheme": "https"})), ""),
                    filtered(&["/host"], to_scheme("https"), ""),
                    filtered(
                        &["/code"],
                        redirect(json!({"scheme": "https", "statusCode": 301})),
                        ""
                    ),
                ]),
            )],
            &[],
            &[
                ("http://x.test/scheme", "302 to=https://x.test/scheme"),
                ("http://x.test/host", "302 to=https://y.test/host"),
                ("http://x.test/code", "301 to=https://x.test/code"),
            ],
        ),
    ]
}

fn headers() -> Vec<Row> {
    let own = |name: &str| {
        let backend = backends(name)[0].clone();
        with(backend, json!({"filters": [request(set("Backend", name))]}))
    };
    let response = filter(
        "ResponseHeaderModifier",
        "responseHeaderModifier",
        json!({
        "set": [{"name": "X-App", "value": "set"}], "add": [{"name": "X-New", "value": "added"}],
        "remove": ["X-None"]}),
    );
    let gone =
        filter("ResponseHeaderModifier", "responseHeaderModifier", json!({"remove": ["X-App"]}));
    let sent = format!("http://x.test/ {SENT}");
    vec![
        row(
            "HTTPRouteRequestHeaderModifier",
            vec![route("r", json!([filtered(&["/"], json!([changed()]), "v1")]))],
            &[],
            &[(&sent, &format!("v1 {GOT}"))],
        ),
        row(
            "HTTPRouteBackendRequestHeaderModifier",
            vec![route(
                "r",
                json!([with(
                    rule(&["/"], ""),
                    json!({"backendRefs": [
                with(backends("v1")[0].clone(), json!({"filters": [changed()]}))]})
                )]),
            )],
            &[],
            &[(&sent, &format!("v1 {GOT}"))],
        ),
        row(
            "HTTPRouteRequestHeaderModifierBackendWeights",
            vec![route("r", json!([{"backendRefs": [own("v1"), own("v2")]}]))],
            &[],
            &[("http://x.test/", "v1 req:backend=v1"), ("http://x.test/", "v2 req:backend=v2")],
        ),
        row(
            "HTTPRouteResponseHeaderModifier",
            vec![route(
                "r",
                json!([
                    filtered(&["/set"], json!([response]), "v1"),
                    filtered(&["/remove"], json!([gone]), "v1"),
                ]),
            )],
            &[],
            &[
                ("http://x.test/set", "v1 res:x-app=set res:x-new=added"),
                ("http://x.test/remove", "v1 no-res:x-app"),
            ],
        ),
    ]
}

fn rewrites() -> Vec<Row> {
    let sent = |path: &str| format!("http://x.test{path} {SENT}");
    vec![
        row(
            "HTTPRouteRewriteHost",
            vec![to(
                "same",
                "r",
                &["rewrite.test"],
                json!([
                    filtered(&["/one"], json!([rewrite(json!({"hostname": "one.test"}))]), "v1"),
                    filtered(&[], json!([rewrite(json!({"hostname": "two.test"}))]), "v2"),
                    filtered(
                        &["/headers"],
                        json!([rewrite(json!({"hostname": "three.test"})), changed()]),
                        "v2"
                    ),
                ]),
            )],
            &[],
            &[
                ("http://rewrite.test/one", "v1 host=one.test path=/one"),
                ("http://rewrite.test/two", "v2 host=two.test path=/two"),
                (
                    &format!("http://rewrite.test/headers {SENT}"),
                    &format!("v2 host=three.test {GOT}"),
                ),
            ],
        ),
        row(
            "HTTPRouteRewritePath",
            vec![route(
                "r",
                json!([
                    filtered(&["/prefix/one"], json!([rewrite(prefix("/one"))]), "v1"),
                    filtered(&["/strip"], json!([rewrite(prefix("/"))]), "v1"),
                    filtered(&["/full/one"], json!([rewrite(full("/one"))]), "v1"),
                    filtered(&["/full/headers"], json!([rewrite(full("/test")), changed()]), "v1"),
                    filtered(
                        &["/prefix/headers"],
                        json!([rewrite(prefix("/prefix")), changed()]),
                        "v1"
                    ),
                ]),
            )],
            &[],
            &[
                ("http://x.test/prefix/one/two?a=b", "v1 path=/one/two?a=b"),
                ("http://x.test/strip/three", "v1 path=/three"),
                ("http://x.test/strip", "v1 path=/"),
                ("http://x.test/full/one/two", "v1 path=/one"),
                (&sent("/full/headers/x"), &format!("v1 path=/test {GOT}")),
                (&sent("/prefix/headers/one"), &format!("v1 path=/prefix/one {GOT}")),
            ],
        ),
    ]
}

fn mirrors() -> Vec<Row> {
    let to_v2 = |more: Value| mirror("v2", more);
    vec![
        row(
            "HTTPRouteRequestMirror",
            vec![route(
                "r",
                json!([
                    filtered(&["/mirror"], json!([to_v2(json!({}))]), "v1"),
                    filtered(&["/headers"], json!([changed(), to_v2(json!({}))]), "v1"),
                ]),
            )],
            &[],
            &[
                ("10x http://x.test/mirror", "v1*10 copy:v2*10"),
                (&format!("http://x.test/headers {SENT}"), &format!("v1 {GOT}")),
            ],
        ),
        row(
            "HTTPRouteRequestMultipleMirrors",
            vec![route(
                "r",
                json!([filtered(&["/"], json!([to_v2(json!({})), mirror("v3", json!({}))]), "v1")]),
            )],
            &[],
            &[("10x http://x.test/", "v1*10 copy:v2*10 copy:v3*10")],
        ),
        row(
            "HTTPRouteRequestPercentageMirror",
            vec![route(
                "r",
                json!([
                    filtered(&["/percent"], json!([to_v2(json!({"percent": 20}))]), "v1"),
                    filtered(
                        &["/fraction"],
                        json!([to_v2(json!({"fraction": {"numerator": 1, "denominator": 2}}))]),
                        "v1"
                    ),
                ]),
            )],
            &[],
            &[
                ("100x http://x.test/percent", "v1*100 copy:v2*20"),
                ("100x http://x.test/fraction", "v1*100 copy:v2*50"),
            ],
        ),
    ]
}

fn timeouts() -> Vec<Row> {
    let timed =
        |path: &str, timeouts: Value| with(rule(&[path], "v1"), json!({ "timeouts": timeouts }));
    let rows = |id: &'static str, field: &str| {
        let rules =
            json!([timed("/timed", json!({field: "300ms"})), timed("/free", json!({field: "0s"}))]);
        let asked = [
            ("http://x.test/timed", "v1"),
            ("http://x.test/timed?delay=1000", "504"),
            ("http://x.test/free?delay=1000", "v1"),
        ];
        row(id, vec![route("r", rules)], &[], &asked)
    };
    vec![
        rows("HTTPRouteTimeoutRequest", "request"),
        rows("HTTPRouteTimeoutBackendRequest", "backendRequest"),
    ]
}

fn cors() -> Row {
    let rule_of =
        |path: &str, cors: Value| filtered(&[path], json!([filter("CORS", "cors", cors)]), "v1");
    let rules = json!([
        rule_of(
            "/one",
            json!({"allowOrigins": ["https://www.foo.test", "https://*.bar.test"],
            "allowMethods": ["GET", "OPTIONS"], "allowHeaders": ["x-1", "x-2"], "exposeHeaders": ["x-3", "x-4"],
            "allowCredentials": true, "maxAge": 3600})
        ),
        rule_of("/two", json!({"allowOrigins": ["https://www.foo.test"], "allowMethods": ["*"]})),
        rule_of("/any", json!({"allowOrigins": ["*"], "allowMethods": ["PUT"]})),
        rule_of(
            "/all",
            json!({"allowOrigins": ["*"], "allowMethods": ["*"], "allowHeaders": ["*"],
            "allowCredentials": true})
        ),
    ]);
    let asks = |path: &str, origin: &str, method: &str| {
        format!(
            "OPTIONS http://x.test{path} @Origin={origin} @Access-Control-Request-Method={method} \
            @Access-Control-Request-Headers=x-1,x-2"
        )
    };
    let told = |origin: &str| {
        format!(
            "204 res:access-control-allow-origin={origin} \
        res:access-control-allow-methods=get,+options res:access-control-allow-headers=x-1,+x-2 \
        res:access-control-expose-headers=x-3,+x-4 res:access-control-max-age=3600 \
        res:access-control-allow-credentials=true"
        )
    };
    let asked: Vec<(String, String)> = vec![
        (asks("/one", "https://www.foo.test", "GET"), told("https://www.foo.test")),
        (asks("/one", "https://www.bar.test", "GET"), told("https://www.bar.test")),
        (asks("/one", "https://a.www.bar.test", "GET"), told("https://a.www.bar.test")),
        (asks("/one", "https://foobar.test", "GET"), "204 no-res:access-control-allow-origin".to_owned()),
        (
            "http://x.test/one @Origin=https://www.foo.test".to_owned(),
            "v1 res:access-control-allow-origin=https://www.foo.test".to_owned(),
        ),
        (
            "http://x.test/one @Origin=https://foobar.test".to_owned(),
            "v1 no-res:access-control-allow-origin".to_owned(),
        ),
        (
            asks("/two", "https://www.foo.test", "POST"),
            "204 res:access-control-allow-methods=post no-res:access-control-allow-credentials".to_owned(),
        ),
        (
            asks("/any", "https://foobar.test:12345", "PUT"),
            "204 res:access-control-allow-origin=https://foobar.test:12345 res:access-control-allow-methods=put".to_owned(),
        ),
        (
            asks("/all", "https://other.test", "PUT"),
            "204 res:access-control-allow-methods=put res:access-control-allow-headers=x-1,x-2 \
             res:access-control-allow-credentials=true".to_owned(),
        ),
    ];
    Row { asked, ..row("HTTPRouteCORS", vec![route("r", rules)], &[], &[]) }
}
