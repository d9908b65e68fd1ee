"""The trainer: resume bit for bit, accumulation, players, averages, several processes."""

from __future__ import annotations

import json
import math
import multiprocessing
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

from vultus.errors import ConfigError, TrainingError  # noqa: E402
from vultus.training import load_checkpoint, read_recipe, train  # noqa: E402
from vultus.training.average import Average  # noqa: E402
from vultus.training.exporting import export  # noqa: E402
from vultus.training.logs import read_log  # noqa: E402
from vultus.training.run import TrainingResult  # noqa: E402


def run(out: Path, resume: bool = False, devices: int = 1, **changes: Any) -> TrainingResult:
    values = {
        "system": "toy_system:Toy",
        "steps": 6,
        "optimizer": {"name": "adam", "lr": 0.01},
        "schedule": {"name": "cosine", "warmup": 2},
        "config": {},
        "checkpoint_every": 3,
        "keep": 10,
        "log_every": 1,
        "ema": 0.9,
    } | changes
    recipe = read_recipe(values, "test")
    return train(recipe, out=out, resume=resume, devices=devices, tensorboard=False)


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def column(out: Path, name: str) -> list[float]:
    return [value for _, key, value in read_log(out / "metrics.csv") if key == name]


def _killed(out: str) -> None:
    run(Path(out), config={"kill_at": 4})


def test_six_steps_equal_three_a_kill_and_three_more(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    process = multiprocessing.get_context("spawn").Process(
        target=_killed, args=(str(tmp_path / "killed"),)
    )
    process.start()
    process.join()
    assert process.exitcode == -9
    left = tmp_path / "killed" / "checkpoints"
    assert [p.name for p in left.iterdir()] == ["step-00000003"]
    # The recipe that is resumed no longer kills itself: the stored one is mended by hand.
    state = left / "step-00000003" / "state.json"
    values = json.loads(state.read_text())
    values["recipe"]["config"] = {}
    state.write_text(json.dumps(values))
    resumed = run(tmp_path / "killed", resume=True)
    assert files(resumed.checkpoint) == files(whole.checkpoint)
    for name in ("first", "class", "radius", "lr"):
        assert column(resumed.out, name) == column(whole.out, name)
    assert len(column(whole.out, "first")) == 6


@pytest.fixture
def handler() -> Iterator[Any]:
    """Python's own handler of interrupts: a shell starts its background jobs without."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_an_interrupted_run_stops_says_so_and_goes_on(tmp_path: Path, handler: Any) -> None:
    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", config={"interrupt_at": 4})
    assert signal.getsignal(signal.SIGINT) is handler, "a second interrupt must work as well"
    assert not (tmp_path / "cut" / "result.json").exists()
    with pytest.raises(TrainingError, match=r"not finished.*--resume.*step-00000003"):
        export(tmp_path / "cut", tmp_path / "cut.onnx")
    state = tmp_path / "cut" / "checkpoints" / "step-00000003" / "state.json"
    values = json.loads(state.read_text())
    values["recipe"]["config"] = {}
    state.write_text(json.dumps(values))
    resumed = run(tmp_path / "cut", resume=True)
    assert files(resumed.checkpoint) == files(whole.checkpoint)


def test_resume_of_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    first = run(tmp_path)
    before = files(first.checkpoint)
    again = run(tmp_path, resume=True)
    assert files(again.checkpoint) == before
    assert again.metrics == first.metrics


def test_the_seed_decides_and_evaluation_does_not(tmp_path: Path) -> None:
    a = run(tmp_path / "a")
    b = run(tmp_path / "b", evaluation={"every": 1})
    c = run(tmp_path / "c", seed=1)
    weights = [load_file(r.checkpoint / "model.safetensors")["body.0.weight"] for r in (a, b, c)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_learns_and_evaluates_on_development_data(tmp_path: Path) -> None:
    result = run(tmp_path, steps=150, checkpoint_every=0, ema=None)
    assert result.metrics["accuracy"] > 0.95
    losses = column(tmp_path, "loss")
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])
    assert all(v > 0 for v in column(tmp_path, "samples_per_second"))
    assert all(0 <= v <= 1 for v in column(tmp_path, "waiting_share"))


def test_two_processes_equal_one_with_class_centres_split_between_them(tmp_path: Path) -> None:
    change: dict[str, Any] = {
        "config": {"dropout": 0.0, "sharded": True},
        "clip": 0.5,
        "optimizer": {"name": "sgd", "lr": 0.5, "momentum": 0.9},
    }
    one = run(tmp_path / "one", **change)
    two = run(tmp_path / "two", devices=2, **change)
    parts = [
        load_file(two.checkpoint / f"process-{rank}.safetensors")["model/centres.weight"]
        for rank in (0, 1)
    ]
    assert [len(part) for part in parts] == [2, 1]
    a, b = (load_checkpoint(r.checkpoint)[1].state_dict() for r in (one, two))
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-4, atol=1e-6)
    norms = [column(tmp_path / name, "gradient_norm") for name in ("one", "two")]
    np.testing.assert_allclose(*norms, rtol=1e-4)
    # Back to the third step, and on again: bit for bit, but by as many processes only.
    whole = files(two.checkpoint)
    shutil.rmtree(two.checkpoint)
    with pytest.raises(TrainingError, match="written by 2 processes"):
        run(tmp_path / "two", resume=True, **change)
    resumed = run(tmp_path / "two", resume=True, devices=2, **change)
    assert files(resumed.checkpoint) == whole


def test_an_error_in_one_of_several_processes_comes_out_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^stream 'labels': a batch of 7 cannot be shared"):
        run(tmp_path, devices=2, config={"batch": 7})


def test_accumulation_equals_the_larger_batch_and_workers_change_nothing(tmp_path: Path) -> None:
    # Without noise and dropout two half batches hold the examples of the whole one.
    config = {"noise": 0.0, "dropout": 0.0}
    whole = run(tmp_path / "a", config=config | {"batch": 16})
    halves = run(tmp_path / "b", config=config | {"batch": 8}, accumulate=2)
    workers = run(tmp_path / "c", config=config | {"batch": 16}, workers=1)
    a, b, c = (load_file(r.checkpoint / "model.safetensors") for r in (whole, halves, workers))
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-4, atol=1e-6)
        assert torch.equal(a[name], c[name])


def test_players_move_their_own_parameters_only(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        config={"adversary": True},
        players={"critic": {"name": "sgd", "lr": 0.5}},
        loss_weights={"critic": 0.0},
        ema=None,
    )
    # With a weight of zero the critic stays where it began, though "fooled" points at it.
    torch.manual_seed(0)
    _, learner, _ = load_checkpoint(result.checkpoint)
    torch.manual_seed(0)
    fresh = type(learner)(learner.config)
    assert torch.equal(learner.critic.weight, fresh.critic.weight)
    assert not torch.equal(learner.radius.weight, fresh.radius.weight)
    assert column(tmp_path, "critic/lr") == pytest.approx([0.25, 0.5, 0.5, *_cosine(0.5)])


def _cosine(peak: float) -> list[float]:
    return [peak * 0.5 * (1 + math.cos(math.pi * i / 4)) for i in (1, 2, 3)]


def test_parameter_groups_scale_the_rate(tmp_path: Path) -> None:
    change = {"optimizer": {"name": "sgd", "lr": 0.1}, "schedule": {}, "steps": 1, "ema": None}
    moved = []
    for scale in (1.0, 0.1):
        out = tmp_path / str(scale)
        result = run(out, config={"slow_head": scale, "dropout": 0.0}, **change)
        torch.manual_seed(0)
        _, learner, _ = load_checkpoint(result.checkpoint)
        torch.manual_seed(0)
        fresh = type(learner)(learner.config)
        moved.append((learner.radius.weight - fresh.radius.weight).detach())
    torch.testing.assert_close(moved[1] * 10, moved[0], rtol=1e-3, atol=1e-7)


def test_clipping_bounds_the_step(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        steps=1,
        clip=0.01,
        optimizer={"name": "sgd", "lr": 1.0},
        schedule={},
        ema=None,
    )
    assert column(tmp_path, "gradient_norm")[0] > 0.01
    torch.manual_seed(0)
    _, learner, _ = load_checkpoint(result.checkpoint)
    torch.manual_seed(0)
    fresh = type(learner)(learner.config)
    moved = [a - b for a, b in zip(learner.parameters(), fresh.parameters(), strict=True)]
    assert math.sqrt(sum(float(m.detach().square().sum()) for m in moved)) == (
        pytest.approx(0.01, rel=1e-3)
    )


def test_bfloat16_trains(tmp_path: Path) -> None:
    result = run(tmp_path, precision="bf16-mixed", steps=60, checkpoint_every=0)
    assert result.metrics["accuracy"] > 0.8
    weights = load_file(result.checkpoint / "model.safetensors")
    assert weights["body.0.weight"].dtype == torch.float32


def test_best_checkpoint_and_early_stop_by_development_metric(tmp_path: Path) -> None:
    # A rate of almost nothing never improves on the first evaluation.
    result = run(
        tmp_path,
        steps=50,
        optimizer={"name": "sgd", "lr": 1e-12},
        evaluation={"every": 1, "metric": "accuracy", "patience": 3},
        checkpoint_every=0,
        keep=1,
        ema=None,
    )
    assert (result.step, result.checkpoint.name) == (4, "step-00000001")
    assert result.best == result.metrics["accuracy"]
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-00000001", "step-00000004"]


def test_old_checkpoints_are_pruned(tmp_path: Path) -> None:
    run(tmp_path, keep=1, checkpoint_every=1)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-00000006"]


def test_sampler_feedback_is_stored(tmp_path: Path) -> None:
    result = run(tmp_path)
    state = json.loads((result.checkpoint / "state.json").read_text())
    assert state["samplers"] == {"labels": {"total": sum(column(tmp_path, "first"))}}


def test_export_uses_the_average_and_writes_a_manifest_entry(tmp_path: Path) -> None:
    import tomllib

    import onnxruntime

    result = run(tmp_path / "run")
    written = export(tmp_path / "run", tmp_path / "toy.onnx", weight_id="toy-points")
    assert written.parity.relative < 1e-5
    entry = tomllib.loads((tmp_path / "toy.toml").read_text())["toy-points"]
    assert entry["sha256"] == written.sha256
    assert entry["bytes"] == (tmp_path / "toy.onnx").stat().st_size
    assert entry["input"] == {"layout": "nc", "mean": [0.0, 1.0]}
    average = load_file(result.checkpoint / "average.safetensors")
    x = np.array([[1.0, 0.0]], np.float32)
    hidden = np.maximum(x @ average["body.0.weight"].numpy().T + average["body.0.bias"].numpy(), 0)
    expected = hidden @ average["classes.weight"].numpy().T + average["classes.bias"].numpy()
    (found,) = onnxruntime.InferenceSession(str(written.path)).run(None, {"input": x})
    np.testing.assert_allclose(found, expected, atol=1e-5)
    with pytest.raises(ConfigError, match="classes"):
        export(tmp_path / "run", tmp_path / "x.onnx", network="radius")
    with pytest.raises(ConfigError, match=r"ending in \.onnx"):
        export(tmp_path / "run", tmp_path)
    (tmp_path / "run" / "result.json").write_text("{")
    with pytest.raises(TrainingError, match=r"result\.json: is damaged"):
        export(tmp_path / "run", tmp_path / "x.onnx")


def test_average_by_hand() -> None:
    module = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(0)
        average = Average(module, 0.9)
        module.weight.fill_(1)
        average.update(0)
        assert average.weights["weight"].item() == pytest.approx(0.9)
        average.update(10**6)
    assert average.weights["weight"].item() == pytest.approx(0.91)
    with average.swapped():
        assert module.weight.item() == pytest.approx(0.91)
    assert module.weight.item() == 1


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"players": {"ghost": {"name": "sgd", "lr": 1.0}}}, ConfigError, "ghost"),
        ({"loss_weights": {"clas": 2.0}}, ConfigError, "clas"),
        ({"evaluation": {"metric": "f1"}}, ConfigError, "accuracy"),
        ({"precision": "16-mixed"}, ConfigError, "bf16-mixed"),
        ({"optimizer": {"name": "sgd", "lr": 1e30}}, TrainingError, "learning rate"),
    ],
)
def test_what_cannot_be_trained_says_why(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        run(tmp_path, **changes)


@pytest.mark.filterwarnings("ignore:overflow")
def test_no_checkpoint_holds_a_loss_that_is_not_finite(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="step 1"):
        run(
            tmp_path,
            config={"noise": 1e30},
            checkpoint_every=1,
            log_every=100,
            ema=None,
        )
    assert not (tmp_path / "checkpoints").exists()


def test_a_folder_holds_one_run(tmp_path: Path) -> None:
    run(tmp_path, steps=3)
    with pytest.raises(TrainingError, match="holds a run"):
        run(tmp_path, steps=3)
    with pytest.raises(TrainingError, match=r"another recipe.*'seed'"):
        run(tmp_path, steps=3, seed=5, resume=True)


def test_a_run_needs_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="cannot be made a folder"):
        run(tmp_path / "file")


def test_damaged_checkpoint(tmp_path: Path) -> None:
    result = run(tmp_path)
    (result.checkpoint / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(TrainingError, match=r"model\.safetensors"):
        load_checkpoint(result.checkpoint)
    (result.checkpoint / "state.json").write_text("{")
    with pytest.raises(TrainingError, match="not a checkpoint"):
        load_checkpoint(result.checkpoint)


def test_no_file_of_a_run_is_a_pickle(tmp_path: Path) -> None:
    run(tmp_path)
    kinds = {p.suffix for p in tmp_path.rglob("*") if p.is_file()}
    assert kinds == {".safetensors", ".json", ".csv"}
