"""The process that holds SGLang for the engine: `python -m vortex.serving.sglang.host FD FOLDER`, in SGLang's Python.

See process.py for what is said. It ends with all that it started when it is told to, and when its parent is gone.
"""
import asyncio
import json
import os
import select
import shutil
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import psutil

from vortex.errors import EngineError, VortexError
from vortex.serving.sglang.cpu import cpu_environment
from vortex.serving.sglang.seeds import named, request_of
from vortex.serving.sglang.shared import forget, shared_by
from vortex.serving.sglang.versions import check_version

PARENT_S = 1.0                            # how often the parent is looked for: its end of the socket may live on in a fork
DROPPED_S = 0.005                         # how often SGLang is asked whether it has given requests up
ENDED_S = 30.0                            # for killed processes to be gone, and the memory of their device with them
CHUNK = 1 << 20
Message = Mapping[str, Any]


class Wire:
    """The socket to the parent: a thread reads, whoever likes writes."""

    def __init__(self, descriptor: int, folder: Path) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._folder = folder
        self._parent = os.getppid()
        self._write = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: list[Message] = []
        self._asked: asyncio.Queue[Message] = asyncio.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def join(self, loop: asyncio.AbstractEventLoop) -> asyncio.Queue[Message]:
        """What is asked from now on, and was until now, on this loop."""
        with self._write:
            self._loop = loop
            for message in self._waiting:
                self._asked.put_nowait(message)
        return self._asked

    def say(self, **what: Any) -> None:
        with self._write, suppress(OSError):
            self._socket.sendall(json.dumps(what).encode() + b"\n")

    def fail(self, number: int, error: VortexError) -> None:
        self.say(id=number, error=error.to_json(), done=True)

    def answer(self, number: int, answer: Any) -> None:
        """The only one."""
        self.say(id=number, answer=answer)
        self.say(id=number, done=True)

    def _read(self) -> None:
        pieces: list[bytes] = []
        while (got := self._more()) is not None:
            pieces.append(got)
            if b"\n" in got:
                *lines, rest = b"".join(pieces).split(b"\n")
                pieces = [rest]
                for line in lines:
                    self._take(json.loads(line))
        end(self._folder)

    def _more(self) -> bytes | None:
        """None once the parent is gone."""
        while os.getppid() == self._parent:
            if select.select([self._socket], [], [], PARENT_S)[0]:
                with suppress(OSError):
                    return self._socket.recv(CHUNK) or None
                return None
        return None

    def _take(self, message: Message) -> None:
        with self._write:
            if self._loop is None and message["do"] == "stop":
                end(self._folder)         # nothing answers before SGLang is up
            elif self._loop is None:
                self._waiting.append(message)
            else:
                self._loop.call_soon_threadsafe(self._asked.put_nowait, message)



def end(folder: Path) -> NoReturn:
    """Of this process and of all that it started; what they share in memory and `folder` go as well."""
    with suppress(psutil.Error):
        started = psutil.Process().children(recursive=True)
        shared = shared_by([os.getpid(), *(child.pid for child in started)])
        for child in started:
            with suppress(psutil.Error):
                child.kill()
        psutil.wait_procs(started, ENDED_S)
        forget(shared, [os.getpid()])
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


class Host:
    """Answers what is asked: generation runs beside the rest."""

    def __init__(self, engine: Any, wire: Wire) -> None:
        self._engine = engine
        self._wire = wire
        self._running: dict[int, asyncio.Task[None]] = {}

    async def serve(self) -> None:
        """Until it is told to stop."""
        queue = self._wire.join(asyncio.get_running_loop())
        while (message := await queue.get())["do"] != "stop":
            number = message["id"]
            if message["do"] == "generate":
                self._running[number] = asyncio.create_task(self._generate(number, message["requests"]))
            elif message["do"] == "drop":
                await self._drop(message["number"])
                self._wire.answer(number, None)
            else:
                self._wire.fail(number, EngineError(f"the host does not know {message['do']!r}"))

    async def _generate(self, number: int, requests: Sequence[Message]) -> None:
        tasks = [asyncio.create_task(self._one(request)) for request in requests]
        try:
            for ended in asyncio.as_completed(tasks):
                self._wire.say(id=number, answer=await ended)
            self._wire.say(id=number, done=True)
        except VortexError as error:
            self._wire.fail(number, error)
        except Exception as error:        # whatever it is, the parent waits for a word
            self._wire.fail(number, EngineError(f"SGLang did not serve a request: {error or type(error).__name__}"))
        finally:
            for task in tasks:
                task.cancel()
            self._abort(requests)
            del self._running[number]

    async def _one(self, request: Message) -> Message:
        """The requests of one call reach the scheduler in their order."""
        stops = request["stop"]
        own = set(self._engine.tokenizer_manager.model_config.hf_eos_token_id or ())
        watched = stops is not None and not request["ignore_eos"] and not own <= set(stops)
        sampling = {setting: request[setting] for setting in ("max_new_tokens", "temperature", "top_p")}
        sampling |= {"top_k": request["top_k"] or -1, "sampling_seed": request["seed"],
                     "stop_token_ids": stops or None, "ignore_eos": request["ignore_eos"] or watched}
        asked = {"input_ids": request["tokens"], "sampling_params": sampling, "rid": named(request["id"], request["seed"])}
        return await self._until(asked, stops) if watched else _completion(await self._engine.async_generate(**asked))

    async def _until(self, asked: Mapping[str, Any], stops: Sequence[int]) -> Message:
        """SGLang always ends at the model's own end-of-text ids: where they are not among `stops`, its stream is watched."""
        async for result in await self._engine.async_generate(**asked, stream=True):
            at = next((i for i, token in enumerate(result["output_ids"]) if token in stops), None)
            if at is not None:
                self._engine.tokenizer_manager.abort_request(asked["rid"])
                return {**_completion(result), "tokens": result["output_ids"][:at + 1], "finish": "stop"}
        return _completion(result)

    def _abort(self, requests: Sequence[Message]) -> None:
        """Those that still run."""
        for request in requests:
            self._engine.tokenizer_manager.abort_request(named(request["id"], request["seed"]))

    async def _drop(self, number: int) -> None:
        """Their names are free again afterwards."""
        task = self._running.get(number)
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        while self._engine.tokenizer_manager.rid_to_state:
            await asyncio.sleep(DROPPED_S)


def _completion(result: Message) -> Message:
    """As vortex.serving.engine.Completion. Raises EngineError for a request that was aborted."""
    meta = result["meta_info"]
    finish = meta["finish_reason"] or {"type": "length"}
    if finish["type"] == "abort":
        raise EngineError(f"SGLang gave a request up: {finish.get('message', 'it does not say why')}")
    ended = meta["request_received_ts"] + meta["e2e_latency"] if "e2e_latency" in meta else time.time()
    first = meta.get("prefill_finished_time", ended)
    return {"id": request_of(meta["id"]), "tokens": result["output_ids"], "finish": finish["type"],
            "prefill_s": max(0.0, first - meta.get("forward_entry_time", first)), "decode_s": max(0.0, ended - first),
            "cached_tokens": meta.get("cached_tokens", 0)}


def chosen(told: Mapping[str, Mapping[str, Any]], *, cuda: bool) -> dict[str, Any]:
    """SGLang's arguments on this device, from options.py."""
    own = {"skip_tokenizer_init": True, "attention_backend": "vortex", "log_level": "warning", "enable_metrics": True}
    given = {name: value for name, value in told["everywhere"].items() if value is not None}
    return {**own, **given} if cuda else {**own, **told["on_cpu"], **given, "disable_cuda_graph": True}


def main() -> None:
    wire, folder = Wire(int(sys.argv[1]), Path(sys.argv[2])), Path(sys.argv[2])
    told = json.loads((folder / "arguments.json").read_text())
    try:
        version = check_version()
        engine = _started(told)
    except VortexError as error:
        wire.fail(0, error)
        sys.exit(error.exit_code)
    wire.answer(0, {"version": version, **_facts(engine)})
    engine.loop.run_until_complete(Host(engine, wire).serve())
    end(folder)


def _started(told: Mapping[str, Any]) -> Any:
    import torch  # SGLang's children import this module again, before they have said which device they see

    cuda = bool(torch.cuda.is_available())
    if not cuda:
        os.environ.update(cpu_environment(_ranks(told["everywhere"])))
    import sglang  # once it knows the device

    return sglang.Engine(**chosen(told, cuda=cuda))


def _ranks(told: Mapping[str, Any]) -> int:
    """Processes that share the model out."""
    return int(told.get("tp_size") or 1) * int(told.get("dp_size") or 1)


def _facts(engine: Any) -> Message:
    """Of what was started."""
    info = engine._scheduler_init_result.scheduler_infos[0]
    return {"tokens": int(info["max_total_num_tokens"]), "context": int(engine.tokenizer_manager.context_len),
            "deterministic": bool(engine.server_args.enable_deterministic_inference)}


if __name__ == "__main__":
    main()
