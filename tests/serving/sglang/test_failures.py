"""One refusal from what SGLang logs while its children die."""
import pytest

from vortex.errors import EngineError, ModelError, VortexError
from vortex.serving.sglang.failures import explain

BEGIN = "[2026-11-21 07:45:17] Scheduler hit an exception: Traceback (most recent call last):\n"
END = "\n[2026-11-21 07:45:17] Received sigquit from a child process. It usually means the child failed.\n"
FRAME = '  File "/x/topk.py", line 716, in __init__\n    assert groups is not None\n           ^^^^^^^^^^^^^^^^\n'


@pytest.mark.parametrize(("said", "kind", "what"), [
    ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ...", EngineError, "left for 2.00 GiB"),
    ("RuntimeError: CUDA error: out of memory", EngineError, "the GPU has no memory left"),
    ("RuntimeError: Not enough memory. Please try to increase --mem-fraction-static.", EngineError, "keys, values and summaries"),
    ("ValueError: Loaded weights leave no GPU memory for the KV cache under --mem-fraction-static=0.1.", EngineError, "weights"),
    ("RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes.", EngineError,
     "99 bytes"),
    ("OSError: [Errno 98] Address already in use", EngineError, "a port is in use"),
    ("ValueError: Model architectures ['FooForCausalLM'] are not supported for now.", ModelError, "FooForCausalLM"),
    ("OSError: nobody/nothing is not a valid model identifier listed on", ModelError, "was not found"),
    ("sglang serve: error: unrecognized arguments: --no-such-thing 3", EngineError, "says: unrecognized arguments: --no-such"),
    ("RuntimeError: No CUDA GPUs are available", EngineError, "no GPU"),
])
def test_what_is_known_is_said_with_what_to_do(said: str, kind: type[VortexError], what: str) -> None:
    found = explain(BEGIN + FRAME + said + "\n" + END)
    assert type(found) is kind and what in found.message and found.hint


@pytest.mark.parametrize("error", [EngineError("a page of 24 tokens", hint="Leave it out."), ModelError("no window")])
def test_a_refusal_of_ours_comes_back_as_it_was(error: VortexError) -> None:
    found = explain(f"some warning\n{error.report()}\n")
    assert (type(found), found.message, found.hint) == (type(error), error.message, error.hint)


def test_a_refusal_inside_a_child_is_the_reason_not_what_follows_it() -> None:
    found = explain(BEGIN + FRAME + "vortex.errors.BudgetError: the budget is empty\n" + END)
    assert (found.code, found.message) == ("BudgetError", "the budget is empty")


def test_other_exceptions_are_told_with_the_code_that_raised_them() -> None:
    assert explain(BEGIN + FRAME + "ValueError: bad thing" + END).message == "SGLang ended: ValueError: bad thing"
    found = explain(BEGIN + FRAME + "AssertionError" + END)
    assert found.message == "SGLang ended: AssertionError at assert groups is not None" and "topk.py" in found.hint


def test_what_was_logged_long_before_or_dies_with_it_is_not_the_reason() -> None:
    log = "couldn't connect to https://huggingface.co\n" * 3 + BEGIN + FRAME + "KeyError: 'x'" + END
    log += "Traceback (most recent call last):\n  File\nBrokenPipeError: [Errno 32] Broken pipe\n"
    assert explain(log).message == "SGLang ended: KeyError: 'x'"


@pytest.mark.parametrize(("log", "what"), [("", "it said nothing"), ("one\ntwo\n", "two")])
def test_where_nothing_is_known_the_end_of_the_log_is_shown(log: str, what: str) -> None:
    assert explain(log).message == f"SGLang ended: {what}"
