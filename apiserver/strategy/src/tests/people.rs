//! Users, groups, identities, clients of OAuth and tokens.

use super::*;

const TOKEN: &str = "sha256~0123456789012345678901234567890123456789012";

pub(super) fn samples() -> Vec<Value> {
    vec![
        user(json!({ "identities": ["htpasswd:x"] })),
        group(json!(["a", "b64:YQ=="])),
        identity(json!({})),
        client(json!({ "scopeRestrictions": [{ "literals": ["user:full"] },
            { "clusterRole": { "roleNames": ["*"], "namespaces": ["*"], "allowEscalation": false } }] })),
        authorization(json!({})),
        token("OAuthAccessToken", json!({ "expiresIn": 86400 })),
        token("OAuthAuthorizeToken", json!({ "expiresIn": 300, "codeChallenge": "c".repeat(43) })),
    ]
}

fn object(api: &str, kind: &str, name: &str, base: Value, fields: Value) -> Value {
    let mut object = json!({ "apiVersion": format!("{api}.openshift.io/v1"), "kind": kind, "metadata": { "name": name } });
    let map = object.as_object_mut().expect("map");
    map.extend(base.as_object().expect("map").clone());
    map.extend(fields.as_object().expect("map").clone());
    object
}

fn user(fields: Value) -> Value {
    object("user", "User", "x", json!({}), fields)
}

fn group(users: Value) -> Value {
    object("user", "Group", "x", json!({}), json!({ "users": users }))
}

fn identity(fields: Value) -> Value {
    let base = json!({ "providerName": "htpasswd", "providerUserName": "x", "user": { "name": "x", "uid": "1" } });
    object("user", "Identity", "htpasswd:x", base, fields)
}

#[test]
fn users_and_groups_are_named_by_rules_of_their_own() {
    let new = created(user(json!({ "groups": ["g"] })));
    assert_eq!(new.get("groups"), Some(&json!(null)));
    let same = update(Target::Main, &new, |new| new["groups"] = json!(["g"]));
    assert_eq!(same, Ok(Write::Unchanged));
    let named = |object: Value, name: &str| create(with(object, &[("metadata.name", json!(name))]));
    for name in ["Anna@example.com", "b64:YTpi", "kube admin"] {
        assert!(named(user(json!({})), name).is_ok(), "{name}");
    }
    for (name, why) in [
        ("kube:admin", r#"usernames that contain ":" must begin with "b64:""#),
        ("~", r#"may not equal "~""#),
        ("a/b", "may not contain '/'"),
    ] {
        let error = format!("metadata.name: Invalid value: {name:?}: {why}");
        check(named(user(json!({})), name), &[&error]);
    }
    check(
        named(group(json!([])), "a:b"),
        &[r#"metadata.name: Invalid value: "a:b": may not contain ":""#],
    );
    check(
        create(user(json!({ "identities": ["a", ":b", "a:", "a:b:c"] }))),
        &[
            "identities[0]: Invalid value: \"a\": must be in the format <providerName>:<providerUserName>",
            "identities[1]: Invalid value: \":b\": must be in the format <providerName>:<providerUserName> with a non-empty providerName",
            "identities[2]: Invalid value: \"a:\": must be in the format <providerName>:<providerUserName> with a non-empty providerUserName",
            "identities[3]: Invalid value: \"a:b:c\": must be in the format <providerName>:<providerUserName>",
        ],
    );
    check(
        create(group(json!(["", "a:b"]))),
        &[
            "user[0]: Invalid value: \"\": may not be empty",
            "user[1]: Invalid value: \"a:b\": usernames that contain \":\" must begin with \"b64:\"",
        ],
    );
}

#[test]
fn identities_are_named_after_their_provider_and_stay() {
    let old = created(identity(json!({})));
    for (fields, errors) in [
        (
            json!({ "providerName": "ldap" }),
            &["metadata.name: Invalid value: \"htpasswd:x\": must be ldap:x"][..],
        ),
        (
            json!({ "providerName": "", "providerUserName": "a:b" }),
            &[
                "providerName: Required value",
                "providerUserName: Invalid value: \"a:b\": usernames that contain \":\" must begin with \"b64:\"",
            ],
        ),
        (
            json!({ "user": { "uid": "1" } }),
            &["user.username: Required value: username is required when uid is provided"],
        ),
        (
            json!({ "user": { "name": "x" } }),
            &["user.uid: Required value: uid is required when username is provided"],
        ),
    ] {
        check(create(identity(fields)), errors);
    }
    assert!(create(identity(json!({ "user": {} }))).is_ok());
    check(
        update(Target::Main, &old, |new| new["providerUserName"] = "y".into()),
        &[
            "metadata.name: Invalid value: \"htpasswd:x\": must be htpasswd:y",
            "providerUserName: Invalid value: \"y\": may not change providerUserName",
        ],
    );
}

fn client(fields: Value) -> Value {
    let base = json!({ "grantMethod": "auto", "secret": "s", "redirectURIs": ["https://console.example.com/auth/callback"] });
    object("oauth", "OAuthClient", "x", base, fields)
}

#[test]
fn clients_are_checked() {
    created(client(
        json!({ "accessTokenInactivityTimeoutSeconds": 300, "accessTokenMaxAgeSeconds": 0 }),
    ));
    for (fields, errors) in [
        (
            json!({ "grantMethod": "" }),
            &["grantMethod: Required value: must be auto or prompt"][..],
        ),
        (
            json!({ "grantMethod": "deny" }),
            &["grantMethod: Unsupported value: \"deny\": supported values: \"auto\", \"prompt\""],
        ),
        (
            json!({ "redirectURIs": ["", "https://a#b", "https://a/../b", ":"], "additionalSecrets": [""] }),
            &[
                "redirectURIs[0]: Invalid value: \"\": may not be empty",
                "redirectURIs[1]: Invalid value: \"https://a#b\": may not contain a fragment",
                "redirectURIs[2]: Invalid value: \"https://a/../b\": may not contain a path segment of ..",
                "redirectURIs[3]: Invalid value: \":\": parse \":\": missing protocol scheme",
                "additionalSecrets[0]: Invalid value: \"\": may not be empty",
            ],
        ),
        (
            json!({ "accessTokenMaxAgeSeconds": -1, "accessTokenInactivityTimeoutSeconds": 299 }),
            &[
                "accessTokenMaxAgeSeconds: Invalid value: -1: value cannot be negative",
                "accessTokenInactivityTimeoutSeconds: Invalid value: 299: The minimum valid timeout value is 300 seconds",
            ],
        ),
        (
            json!({ "scopeRestrictions": [{}, { "literals": [""] }, { "clusterRole": {} }] }),
            &[
                "scopeRestrictions[0]: Invalid value: {\"ExactValues\":null,\"ClusterRole\":null}: exactly one of literals, clusterRole is required",
                "scopeRestrictions[1].literals[0]: Invalid value: \"\": may not be empty",
                "scopeRestrictions[2].clusterRole.roleNames: Required value: won't match anything",
                "scopeRestrictions[2].clusterRole.namespaces: Required value: won't match anything",
            ],
        ),
    ] {
        check(create(client(fields)), errors);
    }
}

fn grant() -> Value {
    json!({ "clientName": "openshift-challenging-client", "userName": "x", "userUID": "1", "scopes": ["user:full"] })
}

fn authorization(fields: Value) -> Value {
    object("oauth", "OAuthClientAuthorization", "", grant(), fields)
}

#[test]
fn grants_are_named_after_user_and_client() {
    let old = created(authorization(json!({})));
    assert_eq!(old["metadata"]["name"], "x:openshift-challenging-client");
    created(authorization(
        json!({ "clientName": "system:serviceaccount:ns:sa", "userName": "kube:admin" }),
    ));
    for (fields, errors) in [
        (
            json!({ "clientName": "A", "userName": "", "userUID": "", "scopes": [] }),
            &[
                "metadata.name: Invalid value: \":A\": must be in the format <userName>:<clientName>",
                "clientName: Invalid value: \"A\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
                "userName: Required value",
                "scopes: Required value: may not be empty",
                "useruid: Required value",
            ][..],
        ),
        (
            json!({ "scopes": ["role:admin:ns", "role:a:b:*:!", "a b", "user:x", "role:admin", "role:!"] }),
            &[
                "scopes[2]: Invalid value: \"a b\": 32 not allowed",
                "scopes[3]: Invalid value: \"user:x\": no scope handler found",
                "scopes[4]: Invalid value: \"role:admin\": bad format for scope role:admin",
                "scopes[5]: Invalid value: \"role:!\": bad format for scope role",
            ],
        ),
    ] {
        check(create(authorization(fields)), errors);
    }
    check(
        update(Target::Main, &old, |new| new["userUID"] = "2".into()),
        &["userUID: Invalid value: \"2\": userUID is not a mutable field"],
    );
    check(
        update(Target::Main, &old, |new| new["userName"] = "y".into()),
        &[
            "metadata.name: Invalid value: \"y:openshift-challenging-client\": field is immutable",
            "userName: Invalid value: \"y\": userName is not a mutable field",
        ],
    );
}

fn token(kind: &str, fields: Value) -> Value {
    let mut base = grant();
    base["redirectURI"] = "https://oauth.example.com/oauth/token/implicit".into();
    object("oauth", kind, TOKEN, base, fields)
}

#[test]
fn tokens_are_checked_and_stay_as_they_are() {
    let access = |fields: Value| create(token("OAuthAccessToken", fields));
    let old = access(json!({ "inactivityTimeoutSeconds": 600 })).expect("accepted");
    check(
        access(
            json!({ "metadata": { "name": "short" }, "expiresIn": -1, "inactivityTimeoutSeconds": -1, "redirectURI": "" }),
        ),
        &[
            "metadata.name: Invalid value: \"short\": must be at least 32 characters long",
            "inactivityTimeoutSeconds: Invalid value: -1: cannot be a negative value",
            "redirectURI: Invalid value: \"\": may not be empty",
            "expiresIn: Invalid value: -1: cannot be a negative value",
        ],
    );
    let grown = updated(&old, |new| new["inactivityTimeoutSeconds"] = 900.into());
    assert_eq!(grown["inactivityTimeoutSeconds"], 900);
    check(
        update(Target::Main, &old, |new| new["inactivityTimeoutSeconds"] = 300.into()),
        &[
            "inactivityTimeoutSeconds: Invalid value: 300: cannot be less than the current value=600",
        ],
    );
    let forever = access(json!({})).expect("accepted");
    check(
        update(Target::Main, &forever, |new| new["inactivityTimeoutSeconds"] = 300.into()),
        &["inactivityTimeoutSeconds: Invalid value: 300: cannot update non-timing-out token"],
    );
    let status =
        update(Target::Main, &old, |new| new["userName"] = "y".into()).expect_err("refused");
    assert!(causes(&status)[0].ends_with(": field is immutable"), "{status}");
}

#[test]
fn codes_are_checked() {
    let code = |fields: Value| {
        let mut body = token("OAuthAuthorizeToken", json!({ "expiresIn": 300 }));
        body.as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
        create(body)
    };
    let new = code(json!({ "codeChallenge": "c".repeat(43) })).expect("accepted");
    assert_eq!(new["codeChallengeMethod"], "plain");
    updated(&new, |new| new["metadata"]["labels"] = json!({ "a": "b" }));
    let changed = update(Target::Main, &new, |new| new["expiresIn"] = 600.into());
    assert!(causes(&changed.expect_err("refused"))[0].ends_with(": field is immutable"));
    check(
        code(json!({ "codeChallengeMethod": "S256", "expiresIn": 0 })),
        &[
            "codeChallenge: Required value: required if codeChallengeMethod is specified",
            "expiresIn: Invalid value: 0: must be greater than zero",
        ],
    );
    check(
        code(json!({ "codeChallenge": "short", "codeChallengeMethod": "S512" })),
        &[
            "codeChallenge: Invalid value: \"short\": must be 43-128 characters [a-zA-Z0-9.~_-]",
            "codeChallengeMethod: Unsupported value: \"S512\": supported values: \"plain\", \"S256\"",
        ],
    );
}

#[test]
fn a_mapping_is_named_after_its_identity() {
    let mapping = |identity: &str, user: &str| {
        let parts = json!({ "identity": { "name": identity }, "user": { "name": user } });
        create(object("user", "UserIdentityMapping", "htpasswd:x", parts, json!({})))
    };
    assert!(mapping("htpasswd:x", "x").is_ok());
    for (identity, user, errors) in [
        ("", "", ["identity.name: Required value", "user.name: Required value"]),
        (
            "htpasswd:y",
            "a:b",
            [
                "identity.name: Invalid value: \"htpasswd:y\": must match metadata.name",
                "user.name: Invalid value: \"a:b\": usernames that contain \":\" must begin with \"b64:\"",
            ],
        ),
    ] {
        check(mapping(identity, user), &errors);
    }
}

/// Red when `oc create identity` is refused, which names nothing.
#[test]
fn an_identity_is_named_by_what_it_is() {
    let mut nameless = identity(json!({}));
    nameless["metadata"].as_object_mut().unwrap().remove("name");
    assert_eq!(created(nameless)["metadata"]["name"], "htpasswd:x");
}
