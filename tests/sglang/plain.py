"""SGLang without our backend, run by its own Python: `plain.py JOB ANSWERS`, both JSON.

JOB: {"model": path, "engine": arguments of sglang.Engine, "batches": [[{"input_ids", "sampling_params"}, ...], ...]}.
ANSWERS: [[token ids, ...], ...]. Processes that SGLang spawns import this file as well: what stands at its top holds there.
"""
import json
import sys
from pathlib import Path

from sglang.srt.arg_groups.choices import (
    add_deterministic_attention_backend_choices,
    add_radix_supported_deterministic_attention_backend_choices,
)

from vortex.serving.sglang.seeded import install_seeds

BACKEND = "torch_native"                  # SGLang's own where there is no GPU

# Its attention gives the same numbers each time, and SGLang has not listed it.
add_deterministic_attention_backend_choices([BACKEND])
add_radix_supported_deterministic_attention_backend_choices([BACKEND])
install_seeds()


def main() -> None:
    import sglang  # after its plug-ins' hooks are known

    job, answers = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    engine = sglang.Engine(model_path=job["model"], device="cpu", dtype="float32", attention_backend=BACKEND,
                           skip_tokenizer_init=True, disable_cuda_graph=True, mem_fraction_static=0.3, log_level="warning",
                           **job["engine"])
    told = [engine.generate(**{name: [ask[name] for ask in batch] for name in ("input_ids", "sampling_params")})
            for batch in job["batches"]]
    answers.write_text(json.dumps([[one["output_ids"] for one in batch] for batch in told]))
    engine.shutdown()


if __name__ == "__main__":
    main()
