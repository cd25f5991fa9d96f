//! Stands in for `protoc` while Leme is built, so that nobody has to install it: reads `.proto` files, writes them as one
//! descriptor set.
//!
//! Knows: the few arguments that prost-build passes. Refuses any other, by name: it is no protoc for people.

use std::path::PathBuf;
use std::process::ExitCode;

use prost::Message;
use protox::Compiler;

/// What is asked for on the command line.
#[derive(Debug, Default, PartialEq)]
struct Asked {
    out: PathBuf,
    includes: Vec<PathBuf>,
    files: Vec<PathBuf>,
    imports: bool,
    source_info: bool,
}

fn main() -> ExitCode {
    match parse(std::env::args().skip(1)).and_then(|asked| compile(&asked)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("leme-protoc: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut asked = Asked::default();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "-o" => asked.out = value()?.into(),
            "-I" => asked.includes.push(value()?.into()),
            "--include_imports" => asked.imports = true,
            "--include_source_info" => asked.source_info = true,
            flag if flag.starts_with('-') => return Err(format!("no flag {flag} here")),
            _ => asked.files.push(word.into()),
        }
    }
    if asked.out.as_os_str().is_empty() || asked.files.is_empty() {
        return Err("usage: leme-protoc -o OUT [-I DIR]... FILE.proto...".to_owned());
    }
    Ok(asked)
}

fn compile(asked: &Asked) -> Result<(), String> {
    let mut compiler = Compiler::new(&asked.includes).map_err(|error| format!("{error:?}"))?;
    compiler.include_imports(asked.imports).include_source_info(asked.source_info);
    compiler.open_files(&asked.files).map_err(|error| format!("{error:?}"))?;
    let set = compiler.file_descriptor_set().encode_to_vec();
    std::fs::write(&asked.out, set).map_err(|error| format!("{}: {error}", asked.out.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &str) -> Result<Asked, String> {
        parse(words.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn the_arguments_of_prost_build_are_known_and_no_others() {
        let known =
            asked("--include_imports --include_source_info -o out -I proto a.proto b.proto");
        let (imports, source_info) = (true, true);
        let includes = vec!["proto".into()];
        let files = vec!["a.proto".into(), "b.proto".into()];
        assert_eq!(known, Ok(Asked { out: "out".into(), includes, files, imports, source_info }));
        assert_eq!(asked("--go_out=. a.proto"), Err("no flag --go_out=. here".to_owned()));
        assert!(asked("-o").unwrap_err().contains("needs a value"));
        assert!(asked("a.proto").unwrap_err().starts_with("usage"));
    }

    /// Red when imports are left out of the set: prost would then not find the imported type.
    #[test]
    fn a_set_holds_the_files_and_what_they_import() {
        let folder = std::env::temp_dir().join(format!("leme-protoc-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
        write("ship.proto", "syntax = \"proto3\"; package sea; message Ship { int32 masts = 1; }");
        write(
            "fleet.proto",
            "syntax = \"proto3\"; package sea; import \"ship.proto\"; \
             message Fleet { repeated Ship ships = 1; } service Port { rpc Dock(Ship) returns (Fleet); }",
        );
        let asked = Asked {
            out: folder.join("set"),
            includes: vec![folder.clone()],
            files: vec![folder.join("fleet.proto")],
            imports: true,
            source_info: false,
        };
        compile(&asked).unwrap();
        let set = std::fs::read(folder.join("set")).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        let text = String::from_utf8_lossy(&set);
        for name in ["ship.proto", "fleet.proto", "Ship", "Fleet", "Dock", ".sea.Ship"] {
            assert!(text.contains(name), "{name} is not in the set");
        }
    }
}
