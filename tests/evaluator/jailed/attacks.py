"""What a text would do if it broke out of the language; every one succeeds outside the wall. Run in the sandbox's children.

Each gives what it gained, or raises OSError. Arguments are JSON; of those that harm, only the harmless first step is taken
outside.
"""
import ctypes
import mmap
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
ATTACH, SEIZE, DETACH = 16, 0x4206, 17
SET_OWNER, SET_SIGNAL = 8, 10


def read_file(path: str) -> str:
    return Path(path).read_bytes().decode(errors="replace")


def read_environ(pid: int) -> str:
    """Of a process, as far as it tells of a user."""
    text = Path(f"/proc/{pid}/environ").read_bytes().decode()
    if "HOME=" not in text:
        raise PermissionError("nothing of a user stands there")
    return text


def list_home(path: str) -> list[str]:
    found = [one.name for one in Path(path).iterdir()]
    if not found:
        raise FileNotFoundError("it is empty")
    return found


def environment_holds(name: str) -> str:
    if name not in os.environ:
        raise OSError(f"no {name}")
    return os.environ[name]


def own_environ_holds(name: str) -> str:
    """As the process was started, whatever os.environ says."""
    if name not in Path("/proc/self/environ").read_text():
        raise OSError(f"no {name}")
    return name


def connect_tcp(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=2):
        return True


def send_udp(port: int) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        return sender.sendto(b"secret", ("127.0.0.1", port))


def connect_abstract(name: str) -> bool:
    with socket.socket(socket.AF_UNIX) as pipe:
        pipe.connect("\0" + name)
        return True


def connect_unix(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as pipe:
        pipe.connect(path)
        return True


def write_file(path: str) -> int:
    return Path(path).write_text("harm")


def open_for_writing(path: str) -> bool:
    """And write nothing."""
    os.close(os.open(path, os.O_WRONLY))
    return True


def append_to(path: str) -> int:
    with Path(path).open("a") as file:
        return file.write("harm")


def make_folder(path: str) -> bool:
    Path(path).mkdir()
    return True


def follow_link(path: str) -> str:
    """Through a link of its own making."""
    link = Path(os.environ.get("HOME", "."), f"link-{os.getpid()}")
    link.symlink_to(path)
    try:
        return link.read_text()
    finally:
        link.unlink()


def climb(path: str) -> str:
    """By a way around: from a folder that may be read, up and down again."""
    return Path("/usr/lib/../../" + path).read_text()


def hard_link(path: str) -> bool:
    link = Path(os.environ.get("HOME", "."), f"hard-{os.getpid()}")
    link.hardlink_to(path)
    link.unlink()
    return True


def change_rights(path: str) -> bool:
    Path(path).chmod(0o644)
    return True


def remove(path: str) -> bool:
    Path(path).unlink()
    return True


def truncate(path: str) -> bool:
    os.truncate(path, 0)
    return True


def fork() -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


def start_program() -> str:
    return subprocess.run([sys.executable, "-c", "print(1)"], check=True, capture_output=True, text=True).stdout


def start_thread() -> bool:
    try:
        threading.Thread(target=time.sleep, args=(0,)).start()
    except RuntimeError as error:
        raise OSError(str(error)) from error
    return True


def become_program() -> None:
    os.execv("/bin/true", ["true"])


def signal_process(pid: int) -> bool:
    os.kill(pid, 0)
    return True


def signal_group(pid: int) -> bool:
    os.killpg(os.getpgid(pid), 0)
    return True


def trace_process(pid: int) -> bool:
    if _libc.ptrace(ctypes.c_long(SEIZE), ctypes.c_long(pid), None, None):
        raise OSError(ctypes.get_errno(), "ptrace")
    return True


def read_memory(pid: int) -> bool:
    with Path(f"/proc/{pid}/mem").open("rb") as file:
        return file.readable()


def signal_by_file(pid: int) -> bool:
    """A handle can be told to send a signal to whom it belongs to."""
    import fcntl

    handle = os.open("/dev/null", os.O_RDONLY)
    fcntl.fcntl(handle, SET_SIGNAL, signal.SIGKILL)
    fcntl.fcntl(handle, SET_OWNER, pid)
    return True


def limit_process(pid: int) -> bool:
    """Of another process of the same user."""
    import resource

    resource.prlimit(pid, resource.RLIMIT_CORE)
    return True


def lift_own_limit() -> bool:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard + 1))
    except ValueError as error:
        raise OSError(str(error)) from error
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return True


def open_device(path: str) -> bool:
    os.close(os.open(path, os.O_RDWR))
    return True


def mount(path: str) -> bool:
    if _libc.mount(b"none", path.encode(), b"tmpfs", 0, None):
        raise OSError(ctypes.get_errno(), "mount")
    _libc.umount(path.encode())
    return True


def unshare() -> bool:
    if _libc.unshare(0x10000000):
        raise OSError(ctypes.get_errno(), "unshare")
    return True


def io_ring() -> bool:
    """A way to files and sockets that filters of system calls do not see."""
    handle = _libc.syscall(425, 1, ctypes.create_string_buffer(256))
    if handle < 0:
        raise OSError(ctypes.get_errno(), "io_uring_setup")
    os.close(handle)
    return True


def share_memory() -> bool:
    """With whoever is on this machine."""
    found = _libc.shmget(0x5EC2E7, 4096, 0o1600)
    if found < 0:
        raise OSError(ctypes.get_errno(), "shmget")
    _libc.shmctl(found, 0, None)
    return True


def inherited_handles() -> int:
    """Files that the parent left open, beside the answer's."""
    found = sum(_is_open(number) for number in range(4, 60))
    if not found:
        raise OSError("none")
    return found


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


# Those that end badly.

def spin() -> None:
    while True:
        pass


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def ignore_signals_and_sleep(seconds: float) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM, signal.SIGXCPU):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(seconds)


def eat_memory(size: int) -> int:
    return len(bytearray(size))


def map_memory(size: int) -> int:
    try:
        return len(mmap.mmap(-1, size))
    except OSError as error:
        raise MemoryError from error


def leave() -> None:
    os._exit(3)


def crash() -> None:
    ctypes.string_at(1)


def recurse() -> None:
    recurse()


def answer_much(size: int) -> str:
    return "x" * size


def answer_junk() -> None:
    """Past the function's own way to answer."""
    os.write(3, b'\x80\x04cos\nsystem\n')
    os._exit(0)


def answer_forged(code: str) -> None:
    import json

    os.write(3, json.dumps({"refused": {"code": code, "message": "m", "hint": "", "op": "", "fix": None,
                                        "where": ["", 0, "", "", 0]}}).encode())
    os._exit(0)


def answer_deep() -> None:
    os.write(3, b"[" * 100_000)
    os._exit(0)


def not_json() -> object:
    return {1, 2}


# What must work.

def scratch() -> str:
    """Writes into the home and reads it again, and gives where that was."""
    file = Path(os.environ["HOME"], "note")
    file.write_text("kept")
    assert file.read_text() == "kept"
    return str(file)


def fill_scratch(file_bytes: int, files: int) -> int:
    """Bytes that were written before the disk said no."""
    written = 0
    try:
        for index in range(files):
            with Path(os.environ["HOME"], f"part-{index}").open("wb") as file:
                written += file.write(bytes(file_bytes))
    except OSError:
        pass
    return written


def hide_in_scratch() -> None:
    """Leaves folders that cannot be entered, links and pipes."""
    home = Path(os.environ["HOME"])
    (home / "a" / "b").mkdir(parents=True)
    (home / "a" / "b" / "c").write_text("x")
    (home / "to-root").symlink_to("/")


def files_in_scratch() -> list[str]:
    """Of all that ever ran here, beside its own folder."""
    above = Path(os.environ["HOME"]).parent
    return [str(path) for path in above.rglob("*") if path != Path(os.environ["HOME"])]


def echo(value: object) -> object:
    return value


def slow_echo(value: object, seconds: float) -> object:
    time.sleep(seconds)
    return value


def computing() -> float:
    """The library that flows' numbers need loads and works."""
    import numpy

    return float(numpy.arange(1000.0).sum())
