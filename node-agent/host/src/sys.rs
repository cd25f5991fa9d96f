//! The system calls that no safe wrapper covers, each with the reason why it is sound.
//!
//! Knows: raw calls. Refuses to know: what they are used for.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use nix::sys::signal::{SigHandler, SigSet, Signal};
use nix::unistd::ForkResult;

/// Forks the process. Only for the helper, which has one thread and takes no locks across the call.
pub fn fork() -> io::Result<ForkResult> {
    // SAFETY: the helper process is single-threaded (it refuses to run otherwise), so no lock can be held by a thread
    // that does not exist in the child.
    unsafe { nix::unistd::fork() }.map_err(io::Error::from)
}

/// Sets what a signal does to `SIG_DFL` or `SIG_IGN`.
pub fn set_signal(signal: Signal, ignore: bool) -> io::Result<()> {
    let handler = if ignore { SigHandler::SigIgn } else { SigHandler::SigDfl };
    // SAFETY: no handler function is installed, so nothing can run in signal context.
    unsafe { nix::sys::signal::signal(signal, handler) }.map(drop).map_err(io::Error::from)
}

/// Puts every signal back to its default and unblocks all: what a program expects at its start.
pub fn reset_signals() {
    for signal in Signal::iterator() {
        if !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP) {
            let _ = set_signal(signal, false);
        }
    }
    let _ = SigSet::empty().thread_set_mask();
}

/// Brings `lo` up in the network namespace of the calling thread.
pub fn loopback_up() -> io::Result<()> {
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        None,
    )?;
    // SAFETY: ifreq is plain data for which all zeroes is a valid value.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one ifreq, which lives through the call.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Makes a detached mount, made by `open_tree`, read-only.
pub fn make_mount_readonly(tree: BorrowedFd<'_>) -> io::Result<()> {
    set_mount(tree, libc::MOUNT_ATTR_RDONLY, None, false)
}

/// Makes a mount read-only with all that is mounted below it.
pub fn make_mounts_readonly(tree: BorrowedFd<'_>) -> io::Result<()> {
    set_mount(tree, libc::MOUNT_ATTR_RDONLY, None, true)
}

/// Has a detached mount, not those below it, show its owners as those of a user namespace: 0 as its root.
pub fn map_mount(tree: BorrowedFd<'_>, namespace: BorrowedFd<'_>) -> io::Result<()> {
    set_mount(tree, libc::MOUNT_ATTR_IDMAP, Some(namespace), false)
}

fn set_mount(
    tree: BorrowedFd<'_>,
    attributes: u64,
    namespace: Option<BorrowedFd<'_>>,
    with_below: bool,
) -> io::Result<()> {
    // SAFETY: mount_attr is plain data for which all zeroes is a valid value.
    let mut attr: libc::mount_attr = unsafe { mem::zeroed() };
    attr.attr_set = attributes;
    attr.userns_fd = namespace.map_or(0, |namespace| namespace.as_raw_fd() as u64);
    let below = if with_below { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a static empty C string, the struct and its size match, both live through the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | below,
            &attr as *const libc::mount_attr,
            mem::size_of::<libc::mount_attr>(),
        )
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Opens `program` through a private read-only mount, so that whoever runs it cannot reach the file for writing through
/// `/proc/PID/exe`. The descriptor is good for executing as `/proc/self/fd/N`.
pub fn open_readonly_program(program: &Path) -> io::Result<OwnedFd> {
    use rustix::mount::OpenTreeFlags;
    let tree = rustix::mount::open_tree(
        rustix::fs::CWD,
        program,
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
    )?;
    make_mount_readonly(tree.as_fd())?;
    Ok(tree)
}

/// Takes ownership of a descriptor that this process got by number (standard input of the helper).
pub fn adopt_fd(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the descriptor is only looked at, and the result is checked.
    if unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open (checked above) and the caller hands it over: nobody else in this process owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Writes to a descriptor known by number only, in a process that is about to execute another program.
pub fn write_raw(fd: RawFd, bytes: &[u8]) {
    // SAFETY: the buffer is valid for its length; a bad descriptor gives EBADF, which is of no consequence here.
    unsafe {
        libc::write(fd, bytes.as_ptr().cast(), bytes.len());
    }
}

/// Sends bytes with descriptors over a unix socket.
pub fn send_with_fds(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
    let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control: &[ControlMessage] = if raw.is_empty() { &[] } else { &rights };
    let sent = sendmsg::<UnixAddr>(
        socket.as_raw_fd(),
        &[io::IoSlice::new(bytes)],
        control,
        MsgFlags::MSG_NOSIGNAL,
        None,
    )?;
    if sent == bytes.len() {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::WriteZero, "short message"))
    }
}

/// Receives bytes and up to eight descriptors from a unix socket; zero bytes mean the end.
pub fn recv_with_fds(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> io::Result<(usize, Vec<OwnedFd>)> {
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg};
    let mut space = nix::cmsg_space!([RawFd; 8]);
    let mut parts = [io::IoSliceMut::new(buffer)];
    let message = recvmsg::<UnixAddr>(
        socket.as_raw_fd(),
        &mut parts,
        Some(&mut space),
        MsgFlags::MSG_CMSG_CLOEXEC,
    )?;
    let mut fds = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = control {
            for fd in raw {
                // SAFETY: the kernel just made these descriptors for this process; nobody else owns them.
                fds.push(unsafe { OwnedFd::from_raw_fd(fd) });
            }
        }
    }
    Ok((message.bytes, fds))
}

/// Closes every descriptor from `first` on, in a process that owns none of them as a value any more.
pub fn close_from(first: u32) {
    // SAFETY: the callers run in a forked child that never returns to code which holds descriptors.
    unsafe {
        libc::syscall(libc::SYS_close_range, first, u32::MAX, 0u32);
    }
}

/// Sends any signal, the real-time ones included, to one process.
pub fn send_signal(pid: i32, signal: i32) -> io::Result<()> {
    if pid <= 0 {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: kill has no memory effects; a group or everybody cannot be meant, the number is positive.
    if unsafe { libc::kill(pid, signal) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
