//! Seccomp profiles: what containers may ask of the kernel, by the runtime's default or by a file of the node.
//!
//! Knows: system call names, the form of a profile's file. Refuses to know: why a container needs a call, who may choose.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use oci_spec::runtime::LinuxSeccompAction::ScmpActNotify;
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArgBuilder, LinuxSeccompBuilder,
    LinuxSeccompOperator, LinuxSyscall, LinuxSyscallBuilder,
};
use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::{SecurityInput, SpecError};

/// Allowed for all. What is absent (mount, setns, bpf, kexec, modules, keyrings, clock setting, ...) answers EPERM.
const ALLOWED: &str = "accept accept4 access adjtimex alarm arch_prctl bind brk cachestat capget capset chdir chmod chown \
    chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep \
    clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 \
    epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit \
    exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown \
    fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 \
    fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv \
    futex_wake futimesat get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid getegid32 geteuid \
    geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority \
    getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname getsockopt gettid \
    gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch \
    io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set \
    ipc kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat listen \
    listmount listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack \
    membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 modify_ldt \
    mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 \
    mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep \
    newfstatat _newselect open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free \
    pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease process_vm_readv \
    process_vm_writev pselect6 pselect6_time64 ptrace pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv \
    recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename renameat renameat2 \
    restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend \
    rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min \
    sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 \
    sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop \
    semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list set_thread_area \
    set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid \
    setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid \
    setsockopt setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 \
    sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync \
    sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime \
    timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime \
    timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat \
    utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev";

/// Allowed with a capability.
const WITH_CAPABILITY: &[(&str, &str)] = &[
    ("DAC_READ_SEARCH", "open_by_handle_at"),
    (
        "SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules \
         lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname \
         sethostname setns syslog umount umount2 unshare",
    ),
    ("SYS_BOOT", "reboot"),
    ("SYS_CHROOT", "chroot"),
    ("SYS_MODULE", "delete_module finit_module init_module"),
    ("SYS_PACCT", "acct"),
    ("SYS_PTRACE", "kcmp pidfd_getfd process_madvise"),
    ("SYS_RAWIO", "ioperm iopl"),
    ("SYS_TIME", "clock_settime clock_settime64 settimeofday stime"),
    ("SYS_TTY_CONFIG", "vhangup"),
    ("SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    ("SYSLOG", "syslog"),
    ("BPF", "bpf"),
    ("PERFMON", "perf_event_open"),
];

/// Allowed besides, where a container makes others within its user namespace: by these calls the kernel does nothing that
/// reaches out of there. What only the machine's own root may do anyway stays away (modules, bpf, keyrings, clocks).
const NESTED: &str = "chroot clone clone3 fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree pivot_root \
    setdomainname sethostname setns umount umount2 unshare";

/// Flags of `clone` that make namespaces.
const CLONE_NAMESPACES: u64 = 0x7E02_0000;
const ENOSYS: u32 = 38;
const AF_VSOCK: u64 = 40;

/// Bytes of a profile's file at most.
const PROFILE_BYTES: u64 = 1 << 20;
/// Keys that are carried out, of a profile and of each of its rules. Others (`includes`, `archMap`, ...) narrow or widen
/// the rules, so leaving them out would make another profile of it.
const PROFILE_KEYS: &[&str] =
    &["defaultAction", "defaultErrnoRet", "architectures", "flags", "syscalls", "comment"];
const RULE_KEYS: &[&str] = &["names", "action", "errnoRet", "args", "comment"];

/// Reads the profile `name` below the directory `root`, never from outside of it.
///
/// # Errors
/// When there is none, or none that is carried out whole: the container must not run then.
pub fn read_profile(root: &Path, name: &str) -> Result<LinuxSeccomp, SpecError> {
    let wrong = |what: &dyn std::fmt::Display| {
        let path = root.join(name);
        SpecError::Invalid(format!("cannot load seccomp profile {path:?}: {what}"))
    };
    let bytes = read_below(root, name).map_err(|error| wrong(&error))?;
    if bytes.len() as u64 > PROFILE_BYTES {
        return Err(wrong(&"it is larger than 1 MiB"));
    }
    let text: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| wrong(&error))?;
    let rules = text["syscalls"].as_array().into_iter().flatten();
    let objects = std::iter::once((&text, PROFILE_KEYS)).chain(rules.map(|rule| (rule, RULE_KEYS)));
    for (object, known) in objects {
        let mut keys = object.as_object().into_iter().flatten().map(|(key, _)| key);
        if let Some(key) = keys.find(|key| !known.contains(&key.as_str())) {
            return Err(wrong(&format!("{key:?} is not supported")));
        }
    }
    let profile: LinuxSeccomp = serde_json::from_value(text).map_err(|error| wrong(&error))?;
    let rules = profile.syscalls().iter().flatten().map(LinuxSyscall::action);
    if std::iter::once(profile.default_action()).chain(rules).any(|a| a == ScmpActNotify) {
        return Err(wrong(&"SCMP_ACT_NOTIFY is not supported"));
    }
    Ok(profile)
}

fn read_below(root: &Path, name: &str) -> std::io::Result<Vec<u8>> {
    let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(root, directory, Mode::empty())?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let below = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let file = File::from(rustix::fs::openat2(&root, name, flags, Mode::empty(), below)?);
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    file.take(PROFILE_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The profile for a container with these capabilities.
pub(crate) fn default_profile(security: &SecurityInput) -> Result<LinuxSeccomp, SpecError> {
    let added = |name: &str| {
        security.add_capabilities.iter().any(|wanted| {
            let wanted = wanted.to_ascii_uppercase();
            let plain = wanted.strip_prefix("CAP_").unwrap_or(&wanted);
            plain == name || plain == "ALL"
        })
    };
    let dropped_all =
        security.drop_capabilities.iter().any(|name| name.eq_ignore_ascii_case("ALL"));
    let mut rules = vec![allow(ALLOWED)?];
    for (capability, calls) in WITH_CAPABILITY {
        let default = *capability == "SYS_CHROOT" && !dropped_all;
        if default || added(capability) {
            rules.push(allow(calls)?);
        }
    }
    rules.extend(by_argument()?);
    if !added("SYS_ADMIN") {
        let masked = LinuxSeccompOperator::ScmpCmpMaskedEq;
        rules.push(allow_when("clone", 0, CLONE_NAMESPACES, masked, Some(0))?);
        // The flags of clone3 are behind a pointer; programs fall back to clone when it does not exist.
        let refuse = LinuxSyscallBuilder::default()
            .names(vec!["clone3".to_owned()])
            .action(LinuxSeccompAction::ScmpActErrno)
            .errno_ret(ENOSYS)
            .build()?;
        rules.push(refuse);
    }
    profile(rules)
}

/// The profile for a container that makes others within its user namespace.
pub(super) fn nested_profile() -> Result<LinuxSeccomp, SpecError> {
    let mut rules = vec![allow(ALLOWED)?, allow(NESTED)?];
    rules.extend(by_argument()?);
    profile(rules)
}

/// What is allowed to all with some arguments.
fn by_argument() -> Result<Vec<LinuxSyscall>, SpecError> {
    let mut rules = vec![allow_when("socket", 0, AF_VSOCK, LinuxSeccompOperator::ScmpCmpNe, None)?];
    for persona in [0x0, 0x0008, 0x20000, 0x20008, 0xffff_ffff] {
        rules.push(allow_when("personality", 0, persona, LinuxSeccompOperator::ScmpCmpEq, None)?);
    }
    Ok(rules)
}

/// All else answers EPERM.
fn profile(rules: Vec<LinuxSyscall>) -> Result<LinuxSeccomp, SpecError> {
    let mut profile = LinuxSeccompBuilder::default()
        .default_action(LinuxSeccompAction::ScmpActErrno)
        .default_errno_ret(1u32)
        .architectures(architectures())
        .syscalls(rules)
        .build()?;
    profile.set_flags(None).set_listener_path(None).set_listener_metadata(None);
    Ok(profile)
}

fn architectures() -> Vec<Arch> {
    if cfg!(target_arch = "aarch64") {
        vec![Arch::ScmpArchAarch64, Arch::ScmpArchArm]
    } else {
        vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32]
    }
}

fn allow(calls: &str) -> Result<LinuxSyscall, SpecError> {
    let names: Vec<String> = calls.split_whitespace().map(str::to_owned).collect();
    Ok(LinuxSyscallBuilder::default()
        .names(names)
        .action(LinuxSeccompAction::ScmpActAllow)
        .build()?)
}

fn allow_when(
    call: &str,
    index: usize,
    value: u64,
    operator: LinuxSeccompOperator,
    second: Option<u64>,
) -> Result<LinuxSyscall, SpecError> {
    let mut argument = LinuxSeccompArgBuilder::default().index(index).value(value).op(operator);
    if let Some(second) = second {
        argument = argument.value_two(second);
    }
    Ok(LinuxSyscallBuilder::default()
        .names(vec![call.to_owned()])
        .action(LinuxSeccompAction::ScmpActAllow)
        .args(vec![argument.build()?])
        .build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty profile once meant "no filter" elsewhere (CVE-2023-2431). Red when `read_profile` forgives any of these.
    #[test]
    fn a_profile_is_read_whole_or_refused() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("seccomp");
        std::fs::create_dir_all(root.join("team")).unwrap();
        std::fs::write(directory.path().join("outside.json"), "{}").unwrap();
        let check = |name: &str, text: Option<&str>, wrong: Option<&str>| {
            if let Some(text) = text {
                std::fs::write(root.join(name), text).unwrap();
            }
            match (read_profile(&root, name), wrong) {
                (Ok(_), None) => {}
                (Err(SpecError::Invalid(message)), Some(wrong)) => {
                    assert!(message.contains(wrong), "{name}: {message}");
                    assert!(message.starts_with("cannot load seccomp profile"), "{message}");
                }
                (other, _) => panic!("{name}: {other:?}"),
            }
        };
        let rule = |extra: &str| {
            format!(
                r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                    {{"names": ["chmod"], "action": "SCMP_ACT_ERRNO"{extra}}}]}}"#
            )
        };
        check("team/good.json", Some(&rule("")), None);
        check("args.json", Some(&rule(r#", "args": [], "comment": "why""#)), None);
        check("", None, Some("No such file"));
        check("absent.json", None, Some("No such file"));
        check("team", None, Some("no file"));
        check("../outside.json", None, Some("cross-device"));
        check("/etc/passwd", None, Some("cross-device"));
        check("empty.json", Some(""), Some("EOF"));
        check("object.json", Some("{}"), Some("defaultAction"));
        check("list.json", Some("[]"), Some("invalid"));
        check(
            "includes.json",
            Some(&rule(r#", "includes": {"caps": ["CAP_CHOWN"]}"#)),
            Some("includes"),
        );
        check(
            "map.json",
            Some(r#"{"defaultAction": "SCMP_ACT_ALLOW", "archMap": []}"#),
            Some("archMap"),
        );
        check(
            "action.json",
            Some(r#"{"defaultAction": "SCMP_ACT_MAYBE"}"#),
            Some("unknown variant"),
        );
        check("notify.json", Some(r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#), Some("NOTIFY"));
        std::os::unix::fs::symlink("/etc/hostname", root.join("link.json")).unwrap();
        check("link.json", None, Some("cross-device"));
    }
}
