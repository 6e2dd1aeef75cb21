"""A Python "with SGLang" for the engine's host: requests are counted up from their last token, one token a moment.

The real host runs in it. It has a child, as SGLang has, and schedulers that answer commands: they refuse a point whose
topk_ratio is 0.5, and claim two steps of other batches before steps of the whole one. STAND_IN says what goes wrong.
"""
import sys
from pathlib import Path

ENGINE = '''
import asyncio, json, os, subprocess, sys, threading, time, types
from pathlib import Path
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
        folder = Path(os.environ["VORTEX_SGLANG"][1:]).parent if "VORTEX_SGLANG" in os.environ else None
        if folder is not None:
            self.steps = 0
            threading.Thread(target=self._schedule, args=(folder,), daemon=True).start()
        self._scheduler_init_result = types.SimpleNamespace(scheduler_infos=[{"max_total_num_tokens": 512}])
    def _schedule(self, folder):
        from vortex.serving.sglang.control import write_answer
        from vortex.serving.sglang.desk import Desk
        desk = Desk(folder, 0, [0])
        while True:
            for errand in desk.taken():
                write_answer(Path(errand.folder), 0, self._answer(json.loads(errand.request)))
            time.sleep(0.002)
    def _answer(self, request):
        print("asked", json.dumps(request), flush=True)
        if request["do"] == "use" and request["point"]["topk_ratio"] == 0.5:
            return {"ok": False, "error": {"code": "BudgetError", "message": "half is too much", "hint": ""}}
        if request["do"] == "step-times":
            self.steps = 6 if request["on"] else self.steps
            return {"ok": True, "steps": [(1, 9.0), (2, 9.0)] + [(3, 0.01 * i) for i in range(self.steps)]}
        return {"ok": True, "running": 0}
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
