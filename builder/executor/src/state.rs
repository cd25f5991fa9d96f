//! A stage while it is built: its layers, its configuration, its arguments.
//!
//! Knows: what an instruction changes that is no file. Refuses to know: how files are changed.

use leme_dockerfile::image::{History, Image};
use leme_dockerfile::{Env, expand_word, expand_words};
use leme_host::images::BuiltLayer;

/// Variables that every command has if the build was given them, and that no history tells.
pub(crate) const PROXIES: &[&str] = &[
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// A stage.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) layers: Vec<BuiltLayer>,
    pub(crate) image: Image,
    /// Arguments that were declared, the last of a name counts.
    pub(crate) args: Vec<(String, String)>,
    /// Whether `CMD` stands in this stage.
    pub(crate) has_cmd: bool,
    /// When its topmost layer was made.
    pub(crate) created: Option<String>,
}

impl State {
    /// The value of a variable: the environment comes before arguments.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        let own = self.image.config.variable(name).map(str::to_owned);
        own.or_else(|| {
            let args = self.args.iter().rev();
            args.filter(|(known, _)| known == name).map(|(_, value)| value.clone()).next()
        })
    }

    pub(crate) fn word(&self, text: &str, escape: char) -> Result<String, String> {
        let env: Env<'_> = &|name| self.variable(name);
        expand_word(text, escape, env)
    }

    pub(crate) fn words(&self, text: &str, escape: char) -> Result<Vec<String>, String> {
        let env: Env<'_> = &|name| self.variable(name);
        expand_words(text, escape, env)
    }

    pub(crate) fn declare(&mut self, name: &str, value: String) {
        self.args.retain(|(known, _)| known != name);
        self.args.push((name.to_owned(), value));
    }

    /// The environment of a command: that of the image, and arguments that it does not hide.
    pub(crate) fn env(&self) -> Vec<String> {
        let mut env = self.image.config.env.clone();
        for (name, value) in &self.args {
            if self.image.config.variable(name).is_none() {
                env.push(format!("{name}={value}"));
            }
        }
        if !env.iter().any(|pair| pair.starts_with("PATH=")) {
            env.push(format!("PATH={}", leme_dockerfile::image::PATH));
        }
        env
    }

    /// How history tells a command: with the arguments that it could see.
    pub(crate) fn told(&self, words: &[String]) -> String {
        let line = words.join(" ");
        match self.args.is_empty() {
            true => format!("RUN {line}"),
            false => {
                let mut args = self.args.clone();
                args.sort();
                let args: Vec<String> =
                    args.iter().map(|(name, value)| format!("{name}={value}")).collect();
                format!("RUN |{} {} {line}", args.len(), args.join(" "))
            }
        }
    }

    /// Remembers a step; times are filled in at the end.
    pub(crate) fn tell(&mut self, what: String, layer: Option<(BuiltLayer, String)>) {
        let (empty_layer, created) = match layer {
            Some((layer, created)) => {
                self.image.rootfs.diff_ids.push(layer.diff_id.clone());
                self.layers.push(layer);
                self.created = Some(created.clone());
                (false, Some(created))
            }
            None => (true, self.created.clone()),
        };
        self.image.history.push(History {
            created,
            created_by: what,
            comment: "leme".to_owned(),
            empty_layer,
            ..History::default()
        });
    }
}
