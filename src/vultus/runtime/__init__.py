"""Weights and how they run: the manifest, the store, and sessions."""

from vultus.runtime.crops import CropNetwork
from vultus.runtime.environment import Environment, environment
from vultus.runtime.manifest import Preprocessing, Weight, manifest, read_manifest
from vultus.runtime.session import Session
from vultus.runtime.store import Store, fetch, list_weights, path, resolve, verify

__all__ = [
    "CropNetwork",
    "Environment",
    "Preprocessing",
    "Session",
    "Store",
    "Weight",
    "environment",
    "fetch",
    "list_weights",
    "manifest",
    "path",
    "read_manifest",
    "resolve",
    "verify",
]
