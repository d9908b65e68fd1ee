"""Errors: each says what was wrong, where, and what to do about it."""

from __future__ import annotations


class VultusError(Exception):
    """Base of every error that Vultus raises on purpose."""


class ImageError(VultusError):
    """A picture could not be read. The message names the source and the reason."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"{source}: {reason}")
        self.source = source
        self.reason = reason


class NotComputedError(VultusError, AttributeError):
    """A field of a :class:`~vultus.faces.Face` was read before its predictor ran.

    It is an ``AttributeError`` too, so ``hasattr`` and ``getattr(face, name, default)`` work.
    """


class NoFaceError(VultusError):
    """A picture that must show a face shows none."""


class SpaceMismatchError(VultusError):
    """Embeddings of different models or alignments were compared."""


class WeightsError(VultusError):
    """A weight file is missing, damaged, of a refused licence, or not in the manifest."""


class ProviderError(VultusError):
    """The requested accelerator is not available."""


class GalleryError(VultusError):
    """A gallery is missing, damaged, locked by a wrong key, or of another embedding space."""


class GalleryFullError(GalleryError):
    """There is no room for a change of a gallery: disk, quota or size of files. It is unchanged."""


class DatasetError(VultusError):
    """A data set folder does not have the expected layout."""


class ConfigError(VultusError):
    """A recipe, option or environment variable has a value that cannot be used."""


class TrainingError(VultusError):
    """A training run, checkpoint or export cannot go on. The message names the file or step."""


class MeasureError(VultusError):
    """Scores, labels or predictions cannot be measured: empty, not finite, or not matching."""
