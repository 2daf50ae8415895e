"""The one door to the Hugging Face hub: single files, from the cache where they are there, else downloaded."""

from collections.abc import Sequence
from pathlib import Path

from blipvid.core.errors import CheckpointError


def hub_file(repository: str, names: Sequence[str]) -> Path:
    """Finds one file of a hub repository.

    Args:
        repository: For instance `Salesforce/blip-itm-base-coco`.
        names: Names the file may have, best first.

    Returns:
        Its path in the hub's cache. The network is asked only where no name is cached.

    Raises:
        CheckpointError: The hub cannot be reached, or the repository or the file is not there.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    for name in names:
        try:
            return Path(hf_hub_download(repository, name, local_files_only=True))
        except LocalEntryNotFoundError:
            continue
    for name in names:
        try:
            return Path(hf_hub_download(repository, name))
        except LocalEntryNotFoundError as error:  # an EntryNotFoundError too, but it means that nothing answered
            raise CheckpointError(
                f"hf:{repository}: the hub cannot be reached and {name} is not in its cache; connect and try again."
            ) from error
        except EntryNotFoundError:
            continue
        except (HfHubHTTPError, OSError, ValueError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise CheckpointError(f"hf:{repository}: cannot be fetched: {reason}") from error
    raise CheckpointError(f"hf:{repository}: the repository holds none of {', '.join(names)}.")
