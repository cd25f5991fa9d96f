//! Rollouts of a DeploymentConfig and of a Deployment on a real node: nobody who asks notices, and what goes wrong is told.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use leme_live::{Host, until};
use nix::sched::{CloneFlags, setns};

const ROUNDS: usize = 10;
/// Two hundred requests a second.
const PACE: Duration = Duration::from_millis(5);

/// Who asks for a page again and again.
struct Caller {
    stop: Arc<AtomicBool>,
    work: JoinHandle<(usize, Vec<String>)>,
}

impl Caller {
    fn begin(host: &Host, url: &str) -> Caller {
        let stop = Arc::new(AtomicBool::new(false));
        let (ended, url) = (stop.clone(), url.to_owned());
        let network = File::open(format!("/run/netns/{}", host.namespace())).unwrap();
        let work = thread::spawn(move || {
            setns(network, CloneFlags::CLONE_NEWNET).unwrap();
            let (mut asked, mut failed) = (0, Vec::new());
            while !ended.load(Ordering::Relaxed) {
                let began = Instant::now();
                asked += 1;
                failed.extend(ask(&url).err());
                thread::sleep(PACE.saturating_sub(began.elapsed()));
            }
            (asked, failed)
        });
        Caller { stop, work }
    }

    fn end(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        self.work.join().unwrap()
    }
}

/// One request on a connection of its own.
fn ask(url: &str) -> Result<(), String> {
    let place = url.strip_prefix("http://").unwrap().trim_end_matches('/');
    let (name, port) = place.split_once(':').unwrap_or((place, "80"));
    let wrong = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", port.parse().unwrap())).map_err(wrong)?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(wrong)?;
    let request = format!("GET / HTTP/1.1\r\nHost: {name}:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(wrong)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(wrong)?;
    match answer.contains("pod: ") && answer.starts_with("HTTP/1.1 200") {
        true => Ok(()),
        false => Err(answer.lines().next().unwrap_or("nothing").to_owned()),
    }
}

/// Gives the only container of a template another value of its variable.
fn turn(host: &Host, what: &str, round: usize) {
    let env = format!("{{\"name\":\"ROLLOUT\",\"value\":\"{round}\"}}");
    let path = "/spec/template/spec/containers/0/env/1";
    let patch = format!("[{{\"op\":\"replace\",\"path\":\"{path}\",\"value\":{env}}}]");
    host.kubectl(&format!("patch -n rolling {what} --type json -p")).arg(patch).run().ok();
}

#[test]
fn nobody_who_asks_notices_a_rollout() {
    let host = Host::new();
    host.load_sample();
    let told = host.up(&format!("-f {}", Host::manifest("rolling.yaml"))).ok();
    let urls: Vec<&str> = told.lines().filter(|line| line.starts_with("http://")).collect();
    assert_eq!(urls.len(), 2, "{told}");
    let callers: Vec<Caller> = urls.iter().map(|url| Caller::begin(&host, url)).collect();
    for round in 1..=ROUNDS {
        for what in ["dc/shop", "deployment/web"] {
            turn(&host, what, round);
        }
        for what in ["dc/shop", "deployment/web"] {
            host.leme(&format!("rollout status -n rolling {what} --timeout 120s")).run().ok();
        }
    }
    for caller in callers {
        let (asked, failed) = caller.end();
        assert!(asked > 1_000 && failed.is_empty(), "{asked}: {failed:?}");
    }
    let row = host.kubectl("get dc shop -n rolling --no-headers").run().ok();
    let words: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(words, ["shop", "11", "3", "3", "config"]);
    host.leme("down --purge").run().ok();
    assert_eq!(host.leftovers(), Vec::<String>::new());
}

#[test]
fn a_rollout_that_cannot_come_up_is_told_of_and_taken_back() {
    let host = Host::new();
    host.load_sample();
    host.up(&format!("-f {}", Host::manifest("rolling.yaml"))).ok();
    let configs = "/apis/apps.openshift.io/v1/namespaces/rolling/deploymentconfigs";
    let patch = |json: &str| {
        host.kubectl("patch -n rolling dc/shop --type merge -p").arg(json).run().ok();
    };
    // A hook that fails ends it before a pod has gone.
    patch(
        r#"{"spec":{"strategy":{"rollingParams":{"pre":{"failurePolicy":"Abort","execNewPod":{"containerName":"hello","command":["/bin/sample","nothing"]}}}}}}"#,
    );
    turn(&host, "dc/shop", 1);
    let told = host.leme("rollout status -n rolling dc/shop --timeout 120s").run().fails(1);
    assert!(told.contains("has failed progressing"), "{told}");
    let log = host.kubectl(&format!("get --raw {configs}/shop/log")).run().ok();
    assert!(
        log.contains("--> pre: Running hook pod ...") && log.contains("error: pre hook failed"),
        "{log}"
    );
    let sizes = "get rc -n rolling -o jsonpath={.items[*].spec.replicas}";
    assert_eq!(host.kubectl(sizes).run().ok(), "3 0");

    // What cannot become ready is given up in time, and the pods are those of before.
    patch(r#"{"spec":{"strategy":{"rollingParams":{"pre":null,"timeoutSeconds":5}}}}"#);
    let path = "/spec/template/spec/containers/0/readinessProbe/httpGet/path";
    let never = format!("[{{\"op\":\"replace\",\"path\":\"{path}\",\"value\":\"/nope\"}}]");
    host.kubectl("patch -n rolling dc/shop --type json -p").arg(never).run().ok();
    let told = host.leme("rollout status -n rolling dc/shop --timeout 120s").run().fails(1);
    assert!(told.contains("has failed progressing"), "{told}");
    let log = host.kubectl(&format!("get --raw {configs}/shop/log?version=3")).run().ok();
    assert!(log.contains("Scaling shop-3 up to 1"), "{log}");
    assert!(log.contains("error: timed out waiting for any update progress to be made"), "{log}");
    until("the pods are those of before", || host.kubectl(sizes).run().ok() == "3 0 0");

    // The last one that was completed comes back as a version of its own.
    let ask = r#"{"apiVersion":"apps.openshift.io/v1","kind":"DeploymentConfigRollback","name":"shop","spec":{"from":{},"revision":1,"includeTemplate":true}}"#;
    let back =
        host.kubectl(&format!("create --raw {configs}/shop/rollback -f -")).run_with(ask).ok();
    host.kubectl(&format!("replace --raw {configs}/shop -f -")).run_with(&back).ok();
    host.leme("rollout status -n rolling dc/shop --timeout 120s").run().ok();
    until("the fourth has the pods", || host.kubectl(sizes).run().ok() == "0 0 0 3");
    host.leme("down --purge").run().ok();
    assert_eq!(host.leftovers(), Vec::<String>::new());
}
