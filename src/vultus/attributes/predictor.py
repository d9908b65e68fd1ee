"""Aligned crops to age and sex, by any ONNX network that ``age_sex`` exports."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from vultus.geometry import Template, UInt8Array, template
from vultus.runtime import CropNetwork

#: The network used where none is named, and the alignment of its crops.
DEFAULT, TEMPLATE = "age-sex", "dlib150"


@dataclass(frozen=True, slots=True)
class AgeSexAnswer:
    """What the network says of one face; an impression of a picture, never a fact of a person.

    Parameters
    ----------
    age
        Years, the mean of the network's distribution.
    age_deviation
        Standard deviation of that distribution in years.
    male
        Probability in [0, 1] of the class "male" of the sets it was taught on; 1 minus it is that
        of "female".
    """

    age: float
    age_deviation: float
    male: float

    def to_dict(self) -> dict[str, Any]:
        """Return the values of ``Face.attributes``."""
        sex = "male" if self.male >= 0.5 else "female"
        return {
            "age": self.age,
            "age_deviation": self.age_deviation,
            "sex": sex,
            "sex_probability": max(self.male, 1 - self.male),
        }


class AttributePredictor:
    """The network on batches of crops. Thread safe; keeps no state between calls.

    Parameters
    ----------
    name
        An attribute network of the manifest.
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
            name, "attributes", side=self.template.size, provider=provider, threads=threads,
            allow_licenses=allow_licenses, offline=offline,
        )  # fmt: skip
        self.name = self._network.name

    def predict(self, crops: UInt8Array) -> list[AgeSexAnswer]:
        """Return the answers for crops, uint8 RGB (N, S, S, 3), aligned to :attr:`template`.

        Raises
        ------
        VultusError
            If the crops do not fit.
        """
        answers = self._network.run(crops)[0]
        return [AgeSexAnswer(float(a), float(d), float(m)) for a, d, m in answers]
