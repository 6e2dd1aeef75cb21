"""Packages named `vortex_torch` that a flow file finds while it is executed here: the text of ours alone, never a user's."""
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.oracle import cache, indexer
from tests.oracle.values import Format, Tensor

Shapes = dict[str, tuple[int, int]]


class vFlow(ABC):
    """The contract of a flow over keys and values."""

    block_size = head_dim = 0

    @abstractmethod
    def create_cache(self, block_size: int, head_dim: int) -> Shapes: ...

    @abstractmethod
    def forward_cache(self, cache: Any, loc: Any, ctx: Any) -> None: ...

    @abstractmethod
    def forward_indexer(self, q: Any, o: Any, cache: Any, ctx: Any) -> None: ...


class vFlowMLA(ABC):
    """The contract of a flow over the fused latent."""

    block_size = head_dim = 0

    @abstractmethod
    def create_cache(self, block_size: int, kv_lora_rank: int, qk_rope_head_dim: int) -> Shapes: ...

    @abstractmethod
    def forward_cache(self, cache: Any, loc: Any, ctx: Any) -> None: ...

    @abstractmethod
    def forward_indexer(self, q: Any, o: Any, cache: Any, ctx: Any) -> None: ...


Flow = vFlow | vFlowMLA


def _modules(register: Callable[[str], Any]) -> dict[str, ModuleType]:
    contents: dict[str, dict[str, Any]] = {
        "vortex_torch": {},
        "vortex_torch.flow": {"vFlow": vFlow, "vFlowMLA": vFlowMLA, "register": register},
        "vortex_torch.abs": {"ContextBase": object, "vTensor": Tensor, "FORMAT": Format},
        "vortex_torch.indexer": indexer.EXPORTS,
        "vortex_torch.cache": cache.EXPORTS,
    }
    modules = {}
    for name, names in contents.items():
        modules[name] = ModuleType(name)
        modules[name].__dict__.update(names)
    return modules


@contextmanager
def _standing_in(register: Callable[[str], Any]) -> Iterator[None]:
    modules = _modules(register)
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def load(path: Path) -> dict[str, type[Flow]]:
    """The flows that a file registers, by name, in the order of registering."""
    return execute(path.read_text(), str(path))


def execute(text: str, place: str) -> dict[str, type[Flow]]:
    """As `load`, of a text that is at hand."""
    found: dict[str, type[Flow]] = {}

    def register(name: str) -> Callable[[type[Flow]], type[Flow]]:
        def enter(flow: type[Flow]) -> type[Flow]:
            assert issubclass(flow, vFlow | vFlowMLA) and name not in found
            found[name] = flow
            return flow

        return enter

    with _standing_in(register):
        exec(compile(text, place, "exec"), {"__name__": "corpus"})
    return found
