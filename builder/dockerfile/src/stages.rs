//! Stages: which there are, which of them a target needs, and in which order.
//!
//! Knows: how stages name each other. Refuses to know: images.

use crate::Wrong;
use crate::instruction;
use crate::kind::{Instruction, Kind};
use crate::lines;
use crate::mount::Mount;
use crate::words::{Env, expand_word};

/// Stages and instructions of a Dockerfile at most.
const STAGES: usize = 1000;
const INSTRUCTIONS: usize = 20_000;

/// A Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dockerfile {
    /// What escapes a character.
    pub escape: char,
    /// Each `ARG` before the first stage.
    pub args: Vec<Instruction>,
    /// The stages, as they stand.
    pub stages: Vec<Stage>,
}

/// A stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Its `FROM`, as it is written.
    pub from: Instruction,
    /// What it begins with: an image, a stage, or `scratch`; variables are not replaced yet.
    pub image: String,
    /// Its name.
    pub name: Option<String>,
    /// `--platform`
    pub platform: Option<String>,
    /// What follows.
    pub instructions: Vec<Instruction>,
}

/// What a stage begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// Nothing.
    Scratch,
    /// A stage before it.
    Stage(usize),
    /// An image.
    Image(String),
}

impl Dockerfile {
    /// Reads a Dockerfile.
    ///
    /// # Errors
    /// In docker's words.
    pub fn read(bytes: &[u8]) -> Result<Dockerfile, Wrong> {
        let lines = lines::read(bytes, None)?;
        let escape = lines.escape;
        let (mut args, mut stages) = (Vec::new(), Vec::<Stage>::new());
        if lines.lines.len() > INSTRUCTIONS {
            return Err(Wrong::at(0, format!("more than {INSTRUCTIONS} instructions")));
        }
        for line in &lines.lines {
            let instruction = instruction::read(line, escape)?;
            match (&instruction.kind, stages.last_mut()) {
                (Kind::From { image, name, platform }, _) => {
                    let (image, name, platform) = (image.clone(), name.clone(), platform.clone());
                    let instructions = Vec::new();
                    stages.push(Stage { from: instruction, image, name, platform, instructions });
                }
                (Kind::Arg(_), None) => args.push(instruction),
                (_, None) => {
                    return Err(Wrong::at(line.number, "no build stage in current context"));
                }
                (_, Some(stage)) => stage.instructions.push(instruction),
            }
        }
        match stages.len() {
            0 => Err(Wrong::at(0, "dockerfile contains no stages to build")),
            count if count > STAGES => Err(Wrong::at(0, format!("more than {STAGES} stages"))),
            _ => Ok(Dockerfile { escape, args, stages }),
        }
    }

    /// The stage that a target names, by its name or its number; the last one without a name.
    ///
    /// # Errors
    /// In docker's words.
    pub fn target(&self, target: Option<&str>) -> Result<usize, String> {
        let Some(target) = target.filter(|target| !target.is_empty()) else {
            return Ok(self.stages.len() - 1);
        };
        self.named(target, self.stages.len())
            .or_else(|| target.parse().ok().filter(|index| *index < self.stages.len()))
            .ok_or_else(|| format!("target stage {target:?} could not be found"))
    }

    /// The last stage of that name before another.
    fn named(&self, name: &str, before: usize) -> Option<usize> {
        let name = name.to_ascii_lowercase();
        self.stages[..before].iter().rposition(|stage| stage.name.as_deref() == Some(&name))
    }

    /// What a stage begins with; `env` are the arguments before the first stage.
    ///
    /// # Errors
    /// In docker's words.
    pub fn base(&self, stage: usize, env: Env<'_>) -> Result<Base, Wrong> {
        let Stage { from, image, .. } = &self.stages[stage];
        let name =
            expand_word(image, self.escape, env).map_err(|what| Wrong::at(from.line, what))?;
        if name.trim().is_empty() {
            return Err(Wrong::at(from.line, format!("base name ({image}) should not be blank")));
        }
        Ok(match self.named(&name, stage) {
            Some(stage) => Base::Stage(stage),
            None if name == "scratch" => Base::Scratch,
            None => Base::Image(name),
        })
    }

    /// The stage that `--from` means, of an instruction of `stage`; none if it means an image.
    ///
    /// # Errors
    /// In docker's words.
    pub fn source(&self, from: &str, stage: usize, line: usize) -> Result<Option<usize>, Wrong> {
        let found = match from.parse::<usize>() {
            Ok(index) if index < self.stages.len() => Some(index),
            Ok(index) => return Err(Wrong::at(line, format!("invalid stage index {index}"))),
            Err(_) => self
                .named(from, stage)
                .or_else(|| self.named(from, self.stages.len()).filter(|found| *found >= stage)),
        };
        Ok(found)
    }

    /// The stages that a stage needs, itself the last one. `bases` has each stage's, as [`Dockerfile::base`] says.
    ///
    /// # Errors
    /// When stages need each other.
    pub fn order(&self, target: usize, bases: &[Base]) -> Result<Vec<usize>, Wrong> {
        let (mut done, mut order, mut open) = (vec![false; bases.len()], Vec::new(), Vec::new());
        open.push((target, self.needs(target, bases)?, 0));
        while let Some((stage, needs, at)) = open.last_mut() {
            let (stage, next) = (*stage, needs.get(*at).copied());
            *at += 1;
            match next {
                Some((needed, line)) if open.iter().any(|(stage, ..)| *stage == needed) => {
                    let name = self.stages[needed].name.clone();
                    let name = name.unwrap_or_else(|| needed.to_string());
                    let what = format!("circular dependency detected on stage: {name}");
                    return Err(Wrong::at(line, what));
                }
                Some((needed, _)) if !done[needed] => {
                    open.push((needed, self.needs(needed, bases)?, 0));
                }
                Some(_) => {}
                None => {
                    done[stage] = true;
                    order.push(stage);
                    open.pop();
                }
            }
        }
        Ok(order)
    }

    /// Which stages a stage names, and where.
    fn needs(&self, stage: usize, bases: &[Base]) -> Result<Vec<(usize, usize)>, Wrong> {
        let own = &self.stages[stage];
        let mut needs = Vec::new();
        if let Base::Stage(base) = bases[stage] {
            needs.push((base, own.from.line));
        }
        for Instruction { line, kind, .. } in &own.instructions {
            let mut names = Vec::new();
            match kind {
                Kind::Copy(copy) => names.extend(copy.from.clone()),
                Kind::Run(run) => {
                    for mount in &run.mounts {
                        let read = Mount::read(mount, |value| Ok(value.to_owned()));
                        names.extend(read.map_err(|what| Wrong::at(*line, what))?.from);
                    }
                }
                _ => {}
            }
            for name in names {
                if name.trim_end_matches('$').contains('$') {
                    let what = "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround";
                    return Err(Wrong::at(*line, what));
                }
                needs.extend(self.source(&name, stage, *line)?.map(|found| (found, *line)));
            }
        }
        Ok(needs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(file: &str, target: Option<&str>) -> Result<Vec<usize>, String> {
        let file = Dockerfile::read(file.as_bytes()).map_err(|wrong| wrong.to_string())?;
        let env = |name: &str| (name == "base").then(|| "a".to_owned());
        let bases = (0..file.stages.len()).map(|stage| file.base(stage, &env));
        let bases: Vec<Base> =
            bases.collect::<Result<_, _>>().map_err(|wrong| wrong.to_string())?;
        let target = file.target(target)?;
        file.order(target, &bases).map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn only_needed_stages_in_order() {
        let file = "ARG base\nFROM x AS a\nFROM y AS b\nRUN z\nFROM $base AS c\nCOPY --from=1 q q\nFROM scratch\nCOPY --from=C / /\n";
        assert_eq!(order(file, None).unwrap(), [0, 1, 2, 3]);
        assert_eq!(order(file, Some("B")).unwrap(), [1]);
        assert_eq!(order(file, Some("2")).unwrap(), [0, 1, 2]);
        assert_eq!(order(file, Some("z")).unwrap_err(), "target stage \"z\" could not be found");
        let mount = "FROM x AS a\nFROM y\nRUN --mount=from=a,target=/a true";
        assert_eq!(order(mount, None).unwrap(), [0, 1]);
        // A stage may have the name of its image.
        assert_eq!(order("FROM a AS a\nFROM a", None).unwrap(), [0, 1]);
    }

    #[test]
    fn what_is_wrong() {
        let twice = "FROM a\nRUN a\n";
        for (file, wrong) in [
            ("RUN a", "dockerfile parse error on line 1: no build stage in current context"),
            ("ARG a", "dockerfile contains no stages to build"),
            (
                "FROM a b",
                "dockerfile parse error on line 1: FROM requires either one or three arguments",
            ),
            (
                "FROM a AS 1",
                "dockerfile parse error on line 1: invalid name for build stage: \"1\", name can't start with a number or contain symbols",
            ),
            ("FROM a\nFOO bar", "dockerfile parse error on line 2: unknown instruction: FOO"),
            ("FROM --x=y a", "dockerfile parse error on line 1: unknown flag: --x"),
            (
                "FROM ${none}",
                "dockerfile parse error on line 1: base name (${none}) should not be blank",
            ),
            (
                "FROM a\nCOPY --from=7 a b",
                "dockerfile parse error on line 2: invalid stage index 7",
            ),
            (
                "FROM a\nCOPY --from=0 a b",
                "dockerfile parse error on line 2: circular dependency detected on stage: 0",
            ),
            (
                "FROM x AS a\nCOPY --from=b a b\nFROM a AS b",
                "dockerfile parse error on line 2: circular dependency detected on stage: b",
            ),
            (
                "FROM a\nCOPY --from=$x a b",
                "dockerfile parse error on line 2: variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround",
            ),
            (
                "FROM a\nCOPY a",
                "dockerfile parse error on line 2: COPY requires at least two arguments, but only one was provided. Destination could not be determined",
            ),
            ("FROM a\nENV a", "dockerfile parse error on line 2: ENV must have two arguments"),
            (
                "FROM a\nENV a=b c",
                "dockerfile parse error on line 2: Syntax error - can't find = in \"c\". Must be of the form: name=value",
            ),
            ("FROM a\nENV =b", "dockerfile parse error on line 2: ENV names can not be blank"),
            (
                "FROM a\nLABEL",
                "dockerfile parse error on line 2: LABEL requires at least one argument",
            ),
            (
                "FROM a\nCMD [1]",
                "dockerfile parse error on line 2: when using JSON array syntax, arrays must be comprised of strings only",
            ),
            (
                "FROM a\nONBUILD FROM x",
                "dockerfile parse error on line 2: FROM isn't allowed as an ONBUILD trigger",
            ),
            (
                "FROM a\nONBUILD ONBUILD RUN x",
                "dockerfile parse error on line 2: Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
            ),
            ("FROM a\nONBUILD NO x", "dockerfile parse error on line 2: unknown instruction: NO"),
            (
                "FROM a\nRUN --mount=type=x y",
                "dockerfile parse error on line 2: unsupported mount type \"x\"",
            ),
            (
                "FROM a\nCOPY <<E <<F\nE\nF\n",
                "dockerfile parse error on line 2: COPY cannot accept a heredoc as a destination",
            ),
            ("FROM a\nADD --from=x a b", "dockerfile parse error on line 2: unknown flag: --from"),
            (
                "FROM a\nCOPY --link=maybe a b",
                "dockerfile parse error on line 2: expecting boolean value for flag --link, not: maybe",
            ),
            (
                "FROM a\nUSER",
                "dockerfile parse error on line 2: USER requires exactly one argument",
            ),
        ] {
            assert_eq!(order(file, None).unwrap_err(), wrong, "{file}");
        }
        assert!(order(&twice.repeat(1001), None).unwrap_err().contains("more than 1000 stages"));
        // Stages in a row a thousand deep are no stack.
        let deep: String = (1..1000).map(|n| format!("FROM s{} AS s{n}\n", n - 1)).collect();
        assert_eq!(order(&format!("FROM x AS s0\n{deep}"), None).unwrap().len(), 1000);
    }
}
