"""Disaggregated evaluation: rates against counts, intervals against theory and other programs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prediction_tables import crossed, factor, of_counts, table
from sklearn.metrics import roc_auc_score

from vultus.audit.model_cards import (
    PredictionTable,
    choose_threshold,
    evaluate,
    fixed_threshold,
)
from vultus.audit.model_cards.disparities import largest_difference
from vultus.audit.model_cards.rankings import Ranking
from vultus.errors import MeasureError
from vultus.measure.classification import binary_rates

HALF = fixed_threshold(0.5)
COUNTS = st.integers(0, 40)


class TestErrorRates:
    def test_have_the_denominators_of_the_paper(self):
        found = evaluate(of_counts(tp=30, fn=10, fp=20, tn=140), threshold=HALF, rankings=False)
        rates = {r.metric: (r.estimate.value, r.events, r.trials) for r in found.unitary}
        assert rates == {
            "accuracy": (pytest.approx(170 / 200), 170, 200),
            "fpr": (pytest.approx(20 / 160), 20, 160),
            "fnr": (pytest.approx(10 / 40), 10, 40),
            "fdr": (pytest.approx(20 / 50), 20, 50),
            "for": (pytest.approx(10 / 150), 10, 150),
        }

    def test_agree_with_the_plain_metrics(self):
        rows = crossed().part("test")
        truth, positive = rows.values["label"] == 1, rows.values["score"] >= 0.5
        expected = binary_rates(truth, positive).to_dict()
        found = evaluate(rows, threshold=HALF)
        for name, wanted in expected.items():
            mine = found.result(name).estimate
            assert mine.value == pytest.approx(wanted["value"])
            # Another kind of interval, about as wide.
            assert mine.high - mine.low == pytest.approx(wanted["high"] - wanted["low"], rel=0.1)

    @settings(max_examples=15, deadline=None)
    @given(COUNTS, COUNTS, COUNTS, COUNTS)
    def test_lie_in_their_intervals_or_say_why_not(self, tp, fn, fp, tn):
        if tp + fn + fp + tn == 0:
            return
        found = evaluate(of_counts(tp, fn, fp, tn), threshold=HALF, rankings=False)
        for r in found.unitary:
            if r.estimate.value is None:
                assert r.estimate.note
                continue
            low, value, high = r.estimate.low, r.estimate.value, r.estimate.high
            assert 0 <= low <= value <= high <= 1
            # A width of nothing would claim to know a rate exactly.
            assert high > low or r.trials == 1
            assert r.small == (r.trials < 30)

    def test_are_not_estimable_without_a_denominator(self):
        found = evaluate(of_counts(tp=20, fn=5, fp=0, tn=0), threshold=HALF, rankings=False)
        fpr = found.result("fpr").estimate
        assert fpr.value is None
        assert fpr.note == "no case among 25 items"

    def test_conditioned_on_the_prediction_need_both_classes(self):
        # With positives alone no positive decision can be wrong: 0 would be praise for nothing.
        found = evaluate(of_counts(tp=20, fn=5, fp=0, tn=0), threshold=HALF, rankings=False)
        assert found.result("fdr").estimate.note == "all 25 items are of one class"
        assert found.result("fnr").estimate.value == pytest.approx(0.2)

    def test_without_an_event_have_the_rule_of_three(self):
        found = evaluate(of_counts(tp=50, fn=0, fp=10, tn=90), threshold=HALF, rankings=False)
        fnr = found.result("fnr").estimate
        assert (fnr.value, fnr.low) == (0, 0)
        assert fnr.high == pytest.approx(1 - 0.05 ** (1 / 50))

    def test_bootstrap_agrees_with_the_binomial_spread(self):
        found = evaluate(
            of_counts(tp=300, fn=100, fp=1, tn=1), threshold=HALF, rankings=False, resamples=4000
        )
        fnr = found.result("fnr").estimate
        spread = math.sqrt(0.25 * 0.75 / 400)
        assert fnr.low == pytest.approx(0.25 - 1.96 * spread, abs=0.005)
        assert fnr.high == pytest.approx(0.25 + 1.96 * spread, abs=0.005)


class TestCells:
    def test_are_all_items_groups_and_their_combinations(self):
        found = evaluate(crossed(), threshold=HALF)
        cells = {tuple(r.cell.items()) for r in (*found.unitary, *found.intersectional)}
        assert len(cells) == 1 + 2 + 2 + 4
        old = found.result("accuracy", age="old").n
        parts = [found.result("accuracy", age="old", sex=s).n for s in ("female", "male")]
        assert old == sum(parts)
        assert all(len(r.cell) == 2 for r in found.intersectional)

    def test_equal_the_evaluation_of_their_items_alone(self):
        rows = crossed().part("test")
        member = (rows.group("age").values == "old") & (rows.group("sex").values == "female")
        alone = table(rows.values["label"][member], rows.values["score"][member])
        within = evaluate(rows, threshold=HALF)
        for metric in ("fpr", "fnr", "fdr", "for", "accuracy"):
            cell = within.result(metric, age="old", sex="female")
            assert cell.estimate.value == pytest.approx(
                evaluate(alone, threshold=HALF).result(metric).estimate.value
            )

    def test_that_nobody_is_in_are_shown_with_n_0(self):
        rows = table([0, 1, 1], [0.1, 0.9, 0.8], {"a": ["x", "y", "y"], "b": ["p", "p", "q"]})
        cell = evaluate(rows, threshold=HALF).result("fnr", a="x", b="q")
        assert (cell.n, cell.estimate.value, cell.estimate.note) == (0, None, "no items")

    def test_too_few_for_an_interval_show_no_number(self):
        rows = table(
            [1, 1, *[0, 1] * 40], [0.9, 0.1, *[0.2, 0.8] * 40], {"a": ["x"] * 2 + ["y"] * 80}
        )
        cell = evaluate(rows, threshold=HALF).result("fnr", a="x")
        assert (cell.n, cell.events, cell.estimate.value) == (2, 1, None)
        assert "too few cases" in cell.estimate.note

    def test_leave_out_items_without_a_label(self):
        rows = table([0, 1, 1, 0], [0.1, 0.9, 0.8, 0.3], {"a": ["x", "", "y", "x"]})
        found = evaluate(rows, threshold=HALF)
        assert found.result("accuracy").n == 4
        assert found.result("accuracy", a="x").n == 2
        assert dict(found.factors[0].groups) == {"x": 2, "y": 1}
        assert found.factors[0].unlabelled == 1

    def test_can_be_limited(self):
        assert not evaluate(crossed(), threshold=HALF, most=1).intersectional
        only = evaluate(crossed(), threshold=HALF, factors=["sex"])
        assert [f.name for f in only.factors] == ["sex"]
        with pytest.raises(MeasureError, match="no factor 'height'"):
            evaluate(crossed(), threshold=HALF, factors=["height"])
        many = {name: np.arange(30).astype(str) for name in "ab"}
        with pytest.raises(MeasureError, match="960 cells"):
            evaluate(table([0, 1] * 15, [0.2] * 30, many), threshold=HALF)


class TestPeople:
    def test_are_drawn_whole(self):
        # Ten copies of every item are no new evidence: people must give the width of one copy.
        rng = np.random.default_rng(1)
        label = np.ones(60)
        score = np.where(rng.random(60) < 0.3, 0.1, 0.9)
        once = evaluate(table(label, score), threshold=HALF, rankings=False)
        people = np.repeat(np.arange(60), 10).astype(str)
        copies = table(np.repeat(label, 10), np.repeat(score, 10), people=people)
        by_person = evaluate(copies, threshold=HALF, rankings=False)
        blind = evaluate(
            table(np.repeat(label, 10), np.repeat(score, 10)), threshold=HALF, rankings=False
        )

        def width(found):
            estimate = found.result("fnr").estimate
            return estimate.high - estimate.low

        assert width(by_person) == pytest.approx(width(once), rel=0.05)
        assert width(blind) < 0.45 * width(once)
        assert by_person.result("fnr").people == 60
        assert by_person.people == 60
        assert blind.people is None

    def test_few_of_them_are_flagged_however_many_pictures(self):
        people = np.repeat(np.arange(5), 20).astype(str)
        found = evaluate(
            table([1] * 100, [0.9, 0.1] * 50, people=people), threshold=HALF, rankings=False
        )
        assert found.result("fnr").trials == 100
        assert found.result("fnr").small


class TestRankings:
    def test_within_a_group_equal_those_of_another_program(self):
        rows = crossed().part("test")
        # Rounded, so that there are ties.
        rows = table(
            rows.values["label"],
            rows.values["score"].round(1),
            {"age": rows.group("age").values},
        )
        old, label = rows.group("age").values == "old", rows.values["label"]
        score = rows.values["score"]
        found = evaluate(rows, threshold=HALF)

        def value(metric):
            return found.result(metric, age="old").estimate.value

        assert value("subgroup_auc") == pytest.approx(roc_auc_score(label[old], score[old]))
        bpsn = (old & (label == 0)) | (~old & (label == 1))
        bnsp = (old & (label == 1)) | (~old & (label == 0))
        assert value("bpsn_auc") == pytest.approx(roc_auc_score(label[bpsn], score[bpsn]))
        assert value("bnsp_auc") == pytest.approx(roc_auc_score(label[bnsp], score[bnsp]))

    def test_pinned_is_what_sampling_gives_on_average(self):
        rows = crossed(1500).part("test")
        member = (rows.group("age").values == "old") & (rows.group("sex").values == "female")
        label, score = rows.values["label"], rows.values["score"]
        only = table(label, score, {"cell": np.where(member, "in", "out")})
        found = evaluate(only, threshold=HALF).result("pinned_auc", cell="in").estimate.value
        rng = np.random.default_rng(0)
        inside = np.flatnonzero(member)
        drawn = [
            np.concatenate([inside, rng.choice(len(label), len(inside), replace=False)])
            for _ in range(300)
        ]
        sampled = [roc_auc_score(label[i], score[i]) for i in drawn]
        assert found == pytest.approx(np.mean(sampled), abs=0.003)

    def test_of_resamples_equal_those_of_repeated_items(self):
        rng = np.random.default_rng(2)
        score = np.sort(rng.normal(size=40).round(1))
        truth, member = rng.random(40) < 0.5, rng.random(40) < 0.5
        weights = rng.integers(0, 4, (3, 40)).astype(float)
        found = Ranking(score, truth, weights).areas(member)
        for row in range(3):
            again = np.repeat(np.arange(40), weights[row].astype(int))
            inside = again[member[again]]
            expected = roc_auc_score(truth[inside], score[inside])
            assert found["subgroup_auc"][row] == pytest.approx(expected)

    def test_without_one_class_are_not_estimable(self):
        rows = table([1, 1, 0, 1], [0.9, 0.8, 0.3, 0.2], {"a": ["x", "x", "y", "y"]})
        found = evaluate(rows, threshold=HALF)
        assert found.result("subgroup_auc", a="x").estimate.note == "a class has no items"

    def test_perfect_ones_have_an_interval(self):
        found = evaluate(table([0] * 40 + [1] * 40, [0.1] * 40 + [0.9] * 40), threshold=HALF)
        estimate = found.result("subgroup_auc").estimate
        assert (estimate.value, estimate.high) == (1, 1)
        assert estimate.low == pytest.approx(0.05 ** (1 / 40))


class TestDisparities:
    def test_find_the_intersection_that_averages_hide(self):
        found = evaluate(crossed(4000), threshold=HALF)
        by_factors = {d.factors: d for d in found.disparities if d.metric == "fnr"}
        both = by_factors["age", "sex"]
        assert dict(both.highest) == {"age": "old", "sex": "female"}
        assert both.difference.value > by_factors[("age",)].difference.value
        assert both.difference.low > 0
        assert both.pairs == 6

    def test_are_simultaneous_over_the_pairs_looked_at(self):
        # Equal cells: a single interval for the largest of many differences would be fooled.
        rng = np.random.default_rng(3)
        fooled = {"single": 0, "simultaneous": 0}
        for _ in range(200):
            counts = rng.binomial(200, 0.3, 12)
            drawn = rng.binomial(200, counts / 200, (400, 12)) / 200
            found = largest_difference(counts / 200, drawn, np.zeros(12))
            moved = drawn[:, found.highest] - drawn[:, found.lowest]
            fooled["single"] += bool(np.quantile(moved, 0.025) > 0)
            fooled["simultaneous"] += bool(found.low > 0)
        assert fooled["single"] > 100
        assert fooled["simultaneous"] <= 20

    def test_leave_out_small_cells(self):
        rows = table([1] * 80, [0.9] * 60 + [0.1] * 20, {"a": ["x"] * 40 + ["y"] * 35 + ["z"] * 5})
        found = evaluate(rows, threshold=HALF)
        fnr = next(d for d in found.disparities if d.metric == "fnr")
        assert {fnr.highest["a"], fnr.lowest["a"]} == {"x", "y"}

    def test_allow_for_cells_without_an_event(self):
        drawn = np.random.default_rng(0).binomial(60, 0.1, (2000, 1)) / 60
        replicates = np.concatenate([drawn, np.zeros((2000, 1))], 1)
        values = np.array([0.1, 0.0])
        known = largest_difference(values, replicates, np.zeros(2))
        unsure = largest_difference(values, replicates, np.array([0.0, 0.03]))
        assert known.low > unsure.low


class TestOtherTasks:
    def test_verification_shares_one_threshold(self):
        rng = np.random.default_rng(4)
        n = 3000
        same = rng.random(n) < 0.3
        people = rng.integers(0, 200, (n, 2))
        people[:, 1] = np.where(same, people[:, 0], (people[:, 0] + 1 + people[:, 1] % 199) % 200)
        # Development pairs are of other people than evaluation pairs.
        split = np.where(np.arange(n) % 2 == 0, "dev", "test")
        names = np.char.add(split[:, None], people.astype(str))
        group = np.where(rng.random(n) < 0.5, "a", "b")
        score = same * 2.0 + rng.normal(size=n) + 0.5 * (group == "b")
        rows = table(same, score, {"group": group}, people=names, split=split, task="verification")
        threshold = choose_threshold(rows, "fpr", target=0.01)
        dev = rows.part("dev")
        impostor = dev.values["score"][dev.values["label"] == 0]
        assert (impostor >= threshold.value).mean() <= 0.01
        found = evaluate(rows, threshold=threshold)
        a, b = (found.result("fmr", group=g).estimate.value for g in "ab")
        assert b > a
        tar = found.result("tar", group="a").estimate.value
        fnmr = found.result("fnmr", group="a").estimate.value
        assert tar == pytest.approx(1 - fnmr)
        assert "both people" in found.uncertainty.unit

    def test_regression_has_size_and_sign_of_the_error(self):
        rows = PredictionTable(
            "regression",
            np.arange(40).astype(str),
            np.full(40, "test"),
            {
                "label": np.array([10.0, 20, 30, 40] * 10),
                "prediction": np.array([12.0, 19, 33, 40] * 10),
            },
            (factor("g", ["x", "x", "y", "y"] * 10),),
        )
        found = evaluate(rows)
        assert found.result("mae").estimate.value == pytest.approx(1.5)
        assert found.result("bias", g="y").estimate.value == pytest.approx(1.5)
        assert found.result("mae").events is None
        assert found.threshold is None

    def test_landmarks_and_classes(self):
        n = 40
        rows = PredictionTable(
            "landmarks",
            np.arange(n).astype(str),
            np.full(n, "test"),
            {"error": np.linspace(0, 0.1, n)},
            (),
        )
        assert evaluate(rows).result("nme").estimate.value == pytest.approx(0.05)
        named = PredictionTable(
            "multiclass",
            np.array(list("abc")),
            np.full(3, "test"),
            {"label": np.array(["cat", "dog", "dog"]), "prediction": np.array(["cat"] * 3)},
            (),
        )
        assert evaluate(named).result("accuracy").estimate.value == pytest.approx(1 / 3)


class TestThresholds:
    def test_balance_the_errors_of_the_development_split(self):
        rows = crossed(3000)
        chosen = choose_threshold(rows, "equal-error")
        dev = rows.part("dev")
        positive = dev.values["score"] >= chosen.value
        truth = dev.values["label"] == 1
        fpr, fnr = positive[~truth].mean(), (~positive[truth]).mean()
        assert fpr == pytest.approx(fnr, abs=0.01)
        assert (chosen.split, chosen.n) == ("dev", len(dev))

    def test_must_not_see_the_evaluated_split(self):
        with pytest.raises(MeasureError, match="must not be chosen on the evaluated split"):
            choose_threshold(crossed(), split="test")
        chosen = choose_threshold(crossed())
        with pytest.raises(MeasureError, match="was chosen on 'dev'"):
            evaluate(crossed(), split="dev", threshold=chosen)

    def test_must_not_see_the_same_people(self):
        rows = crossed(30)
        shared = table(
            rows.values["label"],
            rows.values["score"],
            split=rows.split,
            people=np.arange(30) // 2 % 10,
        )
        with pytest.raises(MeasureError, match="people are in both splits"):
            choose_threshold(shared)

    @pytest.mark.parametrize(
        ("rule", "target", "message"),
        [
            ("fpr", None, "needs a target"),
            ("accuracy", 0.1, "needs a target"),
            ("luck", None, "chosen by one of"),
            ("fpr", 1e-5, "too few"),
        ],
    )
    def test_need_a_rule_and_data_for_it(self, rule, target, message):
        with pytest.raises(MeasureError, match=message):
            choose_threshold(crossed(), rule, target=target)


def test_what_a_card_cannot_rest_on_is_refused():
    with pytest.raises(MeasureError, match="1000 resamples or more"):
        evaluate(crossed(), threshold=HALF, resamples=100)
    with pytest.raises(MeasureError, match="needs a threshold"):
        evaluate(crossed())


def test_the_same_seed_gives_the_same_intervals():
    first, again, other = (evaluate(crossed(300), threshold=HALF, seed=s) for s in (1, 1, 2))
    assert first == again
    assert first != other
