"""Archives of foreign make: a container chose what is in them, so nothing of them is believed."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path


def unpack(archive: Path, folder: Path) -> None:
    """Take the regular files out of an archive and nothing else; whiteouts of OCI layers are such files."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as members:
        for member in members:
            content = members.extractfile(member) if member.isreg() else None
            if content is not None:
                path = below(folder, member.name)
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("xb") as file:
                    shutil.copyfileobj(content, file)


def below(folder: Path, name: str) -> Path:
    """Where `name` is below `folder`, in which there are no links; nothing in the name may lead out of it."""
    return folder.joinpath(*(part for part in name.split("/") if part not in ("", ".", "..")))
