"""Where the weights of the small models lie: in the package, so that they need no download."""

from __future__ import annotations

from pathlib import Path

from sepbench.harness.errors import MissingWeightsError

FOLDER = Path(__file__).with_name("weights")


def shipped(name: str) -> str:
    """The file of a small model."""
    return str(FOLDER / f"{name}.safetensors")


def present(checkpoint: str, model: str) -> Path:
    """A file that is there.

    Args:
        checkpoint: the one that ships, or another.
        model: for the message.

    Raises:
        MissingWeightsError: it is not; says how to make it.
    """
    path = Path(checkpoint)
    if not path.is_file():
        raise MissingWeightsError(
            f"Baseline {model}: there is no {checkpoint or 'file given'}. Train it with: "
            f"bench train {model.removesuffix('-own')}, then give models.{model}.checkpoint=FILE."
        )
    return path
