//! From a Pod to what the runtime is given.
//!
//! Knows: how fields of the API map to sandboxes and containers. Refuses to know: directories on the host beyond the
//! ones it is handed.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Container, ContainerPort, Pod};

use crate::cri::{
    ContainerConfig, Image, Mount, PortMapping, Propagation, SandboxConfig, Seccomp, Security,
};
use crate::fields::Facts;
use crate::lookup::{Sources, Trouble};
use crate::{env, hosts, resources, spec, volumes};

/// Label of sandboxes and containers: the pod's name.
pub const POD_NAME: &str = "io.kubernetes.pod.name";
/// Label: the pod's namespace.
pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// Label: the pod's UID.
pub const POD_UID: &str = "io.kubernetes.pod.uid";
/// Label of containers: the name in the pod.
pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";
/// Annotation: how often the container was restarted.
pub const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
/// Annotation: the host file that holds the termination message.
pub const TERMINATION_FILE: &str = "leme.dev/termination-file";
/// Annotation: `terminationMessagePolicy`.
pub const TERMINATION_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
/// Annotation: what the container was given of the node, as the pod had it then.
pub const RESOURCES: &str = "leme.dev/resources";
/// Annotation: the image as the pod names it.
pub const IMAGE: &str = "leme.dev/image";

/// Cluster DNS as pods see it.
#[derive(Clone, Debug, Default)]
pub struct Dns {
    /// Address of the cluster's DNS service.
    pub server: Option<IpAddr>,
    /// `cluster.local`.
    pub domain: String,
    /// The node's own `/etc/resolv.conf`.
    pub host: String,
}

/// Directory name of a pod's logs.
pub fn log_directory(pod: &Pod) -> String {
    let id = spec::identity(pod);
    format!("{}_{}_{}", id.namespace, id.name, id.uid)
}

fn pod_labels(pod: &Pod) -> BTreeMap<String, String> {
    let id = spec::identity(pod);
    [(POD_NAME, id.name), (POD_NAMESPACE, id.namespace), (POD_UID, id.uid)]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v))
        .collect()
}

/// The sandbox of a pod; `logs` is the directory of all pods' logs.
///
/// # Errors
/// When the pod is to have its whole domain name as host name and that is too long.
pub fn sandbox(
    pod: &Pod,
    attempt: u32,
    logs: &str,
    node: &str,
    dns: &Dns,
) -> Result<SandboxConfig, String> {
    let spec = spec::of(pod);
    let host_network = spec.host_network.unwrap_or(false);
    let id = spec::identity(pod);
    let hosts::HostName { name, domain, kernel } = hosts::name(pod, node, &dns.domain)?;
    let aliases = spec.host_aliases.as_deref().unwrap_or_default().iter();
    let security = spec.security_context.clone().unwrap_or_default();
    let sysctls = security.sysctls.unwrap_or_default().into_iter();
    Ok(SandboxConfig {
        attempt,
        hostname: kernel,
        host_name: name,
        domain,
        host_network,
        own_users: spec.host_users == Some(false),
        log_directory: format!("{logs}/{}", log_directory(pod)),
        port_mappings: if host_network { Vec::new() } else { port_mappings(pod) },
        resolv_conf: resolv_conf(pod, dns),
        host_aliases: aliases
            .map(|a| (a.ip.clone(), a.hostnames.clone().unwrap_or_default()))
            .collect(),
        resources: resources::of_pod(pod),
        sysctls: sysctls.map(|s| (s.name, s.value)).collect(),
        labels: pod_labels(pod),
        pod: id,
    })
}

/// The node's ports that a pod asks for. Those of init containers that end are not opened: nothing serves them in the pod's life.
fn port_mappings(pod: &Pod) -> Vec<PortMapping> {
    let lasting = spec::containers(pod).filter(|(_, role)| *role != spec::Role::Init);
    let ports = lasting.flat_map(|(container, _)| container.ports.iter().flatten());
    let number = |port: i32| u16::try_from(port).ok().filter(|port| *port > 0);
    let mapping = |port: &ContainerPort| {
        Some(PortMapping {
            protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
            container_port: number(port.container_port)?,
            host_port: number(port.host_port?)?,
            host_ip: port.host_ip.clone().unwrap_or_default(),
        })
    };
    ports.filter_map(mapping).collect()
}

/// The text of `/etc/resolv.conf` by `dnsPolicy` and `dnsConfig`.
fn resolv_conf(pod: &Pod, dns: &Dns) -> String {
    let spec = spec::of(pod);
    let host_network = spec.host_network.unwrap_or(false);
    let policy = match spec.dns_policy.as_deref().unwrap_or("ClusterFirst") {
        "ClusterFirst" if host_network => "Default",
        other => other,
    };
    let (mut servers, mut search, mut options) = (Vec::new(), Vec::new(), Vec::new());
    match (policy, dns.server) {
        ("None", _) => {}
        ("ClusterFirst" | "ClusterFirstWithHostNet", Some(server)) => {
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            let domain = &dns.domain;
            servers.push(server.to_string());
            search.extend([
                format!("{namespace}.svc.{domain}"),
                format!("svc.{domain}"),
                domain.clone(),
            ]);
            search.extend(host_words(&dns.host, "search"));
            options.push("ndots:5".to_owned());
        }
        _ => {
            servers.extend(host_lines(&dns.host, "nameserver"));
            search.extend(host_words(&dns.host, "search"));
            options.extend(host_words(&dns.host, "options"));
        }
    }
    if let Some(own) = &spec.dns_config {
        servers.extend(own.nameservers.clone().unwrap_or_default());
        search.extend(own.searches.clone().unwrap_or_default());
        for option in own.options.as_deref().unwrap_or_default() {
            let name = option.name.as_deref().unwrap_or_default();
            options.retain(|o| o.split(':').next() != Some(name));
            options.push(match option.value.as_deref() {
                Some(value) if !value.is_empty() => format!("{name}:{value}"),
                _ => name.to_owned(),
            });
        }
    }
    write_resolv_conf(&servers, &search, &options)
}

fn write_resolv_conf(servers: &[String], search: &[String], options: &[String]) -> String {
    let mut text = String::new();
    if !search.is_empty() {
        text += &format!("search {}\n", search.join(" "));
    }
    let mut seen: Vec<&String> = Vec::new();
    for server in servers {
        if !seen.contains(&server) && seen.len() < 3 {
            seen.push(server);
            text += &format!("nameserver {server}\n");
        }
    }
    if !options.is_empty() {
        text += &format!("options {}\n", options.join(" "));
    }
    text
}

fn host_lines(text: &str, keyword: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|l| l.trim().strip_prefix(keyword));
    lines.filter_map(|rest| rest.split_whitespace().next()).map(str::to_owned).collect()
}

fn host_words(text: &str, keyword: &str) -> Vec<String> {
    let last = text.lines().filter_map(|l| l.trim().strip_prefix(keyword)).next_back();
    last.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// A volume that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// Directory or file on the host.
    pub path: String,
    /// Whatever the mount says, it is read-only.
    pub read_only: bool,
}

/// What a container is built from.
#[derive(Clone, Copy, Debug)]
pub struct Build<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The container in it.
    pub container: &'a Container,
    /// How many times it has been restarted.
    pub attempt: u32,
    /// Facts of node and pod.
    pub facts: &'a Facts,
    /// What has been read from the API.
    pub sources: &'a Sources,
    /// Volumes by name.
    pub volumes: &'a BTreeMap<String, Mounted>,
    /// Host file for the termination message.
    pub termination_file: &'a str,
    /// The id of the container whose processes it is to see, empty for none.
    pub target: &'a str,
}

/// A mount whose source is inside a volume; who makes the mount must keep it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubPath {
    /// Index in `config.mounts`; `host_path` is the volume's root there.
    pub mount: usize,
    /// Name of the volume.
    pub volume: String,
    /// Relative, without `..`.
    pub path: String,
}

/// A container's configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Built {
    /// What the runtime is given, the image as the pod names it.
    pub config: ContainerConfig,
    /// Mounts that still need their source resolved.
    pub sub_paths: Vec<SubPath>,
    /// The image's user must not be root.
    pub must_not_be_root: bool,
}

/// Builds a container's configuration.
pub fn container(build: Build<'_>) -> Result<Built, Trouble> {
    let Build { pod, container, attempt, facts, .. } = build;
    let (env, mut size) = env::of_container(pod, container, facts, build.sources)?;
    let get = |name: &str| env.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let command = size.words("command", container.command.as_deref().unwrap_or_default(), get)?;
    let args = size.words("args", container.args.as_deref().unwrap_or_default(), get)?;
    let (mut mounts, sub_paths) = mounts(build, get)?;
    let message_path =
        container.termination_message_path.as_deref().unwrap_or("/dev/termination-log");
    mounts.push(Mount {
        host_path: build.termination_file.to_owned(),
        container_path: message_path.to_owned(),
        ..Mount::default()
    });
    let (security, must_not_be_root) = security(pod, container);
    let mut labels = pod_labels(pod);
    labels.insert(CONTAINER_NAME.to_owned(), container.name.clone());
    let image = container.image.clone().unwrap_or_default();
    let policy = container.termination_message_policy.clone().unwrap_or_else(|| "File".to_owned());
    let annotations = [
        (RESTART_COUNT, attempt.to_string()),
        (TERMINATION_FILE, build.termination_file.to_owned()),
        (TERMINATION_POLICY, policy),
        (IMAGE, image.clone()),
        (RESOURCES, resources::text(container.resources.as_ref())),
    ];
    let config = ContainerConfig {
        name: container.name.clone(),
        attempt,
        image,
        command,
        args,
        working_dir: container.working_dir.clone().unwrap_or_default(),
        mounts,
        stdin: container.stdin.unwrap_or(false),
        stdin_once: container.stdin_once.unwrap_or(false),
        tty: container.tty.unwrap_or(false),
        log_path: format!("{}/{attempt}.log", container.name),
        resources: resources::of_container(pod, container, facts.memory),
        security,
        share_pid: spec::of(pod).share_process_namespace.unwrap_or(false),
        target: build.target.to_owned(),
        labels,
        annotations: annotations.into_iter().map(|(k, v)| (k.to_owned(), v)).collect(),
        env,
    };
    Ok(Built { config, sub_paths, must_not_be_root })
}

fn mounts<'e>(
    build: Build<'_>,
    get: impl Fn(&str) -> Option<&'e str> + Copy,
) -> Result<(Vec<Mount>, Vec<SubPath>), Trouble> {
    let mut mounts = Vec::new();
    let mut sub_paths = Vec::new();
    for mount in build.container.volume_mounts.as_deref().unwrap_or_default() {
        let volume = build.volumes.get(&mount.name).ok_or_else(|| {
            Trouble::Message(format!("cannot find volume {:?} to mount", mount.name))
        })?;
        let expr = mount.sub_path_expr.as_deref().filter(|e| !e.is_empty());
        let sub = match (expr, mount.sub_path.as_deref()) {
            (Some(expr), _) => Some(env::expand(expr, get).ok_or_else(|| {
                let message = format!("subPathExpr of volume {:?} is too long", mount.name);
                Trouble::Message(message)
            })?),
            (None, Some(path)) if !path.is_empty() => Some(path.to_owned()),
            _ => None,
        };
        if let Some(sub) = sub {
            if expr.is_some() && sub.contains("$(") {
                return Err(Trouble::Message(format!("missing value for {sub:?}")));
            }
            let path = volumes::descending(&sub).map_err(Trouble::Message)?;
            if !path.is_empty() {
                sub_paths.push(SubPath { mount: mounts.len(), volume: mount.name.clone(), path });
            }
        }
        mounts.push(Mount {
            host_path: volume.path.clone(),
            container_path: absolute(&mount.mount_path),
            readonly: mount.read_only.unwrap_or(false) || volume.read_only,
            propagation: match mount.mount_propagation.as_deref() {
                Some("HostToContainer") => Propagation::HostToContainer,
                Some("Bidirectional") => Propagation::Bidirectional,
                _ => Propagation::Private,
            },
        });
    }
    Ok((mounts, sub_paths))
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

/// The security context, the container's own before the pod's; and whether root is forbidden.
fn security(pod: &Pod, container: &Container) -> (Security, bool) {
    let shared = spec::of(pod).security_context.clone().unwrap_or_default();
    let own = container.security_context.clone().unwrap_or_default();
    let privileged = own.privileged.unwrap_or(false);
    let capabilities = own.capabilities.unwrap_or_default();
    let bare = |list: Option<Vec<String>>| -> Vec<String> {
        let names = list.unwrap_or_default().into_iter();
        names.map(|n| n.strip_prefix("CAP_").map_or(n.clone(), str::to_owned)).collect()
    };
    let mut groups = shared.supplemental_groups.unwrap_or_default();
    groups.extend(shared.fs_group.filter(|g| !groups.contains(g)));
    let seccomp = match own.seccomp_profile.or(shared.seccomp_profile) {
        Some(profile) if profile.type_ == "RuntimeDefault" => Seccomp::RuntimeDefault,
        Some(profile) if profile.type_ == "Localhost" => {
            Seccomp::Localhost(profile.localhost_profile.unwrap_or_default())
        }
        _ => Seccomp::Unconfined,
    };
    let user = own.run_as_user.or(shared.run_as_user);
    let must_not = own.run_as_non_root.or(shared.run_as_non_root).unwrap_or(false);
    let security = Security {
        privileged,
        run_as_user: user,
        run_as_group: own.run_as_group.or(shared.run_as_group),
        supplemental_groups: groups,
        readonly_rootfs: own.read_only_root_filesystem.unwrap_or(false),
        no_new_privileges: own.allow_privilege_escalation == Some(false) && !privileged,
        add_capabilities: bare(capabilities.add),
        drop_capabilities: bare(capabilities.drop),
        seccomp,
        unmasked: own.proc_mount.as_deref() == Some("Unmasked"),
    };
    (security, must_not)
}

/// Refuses a container that may not run as root and would.
pub fn check_not_root(built: &Built, image: &Image, pod: &str) -> Result<(), String> {
    if !built.must_not_be_root {
        return Ok(());
    }
    let name = &built.config.name;
    match (built.config.security.run_as_user, image.uid, image.username.as_str()) {
        (Some(0), ..) => Err(format!(
            "container's runAsUser breaks non-root policy (pod: \"{pod}\", container: {name})"
        )),
        (Some(_), ..) => Ok(()),
        (None, Some(uid), _) if uid != 0 => Ok(()),
        (None, None, user) if !user.is_empty() => Err(format!(
            "container has runAsNonRoot and image has non-numeric user ({user}), cannot verify \
             user is non-root (pod: \"{pod}\", container: {name})"
        )),
        _ => Err(format!(
            "container has runAsNonRoot and image will run as root (pod: \"{pod}\", container: {name})"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_ports_of_what_lasts() {
        let port = |container: i32, host: i32| serde_json::json!({"containerPort": container, "hostPort": host});
        let pod = |host_network: bool| {
            serde_json::from_value(serde_json::json!({"metadata": {"name": "p"}, "spec": {
                "hostNetwork": host_network,
                "initContainers": [
                    {"name": "i", "ports": [port(1, 1)]},
                    {"name": "s", "restartPolicy": "Always", "ports": [port(2, 20)]},
                ],
                "containers": [{"name": "c", "ports": [
                    {"containerPort": 3, "hostPort": 30, "hostIP": "192.0.2.1", "protocol": "UDP"},
                    {"containerPort": 4}, {"containerPort": 5, "hostPort": 0}]}]}}))
            .unwrap()
        };
        let mapping = |protocol: &str, container_port, host_port, host_ip: &str| PortMapping {
            protocol: protocol.into(),
            container_port,
            host_port,
            host_ip: host_ip.into(),
        };
        let sandbox = |host_network| sandbox(&pod(host_network), 0, "", "node", &Dns::default());
        assert_eq!(
            sandbox(false).unwrap().port_mappings,
            [mapping("TCP", 2, 20, ""), mapping("UDP", 3, 30, "192.0.2.1")]
        );
        assert_eq!(sandbox(true).unwrap().port_mappings, []);
    }

    #[test]
    fn resolv_conf_by_policy() {
        let dns = Dns {
            server: Some("10.96.0.10".parse().unwrap()),
            domain: "cluster.local".into(),
            host: "# x\nnameserver 1.1.1.1\nsearch lan\noptions edns0\n".into(),
        };
        let check = |spec: serde_json::Value, want: &str| {
            let mut pod =
                serde_json::json!({"metadata": {"name": "p", "namespace": "n"}, "spec": spec});
            pod["spec"]["containers"] = serde_json::json!([]);
            assert_eq!(resolv_conf(&serde_json::from_value(pod).unwrap(), &dns), want);
        };
        check(
            serde_json::json!({"dnsConfig": {"options": [{"name": "ndots", "value": "2"}]}}),
            "search n.svc.cluster.local svc.cluster.local cluster.local lan\nnameserver 10.96.0.10\noptions ndots:2\n",
        );
        check(
            serde_json::json!({"hostNetwork": true}),
            "search lan\nnameserver 1.1.1.1\noptions edns0\n",
        );
        check(
            serde_json::json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["9.9.9.9"]}}),
            "nameserver 9.9.9.9\n",
        );
    }

    // Red when subdomain and setHostnameAsFQDN are not looked at.
    #[test]
    fn host_names() {
        let dns = Dns { domain: "cluster.local".into(), ..Dns::default() };
        let check = |spec: serde_json::Value, want: Result<(&str, &str, &str), &str>| {
            let mut pod =
                serde_json::json!({"metadata": {"name": "p", "namespace": "n"}, "spec": spec});
            pod["spec"]["containers"] = serde_json::json!([]);
            let pod: Pod = serde_json::from_value(pod).unwrap();
            let got = sandbox(&pod, 0, "/l", "node-1", &dns);
            let got = got.map(|c| (c.host_name, c.domain, c.hostname));
            let want = want.map(|(a, b, c)| (a.into(), b.into(), c.into()));
            assert_eq!(got, want.map_err(str::to_owned));
        };
        let domain = "set.n.svc.cluster.local";
        check(serde_json::json!({}), Ok(("p", "", "p")));
        check(
            serde_json::json!({"hostname": "one", "subdomain": "set"}),
            Ok(("one", domain, "one")),
        );
        check(
            serde_json::json!({"hostname": "one", "subdomain": "set", "setHostnameAsFQDN": true}),
            Ok(("one", domain, "one.set.n.svc.cluster.local")),
        );
        check(serde_json::json!({"setHostnameAsFQDN": true}), Ok(("p", "", "p")));
        check(
            serde_json::json!({"hostNetwork": true, "subdomain": "set"}),
            Ok(("node-1", "", "node-1")),
        );
        let long = "x".repeat(50);
        check(
            serde_json::json!({"hostname": long, "subdomain": "set", "setHostnameAsFQDN": true}),
            Err(&format!(
                "failed to construct FQDN from pod hostname and cluster domain, FQDN {long}.{domain} is too long \
                 (64 characters is the max, 74 characters requested)"
            )),
        );
    }

    #[test]
    fn builds_a_container() {
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u"},
            "spec": {"enableServiceLinks": false, "securityContext": {"runAsNonRoot": true, "fsGroup": 7},
              "containers": [{"name": "c", "image": "i", "args": ["$(A)", "$$(A)"],
                "env": [{"name": "A", "value": "x"}],
                "volumeMounts": [{"name": "v", "mountPath": "/v", "subPathExpr": "s/$(A)"}]}]}}))
        .unwrap();
        let container_spec = &pod.spec.as_ref().unwrap().containers[0];
        let mut sources = Sources::default();
        sources.set(
            crate::lookup::Key::new(crate::lookup::Kind::Services, "default", "kubernetes"),
            None,
        );
        let volumes = [("v".to_owned(), Mounted { path: "/h".into(), read_only: true })].into();
        let build = Build {
            pod: &pod,
            container: container_spec,
            attempt: 2,
            facts: &Facts::default(),
            sources: &sources,
            volumes: &volumes,
            termination_file: "/t",
            target: "",
        };
        let built = container(build).unwrap();
        assert_eq!(built.config.args, ["x", "$(A)"]);
        assert_eq!(built.sub_paths, [SubPath { mount: 0, volume: "v".into(), path: "s/x".into() }]);
        assert!(built.config.mounts[0].readonly);
        assert_eq!(built.config.log_path, "c/2.log");
        assert_eq!(built.config.security.supplemental_groups, [7]);
        let root = Image { uid: Some(0), ..Image::default() };
        assert!(check_not_root(&built, &root, "p").unwrap_err().contains("will run as root"));
        assert!(check_not_root(&built, &Image { uid: Some(5), ..root }, "p").is_ok());
    }
}
