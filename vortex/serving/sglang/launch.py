"""SGLang's own HTTP server as a child of `vortex serve`: `python -m vortex.serving.sglang.launch ARGUMENTS`, in its interpreter.

Standard input is a lifeline: when nobody holds its other end any more, the whole process group ends, whatever it does.
"""
import math
import os
import runpy
import shutil
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from vortex.errors import VortexError
from vortex.serving.sglang.cpu import cpu_environment
from vortex.serving.sglang.process import PREFIX
from vortex.serving.sglang.shared import forget, members, shared_by
from vortex.serving.sglang.versions import check_version

RANKS = ("--tp-size", "--tp", "--tensor-parallel-size", "--dp-size", "--dp", "--data-parallel-size")
ON_CPU = {"--device": "cpu", "--dtype": "float32", "--max-total-tokens": "32768", "--max-running-requests": "16",
          "--mem-fraction-static": "0.3"}


def main() -> None:
    """Does not return before the server ends. Exit code 2, and the report on stderr, where it cannot be started."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        check_version()
    except VortexError as error:
        print(error.report(), file=sys.stderr)
        sys.exit(error.exit_code)
    sys.argv = ["sglang", *with_device(sys.argv[1:], cuda=_cuda())]
    runpy.run_module("sglang.launch_server", run_name="__main__", alter_sys=True)


def with_device(arguments: Sequence[str], *, cuda: bool) -> list[str]:
    """What SGLang wants to be told where there is no GPU; what was asked for stays."""
    if cuda:
        return list(arguments)
    os.environ.update(cpu_environment(ranks_told(arguments)))
    told = {argument.partition("=")[0] for argument in arguments}
    more = [word for name, value in ON_CPU.items() if name not in told for word in (name, value)]
    return [*arguments, *more, "--disable-cuda-graph", "--sleep-on-idle"]      # a waiting server leaves the cores to others


def ranks_told(arguments: Sequence[str]) -> int:
    """Processes that share the model out, by tensor and data parallelism."""
    pairs = [tuple(word.split("=", 1)) if "=" in word else (word, after)
             for word, after in zip(arguments, [*arguments, ""][1:], strict=True)]
    return math.prod(int(value) for name, value in pairs if name in RANKS and value.isdecimal())


def _cuda() -> bool:
    import torch  # SGLang's children import this module again, before they have said which device they see

    return bool(torch.cuda.is_available())


def _end_with_parent() -> None:
    while os.read(0, 1024):
        pass
    room = os.environ.get("TMPDIR", "")
    if Path(room).name.startswith(PREFIX):
        shutil.rmtree(room, ignore_errors=True)
    try:
        ending = members(os.getpgrp())
        forget(shared_by(ending), ending)
    finally:
        os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main()
