"""A file of the Hugging Face hub or of the web, gone on with where an earlier try stopped.

The hub's own `hf_hub_download` begins again at each call since its temporary files are unique to a
process. The checkpoints here are gigabytes, so what has come is kept under the file's etag, and
its client's `http_get`, with its sign-in, mirrors, retries and progress, fetches the rest.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import urlsplit

from sepbench.harness.api import RemoteFile
from sepbench.harness.errors import ManifestError, UnsafePathError
from sepbench.harness.identity import file_sha256


def hub_download(repository: str, path: str, *, space: bool, revision: str, folder: Path) -> Path:
    """Fetch one file into a folder; progress on stderr.

    Args:
        repository: "owner/name".
        path: of the file in the repository.
        space: the repository is a Space, not a model.
        revision: commit or branch.
        folder: where the file and what there is of it lie.

    Returns:
        The complete file, under the last part of its path.

    Raises:
        Exception: whatever the client raises without network, rights or the file; what has come
            by then stays.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get

    # Public, but not exported by name.
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    kind = "space" if space else "model"
    url = hf_hub_url(repository, path, repo_type=kind, revision=revision)
    about = get_hf_file_metadata(url)
    whole = folder / Path(path).name
    # Another etag is another file: its beginning must not be gone on with.
    tag = hashlib.sha256(f"{about.etag}".encode()).hexdigest()[:16]
    part = folder / f"{whole.name}.{tag}.part"
    # The token is for the hub alone, not for the storage it sends us to.
    same_host = urlsplit(about.location).netloc == urlsplit(url).netloc
    headers = build_hf_headers() if same_host else {}
    folder.mkdir(parents=True, exist_ok=True)
    with part.open("ab") as file:
        http_get(
            about.location,
            file,
            resume_size=file.tell(),
            # Compressed on the way, a file's bytes could not be counted and gone on with.
            headers={**headers, "Accept-Encoding": "identity"},
            expected_size=about.size,
            displayed_filename=whole.name,
        )
    return part.replace(whole)


def web_download(remote: RemoteFile, root: Path) -> Path:
    """Fetch a published file into a dataset's root; it shows there only once its sum is right.

    Args:
        remote: where it is, where it goes, what it must be.
        root: of the dataset.

    Raises:
        ManifestError: what came is not the published file; it is thrown away.
        UnsafePathError: it would go outside the root.
        Exception: whatever the client raises without network; what has come by then stays.
    """
    from huggingface_hub.file_download import http_get

    whole = root / remote.name
    if not whole.resolve().is_relative_to(root.resolve()):
        raise UnsafePathError(f"'{remote.name}' lies outside {root}; it is not fetched.")
    part = whole.with_name(f".{whole.name}.{remote.sha256[:16]}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    with part.open("ab") as file:
        http_get(
            remote.url,
            file,
            resume_size=file.tell(),
            headers={"Accept-Encoding": "identity"},
            expected_size=remote.size,
            displayed_filename=whole.name,
        )
    found = file_sha256(part)
    if found != remote.sha256:
        part.unlink()
        raise ManifestError(
            f"{remote.url} is not the published file (sha256 {found[:12]}…, expected "
            f"{remote.sha256[:12]}…). It was thrown away; try again, or fetch it by hand."
        )
    return part.replace(whole)
