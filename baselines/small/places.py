"""Where the weights of the small models lie: in the package, so that they need no download."""

from __future__ import annotations

from pathlib import Path

from sepbench.harness.errors import MissingWeightsError

FOLDER = Path(__file__).with_name("weights")


def shipped(name: str) -> str:
    """The file of a small model."""
    return str(FOLDER / f"{name}.safetensors")


def present(checkpoint: str, model: str) -> Path:
    """A baseline's file that is there.

    Args:
        checkpoint: the one that ships, or another.
        model: for the message.

    Raises:
        MissingWeightsError: it is not; says how to make it.
    """
    recipe, key = model.removesuffix("-own"), f"models.{model}.checkpoint"
    return _there(checkpoint, f"Baseline {model}", recipe, key)


def present_pair(checkpoint: str, encoder: str) -> Path:
    """As `present`, of an encoder's file.

    Raises:
        MissingWeightsError: as `present`.
    """
    key = f"encoders.{encoder}.checkpoint"
    return _there(checkpoint, f"Encoder {encoder}", "contrastive-small", key)


def _there(checkpoint: str, who: str, recipe: str, key: str) -> Path:
    path = Path(checkpoint)
    if not path.is_file():
        raise MissingWeightsError(
            f"{who}: there is no {checkpoint or 'file given'}. Train it with: bench train "
            f"{recipe}, then give {key}=FILE."
        )
    return path
