//! How an instruction is read.
//!
//! Knows: each instruction's arguments and flags, in docker's words where they are wrong. Refuses to know: stages, values of
//! variables.

use crate::flags::{Flags, Takes};
use crate::kind::{Command, Instruction, Kind, Run, Source, Transfer};
use crate::lines::{self, Line};
use crate::split::{self, Json};
use crate::{Wrong, health};

pub(crate) const NOT_STRINGS: &str =
    "when using JSON array syntax, arrays must be comprised of strings only";

/// Reads an instruction.
pub(crate) fn read(line: &Line, escape: char) -> Result<Instruction, Wrong> {
    let (name, flags, rest) = split::split_command(&line.text, escape);
    let upper = name.to_ascii_uppercase();
    let given = Given { name: &upper, flags: &flags, rest: &rest, escape, line };
    let kind = given.kind(&name).map_err(|what| Wrong::at(line.number, what))?;
    let text = line.text.trim();
    let text = format!("{upper}{}", &text[name.len()..]);
    Ok(Instruction { line: line.number, text, kind })
}

/// Reads what `ONBUILD` has kept.
///
/// # Errors
/// In docker's words.
pub fn read_trigger(text: &str) -> Result<Instruction, Wrong> {
    let lines = lines::read(text.as_bytes(), Some('\\'))?;
    match lines.lines.as_slice() {
        [line] => read(line, '\\'),
        _ => Err(Wrong::at(0, "onbuild trigger should be a single expression")),
    }
}

struct Given<'a> {
    name: &'a str,
    flags: &'a [String],
    rest: &'a str,
    escape: char,
    line: &'a Line,
}

impl Given<'_> {
    fn kind(&self, as_written: &str) -> Result<Kind, String> {
        Ok(match self.name {
            "FROM" => self.from()?,
            "ARG" => self.args()?,
            "ENV" => Kind::Env(self.pairs()?),
            "LABEL" => Kind::Label(self.pairs()?),
            "MAINTAINER" => Kind::Maintainer(self.one()?),
            "ADD" | "COPY" => Kind::Copy(self.transfer()?),
            "RUN" => Kind::Run(self.run()?),
            "CMD" => Kind::Cmd(self.plain_command()?),
            "ENTRYPOINT" => Kind::Entrypoint(self.plain_command()?),
            "SHELL" => Kind::Shell(self.shell()?),
            "EXPOSE" => {
                let mut ports = self.several()?;
                ports.sort();
                Kind::Expose(ports)
            }
            "USER" => Kind::User(self.one()?),
            "VOLUME" => Kind::Volume(self.volumes()?),
            "WORKDIR" => Kind::Workdir(self.one()?),
            "STOPSIGNAL" => Kind::Stopsignal(self.one()?),
            "ONBUILD" => Kind::Onbuild(self.onbuild()?),
            "HEALTHCHECK" => Kind::Healthcheck(health::read(self.flags, self.rest)?),
            _ => return Err(format!("unknown instruction: {as_written}")),
        })
    }

    fn no_flags(&self) -> Result<(), String> {
        Flags::read(self.flags, &[]).map(drop)
    }

    fn one(&self) -> Result<String, String> {
        if self.rest.is_empty() {
            return Err(format!("{} requires exactly one argument", self.name));
        }
        self.no_flags().map(|()| self.rest.to_owned())
    }

    fn at_least_one(&self) -> String {
        format!("{} requires at least one argument", self.name)
    }

    fn several(&self) -> Result<Vec<String>, String> {
        if self.rest.is_empty() {
            return Err(self.at_least_one());
        }
        self.no_flags()?;
        Ok(self.rest.split_whitespace().map(str::to_owned).collect())
    }

    /// Words that may be a list in JSON.
    fn list(&self) -> Result<Vec<String>, String> {
        match split::json(self.rest) {
            Json::Strings(words) => Ok(words),
            Json::Others => Err(NOT_STRINGS.to_owned()),
            Json::No => Ok(self.rest.split_whitespace().map(str::to_owned).collect()),
        }
    }

    fn volumes(&self) -> Result<Vec<String>, String> {
        let volumes = self.list()?;
        if volumes.is_empty() {
            return Err(self.at_least_one());
        }
        self.no_flags()?;
        match volumes.iter().any(|volume| volume.trim().is_empty()) {
            true => Err("VOLUME specified can not be an empty string".to_owned()),
            false => Ok(volumes.into_iter().map(|volume| volume.trim().to_owned()).collect()),
        }
    }

    fn from(&self) -> Result<Kind, String> {
        let words: Vec<&str> = self.rest.split_whitespace().collect();
        let (image, name) = match words.as_slice() {
            [image] => (image, None),
            [image, as_, name] if as_.eq_ignore_ascii_case("as") => {
                let lower = name.to_ascii_lowercase();
                let first = lower.starts_with(|c: char| c.is_ascii_lowercase());
                let plain = |c: char| {
                    c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.')
                };
                if !first || !lower.chars().all(plain) {
                    return Err(format!(
                        "invalid name for build stage: {name:?}, name can't start with a number or contain symbols"
                    ));
                }
                (image, Some(lower))
            }
            _ => return Err("FROM requires either one or three arguments".to_owned()),
        };
        let flags = Flags::read(self.flags, &[("platform", Takes::Text)])?;
        Ok(Kind::From { image: (*image).to_owned(), name, platform: flags.text("platform") })
    }

    fn args(&self) -> Result<Kind, String> {
        let words = split::raw_words(self.rest, self.escape);
        if words.is_empty() {
            return Err(self.at_least_one());
        }
        self.no_flags()?;
        let arg = |word: &String| match word.split_once('=') {
            Some(("", _)) => Err("ARG names can not be blank".to_owned()),
            Some((name, value)) => Ok((name.to_owned(), Some(value.to_owned()))),
            None => Ok((word.clone(), None)),
        };
        words.iter().map(arg).collect::<Result<_, _>>().map(Kind::Arg)
    }

    fn pairs(&self) -> Result<Vec<(String, String)>, String> {
        let words = split::raw_words(self.rest, self.escape);
        let Some(first) = words.first() else { return Err(self.at_least_one()) };
        if !first.contains('=') {
            // The old form: all that follows is the value.
            let (name, value) = self
                .rest
                .split_once(char::is_whitespace)
                .ok_or_else(|| format!("{} must have two arguments", self.name))?;
            self.no_flags()?;
            return Ok(vec![(name.to_owned(), value.trim_start().to_owned())]);
        }
        self.no_flags()?;
        let pair = |word: &String| match word.split_once('=') {
            Some(("", _)) => Err(format!("{} names can not be blank", self.name)),
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => Err(format!(
                "Syntax error - can't find = in {word:?}. Must be of the form: name=value"
            )),
        };
        words.iter().map(pair).collect()
    }

    fn command(&self) -> Result<Command, String> {
        let documents = self.line.documents.clone();
        match split::json(self.rest) {
            Json::Others => Err(NOT_STRINGS.to_owned()),
            Json::Strings(words) => Ok(Command { words, shell: false, documents }),
            Json::No => {
                let words = Some(self.rest.to_owned()).filter(|line| !line.is_empty());
                Ok(Command { words: words.into_iter().collect(), shell: true, documents })
            }
        }
    }

    fn plain_command(&self) -> Result<Command, String> {
        self.no_flags()?;
        self.command()
    }

    fn run(&self) -> Result<Run, String> {
        let known = [("mount", Takes::Texts), ("network", Takes::Text), ("security", Takes::Text)];
        let flags = Flags::read(self.flags, &known)?;
        let command = self.command()?;
        if command.words.is_empty() {
            return Err("RUN requires at least one argument".to_owned());
        }
        Ok(Run {
            command,
            mounts: flags.texts("mount").to_vec(),
            network: flags.text("network"),
            security: flags.text("security"),
        })
    }

    fn shell(&self) -> Result<Vec<String>, String> {
        self.no_flags()?;
        match split::json(self.rest) {
            Json::Others => Err(NOT_STRINGS.to_owned()),
            Json::Strings(words) if words.is_empty() => Err(self.at_least_one()),
            Json::Strings(words) => Ok(words),
            Json::No if self.rest.is_empty() => Err(self.at_least_one()),
            Json::No => Err(format!(
                "SHELL requires the arguments to be in JSON form (for example, SHELL [\"/bin/sh\", \"-c\"]), got {:?}",
                self.rest
            )),
        }
    }

    fn onbuild(&self) -> Result<String, String> {
        if self.rest.is_empty() {
            return Err(self.at_least_one());
        }
        self.no_flags()?;
        let (name, _, _) = split::split_command(self.rest, self.escape);
        let name = name.to_ascii_uppercase();
        match name.as_str() {
            "ONBUILD" => {
                return Err("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".to_owned());
            }
            "MAINTAINER" | "FROM" => {
                return Err(format!("{name} isn't allowed as an ONBUILD trigger"));
            }
            _ => {}
        }
        let documents = &self.line.documents;
        let inner = Line { text: self.rest.to_owned(), ..self.line.clone() };
        read(&inner, self.escape).map_err(|wrong| wrong.what)?;
        let mut kept = self.rest.to_owned();
        for document in documents {
            kept.push_str(&format!("\n{}{}", document.text, document.name));
        }
        Ok(kept)
    }

    fn transfer(&self) -> Result<Transfer, String> {
        let add = self.name == "ADD";
        let mut words = self.list()?;
        if words.len() < 2 {
            return Err(format!(
                "{} requires at least two arguments, but only one was provided. Destination could not be determined",
                self.name
            ));
        }
        let own: &[_] = match add {
            true => {
                &[("keep-git-dir", Takes::Bool), ("checksum", Takes::Text), ("unpack", Takes::Bool)]
            }
            false => &[("from", Takes::Text), ("parents", Takes::Bool)],
        };
        let both = [
            ("chown", Takes::Text),
            ("chmod", Takes::Text),
            ("link", Takes::Bool),
            ("exclude", Takes::Texts),
        ];
        let flags = Flags::read(self.flags, &[&both, own].concat())?;
        let target = words.pop().unwrap_or_default();
        if lines::heredoc(&target)?.is_some() {
            return Err(format!("{} cannot accept a heredoc as a destination", self.name));
        }
        let source = |word: String| match lines::heredoc(&word)? {
            Some(announced) => {
                let found = self.line.documents.iter().find(|known| known.name == announced.name);
                Ok::<_, String>(Source::Text(found.cloned().unwrap_or(announced)))
            }
            None => Ok(Source::Path(word)),
        };
        Ok(Transfer {
            add,
            sources: words.into_iter().map(source).collect::<Result<_, _>>()?,
            target,
            from: flags.text("from"),
            chown: flags.text("chown"),
            chmod: flags.text("chmod"),
            link: flags.is_true("link"),
            parents: flags.is_true("parents"),
            excludes: flags.texts("exclude").to_vec(),
            checksum: flags.text("checksum"),
            keep_git_dir: flags.bool("keep-git-dir"),
            unpack: flags.bool("unpack"),
        })
    }
}
