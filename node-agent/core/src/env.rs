//! The environment of a container.
//!
//! Knows: order, `$(VAR)`, the sources of values, service variables. Refuses to know: what the image adds.

use k8s_openapi::api::core::v1::{Container, EnvVarSource, Pod};

use crate::fields::{self, Facts};
use crate::lookup::{Key, Kind, MASTER_NAMESPACE, MASTER_SERVICE, ServiceFacts, Sources, Trouble};
use crate::spec;

/// The longest string that Linux hands to a program, its closing zero byte not counted.
const MAX_STRING: usize = 128 * 1024 - 1;
/// The most that environment and arguments of a program are together: a quarter of the usual limit on its stack.
const MAX_TOTAL: usize = 2 * 1024 * 1024;

/// Counts what a program is to be given. Short texts refer to each other, so what comes of them has no bound of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Size(usize);

impl Size {
    /// Adds a string of that length; `what` names it.
    fn add(&mut self, length: usize, what: impl Fn() -> String) -> Result<(), Trouble> {
        if length > MAX_STRING {
            return Err(too_long(what()));
        }
        self.0 += length + 1;
        if self.0 > MAX_TOTAL {
            return Err(Trouble::Message(format!(
                "{} makes environment and arguments longer than {MAX_TOTAL} bytes together",
                what()
            )));
        }
        Ok(())
    }

    /// The words of a command, expanded, beside what was counted before.
    pub fn words<'a>(
        &mut self,
        field: &str,
        list: &[String],
        get: impl Fn(&str) -> Option<&'a str> + Copy,
    ) -> Result<Vec<String>, Trouble> {
        let mut words = Vec::with_capacity(list.len());
        for (index, word) in list.iter().enumerate() {
            let what = || format!("{field}[{index}]");
            let word = expand(word, get).ok_or_else(|| too_long(what()))?;
            self.add(word.len(), what)?;
            words.push(word);
        }
        Ok(words)
    }
}

fn too_long(what: String) -> Trouble {
    Trouble::Message(format!("{what} is longer than {MAX_STRING} bytes"))
}

fn variable(name: &str) -> String {
    let shown: String = name.chars().take(128).collect();
    format!("environment variable {shown:?}")
}

/// Variables in the order in which they were first set.
#[derive(Debug, Default)]
struct Vars {
    list: Vec<(String, String)>,
    size: Size,
}

impl Vars {
    fn set(&mut self, name: &str, value: String) -> Result<(), Trouble> {
        let found = self.list.iter().position(|(n, _)| n == name);
        let length = |value: &str| name.len() + 1 + value.len();
        if let Some(at) = found {
            self.size.0 -= length(&self.list[at].1) + 1;
        }
        self.size.add(length(&value), || variable(name))?;
        match found {
            Some(at) => self.list[at].1 = value,
            None => self.list.push((name.to_owned(), value)),
        }
        Ok(())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.list.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// The variables of a container, service variables first, and how much they are. Larger ones than Linux takes are
/// refused, and never made.
pub fn of_container(
    pod: &Pod,
    container: &Container,
    facts: &Facts,
    sources: &Sources,
) -> Result<(Vec<(String, String)>, Size), Trouble> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let mut vars = service_variables(pod, namespace, sources)?;
    for from in container.env_from.as_deref().unwrap_or_default() {
        let (kind, name, optional) = match (&from.config_map_ref, &from.secret_ref) {
            (Some(map), _) => (Kind::ConfigMap, &map.name, map.optional),
            (None, Some(secret)) => (Kind::Secret, &secret.name, secret.optional),
            (None, None) => continue,
        };
        let key = Key::new(kind, namespace, name);
        let prefix = from.prefix.as_deref().unwrap_or_default();
        for (name, value) in sources.data(&key, optional.unwrap_or(false))?.into_iter().flatten() {
            let name = format!("{prefix}{name}");
            if !name.is_empty() && !name.contains(['=', '\0']) {
                vars.set(&name, text(value))?;
            }
        }
    }
    for var in container.env.as_deref().unwrap_or_default() {
        let value = match (&var.value, &var.value_from) {
            (Some(value), _) if !value.is_empty() => {
                let value = expand(value, |n| vars.get(n));
                Some(value.ok_or_else(|| too_long(variable(&var.name)))?)
            }
            (_, Some(from)) => from_source(pod, container, namespace, from, facts, sources)?,
            _ => Some(String::new()),
        };
        if let Some(value) = value {
            vars.set(&var.name, value)?;
        }
    }
    Ok((vars.list, vars.size))
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).replace('\0', "")
}

/// The value of one `valueFrom`, `None` if it is optional and absent.
fn from_source(
    pod: &Pod,
    container: &Container,
    namespace: &str,
    from: &EnvVarSource,
    facts: &Facts,
    sources: &Sources,
) -> Result<Option<String>, Trouble> {
    if let Some(field) = &from.field_ref {
        let value = fields::of_pod(pod, &field.field_path, facts).map_err(Trouble::Message)?;
        return Ok(Some(value));
    }
    if let Some(selector) = &from.resource_field_ref {
        let value = fields::of_resources(pod, Some(container), selector, facts);
        return Ok(Some(value.map_err(Trouble::Message)?));
    }
    let (kind, title, name, key, optional) = match (&from.config_map_key_ref, &from.secret_key_ref)
    {
        (Some(r), _) => (Kind::ConfigMap, "ConfigMap", &r.name, &r.key, r.optional),
        (None, Some(r)) => (Kind::Secret, "Secret", &r.name, &r.key, r.optional),
        (None, None) => return Ok(Some(String::new())),
    };
    let optional = optional.unwrap_or(false);
    let data = sources.data(&Key::new(kind, namespace, name), optional)?;
    match data.and_then(|d| d.get(key)) {
        Some(value) => Ok(Some(text(value))),
        None if optional => Ok(None),
        None => {
            Err(Trouble::Message(format!("couldn't find key {key} in {title} {namespace}/{name}")))
        }
    }
}

/// Replaces `$(NAME)` by the variable's value; `$$` is a `$`; an unknown name stays as it is. `None` if the outcome is
/// longer than a program can be given.
pub fn expand<'a>(text: &str, get: impl Fn(&str) -> Option<&'a str>) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some((name, tail)) =
            after.strip_prefix('(').and_then(|inner| inner.split_once(')'))
        {
            match get(name) {
                Some(value) if out.len() + value.len() > MAX_STRING => return None,
                Some(value) => out.push_str(value),
                None => out.extend(["$(", name, ")"]),
            }
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    Some(out).filter(|out| out.len() <= MAX_STRING)
}

/// Variables for the API server's service and, unless the pod declines, those of its namespace.
fn service_variables(pod: &Pod, namespace: &str, sources: &Sources) -> Result<Vars, Trouble> {
    let mut vars = Vars::default();
    for service in sources.services(MASTER_NAMESPACE, MASTER_SERVICE)? {
        of_service(service, &mut vars)?;
    }
    if spec::of(pod).enable_service_links.unwrap_or(true) {
        for service in sources.services(namespace, "")? {
            of_service(service, &mut vars)?;
        }
    }
    Ok(vars)
}

fn of_service(service: &ServiceFacts, vars: &mut Vars) -> Result<(), Trouble> {
    let Some(first) = service.ports.first() else { return Ok(()) };
    let upper = |s: &str| s.to_ascii_uppercase().replace(['-', '.'], "_");
    let name = upper(&service.name);
    let host =
        if service.ip.contains(':') { format!("[{}]", service.ip) } else { service.ip.clone() };
    vars.set(&format!("{name}_SERVICE_HOST"), service.ip.clone())?;
    vars.set(&format!("{name}_SERVICE_PORT"), first.port.to_string())?;
    for port in service.ports.iter().filter(|p| !p.name.is_empty()) {
        vars.set(&format!("{name}_SERVICE_PORT_{}", upper(&port.name)), port.port.to_string())?;
    }
    for (n, port) in service.ports.iter().enumerate() {
        let protocol = port.protocol.to_ascii_lowercase();
        let url = format!("{protocol}://{host}:{}", port.port);
        if n == 0 {
            vars.set(&format!("{name}_PORT"), url.clone())?;
        }
        let prefix = format!("{name}_PORT_{}_{}", port.port, protocol.to_ascii_uppercase());
        vars.set(&prefix, url)?;
        vars.set(&format!("{prefix}_PROTO"), protocol)?;
        vars.set(&format!("{prefix}_PORT"), port.port.to_string())?;
        vars.set(&format!("{prefix}_ADDR"), service.ip.clone())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::{Content, ServicePort};

    #[test]
    fn expands() {
        let check = |text, want| {
            let get = |n: &str| (n == "A").then_some("1");
            assert_eq!(expand(text, get).as_deref(), Some(want));
        };
        check("x$(A)y$(B)$$(A)$", "x1y$(B)$(A)$");
        check("$(A", "$(A");
        check("$A é$(A)", "$A é1");
    }

    fn sources() -> Sources {
        let mut sources = Sources::default();
        let web = ServiceFacts {
            name: "my-web".into(),
            ip: "10.96.0.5".into(),
            ports: vec![ServicePort { name: "http".into(), port: 80, protocol: "TCP".into() }],
        };
        sources.set(Key::new(Kind::Services, "n", ""), Some(Content::Services(vec![web])));
        sources.set(
            Key::new(Kind::Services, MASTER_NAMESPACE, MASTER_SERVICE),
            Some(Content::Services(vec![])),
        );
        let data = [("k", "v"), ("MY_WEB_PORT", "own"), ("data-1", "relaxed")]
            .map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec()));
        sources.set(Key::new(Kind::ConfigMap, "n", "m"), Some(Content::Data(data.into())));
        sources.set(Key::new(Kind::Secret, "n", "gone"), None);
        sources
    }

    fn env(container: serde_json::Value) -> Result<Vec<(String, String)>, Trouble> {
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p", "namespace": "n"}, "spec": {"containers": [container]}}))
        .unwrap();
        let container = &pod.spec.as_ref().unwrap().containers[0];
        of_container(&pod, container, &Facts::default(), &sources()).map(|(vars, _)| vars)
    }

    #[test]
    fn resolves_in_order() {
        let got = env(serde_json::json!({"name": "c",
            "envFrom": [{"prefix": "P_", "configMapRef": {"name": "m"}}],
            "env": [{"name": "A", "value": "$(P_k)-$(MY_WEB_SERVICE_HOST)-$(LATER)"},
                    {"name": "LATER", "value": "x"},
                    {"name": "0.b c", "value": "$(P_data-1)"},
                    {"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "O", "valueFrom": {"secretKeyRef": {"name": "gone", "key": "k", "optional": true}}}]}))
        .unwrap();
        let get = |n: &str| got.iter().find(|(k, _)| k == n).map(|(_, v)| v.as_str());
        assert_eq!(get("A"), Some("v-10.96.0.5-$(LATER)"));
        // Red when names that a shell cannot use are dropped.
        assert_eq!((get("P_data-1"), get("0.b c")), (Some("relaxed"), Some("relaxed")));
        assert_eq!(get("N"), Some("p"));
        assert_eq!(get("O"), None);
        assert_eq!(get("MY_WEB_PORT_80_TCP"), Some("tcp://10.96.0.5:80"));
        assert_eq!(get("MY_WEB_SERVICE_PORT_HTTP"), Some("80"));
    }

    #[test]
    fn says_what_is_missing() {
        let check = |json, want: &str| {
            assert_eq!(env(json), Err(Trouble::Message(want.to_owned())));
        };
        check(
            serde_json::json!({"name": "c", "envFrom": [{"secretRef": {"name": "gone"}}]}),
            "secret \"gone\" not found",
        );
        check(
            serde_json::json!({"name": "c", "env": [{"name": "A",
                "valueFrom": {"configMapKeyRef": {"name": "m", "key": "z"}}}]}),
            "couldn't find key z in ConfigMap n/m",
        );
        let unread =
            env(serde_json::json!({"name": "c", "envFrom": [{"configMapRef": {"name": "?"}}]}));
        assert!(matches!(unread, Err(Trouble::Loading(_))));
    }
    /// Red when only the texts of the pod are bounded: 24 of them make gigabytes.
    #[test]
    fn what_comes_of_expansion_is_bounded() {
        let refused = |json, want: &str| match env(json) {
            Err(Trouble::Message(message)) => assert_eq!(message, want),
            other => panic!("{:?}", other.map(|vars| vars.len())),
        };
        let mut doubling = vec![serde_json::json!({"name": "E0", "value": "x".repeat(1024)})];
        doubling.extend((1..25).map(|n| {
            let half = format!("$(E{})", n - 1);
            serde_json::json!({"name": format!("E{n}"), "value": format!("{half}{half}")})
        }));
        refused(
            serde_json::json!({"name": "c", "env": doubling}),
            "environment variable \"E7\" is longer than 131071 bytes",
        );
        // Red when each of them is bounded and all together are not.
        let mut many = vec![serde_json::json!({"name": "E", "value": "x".repeat(100_000)})];
        many.extend(
            (0..100).map(|n| serde_json::json!({"name": format!("N{n}"), "value": "$(E)"})),
        );
        refused(
            serde_json::json!({"name": "c", "env": many}),
            "environment variable \"N19\" makes environment and arguments longer than 2097152 \
             bytes together",
        );
        // The longest that Linux takes, and a variable that is set again and again.
        let longest = serde_json::json!({"name": "A", "value": "x".repeat(131_069)});
        assert!(env(serde_json::json!({"name": "c", "env": vec![longest; 100]})).is_ok());
    }

    #[test]
    fn the_words_of_a_command_are_bounded() {
        let long = "x".repeat(100_000);
        let get = |_: &str| Some(long.as_str());
        let mut size = Size::default();
        let words = size.words("command", &["$(A)".to_owned()], get).unwrap();
        assert_eq!(words[0].len(), 100_000);
        let twice = size.words("args", &["a".to_owned(), "$(A)$(A)".to_owned()], get);
        let want = Trouble::Message("args[1] is longer than 131071 bytes".to_owned());
        assert_eq!(twice, Err(want));
        let many = size.words("args", &vec!["$(A)".to_owned(); 30], get);
        let want = "args[19] makes environment and arguments longer than 2097152 bytes together";
        assert_eq!(many, Err(Trouble::Message(want.to_owned())));
    }
}
