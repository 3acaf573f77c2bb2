"""Takes a stack down. Needs no more than Python, so that it works when an install does not."""

import shutil

from deploy.local import supervision
from deploy.local.layout import Layout
from deploy.local.locking import locked


def down(where: Layout) -> None:
    """Stop the stack and keep its data."""
    if not where.state.exists():
        print("the stack was not up")
        return
    with locked(where.state / "lock", "another command is at work on this stack"):
        stopped = supervision.stop(where)
    print("the stack is down; its data are kept" if stopped else "the stack was not up")


def clean(where: Layout) -> None:
    """Stop the stack and remove its data; the downloaded jars stay."""
    down(where)
    kept = {where.cache, where.state / "lock"}
    for path in where.state.iterdir() if where.state.exists() else ():
        if path in kept:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    print("the stack's data are removed")
