"""GPUs by their data sheets: what a roofline needs to know of a chip. Dense rates, not those of structured sparsity."""
import re
from dataclasses import dataclass

from vortex.errors import PointError
from vortex.language.calls import nearest


@dataclass(frozen=True, kw_only=True)
class Chip:
    name: str
    arch: str                             # what kernels are built for
    bandwidth: float                      # bytes a second of its memory
    product_rate: float                   # bfloat16 operations a second on tensor cores
    operation_rate: float                 # float32 operations a second on ordinary cores
    memory_bytes: int
    sms: int
    l2_bytes: int
    source: str

    @property
    def ridge(self) -> float:
        """Operations a byte from which on a product of bfloat16 is bound by arithmetic."""
        return self.product_rate / self.bandwidth


GB = 10**9
MB = 2**20
CHIPS = {chip.name.lower(): chip for chip in (
    Chip(name="H100", arch="sm_90", bandwidth=3.35e12, product_rate=989e12, operation_rate=67e12, memory_bytes=80 * GB,
         sms=132, l2_bytes=50 * MB, source="NVIDIA H100 data sheet, SXM; Hopper white paper for SMs and L2"),
    Chip(name="H200", arch="sm_90", bandwidth=4.8e12, product_rate=989e12, operation_rate=67e12, memory_bytes=141 * GB,
         sms=132, l2_bytes=50 * MB, source="NVIDIA H200 data sheet, SXM; chip as H100"),
    Chip(name="B200", arch="sm_100", bandwidth=8e12, product_rate=2250e12, operation_rate=80e12, memory_bytes=180 * GB,
         sms=148, l2_bytes=126 * MB, source="NVIDIA HGX and DGX B200 data sheets, per GPU at 1,000 W; CUDA device properties "
                                            "for SMs and L2"),
    Chip(name="A100", arch="sm_80", bandwidth=2.039e12, product_rate=312e12, operation_rate=19.5e12, memory_bytes=80 * GB,
         sms=108, l2_bytes=40 * MB, source="NVIDIA A100 data sheet, 80 GB SXM; Ampere white paper for SMs and L2"),
    Chip(name="L40S", arch="sm_89", bandwidth=0.864e12, product_rate=362e12, operation_rate=91.6e12, memory_bytes=48 * GB,
         sms=142, l2_bytes=96 * MB, source="NVIDIA L40S data sheet; Ada white paper for SMs and L2 of the AD102 chip"),
)}
OTHERS = frozenset({"pcie", "nvl", "40gb", "mig"})       # of one name and with less or other memory


def recognised(device: str) -> Chip | None:
    """The chip that a driver calls `device` (NVIDIA H100 80GB HBM3); None: not in the table."""
    words = re.split(r"[^a-z0-9]+", device.lower())
    return None if OTHERS.intersection(words) else next((CHIPS[word] for word in words if word in CHIPS), None)


def find_chip(name: str) -> Chip:
    """Raises PointError with the nearest names."""
    found = CHIPS.get(name.lower())
    if found is None:
        raise PointError(f"there is no GPU {name!r} in the table", hint=nearest(name.lower(), list(CHIPS)))
    return found
