//! Services and Ingresses as `leme create` makes them.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

use super::pair;
use crate::args::{IngressArgs, ServiceArgs, ServiceCommand};

/// A Service of a type.
pub fn service(command: &ServiceCommand) -> Result<Value> {
    let (type_, args) = match command {
        ServiceCommand::Clusterip(args) => ("ClusterIP", args),
        ServiceCommand::Nodeport(args) => ("NodePort", args),
        ServiceCommand::Loadbalancer(args) => ("LoadBalancer", args),
        ServiceCommand::Externalname(args) => ("ExternalName", args),
    };
    let headless = args.clusterip.as_deref() == Some("None");
    ensure!(
        !args.tcp.is_empty() || headless || type_ == "ExternalName",
        "at least one tcp port specifier must be provided"
    );
    let labels = json!({"app": args.name});
    let mut spec = json!({"type": type_, "selector": labels});
    if !args.tcp.is_empty() {
        spec["ports"] = ports(args, type_)?.into();
    }
    if let Some(address) = &args.clusterip {
        ensure!(type_ == "ClusterIP", "--clusterip is for ClusterIP Services");
        spec["clusterIP"] = address.as_str().into();
    }
    if type_ == "ExternalName" {
        let name =
            args.external_name.as_deref().context("required flag(s) \"external-name\" not set")?;
        spec["externalName"] = name.into();
    }
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": args.name, "labels": labels},
        "spec": spec,
    }))
}

fn ports(args: &ServiceArgs, type_: &str) -> Result<Vec<Value>> {
    let port = |text: &String| {
        let (port, target) = text.split_once(':').unwrap_or((text, text));
        let wrong = || format!("invalid port specifier {text:?}: PORT or PORT:TARGET expected");
        let number: u16 = port.parse().ok().filter(|port| *port > 0).with_context(wrong)?;
        ensure!(!target.is_empty(), wrong());
        // A target may be a name.
        let target = target.parse::<u16>().map_or_else(|_| Value::from(target), Value::from);
        let name = text.replace(':', "-");
        let mut port =
            json!({"name": name, "port": number, "protocol": "TCP", "targetPort": target});
        if let Some(number) = args.node_port.filter(|_| type_ == "NodePort") {
            port["nodePort"] = number.into();
        }
        Ok(port)
    };
    args.tcp.iter().map(port).collect()
}

/// An Ingress.
pub fn ingress(args: &IngressArgs) -> Result<Value> {
    ensure!(
        !args.rule.is_empty() || args.default_backend.is_some(),
        "not enough information provided: every ingress has to either specify a default-backend (which catches all traffic) or a list of rules (which catch specific paths)"
    );
    let mut spec = json!({});
    if let Some(class) = &args.class {
        spec["ingressClassName"] = class.as_str().into();
    }
    if let Some(text) = &args.default_backend {
        spec["defaultBackend"] = backend(text)?;
    }
    let (mut rules, mut tls): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
    for text in &args.rule {
        let rule = rule(text)?;
        if let Some(secret) = rule.tls {
            add_host(&mut tls, rule.host, secret);
        }
        let same = |known: &&mut Value| known["host"].as_str().unwrap_or("") == rule.host;
        match rules.iter_mut().find(same).and_then(|known| known["http"]["paths"].as_array_mut()) {
            Some(paths) => paths.push(rule.path),
            None => {
                let mut new = json!({"http": {"paths": [rule.path]}});
                if !rule.host.is_empty() {
                    new["host"] = rule.host.into();
                }
                rules.push(new);
            }
        }
    }
    for (field, list) in [("rules", rules), ("tls", tls)] {
        if !list.is_empty() {
            spec[field] = list.into();
        }
    }
    let mut metadata = json!({"name": args.name});
    if !args.annotation.is_empty() {
        let pairs = args.annotation.iter().map(|text| pair(text));
        let pairs = pairs.map(|pair| pair.map(|(key, value)| (key.to_owned(), value.into())));
        metadata["annotations"] = Value::Object(pairs.collect::<Result<Map<String, Value>>>()?);
    }
    Ok(json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": spec,
    }))
}

struct Rule<'a> {
    host: &'a str,
    path: Value,
    /// The Secret of its certificate, empty for that of whoever serves it.
    tls: Option<&'a str>,
}

/// Reads `HOST/PATH=SERVICE:PORT[,tls[=SECRET]]`.
fn rule(text: &str) -> Result<Rule<'_>> {
    let wrong = || {
        format!(
            "rule {text} is invalid and should be in format host/path=svcname:svcport[,tls[=secret]]"
        )
    };
    let (place, behind) = text.split_once('=').with_context(wrong)?;
    let (host, path) = place.split_once('/').map_or((place, ""), |(host, path)| (host, path));
    let (service, tls) = match behind.split_once(',') {
        None => (behind, None),
        Some((service, "tls")) => (service, Some("")),
        Some((service, more)) => match more.strip_prefix("tls=") {
            Some(secret) => (service, Some(secret)),
            None => bail!(wrong()),
        },
    };
    let (path, type_) = match path.strip_suffix('*') {
        Some(begin) => (begin, "Prefix"),
        None => (path, "Exact"),
    };
    let backend = backend(service).with_context(wrong)?;
    let path = json!({"path": format!("/{path}"), "pathType": type_, "backend": backend});
    Ok(Rule { host, path, tls })
}

fn backend(text: &str) -> Result<Value> {
    let found = text.split_once(':').filter(|(name, port)| !name.is_empty() && !port.is_empty());
    let Some((name, port)) = found else { bail!("{text:?} is no backend: SERVICE:PORT expected") };
    let port = match port.parse::<u16>() {
        Ok(number) => json!({"number": number}),
        Err(_) => json!({"name": port}),
    };
    Ok(json!({"service": {"name": name, "port": port}}))
}

/// Adds a host to those of a Secret.
fn add_host(tls: &mut Vec<Value>, host: &str, secret: &str) {
    let same = |known: &&mut Value| known["secretName"].as_str().unwrap_or("") == secret;
    if let Some(hosts) = tls.iter_mut().find(same).and_then(|known| known["hosts"].as_array_mut()) {
        if !hosts.iter().any(|known| known == host) {
            hosts.push(host.into());
        }
        return;
    }
    let mut new = json!({"hosts": [host]});
    if !secret.is_empty() {
        new["secretName"] = secret.into();
    }
    tls.push(new);
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    #[test]
    fn services() {
        let made = check("service clusterip s --tcp 80:8080 --tcp 443:https").unwrap();
        assert_eq!(
            made["spec"]["ports"],
            json!([{"name": "80-8080", "port": 80, "protocol": "TCP", "targetPort": 8080},
                {"name": "443-https", "port": 443, "protocol": "TCP", "targetPort": "https"}])
        );
        assert_eq!(check("svc clusterip s --clusterip None").unwrap()["spec"]["clusterIP"], "None");
        let made = check("service nodeport s --tcp 80 --node-port 30080").unwrap();
        assert_eq!(made["spec"]["ports"][0]["nodePort"], 30080);
        let made = check("service externalname s --external-name a.b").unwrap();
        assert_eq!(made["spec"]["externalName"], "a.b");
        assert!(check("service externalname s").is_err());
        assert!(check("service clusterip s").unwrap_err().contains("at least one tcp port"));
        for wrong in ["0", "x", "80:", "99999"] {
            assert!(check(&format!("service clusterip s --tcp {wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ingresses() {
        let made = check(
            "ingress i --class c --rule a.b/x*=s:80,tls=t --rule a.b/=s:web --rule /=u:1,tls --default-backend d:9 --annotation k=v",
        )
        .unwrap();
        let backend = |name: &str, port: Value| json!({"service": {"name": name, "port": port}});
        assert_eq!(made["spec"]["defaultBackend"], backend("d", json!({"number": 9})));
        assert_eq!(
            made["spec"]["rules"][0],
            json!({"host": "a.b", "http": {"paths": [
                {"path": "/x", "pathType": "Prefix", "backend": backend("s", json!({"number": 80}))},
                {"path": "/", "pathType": "Exact", "backend": backend("s", json!({"name": "web"}))}]}})
        );
        assert_eq!(made["spec"]["tls"][0], json!({"hosts": ["a.b"], "secretName": "t"}));
        assert_eq!(made["metadata"]["annotations"], json!({"k": "v"}));
        assert!(check("ingress i").is_err());
        assert!(
            check("ingress i --rule a.b=s")
                .unwrap_err()
                .contains("is invalid and should be in format")
        );
        assert!(check("ingress i --rule a.b=s:1,x").is_err());
    }
}
