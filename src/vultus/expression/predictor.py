"""Aligned crops to expressions, by any ONNX network that ``classifier`` exports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np

from vultus.geometry import Template, UInt8Array, template
from vultus.runtime import CropNetwork

#: The network used where none is named, and the alignment of its crops.
DEFAULT, TEMPLATE = "expression", "dlib150"

#: Classes, in the order of the network's output.
EXPRESSIONS = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger")

#: Valence and arousal of each expression, in [-1, 1]: this project's places for them on the
#: circumplex of affect (Russell, "A circumplex model of affect", 1980).
CIRCUMPLEX = MappingProxyType(
    {
        "neutral": (0.0, 0.0),
        "happiness": (0.9, 0.2),
        "sadness": (-0.8, -0.4),
        "surprise": (0.4, 0.8),
        "fear": (-0.1, 0.8),
        "disgust": (-0.6, 0.4),
        "anger": (-0.4, 0.8),
    }
)


class ExpressionPredictor:
    """The network on batches of crops. Thread safe; keeps no state between calls.

    Parameters
    ----------
    name
        An expression network of the manifest. ``expression`` has seen renders alone and may be
        used for anything; ``expression-research`` has seen labelled photographs and is better.
    provider, threads, allow_licenses, offline
        See :class:`~vultus.runtime.CropNetwork`.

    Attributes
    ----------
    name : str
        Identifier of the network.
    template : Template
        Alignment that crops must have.
    """

    def __init__(
        self,
        name: str = DEFAULT,
        provider: str = "cpu",
        threads: int | None = None,
        *,
        allow_licenses: Iterable[str] | None = None,
        offline: bool | None = None,
    ) -> None:
        self.template: Template = template(TEMPLATE)
        self._network = CropNetwork(
            name, "expression", side=self.template.size, provider=provider, threads=threads,
            allow_licenses=allow_licenses, offline=offline,
        )  # fmt: skip
        self.name = self._network.name

    def predict(self, crops: UInt8Array) -> list[Mapping[str, float]]:
        """Return per crop the probability of each expression, ``valence`` and ``arousal``.

        Valence and arousal are the expected place on the circumplex of affect under these
        probabilities; the network does not measure them by themselves.

        Parameters
        ----------
        crops
            uint8 RGB (N, S, S, 3), aligned to :attr:`template`.

        Raises
        ------
        VultusError
            If the crops do not fit.
        """
        probabilities = self._network.run(crops)[0].astype(np.float64)
        places = probabilities @ np.array([CIRCUMPLEX[name] for name in EXPRESSIONS])
        return [
            dict(zip(EXPRESSIONS, row.tolist(), strict=True))
            | {"valence": float(place[0]), "arousal": float(place[1])}
            for row, place in zip(probabilities, places, strict=True)
        ]
