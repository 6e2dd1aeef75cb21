"""Several candidates judged at once, each in a thread of its own that asks the runner for a slot."""
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TypeVar

from agent.clock import Clock

Result = TypeVar("Result")


@dataclass(frozen=True)
class Crew:
    """`size` is how many work at once; below two, they work in the caller's own thread. The `clock` counts waiting as
    evaluating."""

    size: int
    clock: Clock

    def each(self, jobs: Sequence[Callable[[], Result]]) -> list[Result]:
        """Runs all jobs; results come in their order, and so does the first error, once those in flight have ended."""
        if self.size < 2 or len(jobs) < 2:
            return [job() for job in jobs]
        pool = ThreadPoolExecutor(self.size, thread_name_prefix="judge")
        try:
            futures = [pool.submit(job) for job in jobs]
            with self.clock.part("evaluating"):
                failed = [one for one in wait(futures, return_when="FIRST_EXCEPTION").done if one.exception() is not None]
                if failed:
                    pool.shutdown(wait=True, cancel_futures=True)
            for one in futures:
                if not one.cancelled() and (error := one.exception()) is not None:
                    raise error
            return [one.result() for one in futures]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
