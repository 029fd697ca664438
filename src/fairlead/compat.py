"""Blocking functions for scripts of apps, under names that older scripts use: ``from fairlead.compat import …``.

The first argument is the position of a role in the manifest, from 0: of ``[devices]``, or of ``[models]``.
"""

from __future__ import annotations

from fairlead.sdk.compat import (
    get_prediction,
    get_prediction_using_image,
    get_sensor_data,
    get_sensor_image,
    get_stream_image,
    send_controller_data,
    send_email_notification,
)

__all__ = [
    "get_prediction",
    "get_prediction_using_image",
    "get_sensor_data",
    "get_sensor_image",
    "get_stream_image",
    "send_controller_data",
    "send_email_notification",
]
