//! What a build tells of itself: stages, the revision that was built, what was pushed, why it failed.
//!
//! Knows: the form of `builds/details`. Refuses to know: what is done meanwhile.

use std::time::Duration;

use jiff::Timestamp;
use leme_client::{Client, kubeconfig};
use serde_json::{Value, json};

use crate::task::Task;

const TRIES: usize = 5;

/// What is to be told.
pub(crate) struct Report {
    client: Client,
    path: String,
    /// Of the status and the spec, what is another.
    status: Value,
    revision: Option<Value>,
    stages: Vec<Value>,
}

impl Report {
    /// For a build, as the pod's account.
    pub(crate) async fn new(task: &Task) -> Result<Report, String> {
        let client = kubeconfig::in_cluster().await.map_err(|error| error.to_string())?;
        let path = format!(
            "/apis/build.openshift.io/v1/namespaces/{}/builds/{}",
            task.namespace(),
            task.name()
        );
        Ok(Report { client, path, status: json!({}), revision: None, stages: Vec::new() })
    }

    /// Why the build failed.
    pub(crate) fn failed(&mut self, reason: &str, message: &str) {
        self.status["phase"] = "Failed".into();
        self.status["reason"] = reason.into();
        self.status["message"] = message.into();
    }

    /// What it is made of.
    pub(crate) fn revision(&mut self, git: Value) {
        self.revision = Some(json!({ "type": "Git", "git": git }));
    }

    /// The digest of what was pushed.
    pub(crate) fn pushed(&mut self, digest: &str) {
        self.status["output"] = json!({ "to": { "imageDigest": digest } });
    }

    /// A step of a stage, and how long it took.
    pub(crate) fn step(&mut self, stage: &str, step: &str, began: Timestamp) {
        let took = Timestamp::now().duration_since(began).as_millis().max(0);
        let took = i64::try_from(took).unwrap_or(i64::MAX);
        let start = began.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let told = json!({ "name": step, "startTime": start, "durationMilliseconds": took });
        let known = self.stages.iter_mut().find(|one| one["name"] == stage);
        match known {
            Some(known) => {
                let sum = known["durationMilliseconds"].as_i64().unwrap_or(0);
                known["durationMilliseconds"] = sum.saturating_add(took).into();
                if let Some(steps) = known["steps"].as_array_mut() {
                    steps.push(told);
                }
            }
            None => self.stages.push(json!({
                "name": stage, "startTime": start, "durationMilliseconds": took, "steps": [told],
            })),
        }
    }

    /// Tells all of it, if there is anything.
    pub(crate) async fn send(&mut self) -> Result<(), String> {
        let nothing = self.status == json!({}) && self.revision.is_none() && self.stages.is_empty();
        if nothing {
            return Ok(());
        }
        let mut last = String::new();
        for again in 0..TRIES {
            if again > 0 {
                tokio::time::sleep(Duration::from_millis(300 << again)).await;
            }
            match self.try_to_send().await {
                Ok(()) => {
                    self.stages.clear();
                    return Ok(());
                }
                Err(error) => last = error.to_string(),
            }
        }
        Err(last)
    }

    async fn try_to_send(&self) -> Result<(), leme_client::Error> {
        let mut build = self.client.get(&self.path).await?;
        let mut stages = build["status"]["stages"].as_array().cloned().unwrap_or_default();
        for stage in &self.stages {
            stages.retain(|known| known["name"] != stage["name"]);
            stages.push(stage.clone());
        }
        build["status"]["stages"] = stages.into();
        for (field, value) in self.status.as_object().into_iter().flatten() {
            build["status"][field] = value.clone();
        }
        if let Some(revision) = &self.revision {
            build["spec"]["revision"] = revision.clone();
        }
        self.client.put(&format!("{}/details", self.path), &build).await.map(drop)
    }
}
