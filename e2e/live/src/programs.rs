//! Programs as a test starts them: with their output caught and a time to be done in.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a program may take unless the test says otherwise.
const PATIENCE: Duration = Duration::from_secs(120);

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    /// Exit code, -1 for a signal.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    shown: String,
}

impl Finished {
    /// The output, if the program did what it should.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}\n{}{}", self.shown, self.stdout, self.stderr);
        self.stdout
    }

    /// The error output, if the program failed with this code.
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "{}\n{}{}", self.shown, self.stdout, self.stderr);
        self.stderr
    }
}

/// A program to start.
pub struct Program(Command);

impl Program {
    /// A program by its path or name.
    pub fn new(program: impl AsRef<std::ffi::OsStr>) -> Program {
        Program(Command::new(program))
    }

    /// Adds arguments, split at spaces.
    pub fn words(mut self, words: &str) -> Program {
        self.0.args(words.split_whitespace());
        self
    }

    /// Adds one argument as it is.
    pub fn arg(mut self, arg: impl AsRef<std::ffi::OsStr>) -> Program {
        self.0.arg(arg);
        self
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: &str) -> Program {
        self.0.env(name, value);
        self
    }

    /// Runs it to its end with nothing on standard input.
    #[track_caller]
    pub fn run(self) -> Finished {
        self.run_with("")
    }

    /// Runs it to its end with a text on standard input.
    #[track_caller]
    pub fn run_with(mut self, input: &str) -> Finished {
        let shown = format!("{:?}", self.0);
        let mut child = self.spawn_piped(Stdio::piped());
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        let writer = thread::spawn(move || {
            use std::io::Write;
            // A program that does not read is free not to.
            let _ = stdin.write_all(input.as_bytes());
        });
        let stdout = read_all(child.stdout.take().unwrap());
        let stderr = read_all(child.stderr.take().unwrap());
        let code = wait(&mut child, &shown);
        writer.join().unwrap();
        Finished { code, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap(), shown }
    }

    /// Starts it; the caller ends it.
    pub fn spawn(mut self) -> Child {
        self.spawn_piped(Stdio::null())
    }

    /// Starts it with a standard input that nobody writes to, open as long as the child is held; the caller ends it.
    pub fn spawn_open(mut self) -> Child {
        self.spawn_piped(Stdio::piped())
    }

    fn spawn_piped(&mut self, stdin: Stdio) -> Child {
        let command = self.0.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap_or_else(|error| panic!("{:?}: {error}", self.0))
    }
}

fn read_all(mut source: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error is still worth showing.
        let _ = source.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn wait(child: &mut Child, shown: &str) -> i32 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return status.code().unwrap_or(-1),
            None if Instant::now() > deadline => {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("{shown} took longer than {}s", PATIENCE.as_secs());
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// The root of the source tree.
pub fn root() -> PathBuf {
    let mut path = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    path.pop();
    path.pop();
    path
}

/// A file of the target directory.
fn built(path: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let path = root().join(target).join(path);
    assert!(path.exists(), "{} is missing; build it: make build", path.display());
    path
}

/// The binary under test: the release build, or the one that LEME_BIN names.
pub fn leme() -> PathBuf {
    match std::env::var_os("LEME_BIN") {
        Some(path) => PathBuf::from(path),
        None => built("release/leme"),
    }
}

/// The sample image: the one that `make build` makes, or the one that LEME_IMAGE names.
pub fn sample_image() -> PathBuf {
    match std::env::var_os("LEME_IMAGE") {
        Some(path) => PathBuf::from(path),
        None => built("images/sample.tar"),
    }
}

/// Stock kubectl.
pub fn kubectl() -> PathBuf {
    tool("kubectl", "kubernetes-client")
}

/// A program of the machine, or the line that installs it.
pub fn tool(name: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")])
        .map(|folder| folder.join(name))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{name} is missing; install it: apt-get install {package}"))
}
