//! What `oc rollout`, `oc rollback`, `oc start-build` and web hooks ask for below DeploymentConfigs, BuildConfigs and
//! builds.

mod common;

use common::*;
use serde_json::{Value, json};

const CONFIGS: &str = "/apis/apps.openshift.io/v1/namespaces/default/deploymentconfigs";
const RCS: &str = "/api/v1/namespaces/default/replicationcontrollers";
const BCS: &str = "/apis/build.openshift.io/v1/namespaces/default/buildconfigs";
const BUILDS: &str = "/apis/build.openshift.io/v1/namespaces/default/builds";

fn config(image: &str, triggers: Value) -> Value {
    json!({
        "apiVersion": "apps.openshift.io/v1", "kind": "DeploymentConfig", "metadata": { "name": "dc" },
        "spec": { "replicas": 1, "triggers": triggers, "template": {
            "metadata": { "labels": { "a": "b" } },
            "spec": { "containers": [{ "name": "c", "image": image }] },
        } },
    })
}

fn rollout(name: &str) -> Value {
    json!({ "kind": "DeploymentRequest", "apiVersion": "apps.openshift.io/v1", "name": name,
            "latest": true, "force": true })
}

/// The controller of a rollout, with the configuration that it was made of.
async fn rolled_out(api: &Harness, config: &Value, version: i64) {
    let controller = json!({
        "metadata": { "name": format!("dc-{version}"), "annotations": {
            "openshift.io/encoded-deployment-config": config.to_string(),
            "openshift.io/deployment.phase": "Failed",
        } },
        "spec": { "replicas": 0, "selector": { "a": "b" }, "template": config["spec"]["template"] },
    });
    api.post(RCS, &controller).await.ok();
}

fn verbs(list: &Value, name: &str) -> (Value, Value) {
    let all = list["resources"].as_array().unwrap();
    let one = all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{name}"));
    (one["kind"].clone(), one["verbs"].clone())
}

#[tokio::test]
async fn discovery_names_what_hangs_below() {
    let api = Harness::start().await;
    let apps = api.get("/apis/apps.openshift.io/v1").await.ok();
    let builds = api.get("/apis/build.openshift.io/v1").await.ok();
    for (list, name, kind, verb) in [
        (&apps, "deploymentconfigs/instantiate", "DeploymentRequest", "create"),
        (&apps, "deploymentconfigs/rollback", "DeploymentConfigRollback", "create"),
        (&apps, "deploymentconfigs/log", "DeploymentLog", "get"),
        (&builds, "buildconfigs/instantiate", "BuildRequest", "create"),
        (&builds, "buildconfigs/instantiatebinary", "BinaryBuildRequestOptions", "create"),
        (&builds, "buildconfigs/webhooks", "Build", "create"),
        (&builds, "builds/clone", "BuildRequest", "create"),
        (&builds, "builds/details", "Build", "update"),
        (&builds, "builds/log", "BuildLog", "get"),
    ] {
        assert_eq!(verbs(list, name), (json!(kind), json!([verb])), "{name}");
    }
}

#[tokio::test]
async fn a_rollout_is_asked_for_and_rolled_back() {
    let api = Harness::start().await;
    let first = api.post(CONFIGS, &config("a:1", json!([{ "type": "ConfigChange" }]))).await.ok();
    let path = format!("{CONFIGS}/dc/instantiate");
    let asked = api.post(&path, &rollout("dc")).await;
    assert_eq!(asked.code, 201);
    let status = &asked.ok()["status"];
    assert_eq!(status["latestVersion"], 1);
    assert_eq!(
        status["details"],
        json!({ "message": "manual change", "causes": [{ "type": "Manual" }] })
    );
    // There is nothing to compare with until the rollout is there.
    let (code, _, message) = api.post(&path, &rollout("dc")).await.refused();
    assert_eq!((code, message.as_str()), (404, "replicationcontrollers \"dc-1\" not found"));
    let back = format!("{CONFIGS}/dc/rollback");
    let wish = json!({ "name": "dc", "spec": { "revision": 0, "includeTemplate": true } });
    assert_eq!(
        api.post(&back, &wish).await.refused().2,
        "DeploymentConfigRollback.apps.openshift.io \"dc\" is invalid: name: Invalid value: \"dc\": no previous deployment exists for \"default/dc\""
    );
    rolled_out(&api, &first, 1).await;
    let unforced = json!({ "name": "dc", "latest": true });
    let same = api.post(&path, &unforced).await.ok();
    assert_eq!(
        (&same["kind"], &same["message"], &same["code"]),
        (&json!("Status"), &json!("deployment config \"dc\" cannot be instantiated"), &json!(204))
    );
    let changed = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "c", "image": "a:2" }] } } } });
    api.send("PATCH", &format!("{CONFIGS}/dc"), STRATEGIC, &changed).await.ok();
    let asked = api.post(&path, &unforced).await.ok();
    assert_eq!(
        (&asked["status"]["latestVersion"], &asked["status"]["details"]["message"]),
        (&json!(2), &json!("config change"))
    );
    let rolled = api.post(&back, &wish).await;
    assert_eq!(rolled.code, 201);
    let rolled = rolled.ok();
    assert_eq!(rolled["spec"]["template"]["spec"]["containers"][0]["image"], "a:1");
    assert_eq!(rolled["status"]["latestVersion"], 3);
    // The client writes it.
    let put = api.put(&format!("{CONFIGS}/dc"), &rolled).await.ok();
    assert_eq!(put["status"]["latestVersion"], 3);
    api.send("PATCH", &format!("{CONFIGS}/dc"), MERGE, &json!({ "spec": { "paused": true } }))
        .await
        .ok();
    let (code, _, message) = api.post(&path, &rollout("dc")).await.refused();
    assert_eq!(code, 422);
    assert!(
        message
            .contains("deployment config \"dc\" is paused - unpause to request a new deployment"),
        "{message}"
    );
    assert_eq!(api.post(&format!("{CONFIGS}/no/instantiate"), &rollout("no")).await.code, 404);
    let (code, _, message) = api.post(&path, &rollout("other")).await.refused();
    assert_eq!(code, 400, "{message}");
}

#[tokio::test]
async fn a_rollout_waits_for_images_that_are_not_known() {
    let api = Harness::start().await;
    let trigger = json!([{ "type": "ImageChange", "imageChangeParams": {
        "automatic": true, "containerNames": ["c"], "from": { "kind": "ImageStreamTag", "name": "app:latest" } } }]);
    api.post(CONFIGS, &config(" ", trigger)).await.ok();
    let path = format!("{CONFIGS}/dc/instantiate");
    let (code, _, message) = api.post(&path, &rollout("dc")).await.refused();
    assert_eq!(
        (code, message.as_str()),
        (400, "cannot trigger a deployment for \"dc\" because it contains unresolved images")
    );
    let tag = json!({ "metadata": { "name": "app:latest" },
        "tag": { "reference": true, "from": { "kind": "DockerImage", "name": "q.test/app:1" } } });
    api.put("/apis/image.openshift.io/v1/namespaces/default/imagestreamtags/app:latest", &tag)
        .await
        .ok();
    let asked = api.post(&path, &json!({ "name": "dc", "latest": true })).await.ok();
    assert_eq!(asked["spec"]["template"]["spec"]["containers"][0]["image"], "q.test/app:1");
    assert_eq!(asked["status"]["details"]["message"], "image change");
}

#[tokio::test]
async fn logs_of_rollouts_say_what_there_is_not() {
    let api = Harness::start().await;
    let made = api.post(CONFIGS, &config("a:1", json!([]))).await.ok();
    for (path, code, message) in [
        ("no/log", 404, "deploymentconfig.apps.openshift.io \"no\" not found"),
        ("dc/log", 400, "no deployment exists for deploymentConfig \"dc\""),
        (
            "dc/log?version=0",
            422,
            "DeploymentLogOptions.apps.openshift.io \"\" is invalid: version: Invalid value: 0: deployment version must be greater than 0",
        ),
    ] {
        let (seen, _, text) = api.get(&format!("{CONFIGS}/{path}")).await.refused();
        assert_eq!((seen, text.as_str()), (code, message), "{path}");
    }
    api.post(&format!("{CONFIGS}/dc/instantiate"), &rollout("dc")).await.ok();
    let text = api.get(&format!("{CONFIGS}/dc/log?version=7")).await.refused().2;
    assert_eq!(text, "invalid version for deploymentConfig \"dc\": 7");
    let text = api.get(&format!("{CONFIGS}/dc/log?previous=true")).await.refused().2;
    assert_eq!(text, "no previous deployment exists for deploymentConfig \"dc\"");
    rolled_out(&api, &made, 1).await;
    let text = api.get(&format!("{CONFIGS}/dc/log")).await.refused().2;
    assert_eq!(text, "pods \"dc-1-deploy\" not found");
}

fn build_config(triggers: Value) -> Value {
    json!({
        "apiVersion": "build.openshift.io/v1", "kind": "BuildConfig",
        "metadata": { "name": "bc", "labels": { "app": "x" } },
        "spec": {
            "source": { "git": { "uri": "https://git.test/x" } }, "triggers": triggers,
            "strategy": { "dockerStrategy": { "from": { "kind": "DockerImage", "name": "base:1" },
                                              "env": [{ "name": "A", "value": "1" }] } },
        },
    })
}

#[tokio::test]
async fn a_build_is_made_of_its_configuration() {
    let api = Harness::start().await;
    api.post(BCS, &build_config(json!([]))).await.ok();
    let path = format!("{BCS}/bc/instantiate");
    let asked = json!({ "kind": "BuildRequest", "apiVersion": "build.openshift.io/v1", "metadata": { "name": "bc" },
                        "env": [{ "name": "B", "value": "2" }] });
    let made = api.post(&path, &asked).await;
    assert_eq!(made.code, 201);
    let build = made.ok();
    assert_eq!((&build["kind"], &build["metadata"]["name"]), (&json!("Build"), &json!("bc-1")));
    assert_eq!(build["spec"]["triggeredBy"], json!([{ "message": "Manually triggered" }]));
    assert_eq!(
        build["spec"]["strategy"]["dockerStrategy"]["env"],
        json!([{ "name": "A", "value": "1" }, { "name": "B", "value": "2" }])
    );
    assert_eq!(build["metadata"]["labels"]["openshift.io/build-config.name"], "bc");
    assert_eq!(build["status"]["phase"], "New");
    let config = api.get(&format!("{BCS}/bc")).await.ok();
    assert_eq!(config["status"]["lastVersion"], 1);
    let mut late = asked.clone();
    late["lastVersion"] = 0.into();
    assert_eq!(
        api.post(&path, &late).await.refused().2,
        "the LastVersion(1) on build config default/bc does not match the build request LastVersion(0)"
    );
    let wrong =
        json!({ "metadata": { "name": "bc" }, "sourceStrategyOptions": { "incremental": true } });
    assert_eq!(
        api.post(&path, &wrong).await.refused().2,
        "Cannot specify Source build specific options on default/bc, not a Source build."
    );
    let again = api
        .post(&format!("{BUILDS}/bc-1/clone"), &json!({ "metadata": { "name": "bc-1" } }))
        .await
        .ok();
    assert_eq!(
        (
            &again["metadata"]["name"],
            &again["metadata"]["annotations"]["openshift.io/build.clone-of"]
        ),
        (&json!("bc-2"), &json!("bc-1"))
    );
    let pause =
        json!({ "metadata": { "annotations": { "openshift.io/build-config.paused": "true" } } });
    api.send("PATCH", &format!("{BCS}/bc"), MERGE, &pause).await.ok();
    assert_eq!(
        api.post(&path, &asked).await.refused().2,
        "can't instantiate from BuildConfig default/bc: BuildConfig is paused"
    );
}

/// Red when a build keeps what a later write of its status leaves out: it is refused as another build, and stays New for ever.
#[tokio::test]
async fn a_build_that_was_asked_for_with_an_empty_wish_is_told_of() {
    let api = Harness::start().await;
    api.post(BCS, &build_config(json!([]))).await.ok();
    let asked = json!({ "kind": "BuildRequest", "apiVersion": "build.openshift.io/v1",
        "metadata": { "name": "bc" }, "dockerStrategyOptions": { "noCache": false } });
    api.post(&format!("{BCS}/bc/instantiate"), &asked).await.ok();
    let begun = json!({ "status": { "phase": "Pending" } });
    let told = api.send("PATCH", &format!("{BUILDS}/bc-1"), MERGE, &begun).await.ok();
    assert_eq!(told["status"]["phase"], "Pending");
}

/// Red when whoever sends input for a build that cannot begin waits for ever, or sees a success.
#[tokio::test]
async fn input_of_a_build_that_fails_is_refused() {
    let api = Harness::start().await;
    api.post(BCS, &build_config(json!([]))).await.ok();
    let path = format!("{BCS}/bc/instantiatebinary?asFile=app.jar&revision.commit=abc");
    let fails = async {
        let build = loop {
            let found = api.get(&format!("{BUILDS}/bc-1")).await;
            if found.code == 200 {
                break found.ok();
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(build["spec"]["source"]["binary"]["asFile"], "app.jar");
        assert_eq!(build["spec"]["revision"]["git"]["commit"], "abc");
        let mut failed = build.clone();
        failed["status"]["phase"] = "Error".into();
        failed["status"]["message"] = "there is no node".into();
        api.put(&format!("{BUILDS}/bc-1"), &failed).await.ok();
    };
    let (sent, ()) = tokio::join!(api.raw("POST", &path, &[], b"tar"), fails);
    let (code, _, message) = sent.refused();
    assert_eq!(
        (code, message.as_str()),
        (400, "build \"bc-1\" encountered an error: there is no node")
    );
}

#[tokio::test]
async fn a_build_tells_of_itself_and_has_logs() {
    let api = Harness::start().await;
    api.post(BCS, &build_config(json!([]))).await.ok();
    let mut build = api
        .post(&format!("{BCS}/bc/instantiate"), &json!({ "metadata": { "name": "bc" } }))
        .await
        .ok();
    assert_eq!(api.get(&format!("{BUILDS}/bc-1/log?nowait=true")).await.body.len(), 0);
    build["status"]["phase"] = "Failed".into();
    build["status"]["reason"] = "FetchSourceFailed".into();
    build["spec"]["revision"] = json!({ "type": "Git", "git": { "commit": "abc" } });
    build["metadata"]["labels"]["x"] = "y".into();
    let told = api.put(&format!("{BUILDS}/bc-1/details"), &build).await.ok();
    assert_eq!(told["status"]["phase"], "Failed");
    assert_eq!(told["spec"]["revision"]["git"]["commit"], "abc");
    assert_eq!(told["metadata"]["labels"].get("x"), None);
    assert_eq!(
        api.get(&format!("{BUILDS}/bc-1/log")).await.refused().2,
        "pod \"bc-1-build\" not found"
    );
    let mut other = told;
    other["spec"]["revision"]["git"]["commit"] = "def".into();
    let (code, _, message) = api.put(&format!("{BUILDS}/bc-1/details"), &other).await.refused();
    assert_eq!(code, 422);
    assert!(message.contains("spec.revision: Duplicate value"), "{message}");
}

#[tokio::test]
async fn web_hooks_start_builds_for_who_knows_the_secret() {
    let api = Harness::start().await;
    let triggers = json!([
        { "type": "GitHub", "github": { "secret": "s3" } },
        { "type": "Generic", "generic": { "secretReference": { "name": "hook" }, "allowEnv": true } },
    ]);
    api.post(BCS, &build_config(triggers)).await.ok();
    let kept =
        json!({ "metadata": { "name": "hook" }, "stringData": { "WebHookSecretKey": "kept" } });
    api.post("/api/v1/namespaces/default/secrets", &kept).await.ok();
    let hook = format!("{BCS}/bc/webhooks");
    let push = json!({ "ref": "refs/heads/master", "head_commit": { "id": "abc", "message": "m",
                       "author": { "name": "n", "email": "e" } } });
    let event =
        |name: &'static str| vec![("content-type", "application/json"), ("x-github-event", name)];
    let body = push.to_string();
    let called =
        api.raw("POST", &format!("{hook}/s3/github"), &event("push"), body.as_bytes()).await;
    assert_eq!(called.code, 200);
    let build = called.ok();
    assert_eq!(build["spec"]["revision"]["git"]["commit"], "abc");
    assert_eq!(build["spec"]["triggeredBy"][0]["githubWebHook"]["secret"], "<secret>", "{build}");
    let ping = api.raw("POST", &format!("{hook}/s3/github"), &event("ping"), b"").await;
    assert_eq!((ping.code, ping.body.len()), (200, 0));
    let other = json!({ "ref": "refs/heads/other" }).to_string();
    let other =
        api.raw("POST", &format!("{hook}/s3/github"), &event("push"), other.as_bytes()).await;
    assert_eq!((other.code, other.body.len()), (200, 0));
    let json_type = [("content-type", "application/json")];
    let generic = api
        .raw(
            "POST",
            &format!("{hook}/kept/generic"),
            &json_type,
            br#"{"env":[{"name":"X","value":"1"}]}"#,
        )
        .await;
    assert_eq!(generic.code, 200);
    assert!(
        generic.headers["warning"]
            .to_str()
            .unwrap()
            .contains("no git information found in payload")
    );
    assert_eq!(generic.ok()["metadata"]["name"], "bc-2");
    for (path, headers, code, message) in [
        (
            "wrong/github",
            event("push"),
            401,
            "the webhook \"github\" for \"bc\" did not accept your secret",
        ),
        (
            "s3/gitlab",
            event("push"),
            401,
            "the webhook \"gitlab\" for \"bc\" did not accept your secret",
        ),
        (
            "s3/telnet",
            event("push"),
            404,
            "buildconfighook.build.openshift.io \"telnet\" not found",
        ),
        ("s3", event("push"), 400, "unexpected hook subpath s3"),
        ("s3/github", event("star"), 400, "Unknown X-GitHub-Event or X-Gogs-Event star"),
        (
            "s3/github",
            vec![("content-type", "application/json")],
            400,
            "missing X-GitHub-Event or X-Gogs-Event",
        ),
        (
            "s3/github",
            vec![("content-type", "text/plain")],
            400,
            "unsupported Content-Type text/plain",
        ),
    ] {
        let answer = api.raw("POST", &format!("{hook}/{path}"), &headers, body.as_bytes()).await;
        let (seen, _, text) = answer.refused();
        assert_eq!((seen, text.as_str()), (code, message), "{path}");
    }
    let gone =
        api.raw("POST", &format!("{BCS}/no/webhooks/s3/github"), &event("push"), b"{}").await;
    assert_eq!(gone.refused().2, "the webhook \"github\" for \"no\" did not accept your secret");
}
