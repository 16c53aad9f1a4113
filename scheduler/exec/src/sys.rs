//! The system calls that have no safe wrapper: fork, the exec child, signals with a value, usage of
//! reaped children. All `unsafe` of this crate is here, behind functions that are safe to call from
//! the single-threaded launcher and shim.

#![expect(unsafe_code, reason = "process control has no safe wrapper for these calls")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::{Duration, Instant};

/// Which side of a fork this is.
pub(crate) enum Forked {
    Parent(i32),
    Child,
}

/// Forks. Only for processes with one thread: the child may then allocate.
pub(crate) fn fork() -> io::Result<Forked> {
    // SAFETY: launcher and shim have one thread, so that no lock is held by a thread that is not there
    // in the child.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(pid)),
    }
}

/// Ends this process at once, without running anything that belongs to its parent.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` may be called at any time.
    unsafe { libc::_exit(code) }
}

/// Takes ownership of a descriptor that is known by its number.
pub(crate) fn own_fd(fd: RawFd) -> OwnedFd {
    // SAFETY: callers pass numbers that this process placed there itself and that nothing else owns.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Puts `fd` at the number `at` (closing what was there), closed on exec.
pub(crate) fn place_fd(fd: BorrowedFd<'_>, at: RawFd) -> io::Result<()> {
    if fd.as_raw_fd() == at {
        return Ok(());
    }
    // SAFETY: no memory is involved; the number is free for our use by agreement in this crate.
    if unsafe { libc::dup3(fd.as_raw_fd(), at, libc::O_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Closes every descriptor from `first` on.
pub(crate) fn close_from(first: RawFd) {
    // SAFETY: no memory is involved. Callers own nothing above `first` that they use afterwards.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, first as libc::c_uint, libc::c_uint::MAX, 0) };
    if closed == 0 {
        return;
    }
    // Kernels before 5.9.
    if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
        let open: Vec<RawFd> =
            entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
        for fd in open.into_iter().filter(|fd| *fd >= first) {
            // SAFETY: as above.
            unsafe { libc::close(fd) };
        }
    }
}

/// A child that has been reaped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reaped {
    pub(crate) pid: i32,
    pub(crate) status: Status,
    pub(crate) cpu_us: u64,
    pub(crate) peak_rss: u64,
}

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Status {
    Exited(i32),
    Signalled(i32),
}

/// What waiting for any child gave.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Waited {
    Reaped(Reaped),
    /// There are children, and none has ended.
    NoneYet,
    NoChild,
}

/// Reaps one child if one has ended; `pid` -1 for any.
pub(crate) fn wait_child(pid: i32, block: bool) -> Waited {
    let mut status: c_int = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    let options = if block { 0 } else { libc::WNOHANG };
    loop {
        // SAFETY: both pointers are to live variables of the right type.
        let got = unsafe { libc::wait4(pid, &raw mut status, options, usage.as_mut_ptr()) };
        match got {
            0 => return Waited::NoneYet,
            -1 if io::Error::last_os_error().raw_os_error() == Some(libc::EINTR) => {}
            -1 => return Waited::NoChild,
            pid => {
                // SAFETY: zeroed is a valid rusage, and wait4 has filled it.
                let usage = unsafe { usage.assume_init() };
                let micros = |t: libc::timeval| t.tv_sec as u64 * 1_000_000 + t.tv_usec as u64;
                let status = if libc::WIFSIGNALED(status) {
                    Status::Signalled(libc::WTERMSIG(status))
                } else {
                    Status::Exited(libc::WEXITSTATUS(status))
                };
                return Waited::Reaped(Reaped {
                    pid,
                    status,
                    cpu_us: micros(usage.ru_utime) + micros(usage.ru_stime),
                    peak_rss: usage.ru_maxrss as u64 * 1024,
                });
            }
        }
    }
}

/// The most memory that this process has held at once, in bytes; 0 where unknown.
pub(crate) fn own_peak_rss() -> u64 {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to a live variable of the right type; zeroed is a valid rusage.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    usage.ru_maxrss as u64 * 1024
}

/// Waits until the process of a pidfd has ended, no longer than `limit`.
pub(crate) fn wait_gone(pidfd: BorrowedFd<'_>, limit: Duration) {
    let until = Instant::now() + limit;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left =
            rustix::event::Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let mut waiting = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
        match rustix::event::poll(&mut waiting, Some(&left)) {
            Err(rustix::io::Errno::INTR) => {}
            _ => return,
        }
    }
}

/// A set of signals.
#[derive(Clone, Copy)]
pub(crate) struct SignalSet(libc::sigset_t);

impl SignalSet {
    pub(crate) fn of(signals: &[i32]) -> Self {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigemptyset initialises the set; sigaddset gets an initialised one.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for signal in signals {
                libc::sigaddset(set.as_mut_ptr(), *signal);
            }
            Self(set.assume_init())
        }
    }
}

/// Makes exactly these signals blocked in this thread.
pub(crate) fn set_blocked(set: &SignalSet) {
    // SAFETY: the pointer is to a live set.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const set.0, ptr::null_mut()) };
}

/// Gives every signal its default effect, so that children inherit nothing odd (`nohup`, Rust's
/// ignored SIGPIPE).
pub(crate) fn default_signals() {
    for signal in 1..=64 {
        // SAFETY: SIG_DFL installs no code of ours; invalid numbers are refused by the kernel.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// A signal that was waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived {
    pub(crate) signal: i32,
    /// The value that was queued with it, where one was.
    pub(crate) value: Option<u64>,
}

/// Waits for one of these blocked signals; `None` when the time is over.
pub(crate) fn wait_signal(set: &SignalSet, timeout: Option<Duration>) -> Option<Arrived> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let limit =
        timeout.map(|t| libc::timespec { tv_sec: t.as_secs() as _, tv_nsec: t.subsec_nanos().into() });
    let limit = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
    loop {
        // SAFETY: all pointers are to live variables, or null for "no limit".
        let signal = unsafe { libc::sigtimedwait(&raw const set.0, info.as_mut_ptr(), limit) };
        if signal > 0 {
            // SAFETY: the call succeeded and filled the info; for a queued signal the value is valid.
            let value = unsafe {
                let info = info.assume_init_ref();
                (info.si_code == libc::SI_QUEUE).then(|| info.si_value().sival_ptr as usize as u64)
            };
            return Some(Arrived { signal, value });
        }
        if io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
            return None;
        }
    }
}

fn queued_info(signal: i32, value: u64) -> MaybeUninit<libc::siginfo_t> {
    /// The layout of `siginfo_t` for queued signals on 64-bit Linux.
    #[repr(C)]
    struct Queued {
        signo: c_int,
        errno: c_int,
        code: c_int,
        pad: c_int,
        pid: libc::pid_t,
        uid: libc::uid_t,
        value: u64,
    }
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: siginfo_t is 128 bytes and 8-aligned; `Queued` is its documented head.
    unsafe {
        info.as_mut_ptr().cast::<Queued>().write(Queued {
            signo: signal,
            errno: 0,
            code: libc::SI_QUEUE,
            pad: 0,
            pid: libc::getpid(),
            uid: libc::getuid(),
            value,
        });
    }
    info
}

/// Sends a signal with a value to a child of ours that has not been reaped, so that its number is its own.
pub(crate) fn queue_to_child(pid: i32, signal: i32, value: u64) -> io::Result<()> {
    let info = queued_info(signal, value);
    // SAFETY: the pointer is to a filled siginfo.
    let sent = unsafe { libc::syscall(libc::SYS_rt_sigqueueinfo, pid, signal, info.as_ptr()) };
    if sent == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sends a signal with a value through a pidfd.
pub(crate) fn queue_to_pidfd(pidfd: BorrowedFd<'_>, signal: i32, value: u64) -> io::Result<()> {
    let info = queued_info(signal, value);
    // SAFETY: the pointer is to a filled siginfo.
    let sent =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, info.as_ptr(), 0) };
    if sent == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sends a plain signal (any number) through a pidfd.
pub(crate) fn signal_pidfd(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: a null info is allowed: the kernel makes one.
    let sent = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    if sent == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A descriptor that becomes readable when one of these blocked signals arrives.
pub(crate) fn signal_fd(set: &SignalSet) -> io::Result<OwnedFd> {
    // SAFETY: the pointer is to a live set; the new descriptor is owned by nobody else.
    let fd = unsafe { libc::signalfd(-1, &raw const set.0, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(own_fd(fd)) }
}

/// Memory that an exec child reports its failure in, and its stack. One for each shim.
pub(crate) struct Nursery {
    memory: *mut c_void,
}

const NURSERY: usize = 256 << 10;

/// Everything an exec child needs, made before it so that it neither allocates nor locks.
pub(crate) struct ExecPlan<'a> {
    /// Tried in order, as `execvp` does.
    pub(crate) programs: &'a [CString],
    pub(crate) argv: &'a [*const c_char],
    /// For a script without `#!`: `sh`, a place for the script, then the arguments.
    pub(crate) shell_argv: &'a mut [*const c_char],
    pub(crate) envp: &'a [*const c_char],
    pub(crate) dir: &'a CStr,
    pub(crate) output: RawFd,
    pub(crate) cgroup_procs: &'a [RawFd],
    pub(crate) cpus: Option<&'a libc::cpu_set_t>,
    pub(crate) files: Option<libc::rlimit>,
    pub(crate) user: Option<(u32, u32, &'a [libc::gid_t])>,
}

/// The steps of an exec child, as it reports them.
pub(crate) mod step {
    pub(crate) const PROCESS: i32 = 1;
    pub(crate) const CGROUP: i32 = 2;
    pub(crate) const USER: i32 = 3;
    pub(crate) const DIRECTORY: i32 = 4;
    pub(crate) const PROGRAM: i32 = 5;
}

struct ChildArgs<'a, 'b> {
    plan: &'b mut ExecPlan<'a>,
    parent: libc::pid_t,
    /// Step and errno.
    report: *mut [c_int; 2],
}

impl Nursery {
    pub(crate) fn new() -> io::Result<Self> {
        // Shared, so that a child with its own copy of our memory can report here as well.
        // SAFETY: a fresh anonymous mapping that overlaps nothing.
        let memory = unsafe {
            libc::mmap(
                ptr::null_mut(),
                NURSERY,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { memory })
    }

    /// Makes a process that executes the plan, and returns when it has done so or failed: its pid, or
    /// the step that failed with the error number.
    ///
    /// The child borrows our memory until then (as `posix_spawn` does), which saves copying page tables.
    /// Where it changes user it gets a copy, so that no process of the user ever shares memory with us.
    pub(crate) fn spawn(&mut self, plan: &mut ExecPlan<'_>) -> Result<i32, (i32, i32)> {
        let shared = plan.user.is_none();
        let report: *mut [c_int; 2] = self.memory.cast();
        // SAFETY: the mapping is larger than the report and lives as long as self.
        unsafe { report.write_volatile([0, 0]) };
        // SAFETY: getpid has no preconditions.
        let mut args = ChildArgs { plan, parent: unsafe { libc::getpid() }, report };
        let flags = libc::SIGCHLD | libc::CLONE_VFORK | if shared { libc::CLONE_VM } else { 0 };
        // SAFETY: the stack is the mapping's upper part, 16-aligned, used by nobody else while we are
        // suspended by CLONE_VFORK; the child touches only `args`, which lives until it has exec'ed or
        // ended, and calls nothing that allocates or locks.
        let pid = unsafe {
            libc::clone(exec_child, self.memory.byte_add(NURSERY), flags, (&raw mut args).cast::<c_void>())
        };
        if pid < 0 {
            return Err((step::PROCESS, io::Error::last_os_error().raw_os_error().unwrap_or(0)));
        }
        // SAFETY: as above; the child is past writing.
        let [failed, errno] = unsafe { report.read_volatile() };
        if failed == 0 {
            return Ok(pid);
        }
        wait_child(pid, true);
        Err((failed, errno))
    }
}

/// The number of the last error.
fn errno() -> c_int {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

extern "C" fn exec_child(args: *mut c_void) -> c_int {
    // SAFETY: `spawn` passes its own live ChildArgs and waits for us; everything below is a bare system
    // call on memory made beforehand. Raw calls are used for credentials, because libc's wrappers would
    // tell threads about it.
    unsafe {
        let args = &mut *args.cast::<ChildArgs<'_, '_>>();
        let plan = &mut *args.plan;
        let fail = |failed: c_int, errno: c_int| -> c_int {
            args.report.write_volatile([failed, errno]);
            libc::_exit(127)
        };
        libc::setsid();
        if plan.output >= 0 {
            libc::dup2(plan.output, 1);
            libc::dup2(plan.output, 2);
        }
        if let Some(files) = &plan.files {
            libc::setrlimit(libc::RLIMIT_NOFILE, files);
        }
        if let Some(cpus) = plan.cpus {
            // Cores that went offline must not fail the task: affinity is a preference.
            libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), cpus);
        }
        for procs in plan.cgroup_procs {
            if libc::write(*procs, c"0".as_ptr().cast(), 1) != 1 {
                return fail(step::CGROUP, errno());
            }
        }
        if let Some((uid, gid, groups)) = plan.user {
            if libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) != 0
                || libc::syscall(libc::SYS_setresgid, gid, gid, gid) != 0
                || libc::syscall(libc::SYS_setresuid, uid, uid, uid) != 0
            {
                return fail(step::USER, errno());
            }
            // It must be impossible to come back.
            if uid != 0 && (libc::syscall(libc::SYS_setresuid, -1, 0, -1) == 0 || libc::getuid() != uid) {
                return fail(step::USER, libc::EPERM);
            }
            if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 {
                return fail(step::USER, errno());
            }
        }
        if libc::chdir(plan.dir.as_ptr()) != 0 {
            return fail(step::DIRECTORY, errno());
        }
        // After the change of user, which would clear it.
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
        if libc::getppid() != args.parent {
            libc::_exit(127);
        }
        let mut none = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
        let mut error = libc::ENOENT;
        for program in plan.programs {
            libc::execve(program.as_ptr(), plan.argv.as_ptr(), plan.envp.as_ptr());
            match errno() {
                // Go on with the rest of PATH, but remember that one was there.
                libc::EACCES => error = libc::EACCES,
                libc::ENOENT | libc::ENOTDIR => {}
                libc::ENOEXEC => {
                    plan.shell_argv[1] = program.as_ptr();
                    libc::execve(c"/bin/sh".as_ptr(), plan.shell_argv.as_ptr(), plan.envp.as_ptr());
                    return fail(step::PROGRAM, libc::ENOEXEC);
                }
                other => return fail(step::PROGRAM, other),
            }
        }
        fail(step::PROGRAM, error)
    }
}

/// Waits until a descriptor of our own becomes readable; a pidfd does when its process has ended.
pub(crate) async fn readable(fd: OwnedFd) -> io::Result<()> {
    // SAFETY: the descriptor is owned by the AsyncFd, stays the same one, and is closed after it.
    let fd = unsafe { tokio::io::unix::AsyncFd::register_with_interest(fd, tokio::io::Interest::READABLE) };
    let fd = fd.map_err(io::Error::from)?;
    fd.readable().await.map(drop)
}

/// A set of cores; `None` when none of the numbers can be a core.
pub(crate) fn cpu_set(cpus: &[u32]) -> Option<libc::cpu_set_t> {
    // SAFETY: zeroed is the empty set.
    let mut set: libc::cpu_set_t = unsafe { MaybeUninit::zeroed().assume_init() };
    let mut any = false;
    for cpu in cpus.iter().map(|cpu| *cpu as usize).filter(|cpu| *cpu < libc::CPU_SETSIZE as usize) {
        // SAFETY: the number is below CPU_SETSIZE.
        unsafe { libc::CPU_SET(cpu, &mut set) };
        any = true;
    }
    any.then_some(set)
}

/// Raises the number of files to the hard limit; returns what it was.
pub(crate) fn raise_file_limit() -> Option<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointers are to live structs.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) != 0 {
            return None;
        }
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max };
        if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) != 0 {
            return None;
        }
    }
    (limit.rlim_cur != limit.rlim_max).then_some(limit)
}

/// What the system's user database says of a user id: name, primary group, all groups.
pub(crate) fn user_groups(uid: u32) -> Option<(CString, u32, Vec<u32>)> {
    let mut buffer = vec![0_u8; 16 << 10];
    let mut entry = MaybeUninit::<libc::passwd>::zeroed();
    let mut found: *mut libc::passwd = ptr::null_mut();
    loop {
        // SAFETY: all pointers are to live memory of the stated length.
        let error = unsafe {
            libc::getpwuid_r(
                uid,
                entry.as_mut_ptr(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                &raw mut found,
            )
        };
        if error == libc::ERANGE && buffer.len() < 1 << 20 {
            buffer.resize(buffer.len() * 2, 0);
        } else if error != 0 || found.is_null() {
            return None;
        } else {
            break;
        }
    }
    // SAFETY: the call succeeded, so that the entry points into our buffer, which is still alive.
    let (name, gid) = unsafe { (CStr::from_ptr((*found).pw_name).to_owned(), (*found).pw_gid) };
    let mut groups = vec![0 as libc::gid_t; 64];
    loop {
        let mut count = groups.len() as c_int;
        // SAFETY: the name is a C string and `count` is the length of the buffer.
        let got = unsafe { libc::getgrouplist(name.as_ptr(), gid, groups.as_mut_ptr(), &raw mut count) };
        if got >= 0 {
            groups.truncate(count as usize);
            return Some((name, gid, groups));
        }
        if groups.len() > 1 << 16 {
            return None;
        }
        groups.resize((count as usize).max(groups.len() * 2), 0);
    }
}
