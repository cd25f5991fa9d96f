//! `RUN --mount`.
//!
//! Knows: its keys, in docker's words. Refuses to know: how something is mounted.

use serde::{Deserialize, Serialize};

/// What is mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountKind {
    /// Files of the context, a stage or an image.
    #[default]
    Bind,
    /// A directory that stays for later builds.
    Cache,
    /// Memory.
    Tmpfs,
    /// A secret.
    Secret,
    /// A socket of an agent of SSH.
    Ssh,
}

/// Who may have a cache at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sharing {
    /// Everybody at once.
    #[default]
    Shared,
    /// Each one of its own.
    Private,
    /// One after the other.
    Locked,
}

/// One mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// What.
    pub kind: MountKind,
    /// Which stage or image it is from.
    pub from: Option<String>,
    /// What of it.
    pub source: Option<String>,
    /// Where to.
    pub target: Option<String>,
    /// Whether it can only be read.
    pub readonly: bool,
    /// The name of a cache, a secret or an agent.
    pub id: Option<String>,
    /// Who may have the cache.
    pub sharing: Sharing,
    /// Whether a step fails without it.
    pub required: bool,
    /// Bytes of memory at most.
    pub size: Option<u64>,
    /// The variable that holds a secret in place of a file.
    pub env: Option<String>,
    /// Its mode.
    pub mode: Option<u32>,
    /// Its owner.
    pub uid: Option<u32>,
    /// Its group.
    pub gid: Option<u32>,
}

impl Mount {
    /// Reads a mount; `expand` replaces variables in a value.
    ///
    /// # Errors
    /// In docker's words.
    pub fn read(
        text: &str,
        expand: impl Fn(&str) -> Result<String, String>,
    ) -> Result<Mount, String> {
        let mut mount = Mount::default();
        let (mut readonly, mut sharing) = (None, None);
        for field in fields(text)? {
            let (key, value) = match field.split_once('=') {
                Some((key, value)) => (key.to_ascii_lowercase(), Some(expand(value)?)),
                None => (field.to_ascii_lowercase(), None),
            };
            let flag = value.as_deref().map_or(Ok(true), |value| boolean(&key, value));
            match (key.as_str(), value) {
                ("readonly" | "ro", _) => readonly = Some(flag?),
                ("readwrite" | "rw", _) => readonly = Some(!flag?),
                ("required", _) if matches!(mount.kind, MountKind::Secret | MountKind::Ssh) => {
                    mount.required = flag?;
                }
                ("required", _) => return Err(unexpected("required", mount.kind)),
                (_, None) => {
                    return Err(format!("invalid field '{field}' must be a key=value pair"));
                }
                ("sharing", Some(value)) => sharing = Some(shared(&value)?),
                (key, Some(value)) => mount.set(key, value, &field)?,
            }
        }
        let changes = matches!(mount.kind, MountKind::Cache | MountKind::Tmpfs);
        mount.readonly = readonly.unwrap_or(!changes);
        mount.check(sharing)?;
        mount.sharing = sharing.unwrap_or_default();
        Ok(mount)
    }

    fn set(&mut self, key: &str, value: String, field: &str) -> Result<(), String> {
        let number = |radix| {
            u32::from_str_radix(&value, radix)
                .map_err(|_| format!("invalid value {value} for {key}"))
                .map(Some)
        };
        match key {
            "type" => self.kind = kind(&value)?,
            "from" => self.from = Some(value),
            "source" | "src" => self.source = Some(value),
            "target" | "dst" | "destination" => self.target = Some(value),
            "size" if self.kind == MountKind::Tmpfs => self.size = Some(size(&value)?),
            "size" => return Err(unexpected("size", self.kind)),
            "id" => self.id = Some(value),
            "env" => self.env = Some(value),
            "mode" => self.mode = number(8)?,
            "uid" => self.uid = number(10)?,
            "gid" => self.gid = number(10)?,
            _ => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
        Ok(())
    }

    fn check(&self, sharing: Option<Sharing>) -> Result<(), String> {
        let looks = [("mode", self.mode), ("uid", self.uid), ("gid", self.gid)];
        let owned = matches!(self.kind, MountKind::Secret | MountKind::Ssh | MountKind::Cache);
        if let Some((name, _)) = looks.iter().find(|(_, value)| value.is_some() && !owned) {
            return Err(format!("{name} not allowed for {:?} type mounts", word(self.kind)));
        }
        if self.kind == MountKind::Secret {
            if self.from.is_some() {
                return Err("secret mount should not have a from".to_owned());
            }
            if sharing.is_some() {
                return Err("secret mount should not define sharing".to_owned());
            }
            if self.source.is_none() && self.target.is_none() && self.id.is_none() {
                return Err("invalid secret mount. one of source, target required".to_owned());
            }
            if self.source.is_some() && self.id.is_some() {
                return Err("both source and id can't be set".to_owned());
            }
        }
        if sharing.is_some() && self.kind != MountKind::Cache {
            return Err(format!("invalid cache sharing set for {} mount", word(self.kind)));
        }
        let needs = matches!(self.kind, MountKind::Bind | MountKind::Cache | MountKind::Tmpfs);
        if needs && self.target.as_deref().unwrap_or_default().is_empty() {
            return Err(format!("invalid mount target {:?}", ""));
        }
        Ok(())
    }
}

fn word(kind: MountKind) -> &'static str {
    match kind {
        MountKind::Bind => "bind",
        MountKind::Cache => "cache",
        MountKind::Tmpfs => "tmpfs",
        MountKind::Secret => "secret",
        MountKind::Ssh => "ssh",
    }
}

fn unexpected(key: &str, kind: MountKind) -> String {
    format!("unexpected key '{key}' for mount type '{}'", word(kind))
}

fn kind(value: &str) -> Result<MountKind, String> {
    let all =
        [MountKind::Bind, MountKind::Cache, MountKind::Tmpfs, MountKind::Secret, MountKind::Ssh];
    let found = all.into_iter().find(|kind| value.eq_ignore_ascii_case(word(*kind)));
    found.ok_or_else(|| format!("unsupported mount type {value:?}"))
}

fn shared(value: &str) -> Result<Sharing, String> {
    match value.to_ascii_lowercase().as_str() {
        "shared" => Ok(Sharing::Shared),
        "private" => Ok(Sharing::Private),
        "locked" => Ok(Sharing::Locked),
        _ => Err(format!("unsupported sharing value {value:?}")),
    }
}

fn boolean(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("invalid value for {key}: {value}")),
    }
}

/// Bytes as docker writes them: `10`, `64k`, `1.5GiB`.
fn size(value: &str) -> Result<u64, String> {
    let wrong = || format!("invalid value for size: {value}");
    let digits = value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len());
    let number: f64 = value[..digits].parse().map_err(|_| wrong())?;
    let unit = value[digits..].trim().to_ascii_lowercase();
    let unit = unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit);
    let power = match unit {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return Err(wrong()),
    };
    Ok((number * f64::from(1024_u32).powi(power)) as u64)
}

/// Fields between commas; quotes around one as in CSV.
fn fields(text: &str) -> Result<Vec<String>, String> {
    let (mut all, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => all.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    match quoted {
        true => Err("failed to parse csv mounts".to_owned()),
        false => {
            all.push(field);
            Ok(all)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Mount, String> {
        Mount::read(text, |value| Ok(value.replace("$x", "X")))
    }

    #[test]
    fn mounts() {
        let cache = read("type=cache,target=/root/.cache,id=$x,sharing=locked,mode=0700").unwrap();
        assert_eq!(
            (cache.kind, cache.sharing, cache.mode),
            (MountKind::Cache, Sharing::Locked, Some(0o700))
        );
        assert_eq!((cache.id.as_deref(), cache.readonly), (Some("X"), false));
        assert!(read("target=/x").unwrap().readonly);
        assert!(!read("target=/x,rw").unwrap().readonly);
        assert!(read("type=secret,id=a,required").unwrap().required);
        assert_eq!(read("type=tmpfs,target=/t,size=1.5k").unwrap().size, Some(1536));
        assert_eq!(
            read("type=bind,\"source=a,b\",target=/t").unwrap().source.as_deref(),
            Some("a,b")
        );
        for (text, wrong) in [
            ("type=volume", "unsupported mount type \"volume\""),
            ("type=cache,target=/a,foo=1", "unexpected key 'foo' in 'foo=1'"),
            ("type=cache,target=/a,foo", "invalid field 'foo' must be a key=value pair"),
            ("target=/a,required", "unexpected key 'required' for mount type 'bind'"),
            ("target=/a,mode=1", "mode not allowed for \"bind\" type mounts"),
            ("target=/a,sharing=locked", "invalid cache sharing set for bind mount"),
            ("type=secret", "invalid secret mount. one of source, target required"),
            ("type=cache", "invalid mount target \"\""),
        ] {
            assert_eq!(read(text).unwrap_err(), wrong, "{text}");
        }
    }
}
