"""The decorator that makes a system known."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from vultus import registry
from vultus.errors import ConfigError
from vultus.registry import System, system, systems


@pytest.fixture(autouse=True)
def empty_registry(monkeypatch):
    monkeypatch.setattr(registry, "_SYSTEMS", {})


def declare(slug: str, paper: int = 28, task: str = "liveness") -> type:
    @system(slug, paper=paper, task=task)
    class Network:
        pass

    return Network


def test_a_declared_system_is_listed_and_returned_unchanged():
    network = declare("cdcn")
    assert isinstance(network, type)
    assert systems() == {"cdcn": System("cdcn", 28, "liveness", network)}


def test_a_function_may_be_a_system():
    @system("protect", paper=4, task="privacy")
    def protect(value: int) -> int:
        return value + 1

    assert protect(1) == 2
    assert systems()["protect"].build is protect


def test_systems_come_in_the_order_of_the_papers():
    for slug, paper in (("c", 40), ("a", 3), ("b", 12)):
        declare(slug, paper)
    assert list(systems()) == ["a", "b", "c"]


def test_a_slug_belongs_to_one_system():
    declare("cdcn")

    class Other:
        pass

    with pytest.raises(ConfigError, match="'cdcn' is declared twice"):
        system("cdcn", paper=28, task="liveness")(Other)


def test_a_class_of_the_same_name_in_another_module_is_another_system():
    twin = type(declare("cdcn").__name__, (), {"__module__": "elsewhere"})
    twin.__qualname__ = declare("cdcn").__qualname__
    with pytest.raises(ConfigError, match="declared twice"):
        system("cdcn", paper=28, task="liveness")(twin)


def test_loading_a_module_again_declares_its_system_again():
    first, second = declare("cdcn"), declare("cdcn")
    assert first is not second
    assert systems()["cdcn"].build is second


def test_the_listing_is_a_copy_of_frozen_entries():
    declare("cdcn")
    systems().clear()
    assert list(systems()) == ["cdcn"]
    with pytest.raises(FrozenInstanceError):
        systems()["cdcn"].paper = 1
