"""Channels last: the same training up to rounding, resumed bit for bit, stored in plain order."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

from vultus.training import load_recipe, train  # noqa: E402
from vultus.training.layouts import lay_out_kernels, lay_out_pictures, like  # noqa: E402
from vultus.training.run import TrainingResult  # noqa: E402

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "symface.yaml"


def run(out: Path, channels_last: bool, *, resume: bool = False, **changes: Any) -> TrainingResult:
    overrides = {
        "channels_last": channels_last,
        "optimizer": {"name": "adam", "lr": 1e-3},
        "checkpoint_every": 1,
        "keep": 10,
    } | changes
    recipe = load_recipe(RECIPE, overrides, debug=True)
    return train(recipe, out=out, resume=resume, tensorboard=False, progress=False)


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def test_layout_changes_the_weights_by_rounding_alone(tmp_path: Path) -> None:
    plain, last = run(tmp_path / "plain", False), run(tmp_path / "last", True)
    a, b = (load_file(r.checkpoint / "model.safetensors") for r in (plain, last))
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-2, atol=1e-3)


def test_a_resumed_run_is_the_same_bit_for_bit(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", True)
    shutil.copytree(tmp_path / "whole" / "checkpoints", tmp_path / "half" / "checkpoints")
    for step in ("step-00000002", "step-00000003"):
        shutil.rmtree(tmp_path / "half" / "checkpoints" / step)
    resumed = run(tmp_path / "half", True, resume=True)
    assert resumed.step == 3
    assert files(resumed.checkpoint) == files(whole.checkpoint)


def test_a_checkpoint_from_before_a_setting_existed_can_go_on(tmp_path: Path) -> None:
    first = run(tmp_path, False)
    state = first.checkpoint / "state.json"
    values = json.loads(state.read_text())
    del values["recipe"]["channels_last"]
    state.write_text(json.dumps(values))
    assert run(tmp_path, False, resume=True).step == first.step


@pytest.mark.parametrize("channels_last", [False, True])
def test_the_trainer_lays_out_kernels_and_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels_last: bool
) -> None:
    from vultus.recognition.symface import SymFaceLearner

    real = SymFaceLearner.losses
    layouts: set[bool] = set()

    def watched(self: SymFaceLearner, batch: Any, *rest: Any) -> Any:
        kernels = [p for p in self.parameters() if p.ndim == 4 and min(p.shape) > 1]
        assert kernels
        for tensor in [batch["faces"]["image"], *kernels]:
            layouts.add(tensor.is_contiguous(memory_format=torch.channels_last))
        return real(self, batch, *rest)

    monkeypatch.setattr(SymFaceLearner, "losses", watched)
    run(tmp_path, channels_last)
    assert layouts == {channels_last}


def test_only_float_pictures_are_laid_out() -> None:
    bytes_ = torch.zeros(2, 8, 8, 3, dtype=torch.uint8)
    flat = torch.zeros(2, 5)
    laid = lay_out_pictures({"a": {"bytes": bytes_, "flat": flat}})
    assert laid["a"]["bytes"] is bytes_
    assert laid["a"]["flat"] is flat


def test_optimiser_state_takes_the_layout_of_its_parameter() -> None:
    layer = torch.nn.Conv2d(4, 6, 3)
    before = layer.weight.detach().clone()
    lay_out_kernels(layer)
    assert torch.equal(layer.weight, before)
    state = torch.randn(6, 4, 3, 3)
    laid = like(state, layer.weight)
    assert torch.equal(laid, state)
    assert laid.stride() == layer.weight.stride() != state.stride()
    step = torch.tensor(3.0)
    assert like(step, layer.weight) is step
