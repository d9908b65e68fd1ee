"""Settings of the worked card's classifier; no PyTorch needed to read them."""

from __future__ import annotations

from vultus.settings import settings


@settings
class ClassifierSettings:
    """What the classifier is and learns from.

    Parameters
    ----------
    file
        ``.npz`` written by :meth:`~vultus.audit.model_cards.pictures.LabelledPictures.save`; None
        draws a few patterns, for dry runs.
    size
        Side of the pictures in pixels, a multiple of 16.
    base
        Channels of the first stage.
    batch
        Pictures per step.
    dropout
        Before the last layer.
    """

    file: str | None
    size: int = 64
    base: int = 16
    batch: int = 64
    dropout: float = 0.2

    def __post_init__(self) -> None:
        if self.size < 16 or self.size % 16 or min(self.base, self.batch) < 1:
            raise ValueError("need size a multiple of 16, and base and batch of 1 or more")
        if not 0 <= self.dropout < 1:
            raise ValueError("dropout must lie in [0, 1)")
