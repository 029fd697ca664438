"""Fairlead: models, apps and devices for a small AI team.

Names are imported on first use, so that ``import fairlead`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairlead.sdk.app import App as App
    from fairlead.sdk.app import Files as Files
    from fairlead.sdk.app import Run as Run
    from fairlead.sdk.app import State as State
    from fairlead.sdk.bindings import Rebound as Rebound
    from fairlead.sdk.channel import model_call as model_call
    from fairlead.sdk.client import Client as Client
    from fairlead.sdk.client import Error as Error
    from fairlead.sdk.client import Job as Job
    from fairlead.sdk.devices import Command as Command
    from fairlead.sdk.devices import Device as Device
    from fairlead.sdk.devices import Devices as Devices
    from fairlead.sdk.devices import Property as Property
    from fairlead.sdk.devices import Reading as Reading
    from fairlead.sdk.files import Audio as Audio
    from fairlead.sdk.files import File as File
    from fairlead.sdk.files import Image as Image
    from fairlead.sdk.model import Canceled as Canceled
    from fairlead.sdk.model import Field as Field
    from fairlead.sdk.model import Input as Input
    from fairlead.sdk.model import InvalidInput as InvalidInput
    from fairlead.sdk.model import Model as Model
    from fairlead.sdk.model import Request as Request
    from fairlead.sdk.model import Tensor as Tensor
    from fairlead.sdk.model import progress as progress
    from fairlead.sdk.model import request as request

__version__ = "0.1.0"

_HOMES = {
    "model": ("Model", "Input", "Field", "Tensor", "InvalidInput", "Canceled", "Request", "progress", "request"),
    "files": ("File", "Image", "Audio"),
    "client": ("Client", "Job", "Error"),
    "app": ("App", "Run", "State", "Files"),
    "bindings": ("Rebound",),
    "devices": ("Device", "Devices", "Property", "Reading", "Command"),
    "channel": ("model_call",),
}
_MODULE_OF = {name: f"fairlead.sdk.{module}" for module, names in _HOMES.items() for name in names}
__all__ = ["__version__", *_MODULE_OF]


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'fairlead' has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
