"""Why SGLang ended, from what it logged: its children die with tracebacks, and whoever started it gets one refusal."""
import re
from collections.abc import Sequence

from vortex import errors
from vortex.errors import EngineError, ModelError, VortexError

SHOWN = 8                                 # lines of a log whose end is not understood
LESS = "Lower --mem-fraction-static, --max-running-requests or --chunked-prefill-size; or take more GPUs (--tp)."
MORE = "Raise --mem-fraction-static, keep fewer or smaller summaries, or take more GPUs (--tp)."
# What SGLang, torch and the kernel say, and what it means; the first that is found holds, `{0}` is its first group.
KNOWN: tuple[tuple[str, type[VortexError], str, str], ...] = (
    (r"Loaded weights leave no GPU memory", EngineError, "the model's weights leave no memory for keys and values", MORE),
    (r"Not enough (?:GPU )?memory", EngineError, "there is not enough memory for keys, values and summaries", MORE),
    (r"OutOfMemoryError: .*?Tried to allocate ([\d.]+ \w+)", EngineError, "the GPU has no memory left for {0} more", LESS),
    (r"CUDA out of memory|OutOfMemoryError|CUDA error: out of memory", EngineError, "the GPU has no memory left", LESS),
    (r"DefaultCPUAllocator: can't allocate memory.*?allocate (\d+) bytes", EngineError,
     "the machine has no memory left for {0} bytes more", "Lower --max-total-tokens."),
    (r"^MemoryError|exitcode=-9|exit code -9|returncode=-9", EngineError, "the machine has no memory left: it killed a process",
     "Lower --max-total-tokens, or serve a smaller model."),
    (r"[Aa]ddress already in use|port (\d+) is (?:not available|already in use)", EngineError, "a port is in use",
     "--port takes another one."),
    (r"Model architectures? \[?'?([\w', ]+?)'?\]? (?:are|is) not supported", ModelError, "SGLang does not serve {0}",
     "Its documentation lists what it serves."),
    (r"does not recognize this architecture|model type `(\w+)`", ModelError, "the model's type is not known to SGLang",
     "A model is a folder with a config.json, or a Hugging Face id."),
    (r"is not a valid model identifier|Repository Not Found|couldn't connect to '?https://huggingface", ModelError,
     "the model was not found", "Offline, download it first: hf download MODEL"),
    (r"No safetensors weights found|Cannot find any model weights", ModelError, "the model's folder holds no weights",
     "save_pretrained writes them as *.safetensors."),
    (r"^[\w. ]+: error: (.*)$", EngineError, "SGLang's command line says: {0}",
     "Its documentation lists the arguments of its server."),
    (r"No CUDA GPUs are available|Found no NVIDIA driver", EngineError, "no GPU is found", "nvidia-smi tells which there are."),
)


def explain(log: str) -> VortexError:
    """By the tail of its log: our own refusal where there is one, else what is known, else the last exception."""
    lines = [line.rstrip() for line in log.splitlines() if line.strip()]
    trace = _trace(lines)
    return _refused(lines) or _known("\n".join(trace or lines[-SHOWN:])) or _raised(trace) or EngineError(
        "SGLang ended: " + (lines[-1].strip() if lines else "it said nothing"), hint="\n".join(lines[-SHOWN:]))


def _refused(lines: Sequence[str]) -> VortexError | None:
    """A report of ours, or an error of ours at the end of a child's traceback; the last one."""
    for at in range(len(lines) - 1, -1, -1):
        raised = re.match(r"vortex\.errors\.(\w+): (.*)", lines[at])
        kind = getattr(errors, raised[1] if raised else lines[at], None)
        if isinstance(kind, type) and issubclass(kind, VortexError):
            told = [raised[2]] if raised else _indented(lines[at + 1:])
            if told:
                return kind(told[0], hint="\n".join(told[1:]))
    return None


def _indented(lines: Sequence[str]) -> list[str]:
    end = next((i for i, line in enumerate(lines) if not line.startswith("  ")), len(lines))
    return [line.strip() for line in lines[:end]]


def _trace(lines: Sequence[str]) -> Sequence[str]:
    """From the traceback that tells why: a scheduler's last one, else the last; what dies with it logs as well."""
    begins = [i for i, line in enumerate(lines) if "Traceback (most recent call last)" in line]
    schedulers = [i for i in begins if "Scheduler hit an exception" in lines[i]]
    return lines[(schedulers or begins)[-1]:] if begins else []


def _known(text: str) -> VortexError | None:
    for pattern, kind, message, hint in KNOWN:
        found = re.search(pattern, text, re.MULTILINE)
        if found is not None:
            return kind(message.format(*(group or "" for group in found.groups())), hint=hint)
    return None


def _raised(trace: Sequence[str]) -> VortexError | None:
    """The exception under it; one without a message, by the line of code that raised it."""
    ended = next((i for i, line in enumerate(trace) if re.match(r"[A-Za-z_][\w.]*(?:: .*)?$", line)), None)
    if ended is None:
        return None
    code = [line.strip() for line in trace[:ended] if not re.fullmatch(r"[\s^~]*", line)]
    what = trace[ended] if ": " in trace[ended] or not code else f"{trace[ended]} at {code[-1]}"
    return EngineError(f"SGLang ended: {what}", hint="\n".join(code[-2:]))
