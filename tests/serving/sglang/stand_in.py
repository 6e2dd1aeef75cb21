"""A Python "with SGLang" for the engine's host: requests are counted up from their last token, one token a moment.

The real host runs in it. It has a child, as SGLang has; the variable STAND_IN says what goes wrong.
"""
import sys
from pathlib import Path

ENGINE = '''
import asyncio, os, subprocess, sys, time, types
class Manager:
    context_len = 64
    model_config = types.SimpleNamespace(hf_eos_token_id={2})
    def __init__(self):
        self.rid_to_state = {}
        self.aborted = []
    def abort_request(self, rid):
        if rid in self.rid_to_state:
            self.rid_to_state[rid] = True
            self.aborted.append(rid)
class Engine:
    def __init__(self, **arguments):
        print("arguments", arguments, flush=True)
        self.child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        wrong = os.environ.get("STAND_IN", "")
        if wrong == "slow":
            time.sleep(600)
        if wrong == "boot":
            raise RuntimeError("Not enough memory. Please try to increase --mem-fraction-static.")
        self.loop = asyncio.new_event_loop()
        self.tokenizer_manager = Manager()
        self.server_args = types.SimpleNamespace(enable_deterministic_inference=arguments["enable_deterministic_inference"])
        self._scheduler_init_result = types.SimpleNamespace(scheduler_infos=[{"max_total_num_tokens": 512}])
    async def async_generate(self, *, input_ids, sampling_params, rid, stream=False):
        found = self._results(input_ids, sampling_params, rid)
        if stream:
            return found
        async for result in found:
            pass
        return result
    async def _results(self, ids, sampling, rid):
        if ids[-1] == 60:
            raise ValueError("60 is too much")
        if ids[-1] == 61:
            os._exit(1)
        states, tokens, finish = self.tokenizer_manager.rid_to_state, [], None
        states[rid] = False
        try:
            while finish is None:
                await asyncio.sleep(0.002)
                tokens.append(ids[-1] + 1 + len(tokens))
                ends = set(sampling["stop_token_ids"] or ()) | {2}
                if states[rid]:
                    finish = {"type": "abort", "message": "asked to"}
                elif tokens[-1] in ends and not sampling["ignore_eos"]:
                    finish = {"type": "stop"}
                elif len(tokens) == sampling["max_new_tokens"]:
                    finish = {"type": "length"}
                meta = {"id": rid, "finish_reason": finish, "cached_tokens": 3}
                if finish:
                    meta |= {"request_received_ts": 100.0, "e2e_latency": 7.0, "forward_entry_time": 101.0,
                             "prefill_finished_time": 103.0}
                yield {"output_ids": list(tokens), "meta_info": meta}
        finally:
            del states[rid]
    def shutdown(self):
        self.child.kill()
        self.child.wait()
'''
TORCH = "class cuda:\n    is_available = staticmethod(lambda: False)\n"


def make_python(folder: Path, version: str = "0.5.23", *, ours: bool = True) -> Path:
    """An executable that stands for a Python of another environment; `ours`: this package is installed there."""
    site = folder / "site"
    (site / "sglang").mkdir(parents=True)
    (site / "sglang" / "__init__.py").write_text(ENGINE)
    (site / "torch.py").write_text(TORCH)
    if version:
        told = site / f"sglang-{version}.dist-info"
        told.mkdir()
        (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: sglang\nVersion: {version}\n")
    isolated = "" if ours else "-S "
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={site} exec {sys.executable} {isolated}"$@"\n')
    python.chmod(0o755)
    return python
