"""What a campaign's workers may use."""
from dataclasses import dataclass

from vortex.errors import EngineError


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """`address` None starts a Ray of our own, which ends with the command; else that of a running one, or "auto".

    `workers`: how many stages run at once; None is one a GPU (or a group of `gpus_per_worker`, a tensor-parallel group),
    and one a node where there is no GPU, for a timing must be alone. `threads` is what an engine on CPU may use.
    `memory_bytes` is what a candidate may add to its worker and all that the worker started. `load_s` is how long a worker
    may take to start and load a model, `lives` how many workers a job may lose through no fault that is known, `silent_s`
    after how long a node that does not answer is given up. Raises EngineError.
    """

    address: str | None = None
    workers: int | None = None
    gpus_per_worker: int = 1
    threads: int = 1
    memory_bytes: int = 4 << 30
    load_s: float = 300.0
    lives: int = 3
    silent_s: float = 30.0

    def __post_init__(self) -> None:
        for name in ("workers", "gpus_per_worker", "threads", "memory_bytes", "load_s", "lives", "silent_s"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise EngineError(f"{name} of the workers is {value}", hint=f"{name} is more than zero.")

    def slots_of(self, cpus: float, gpus: float) -> int:
        """How many workers a node of so many cores and GPUs could hold."""
        if gpus:
            return int(gpus) // self.gpus_per_worker
        return min(1, int(cpus) // self.threads) if self.workers is None else int(cpus) // self.threads
