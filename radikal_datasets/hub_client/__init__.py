"""Who is talked to, how files travel, and what is believed of a Hub's answers."""

# Before any module of this package: importing it adapts it (see the package's __init__), which imports these modules.
import huggingface_hub as huggingface_hub
