//! Cgroups of containers and pods, version 1 controllers and version 2 alike.
//!
//! Knows: the cgroup file systems. Refuses to know: limits (the OCI spec carries them to the runtime).

mod tree;
mod usage;
mod view;

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::fs::{AtFlags, Mode, OFlags, openat, unlinkat};

use tree::{read_in, subdirectories, walk};
pub use usage::{GroupUsage, MemoryUsage};
pub(crate) use view::mount_view;

pub(crate) const ROOT: &str = "/sys/fs/cgroup";
/// How long killed processes are waited for.
const KILL_PATIENCE: Duration = Duration::from_secs(5);
/// Processes that an error names at most.
const NAMED: usize = 8;

/// How the machine's cgroups are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One tree (version 2).
    Unified,
    /// A tree per controller (version 1), with or without an extra version 2 tree that limits nothing.
    PerController,
}

/// The layout of this machine.
pub fn layout() -> Layout {
    match rustix::fs::statfs(ROOT) {
        Ok(stat) if stat.f_type as u64 == libc::CGROUP2_SUPER_MAGIC as u64 => Layout::Unified,
        _ => Layout::PerController,
    }
}

/// Whether this machine lets us limit by this controller (`cpu`, `memory`, ...).
pub fn has_controller(name: &str) -> bool {
    match layout() {
        Layout::Unified => fs::read_to_string(Path::new(ROOT).join("cgroup.controllers"))
            .is_ok_and(|list| list.split_whitespace().any(|controller| controller == name)),
        Layout::PerController => Path::new(ROOT).join(name).is_dir(),
    }
}

/// One cgroup path, in every tree that has it.
#[derive(Clone, Debug)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// `path` is relative to the root of each tree; a leading slash is fine, `..` is refused.
    pub fn new(path: &str) -> io::Result<Cgroup> {
        let path = PathBuf::from(path.trim_start_matches('/'));
        let plain = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if !plain || path.as_os_str().is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("bad cgroup path {}", path.display()),
            ));
        }
        Ok(Cgroup { path })
    }

    /// The directories of this cgroup that exist.
    pub fn directories(&self) -> Vec<PathBuf> {
        let roots = match layout() {
            Layout::Unified => vec![PathBuf::from(ROOT)],
            Layout::PerController => trees(),
        };
        roots
            .into_iter()
            .map(|root| root.join(&self.path))
            .filter(|directory| directory.is_dir())
            .collect()
    }

    fn controller(&self, name: &str) -> PathBuf {
        match layout() {
            Layout::Unified => Path::new(ROOT).join(&self.path),
            Layout::PerController => Path::new(ROOT).join(name).join(&self.path),
        }
    }

    /// Puts a process into the cgroup, which is made where it is missing.
    pub fn join(&self, pid: i32) -> io::Result<()> {
        let controllers: &[&str] = match layout() {
            Layout::Unified => &[""],
            Layout::PerController => &["pids", "memory", "cpu", "freezer"],
        };
        for name in controllers.iter().filter(|name| Path::new(ROOT).join(name).is_dir()) {
            let directory = self.controller(name);
            fs::create_dir_all(&directory)?;
            fs::write(directory.join("cgroup.procs"), pid.to_string())?;
        }
        Ok(())
    }

    /// Sets what part of the CPU the cgroup gets beside its neighbours, in version 1's unit.
    pub fn set_cpu_shares(&self, shares: u64) -> io::Result<()> {
        let shares = shares.clamp(2, 262_144);
        let (file, value) = match layout() {
            Layout::Unified => ("cpu.weight", 1 + (shares - 2) * 9999 / 262_142),
            Layout::PerController => ("cpu.shares", shares),
        };
        fs::write(self.controller("cpu").join(file), value.to_string())
    }

    /// Processes in the cgroup and below it.
    pub fn processes(&self) -> Vec<i32> {
        let mut pids: Vec<i32> =
            self.directories().iter().flat_map(|directory| processes_below(directory)).collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// Sends a signal to every process in the cgroup and below it, and lets frozen ones run: they take no signal in.
    pub fn signal_all(&self, signal: Signal) {
        let at_once = signal == Signal::SIGKILL
            && layout() == Layout::Unified
            && fs::write(self.controller("").join("cgroup.kill"), "1").is_ok();
        if !at_once {
            for pid in self.processes() {
                let _ = kill(Pid::from_raw(pid), signal);
            }
        }
        // In this order: what is killed while it is frozen does nothing of its own any more.
        self.thaw();
    }

    /// Lets everything in the cgroup and below it run that was frozen, whoever did that.
    pub fn thaw(&self) {
        self.directories().iter().for_each(|directory| set_frozen(directory, false));
    }

    /// Kills every process in the cgroup and waits, with a bound, until none is left. The error names what is.
    pub fn kill_all(&self) -> io::Result<()> {
        match kill_groups(std::slice::from_ref(self)).pop() {
            None => Ok(()),
            Some(left) => Err(io::Error::new(io::ErrorKind::TimedOut, left)),
        }
    }

    /// Whether any tree has this cgroup.
    pub fn exists(&self) -> bool {
        !self.directories().is_empty()
    }

    /// Lets at most so many processes and threads run in the cgroup and below it; makes the cgroup where it is missing.
    pub fn limit_processes(&self, most: u64) -> io::Result<()> {
        fs::write(self.controlled("pids")?.join("pids.max"), most.to_string())
    }

    /// Lets the cgroup and those below it use so many bytes of memory; makes the cgroup where it is missing.
    pub fn limit_memory(&self, bytes: i64) -> io::Result<()> {
        let file = match layout() {
            Layout::Unified => "memory.max",
            Layout::PerController => "memory.limit_in_bytes",
        };
        fs::write(self.controlled("memory")?.join(file), bytes.to_string())
    }

    /// Lets the cgroup and those below it use the CPU for so many microseconds of each period; makes the cgroup where it
    /// is missing.
    pub fn limit_cpu(&self, quota: i64, period: u64) -> io::Result<()> {
        let directory = self.controlled("cpu")?;
        match layout() {
            Layout::Unified => fs::write(directory.join("cpu.max"), format!("{quota} {period}")),
            Layout::PerController => {
                fs::write(directory.join("cpu.cfs_period_us"), period.to_string())?;
                fs::write(directory.join("cpu.cfs_quota_us"), quota.to_string())
            }
        }
    }

    /// The cgroup's directory of a controller, made where it is missing, in which the controller is at work.
    fn controlled(&self, controller: &str) -> io::Result<PathBuf> {
        let directory = self.controller(controller);
        fs::create_dir_all(&directory)?;
        if layout() == Layout::Unified {
            let above = self.path.ancestors().skip(1).collect::<Vec<_>>();
            for part in above.into_iter().rev() {
                let file = Path::new(ROOT).join(part).join("cgroup.subtree_control");
                fs::write(file, format!("+{controller}"))?;
            }
        }
        Ok(directory)
    }

    /// Takes the right to use a character device away from the cgroup, where there is a list of them (version 1).
    pub fn deny_device(&self, major: u32, minor: u32) -> io::Result<()> {
        if layout() == Layout::Unified || !Path::new(ROOT).join("devices").is_dir() {
            return Ok(());
        }
        let file = self.controller("devices").join("devices.deny");
        fs::write(file, format!("c {major}:{minor} rwm"))
    }

    /// How many times the kernel killed a process of this cgroup for memory.
    pub fn oom_kills(&self) -> u64 {
        let file = match layout() {
            Layout::Unified => "memory.events",
            Layout::PerController => "memory.oom_control",
        };
        let text = fs::read_to_string(self.controller("memory").join(file)).unwrap_or_default();
        counter(&text, "oom_kill")
    }

    /// Removes the cgroup and those below it from every tree. Just ended processes keep a cgroup busy for a moment, so
    /// this tries again a few times.
    pub fn remove(&self) -> io::Result<()> {
        let mut result = Ok(());
        for directory in self.directories() {
            if let Err(error) = remove_patiently(&directory) {
                result = Err(error);
            }
        }
        result
    }

    /// Removes the cgroup if nothing is in it, without waiting.
    pub fn remove_if_empty(&self) {
        for directory in self.directories() {
            let _ = fs::remove_dir(directory);
        }
    }

    /// Names of the cgroups right below this one, in any tree.
    pub fn children(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .directories()
            .iter()
            .filter_map(|directory| tree::open(directory).ok())
            .flat_map(|directory| subdirectories(&directory).unwrap_or_default())
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// The cgroup with the first of its processes, for an error.
    fn describe(&self) -> String {
        let pids = self.processes();
        let mut names: Vec<String> = pids.iter().take(NAMED).map(|pid| name_of(*pid)).collect();
        if pids.len() > NAMED {
            names.push(format!("{} more", pids.len() - NAMED));
        }
        format!("processes remain in cgroup /{}: {}", self.path.display(), names.join(", "))
    }

    /// The path, with a leading slash.
    pub fn path(&self) -> String {
        format!("/{}", self.path.display())
    }

    /// The cgroup `name` below this one.
    pub fn child(&self, name: &str) -> io::Result<Cgroup> {
        Cgroup::new(&format!("{}/{name}", self.path.display()))
    }
}

/// Kills every process of these cgroups side by side, with one bound for all. What is left: a line for each cgroup that
/// names some of its processes.
pub fn kill_groups(groups: &[Cgroup]) -> Vec<String> {
    let until = Instant::now() + KILL_PATIENCE;
    let mut alive: Vec<&Cgroup> = groups.iter().collect();
    for round in 0u64.. {
        alive.retain(|group| !group.processes().is_empty());
        if alive.is_empty() || Instant::now() > until {
            break;
        }
        for group in &alive {
            // What multiplies faster than it can be counted stands still while it is.
            if round > 3 && layout() == Layout::PerController {
                group.directories().iter().for_each(|directory| set_frozen(directory, true));
            }
            group.signal_all(Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis((round + 1).min(20)));
    }
    alive.into_iter().map(Cgroup::describe).collect()
}

/// Names of the version 1 trees that this machine has; none where there is one tree for all.
pub fn tree_names() -> Vec<String> {
    match layout() {
        Layout::Unified => Vec::new(),
        Layout::PerController => trees()
            .iter()
            .filter_map(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()))
            .collect(),
    }
}

/// Freezes a cgroup, or lets it and those below it run, where its tree can do that.
fn set_frozen(directory: &Path, frozen: bool) {
    let words = if frozen { ("FROZEN", "1") } else { ("THAWED", "0") };
    let set = |directory: &OwnedFd| {
        for (file, word) in [("freezer.state", words.0), ("cgroup.freeze", words.1)] {
            // A cgroup that went meanwhile holds nothing.
            if let Ok(file) =
                openat(directory, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
            {
                let _ = rustix::io::write(&file, word.as_bytes());
            }
        }
    };
    if frozen {
        let _ = tree::open(directory).map(|own| set(&own));
    } else {
        let _ = walk(directory, set, |_, _| Ok(()));
    }
}

/// A process as errors name it.
fn name_of(pid: i32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    format!("{pid} ({})", name.trim())
}

/// Roots of the version 1 trees. Symbolic links (`cpuacct` to `cpu,cpuacct`) are other names of the same tree.
fn trees() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(ROOT) else { return Vec::new() };
    entries
        .flatten()
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .map(|e| e.path())
        .collect()
}

fn processes_below(directory: &Path) -> Vec<i32> {
    let mut pids = Vec::new();
    let enter = |directory: &OwnedFd| {
        let text = read_in(directory, "cgroup.procs");
        let found = text.lines().filter_map(|line| line.parse::<i32>().ok());
        pids.extend(found.filter(|pid| *pid > 0));
    };
    // What cannot be read has gone.
    let _ = walk(directory, enter, |_, _| Ok(()));
    pids
}

fn remove_patiently(directory: &Path) -> io::Result<()> {
    walk(
        directory,
        |_| {},
        |parent, name| patiently(|| unlinkat(parent, name, AtFlags::REMOVEDIR).map_err(Into::into)),
    )?;
    patiently(|| fs::remove_dir(directory))
}

/// Tries a removal again while it finds the cgroup busy. Absent is fine.
fn patiently(mut remove: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    let mut last = Ok(());
    for round in 0..8u32 {
        last = match remove() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        };
        match &last {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                std::thread::sleep(Duration::from_millis(1 << round));
            }
            _ => return last,
        }
    }
    last
}

fn counter(text: &str, name: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(key, _)| *key == name)
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_paths_that_climb() {
        for bad in ["", "/", "../x", "a/../../b", "a/./../b"] {
            assert!(Cgroup::new(bad).is_err(), "{bad}");
        }
        assert!(Cgroup::new("/leme/pod1/c").is_ok());
    }

    #[test]
    fn reads_both_kinds_of_oom_counter() {
        assert_eq!(counter("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n", "oom_kill"), 2);
        assert_eq!(
            counter("low 0\nhigh 0\nmax 5\noom 1\noom_kill 1\noom_group_kill 0\n", "oom_kill"),
            1
        );
        assert_eq!(counter("", "oom_kill"), 0);
    }

    /// Red when the thaw is taken out of `signal_all`: a frozen process takes no SIGKILL in.
    #[test]
    fn kills_what_froze_itself() {
        let parent = Cgroup::new(&format!("leme-test-frozen-{}", std::process::id())).unwrap();
        let group = parent.child("own").unwrap();
        let Some(tree) = ["freezer", ""].iter().map(|name| group.controller(name)).find(|path| {
            fs::create_dir_all(path).is_ok()
                && ["freezer.state", "cgroup.freeze"].iter().any(|file| path.join(file).exists())
        }) else {
            panic!("this machine can freeze nothing: mount the freezer tree or cgroup2");
        };
        let mut child = std::process::Command::new("sleep").arg("601").spawn().unwrap();
        fs::write(tree.join("cgroup.procs"), child.id().to_string()).unwrap();
        set_frozen(&tree, true);
        let reaper = std::thread::spawn(move || child.wait().unwrap());
        let ended = parent.kill_all();
        parent.thaw();
        assert!(ended.is_ok(), "{ended:?}");
        assert!(!reaper.join().unwrap().success());
        parent.remove().unwrap();
    }

    #[test]
    fn names_what_is_left() {
        let group = Cgroup::new(&format!("leme-test-named-{}", std::process::id())).unwrap();
        let directory = group.controller("pids");
        fs::create_dir_all(&directory).unwrap();
        let mut child = std::process::Command::new("sleep").arg("602").spawn().unwrap();
        fs::write(directory.join("cgroup.procs"), child.id().to_string()).unwrap();
        let text = group.describe();
        assert!(text.contains(&group.path()) && text.contains("(sleep)"), "{text}");
        let reaper = std::thread::spawn(move || child.wait().unwrap());
        group.kill_all().unwrap();
        reaper.join().unwrap();
        group.remove().unwrap();
    }

    /// Red when cgroups are found by path: it becomes too long, a process is not seen and nothing is removed.
    #[test]
    fn depth_has_no_bound() {
        let group = Cgroup::new(&format!("leme-test-deep-{}", std::process::id())).unwrap();
        let directory = group.controller("pids");
        fs::create_dir_all(&directory).unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut at = rustix::fs::open(&directory, flags, Mode::empty()).unwrap();
        let name = "d".repeat(250);
        for _ in 0..30 {
            rustix::fs::mkdirat(&at, &name, Mode::RWXU).unwrap();
            at = openat(&at, &name, flags, Mode::empty()).unwrap();
        }
        let mut child = std::process::Command::new("sleep").arg("603").spawn().unwrap();
        let pid = child.id();
        let procs = openat(&at, "cgroup.procs", OFlags::WRONLY, Mode::empty()).unwrap();
        rustix::io::write(&procs, pid.to_string().as_bytes()).unwrap();
        assert_eq!(group.processes(), vec![pid as i32]);
        let reaper = std::thread::spawn(move || child.wait().unwrap());
        group.kill_all().unwrap();
        reaper.join().unwrap();
        group.remove().unwrap();
        assert!(!group.exists());
    }

    #[test]
    fn kills_and_removes() {
        let name = format!("leme-test-{}", std::process::id());
        let parent = Cgroup::new(&name).unwrap();
        let group = parent.child("inner").unwrap();
        let directory = group.controller("pids");
        fs::create_dir_all(&directory).unwrap();
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        fs::write(directory.join("cgroup.procs"), child.id().to_string()).unwrap();
        assert_eq!(parent.processes(), vec![child.id() as i32]);
        assert_eq!(parent.children(), vec!["inner".to_owned()]);
        // The child must be reaped for the cgroup to become empty.
        let reaper = std::thread::spawn(move || child.wait().unwrap());
        group.kill_all().unwrap();
        assert!(!reaper.join().unwrap().success());
        parent.remove().unwrap();
        assert!(parent.directories().is_empty());
    }
}
