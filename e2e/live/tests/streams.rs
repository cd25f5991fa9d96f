//! Streams through stock kubectl, over WebSockets and over SPDY: commands, attached input, forwarded ports; and proxies.

use std::io::{BufRead, BufReader};

use leme_live::{Finished, Host, Program, until};

/// What turns kubectl's WebSockets on and off.
const TRANSPORTS: [&str; 2] = ["true", "false"];

fn over(program: Program, websockets: &str) -> Program {
    program
        .env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets)
        .env("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets)
}

fn served() -> Host {
    let host = Host::new();
    host.load_sample();
    host.up(&format!("-f {}", Host::manifest("hello.yaml"))).ok();
    host
}

fn first_pod(host: &Host) -> String {
    host.kubectl("get pods -n hello -o jsonpath={.items[0].metadata.name}").run().ok()
}

/// Red when either the agent or the server closes a connection that still has input in it.
#[test]
fn the_exit_code_arrives_though_the_command_left_input_unread() {
    let host = served();
    let pod = first_pod(&host);
    let input = "x".repeat(3_000_000);
    for websockets in TRANSPORTS {
        for _ in 0..5 {
            let exec = host.kubectl(&format!("exec -i -n hello {pod} -- sh -c"));
            let exec = over(exec, websockets).arg("head -c 7 >/dev/null; echo read; exit 9");
            let done: Finished = exec.run_with(&input);
            assert_eq!(done.stdout, "read\n", "{}", done.stderr);
            let words = done.fails(9);
            assert!(words.contains("command terminated with exit code 9"), "{words}");
        }
    }
    let own = host.leme(&format!("exec -i -n hello {pod}")).words("-- sh -c").arg("exit 9");
    own.run_with(&input).fails(9);
    // All of it there and back at once: neither end may wait for the other.
    let echoed = host.leme(&format!("exec -i -n hello {pod}")).words("-- cat").run_with(&input);
    assert_eq!(echoed.ok().len(), input.len());
}

#[test]
fn what_is_typed_reaches_an_attached_container() {
    let host = served();
    for websockets in TRANSPORTS {
        let run = host.kubectl(
            "run typed -n hello -i --rm --quiet --restart=Never --image=leme/sample:latest \
             --image-pull-policy=IfNotPresent --command -- cat",
        );
        let said = over(run, websockets).run_with("one\ntwo\n").ok();
        assert_eq!(said, "one\ntwo\n");
    }
    let run = "run own -n hello -i --attach=false --restart=Never --image=leme/sample:latest \
               --image-pull-policy=IfNotPresent --command -- cat";
    host.kubectl(run).run().ok();
    host.kubectl("wait pod/own -n hello --for=condition=Ready --timeout=60s").run().ok();
    let said = host.leme("attach -i -n hello own").run_with("three\n").ok();
    assert_eq!(said, "three\n");
}

#[test]
fn ports_are_forwarded() {
    let mut host = served();
    let pod = first_pod(&host);
    for websockets in TRANSPORTS {
        let forward = host.kubectl(&format!("port-forward -n hello pod/{pod} :8080"));
        let mut forward = over(forward, websockets).spawn();
        let mut lines = BufReader::new(forward.stdout.take().unwrap()).lines();
        let line = lines.next().unwrap().unwrap();
        let port = line.split(':').nth(1).unwrap().split(' ').next().unwrap().to_owned();
        for _ in 0..3 {
            let page = host.get(&format!("http://127.0.0.1:{port}/")).ok();
            assert!(page.contains(&pod), "{page}");
        }
        forward.kill().unwrap();
        host.keep(forward);
    }
    let mut own = host.leme(&format!("port-forward -n hello {pod} :8080")).spawn();
    let line = BufReader::new(own.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    let address = line.strip_prefix("Forwarding from ").unwrap().split(' ').next().unwrap();
    let page = host.get(&format!("http://{address}/")).ok();
    assert!(page.contains(&pod), "{page}");
    own.kill().unwrap();
    host.keep(own);
}

#[test]
fn pods_services_and_nodes_answer_through_the_server() {
    let host = served();
    let pod = first_pod(&host);
    let raw = |path: &str| host.kubectl("get --raw").arg(path).run();
    let base = "/api/v1/namespaces/hello";
    for name in [pod.clone(), format!("{pod}:8080"), format!("http:{pod}:8080")] {
        let page = raw(&format!("{base}/pods/{name}/proxy/")).ok();
        assert!(page.contains(&pod), "{page}");
    }
    until("the Service has endpoints", || {
        raw(&format!("{base}/services/hello:80/proxy/")).code == 0
    });
    raw(&format!("{base}/services/hello:http/proxy/healthz")).ok();
    let missing = raw(&format!("{base}/services/hello:99/proxy/")).fails(1);
    assert!(missing.contains(r#"no service port 99 found for service "hello""#), "{missing}");
    let node = host.kubectl("get nodes -o jsonpath={.items[0].metadata.name}").run().ok();
    assert_eq!(raw(&format!("/api/v1/nodes/{node}/proxy/healthz")).ok(), "ok");
}
