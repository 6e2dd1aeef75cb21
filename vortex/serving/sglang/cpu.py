"""What SGLang's processes find in their environment where there is no GPU."""
import os
from collections.abc import Collection, Mapping

ENGINE, DYNAMO, CORES = "SGLANG_USE_CPU_ENGINE", "TORCHDYNAMO_DISABLE", "SGLANG_CPU_OMP_THREADS_BIND"


def cpu_environment(ranks: int = 1, cores: Collection[int] | None = None,
                    environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variables to be set; those that are set already are the user's.

    Functions that SGLang compiles stay as they are: the compiler asks for Triton. Several ranks share the cores out, which
    SGLang leaves to the user where a machine has fewer NUMA nodes than ranks.
    """
    wanted = {ENGINE: "1", DYNAMO: "1"}
    if ranks > 1:
        wanted[CORES] = "|".join(_share(sorted(cores or os.sched_getaffinity(0)), rank, ranks) for rank in range(ranks))
    known = os.environ if environment is None else environment
    return {name: value for name, value in wanted.items() if name not in known}


def _share(cores: list[int], rank: int, ranks: int) -> str:
    """Cores of a rank; where there are fewer than ranks, some are shared."""
    each = len(cores) // ranks
    return ",".join(map(str, cores[rank * each:(rank + 1) * each])) if each else str(cores[rank % len(cores)])
