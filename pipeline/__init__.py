"""What happens: plain functions over a database connection. No broker, no web framework."""

from collections.abc import Callable, Mapping
from importlib import import_module


def import_lazily(room: str, modules: Mapping[str, str]) -> Callable[[str], object]:
    """Return the `__getattr__` of a room's face (PEP 562): it imports the module of a name when the name is used.

    `modules` maps each name to its module within the room.
    """

    def find(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        return getattr(import_module(f"{room}.{modules[name]}"), name)

    return find
