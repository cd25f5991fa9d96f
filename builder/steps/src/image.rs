//! From a context to an image in its registry: what is built, what runs in it before it is pushed, how it is pushed.
//!
//! Knows: what a build wishes of its image. Refuses to know: how a Dockerfile is carried out.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use leme_distribution::{Credentials, Login, Reference, Registries};
use leme_executor::{Bases, Build, BuildError, Built, Dockerfile, Executor};
use leme_host::images::ImageStore;
use leme_pull::Puller;
use serde_json::Value;
use tokio::runtime::Handle;

use crate::report::Report;
use crate::task::{Task, list, text, within};
use crate::{Failed, push, s2i, say};

/// Where the builder keeps what later builds of the namespace can use.
const CACHE: &str = "/var/lib/builder";
/// The pod's account.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The cluster's own registry, which knows the account by its token.
const OWN_REGISTRY: &str = "image-registry.openshift-image-registry.svc:5000";
pub(crate) const INPUT_SECRETS: &str = "/var/run/secrets/openshift.io/build";
const VOLUMES: &str = "/var/run/openshift.io/volumes";
/// Secrets of the pod's account.
const ACCOUNT_SECRETS: &str = "/var/run/secrets/openshift.io/account";
const INPUT_MAPS: &str = "/var/run/configs/openshift.io/build";

/// Builds by a Dockerfile.
pub(crate) async fn of_dockerfile(task: &Task, report: &mut Report) -> Result<(), Failed> {
    let mut work = Workshop::new()?;
    for image in task.list("/spec/source/images") {
        for name in list(image, "/as").iter().filter_map(Value::as_str) {
            work.named.insert(name.to_owned(), text(image, "/from/name").to_owned());
        }
    }
    let context = task.context().ok_or_else(|| Failed::generic("there is no context"))?;
    inputs(task, &context)?;
    let strategy = task.strategy().1;
    let args = list(strategy, "/buildArgs").iter();
    let args = args.map(|one| (text(one, "/name").to_owned(), text(one, "/value").to_owned()));
    let from = text(strategy, "/from/name");
    let build = Build {
        context,
        dockerfile: Dockerfile::Path(task.dockerfile()),
        build_args: args.collect(),
        from: (!from.is_empty()).then(|| from.to_owned()),
        env: task.env.clone(),
        last_env: origin(task),
        labels: labels(task),
        volumes: volumes(task),
        no_cache: task.wishes("noCache"),
        pull: task.wishes("forcePull"),
        ..Build::default()
    };
    work.make(task, report, build).await
}

/// Builds by the scripts of a builder's image.
pub(crate) async fn of_source(task: &Task, report: &mut Report) -> Result<(), Failed> {
    let work = Workshop::new()?;
    let context = task.context().ok_or_else(|| Failed::generic("there is no context"))?;
    inputs(task, &context)?;
    let builder = text(task.strategy().1, "/from/name").to_owned();
    let began = Timestamp::now();
    let id = work.pull(&builder, task.wishes("forcePull")).await.map_err(|why| {
        Failed::new("PullBuilderImageFailed", "Failed pulling builder image.", why)
    })?;
    report.step("PullImages", "PullBaseImage", began);
    let image = work.store.resolve(&id).ok().flatten();
    let image = image.ok_or_else(|| Failed::generic(format!("{builder} is not there")))?;
    let to = task.text("/spec/output/to/name");
    let mut before = None;
    if task.wishes("incremental") && !to.is_empty() {
        match work.pull(to, true).await {
            Ok(_) => before = Some(to),
            Err(why) => {
                say(&format!("There is no image of an earlier build ({why}): all is built"))
            }
        }
    }
    let laid = s2i::lay_out(task, &context, &builder, &image.config, before)?;
    let (env, last_env, labels) = (task.env.clone(), origin(task), labels(task));
    let volumes = volumes(task);
    let build = Build { env, last_env, labels, volumes, ..laid };
    work.make(task, report, build).await
}

/// Volumes that the steps of a Dockerfile see, and where.
fn volumes(task: &Task) -> Vec<(PathBuf, String)> {
    let mut all = Vec::new();
    for volume in list(task.strategy().1, "/volumes") {
        let directory = Path::new(VOLUMES).join(text(volume, "/name"));
        for mount in list(volume, "/mounts") {
            all.push((directory.clone(), text(mount, "/destinationPath").to_owned()));
        }
    }
    all
}

/// Secrets and ConfigMaps that are input, in their places in the context.
fn inputs(task: &Task, context: &Path) -> Result<(), Failed> {
    let kinds = [
        ("/spec/source/secrets", "/secret/name", INPUT_SECRETS),
        ("/spec/source/configMaps", "/configMap/name", INPUT_MAPS),
    ];
    for (field, name, from) in kinds {
        // Secrets of a source build are there while it is assembled, and in no layer.
        let skipped = field.ends_with("secrets") && task.strategy().0 == "sourceStrategy";
        for one in task.list(field).iter().filter(|_| !skipped) {
            let directory = text(one, "/destinationDir");
            let into = within(context, directory).ok_or_else(|| {
                Failed::generic(format!("{directory:?} leads out of the context"))
            })?;
            let from = Path::new(from).join(text(one, name));
            copy_files(&from, &into, context).map_err(|error| {
                Failed::generic(format!("copy {} to {directory:?}: {error}", from.display()))
            })?;
        }
    }
    Ok(())
}

/// Copies the files of a volume, none through a link that leads out of the context.
fn copy_files(from: &Path, into: &Path, context: &Path) -> std::io::Result<()> {
    fs::create_dir_all(into)?;
    if !fs::canonicalize(into)?.starts_with(fs::canonicalize(context)?) {
        return Err(std::io::Error::other("it is not in the context"));
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        // What a volume keeps for itself begins with two dots.
        if name.to_string_lossy().starts_with("..") || fs::metadata(entry.path())?.is_dir() {
            continue;
        }
        let to = into.join(&name);
        match fs::remove_file(&to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::copy(entry.path(), to)?;
    }
    Ok(())
}

/// What was cloned, as the git-clone container left it.
fn cloned(task: &Task) -> Value {
    let text = fs::read(task.work.join("sourceinfo.json")).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Variables that say where the image comes from.
fn origin(task: &Task) -> Vec<(String, String)> {
    let commit = text(&cloned(task), "/CommitID").to_owned();
    let source = crate::git::shown(task.text("/spec/source/git/uri"));
    let all = [
        ("OPENSHIFT_BUILD_NAME", task.name()),
        ("OPENSHIFT_BUILD_NAMESPACE", task.namespace()),
        ("OPENSHIFT_BUILD_SOURCE", &source),
        ("OPENSHIFT_BUILD_REFERENCE", task.text("/spec/source/git/ref")),
        ("OPENSHIFT_BUILD_COMMIT", &commit),
    ];
    let said = all.iter().filter(|(_, value)| !value.is_empty());
    said.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Labels that say where the image comes from, and those that the build wishes.
fn labels(task: &Task) -> BTreeMap<String, String> {
    let of = cloned(task);
    let all = [
        ("io.openshift.build.name", task.name()),
        ("io.openshift.build.namespace", task.namespace()),
        ("io.openshift.build.commit.id", text(&of, "/CommitID")),
        ("io.openshift.build.commit.ref", text(&of, "/Ref")),
        ("io.openshift.build.commit.message", text(&of, "/Message")),
        ("io.openshift.build.source-location", text(&of, "/Location")),
        ("io.openshift.build.source-context-dir", text(&of, "/ContextDir")),
    ];
    let said = all.iter().filter(|(_, value)| !value.is_empty());
    let said = said.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let wished = task.list("/spec/output/imageLabels").iter();
    let wished = wished.map(|one| (text(one, "/name").to_owned(), text(one, "/value").to_owned()));
    said.chain(wished).collect()
}

/// What builds need besides a context.
#[derive(Clone)]
pub(crate) struct Workshop {
    pub(crate) store: ImageStore,
    registries: Registries,
    pub(crate) pull: Credentials,
    push: Credentials,
    /// Images by the names that the build gives them.
    named: BTreeMap<String, String>,
}

impl Workshop {
    pub(crate) fn new() -> Result<Workshop, Failed> {
        let store = ImageStore::open_in_namespace(Path::new(CACHE)).map_err(Failed::generic)?;
        let mut registries = Registries::default();
        if let Ok(authority) = fs::read_to_string(Path::new(ACCOUNT).join("ca.crt")) {
            registries.believe(OWN_REGISTRY, &authority);
        }
        let own = fs::read_to_string(Path::new(ACCOUNT).join("token")).ok().map(|token| {
            let user = "serviceaccount".to_owned();
            Credentials::one(OWN_REGISTRY, Login { user, password: token.trim().to_owned() })
        });
        let mut of_account = Credentials::default();
        for entry in fs::read_dir(ACCOUNT_SECRETS).into_iter().flatten().flatten() {
            of_account.and(read(entry.path()));
        }
        let with = |variable: &str| {
            let mut all =
                std::env::var_os(variable).map(PathBuf::from).map(read).unwrap_or_default();
            all.and(of_account.clone());
            all.and(own.clone().unwrap_or_default());
            all
        };
        let (pull, push) = (with("PULL_DOCKERCFG_PATH"), with("PUSH_DOCKERCFG_PATH"));
        Ok(Workshop { store, registries, pull, push, named: BTreeMap::new() })
    }

    /// Makes the store have an image; with `again` its registry is asked even if it is there.
    pub(crate) async fn pull(&self, reference: &str, again: bool) -> Result<String, String> {
        let known = self.store.resolve(reference).map_err(|error| error.to_string())?;
        if let Some(known) = known.filter(|_| !again) {
            return Ok(known.id);
        }
        let puller = Puller::new(self.registries.clone());
        let pulled = puller.pull(&self.store, reference, &self.pull).await;
        pulled.map(|pulled| pulled.id).map_err(|error| error.to_string())
    }

    /// Builds, runs what is to be run in the image, and pushes it.
    async fn make(self, task: &Task, report: &mut Report, build: Build) -> Result<(), Failed> {
        let failed = |error: BuildError| match error {
            BuildError::Base { .. } => {
                Failed::new("PullBuilderImageFailed", "Failed pulling builder image.", error)
            }
            error if task.strategy().0 == "dockerStrategy" => {
                Failed::new("DockerBuildFailed", "Docker build strategy has failed.", error)
            }
            error => Failed::generic(error),
        };
        let began = Timestamp::now();
        let built = self.build(build).await.map_err(failed)?;
        let name = if task.strategy().0 == "dockerStrategy" { "DockerBuild" } else { "RunScripts" };
        report.step("Build", name, began);
        if let Some(hook) = hook(task, &self.store, &built) {
            let began = Timestamp::now();
            say("Running post commit hook ...");
            let dockerfile = Dockerfile::Bytes(format!("FROM {}\n{hook}\n", built.id).into_bytes());
            let context = task.work.join("hook");
            fs::create_dir_all(&context).map_err(Failed::generic)?;
            let run = Build { context, dockerfile, no_cache: true, ..Build::default() };
            self.build(run).await.map_err(|error| {
                let message = "Build failed because of post commit hook.";
                Failed::new("PostCommitHookFailed", message, error)
            })?;
            report.step("PostCommit", "RunPostCommitHook", began);
        }
        let to = task.text("/spec/output/to/name");
        if to.is_empty() {
            say("Build complete, no image push requested");
            return Ok(());
        }
        let began = Timestamp::now();
        say(&format!("\nPushing image {to} ..."));
        let not_pushed = |why: &dyn std::fmt::Display| {
            let message = "Failed to push the image to the registry.";
            Failed::new("PushImageToRegistryFailed", message, why)
        };
        let target =
            Reference::parse(to).ok_or_else(|| not_pushed(&format!("{to:?} is no reference")))?;
        let pushed = push::push(&self.store, &built, &target, &self.registries, &self.push).await;
        let digest = pushed.map_err(|error| not_pushed(&error))?;
        report.step("PushImage", "PushDockerImage", began);
        report.pushed(&digest);
        say(&format!("Successfully pushed {}@{digest}", target.name));
        say("Push successful");
        Ok(())
    }

    pub(crate) async fn build(&self, build: Build) -> Result<Built, BuildError> {
        let (work, handle) = (self.clone(), Handle::current());
        let done = tokio::task::spawn_blocking(move || {
            let executor = Executor::new(work.store.clone());
            let mut bases = FromRegistries { work, handle };
            executor.build(&build, &mut bases, &mut std::io::stdout())
        });
        let built = done.await.map_err(|error| BuildError::Io(std::io::Error::other(error)))??;
        let _ = std::io::stdout().flush();
        Ok(built)
    }
}

/// What a pull or push secret says, under any of the names that it may have.
pub(crate) fn read(directory: PathBuf) -> Credentials {
    let mut all = Credentials::default();
    for name in [".dockerconfigjson", ".dockercfg", "config.json"] {
        let text = fs::read(directory.join(name)).ok();
        if let Some(found) = text.and_then(|text| Credentials::read(&text)) {
            all.and(found);
        }
    }
    all
}

/// Images out of registries, where the store has them not.
struct FromRegistries {
    work: Workshop,
    handle: Handle,
}

impl Bases for FromRegistries {
    fn get(&mut self, reference: &str, again: bool) -> Result<String, String> {
        let reference = self.work.named.get(reference).map_or(reference, String::as_str);
        // What has no digest may be another image by now; what is asked for by its id is of this store.
        let fixed = reference.contains("sha256:");
        let again = again || !fixed;
        self.handle.block_on(self.work.pull(reference, again))
    }
}

/// The instruction that runs what is to be run before an image is pushed; none if there is nothing.
fn hook(task: &Task, store: &ImageStore, built: &Built) -> Option<String> {
    let hook = task.build.pointer("/spec/postCommit")?;
    let words = |pointer: &str| list(hook, pointer).iter().filter_map(Value::as_str);
    let args: Vec<String> = words("/args").map(str::to_owned).collect();
    let script = text(hook, "/script");
    let mut command: Vec<String> = words("/command").map(str::to_owned).collect();
    if !script.is_empty() {
        command = ["/bin/sh", "-ic", script].map(str::to_owned).to_vec();
        if !args.is_empty() {
            command.push("/bin/sh".to_owned());
        }
    } else if command.is_empty() && !args.is_empty() {
        let image = store.resolve(&built.id).ok().flatten()?;
        let config = image.config.config().clone().unwrap_or_default();
        command = config.entrypoint().clone().unwrap_or_default();
    }
    command.extend(args);
    let words = serde_json::to_string(&command).ok()?;
    (!command.is_empty()).then(|| format!("RUN {words}"))
}
