"""The nine sections of a model card, typed (Mitchell et al., FAT* 2019, sections 4.1 to 4.9).

What is not known is written as ``"not evaluated"``; nothing is left blank. Fields that say
*measured* are filled by code from a frozen prediction table and never by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from vultus.audit.model_cards.evidence import (
    NOT_EVALUATED,
    Disparity,
    EvaluationFactor,
    Figure,
    FrozenTable,
    Measure,
    NotEvaluated,
    ReportedFigure,
    Result,
    Threshold,
    Uncertainty,
)
from vultus.settings import settings

#: Version of the JSON layout.
SCHEMA: Final = 1

Texts = tuple[str, ...] | NotEvaluated


@settings
class ModelDetails:
    """Section 4.1: which model this is.

    Parameters
    ----------
    name
        Title of the card.
    id
        Name in file names and on a hub: letters, digits, dots and dashes.
    developers, date, version, kind
        Who made it, when, which release, and what type of network it is.
    training
        Training algorithm and parameters.
    fairness
        Fairness constraints that training or data applied.
    features
        What the model takes and gives.
    paper, citation, homepage
        Where it is described, how to cite it, where it comes from.
    licence
        SPDX identifier where there is one.
    commercial
        Whether commercial use is allowed.
    contact
        Where to send questions.
    sha256
        Of the weight file.
    """

    name: str
    id: str
    developers: str = NOT_EVALUATED
    date: str = NOT_EVALUATED
    version: str = NOT_EVALUATED
    kind: str = NOT_EVALUATED
    training: str = NOT_EVALUATED
    fairness: str = NOT_EVALUATED
    features: str = NOT_EVALUATED
    paper: str = NOT_EVALUATED
    citation: str = NOT_EVALUATED
    homepage: str = NOT_EVALUATED
    licence: str = NOT_EVALUATED
    commercial: Literal["yes", "no", "unclear", "not evaluated"] = NOT_EVALUATED
    contact: str = NOT_EVALUATED
    sha256: str = NOT_EVALUATED


@settings
class IntendedUse:
    """Section 4.2: what the model is for, for whom, and what it is not for."""

    primary_uses: Texts = NOT_EVALUATED
    primary_users: Texts = NOT_EVALUATED
    out_of_scope: Texts = NOT_EVALUATED


@settings
class Factors:
    """Section 4.3: what could change performance, and what was looked at.

    Parameters
    ----------
    groups, instrumentation, environment
        Relevant factors: of people, of cameras and files, of light and place.
    evaluation
        Factors that results are reported over (measured).
    difference
        Why these differ from the relevant ones.
    """

    groups: Texts = NOT_EVALUATED
    instrumentation: Texts = NOT_EVALUATED
    environment: Texts = NOT_EVALUATED
    evaluation: tuple[EvaluationFactor, ...] | NotEvaluated = NOT_EVALUATED
    difference: str = NOT_EVALUATED


@settings
class Metrics:
    """Section 4.4: what is measured, at which threshold, and how sure it is.

    Parameters
    ----------
    measures
        Measures of the quantitative analyses (measured).
    reason
        Why these suit the intended use.
    threshold
        Decision threshold (measured).
    threshold_reason
        Why it is chosen so.
    uncertainty
        How intervals were found (measured).
    """

    measures: tuple[Measure, ...] | NotEvaluated = NOT_EVALUATED
    reason: str = NOT_EVALUATED
    threshold: Threshold | NotEvaluated = NOT_EVALUATED
    threshold_reason: str = NOT_EVALUATED
    uncertainty: Uncertainty | NotEvaluated = NOT_EVALUATED


@settings
class Dataset:
    """A data set, as far as it matters here.

    Parameters
    ----------
    name, version, homepage, licence
        Which data, and on what terms.
    motivation
        Why this data.
    preprocessing
        From the published files to what the model saw.
    distribution
        How the data spread over the factors, where that is known.
    """

    name: str
    version: str = NOT_EVALUATED
    homepage: str = NOT_EVALUATED
    licence: str = NOT_EVALUATED
    motivation: str = NOT_EVALUATED
    preprocessing: str = NOT_EVALUATED
    distribution: str = NOT_EVALUATED


@settings
class EvaluationData:
    """Section 4.5: what was evaluated on; the table is measured."""

    datasets: tuple[Dataset, ...] | NotEvaluated = NOT_EVALUATED
    table: FrozenTable | NotEvaluated = NOT_EVALUATED


@settings
class TrainingData:
    """Section 4.6: what was trained on, or else how it spreads over the factors.

    Parameters
    ----------
    description
        What its makers say of it, where it cannot be listed set by set.
    datasets
        Data sets.
    distribution
        Over the factors.
    """

    description: str = NOT_EVALUATED
    datasets: tuple[Dataset, ...] | NotEvaluated = NOT_EVALUATED
    distribution: str = NOT_EVALUATED


@settings
class QuantitativeAnalyses:
    """Section 4.7 (measured).

    Parameters
    ----------
    unitary
        Overall results, and those of each group of each factor.
    intersectional
        Results of combinations of groups.
    disparities
        Largest differences between groups.
    reported
        Figures from elsewhere, each with its command.
    figures
        Pictures.
    """

    unitary: tuple[Result, ...] | NotEvaluated = NOT_EVALUATED
    intersectional: tuple[Result, ...] | NotEvaluated = NOT_EVALUATED
    disparities: tuple[Disparity, ...] | NotEvaluated = NOT_EVALUATED
    reported: tuple[ReportedFigure, ...] | NotEvaluated = NOT_EVALUATED
    figures: tuple[Figure, ...] | NotEvaluated = NOT_EVALUATED


@settings
class EthicalConsiderations:
    """Section 4.8."""

    sensitive_data: str = NOT_EVALUATED
    human_life: str = NOT_EVALUATED
    mitigations: Texts = NOT_EVALUATED
    risks_and_harms: Texts = NOT_EVALUATED
    fraught_uses: Texts = NOT_EVALUATED


@settings
class CaveatsAndRecommendations:
    """Section 4.9.

    Parameters
    ----------
    caveats, recommendations
        What a reader must know, and should do.
    further_testing, missing_groups, ideal_evaluation_data
        What remains to be measured, on whom, and on what.
    reproduced
        What of a published claim was measured again, at which scale, and what was not.
    """

    caveats: Texts = NOT_EVALUATED
    recommendations: Texts = NOT_EVALUATED
    further_testing: str = NOT_EVALUATED
    missing_groups: str = NOT_EVALUATED
    ideal_evaluation_data: str = NOT_EVALUATED
    reproduced: str = NOT_EVALUATED


@settings
class ModelCard:
    """A model card; all nine sections are required.

    Parameters
    ----------
    schema
        Version of the layout, :data:`SCHEMA`.
    command
        What made the card.
    """

    schema: Literal[1]
    command: str
    model_details: ModelDetails
    intended_use: IntendedUse
    factors: Factors
    metrics: Metrics
    evaluation_data: EvaluationData
    training_data: TrainingData
    quantitative_analyses: QuantitativeAnalyses
    ethical_considerations: EthicalConsiderations
    caveats_and_recommendations: CaveatsAndRecommendations


@settings
class Description:
    """What an author writes of a model: a card without anything that is measured."""

    model_details: ModelDetails
    intended_use: IntendedUse
    factors: Factors
    metrics: Metrics
    evaluation_data: EvaluationData
    training_data: TrainingData
    ethical_considerations: EthicalConsiderations
    caveats_and_recommendations: CaveatsAndRecommendations


#: The sections in the paper's order, with their headings.
SECTIONS: Final[Mapping[str, str]] = {
    "model_details": "Model details",
    "intended_use": "Intended use",
    "factors": "Factors",
    "metrics": "Metrics",
    "evaluation_data": "Evaluation data",
    "training_data": "Training data",
    "quantitative_analyses": "Quantitative analyses",
    "ethical_considerations": "Ethical considerations",
    "caveats_and_recommendations": "Caveats and recommendations",
}
