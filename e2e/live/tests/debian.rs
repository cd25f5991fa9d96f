//! Real servers out of Debian's packages: a three-node ZooKeeper, and WordPress with MariaDB. They store, replicate, and lose
//! nothing when a pod dies.
//!
//! Heavy, and it needs images of some hundred megabytes: `e2e/debian/run` makes them and runs this.

use std::path::PathBuf;

use leme_live::{Finished, Host, root, tool, until};

/// The images of `e2e/debian/image`.
fn load(host: &Host, images: &[&str]) {
    let folder =
        std::env::var_os("LEME_DEBIAN_IMAGES").expect("LEME_DEBIAN_IMAGES names no folder");
    for image in images {
        let path = PathBuf::from(&folder).join(format!("{image}.tar"));
        host.leme("image load").arg(path).run().ok();
    }
}

fn manifest(name: &str) -> String {
    root().join("e2e/debian").join(name).to_string_lossy().into_owned()
}

/// Runs a command in a pod.
fn exec(host: &Host, pod: &str, command: &str) -> Finished {
    host.kubectl(&format!("exec {pod} -- sh -c")).arg(command).run()
}

fn ready(host: &Host, what: &str, status: &str) -> String {
    host.kubectl(&format!("get {what} -o jsonpath={{.status.{status}}}")).run().ok()
}

fn node(host: &Host, pod: &str) -> String {
    host.kubectl(&format!("get pod {pod} -o jsonpath={{.metadata.uid}}")).run().ok()
}

/// A command of ZooKeeper's own client at one of the servers.
fn zk(host: &Host, server: usize, words: &str) -> String {
    let client = "java -Xmx64m -cp /usr/share/java/zookeeper.jar:/usr/share/java/slf4j-nop.jar org.apache.zookeeper.ZooKeeperMain";
    let command = format!("{client} -server localhost:2181 {words} 2>/dev/null");
    exec(host, &format!("zk-{server}"), &command).ok()
}

fn role(host: &Host, server: usize) -> String {
    let said = exec(host, &format!("zk-{server}"), "echo srvr | nc -q 1 localhost 2181").ok();
    said.lines().find_map(|line| line.strip_prefix("Mode: ")).unwrap_or("").to_owned()
}

#[test]
#[ignore = "needs images of Debian packages: e2e/debian/run"]
fn three_zookeepers_agree_and_lose_nothing_with_their_leader() {
    let host = Host::new();
    load(&host, &["zookeeper"]);
    host.up(&format!("-f {}", manifest("zookeeper.yaml"))).ok();
    until("all three are ready", || ready(&host, "sts/zk", "readyReplicas") == "3");
    let mut roles: Vec<String> = (0..3).map(|server| role(&host, server)).collect();
    let leader = roles.iter().position(|role| role == "leader").unwrap();
    roles.sort();
    assert_eq!(roles, ["follower", "follower", "leader"]);
    zk(&host, 0, "create /kept first");
    for server in 0..3 {
        assert!(zk(&host, server, "get /kept").contains("first"), "server {server}");
    }

    // Without its leader the others elect one and go on; it comes back with what was written meanwhile.
    let other = (leader + 1) % 3;
    let before = node(&host, &format!("zk-{leader}"));
    host.kubectl(&format!("delete pod zk-{leader} --wait=false")).run().ok();
    until("there is another leader", || {
        (0..3).any(|server| server != leader && role(&host, server) == "leader")
    });
    zk(&host, other, "set /kept second");
    until("it has been replaced", || {
        let pod = host.kubectl(&format!("get pod zk-{leader} -o jsonpath={{.metadata.uid}}")).run();
        pod.ok() != before && ready(&host, "sts/zk", "readyReplicas") == "3"
    });
    for server in 0..3 {
        assert!(zk(&host, server, "get /kept").contains("second"), "server {server}");
    }

    // All at once, and the machine is down: what was written is on disk.
    host.leme("down").run().ok();
    host.up("").ok();
    until("all three are ready again", || {
        ready(&host, "sts/zk", "readyReplicas") == "3" && !role(&host, 0).is_empty()
    });
    assert!(zk(&host, other, "get /kept").contains("second"));
    host.leme("down --purge").run().ok();
    assert_eq!(host.leftovers(), Vec::<String>::new());
}

/// Posts a form to WordPress, as a browser with cookies does.
fn post(host: &Host, url: &str, fields: &[(&str, &str)]) -> String {
    let cookies = host.folder().join("cookies");
    let mut curl = host.program(tool("curl", "curl")).words("-sS --fail --max-time 60 -L");
    for flag in ["-b", "-c"] {
        curl = curl.arg(flag).arg(&cookies);
    }
    for (name, value) in fields {
        curl = curl.arg("--data-urlencode").arg(format!("{name}={value}"));
    }
    curl.arg(url).run().ok()
}

#[test]
#[ignore = "needs images of Debian packages: e2e/debian/run"]
fn wordpress_keeps_its_posts_when_its_database_dies() {
    let host = Host::new();
    load(&host, &["mariadb", "wordpress"]);
    let told = host.up(&format!("-f {}", manifest("wordpress.yaml"))).ok();
    let url = told.lines().find(|line| line.starts_with("http://")).unwrap().trim_end_matches('/');
    until("both are ready", || {
        ready(&host, "sts/db", "readyReplicas") == "1"
            && ready(&host, "deploy/wordpress", "readyReplicas") == "1"
    });
    let installed = post(
        &host,
        &format!("{url}/wp-admin/install.php?step=2"),
        &[
            ("weblog_title", "A blog"),
            ("user_name", "admin"),
            ("admin_password", "not-a-secret"),
            ("admin_password2", "not-a-secret"),
            ("pw_weak", "on"),
            ("admin_email", "admin@example.com"),
            ("blog_public", "0"),
        ],
    );
    assert!(installed.contains("Success!"), "{installed}");
    let call = "<methodCall><methodName>wp.newPost</methodName><params>\
        <param><value><int>1</int></value></param><param><value>admin</value></param>\
        <param><value>not-a-secret</value></param><param><value><struct>\
        <member><name>post_title</name><value>Kept</value></member>\
        <member><name>post_status</name><value>publish</value></member>\
        <member><name>post_content</name><value>It is still there.</value></member>\
        </struct></value></param></params></methodCall>";
    let curl = host.program(tool("curl", "curl"));
    let made = curl
        .words("-sS --fail --max-time 60 -H content-type:text/xml --data-binary")
        .arg(call)
        .arg(format!("{url}/xmlrpc.php"))
        .run()
        .ok();
    let id = made.split("<string>").nth(1).and_then(|rest| rest.split('<').next());
    let id = id.unwrap_or_else(|| panic!("{made}"));
    let page = format!("{url}/?p={id}");
    let shows = || {
        let answer =
            host.program(tool("curl", "curl")).words("-sSL --max-time 30").arg(&page).run();
        answer.ok().contains("It is still there.")
    };
    assert!(shows());
    exec(&host, "deploy/wordpress", "echo picture > /uploads/picture").ok();

    for (pod, whole) in [("db-0", "sts/db"), ("-l app=wordpress", "deploy/wordpress")] {
        host.kubectl(&format!("delete pod {pod}")).run().ok();
        until("it has been replaced", || ready(&host, whole, "readyReplicas") == "1");
        until("the post is there", shows);
    }
    let kept = exec(&host, "deploy/wordpress", "cat /var/lib/wordpress/wp-content/uploads/picture");
    assert_eq!(kept.ok(), "picture\n");
    host.leme("down --purge").run().ok();
    assert_eq!(host.leftovers(), Vec::<String>::new());
}
