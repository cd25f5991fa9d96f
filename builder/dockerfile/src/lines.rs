//! From text to instructions' lines: directives, comments, continuations, here-documents.
//!
//! Knows: where an instruction begins and ends. Refuses to know: what instructions there are, but for those that take
//! here-documents.

use crate::kind::Heredoc;
use crate::words::Lex;
use crate::{Wrong, split};

/// Bytes of one line at most, as docker has it.
const LINE: usize = 65535;
/// Bytes of a Dockerfile at most, and of its here-documents with it.
const FILE: usize = 8 << 20;

/// An instruction's text on one line, and the documents that follow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) number: usize,
    pub(crate) text: String,
    pub(crate) documents: Vec<Heredoc>,
}

/// What a file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lines {
    pub(crate) escape: char,
    pub(crate) lines: Vec<Line>,
}

/// Reads a file. With `escape` given it has no directives of its own (what `ONBUILD` kept is one instruction of another file).
pub(crate) fn read(bytes: &[u8], escape: Option<char>) -> Result<Lines, Wrong> {
    if bytes.len() > FILE {
        return Err(Wrong::at(0, format!("dockerfile greater than max allowed size of {FILE}")));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text =
        std::str::from_utf8(bytes).map_err(|_| Wrong::at(0, "the Dockerfile is no UTF-8"))?;
    let mut reader = Reader {
        rest: text.split_inclusive('\n'),
        number: 0,
        escape: escape.unwrap_or('\\'),
        directives: escape.is_none().then(Vec::new),
    };
    let mut lines = Vec::new();
    while let Some(line) = reader.instruction()? {
        lines.push(line);
    }
    match lines.is_empty() {
        true => Err(Wrong::at(0, "file with no instructions")),
        false => Ok(Lines { escape: reader.escape, lines }),
    }
}

struct Reader<'a> {
    rest: std::str::SplitInclusive<'a, char>,
    number: usize,
    escape: char,
    /// Those that were found, while there may be more.
    directives: Option<Vec<String>>,
}

impl<'a> Reader<'a> {
    /// The next line with its end.
    fn next(&mut self) -> Result<Option<&'a str>, Wrong> {
        let Some(line) = self.rest.next() else { return Ok(None) };
        self.number += 1;
        match line.len() > LINE {
            true => {
                let what = format!("dockerfile line greater than max allowed size of {LINE}");
                Err(Wrong::at(self.number, what))
            }
            false => Ok(Some(line)),
        }
    }

    fn instruction(&mut self) -> Result<Option<Line>, Wrong> {
        loop {
            let Some(raw) = self.next()? else { return Ok(None) };
            let line = raw.trim_end_matches(['\r', '\n']).trim_start();
            self.directive(line)?;
            if line.starts_with('#') {
                continue;
            }
            let number = self.number;
            let (first, mut ends) = continued(line, self.escape);
            if ends && first.is_empty() {
                continue;
            }
            let mut text = first.to_owned();
            while !ends {
                let Some(raw) = self.next()? else { break };
                let line = raw.trim_end_matches(['\r', '\n']);
                if line.trim().is_empty() || line.trim_start().starts_with('#') {
                    continue;
                }
                let (more, end) = continued(line, self.escape);
                text.push_str(more);
                ends = end;
            }
            let documents = self.documents(&text, number)?;
            return Ok(Some(Line { number, text, documents }));
        }
    }

    fn directive(&mut self, line: &str) -> Result<(), Wrong> {
        let Some(found) = &mut self.directives else { return Ok(()) };
        let parsed = line.strip_prefix('#').and_then(|line| line.split_once('='));
        let parsed = parsed.map(|(key, value)| (key.trim().to_ascii_lowercase(), value.trim()));
        match parsed {
            Some((key, value))
                if matches!(key.as_str(), "syntax" | "escape" | "check") && !value.is_empty() =>
            {
                if found.contains(&key) {
                    let what = format!("only one {key} parser directive can be used");
                    return Err(Wrong::at(self.number, what));
                }
                if key == "escape" {
                    self.escape = match value {
                        "\\" => '\\',
                        "`" => '`',
                        other => {
                            let what =
                                format!("invalid escape token '{other}' does not match ` or \\");
                            return Err(Wrong::at(self.number, what));
                        }
                    };
                }
                found.push(key);
            }
            _ => self.directives = None,
        }
        Ok(())
    }

    /// The documents that an instruction announces.
    fn documents(&mut self, text: &str, number: usize) -> Result<Vec<Heredoc>, Wrong> {
        if !text.contains("<<") || !takes_documents(text, self.escape) {
            return Ok(Vec::new());
        }
        let mut documents = Vec::new();
        for mut document in announced(text).map_err(|what| Wrong::at(number, what))? {
            loop {
                let Some(line) = self.next()? else {
                    return Err(Wrong::at(number, "unterminated heredoc"));
                };
                let mut end = line.trim_end_matches(['\r', '\n']);
                if document.chomp {
                    end = end.trim_start_matches('\t');
                }
                if end == document.name {
                    break;
                }
                document.text.push_str(line);
            }
            documents.push(document);
        }
        Ok(documents)
    }
}

/// A line without the escape at its end, and whether it ends the instruction. An escaped escape is none.
fn continued(line: &str, escape: char) -> (&str, bool) {
    let trimmed = line.trim_end_matches([' ', '\t']);
    match trimmed.strip_suffix(escape) {
        Some(rest) if !rest.ends_with(escape) => (rest, false),
        _ => (line, true),
    }
}

fn takes_documents(text: &str, escape: char) -> bool {
    let (mut word, _, mut rest) = split::split_command(text, escape);
    if word.eq_ignore_ascii_case("ONBUILD") {
        (word, _, rest) = split::split_command(&rest, escape);
    }
    let is_json = || matches!(split::json(&rest), split::Json::Strings(_));
    ["ADD", "COPY", "RUN"].iter().any(|name| word.eq_ignore_ascii_case(name)) && !is_json()
}

fn announced(text: &str) -> Result<Vec<Heredoc>, String> {
    let lex = Lex { raw_quotes: true, raw_escapes: true, keep_unset: true, ..Lex::plain('\\') };
    // What is no words for us may be some for the shell.
    let words = lex.words(text, &|_| None).unwrap_or_default();
    let mut found = Vec::new();
    for word in words {
        found.extend(heredoc(&word)?);
    }
    Ok(found)
}

/// A word that announces a document: `<<EOF`, `3<<-"EOF"`.
pub(crate) fn heredoc(word: &str) -> Result<Option<Heredoc>, String> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit());
    let Some(rest) = rest.strip_prefix("<<") else { return Ok(None) };
    let (chomp, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let rest = rest.trim_start();
    if rest.is_empty() || rest.contains('<') {
        return Ok(None);
    }
    let lex = Lex { keep_unset: true, ..Lex::plain('\\') };
    let plain = lex.words(rest, &|_| None)?;
    let [name] = plain.as_slice() else { return Ok(None) };
    let raw = Lex { raw_quotes: true, ..lex }.words(rest, &|_| None)?;
    let quotes = |text: &str| text.matches(['\'', '"']).count();
    let expand = raw.first().is_some_and(|raw| quotes(raw) == quotes(name));
    Ok(Some(Heredoc { name: name.clone(), expand, chomp, text: String::new() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(file: &str) -> Vec<String> {
        read(file.as_bytes(), None).unwrap().lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn continuations_and_comments() {
        for (file, expected) in [
            ("FROM a\n# x\n  RUN b \\\n# in between\n\n  c\n", vec!["FROM a", "RUN b   c"]),
            ("FROM a\nRUN a\\\\\nRUN b", vec!["FROM a", "RUN a\\\\", "RUN b"]),
            ("# escape=`\nFROM a\nRUN b `\n c\\", vec!["FROM a", "RUN b  c\\"]),
            ("\u{feff}FROM a\r\nRUN b\\\r\nc\r\n", vec!["FROM a", "RUN bc"]),
            ("#syntax=docker/dockerfile:1\n# escape = `\nFROM a`\nb", vec!["FROM ab"]),
            ("# a comment\n# escape=`\nFROM a\\\nb", vec!["FROM ab"]),
            ("RUN a \\", vec!["RUN a "]),
        ] {
            assert_eq!(texts(file), expected, "{file:?}");
        }
    }

    #[test]
    fn documents_follow_their_instruction() {
        let file =
            "RUN <<EOF\n# no comment\nx \\\nEOF\nCOPY <<-\"A\" <<B /x/\n\t$a\n\tA\nb\nB\nCMD <<X\n";
        let lines = read(file.as_bytes(), None).unwrap().lines;
        let documents: Vec<_> = lines
            .iter()
            .flat_map(|line| &line.documents)
            .map(|d| (d.name.as_str(), d.text.as_str(), d.expand, d.chomp))
            .collect();
        assert_eq!(
            documents,
            [
                ("EOF", "# no comment\nx \\\n", true, false),
                ("A", "\t$a\n", false, true),
                ("B", "b\n", true, false)
            ]
        );
        assert_eq!(lines[2].number, 10);
    }

    #[test]
    fn what_is_wrong_has_a_line() {
        let long = "RUN ".to_owned() + &"x".repeat(70_000);
        for (file, wrong) in [
            ("", "file with no instructions"),
            ("# only a comment\n", "file with no instructions"),
            (
                "# escape=x\nFROM a",
                "dockerfile parse error on line 1: invalid escape token 'x' does not match ` or \\",
            ),
            (
                "# escape=`\n# escape=`\nFROM a",
                "dockerfile parse error on line 2: only one escape parser directive can be used",
            ),
            ("FROM a\nRUN <<E\nx\n", "dockerfile parse error on line 2: unterminated heredoc"),
            (
                long.as_str(),
                "dockerfile parse error on line 1: dockerfile line greater than max allowed size of 65535",
            ),
        ] {
            assert_eq!(read(file.as_bytes(), None).unwrap_err().to_string(), wrong);
        }
        assert!(read(b"FROM \xff", None).is_err());
        assert!(read(&vec![b'\n'; FILE + 1], None).is_err());
    }
}
