"""Makes a picture of a text, with any pipeline that ``diffusers`` reads from the folder ``pipeline``.

Each step tells how far it is; some of them show the picture as it is by then, small. The limits are those of
``[run.env]`` in fairlead.toml, and stand in the schema.
"""

import inspect
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from diffusers import DiffusionPipeline
from PIL import Image as Pillow

import fairlead
from fairlead import Field, Image

SIDE_MAX = int(os.environ.get("SIDE_MAX_PX", "1024"))
STEPS_MAX = int(os.environ.get("STEPS_MAX", "50"))
PROMPT_MAX = int(os.environ.get("PROMPT_MAX", "1000"))
STEPS = min(20, STEPS_MAX)
SIDE_MIN = 16
SEED_MAX = 2**32 - 1
PREVIEWS = 8
"""Pictures on the way, at most, of one job."""
PREVIEW_SIDE = 24
"""Of the latent picture that is decoded for one: a seventh of the work that the whole takes."""
PREVIEW_PX = 192

Prompt = Annotated[str, Field(min_length=1, max_length=PROMPT_MAX, description="What the picture shows.")]
Without = Annotated[str, Field(max_length=PROMPT_MAX, description="What it does not show.")]
Side = Annotated[
    int, Field(ge=SIDE_MIN, le=SIDE_MAX, description="Pixels; what the pipeline was made for unless said.")
]
Steps = Annotated[int, Field(ge=1, le=STEPS_MAX, description="More take longer and are better, up to a point.")]
Seed = Annotated[int, Field(ge=0, le=SEED_MAX, description="The same one gives the same picture; any unless said.")]
Guidance = Annotated[float, Field(ge=0, le=30, description="How closely it keeps to the prompt.")]


@dataclass
class Picture:
    picture: Image
    seed: int
    """That makes this picture again."""
    steps: int
    width: int
    height: int
    flagged: bool
    """Whether the pipeline's own checker, if it has one, took it for one that is not to be shown, and blackened it."""


class TextToImage(fairlead.Model):
    def load(self) -> None:
        folder = Path(self.folder) / "pipeline"
        if not (folder / "model_index.json").is_file():
            said = "there is no pipeline/model_index.json: put a folder of a diffusers pipeline there, "
            raise FileNotFoundError(said + "or make a tiny one: python make_tiny.py")
        is_gpu = torch.cuda.is_available()
        self.place = (self.device if self.device.startswith("cuda") else "cuda") if is_gpu else "cpu"
        kind = torch.float16 if is_gpu else torch.float32
        self.pipeline = DiffusionPipeline.from_pretrained(folder, dtype=kind, local_files_only=True)
        self.pipeline.to(self.place)
        self.pipeline.set_progress_bar_config(disable=True)
        self.takes = frozenset(inspect.signature(self.pipeline.__call__).parameters)
        self.unit = int(getattr(self.pipeline, "vae_scale_factor", 8))

    def predict(
        self,
        prompt: Prompt,
        negative_prompt: Without = "",
        seed: Seed | None = None,
        width: Side | None = None,
        height: Side | None = None,
        steps: Steps = STEPS,
        guidance: Guidance = 7.5,
    ) -> Picture:
        for name, side in (("width", width), ("height", height)):
            if side is not None and side % self.unit:
                near = max(self.unit, side // self.unit * self.unit)
                raise fairlead.InvalidInput(f"{side} is no multiple of {self.unit}: {near} is", name)
        seed = secrets.randbelow(SEED_MAX + 1) if seed is None else seed
        asked: dict[str, Any] = {
            "prompt": prompt,
            "negative_prompt": negative_prompt or None,
            "width": width,
            "height": height,
            "num_inference_steps": steps,
            "guidance_scale": guidance,
            "generator": torch.Generator("cpu").manual_seed(seed),  # the same picture on a GPU, nearly
            "callback_on_step_end": self._teller(steps),
        }
        given = {name: value for name, value in asked.items() if name in self.takes and value is not None}
        with torch.inference_mode():
            made = self.pipeline(**given)
        picture = made.images[0]
        flagged = bool((getattr(made, "nsfw_content_detected", None) or [False])[0])
        return Picture(Image(picture), seed, steps, picture.width, picture.height, flagged)

    def close(self) -> None:
        del self.pipeline
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _teller(self, steps: int) -> Any:
        """Return what the pipeline calls after each step; it ends the work when nobody waits for it any more."""
        every = max(1, -(-steps // PREVIEWS))

        def tell(pipeline: Any, step: int, _moment: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            done = min(step + 1, steps)
            preview = self._preview(tensors.get("latents")) if done % every == 0 and done < steps else None
            fairlead.progress(done, steps, preview=preview)
            return tensors

        return tell

    def _preview(self, latents: Any) -> Image | None:
        """Return the picture as it is by now, small; None where the pipeline keeps it in a way that is not known."""
        decoder = getattr(self.pipeline, "vae", None)
        if decoder is None or latents is None or latents.ndim != 4:
            return None
        if latents.shape[1] != decoder.config.latent_channels:
            return None
        scale = min(1.0, PREVIEW_SIDE / max(latents.shape[2:]))
        small = (
            latents[:1] if scale == 1 else torch.nn.functional.interpolate(latents[:1], scale_factor=scale, mode="area")
        )
        shift = getattr(decoder.config, "shift_factor", None) or 0.0
        small = small / decoder.config.scaling_factor + shift
        pixels = decoder.decode(small.to(decoder.dtype), return_dict=False)[0]
        pixels = ((pixels[0].float() / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
        picture = Pillow.fromarray(pixels.permute(1, 2, 0).cpu().numpy())
        picture.thumbnail((PREVIEW_PX, PREVIEW_PX))
        return Image(picture, media_type="image/jpeg")
