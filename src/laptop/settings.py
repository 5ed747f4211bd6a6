"""The settings of laptop.yml except variables: for the linter, and for the commands demo, serve and docs."""

from __future__ import annotations

from dataclasses import dataclass

from laptop.document import Node


@dataclass(frozen=True)
class LaptopSettings:
    """Settings of laptop.yml; a missing one is empty or false."""

    tree: Node

    @property
    def has_house_rules(self) -> bool:
        """Whether HOUSE_RULES apply to the bundle."""
        node = self.tree.get("house_rules")
        return node is not None and node.value is True

    @property
    def configurations(self) -> str:
        """The module with one class per job, and CONFIGS, a mapping of job to class."""
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
        """The idempotent entry points; only their tasks may have retries."""
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
