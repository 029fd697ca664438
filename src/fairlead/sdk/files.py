"""Files, pictures and sounds as the code of models and apps sees them.

Decoding is lazy: a model that only passes a picture on never pays for it. Pillow is needed for pictures only when
pixels are asked for or made, numpy only for arrays; both come from the bundle's requirements.
"""

from __future__ import annotations

import base64
import binascii
import io
import mimetypes
import os
import wave
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote_to_bytes

from fairlead.sdk.invalid import Unreadable

if TYPE_CHECKING:
    import numpy as np

_DEFAULT_MEDIA_TYPE = "application/octet-stream"
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
)
"""First bytes of formats, as the formats' own specifications give them."""


def sniff(content: bytes) -> str:
    """Return the media type that the first bytes of ``content`` tell, or ``application/octet-stream``."""
    if content[:4] == b"RIFF":
        return {b"WAVE": "audio/wav", b"WEBP": "image/webp"}.get(content[8:12], _DEFAULT_MEDIA_TYPE)
    return next((kind for start, kind in _SIGNATURES if content.startswith(start)), _DEFAULT_MEDIA_TYPE)


class File:
    """Bytes with a name and a media type; ``content`` is bytes, a path, or a binary file object."""

    kind = "file"
    media_range = "*/*"
    field: str | None = None
    """Name of the field that a caller sent it in; None for files that code made."""

    def __init__(self, content: Any, name: str | None = None, media_type: str | None = None) -> None:
        self._content: bytes | None = None
        self._path: Path | None = None
        if isinstance(content, bytes | bytearray | memoryview):
            self._content = bytes(content)
        elif isinstance(content, str | os.PathLike):
            self._path = Path(content)
        elif hasattr(content, "read"):
            self._content = content.read()
        else:
            self._take(content)
        self.name = name or (self._path.name if self._path else None)
        self._media_type = media_type

    def _take(self, content: Any) -> None:
        raise TypeError(f"{type(self).__name__}: bytes, a path or a file are needed, not {type(content).__name__}")

    @property
    def media_type(self) -> str:
        """As given, else by name, else by the first bytes."""
        if self._media_type is None:
            guessed = mimetypes.guess_type(self.name)[0] if self.name else None
            self._media_type = guessed or sniff(self.read())
        return self._media_type

    def read(self) -> bytes:
        """Return the content."""
        if self._content is None:
            self._content = self._path.read_bytes() if self._path else self._encode()
        return self._content

    def _encode(self) -> bytes:
        raise ValueError(f"{type(self).__name__} has no content")

    def _unreadable(self, message: str) -> ValueError:
        """Return the error of a file that cannot be decoded: the caller's mistake where a caller sent it."""
        if self.field is None:
            return ValueError(message)
        return Unreadable(message, self.field or None)

    def data_url(self) -> str:
        """Return the file as a ``data:`` URL (RFC 2397)."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.read()).decode('ascii')}"

    @classmethod
    def from_text(cls, text: str) -> File:
        """Return the file that ``text`` carries, base64 or a ``data:`` URL; raises :class:`ValueError`.

        URLs are never fetched: a model server that fetched what a caller names would be the caller's way inside.
        """
        media_type = None
        if text.startswith("data:"):
            head, comma, payload = text.partition(",")
            if not comma:
                raise ValueError("the data: URL has no comma")
            media_type = head[5:].split(";")[0] or None
            if not head.endswith(";base64"):
                return cls(unquote_to_bytes(payload), media_type=media_type)
            text = payload
        elif text.startswith(("http://", "https://", "file://")):
            raise ValueError("files are never fetched; send the bytes as base64 or a data: URL")
        try:
            return cls(base64.b64decode(text, validate=True), media_type=media_type)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"is not base64: {error}") from error

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r}, media_type={self._media_type!r})"


class Image(File):
    """A picture: from an array (height, width, 3 or 1) of uint8, a PIL image, bytes or a path."""

    kind = "image"
    media_range = "image/*"

    def __init__(self, content: Any, name: str | None = None, media_type: str | None = None) -> None:
        self._array: np.ndarray[Any, Any] | None = None
        self._pil: Any = None
        super().__init__(content, name, media_type)

    def _take(self, content: Any) -> None:
        if hasattr(content, "__array_interface__") and not hasattr(content, "convert"):
            self._array = content
        elif hasattr(content, "convert") and hasattr(content, "save"):
            self._pil = content
        else:
            super()._take(content)

    @property
    def media_type(self) -> str:
        if self._media_type is None and self._content is None and self._path is None:
            return "image/png"
        return File.media_type.fget(self)  # type: ignore[attr-defined,no-any-return]

    @property
    def array(self) -> np.ndarray[Any, Any]:
        """The pixels, uint8 of shape ``(height, width, 3)``; raises :class:`ValueError` when it is no picture."""
        if self._array is None:
            import numpy as np

            self._array = np.asarray(self.pil().convert("RGB"))
        return self._array

    def pil(self) -> Any:
        """Return the picture as a ``PIL.Image.Image``; raises :class:`ValueError` when it is none."""
        if self._pil is None:
            pillow = _pillow()
            if self._array is not None:
                self._pil = pillow.fromarray(_as_pixels(self._array))
            else:
                try:
                    self._pil = pillow.open(io.BytesIO(self.read()))
                    self._pil.load()
                except (OSError, SyntaxError, ValueError, pillow.DecompressionBombError) as error:
                    raise self._unreadable(f"is not a picture that can be read{_why(error)}") from error
        return self._pil

    def _encode(self) -> bytes:
        buffer = io.BytesIO()
        kind = {"image/jpeg": "JPEG", "image/webp": "WEBP"}.get(self._media_type or "", "PNG")
        self.pil().save(buffer, format=kind)
        return buffer.getvalue()


def _why(error: Exception) -> str:
    """Return what a decoder said, but not where in memory the file lies."""
    said = str(error)
    return f": {said}" if said and " object at 0x" not in said else ""


def _pillow() -> Any:
    try:
        from PIL import Image as pillow
    except ImportError as error:
        raise ImportError('pictures need Pillow: add "pillow" to [run] requires of fairlead.toml') from error
    return pillow


def _as_pixels(array: Any) -> Any:
    """Return ``array`` as uint8; floats between 0 and 1 are scaled, one channel loses its axis."""
    if array.dtype.kind == "f":
        array = (array.clip(0, 1) * 255).round()
    array = array.astype("uint8")
    return array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array


class Audio(File):
    """A sound; PCM WAV is read with the standard library, anything else with ``soundfile`` if the bundle has it."""

    kind = "audio"
    media_range = "audio/*"

    def __init__(
        self, content: Any, name: str | None = None, media_type: str | None = None, *, rate_hz: int | None = None
    ) -> None:
        self._samples: np.ndarray[Any, Any] | None = None
        self._rate_hz = rate_hz
        super().__init__(content, name, media_type)

    def _take(self, content: Any) -> None:
        if not hasattr(content, "__array_interface__") or self._rate_hz is None:
            super()._take(content)
        self._samples = content if content.ndim == 2 else content.reshape(-1, 1)

    @property
    def media_type(self) -> str:
        if self._media_type is None and self._content is None and self._path is None:
            return "audio/wav"
        return File.media_type.fget(self)  # type: ignore[attr-defined,no-any-return]

    @property
    def rate_hz(self) -> int:
        """Frames a second."""
        if self._rate_hz is None:
            self._decode()
        return cast(int, self._rate_hz)

    @property
    def samples(self) -> np.ndarray[Any, Any]:
        """The sound as float32 in −1…1 of shape ``(frames, channels)``."""
        if self._samples is None:
            self._decode()
        return cast("np.ndarray[Any, Any]", self._samples)

    def _decode(self) -> None:
        try:
            with wave.open(io.BytesIO(self.read())) as sound:
                frames = sound.readframes(sound.getnframes())
                self._rate_hz = sound.getframerate()
                self._samples = _from_pcm(frames, sound.getsampwidth(), sound.getnchannels())
        except (wave.Error, EOFError) as error:
            self._decode_other(error)

    def _decode_other(self, cause: Exception) -> None:
        try:
            import soundfile
        except ImportError:
            raise self._unreadable(f"is not a PCM WAV file{_why(cause)}") from cause
        try:
            self._samples, self._rate_hz = soundfile.read(io.BytesIO(self.read()), dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            raise self._unreadable(f"is not a sound that can be read{_why(error)}") from error

    def _encode(self) -> bytes:
        buffer = io.BytesIO()
        samples = self.samples
        with wave.open(buffer, "wb") as sound:
            sound.setnchannels(samples.shape[1])
            sound.setsampwidth(2)
            sound.setframerate(self.rate_hz)
            sound.writeframes((samples.clip(-1, 1) * 32767).round().astype("<i2").tobytes())
        return buffer.getvalue()


def _from_pcm(frames: bytes, width: int, channels: int) -> np.ndarray[Any, Any]:
    """Return PCM of ``width`` bytes a sample as float32 ``(frames, channels)``; 8 bit is unsigned (RIFF)."""
    import numpy as np

    if width == 1:
        flat = (np.frombuffer(frames, np.uint8).astype(np.float32) - 128) / 128
    elif width == 3:
        wide: np.ndarray[Any, Any] = np.zeros((len(frames) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(frames, np.uint8).reshape(-1, 3)
        flat = wide.view("<i4").ravel().astype(np.float32) / 2**31
    else:
        flat = np.frombuffer(frames, f"<i{width}").astype(np.float32) / 2.0 ** (8 * width - 1)
    shaped: np.ndarray[Any, Any] = flat.reshape(-1, channels)
    return shaped
