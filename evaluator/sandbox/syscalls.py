"""The system calls that computing takes; a child may make no other. What is not named here does not exist for it: sockets,
processes, threads, signals to others, tracing, mounts, keys, rights and owners of files, io_uring."""
import errno
from typing import Any

ALLOWED = frozenset("""
    read write readv writev pread64 pwrite64 lseek close fstat newfstatat stat lstat statx access faccessat faccessat2
    open openat openat2 getdents64 getcwd chdir readlink readlinkat mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2
    ftruncate fsync fdatasync symlink symlinkat link linkat dup dup2 dup3 poll ppoll select pselect6 pipe2
    mmap mprotect munmap mremap madvise brk mincore membarrier
    rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack restart_syscall
    futex set_robust_list rseq sched_yield sched_getaffinity getpid gettid getppid getuid geteuid getgid getegid
    clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time times getrusage sysinfo uname getrandom
    setitimer getitimer getrlimit exit exit_group
""".split())  # noqa: SIM905 (a list of quoted words is no easier to read)
GET_FLAGS = {"fcntl": (0, 1, 2, 3, 4, 1030)}      # duplicates and flags; F_SETOWN and F_SETSIG would send signals
ASK_TERMINAL = {"ioctl": (0x5401, 0x5451, 0x5450)}      # is it a terminal; close on exec or not


def make_filter() -> Any:
    """A filter to `load()`; forbidden calls fail with EPERM, those of another architecture end the process.

    Raises ImportError without pyseccomp or libseccomp, OSError.
    """
    import pyseccomp as seccomp  # the extra `eval` brings it; whoever only asks for the allow-list does without

    found = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
    for name in sorted(ALLOWED):
        number = seccomp.resolve_syscall(seccomp.Arch.NATIVE, name)
        if number >= 0:                            # some exist only on older architectures
            found.add_rule(seccomp.ALLOW, number)
    for name, values in (GET_FLAGS | ASK_TERMINAL).items():
        for value in values:
            found.add_rule(seccomp.ALLOW, name, seccomp.Arg(1, seccomp.EQ, value))
    found.add_rule(seccomp.ALLOW, "prlimit64", seccomp.Arg(0, seccomp.EQ, 0))       # its own, not another's
    found.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")                           # callers then try clone
    return found
