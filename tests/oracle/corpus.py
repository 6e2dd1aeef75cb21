"""The flow files of tests/corpus, as the oracle reads them."""
import re
from dataclasses import dataclass
from pathlib import Path

from tests.oracle.package import Flow, load, vFlowMLA

FOLDER = Path(__file__).parent.parent / "corpus"
REFERENCE = {
    "block_sparse_attention", "gqa_block_sparse_attention", "gqa_quest_sparse_attention", "lserve_sparse_attention",
    "lserve_centroid_sparse_attention", "masked_quest_sparse_attention", "centered_block_sparse_attention",
    "running_avg_block_sparse", "venergy_gated_centroid", "rope_aware_block_sparse_mla", "lserve_centroid_mla",
    "rope_unaware_block_sparse_mla", "rope_unaware_lserve_centroid_mla",
    *(f"rope_weighted_block_sparse_mla_b{b}" for b in (10, 25, 50, 75, 90, 100)),
}


@dataclass(frozen=True)
class Entry:
    """One registered flow."""

    name: str
    path: Path
    flow: type[Flow]

    @property
    def text(self) -> str:
        return self.path.read_text()

    @property
    def latent(self) -> bool:
        return issubclass(self.flow, vFlowMLA)

    @property
    def by_token(self) -> bool:
        """Flows that ask for blocks of one token."""
        return self.path.stem == "h2o_token"

    @property
    def keeps_state(self) -> bool:
        return re.search(r"^from vortex_torch.indexer import .*\bSave\b", self.text, re.MULTILINE) is not None


ENTRIES = [Entry(name, path, flow) for path in sorted(FOLDER.glob("*.py")) for name, flow in load(path).items()]
