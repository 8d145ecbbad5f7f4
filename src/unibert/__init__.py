"""UniBERT: small multilingual encoders from Wikipedia dumps, and the proof of how good they are."""

from importlib.metadata import version

__version__ = version("unibert")
