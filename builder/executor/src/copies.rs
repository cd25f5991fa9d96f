//! `COPY` and `ADD` on a stage.
//!
//! Knows: what their flags and sources mean, and what their keys depend on. Refuses to know: how files are copied.

use std::os::fd::AsFd;

use leme_dockerfile::{Env, Instruction, Source, Transfer, expand_document, paths};
use serde_json::json;

use crate::api::BuildError;
use crate::build::Run;
use crate::helper::digest_in;
use crate::helper::protocol::{Copy, From, Report, Request, Sources};
use crate::state::State;

type Result<T> = std::result::Result<T, BuildError>;

/// An instruction without variables.
#[derive(Default)]
struct Written {
    files: Vec<String>,
    texts: Vec<(String, Vec<u8>)>,
    chown: Option<String>,
    chmod: Option<String>,
    exclude: Vec<String>,
    target: String,
}

impl Run<'_> {
    pub(crate) fn copy(
        &mut self,
        stage: usize,
        state: &mut State,
        instruction: &Instruction,
        transfer: &Transfer,
    ) -> Result<bool> {
        let Written { files, texts, chown, chmod, exclude, target } =
            self.written(state, instruction, transfer)?;
        let told = told(transfer, &files, &texts, &target);
        refuse(transfer, &files)?;
        let is_directory = target.ends_with('/') || target == "." || target.ends_with("/.");
        let mut to = paths::join(state.image.config.directory(), &target);
        if is_directory && to != "/" {
            to.push('/');
        }
        let from = match &transfer.from {
            Some(from) => From::Layers(self.source(from, stage, instruction.line)?),
            None => From::Directory(self.build.context.clone()),
        };
        let mut sources = None;
        let mut digest = String::new();
        if !files.is_empty() {
            let scratch = self.scratch()?;
            let ignore = self.ignore.clone().filter(|_| transfer.from.is_none());
            let wanted =
                Sources { from, scratch, paths: files.clone(), ignore, exclude: exclude.clone() };
            digest = self.digest(instruction, &wanted)?;
            sources = Some(wanted);
        }
        let unpack = transfer.unpack.unwrap_or(transfer.add);
        let what = json!({
            "copy": digest, "paths": files, "texts": texts, "to": to, "chown": chown, "chmod": chmod,
            "exclude": exclude, "parents": transfer.parents, "unpack": unpack,
            "keeps": transfer.from.is_some(),
        });
        let (keeps_owners, parents) = (transfer.from.is_some(), transfer.parents);
        let most = self.build.limits.add_bytes;
        self.step(state, instruction, told, &what, |root| {
            Request::Copy(Box::new(Copy {
                root,
                sources,
                texts,
                target: to,
                chown,
                chmod,
                keeps_owners,
                parents,
                unpack,
                most,
            }))
        })
    }

    /// What an instruction says once its variables are replaced.
    fn written(
        &self,
        state: &State,
        instruction: &Instruction,
        transfer: &Transfer,
    ) -> Result<Written> {
        let words = self.words(state, instruction);
        let mut written = Written::default();
        for source in &transfer.sources {
            match source {
                Source::Path(path) => written.files.push(words.one(path)?),
                Source::Text(document) => {
                    let text = document.content();
                    let env: Env<'_> = &|name| state.variable(name);
                    let text = match document.expand {
                        true => expand_document(&text, self.file.escape, env)
                            .map_err(|what| words.wrong(what))?,
                        false => text,
                    };
                    written.texts.push((document.name.clone(), text.into_bytes()));
                }
            }
        }
        let optional =
            |text: &Option<String>| text.as_deref().map(|text| words.one(text)).transpose();
        (written.chown, written.chmod) = (optional(&transfer.chown)?, optional(&transfer.chmod)?);
        written.exclude =
            transfer.excludes.iter().map(|text| words.one(text)).collect::<Result<_>>()?;
        written.target = words.one(&transfer.target)?;
        if let Some(mode) = &written.chmod {
            crate::mode::Change::read(mode).map_err(|what| words.wrong(what))?;
        }
        Ok(written)
    }

    /// The digest of sources: of the context here, of layers where they can be mounted.
    fn digest(&mut self, instruction: &Instruction, sources: &Sources) -> Result<String> {
        let report = match &sources.from {
            From::Directory(_) => {
                let context = rustix::io::fcntl_dupfd_cloexec(self.context.as_fd(), 3)
                    .map_err(std::io::Error::from)?;
                digest_in(&context, sources, false).map_err(|error| BuildError::Step {
                    step: instruction.text.clone(),
                    why: error.to_string(),
                })?
            }
            From::Layers(_) => {
                let request = Request::Digest(Box::new(sources.clone()));
                self.ask(instruction, &request)?
            }
        };
        let failed = |why: String| BuildError::Step { step: instruction.text.clone(), why };
        match report {
            Report::Digest(digest) => Ok(digest),
            Report::Missing(source) => {
                Err(failed(format!("\"/{}\": not found", paths::below(&source))))
            }
            Report::Failed(why) => Err(failed(why)),
            _ => Err(failed("the helper answers something else".to_owned())),
        }
    }
}

fn refuse(transfer: &Transfer, files: &[String]) -> Result<()> {
    let unsupported = |what: String| Err(BuildError::Unsupported(what));
    if let Some(url) = files.iter().find(|file| transfer.add && is_remote(file)) {
        return unsupported(format!("ADD {url}"));
    }
    if transfer.checksum.is_some() {
        return unsupported("ADD --checksum without a URL".to_owned());
    }
    if transfer.keep_git_dir.is_some() {
        return unsupported("ADD --keep-git-dir".to_owned());
    }
    Ok(())
}

fn is_remote(source: &str) -> bool {
    ["http://", "https://", "git@", "git://", "ssh://"]
        .iter()
        .any(|begin| source.starts_with(begin))
}

/// How history tells it.
fn told(
    transfer: &Transfer,
    files: &[String],
    texts: &[(String, Vec<u8>)],
    target: &str,
) -> String {
    let name = if transfer.add { "ADD" } else { "COPY" };
    let mut told = name.to_owned();
    for (flag, value) in
        [("from", &transfer.from), ("chown", &transfer.chown), ("chmod", &transfer.chmod)]
    {
        if let Some(value) = value {
            told.push_str(&format!(" --{flag}={value}"));
        }
    }
    for source in files.iter().cloned().chain(texts.iter().map(|(name, _)| format!("<<{name}"))) {
        told.push_str(&format!(" {source}"));
    }
    format!("{told} {target}")
}
