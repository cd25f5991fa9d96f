//! What operators look at: the server's numbers and its health.

mod common;

use common::*;
use http_body_util::{BodyExt, Empty};
use serde_json::{Value, json};
use tower_service::Service;

async fn page(api: &Harness) -> String {
    let read = api.get("/metrics").await;
    assert_eq!(read.code, 200);
    String::from_utf8(read.body.to_vec()).unwrap()
}

/// The number of the sample that begins so, if it is there.
fn number(page: &str, sample: &str) -> Option<f64> {
    let line = page.lines().find(|line| line.starts_with(sample))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

#[tokio::test]
async fn requests_are_counted_in_the_words_of_upstream() {
    let api = Harness::start().await;
    api.post(CONFIG_MAPS, &config_map("a")).await.ok();
    api.post(CONFIG_MAPS, &config_map("a")).await.refused();
    api.post(&format!("{CONFIG_MAPS}?dryRun=All"), &config_map("b")).await.ok();
    api.get(&format!("{CONFIG_MAPS}/a")).await.ok();
    api.get(&format!("{CONFIG_MAPS}/none")).await.refused();
    api.get(CONFIG_MAPS).await.ok();
    api.get("/api/v1/configmaps").await.ok();
    api.get("/livez").await;
    let page = page(&api).await;
    let total = |code: &str, dry_run: &str, scope: &str, verb: &str| {
        let labels = format!(
            "{{code=\"{code}\",dry_run=\"{dry_run}\",component=\"apiserver\",group=\"\",\
             resource=\"configmaps\",scope=\"{scope}\",subresource=\"\",verb=\"{verb}\",version=\"v1\"}}"
        );
        number(&page, &format!("apiserver_request_total{labels}"))
    };
    for (code, dry_run, scope, verb, count) in [
        ("201", "", "resource", "POST", 1.0),
        ("409", "", "resource", "POST", 1.0),
        ("201", "All", "resource", "POST", 1.0),
        ("200", "", "resource", "GET", 1.0),
        ("404", "", "resource", "GET", 1.0),
        ("200", "", "namespace", "LIST", 1.0),
        ("200", "", "cluster", "LIST", 1.0),
    ] {
        assert_eq!(total(code, dry_run, scope, verb), Some(count), "{verb} {code}: {page}");
    }
    let health = "apiserver_request_total{code=\"200\",dry_run=\"\",component=\"\",group=\"\",\
                  resource=\"\",scope=\"\",subresource=\"livez\"";
    assert_eq!(number(&page, health), Some(1.0), "{page}");
    for (sample, at_least) in [
        ("apiserver_request_duration_seconds_count{dry_run=\"All\"", 1.0),
        ("apiserver_response_sizes_count{", 1.0),
        ("etcd_requests_total{group=\"\",operation=\"create\",resource=\"configmaps\"}", 2.0),
        ("etcd_request_duration_seconds_count{group=\"\",operation=\"create\"", 1.0),
        ("apiserver_storage_objects{resource=\"configmaps\"}", 1.0),
        ("apiserver_storage_objects{resource=\"deployments.apps\"}", 0.0),
        ("apiserver_resource_objects{group=\"\",resource=\"configmaps\"}", 1.0),
        ("apiserver_current_inflight_requests{request_kind=\"readOnly\"}", 1.0),
        ("process_start_time_seconds ", 1.0),
        ("kubernetes_build_info{", 1.0),
    ] {
        let found = number(&page, sample);
        assert!(found.is_some_and(|found| found >= at_least), "{sample} {found:?}: {page}");
    }
}

#[tokio::test]
async fn a_watch_is_counted_while_it_runs_and_when_it_is_over() {
    let api = Harness::start().await;
    let mut watch = api.watch(&format!("{CONFIG_MAPS}?watch=true")).await;
    api.post(CONFIG_MAPS, &config_map("a")).await.ok();
    assert_eq!(watch.named().await.0, "ADDED");
    let labels = "component=\"apiserver\",group=\"\",resource=\"configmaps\",scope=\"namespace\",\
                  subresource=\"\",verb=\"WATCH\",version=\"v1\"}";
    let running = format!("apiserver_longrunning_requests{{{labels}");
    let over = format!("apiserver_request_total{{code=\"200\",dry_run=\"\",{labels}");
    let during = page(&api).await;
    assert_eq!((number(&during, &running), number(&during, &over)), (Some(1.0), None), "{during}");
    let events = "apiserver_watch_events_total{group=\"\",resource=\"configmaps\",version=\"v1\"}";
    assert_eq!(number(&during, events), Some(1.0));
    drop(watch);
    let after = page(&api).await;
    assert_eq!((number(&after, &running), number(&after, &over)), (Some(0.0), Some(1.0)));
}

/// Red when a label, a bound or a line breaks the grammar of either format.
#[tokio::test]
async fn every_line_is_a_comment_or_a_number() {
    let api = Harness::start().await;
    api.get(CONFIG_MAPS).await.ok();
    for accept in ["text/plain", "application/openmetrics-text;version=1.0.0"] {
        let read = api.raw("GET", "/metrics", &[("accept", accept)], b"").await;
        let text = String::from_utf8(read.body.to_vec()).unwrap();
        let mut families = std::collections::BTreeSet::new();
        for line in text.lines() {
            match line.strip_prefix("# ") {
                Some(comment) => {
                    let family = comment.strip_prefix("TYPE ");
                    assert!(family.is_none_or(|name| families.insert(name.to_owned())), "{line}");
                }
                None => {
                    let (name, value) = line.rsplit_once(' ').unwrap();
                    assert!(value.parse::<f64>().is_ok(), "{line}");
                    assert_eq!(name.contains('{'), name.ends_with('}'), "{line}");
                }
            }
        }
        assert_eq!(text.ends_with("# EOF\n"), accept.contains("openmetrics"));
    }
}

async fn health(api: &Harness, path: &str) -> (u16, String) {
    let read = api.get(path).await;
    (read.code, String::from_utf8(read.body.to_vec()).unwrap())
}

#[tokio::test]
async fn health_tells_each_check_when_asked() {
    let api = Harness::start().await;
    for (path, text) in [
        ("/livez", "ok"),
        ("/readyz", "ok"),
        ("/healthz", "ok"),
        ("/livez?verbose", "[+]ping ok\n[+]log ok\nlivez check passed\n"),
        (
            "/readyz?verbose",
            "[+]ping ok\n[+]log ok\n[+]etcd ok\n[+]informer-sync ok\n[+]shutdown ok\n[+]objects ok\nreadyz check passed\n",
        ),
        (
            "/healthz?verbose&exclude=etcd&exclude=b&exclude=a",
            "[+]ping ok\n[+]log ok\n[+]etcd excluded: ok\nwarn: some health checks cannot be excluded: no matches for \"a\",\"b\"\nhealthz check passed\n",
        ),
        ("/livez?exclude=ping", "ok"),
        ("/livez/ping", "ok"),
        ("/livez/log", "ok"),
        ("/livez/etcd", "ok"),
        ("/healthz/etcd", "ok"),
        ("/readyz/etcd", "ok"),
        ("/readyz/informer-sync", "ok"),
        ("/readyz/shutdown", "ok"),
    ] {
        assert_eq!(health(&api, path).await, (200, text.to_owned()), "{path}");
    }
    assert_eq!(api.get("/readyz/none").await.code, 404);
    assert_eq!(api.get("/livez/shutdown").await.code, 404);
    let paths = api.get("/").await.ok();
    assert!(paths["paths"].as_array().unwrap().contains(&"/readyz/shutdown".into()));
}

#[tokio::test]
async fn a_server_that_stops_is_alive_but_not_ready() {
    let api = Harness::start().await;
    let admin = api.admin();
    api.server.shutdown(PATIENCE).await;
    let asked = async |path: &str| {
        let request = http::Request::get(path).body(Empty::<bytes::Bytes>::new()).unwrap();
        let answer = admin.clone().call(request).await.unwrap();
        let (code, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        Read { code, headers, body }
    };
    let ready = asked("/readyz").await;
    assert_eq!(ready.code, 500);
    let text = String::from_utf8(ready.body.to_vec()).unwrap();
    assert!(text.contains("[-]shutdown failed: reason withheld\n"), "{text}");
    assert!(text.ends_with("readyz check failed\n"), "{text}");
    assert_eq!(
        asked("/readyz?exclude=shutdown&exclude=etcd&exclude=informer-sync").await.code,
        200
    );
    assert_eq!(asked("/livez").await.code, 200);
    let alone = asked("/readyz/shutdown").await;
    assert_eq!(&alone.body[..], b"internal server error: process is shutting down\n");
}

#[tokio::test]
async fn components_tell_how_they_are_as_long_as_somebody_asks() {
    let api = Harness::start().await;
    let path = "/api/v1/componentstatuses";
    let list = api.get(path).await;
    let warning = list.headers["warning"].to_str().unwrap();
    assert_eq!(warning, "299 - \"v1 ComponentStatus is deprecated in v1.19+\"");
    let list = list.ok();
    assert_eq!((&list["kind"], &list["metadata"]), (&"ComponentStatusList".into(), &json!({})));
    let names: Vec<&Value> =
        list["items"].as_array().unwrap().iter().map(|one| &one["metadata"]["name"]).collect();
    assert_eq!(names, ["controller-manager", "etcd-0", "scheduler"]);
    let store = api.get(&format!("{path}/etcd-0")).await.ok();
    let healthy = json!([{ "type": "Healthy", "status": "True", "message": "ok" }]);
    assert_eq!(store["conditions"], healthy);
    let scheduler = async || api.get(&format!("{path}/scheduler")).await.ok()["conditions"].clone();
    assert_eq!(scheduler().await[0]["status"], "False");
    let now = leme_meta::time::micros(jiff::Timestamp::now());
    let lease = json!({
        "metadata": { "name": "kube-scheduler" },
        "spec": { "holderIdentity": "a", "leaseDurationSeconds": 60, "renewTime": now },
    });
    api.post("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases", &lease).await.ok();
    assert_eq!(scheduler().await, healthy);
    // Red when one stands for the other: each may be left out, and be somebody else's program.
    let other = api.get(&format!("{path}/controller-manager")).await.ok();
    let why = "nobody holds the lease kube-system/kube-controller-manager";
    assert_eq!(other["conditions"][0]["message"], why);

    // Those that run with the server hold none.
    let one = Harness::with(|config| config.within = vec!["controller-manager"]).await;
    let shown = one.get(&format!("{path}/controller-manager")).await.ok();
    assert_eq!(shown["conditions"], healthy);
    let shown = one.get(&format!("{path}/scheduler")).await.ok();
    assert_eq!(shown["conditions"][0]["status"], "False");

    let table = "application/json;as=Table;g=meta.k8s.io;v=v1";
    let accept = [("accept", table)];
    let query = "?fieldSelector=metadata.name%3Detcd-0";
    let shown = api.raw("GET", &format!("{path}{query}"), &accept, b"").await.ok();
    assert_eq!(shown["rows"].as_array().unwrap().len(), 1);
    assert_eq!(shown["rows"][0]["cells"], json!(["etcd-0", "Healthy", "ok", ""]));
    assert_eq!(api.get(&format!("{path}?labelSelector=a")).await.ok()["items"], json!([]));
    assert_eq!(api.get(&format!("{path}/none")).await.refused().0, 404);
    assert_eq!(api.post(path, &json!({})).await.code, 405);
}

// Red without them: `kubectl get flowschemas,servicecidrs` showed nothing.
#[tokio::test]
async fn a_cluster_has_its_flow_schemas_and_the_network_of_services() {
    let api = Harness::start().await;
    let group = "/apis/flowcontrol.apiserver.k8s.io/v1";
    let schemas = format!("{group}/flowschemas");
    let list = api.get(&schemas).await.ok();
    let list = list["items"].as_array().unwrap();
    assert_eq!(list.len(), 11);
    let levels = api.get(&format!("{group}/prioritylevelconfigurations")).await.ok();
    let levels: Vec<&Value> =
        levels["items"].as_array().unwrap().iter().map(|one| &one["metadata"]["name"]).collect();
    assert_eq!(levels.len(), 8);
    for schema in list {
        assert!(levels.contains(&&schema["spec"]["priorityLevelConfiguration"]["name"]));
        let condition = &schema["status"]["conditions"][0];
        assert_eq!(
            (&condition["type"], &condition["status"]),
            (&json!("Dangling"), &json!("False"))
        );
    }
    let probes = api.get(&format!("{schemas}/probes")).await.ok();
    assert_eq!(
        probes["spec"]["rules"][0]["nonResourceRules"],
        json!([{ "verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"] }])
    );

    // What follows the program is put right; what says that it does not, stays.
    let own = json!({
        "metadata": { "annotations": { "apf.kubernetes.io/autoupdate-spec": "false" } },
        "spec": { "matchingPrecedence": 7 },
    });
    api.send("PATCH", &format!("{schemas}/probes"), MERGE, &own).await.ok();
    let other = json!({ "spec": { "matchingPrecedence": 7 } });
    let name = format!("{schemas}/system-nodes");
    let changed = api.send("PATCH", &name, MERGE, &other).await.ok();
    let revision = changed["metadata"]["resourceVersion"].as_str().unwrap();
    let query =
        format!("?watch=1&fieldSelector=metadata.name%3Dsystem-nodes&resourceVersion={revision}");
    let event = api.watch(&format!("{schemas}{query}")).await.next().await.unwrap();
    assert_eq!(event["object"]["spec"]["matchingPrecedence"], 500);
    let probes = api.get(&format!("{schemas}/probes")).await.ok();
    assert_eq!(probes["spec"]["matchingPrecedence"], 7);

    let networks = "/apis/networking.k8s.io/v1/servicecidrs";
    let network = api.get(&format!("{networks}/kubernetes")).await.ok();
    assert_eq!(network["spec"]["cidrs"], json!(["10.96.0.0/16"]));
    let condition = &network["status"]["conditions"][0];
    assert_eq!((&condition["type"], &condition["status"]), (&json!("Ready"), &json!("True")));
}

// Red without them: `kubectl get ipaddresses` showed nothing, whatever Services there were.
#[tokio::test]
async fn each_address_of_a_service_has_an_object() {
    let api = Harness::start().await;
    let addresses = "/apis/networking.k8s.io/v1/ipaddresses";
    let mut watch = api.watch(&format!("{addresses}?watch=1&resourceVersion=0")).await;
    assert_eq!(watch.named().await, ("ADDED".to_owned(), "10.96.0.1".to_owned()));
    let services = "/api/v1/namespaces/default/services";
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "s" },
        "spec": { "ports": [{ "port": 80 }] },
    });
    let made = api.post(services, &service).await.ok();
    let ip = made["spec"]["clusterIP"].as_str().unwrap();
    let added = watch.next().await.unwrap();
    assert_eq!(
        (&added["type"], &added["object"]["metadata"]["name"]),
        (&json!("ADDED"), &json!(ip))
    );
    assert_eq!(
        added["object"]["spec"],
        json!({ "parentRef": { "group": "", "resource": "services", "namespace": "default", "name": "s" } })
    );
    assert_eq!(
        added["object"]["metadata"]["labels"],
        json!({ "ipaddress.kubernetes.io/ip-family": "IPv4", "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io" })
    );
    // One that is taken away comes again; one whose Service goes, goes.
    api.delete(&format!("{addresses}/{ip}")).await.ok();
    for word in ["DELETED", "ADDED"] {
        assert_eq!(watch.named().await, (word.to_owned(), ip.to_owned()));
    }
    api.delete(&format!("{services}/s")).await.ok();
    assert_eq!(watch.named().await, ("DELETED".to_owned(), ip.to_owned()));
}
