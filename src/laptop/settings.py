"""What laptop.yml says beside the values of variables: what the linter checks, and what demo, serve and docs run."""

from __future__ import annotations

from dataclasses import dataclass

from laptop.document import Node


@dataclass(frozen=True)
class LaptopSettings:
    """laptop.yml; what it does not say is empty or false."""

    tree: Node

    @property
    def has_house_rules(self) -> bool:
        """Whether the rules of the house hold for the bundle."""
        node = self.tree.get("house_rules")
        return node is not None and node.value is True

    @property
    def configurations(self) -> str:
        """The module with one class per job, and CONFIGS from job to class."""
        return self._name("configurations")

    def module(self, command: str) -> str:
        """The module that a command runs: check, demo or serve."""
        return self._name(command)

    @property
    def docs(self) -> str:
        """The settings of the documentation's site: a file, relative to the root."""
        return self._name("docs")

    @property
    def repeatable(self) -> tuple[str, ...]:
        """The entry points that may run twice and leave the same; all others do something once."""
        return self._names("repeatable")

    @property
    def tables(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The parameters that name the schema that a job writes, and those of the one that it reads."""
        return self._names("tables", "written"), self._names("tables", "read")

    def _name(self, key: str) -> str:
        node = self.tree.get(key)
        return str(node.value) if node and node.value else ""

    def _names(self, *path: str) -> tuple[str, ...]:
        named = self.tree.get(*path)
        return tuple(str(item.value) for item in named.value) if named and isinstance(named.value, list) else ()
