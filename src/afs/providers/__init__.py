"""Language models behind one call: `provider("openai:gpt-5.2").complete(messages, sampling)`."""

from afs.providers.base import Provider, Sampling, provider

__all__ = ["Provider", "Sampling", "provider"]
