//! Where registries are, and who they are known as: k3s' `registries.yaml`.
//!
//! Knows: mirrors, logins and authorities of it; what else it may say is refused by name. Refuses to know: how they answer.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::{Login, Reference};

/// Registries as they are configured.
#[derive(Clone, Debug, Default)]
pub struct Registries {
    /// The cluster's own registry: its name, and where it is.
    own: Option<(String, String)>,
    mirrors: BTreeMap<String, Vec<String>>,
    hosts: BTreeMap<String, Host>,
}

/// How a host is spoken to.
#[derive(Clone, Debug, Default)]
struct Host {
    login: Option<Login>,
    authority: String,
    unchecked: bool,
}

/// A registry, or a mirror of one.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `https://registry-1.docker.io`, with a path before `/v2` if there is one.
    pub url: String,
    /// What it is called in what is told to people.
    pub name: String,
    /// Who asks, if the configuration says.
    pub login: Option<Login>,
    /// Authorities of its certificate (PEM); the machine's, if there are none.
    pub authority: String,
    /// Whether its certificate is not looked at.
    pub unchecked: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    mirrors: BTreeMap<String, Mirror>,
    #[serde(default)]
    configs: BTreeMap<String, Config>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mirror {
    #[serde(default)]
    endpoint: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    auth: Option<Auth>,
    #[serde(default)]
    tls: Tls,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Auth {
    username: String,
    password: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tls {
    #[serde(default)]
    ca_file: String,
    #[serde(default)]
    insecure_skip_verify: bool,
}

impl Registries {
    /// Reads a `registries.yaml`; `file` reads one that it names.
    ///
    /// # Errors
    /// What is wrong. Passwords are not told.
    pub fn read(
        document: &Value,
        file: impl Fn(&str) -> Result<String, String>,
    ) -> Result<Registries, String> {
        let Document { mirrors, configs } =
            Document::deserialize(document).map_err(|error| error.to_string())?;
        for (name, mirror) in &mirrors {
            if let Some(bad) = mirror.endpoint.iter().find(|url| !is_url(url)) {
                return Err(format!("mirrors.{name}.endpoint: {bad:?} is no URL of http or https"));
            }
        }
        let mirrors = mirrors.into_iter().map(|(name, mirror)| (name, mirror.endpoint)).collect();
        let host = |(name, config): (String, Config)| {
            let Config { auth, tls } = config;
            let authority = match tls.ca_file.is_empty() {
                true => String::new(),
                false => file(&tls.ca_file)
                    .map_err(|why| format!("configs.{name}.tls.ca_file: {why}"))?,
            };
            let login = auth.map(|auth| Login { user: auth.username, password: auth.password });
            Ok((name, Host { login, authority, unchecked: tls.insecure_skip_verify }))
        };
        let hosts = configs.into_iter().map(host).collect::<Result<_, String>>()?;
        Ok(Registries { own: None, mirrors, hosts })
    }

    /// Where an image may be had: the mirrors of its registry in their order, then that itself.
    pub fn endpoints(&self, image: &Reference) -> Vec<Endpoint> {
        let (registry, _) = image.parts();
        if self.is_own(registry) {
            return vec![self.registry(registry)];
        }
        let mirrors = self.mirrors.get(registry).or_else(|| self.mirrors.get("*"));
        let own = self.registry(registry);
        let mirrors = mirrors.into_iter().flatten();
        let mut endpoints: Vec<Endpoint> = mirrors.map(|url| self.endpoint(url, None)).collect();
        if !endpoints.iter().any(|endpoint| endpoint.url == own.url) {
            endpoints.push(own);
        }
        endpoints
    }

    /// A registry itself, to which is pushed: `docker.io`, `quay.io`, `10.0.0.1:5000`.
    pub fn registry(&self, registry: &str) -> Endpoint {
        if let Some((_, url)) = self.own.as_ref().filter(|(name, _)| name == registry) {
            return self.endpoint(url, Some(registry));
        }
        let is_own = |url: &&String| {
            url.split_once("://").is_some_and(|(_, rest)| rest.trim_end_matches('/') == registry)
        };
        if let Some(said) = self.mirrors.get(registry).into_iter().flatten().find(is_own) {
            return self.endpoint(said, Some(registry));
        }
        let own = match registry {
            "docker.io" => "https://registry-1.docker.io".to_owned(),
            // Nobody is between this machine and itself, unless TLS is said to be.
            here if is_loopback(here) && !self.speaks_tls(here) => format!("http://{here}"),
            other => format!("https://{other}"),
        };
        self.endpoint(&own, Some(registry))
    }

    /// Knows the cluster's own registry, where it is, and who vouches for it (PEM).
    pub fn set_own(&mut self, registry: &str, url: &str, authority: &str) {
        self.own = Some((registry.to_owned(), url.to_owned()));
        self.believe(registry, authority);
    }

    /// Whether a registry is the cluster's own: what it has it shows to who may see it at that moment.
    pub fn is_own(&self, registry: &str) -> bool {
        self.own.as_ref().is_some_and(|(name, _)| name == registry)
    }

    /// Believes an authority (PEM) for a registry, besides those of the machine.
    pub fn believe(&mut self, registry: &str, authority: &str) {
        self.hosts.entry(registry.to_owned()).or_default().authority.push_str(authority);
    }

    fn speaks_tls(&self, registry: &str) -> bool {
        let host = self.hosts.get(registry);
        host.is_some_and(|host| host.unchecked || !host.authority.is_empty())
    }

    fn endpoint(&self, url: &str, name: Option<&str>) -> Endpoint {
        let url = url.trim_end_matches('/');
        let url = url.strip_suffix("/v2").unwrap_or(url).to_owned();
        let host = url.split_once("://").map_or(&*url, |(_, rest)| rest);
        let host = host.split('/').next().unwrap_or(host).to_owned();
        let known = name.and_then(|name| self.hosts.get(name)).or_else(|| self.hosts.get(&host));
        let Host { login, authority, unchecked } = known.cloned().unwrap_or_default();
        Endpoint { url, name: name.unwrap_or(&host).to_owned(), login, authority, unchecked }
    }
}

fn is_url(text: &str) -> bool {
    let uri: Result<http::Uri, _> = text.parse();
    uri.is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
}

/// Whether a registry is on this machine, where docker and containerd speak without TLS as well.
fn is_loopback(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    host == "localhost" || host.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn urls(registries: &Registries, image: &str) -> Vec<String> {
        let image = Reference::parse(image).unwrap();
        registries.endpoints(&image).into_iter().map(|endpoint| endpoint.url).collect()
    }

    #[test]
    fn registries_are_where_they_are_said_to_be() {
        let none = Registries::default();
        assert_eq!(urls(&none, "nginx"), ["https://registry-1.docker.io"]);
        assert_eq!(urls(&none, "quay.io/a/b:1"), ["https://quay.io"]);
        assert_eq!(urls(&none, "localhost:5000/a"), ["http://localhost:5000"]);
        assert_eq!(urls(&none, "127.0.0.1:5000/a"), ["http://127.0.0.1:5000"]);
        let document = json!({
            "mirrors": {"docker.io": {"endpoint": ["https://mirror.example.com/v2", "http://10.0.0.1:5000/"]},
                "r.io": {"endpoint": ["http://r.io"]}, "*": {"endpoint": ["https://all"]}},
            "configs": {"quay.io": {"auth": {"username": "ana", "password": "pw"}, "tls": {"ca_file": "/ca"}}},
        });
        let known = Registries::read(&document, |path| Ok(format!("text of {path}"))).unwrap();
        let docker =
            ["https://mirror.example.com", "http://10.0.0.1:5000", "https://registry-1.docker.io"];
        assert_eq!(urls(&known, "nginx"), docker);
        // It is said to be there itself, without TLS.
        assert_eq!(urls(&known, "r.io/a"), ["http://r.io"]);
        assert_eq!(known.registry("r.io").url, "http://r.io");
        let quay = known.endpoints(&Reference::parse("quay.io/a").unwrap());
        assert_eq!((&*quay[0].url, &*quay[1].url), ("https://all", "https://quay.io"));
        assert_eq!(quay[1].login.as_ref().unwrap().user, "ana");
        assert_eq!(quay[1].authority, "text of /ca");
        let mut known = known;
        known.set_own("image-registry.svc:5000", "https://10.0.0.1:5000", "own");
        assert_eq!(urls(&known, "image-registry.svc:5000/a/b"), ["https://10.0.0.1:5000"]);
        assert!(known.is_own("image-registry.svc:5000") && !known.is_own("r.io"));
        let document =
            json!({"configs": {"127.0.0.1:5000": {"tls": {"insecure_skip_verify": true}}}});
        let known = Registries::read(&document, |_| Err(String::new())).unwrap();
        assert_eq!(urls(&known, "127.0.0.1:5000/a"), ["https://127.0.0.1:5000"]);
    }

    #[test]
    fn what_is_not_carried_out_is_refused_by_name() {
        let cases = [
            (json!({"mirrors": {"a": {"endpoint": ["ftp://x"]}}}), "mirrors.a.endpoint"),
            (json!({"mirrors": {"a": {"rewrite": {"x": "y"}}}}), "rewrite"),
            (json!({"configs": {"a": {"tls": {"cert_file": "x"}}}}), "cert_file"),
            (json!({"configs": {"a": {"auth": {"token": "x"}}}}), "token"),
            (
                json!({"configs": {"a": {"tls": {"ca_file": "/no"}}}}),
                "configs.a.tls.ca_file: not there",
            ),
        ];
        for (document, expected) in cases {
            let why = Registries::read(&document, |_| Err("not there".to_owned())).err().unwrap();
            assert!(why.contains(expected), "{why}");
        }
    }
}
