//! People who log in with a password, have projects, and do not reach into those of others: by the requests that `oc` sends.

use leme_live::{Host, tool, until};
use serde_json::{Value, json};

/// Of ann, bob and cid, whose passwords are `myPassword`: Apache's MD5, bcrypt and SHA-1.
const PASSWORDS: &str = "\
ann:$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/
bob:$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC
cid:{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE=
";
const SERVER: &str = "https://127.0.0.1:6443";
const PROJECTS: &str = "/apis/project.openshift.io/v1/projects";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
/// A word that somebody makes up, and its digest, as RFC 7636 has them.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// Somebody who has logged in.
struct Person<'a> {
    host: &'a Host,
    token: String,
}

fn curl(host: &Host, words: &str) -> leme_live::Program {
    let authority = host.data().join("pki/ca.crt");
    host.program(tool("curl", "curl"))
        .words("-sS --max-time 20 --cacert")
        .arg(authority)
        .words(words)
}

/// `oc login -u USER -p PASSWORD`: the token.
fn log_in<'a>(host: &'a Host, user: &str, password: &str) -> Result<Person<'a>, String> {
    let told =
        curl(host, "").arg(format!("{SERVER}/.well-known/oauth-authorization-server")).run().ok();
    let told: Value = serde_json::from_str(&told).unwrap();
    let authorize = format!(
        "{}?client_id=openshift-challenging-client&code_challenge={CHALLENGE}&code_challenge_method=S256\
         &redirect_uri={SERVER}/oauth/token/implicit&response_type=code",
        told["authorization_endpoint"].as_str().unwrap()
    );
    let asked = |words: &str| {
        let headers = curl(host, "-D - -o /dev/null -H X-CSRF-Token:1").words(words);
        headers.arg(&authorize).run().ok()
    };
    let challenge = asked("").to_lowercase();
    assert!(challenge.contains("www-authenticate: basic realm=\"openshift\""), "{challenge}");
    let answer = asked(&format!("-u {user}:{password}"));
    let location = answer.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("location").then_some(value.trim())
    });
    let Some((_, code)) = location.and_then(|location| location.split_once("code=")) else {
        return Err(answer);
    };
    let code = code.split('&').next().unwrap();
    let form = format!(
        "grant_type=authorization_code&code={code}&code_verifier={VERIFIER}&redirect_uri={SERVER}/oauth/token/implicit"
    );
    let token = curl(host, "-u openshift-challenging-client: -d").arg(form);
    let token = token.arg(told["token_endpoint"].as_str().unwrap()).run().ok();
    let token: Value = serde_json::from_str(&token).unwrap();
    Ok(Person { host, token: token["access_token"].as_str().unwrap().to_owned() })
}

impl Person<'_> {
    fn ask_with(&self, words: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let mut request = curl(self.host, "-w \\n%{http_code} -X").arg(method).words(words);
        request = request.arg("-H").arg(format!("Authorization: Bearer {}", self.token));
        if !body.is_null() {
            let type_ = if method == "PATCH" { "merge-patch+json" } else { "json" };
            request = request.arg("-H").arg(format!("Content-Type: application/{type_}"));
            request = request.arg("-d").arg(body.to_string());
        }
        let answer = request.arg(format!("{SERVER}{path}")).run().ok();
        let (body, code) = answer.rsplit_once('\n').unwrap();
        (code.parse().unwrap(), serde_json::from_str(body).unwrap_or_else(|_| json!(body)))
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        self.ask_with("", method, path, body)
    }

    fn ok(&self, method: &str, path: &str, body: &Value) -> Value {
        let (code, answer) = self.ask(method, path, body);
        assert!(code < 300, "{method} {path}: {code} {answer}");
        answer
    }

    /// `oc new-project NAME`.
    fn new_project(&self, name: &str) -> Value {
        let requests = "/apis/project.openshift.io/v1/projectrequests";
        assert_eq!(self.ok("GET", requests, &Value::Null)["status"], "Success");
        let wish = json!({
            "kind": "ProjectRequest", "apiVersion": "project.openshift.io/v1",
            "metadata": { "name": name }, "displayName": format!("All of {name}"),
        });
        self.ok("POST", requests, &wish)
    }

    /// `oc projects`.
    fn projects(&self) -> Vec<String> {
        let list = self.ok("GET", PROJECTS, &Value::Null);
        let name = |one: &Value| one["metadata"]["name"].as_str().unwrap().to_owned();
        list["items"].as_array().unwrap().iter().map(name).collect()
    }
}

fn started(host: &Host) {
    let passwords = host.folder().join("passwords");
    std::fs::write(&passwords, PASSWORDS).unwrap();
    host.up(&format!("--no-node --htpasswd-file {}", passwords.display())).ok();
    until("what an admin may has been put together", || {
        host.kubectl("auth can-i create deployments --as=x --as-group=y").run();
        let role = host.kubectl("get clusterrole admin -o jsonpath={.rules}").run().ok();
        role.contains("project.openshift.io") && role.contains("deployments")
    });
}

fn bound(name: &str, role: &str, user: &str) -> Value {
    json!({
        "metadata": { "name": name },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user }],
    })
}

/// Red when a password lets in nobody or anybody, and when somebody sees what they have no right to.
#[test]
fn people_log_in_and_have_projects() {
    let host = Host::new();
    started(&host);
    for (user, password) in [("ann", "wrong"), ("eve", "myPassword"), ("kube:admin", "myPassword")]
    {
        let refused = log_in(&host, user, password).err().expect("nobody gets in");
        assert!(refused.contains("401"), "{refused}");
    }
    let [ann, bob, cid] =
        ["ann", "bob", "cid"].map(|user| log_in(&host, user, "myPassword").unwrap());
    // `oc whoami`, and what kubectl asks for the same.
    let who = ann.ok("GET", "/apis/user.openshift.io/v1/users/~", &Value::Null);
    assert_eq!(who["metadata"]["name"], "ann");
    assert_eq!(who["groups"], json!(["system:authenticated", "system:authenticated:oauth"]));
    let review = json!({ "kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1" });
    let who = bob.ok("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", &review);
    assert_eq!(who["status"]["userInfo"]["username"], "bob");
    assert_eq!(ann.projects(), [""; 0]);
    let made = ann.new_project("shop");
    assert_eq!(made["metadata"]["annotations"]["openshift.io/requester"], "ann");
    bob.new_project("farm");
    assert_eq!(
        (ann.projects(), bob.projects(), cid.projects()),
        (vec!["shop".to_owned()], vec!["farm".to_owned()], vec![])
    );
    // She does in it what she likes; and lets him look, as `oc adm policy add-role-to-user view bob -n shop` does.
    let map = json!({ "metadata": { "name": "m" }, "data": { "k": "v" } });
    ann.ok("POST", "/api/v1/namespaces/shop/configmaps", &map);
    assert_eq!(bob.ask("GET", "/api/v1/namespaces/shop/configmaps/m", &Value::Null).0, 403);
    let bindings = format!("{RBAC}/namespaces/shop/rolebindings");
    ann.ok("POST", &bindings, &bound("view", "view", "bob"));
    assert_eq!(
        bob.ok("GET", "/api/v1/namespaces/shop/configmaps/m", &Value::Null)["data"]["k"],
        "v"
    );
    assert_eq!(bob.projects(), ["farm", "shop"]);
    assert_eq!(bob.ask("DELETE", "/api/v1/namespaces/shop/configmaps/m", &Value::Null).0, 403);
    // `oc adm policy who-can get configmaps -n shop`.
    let question = json!({ "kind": "LocalResourceAccessReview", "apiVersion": "authorization.openshift.io/v1", "namespace": "shop",
        "verb": "get", "resource": "configmaps", "resourceAPIGroup": "", "resourceName": "" });
    let can = ann.ok(
        "POST",
        "/apis/authorization.openshift.io/v1/namespaces/shop/localresourceaccessreviews",
        &question,
    );
    let users = can["users"].as_array().unwrap();
    assert!(
        users.contains(&json!("ann"))
            && users.contains(&json!("bob"))
            && !users.contains(&json!("cid")),
        "{can}"
    );
    ann.ok("DELETE", &format!("{bindings}/view"), &Value::Null);
    assert_eq!(bob.projects(), ["farm"]);
    // By a group, as whoever looks after the cluster makes one: `oc adm groups new`, `oc adm policy add-role-to-group`.
    let group = r#"{"apiVersion":"user.openshift.io/v1","kind":"Group","metadata":{"name":"makers"},"users":["bob","cid"]}"#;
    host.kubectl("create -f -").run_with(group).ok();
    host.kubectl("create rolebinding makers --clusterrole=edit --group=makers -n shop").run().ok();
    assert_eq!(
        (bob.projects(), cid.projects()),
        (vec!["farm".to_owned(), "shop".to_owned()], vec!["shop".to_owned()])
    );
    cid.ok(
        "POST",
        "/api/v1/namespaces/shop/configmaps",
        &json!({ "metadata": { "name": "of-cid" } }),
    );
    // `oc adm policy remove-cluster-role-from-group self-provisioner system:authenticated:oauth`.
    host.kubectl("delete clusterrolebinding self-provisioners").run().ok();
    let (code, refused) =
        cid.ask("GET", "/apis/project.openshift.io/v1/projectrequests", &Value::Null);
    assert_eq!(
        (code, &refused["message"]),
        (403, &json!("You may not request a new project via this API."))
    );
    // `oc delete project`, and `oc logout`: a token that has ended lets in nobody.
    assert_eq!(ann.ok("DELETE", &format!("{PROJECTS}/shop"), &Value::Null)["status"], "Success");
    until("the project is gone", || ann.projects().is_empty());
    let own = ann.ok("GET", "/apis/oauth.openshift.io/v1/useroauthaccesstokens", &Value::Null);
    let name = own["items"][0]["metadata"]["name"].as_str().unwrap().to_owned();
    assert!(!name.contains(&ann.token[7..]), "{name}");
    ann.ok(
        "DELETE",
        &format!("/apis/oauth.openshift.io/v1/oauthaccesstokens/{name}"),
        &Value::Null,
    );
    assert_eq!(ann.ask("GET", PROJECTS, &Value::Null).0, 401);
    let logged = std::fs::read_to_string(host.data().join("leme.log")).unwrap_or_default();
    assert!(!logged.contains(&bob.token) && !logged.contains("myPassword"));
}

/// What bob tries at ann's project: a verb, a group with its version, a resource, a name, all of them upstream's words.
const ATTEMPTS: &str = "\
get v1 namespaces -
update v1 namespaces -
patch v1 namespaces -
delete v1 namespaces -
get project.openshift.io/v1 projects -
update project.openshift.io/v1 projects -
patch project.openshift.io/v1 projects -
delete project.openshift.io/v1 projects -
list v1 pods
get v1 pods web
create v1 pods
update v1 pods web
patch v1 pods web
delete v1 pods web
deletecollection v1 pods
watch v1 pods
get v1 pods/log web
create v1 pods/exec web
create v1 pods/attach web
create v1 pods/portforward web
create v1 pods/eviction web
create v1 pods/binding web
patch v1 pods/ephemeralcontainers web
patch v1 pods/status web
get v1 pods/proxy web
list v1 secrets
get v1 secrets key
watch v1 secrets
create v1 secrets
delete v1 secrets key
list v1 configmaps
get v1 configmaps m
create v1 configmaps
update v1 configmaps m
patch v1 configmaps m
delete v1 configmaps m
create v1 serviceaccounts
create v1 serviceaccounts/token default
list v1 services
create v1 services
get v1 services/proxy web
list v1 events
create v1 events
list v1 persistentvolumeclaims
delete v1 resourcequotas all
create v1 limitranges
list apps/v1 deployments
create apps/v1 deployments
patch apps/v1 deployments/scale web
delete apps/v1 deployments web
create batch/v1 jobs
list apps.openshift.io/v1 deploymentconfigs
create apps.openshift.io/v1 deploymentconfigs/instantiate web
create build.openshift.io/v1 buildconfigs/instantiate web
get image.openshift.io/v1 imagestreams/layers web
create image.openshift.io/v1 imagestreamtags
create route.openshift.io/v1 routes
delete route.openshift.io/v1 routes web
create template.openshift.io/v1 processedtemplates
list rbac.authorization.k8s.io/v1 rolebindings
create rbac.authorization.k8s.io/v1 rolebindings
update rbac.authorization.k8s.io/v1 rolebindings admin
delete rbac.authorization.k8s.io/v1 rolebindings admin
create rbac.authorization.k8s.io/v1 roles
create authorization.openshift.io/v1 rolebindings
create authorization.openshift.io/v1 localresourceaccessreviews
create authorization.k8s.io/v1 localsubjectaccessreviews
create networking.k8s.io/v1 networkpolicies
list coordination.k8s.io/v1 leases
";

/// The same where there are no projects: of the whole cluster, and of people.
const OF_THE_CLUSTER: &str = "\
list v1 namespaces
create v1 namespaces
list v1 nodes
list v1 pods
list v1 secrets
list user.openshift.io/v1 users
get user.openshift.io/v1 users ann
create user.openshift.io/v1 groups
create user.openshift.io/v1 useridentitymappings
list oauth.openshift.io/v1 oauthaccesstokens
get oauth.openshift.io/v1 oauthclients openshift-browser-client
create oauth.openshift.io/v1 oauthaccesstokens
create rbac.authorization.k8s.io/v1 clusterrolebindings
update rbac.authorization.k8s.io/v1 clusterroles self-provisioner
create security.openshift.io/v1 securitycontextconstraints
create certificates.k8s.io/v1 certificatesigningrequests
create authentication.k8s.io/v1 tokenreviews
";

/// The method and path of an attempt, and what it is refused with.
fn attempt(line: &str, namespace: &str) -> (&'static str, String, String) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [verb, version, resource, name @ ..] = &words[..] else { panic!("{line}") };
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let (plural, below) = resource.split_once('/').unwrap_or((resource, ""));
    let is_project = matches!(plural, "namespaces" | "projects");
    let name = match name {
        [] => "",
        ["-"] => namespace,
        [name, ..] => name,
    };
    let method = match *verb {
        "get" | "list" | "watch" => "GET",
        "create" => "POST",
        "update" => "PUT",
        "patch" => "PATCH",
        _ => "DELETE",
    };
    let root = if group.is_empty() { "/api" } else { "/apis" };
    let mut path = format!("{root}/{version}");
    if !namespace.is_empty() && !is_project {
        path += &format!("/namespaces/{namespace}");
    }
    path += &format!("/{plural}");
    for part in [name, below] {
        if !part.is_empty() {
            path += &format!("/{part}");
        }
    }
    if *verb == "watch" {
        path += "?watch=true";
    }
    let of = if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") };
    let named = if name.is_empty() { String::new() } else { format!(" \"{name}\"") };
    let place = match namespace {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace \"{namespace}\""),
    };
    let why = format!(
        "{of}{named} is forbidden: User \"bob\" cannot {verb} resource \"{resource}\" in API group \"{group}\" {place}"
    );
    (method, path, why)
}

/// Red when somebody does anything in a project that is another's.
#[test]
fn two_teams_do_not_reach_across_their_border() {
    let host = Host::new();
    started(&host);
    let [ann, bob] = ["ann", "bob"].map(|user| log_in(&host, user, "myPassword").unwrap());
    ann.new_project("shop");
    bob.new_project("farm");
    ann.ok("POST", "/api/v1/namespaces/shop/configmaps", &json!({ "metadata": { "name": "m" } }));
    ann.ok("POST", "/api/v1/namespaces/shop/secrets", &json!({ "metadata": { "name": "key" } }));
    let before = host.kubectl("get configmaps,secrets,rolebindings -n shop -o name").run().ok();
    let all = ATTEMPTS.lines().map(|line| attempt(line, "shop"));
    let all: Vec<_> = all.chain(OF_THE_CLUSTER.lines().map(|line| attempt(line, ""))).collect();
    assert!(all.len() >= 60);
    for (method, path, why) in all {
        let body = if method == "GET" { Value::Null } else { json!({}) };
        let (code, refused) = bob.ask(method, &path, &body);
        assert_eq!((code, refused["message"].as_str()), (403, Some(&*why)), "{method} {path}");
        assert_eq!(
            (&refused["reason"], &refused["status"]),
            (&json!("Forbidden"), &json!("Failure"))
        );
    }
    // Nor by being taken for her, or by making more of himself at home.
    for (header, what) in [
        ("Impersonate-User:ann", "users \"ann\""),
        ("Impersonate-User:system:admin", "users \"system:admin\""),
    ] {
        let (code, refused) = bob.ask_with(&format!("-H {header}"), "GET", PROJECTS, &Value::Null);
        let why = format!(
            "{what} is forbidden: User \"bob\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope"
        );
        assert_eq!((code, refused["message"].as_str()), (403, Some(&*why)));
    }
    let bindings = format!("{RBAC}/namespaces/farm/rolebindings");
    let (code, refused) = bob.ask("POST", &bindings, &bound("boss", "cluster-admin", "bob"));
    let message = refused["message"].as_str().unwrap();
    assert_eq!(code, 403);
    assert!(
        message.contains("is attempting to grant RBAC permissions not currently held:"),
        "{message}"
    );
    // A project of a name that is taken is not his, and one of a reserved name nobody's.
    let wish = |name: &str| json!({ "kind": "ProjectRequest", "apiVersion": "project.openshift.io/v1", "metadata": { "name": name } });
    let requests = "/apis/project.openshift.io/v1/projectrequests";
    for (name, code, why) in [
        ("shop", 409, "project.project.openshift.io \"shop\" already exists"),
        (
            "openshift-shop",
            403,
            "project.project.openshift.io \"openshift-shop\" is forbidden: cannot request a project starting with \"openshift-\"",
        ),
        (
            "kube",
            403,
            "project.project.openshift.io \"kube\" is forbidden: cannot request a project with the name \"kube\"",
        ),
    ] {
        let (refused, answer) = bob.ask("POST", requests, &wish(name));
        assert_eq!((refused, answer["message"].as_str()), (code, Some(why)));
    }
    // What he names of hers is not carried over: a binding in his project gives nothing in hers.
    bob.ok("POST", &bindings, &bound("guest", "admin", "ann"));
    assert_eq!(
        (ann.projects(), bob.projects()),
        (vec!["farm".to_owned(), "shop".to_owned()], vec!["farm".to_owned()])
    );
    assert_eq!(
        host.kubectl("get configmaps,secrets,rolebindings -n shop -o name").run().ok(),
        before
    );
}
