//! What the pod is to do, as `$BUILD` says it.
//!
//! Knows: where each wish stands in a build. Refuses to know: how it is fulfilled.

use std::path::{Component, Path, PathBuf};

use serde_json::Value;

/// The directory that the containers share.
pub(crate) const WORK: &str = "/tmp/build";
/// Variables whose values come from Secrets and ConfigMaps, each with its number in the strategy's list.
const VALUE: &str = "BUILD_VALUE_";

/// A build.
pub(crate) struct Task {
    /// All of it.
    pub(crate) build: Value,
    /// Where the containers meet.
    pub(crate) work: PathBuf,
    /// The variables of its strategy, with their values.
    pub(crate) env: Vec<(String, String)>,
}

impl Task {
    /// Reads `$BUILD` and what belongs to it.
    pub(crate) fn of_environment(var: &dyn Fn(&str) -> Option<String>) -> Result<Task, String> {
        let text = var("BUILD").ok_or("BUILD is not set: this runs in the pod of a build")?;
        let build: Value =
            serde_json::from_str(&text).map_err(|error| format!("BUILD is no build: {error}"))?;
        let mut task = Task { build, work: PathBuf::from(WORK), env: Vec::new() };
        let (_, strategy) = task.strategy();
        task.env = values(list(strategy, "/env"), var);
        Ok(task)
    }

    pub(crate) fn text(&self, pointer: &str) -> &str {
        text(&self.build, pointer)
    }

    pub(crate) fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    pub(crate) fn namespace(&self) -> &str {
        self.text("/metadata/namespace")
    }

    pub(crate) fn list(&self, pointer: &str) -> &[Value] {
        list(&self.build, pointer)
    }

    /// Its strategy, by its field.
    pub(crate) fn strategy(&self) -> (&'static str, &Value) {
        let of = |field: &'static str| {
            let found = self.build.pointer("/spec/strategy")?.get(field)?;
            (!found.is_null()).then_some((field, found))
        };
        ["dockerStrategy", "sourceStrategy"]
            .into_iter()
            .find_map(of)
            .unwrap_or(("dockerStrategy", &Value::Null))
    }

    /// Whether the strategy wishes something.
    pub(crate) fn wishes(&self, field: &str) -> bool {
        self.strategy().1.get(field).and_then(Value::as_bool) == Some(true)
    }

    /// Where the input is.
    pub(crate) fn inputs(&self) -> PathBuf {
        self.work.join("inputs")
    }

    /// The directory of the input that is built; `None` if it is said to be out of it.
    pub(crate) fn context(&self) -> Option<PathBuf> {
        within(&self.inputs(), self.text("/spec/source/contextDir"))
    }

    /// Where the Dockerfile is in that directory.
    pub(crate) fn dockerfile(&self) -> PathBuf {
        let path = text(self.strategy().1, "/dockerfilePath");
        PathBuf::from(if path.is_empty() { "Dockerfile" } else { path })
    }
}

/// A path below a directory, unless it leads out of it.
pub(crate) fn within(base: &Path, relative: &str) -> Option<PathBuf> {
    let mut path = base.to_owned();
    for part in Path::new(relative).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

/// A text at a JSON pointer, empty where there is none.
pub(crate) fn text<'a>(of: &'a Value, pointer: &str) -> &'a str {
    of.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

/// A list at a JSON pointer, empty where there is none.
pub(crate) fn list<'a>(of: &'a Value, pointer: &str) -> &'a [Value] {
    of.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Variables with their values: what refers to earlier ones is expanded, as in a pod.
fn values(list: &[Value], var: &dyn Fn(&str) -> Option<String>) -> Vec<(String, String)> {
    let mut known: Vec<(String, String)> = Vec::new();
    for (number, one) in list.iter().enumerate() {
        let value = match one.get("valueFrom").filter(|from| !from.is_null()) {
            Some(_) => var(&format!("{VALUE}{number}")).unwrap_or_default(),
            None => expanded(text(one, "/value"), &known),
        };
        known.retain(|(name, _)| name != text(one, "/name"));
        known.push((text(one, "/name").to_owned(), value));
    }
    known
}

/// A text with `$(NAME)` replaced; `$$` is a dollar, and what is not known stays.
fn expanded(text: &str, known: &[(String, String)]) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) =
            rest.strip_prefix('(').and_then(|inner| inner.split_once(')'))
        {
            match known.iter().find(|(own, _)| own == name) {
                Some((_, value)) => out.push_str(value),
                None => out.push_str(&format!("$({name})")),
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(build: &str, vars: &[(&str, &str)]) -> Task {
        let all = |name: &str| match name {
            "BUILD" => Some(build.to_owned()),
            _ => vars.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned()),
        };
        Task::of_environment(&all).unwrap()
    }

    #[test]
    fn variables_have_their_values() {
        let task = task(
            r#"{"spec": {"strategy": {"dockerStrategy": {"env": [
                {"name": "A", "value": "1"}, {"name": "B", "value": "$(A)-$(C)-$$(A)-$"},
                {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                {"name": "A", "value": "2"}]}}}}"#,
            &[("BUILD_VALUE_2", "quiet")],
        );
        let wanted = [("B", "1-$(C)-$(A)-$"), ("S", "quiet"), ("A", "2")];
        let wanted = wanted.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(task.env, wanted);
    }

    #[test]
    fn no_directory_is_out_of_the_input() {
        let context = |dir: &str| {
            task(&format!(r#"{{"spec": {{"source": {{"contextDir": "{dir}"}}}}}}"#), &[]).context()
        };
        assert_eq!(context("a/./b"), Some(PathBuf::from("/tmp/build/inputs/a/b")));
        assert_eq!(context("/a"), Some(PathBuf::from("/tmp/build/inputs/a")));
        assert_eq!(context("a/../../b"), None);
        assert_eq!(context(""), Some(PathBuf::from("/tmp/build/inputs")));
    }

    #[test]
    fn what_is_no_build_is_refused() {
        let none = |_: &str| None;
        assert!(Task::of_environment(&none).is_err());
        assert!(Task::of_environment(&|_| Some("[".to_owned())).is_err());
    }
}
