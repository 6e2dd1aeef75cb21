"""A Python "with SGLang" whose server is a few lines: `vortex serve` and processes, without the weight of the real one.

The real launcher runs in it. Its server has a child and shares memory, as SGLang's does; the variable STAND_IN says what goes
wrong. Torch and transformers, seconds of imports, are a few lines as well.
"""
import sys
from pathlib import Path

SERVER = '''
import http.server, json, mmap, os, signal, subprocess, sys, tempfile, threading, time
if __name__ == "__main__":
    wrong = os.environ.get("STAND_IN", "")
    if wrong == "memory":
        print("Scheduler hit an exception: Traceback (most recent call last):")
        print("RuntimeError: Not enough memory. Please try to increase --mem-fraction-static.")
        sys.exit(1)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    folder = os.environ["VORTEX_SGLANG"][1:].rpartition("/")[0]
    print("arguments", json.dumps(sys.argv[1:]), flush=True)
    shared = tempfile.NamedTemporaryFile(dir="/dev/shm", prefix="vortex-test-", delete=False)
    shared.truncate(4096)
    mapped = mmap.mmap(shared.fileno(), 4096)
    print("shared", shared.name, flush=True)
    print("children", child.pid, flush=True)
    if wrong == "slow":
        time.sleep(600)
    if wrong == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: (child.kill(), os._exit(0)))
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/crash":
                print("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", flush=True)
                os._exit(1)
            self.send_response(200)
            self.end_headers()
        def log_message(self, *told):
            pass
    port = int(sys.argv[sys.argv.index("--port") + 1])
    http.server.ThreadingHTTPServer(("127.0.0.1", port), Answer).serve_forever()
'''

TORCH = "class cuda:\n    is_available = staticmethod(lambda: False)\n"
TRANSFORMERS = '''
import json, pathlib, types
class AutoConfig:
    @staticmethod
    def from_pretrained(path, **_):
        told = json.loads((pathlib.Path(path) / "config.json").read_text())
        return types.SimpleNamespace(**told, layer_types=None)
class AutoTokenizer: pass
class PretrainedConfig: pass
class PreTrainedTokenizerBase: pass
class logging:
    get_verbosity = is_progress_bar_enabled = set_verbosity = disable_progress_bar = enable_progress_bar = lambda *_: 0
utils = types.ModuleType("transformers.utils")
utils.logging = logging
import sys
sys.modules["transformers.utils"] = utils
'''


def light(folder: Path) -> dict[str, str]:
    """What a command's environment says, so that it reads configs without the real transformers."""
    folder.mkdir()
    (folder / "transformers.py").write_text(TRANSFORMERS)
    return {"PYTHONPATH": str(folder)}


def make_python(folder: Path, version: str = "0.5.23") -> Path:
    """An executable that stands for a Python of another environment."""
    package = folder / "site" / "sglang"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "launch_server.py").write_text(SERVER)
    (folder / "site" / "torch.py").write_text(TORCH)
    told = folder / "site" / f"sglang-{version}.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: sglang\nVersion: {version}\n")
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={folder / "site"} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return python
