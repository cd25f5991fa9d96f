//! A build: stages in their order, an instruction after the other, and the image at the end.
//!
//! Knows: Dockerfiles' words for what the state, the cache and the steps do. Refuses to know: how files change.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Instant;

use leme_dockerfile::image::Image;
use leme_dockerfile::instruction::read_trigger;
use leme_dockerfile::stages::Base;
use leme_dockerfile::{Dockerfile, Env, Instruction, Kind, Wrong, expand_word};
use leme_host::images::{ImageStore, Pulling, machine};

use crate::api::{Bases, Build, BuildError, Built, Step};
use crate::state::State;
use crate::step::Steps;
use crate::{Executor, inside, output};

type Result<T> = std::result::Result<T, BuildError>;

/// Bytes of a Dockerfile or an ignore file at most.
const FILE: u64 = 8 << 20;

/// One build under way.
pub(crate) struct Run<'a> {
    pub(crate) build: &'a Build,
    pub(crate) store: &'a ImageStore,
    pub(crate) bases: &'a mut dyn Bases,
    pub(crate) log: &'a mut (dyn Write + Send),
    pub(crate) steps: Steps<'a>,
    pub(crate) place: Pulling,
    pub(crate) context: OwnedFd,
    pub(crate) ignore: Option<Vec<u8>>,
    pub(crate) file: Dockerfile,
    /// Arguments before the first stage.
    global: Vec<(String, String)>,
    /// Which of the build's arguments somebody has declared.
    pub(crate) declared: BTreeSet<String>,
    pub(crate) built: BTreeMap<usize, State>,
    pub(crate) done: Vec<Step>,
    /// Directories that steps have had.
    pub(crate) places: usize,
    /// What of the context a mount may show, once that was asked for.
    pub(crate) shown: Option<PathBuf>,
    /// Whether anything was made that was not there.
    pub(crate) made: bool,
}

pub(crate) fn run(
    executor: &Executor,
    build: &Build,
    bases: &mut dyn Bases,
    log: &mut (dyn Write + Send),
) -> Result<Built> {
    let started = Instant::now();
    let context = inside::root(&build.context)?;
    let (bytes, ignore) = read(build, &context)?;
    let mut file = Dockerfile::read(&bytes).map_err(wrong)?;
    platform(build.platform.as_deref(), "--platform")?;
    let target = file.target(build.target.as_deref()).map_err(BuildError::Dockerfile)?;
    change(&mut file, build, target);
    let place = executor.store.pulling(0)?;
    let deadline = build.limits.deadline.map(|deadline| started + deadline);
    let mut run = Run {
        build,
        store: &executor.store,
        bases,
        log,
        steps: Steps { program: &executor.program, deadline },
        place,
        context,
        ignore,
        file,
        global: Vec::new(),
        declared: BTreeSet::new(),
        built: BTreeMap::new(),
        done: Vec::new(),
        places: 0,
        shown: None,
        made: false,
    };
    run.global_args()?;
    let global = run.global.clone();
    let env: Env<'_> = &|name| find(&global, name);
    let all = (0..run.file.stages.len()).map(|stage| run.file.base(stage, env));
    let starts: Vec<Base> = all.collect::<std::result::Result<_, _>>().map_err(wrong)?;
    let order = run.file.order(target, &starts).map_err(wrong)?;
    for (at, stage) in order.iter().enumerate() {
        run.stage(*stage, &starts[*stage], (at + 1, order.len()))?;
    }
    let built = output::finish(&mut run, target)?;
    if run.made {
        run.store.trim(build.limits.cache_bytes)?;
        crate::caches::trim(run.store.root(), build.limits.cache_bytes)?;
    }
    Ok(built)
}

pub(crate) fn wrong(wrong: Wrong) -> BuildError {
    BuildError::Dockerfile(wrong.to_string())
}

fn find(args: &[(String, String)], name: &str) -> Option<String> {
    args.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone())
}

/// The Dockerfile and the ignore file.
fn read(build: &Build, context: &OwnedFd) -> Result<(Vec<u8>, Option<Vec<u8>>)> {
    let within = |path: &Path| {
        inside::read(context.as_fd(), path, FILE).map_err(|error| {
            BuildError::Dockerfile(format!("cannot read {}: {error}", path.display()))
        })
    };
    let (bytes, own) = match &build.dockerfile {
        crate::Dockerfile::Bytes(bytes) => (bytes.clone(), None),
        crate::Dockerfile::Path(path) => {
            let missing = || {
                let name = path.display();
                BuildError::Dockerfile(format!(
                    "failed to read dockerfile: open {name}: no such file or directory"
                ))
            };
            let mut ignore = path.clone().into_os_string();
            ignore.push(".dockerignore");
            (within(path)?.ok_or_else(missing)?, within(Path::new(&ignore))?)
        }
    };
    match own {
        Some(own) => Ok((bytes, Some(own))),
        None => Ok((bytes, within(Path::new(".dockerignore"))?)),
    }
}

/// Writes what the build asks for into its stages.
fn change(file: &mut Dockerfile, build: &Build, target: usize) {
    if let (Some(from), Some(last)) = (&build.from, file.stages.last_mut()) {
        last.image.clone_from(from);
        last.from.text = format!("FROM {from}");
        if let Some(name) = &last.name {
            last.from.text.push_str(&format!(" AS {name}"));
        }
    }
    let quoted = |pairs: &[(&String, &String)]| {
        let pair = |(name, value): &(&String, &String)| format!("{name:?}={value:?}");
        pairs.iter().map(pair).collect::<Vec<_>>().join(" ")
    };
    // Values are what they are: what would be replaced in them is escaped.
    let plain = |value: &str| {
        let escape = file.escape;
        let special = |c: char| c == '$' || c == '"' || c == '\'' || c == escape;
        let escaped = |c: char| if special(c) { vec![escape, c] } else { vec![c] };
        value.chars().flat_map(escaped).collect::<String>()
    };
    let kept = |pairs: &[(&String, &String)]| -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| (plain(name), plain(value))).collect()
    };
    let env = |pairs: &[(String, String)]| {
        let pairs: Vec<(&String, &String)> =
            pairs.iter().map(|(name, value)| (name, value)).collect();
        (!pairs.is_empty()).then(|| Instruction {
            line: 0,
            text: format!("ENV {}", quoted(&pairs)),
            kind: Kind::Env(kept(&pairs)),
        })
    };
    let labels: Vec<(&String, &String)> = build.labels.iter().collect();
    let labels = (!labels.is_empty()).then(|| Instruction {
        line: 0,
        text: format!("LABEL {}", quoted(&labels)),
        kind: Kind::Label(kept(&labels)),
    });
    let instructions = &mut file.stages[target].instructions;
    instructions.splice(0..0, env(&build.env));
    instructions.extend(env(&build.last_env));
    instructions.extend(labels);
}

/// Refuses another machine than this.
fn platform(wanted: Option<&str>, flag: &str) -> Result<()> {
    let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) else { return Ok(()) };
    let mut parts = wanted.split('/');
    let (first, second) = (parts.next().unwrap_or_default(), parts.next());
    let (os, architecture) = second.map_or(("linux", first), |second| (first, second));
    let architecture = match architecture {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    match os == "linux" && architecture == machine() {
        true => Ok(()),
        false => Err(BuildError::Unsupported(format!("{flag}={wanted} on linux/{}", machine()))),
    }
}

/// Arguments that a stage has if it declares them.
fn automatic(name: &str, target: &str) -> Option<String> {
    let value = match name {
        "BUILDPLATFORM" | "TARGETPLATFORM" => format!("linux/{}", machine()),
        "BUILDOS" | "TARGETOS" => "linux".to_owned(),
        "BUILDARCH" | "TARGETARCH" => machine().to_owned(),
        "BUILDVARIANT" | "TARGETVARIANT" | "BUILDOSVERSION" | "TARGETOSVERSION" => String::new(),
        "TARGETSTAGE" => target.to_owned(),
        _ => return None,
    };
    Some(value)
}

impl Run<'_> {
    fn global_args(&mut self) -> Result<()> {
        let all = ["BUILDPLATFORM", "BUILDOS", "BUILDARCH", "BUILDVARIANT", "TARGETPLATFORM"];
        let target = self.build.target.clone().unwrap_or_else(|| "default".to_owned());
        for name in all.iter().chain(&["TARGETOS", "TARGETARCH", "TARGETVARIANT", "TARGETSTAGE"]) {
            let value = self.build.build_args.get(*name).cloned();
            let value = value.or_else(|| automatic(name, &target)).unwrap_or_default();
            self.global.push(((*name).to_owned(), value));
        }
        for instruction in self.file.args.clone() {
            let Kind::Arg(args) = &instruction.kind else { continue };
            for (name, default) in args {
                self.declared.insert(name.clone());
                let global = &self.global;
                let expand = |text: &String| {
                    expand_word(text, self.file.escape, &|name| find(global, name))
                        .map_err(|what| wrong(Wrong { line: instruction.line, what }))
                };
                let value = match self.build.build_args.get(name) {
                    Some(value) => Some(value.clone()),
                    None => default.as_ref().map(expand).transpose()?,
                };
                if let Some(value) = value {
                    self.global.push((name.clone(), value));
                }
            }
        }
        Ok(())
    }

    /// The value of an argument that a stage declares.
    pub(crate) fn argument(&mut self, name: &str, default: Option<String>) -> Option<String> {
        self.declared.insert(name.to_owned());
        let given = self.build.build_args.get(name).cloned();
        given.or(default).or_else(|| find(&self.global, name))
    }

    fn stage(&mut self, stage: usize, start: &Base, (at, of): (usize, usize)) -> Result<()> {
        let own = self.file.stages[stage].clone();
        let flag = own.platform.as_deref().map(|text| {
            expand_word(text, self.file.escape, &|name| find(&self.global, name))
                .map_err(|what| wrong(Wrong { line: own.from.line, what }))
        });
        platform(flag.transpose()?.as_deref(), "FROM --platform")?;
        let mut counter = Counter { stage: (at, of), step: 0, steps: own.instructions.len() + 1 };
        counter.begin(self.log, &own.from.text)?;
        let begun = (jiff::Timestamp::now(), Instant::now());
        let mut state = match start {
            Base::Scratch => State { image: self.empty(), ..State::default() },
            Base::Stage(base) => {
                let base = self.built.get(base).cloned().unwrap_or_default();
                State { args: Vec::new(), has_cmd: false, ..base }
            }
            Base::Image(reference) => self.base(reference)?,
        };
        self.finished(&own.from.text, begun, true);
        let triggers = std::mem::take(&mut state.image.config.on_build);
        let triggers = match start {
            Base::Image(_) => triggers.iter().map(|text| read_trigger(text)).collect(),
            _ => Ok(Vec::new()),
        };
        let triggers: Vec<Instruction> = triggers.map_err(wrong)?;
        counter.steps += triggers.len();
        for instruction in triggers.iter().chain(&own.instructions) {
            counter.begin(self.log, &instruction.text)?;
            let begun = (jiff::Timestamp::now(), Instant::now());
            let cached = self.instruction(stage, &mut state, instruction)?;
            self.finished(&instruction.text, begun, cached);
        }
        self.built.insert(stage, state);
        Ok(())
    }

    fn finished(&mut self, name: &str, (started, since): (jiff::Timestamp, Instant), cached: bool) {
        self.done.push(Step { name: name.to_owned(), started, duration: since.elapsed(), cached });
    }

    /// The configuration of an image without a base.
    fn empty(&self) -> Image {
        let mut image = Image {
            architecture: machine().to_owned(),
            os: "linux".to_owned(),
            ..Image::default()
        };
        image.config.set_variable("PATH", leme_dockerfile::image::PATH);
        image
    }

    /// A stage that begins with an image.
    fn base(&mut self, reference: &str) -> Result<State> {
        let told = |why: String| BuildError::Base { reference: reference.to_owned(), why };
        let id = self.bases.get(reference, self.build.pull).map_err(told)?;
        self.place.pin([id.as_str()].into_iter())?;
        self.store.used(&id);
        let layers = self.store.layers_of(&id)?;
        self.pin(&layers)?;
        let image = Image::read(&self.store.config_text(&id)?).map_err(told)?;
        let layered = image.history.iter().rev().find(|step| !step.empty_layer);
        let created = layered.and_then(|step| step.created.clone()).or(image.created.clone());
        let mut image = image;
        // Times of what has no layer follow those of layers, and layers have a history each.
        for _ in image.layers_told()..layers.len() {
            image.history.push(leme_dockerfile::image::History::default());
        }
        Ok(State { layers, image, created, ..State::default() })
    }

    /// The layers of what `--from` names.
    pub(crate) fn source(&mut self, from: &str, stage: usize, line: usize) -> Result<Vec<PathBuf>> {
        let layers = match self.file.source(from, stage, line).map_err(wrong)? {
            Some(found) => {
                let state = self.built.get(&found);
                state.map(|state| state.layers.clone()).unwrap_or_default()
            }
            None => self.base(from)?.layers,
        };
        Ok(layers.iter().rev().map(|layer| self.store.unpacked(layer)).collect())
    }

    pub(crate) fn pin(&self, layers: &[leme_host::images::BuiltLayer]) -> Result<()> {
        let names = layers.iter().flat_map(|layer| [layer.digest.as_str(), layer.chain.as_str()]);
        Ok(self.place.pin(names)?)
    }

    /// A directory for a step alone.
    pub(crate) fn scratch(&mut self) -> Result<PathBuf> {
        self.places += 1;
        let path = self.place.root().join(format!("step-{}", self.places));
        std::fs::create_dir(&path)?;
        Ok(path)
    }
}

/// Which step it is.
struct Counter {
    stage: (usize, usize),
    step: usize,
    steps: usize,
}

impl Counter {
    fn begin(&mut self, log: &mut dyn Write, text: &str) -> Result<()> {
        self.step += 1;
        let stage = match self.stage {
            (_, 1) => String::new(),
            (at, of) => format!("[{at}/{of}] "),
        };
        Ok(writeln!(log, "{stage}STEP {}/{}: {text}", self.step, self.steps)?)
    }
}
