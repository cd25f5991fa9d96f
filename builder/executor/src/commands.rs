//! `RUN` on a stage.
//!
//! Knows: what a command is given, and what its key depends on. Refuses to know: how it is run.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use leme_dockerfile::mount::{Mount, MountKind};
use leme_dockerfile::{Command, Instruction, paths};
use serde_json::{Value, json};

use crate::api::{BuildError, Network};
use crate::build::Run;
use crate::caches;
use crate::copy::{Looks, Target};
use crate::helper::protocol::{self, Content, From, Report, Request, RunMount, Sources};
use crate::helper::{SCRIPTS, digest_in};
use crate::inside;
use crate::state::{PROXIES, State};
use crate::tree::Hidden;

type Result<T> = std::result::Result<T, BuildError>;

/// Mounts of a command, what its key has of them, and what is held while it runs.
#[derive(Default)]
struct Mounts {
    mounts: Vec<RunMount>,
    keys: Vec<Value>,
    env: Vec<String>,
    locks: Vec<File>,
}

impl Run<'_> {
    pub(crate) fn command(
        &mut self,
        stage: usize,
        state: &mut State,
        instruction: &Instruction,
        run: &leme_dockerfile::Run,
    ) -> Result<bool> {
        let no_network = self.network(run.network.as_deref())?;
        if let Some(other) = run.security.as_deref().filter(|mode| *mode != "sandbox") {
            return Err(BuildError::Unsupported(format!("RUN --security={other}")));
        }
        let (words, script) = words(state, &run.command);
        let mut mounts = Mounts::default();
        for text in &run.mounts {
            let words = self.words(state, instruction);
            let mount = Mount::read(text, |value| state.word(value, self.file.escape))
                .map_err(|what| words.wrong(what))?;
            self.mount(stage, state, instruction, mount, &mut mounts)?;
        }
        self.volumes(&mut mounts)?;
        let env = state.env();
        let what = json!({
            "run": words, "script": script, "env": env, "user": state.image.config.user,
            "directory": state.image.config.directory(), "mounts": mounts.keys,
            "no_network": no_network,
        });
        let told = state.told(&words);
        let Mounts { mounts, env: more, locks, .. } = mounts;
        let env = self.proxies(state).into_iter().chain(env).chain(more).collect();
        let (directory, user) =
            (state.image.config.directory().to_owned(), state.image.config.user.clone());
        let done = self.step(state, instruction, told, &what, |root| {
            Request::Run(Box::new(protocol::Run {
                root,
                words,
                env,
                directory,
                user,
                no_network,
                mounts,
                script,
            }))
        });
        drop(locks);
        done
    }

    /// Mounts what every command has.
    fn volumes(&mut self, all: &mut Mounts) -> Result<()> {
        for (directory, target) in self.build.volumes.clone() {
            all.keys.push(json!({ "volume": target }));
            let mount = Mount { kind: MountKind::Bind, readonly: true, ..Mount::default() };
            let content = Content::Files(From::Directory(directory));
            let scratch = self.scratch()?;
            all.mounts.push(RunMount { mount, target, content, scratch });
        }
        Ok(())
    }

    fn network(&self, flag: Option<&str>) -> Result<bool> {
        match flag {
            None => Ok(self.build.network == Network::None),
            Some("default") => Ok(false),
            Some("none") => Ok(true),
            Some(other) => Err(BuildError::Unsupported(format!("RUN --network={other}"))),
        }
    }

    /// Proxies that the build was given: every command has them, and no key and no history.
    fn proxies(&mut self, state: &State) -> Vec<String> {
        let given = self.build.build_args.iter();
        let given = given.filter(|(name, _)| PROXIES.contains(&name.as_str()));
        let hidden = |name: &str| state.variable(name).is_some();
        let env = given.filter(|(name, _)| !hidden(name));
        let env: Vec<(String, String)> =
            env.map(|(name, value)| (name.clone(), value.clone())).collect();
        env.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    fn mount(
        &mut self,
        stage: usize,
        state: &State,
        instruction: &Instruction,
        mount: Mount,
        all: &mut Mounts,
    ) -> Result<()> {
        let failed = |why: String| BuildError::Step { step: instruction.text.clone(), why };
        let directory = state.image.config.directory();
        let at = |path: &str| paths::join(directory, path);
        let mut target = mount.target.as_deref().map(at);
        let content = match mount.kind {
            MountKind::Tmpfs => Content::Memory,
            MountKind::Cache => {
                if mount.from.is_some() || mount.source.is_some() {
                    let what = "RUN --mount=type=cache,from=...".to_owned();
                    return Err(BuildError::Unsupported(what));
                }
                let id = mount.id.clone().or(target.clone()).unwrap_or_default();
                let (path, lock) = caches::open(self.store.root(), &id, &mount)?;
                all.locks.push(lock);
                Content::Cache(path)
            }
            MountKind::Bind => {
                let from = self.bind(stage, instruction, &mount, all)?;
                Content::Files(from)
            }
            MountKind::Secret => {
                let Some(secret) = self.secret(&mount, &mut target, all).map_err(failed)? else {
                    return Ok(());
                };
                Content::Secret(secret)
            }
            MountKind::Ssh => {
                let Some(socket) = self.agent(&mount, &mut target, all).map_err(failed)? else {
                    return Ok(());
                };
                Content::Socket(socket)
            }
        };
        let target = target.filter(|target| target != "/");
        let target = target.ok_or_else(|| failed("invalid mount target \"/\"".to_owned()))?;
        // What a secret is makes no difference, nor what is in a cache.
        let told = match mount.kind {
            MountKind::Bind => Value::Null,
            _ => json!(mount),
        };
        all.keys.push(json!({"target": target, "mount": told}));
        let scratch = self.scratch()?;
        all.mounts.push(RunMount { mount, target, content, scratch });
        Ok(())
    }

    /// A secret that is mounted; none if it is not there, or is a variable alone.
    fn secret(
        &self,
        mount: &Mount,
        target: &mut Option<String>,
        all: &mut Mounts,
    ) -> std::result::Result<Option<Vec<u8>>, String> {
        let named = mount.id.clone().or(mount.source.clone());
        let base = |path: &String| path.rsplit('/').next().unwrap_or(path).to_owned();
        let id = named.unwrap_or_else(|| mount.target.as_ref().map(base).unwrap_or_default());
        let Some(secret) = self.build.secrets.iter().find(|secret| secret.id == id) else {
            return match mount.required {
                true => Err(format!("secret {id}: not found")),
                false => Ok(None),
            };
        };
        if let Some(name) = &mount.env {
            let text = std::str::from_utf8(&secret.content)
                .map_err(|_| format!("secret {id} is no text for a variable"))?;
            let name = if name.is_empty() { &id } else { name };
            all.env.push(format!("{name}={text}"));
            if mount.target.is_none() {
                return Ok(None);
            }
        }
        target.get_or_insert_with(|| format!("/run/secrets/{}", base(&id)));
        Ok(Some(secret.content.clone()))
    }

    /// The socket of an agent that is mounted; none if it is not there.
    fn agent(
        &self,
        mount: &Mount,
        target: &mut Option<String>,
        all: &mut Mounts,
    ) -> std::result::Result<Option<PathBuf>, String> {
        let id = mount.id.as_deref().unwrap_or("default");
        let Some(agent) = self.build.ssh.iter().find(|agent| agent.id == id) else {
            return match mount.required {
                true => Err(format!("no SSH key {id:?} forwarded from the client")),
                false => Ok(None),
            };
        };
        let many = all.env.iter().filter(|pair| pair.starts_with("SSH_AUTH_SOCK=")).count();
        let place = target.get_or_insert_with(|| format!("/run/buildkit/ssh_agent.{many}"));
        if many == 0 {
            all.env.push(format!("SSH_AUTH_SOCK={place}"));
        }
        Ok(Some(agent.socket.clone()))
    }

    /// Where the files of a mount come from; its key has their digest.
    fn bind(
        &mut self,
        stage: usize,
        instruction: &Instruction,
        mount: &Mount,
        all: &mut Mounts,
    ) -> Result<From> {
        let failed = |why: String| BuildError::Step { step: instruction.text.clone(), why };
        let path = mount.source.clone().unwrap_or_default();
        if let Some(from) = &mount.from {
            let layers = self.source(from, stage, instruction.line)?;
            all.keys.push(json!({"layers": layers, "path": path, "readonly": mount.readonly}));
            return Ok(From::Layers(layers));
        }
        let scratch = self.place.root().to_owned();
        let from = From::Directory(self.build.context.clone());
        let sources = Sources {
            from,
            scratch,
            paths: vec![literal(&path)],
            ignore: self.ignore.clone(),
            exclude: Vec::new(),
        };
        let report = digest_in(&self.context, &sources, false);
        match report.map_err(|error| failed(error.to_string()))? {
            Report::Digest(digest) => {
                all.keys.push(json!({"files": digest, "path": path, "readonly": mount.readonly}));
            }
            _ => return Err(failed(format!("\"/{}\": not found", paths::below(&path)))),
        }
        Ok(From::Directory(self.visible()?))
    }

    /// The context as a build sees it: itself, or a copy without what is ignored.
    fn visible(&mut self) -> Result<PathBuf> {
        let Some(ignore) = self.ignore.clone() else { return Ok(self.build.context.clone()) };
        if let Some(shown) = &self.shown {
            return Ok(shown.clone());
        }
        let ignore = leme_dockerfile::ignore::Ignore::read(&ignore)
            .map_err(|why| BuildError::Dockerfile(format!(".dockerignore: {why}")))?;
        let hidden = Hidden { ignore, ..Hidden::default() };
        let copy = self.scratch()?;
        let root = inside::root(&copy)?;
        let looks = Looks { owner: Some((0, 0)), mode: None };
        let most = self.build.limits.add_bytes;
        let mut target = Target { root: root.as_fd(), looks: &looks, left: most };
        target.copy(self.context.as_fd(), Path::new(""), Path::new(""), true, &hidden)?;
        self.shown = Some(copy.clone());
        Ok(copy)
    }
}

/// The words of a command, and the script that it is, if it is one.
fn words(state: &State, command: &Command) -> (Vec<String>, Option<(String, String)>) {
    let config = &state.image.config;
    let Some(document) = command.documents.first().filter(|_| command.shell) else {
        return (config.words_of(command), None);
    };
    let line = command.words.first().map(String::as_str).unwrap_or_default();
    let alone = line.trim_start().starts_with("<<") && line.split_whitespace().count() == 1;
    let shell = |text: String| [config.shell_words(), vec![text]].concat();
    if !alone || command.documents.len() > 1 {
        // The shell reads its documents itself.
        let mut text = line.to_owned();
        for document in &command.documents {
            text.push_str(&format!("\n{}{}", document.text, document.name));
        }
        return (shell(text), None);
    }
    let text = document.content();
    match text.starts_with("#!") {
        true => (vec![format!("{SCRIPTS}/{}", document.name)], Some((document.name.clone(), text))),
        false => (shell(text), None),
    }
}

/// A path as a pattern that means it alone.
fn literal(path: &str) -> String {
    let escaped = |c: char| match c {
        '*' | '?' | '[' | '\\' => vec!['\\', c],
        c => vec![c],
    };
    path.chars().flat_map(escaped).collect()
}
