"""Who is it: templates of aligned faces."""

from vultus.recognition.predictor import Embedder, EmbedderSpec

__all__ = ["Embedder", "EmbedderSpec"]
