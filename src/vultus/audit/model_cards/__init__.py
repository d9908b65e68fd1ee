"""Model cards (Mitchell et al., FAT* 2019): evaluated per group, rendered, and checked offline.

A card is made from what an author says of a model and from a frozen table of its predictions; every
number of it is computed from that table. See :func:`make_card`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from vultus.audit.model_cards.evaluation import Evaluation, evaluate
from vultus.audit.model_cards.evidence import NOT_EVALUATED, Provenance, Threshold
from vultus.audit.model_cards.files import check_file, from_json, load_card, save_card, to_json
from vultus.audit.model_cards.huggingface import front_matter, to_hub
from vultus.audit.model_cards.making import Plan, make_card, read_description
from vultus.audit.model_cards.markdown import to_markdown
from vultus.audit.model_cards.plots import interval_plot
from vultus.audit.model_cards.recipe import ClassifierSettings
from vultus.audit.model_cards.schema import Description, ModelCard
from vultus.audit.model_cards.systems import system_card, system_cards
from vultus.audit.model_cards.table import GroupColumn, PredictionTable, read_table
from vultus.audit.model_cards.thresholds import choose_threshold, fixed_threshold
from vultus.audit.model_cards.validation import Problem, problems, table_problems
from vultus.audit.model_cards.weights import weight_card, weight_cards
from vultus.registry import system

if TYPE_CHECKING:
    from vultus.audit.model_cards.classifier import Classifier
    from vultus.nets.learning import Data, Export

__all__ = [
    "NOT_EVALUATED",
    "Description",
    "Evaluation",
    "GroupColumn",
    "ModelCard",
    "ModelCards",
    "Plan",
    "PredictionTable",
    "Problem",
    "Provenance",
    "Threshold",
    "check_file",
    "choose_threshold",
    "evaluate",
    "fixed_threshold",
    "from_json",
    "front_matter",
    "interval_plot",
    "load_card",
    "make_card",
    "problems",
    "read_description",
    "read_table",
    "save_card",
    "system_card",
    "system_cards",
    "table_problems",
    "to_hub",
    "to_json",
    "to_markdown",
    "weight_card",
    "weight_cards",
]


@system("model-cards", paper=41, task="audit")
class ModelCards:
    """Model cards with disaggregated evaluation, made from frozen predictions.

    What a recipe trains is the small classifier of the worked card; PyTorch is loaded by these
    methods and not before, so that cards can be made and checked without it.
    """

    settings: ClassVar[type[ClassifierSettings]] = ClassifierSettings
    make = staticmethod(make_card)
    check = staticmethod(problems)

    @staticmethod
    def build(config: ClassifierSettings) -> Classifier:
        """Return an untrained classifier."""
        from vultus.audit.model_cards import classifier

        return classifier.build(config)

    @staticmethod
    def data(config: ClassifierSettings, seed: int) -> Data:
        """Return the training stream and the development pictures."""
        from vultus.audit.model_cards import classifier

        return classifier.data(config, seed)

    @staticmethod
    def evaluate(learner: Classifier, development: Any) -> Mapping[str, float]:
        """Return accuracy and area under the ROC curve."""
        from vultus.audit.model_cards import classifier

        return classifier.evaluate(learner, development)

    @staticmethod
    def export(learner: Classifier) -> Mapping[str, Export]:
        """Return the network with probabilities as output."""
        from vultus.audit.model_cards import classifier

        return classifier.export(learner)
