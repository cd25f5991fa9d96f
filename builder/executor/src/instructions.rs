//! Instructions on a stage.
//!
//! Knows: what each changes in the configuration and says in the history. Refuses to know: how files are changed.

use leme_dockerfile::image::Nothing;
use leme_dockerfile::{Instruction, Kind, Wrong};
use leme_host::images::{BuiltLayer, Known};

use crate::api::BuildError;
use crate::build::{Run, wrong};
use crate::helper::protocol::{Directory, Report, Request, Root};
use crate::key;
use crate::pack;
use crate::state::State;
use crate::step::Stopped;

type Result<T> = std::result::Result<T, BuildError>;

/// The escape of what instructions have: only the Dockerfile's own may be another.
pub(crate) struct Words<'a> {
    pub(crate) line: usize,
    pub(crate) escape: char,
    pub(crate) state: &'a State,
}

impl Words<'_> {
    pub(crate) fn one(&self, text: &str) -> Result<String> {
        self.state.word(text, self.escape).map_err(|what| self.wrong(what))
    }

    pub(crate) fn all(&self, texts: &[String]) -> Result<Vec<String>> {
        let mut all = Vec::new();
        for text in texts {
            all.extend(self.state.words(text, self.escape).map_err(|what| self.wrong(what))?);
        }
        Ok(all)
    }

    pub(crate) fn pairs(&self, pairs: &[(String, String)]) -> Result<Vec<(String, String)>> {
        pairs.iter().map(|(name, value)| Ok((self.one(name)?, self.one(value)?))).collect()
    }

    pub(crate) fn wrong(&self, what: impl Into<String>) -> BuildError {
        wrong(Wrong { line: self.line, what: what.into() })
    }
}

impl Run<'_> {
    /// Carries an instruction out; whether it had been done before.
    pub(crate) fn instruction(
        &mut self,
        stage: usize,
        state: &mut State,
        instruction: &Instruction,
    ) -> Result<bool> {
        match &instruction.kind {
            Kind::Run(run) => self.command(stage, state, instruction, run),
            Kind::Copy(copy) => self.copy(stage, state, instruction, copy),
            Kind::Workdir(path) => self.workdir(state, instruction, path),
            Kind::Arg(args) => {
                for (name, default) in args {
                    let default = match default {
                        Some(default) => Some(self.words(state, instruction).one(default)?),
                        None => None,
                    };
                    let value = self.argument(name, default);
                    let told = match &value {
                        Some(value) => format!("ARG {name}={value}"),
                        None => format!("ARG {name}"),
                    };
                    if let Some(value) = value {
                        state.declare(name, value);
                    }
                    state.tell(told, None);
                }
                Ok(true)
            }
            _ => self.setting(state, instruction).map(|()| true),
        }
    }

    pub(crate) fn words<'s>(&self, state: &'s State, instruction: &Instruction) -> Words<'s> {
        Words { line: instruction.line, escape: self.file.escape, state }
    }

    /// What only changes the configuration.
    fn setting(&self, state: &mut State, instruction: &Instruction) -> Result<()> {
        let words = self.words(state, instruction);
        let told = match &instruction.kind {
            Kind::Env(pairs) => {
                let pairs = words.pairs(pairs)?;
                for (name, value) in &pairs {
                    state.image.config.set_variable(name, value);
                }
                format!("ENV {}", assigned(&pairs))
            }
            Kind::Label(pairs) => {
                let pairs = words.pairs(pairs)?;
                state.image.config.labels.extend(pairs.iter().cloned());
                format!("LABEL {}", assigned(&pairs))
            }
            Kind::Expose(ports) => {
                let ports = words.all(ports)?;
                for port in &ports {
                    let words =
                        Words { line: instruction.line, escape: '\\', state: &State::default() };
                    state.image.config.expose(port).map_err(|what| words.wrong(what))?;
                }
                format!("EXPOSE {}", listed(&ports))
            }
            Kind::User(user) => {
                let user = words.one(user)?;
                state.image.config.user.clone_from(&user);
                format!("USER {user}")
            }
            Kind::Volume(places) => {
                let places: Vec<String> =
                    places.iter().map(|place| words.one(place)).collect::<Result<_>>()?;
                let volumes = places.iter().map(|place| (place.clone(), Nothing {}));
                state.image.config.volumes.extend(volumes);
                format!("VOLUME {}", listed(&places))
            }
            Kind::Stopsignal(signal) => {
                let signal = words.one(signal)?;
                let line = instruction.line;
                let set = state.image.config.set_stop_signal(&signal);
                set.map_err(|what| wrong(Wrong { line, what }))?;
                format!("STOPSIGNAL {signal}")
            }
            Kind::Onbuild(trigger) => {
                state.image.config.on_build.push(trigger.clone());
                format!("ONBUILD {trigger}")
            }
            Kind::Healthcheck(health) => {
                state.image.config.healthcheck = Some(health.clone());
                instruction.text.clone()
            }
            other => match plain_setting(state, other) {
                Some(told) => told,
                None => return Ok(()),
            },
        };
        state.tell(told, None);
        Ok(())
    }

    fn workdir(
        &mut self,
        state: &mut State,
        instruction: &Instruction,
        path: &str,
    ) -> Result<bool> {
        let path = self.words(state, instruction).one(path)?;
        state.image.config.enter(&path);
        let directory = state.image.config.working_dir.clone();
        let told = format!("WORKDIR {directory}");
        if directory == "/" {
            state.tell(told, None);
            return Ok(true);
        }
        let what = serde_json::json!({"directory": directory, "user": state.image.config.user});
        let user = state.image.config.user.clone();
        self.step(state, instruction, told, &what, |root| {
            Request::Directory(Box::new(Directory { root, path: directory, user }))
        })
    }

    /// Does what changes files, unless it has been done before; whether it had.
    pub(crate) fn step(
        &mut self,
        state: &mut State,
        instruction: &Instruction,
        told: String,
        what: &serde_json::Value,
        request: impl FnOnce(Root) -> Request,
    ) -> Result<bool> {
        let key = key::key(&state.layers, self.build.source_date_epoch, what);
        if let Some(known) = self.known(&key)? {
            let layer = known.layer.map(|layer| (layer, known.created));
            match &layer {
                Some((layer, _)) => writeln!(self.log, "--> Using cache {}", short(&layer.chain))?,
                None => writeln!(self.log, "--> Using cache")?,
            }
            state.tell(told, layer);
            return Ok(true);
        }
        let root = self.root(state)?;
        let scratch = root.scratch.clone();
        let before = rustix::fs::stat(scratch.join("upper")).map_err(std::io::Error::from)?;
        let asked = self.ask(instruction, &request(root))?;
        let failed = |why: String| BuildError::Step { step: instruction.text.clone(), why };
        match asked {
            Report::Done | Report::Ended(0) => {}
            Report::Ended(code) => {
                return Err(BuildError::Command { step: instruction.text.clone(), code });
            }
            Report::Missing(source) => return Err(failed(format!("{source:?}: not found"))),
            Report::Digest(_) => return Err(failed("the helper answers something else".into())),
            Report::Failed(why) => return Err(failed(why)),
        }
        let after = rustix::fs::stat(scratch.join("upper")).map_err(std::io::Error::from)?;
        let looks = |stat: &rustix::fs::Stat| (stat.st_mode, stat.st_uid, stat.st_gid);
        let changed = looks(&before) != looks(&after);
        let layer = self.layer(state, &scratch, changed)?;
        let created = self.build.source_date_epoch.map_or_else(
            || jiff::Timestamp::now().to_string(),
            |epoch| jiff::Timestamp::from_second(epoch).unwrap_or_default().to_string(),
        );
        self.store.remember(&key, &Known { layer: layer.clone(), created: created.clone() })?;
        self.made = true;
        leme_host::files::remove_tree(&scratch)?;
        match &layer {
            Some(layer) => writeln!(self.log, "--> {}", short(&layer.chain))?,
            None => writeln!(self.log, "--> (nothing changed)")?,
        }
        state.tell(told, layer.map(|layer| (layer, created)));
        Ok(false)
    }

    /// What an earlier build has left, kept from now on.
    fn known(&mut self, key: &str) -> Result<Option<Known>> {
        if self.build.no_cache {
            return Ok(None);
        }
        let Some(known) = self.store.known(key) else { return Ok(None) };
        if let Some(layer) = &known.layer {
            self.pin(std::slice::from_ref(layer))?;
            // Somebody may have taken it away before it was pinned.
            if !self.store.has_layer(layer) {
                return Ok(None);
            }
        }
        Ok(Some(known))
    }

    /// A root with no changes yet.
    fn root(&mut self, state: &State) -> Result<Root> {
        let scratch = self.scratch()?;
        let upper = scratch.join("upper");
        std::fs::create_dir(&upper)?;
        let layers: Vec<_> =
            state.layers.iter().rev().map(|layer| self.store.unpacked(layer)).collect();
        let stat = match layers.first() {
            Some(top) => Some(rustix::fs::stat(top).map_err(std::io::Error::from)?),
            None => None,
        };
        if let Some(stat) = stat {
            crate::helper::copy_looks(&stat, &upper)?;
        }
        Ok(Root { layers, scratch })
    }

    /// Makes a layer of what a step has changed.
    fn layer(
        &mut self,
        state: &State,
        scratch: &std::path::Path,
        root_changed: bool,
    ) -> Result<Option<BuiltLayer>> {
        let (upper, blob) = (scratch.join("upper"), scratch.join("blob"));
        let packed = pack::pack(&upper, &blob, root_changed, self.build.source_date_epoch)?;
        let Some(packed) = packed else { return Ok(None) };
        let layer = BuiltLayer {
            digest: packed.digest,
            size: packed.size,
            media_type: "application/vnd.oci.image.layer.v1.tar+gzip".to_owned(),
            diff_id: packed.diff_id,
            chain: String::new(),
        };
        // Before it is there, so that nobody takes it away.
        self.place.pin([layer.digest.as_str()].into_iter())?;
        let layer = self.store.take_layer(state.layers.last(), &upper, &blob, layer)?;
        self.pin(std::slice::from_ref(&layer))?;
        match self.store.has_layer(&layer) {
            true => Ok(Some(layer)),
            false => Err(std::io::Error::other("the layer was taken away").into()),
        }
    }

    /// Has a step done, its output in the log.
    pub(crate) fn ask(&mut self, instruction: &Instruction, request: &Request) -> Result<Report> {
        let mut output = crate::step::Bounded {
            inner: &mut *self.log,
            left: self.build.limits.output_bytes,
            ended: true,
        };
        let asked = self.steps.ask(request, &mut output);
        if !output.ended {
            writeln!(self.log)?;
        }
        asked.map_err(|stopped| match stopped {
            Stopped::Late => BuildError::Deadline(self.build.limits.deadline.unwrap_or_default()),
            Stopped::Failed(error) => {
                BuildError::Step { step: instruction.text.clone(), why: error.to_string() }
            }
        })
    }
}

/// What changes the configuration and has no variables.
fn plain_setting(state: &mut State, kind: &Kind) -> Option<String> {
    Some(match kind {
        Kind::Maintainer(name) => {
            state.image.author.clone_from(name);
            format!("MAINTAINER {name}")
        }
        Kind::Cmd(command) => {
            let list = state.image.config.words_of(command);
            state.image.config.cmd = Some(list.clone());
            state.has_cmd = true;
            format!("CMD {}", listed(&list))
        }
        Kind::Entrypoint(command) => {
            let list = state.image.config.words_of(command);
            state.image.config.entrypoint = Some(list.clone()).filter(|list| !list.is_empty());
            // What the base gave as arguments was for another program.
            if !state.has_cmd {
                state.image.config.cmd = None;
            }
            format!("ENTRYPOINT {}", listed(&list))
        }
        Kind::Shell(list) => {
            state.image.config.shell.clone_from(list);
            format!("SHELL {}", listed(list))
        }
        _ => return None,
    })
}

/// The beginning of a digest, as people know it.
pub(crate) fn short(digest: &str) -> &str {
    let digits = digest.trim_start_matches("sha256:");
    digits.get(..12).unwrap_or(digits)
}

fn assigned(pairs: &[(String, String)]) -> String {
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

fn listed(list: &[String]) -> String {
    serde_json::to_string(list).unwrap_or_default()
}
