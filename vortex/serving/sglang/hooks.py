"""What the plug-in registers with SGLang: the backend by its name, and the lists that a backend must be on to be allowed."""
from sglang.srt.arg_groups import choices
from sglang.srt.layers.attention.attention_registry import register_attention_backend
from sglang.srt.models.deepseek_common.attention_backend_handler import AttentionBackendRegistry, AttnForwardMethod

from vortex.serving.sglang.backend import make_backend
from vortex.serving.sglang.scheduler import install_commands
from vortex.serving.sglang.seeded import install_seeds
from vortex.serving.sglang.settings import Settings


def install(name: str, settings: Settings) -> None:
    """In this process; doing it again changes nothing."""
    for listed, add in ((choices.ATTENTION_BACKEND_CHOICES, choices.add_attention_backend_choices),
                        (choices.DETERMINISTIC_ATTENTION_BACKEND_CHOICES, choices.add_deterministic_attention_backend_choices)):
        if name not in listed:
            add([name])
    install_seeds()
    install_commands(settings)
    register_attention_backend(name)(lambda runner: make_backend(runner, settings))
    # Latent attention absorbed in prefill as well: the pool then holds what the backend is given.
    AttentionBackendRegistry.register(name, lambda attention, batch: AttnForwardMethod.MLA)
