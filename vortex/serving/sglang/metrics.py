"""Our numbers on SGLang's own metrics page, under the labels that it gives its own."""
from collections.abc import Mapping
from typing import Any

COUNTED = {
    "steps": ("vortex_decode_steps", "Decode steps that a flow was served for."),
    "dense_steps": ("vortex_dense_steps", "Decode steps that were dense as a whole, since all contexts were short."),
    "selected_blocks": ("vortex_selected_blocks", "KV blocks attended by sparse decode steps, one for each request, layer and "
                        "KV head of this rank."),
    "possible_blocks": ("vortex_possible_blocks", "KV blocks that dense attention would have read in the same steps."),
    "swaps": ("vortex_swaps", "Times that the flow was swapped."),
}
INDEX = ("vortex_index_bytes", "Memory of this rank that summaries of KV blocks take, in bytes.")


class Metrics:
    """Counters are told as totals; what is not told is left as it was."""

    def __init__(self, labels: Mapping[str, Any]) -> None:
        # It looks for SGLang's folder of measurements when it is imported, and SGLang sets that first.
        from prometheus_client import Counter, Gauge

        self._counters = {key: Counter(name, text, labels.keys()).labels(**labels) for key, (name, text) in COUNTED.items()}
        self._index = Gauge(*INDEX, labels.keys(), multiprocess_mode="mostrecent").labels(**labels)
        self._told = dict.fromkeys(COUNTED, 0)

    def publish(self, totals: Mapping[str, int]) -> None:
        for key, counter in self._counters.items():
            counter.inc(totals[key] - self._told[key])
            self._told[key] = totals[key]
        self._index.set(totals["index_bytes"])
