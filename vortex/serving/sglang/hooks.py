"""What the plug-in registers with SGLang: the backend by its name, and the lists that a backend must be on to be allowed."""
from sglang.srt.arg_groups import choices
from sglang.srt.layers.attention.attention_registry import HYBRID_GDN_SM100_BACKENDS, register_attention_backend
from sglang.srt.models.deepseek_common.attention_backend_handler import AttentionBackendRegistry, AttnForwardMethod

from vortex.serving.sglang.backend import make_backend
from vortex.serving.sglang.graphs import install_graphs
from vortex.serving.sglang.prompt_ids import install_prompt_check
from vortex.serving.sglang.resolution import install_resolution
from vortex.serving.sglang.scheduler import install_commands
from vortex.serving.sglang.seeded import install_seeds
from vortex.serving.sglang.settings import Settings

LISTS = ((choices.ATTENTION_BACKEND_CHOICES, choices.add_attention_backend_choices),
         (choices.DETERMINISTIC_ATTENTION_BACKEND_CHOICES, choices.add_deterministic_attention_backend_choices),
         (choices.RADIX_SUPPORTED_DETERMINISTIC_ATTENTION_BACKEND,
          choices.add_radix_supported_deterministic_attention_backend_choices))


def install(name: str, settings: Settings) -> None:
    """In this process; doing it again changes nothing."""
    if all(name in listed for listed, _ in LISTS):
        return
    for _, add in LISTS:
        add([name])
    HYBRID_GDN_SM100_BACKENDS.add(name)
    install_resolution(settings)
    install_seeds()
    install_commands(settings)
    install_graphs()
    install_prompt_check()
    register_attention_backend(name)(lambda runner: make_backend(runner, settings))
    # Latent attention absorbed in prefill as well: the pool then holds what the backend is given.
    AttentionBackendRegistry.register(name, lambda attention, batch: AttnForwardMethod.MLA)
