"""The proxies by name, without what computing them takes: campaign files and help texts need the names alone."""
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Proxy:
    """`loss`: lower is better; else higher is, and its complement to 1 is the loss."""

    doc: str
    loss: bool = True


OFFLINE: Mapping[str, Proxy] = {
    "output_error": Proxy("relative L2 error of the attention output"),
    "worst_head": Proxy("the same of the worst layer and kv head"),
    "mass": Proxy("share of attention mass in the blocks attended", loss=False),
    "recall": Proxy("share of the blocks attended that exact mass would take", loss=False),
}
REPLAYED: Mapping[str, Proxy] = {
    "kl": Proxy("mean KL of next tokens from dense decoding, in nats"),
    "kl_p99": Proxy("its 99th percentile over a trajectory's tokens"),
    "kl_uncertain": Proxy("the same mean over the fifth of tokens of the highest entropy"),
    "disagreement": Proxy("share of tokens where another one is the likeliest"),
}
PROXIES: Mapping[str, Proxy] = {**OFFLINE, **REPLAYED}


def loss(name: str, value: float) -> float:
    """A proxy's value so that less is better."""
    return value if PROXIES[name].loss else 1.0 - value
