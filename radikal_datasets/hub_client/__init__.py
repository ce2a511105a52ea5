"""The client side of a Hub: its address and token, transfers, and checks of its responses."""

# Before any module of this package: importing it adapts it (see the package's __init__), which imports these modules.
import huggingface_hub as huggingface_hub
