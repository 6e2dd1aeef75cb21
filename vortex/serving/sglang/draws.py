"""The numbers that SGLang's sampler draws by seed, where its kernel for them is not: MurmurHash3 (Appleby, 2011), 32 bits."""
import torch

WORD = 0xFFFFFFFF


def draw_hash(seeds: torch.Tensor, positions: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Of four words each: the seed's low and high half, a row's position, a column. [n], [n], [m] -> int64 [n, m] below 2**32."""
    seed = seeds.to(torch.int64)
    rows = _mixed(_mixed(torch.zeros_like(seed), seed & WORD), (seed >> 32) & WORD)
    rows = _mixed(rows, positions.to(torch.int64) & WORD)
    return _finished(_mixed(rows[:, None], columns.to(torch.int64)[None] & WORD) ^ 16)


def _mixed(state: torch.Tensor, word: torch.Tensor) -> torch.Tensor:
    """Products may pass 64 bits: their low words are right all the same."""
    word = _turned(word * 0xCC9E2D51 & WORD, 15) * 0x1B873593 & WORD
    return _turned(state ^ word, 13) * 5 + 0xE6546B64 & WORD


def _turned(word: torch.Tensor, bits: int) -> torch.Tensor:
    return (word << bits | word >> 32 - bits) & WORD


def _finished(state: torch.Tensor) -> torch.Tensor:
    state = (state ^ state >> 16) * 0x85EBCA6B & WORD
    state = (state ^ state >> 13) * 0xC2B2AE35 & WORD
    return state ^ state >> 16
