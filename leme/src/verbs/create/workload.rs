//! Deployments, Jobs and CronJobs as `leme create` makes them.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::args::WorkloadArgs;

/// A Deployment of a container for each image.
pub fn deployment(args: &WorkloadArgs) -> Result<Value> {
    ensure!(!args.image.is_empty(), "required flag(s) \"image\" not set");
    ensure!(
        args.image.len() == 1 || args.command.is_empty(),
        "cannot specify multiple --image options and command"
    );
    let mut containers: Vec<Value> = Vec::new();
    for image in &args.image {
        let mut name = container_name(image);
        let same =
            containers.iter().filter(|known| known["image"] == **image || known["name"] == *name);
        let same = same.count();
        if same > 0 {
            name.push_str(&format!("-{}", same + 1));
        }
        let mut container = json!({"name": name, "image": image});
        if !args.command.is_empty() {
            container["command"] = args.command.clone().into();
        }
        if let Some(port) = args.port {
            container["ports"] = json!([{"containerPort": port}]);
        }
        containers.push(container);
    }
    let labels = json!({"app": args.name});
    Ok(json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": args.name, "labels": labels},
        "spec": {
            "replicas": args.replicas.unwrap_or(1),
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        },
    }))
}

/// The last part of an image's name without tag and digest, as a container may be called.
fn container_name(image: &str) -> String {
    let last = image.split('@').next().unwrap_or(image);
    let last = last.rsplit('/').next().unwrap_or(last);
    last.split(':').next().unwrap_or(last).replace(['_', '.'], "-").to_lowercase()
}

/// The pod of a Job or CronJob.
fn pod(args: &WorkloadArgs, restart: &str) -> Result<Value> {
    let [image] = args.image.as_slice() else {
        anyhow::bail!("either --image or --from must be specified, and one image at most");
    };
    let mut container = json!({"name": args.name, "image": image});
    if !args.command.is_empty() {
        container["command"] = args.command.clone().into();
    }
    Ok(json!({"spec": {"containers": [container], "restartPolicy": restart}}))
}

/// A Job of an image.
pub fn job(args: &WorkloadArgs) -> Result<Value> {
    Ok(json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": args.name},
        "spec": {"template": pod(args, "Never")?},
    }))
}

/// A Job as a CronJob would make it now.
pub fn job_of(name: &str, owner: &Value) -> Result<Value> {
    ensure!(
        owner["kind"] == "CronJob",
        "unknown object type {}: --from takes cronjob/NAME",
        owner["kind"]
    );
    let template = &owner["spec"]["jobTemplate"];
    let mut annotations = match &template["metadata"]["annotations"] {
        Value::Object(annotations) => annotations.clone(),
        _ => serde_json::Map::new(),
    };
    annotations.insert("cronjob.kubernetes.io/instantiate".to_owned(), "manual".into());
    let reference = json!({
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "controller": true,
        "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
    });
    Ok(json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name, "annotations": annotations, "labels": template["metadata"]["labels"],
            "ownerReferences": [reference],
        },
        "spec": template["spec"],
    }))
}

/// A CronJob.
pub fn cron_job(args: &WorkloadArgs) -> Result<Value> {
    let schedule = args.schedule.as_ref().context("required flag(s) \"schedule\" not set")?;
    let template = pod(args, args.restart.as_deref().unwrap_or("OnFailure"))?;
    Ok(json!({
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": args.name},
        "spec": {
            "schedule": schedule,
            "jobTemplate": {"metadata": {"name": args.name}, "spec": {"template": template}},
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    #[test]
    fn deployments() {
        let made =
            check("deployment web --image r.io/a/b_c:v1@sha256:x --port 80 -r 3 -- serve -x")
                .unwrap();
        assert_eq!(made["spec"]["replicas"], 3);
        assert_eq!(made["spec"]["selector"]["matchLabels"], json!({"app": "web"}));
        assert_eq!(
            made["spec"]["template"]["spec"]["containers"],
            json!([{"name": "b-c", "image": "r.io/a/b_c:v1@sha256:x", "command": ["serve", "-x"],
                "ports": [{"containerPort": 80}]}])
        );
        let two = check("deploy web --image a --image x/a:2").unwrap();
        assert_eq!(two["spec"]["template"]["spec"]["containers"][1]["name"], "a-2");
        assert!(check("deployment web").unwrap_err().contains("\"image\" not set"));
        assert!(check("deployment web --image a,b -- c").unwrap_err().contains("multiple --image"));
    }

    #[test]
    fn jobs() {
        let made = check("job j --image a -- b").unwrap();
        assert_eq!(made["spec"]["template"]["spec"]["restartPolicy"], "Never");
        assert!(check("job j").is_err());
        let made = check("cronjob c --image a --schedule @daily").unwrap();
        assert_eq!(made["spec"]["schedule"], "@daily");
        let job = &made["spec"]["jobTemplate"]["spec"]["template"]["spec"];
        assert_eq!(job["restartPolicy"], "OnFailure");
        let mut owner = made.clone();
        owner["metadata"]["uid"] = "u".into();
        let made = job_of("now", &owner).unwrap();
        assert_eq!(made["metadata"]["ownerReferences"][0]["uid"], "u");
        assert_eq!(made["spec"]["template"]["spec"], *job);
        assert!(job_of("now", &json!({"kind": "Pod"})).is_err());
    }
}
