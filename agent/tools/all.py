"""Every tool by name, in the order in which a model reads of them."""
from agent.tools.box import Spec
from agent.tools.evidence import EVIDENCE_TOOLS
from agent.tools.reading import READING_TOOLS
from agent.tools.texts import TEXT_TOOLS

TOOLS: tuple[Spec, ...] = (*READING_TOOLS, *EVIDENCE_TOOLS, *TEXT_TOOLS)
