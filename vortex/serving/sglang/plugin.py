"""SGLang's way in: `register` is named under the entry point sglang.srt.plugins, and SGLang calls it in every process of its."""
import sys

from vortex.errors import VortexError
from vortex.serving.sglang.settings import read_settings
from vortex.serving.sglang.versions import check_version

NAME = "vortex"


def register() -> None:
    """Makes `--attention-backend vortex` known where a flow is configured; else changes nothing.

    SGLang logs what plug-ins raise and goes on: a refusal therefore ends the process.
    """
    try:
        settings = read_settings()
        if settings is None:
            return
        check_version()
        from vortex.serving.sglang.hooks import install  # SGLang itself: nothing of it is imported without a flow

        install(NAME, settings)
    except VortexError as error:
        print(error.report(), file=sys.stderr)
        sys.exit(error.exit_code)
