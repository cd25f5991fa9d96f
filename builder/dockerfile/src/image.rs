//! The configuration of an image, as docker writes it, and what instructions do to it.
//!
//! Knows: its fields. Refuses to know: layers, time, where values come from (variables are replaced already).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize};

use crate::kind::Command;
use crate::paths;

/// The search path of an image that says none.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The document that an image's id is the digest of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "or_default")]
    pub author: String,
    /// The machine it is for.
    #[serde(default, deserialize_with = "or_default")]
    pub architecture: String,
    /// Which of these machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The system it is for.
    #[serde(default, deserialize_with = "or_default")]
    pub os: String,
    /// How it is run.
    #[serde(default, deserialize_with = "or_default")]
    pub config: Config,
    /// Its layers.
    #[serde(default, deserialize_with = "or_default")]
    pub rootfs: RootFs,
    /// How it came to be.
    #[serde(default, deserialize_with = "or_default")]
    pub history: Vec<History>,
}

/// Layers by the digests of what is in them, from the bottom up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The digests.
    #[serde(default, deserialize_with = "or_default")]
    pub diff_ids: Vec<String>,
}

impl Default for RootFs {
    fn default() -> RootFs {
        RootFs { kind: "layers".to_owned(), diff_ids: Vec::new() }
    }
}

/// A step that an image came by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The instruction.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "or_default")]
    pub created_by: String,
    /// Who wrote it.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "or_default")]
    pub author: String,
    /// What there is to say.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "or_default")]
    pub comment: String,
    /// Whether it made no layer.
    #[serde(default, skip_serializing_if = "is_false", deserialize_with = "or_default")]
    pub empty_layer: bool,
}

/// How an image is run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Config {
    /// By whom.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "or_default")]
    pub user: String,
    /// Ports.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_default")]
    pub exposed_ports: BTreeMap<String, Nothing>,
    /// Variables, `NAME=VALUE`.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub env: Vec<String>,
    /// What is run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Its arguments, or what is run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// How it is looked after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Health>,
    /// Places for volumes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_default")]
    pub volumes: BTreeMap<String, Nothing>,
    /// Where.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "or_default")]
    pub working_dir: String,
    /// For those who build on it.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub on_build: Vec<String>,
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    /// The signal that stops it.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "or_default")]
    pub stop_signal: String,
    /// The shell of commands that are no lists.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub shell: Vec<String>,
}

/// A value that says nothing but that it is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nothing {}

/// How a container is looked after; times in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Health {
    /// `NONE`, `CMD` with its words, or `CMD-SHELL` with a line.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub test: Vec<String>,
    /// From one to the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<i64>,
    /// How long one may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
    /// While it starts none counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_period: Option<i64>,
    /// From one to the next while it starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_interval: Option<i64>,
    /// How many may fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<i64>,
}

/// What is `null` is what is not there.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Image {
    /// Reads a configuration.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(bytes: &[u8]) -> Result<Image, String> {
        serde_json::from_slice(bytes).map_err(|error| format!("image configuration: {error}"))
    }

    /// The configuration's text.
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// How many layers have a history of their own.
    pub fn layers_told(&self) -> usize {
        self.history.iter().filter(|step| !step.empty_layer).count()
    }
}

impl Config {
    /// The value of a variable.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let pairs = self.env.iter().filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next_back()
    }

    /// Sets a variable.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        let pair = format!("{name}={value}");
        let is_it = |known: &&mut String| {
            known.split_once('=').map_or(known.as_str(), |(key, _)| key) == name
        };
        match self.env.iter_mut().find(is_it) {
            Some(known) => *known = pair,
            None => self.env.push(pair),
        }
    }

    /// The words of a command: as they are, or for the shell.
    pub fn words_of(&self, command: &Command) -> Vec<String> {
        match command.shell && !command.words.is_empty() {
            true => [self.shell_words(), vec![command.words.join(" ")]].concat(),
            false => command.words.clone(),
        }
    }

    /// The shell.
    pub fn shell_words(&self) -> Vec<String> {
        match self.shell.is_empty() {
            true => vec!["/bin/sh".to_owned(), "-c".to_owned()],
            false => self.shell.clone(),
        }
    }

    /// Adds the ports that one word of `EXPOSE` means.
    ///
    /// # Errors
    /// In docker's words.
    pub fn expose(&mut self, word: &str) -> Result<(), String> {
        let (ports, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
        let protocol = protocol.to_ascii_lowercase();
        if !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
            return Err(format!("invalid proto: {protocol}"));
        }
        let ports = ports.rsplit(':').next().unwrap_or(ports);
        let invalid = || format!("invalid containerPort: {ports}");
        let number = |text: &str| text.parse::<u16>().map_err(|_| invalid());
        let (from, to) = match ports.split_once('-') {
            Some((from, to)) => (number(from)?, number(to)?),
            None => (number(ports)?, number(ports)?),
        };
        if to < from {
            return Err(invalid());
        }
        for port in from..=to {
            self.exposed_ports.insert(format!("{port}/{protocol}"), Nothing {});
        }
        Ok(())
    }

    /// Goes to a directory, seen from the one before.
    pub fn enter(&mut self, path: &str) {
        self.working_dir = paths::join(&self.working_dir, path);
    }

    /// The directory of commands.
    pub fn directory(&self) -> &str {
        match self.working_dir.as_str() {
            "" => "/",
            directory => directory,
        }
    }

    /// Sets the signal that stops a container.
    ///
    /// # Errors
    /// When there is no such signal.
    pub fn set_stop_signal(&mut self, signal: &str) -> Result<(), String> {
        let known = BTreeSet::from([
            "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT",
            "KILL", "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM",
            "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU",
            "XFSZ",
        ]);
        let upper = signal.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let real_time = name.strip_prefix("RTMIN").or(name.strip_prefix("RTMAX"));
        let number = signal.parse::<u8>().is_ok_and(|number| (1..=64).contains(&number));
        match number || known.contains(name) || real_time.is_some() {
            true => self.stop_signal = signal.to_owned(),
            false => return Err(format!("Invalid signal: {signal}")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_writes_is_kept() {
        let text = br#"{"architecture":"amd64","os":"linux","created":"2020-01-01T00:00:00Z",
            "config":{"Env":["A=1"],"Cmd":["sh"],"Labels":null,"Volumes":null,"OnBuild":["RUN x"],
            "Healthcheck":{"Test":["CMD","a"],"Interval":5},"Entrypoint":null,"Image":"x"},
            "rootfs":{"type":"layers","diff_ids":["sha256:a"]},
            "history":[{"created_by":"x"},{"created_by":"y","empty_layer":true}],"container":"z"}"#;
        let image = Image::read(text).unwrap();
        assert_eq!(image.config.on_build, ["RUN x"]);
        assert_eq!(image.layers_told(), 1);
        let again = Image::read(&image.write()).unwrap();
        assert_eq!(again, image);
        assert!(Image::read(b"{\"config\": 1}").is_err());
    }

    #[test]
    fn variables_and_ports() {
        let mut config = Config { env: vec!["A=1".into(), "B=2".into()], ..Config::default() };
        config.set_variable("A", "3=4");
        config.set_variable("C", "");
        assert_eq!(config.env, ["A=3=4", "B=2", "C="]);
        assert_eq!((config.variable("A"), config.variable("X")), (Some("3=4"), None));
        for word in ["80", "53/UDP", "90-92", "127.0.0.1:8080:81"] {
            config.expose(word).unwrap();
        }
        let ports: Vec<&String> = config.exposed_ports.keys().collect();
        assert_eq!(ports, ["53/udp", "80/tcp", "81/tcp", "90/tcp", "91/tcp", "92/tcp"]);
        for bad in ["x", "80/icmp", "70000", "9-8", ""] {
            assert!(config.expose(bad).is_err(), "{bad}");
        }
        for (from, to) in [("a", "/a"), ("../../b", "/b"), ("/c/./d", "/c/d"), ("e", "/c/d/e")] {
            config.enter(from);
            assert_eq!(config.working_dir, to);
        }
        assert!(config.set_stop_signal("SIGTERM").is_ok() && config.set_stop_signal("9").is_ok());
        assert_eq!(config.set_stop_signal("SIGX").unwrap_err(), "Invalid signal: SIGX");
    }
}
