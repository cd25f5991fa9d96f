//! The parts of a cluster, each in a process of its own, over HTTPS.

use std::io::{BufRead, BufReader};
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::thread;

use leme_live::{Host, Program, leme, tool, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const DEPLOYMENT: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 1\n  \
    selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    \
    spec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: \"leme/sample:latest\", args: [hello], \
    imagePullPolicy: IfNotPresent}]}\n";
const AVAILABLE: &str = "get deployment web -o jsonpath={.status.availableReplicas}";

/// A part that runs, and what it has said.
struct Part {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Part {
    /// `leme WORDS --data-dir DIR`.
    fn start(host: &Host, words: &str) -> Part {
        let mut child = host.leme(words).spawn();
        let said = Arc::new(Mutex::new(String::new()));
        let (all, output) = (said.clone(), child.stderr.take().unwrap());
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                *all.lock().unwrap() += &format!("{line}\n");
            }
        });
        Part { child, said }
    }

    fn says(&self, text: &str) {
        until(text, || self.said.lock().unwrap().contains(text));
    }

    fn end(&mut self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
        self.child.wait().unwrap();
    }

    /// Ended by itself, or by somebody else's signal that it knows.
    fn has_ended_well(&mut self) {
        let mut ended = None;
        until("the part has ended", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        let said = self.said.lock().unwrap();
        assert!(ended.unwrap().success(), "{said}");
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn scale(host: &Host, replicas: usize) {
    host.kubectl(&format!("scale deployment web --replicas {replicas}")).run().ok();
}

fn available(host: &Host, replicas: usize) {
    let wanted = replicas.to_string();
    until("pods are available", || host.kubectl(AVAILABLE).run().stdout == wanted);
}

fn containers(host: &Host) -> String {
    let path = "get pods -o jsonpath={.items[*].status.containerStatuses[*].containerID}";
    host.kubectl(path).run().ok()
}

#[test]
fn four_processes_are_a_cluster() {
    let host = Host::new();
    host.load_sample();
    let mut server = Part::start(&host, "server");
    server.says("server is up");
    let mut scheduler = Part::start(&host, "scheduler");
    let mut controllers = Part::start(&host, "controllers");
    let mut agent = Part::start(&host, "agent");
    agent.says("node leme-0 is known to the API server");
    let manifest = Host::manifest("hello.yaml");
    host.leme(&format!("apply -f {manifest} --wait")).run().ok();
    until("the Route is served", || {
        host.get("http://hello-hello.apps.localhost").stdout.contains("Hello from Leme")
    });
    host.kubectl("delete namespace hello").run().ok();

    host.kubectl("apply -f -").run_with(DEPLOYMENT).ok();
    available(&host, 1);
    // The server finds the agent, and each knows the other's certificate.
    host.kubectl("logs deployment/web").run().ok();
    let told = host.kubectl("exec deployment/web -- sh -c").arg("echo from within").run().ok();
    assert_eq!(told, "from within\n");

    // A killed one loses nothing: the next goes on once its lease has run out.
    controllers.end(Signal::SIGKILL);
    scale(&host, 2);
    let mut second = Part::start(&host, "controllers --leader-elect");
    available(&host, 2);
    // One that waits for the lease takes over when it is given up.
    let mut third = Part::start(&host, "controllers --leader-elect=true");
    third.says("work for");
    second.end(Signal::SIGTERM);
    scale(&host, 1);
    available(&host, 1);

    // Pods outlive their agent.
    until("one pod is left", || containers(&host).split(' ').count() == 1);
    let before = containers(&host);
    agent.end(Signal::SIGTERM);
    let mut agent = Part::start(&host, "agent --node-name leme-0");
    agent.says("is known to the API server");
    scale(&host, 2);
    available(&host, 2);
    assert!(containers(&host).contains(&before), "{before}");

    // The others wait for a server that is gone, and go on with the next.
    server.end(Signal::SIGKILL);
    let mut server = Part::start(&host, "server");
    server.says("server is up");
    scale(&host, 3);
    available(&host, 3);

    // And none of them anything when the cluster is stopped.
    host.leme("down").run().ok();
    for part in [&mut server, &mut scheduler, &mut third, &mut agent] {
        part.has_ended_well();
    }
    assert_eq!(host.leftovers(), Vec::<String>::new());
}

/// Two machines with a cable between them: 192.0.2.1 and 192.0.2.2.
fn two_machines() -> (Host, Host) {
    let (one, two) = (Host::new(), Host::new());
    let ip =
        |host: &Host, words: &str| host.program(tool("ip", "iproute2")).words(words).run().ok();
    ip(&one, &format!("link add cable type veth peer name cable netns {}", two.namespace()));
    for (host, address) in [(&one, "192.0.2.1"), (&two, "192.0.2.2")] {
        ip(host, &format!("addr add {address}/24 dev cable"));
        ip(host, "link set cable up");
    }
    (one, two)
}

/// Red when a node is believed by its address alone: its certificate is made before anybody knows that.
#[test]
fn a_node_may_be_on_another_machine() {
    let (here, there) = two_machines();
    there.load_sample();
    let server = Part::start(&here, "server --listen 192.0.2.1:6443 --agents shed");
    server.says("server is up");
    let _parts = [Part::start(&here, "controllers"), Part::start(&here, "scheduler")];
    let kubeconfig = here.data().join("node-shed.kubeconfig").display().to_string();
    let words = format!("agent --kubeconfig {kubeconfig} --node-ip 192.0.2.2");
    let wrong = there.leme(&format!("{words} --node-name barn")).run().fails(1);
    assert!(wrong.contains("the kubeconfig is for node shed"), "{wrong}");
    let mut agent = Part::start(&there, &format!("{words} --pod-cidr 10.244.7.0/24"));
    here.kubectl("apply -f -").run_with(DEPLOYMENT).ok();
    available(&here, 1);
    let place = "get pods -o jsonpath={.items[0].spec.nodeName}/{.items[0].status.podIP}";
    let told = here.kubectl(place).run().ok();
    assert!(told.starts_with("shed/10.244.7."), "{told}");
    let told = here.kubectl("exec deployment/web -- sh -c").arg("echo from afar").run().ok();
    assert_eq!(told, "from afar\n");
    there.leme("down").run().ok();
    agent.has_ended_well();
    let left = there.leftovers();
    assert!(left.iter().all(|one| one.contains("cable")), "{left:?}");
}

#[test]
fn who_is_left_out_is_missed_and_can_be_somebody_else() {
    let host = Host::new();
    let wrong = Program::new(leme()).words("up --without cooks").run().fails(2);
    assert!(wrong.contains("controllers, scheduler, node, dns, proxy, router"), "{wrong}");
    host.load_sample();
    host.up("--without controllers").ok();
    host.kubectl("apply -f -").run_with(DEPLOYMENT).ok();
    let why = host.leme("why deployment/web").run().ok();
    let missing = "the controller-manager does not work: nobody holds the lease kube-system/kube-controller-manager";
    assert!(why.contains(missing) && !why.contains("the scheduler"), "{why}");
    assert_eq!(host.kubectl("get pods -o name").run().ok(), "");

    let controllers = Part::start(&host, "controllers");
    available(&host, 1);
    let works = "deployment.apps/web works: 1/1 available\n";
    until("nothing is missing", || host.leme("why deployment/web").run().ok().starts_with(works));
    drop(controllers);
    host.leme("down").run().ok();
    assert_eq!(host.leftovers(), Vec::<String>::new());
}
