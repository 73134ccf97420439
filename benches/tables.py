"""A table of figures: for the terminal, for documents, for JSON and back."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table as RichTable

__all__ = ["Table", "count", "ratio", "table"]


@dataclass(slots=True)
class Table:
    """Columns and rows of text. `left`: the columns that are not figures; `ends`: the rows with a line below them."""

    title: str
    columns: list[str]
    left: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    caption: str = ""

    def add_row(self, *cells: str, end_section: bool = False) -> None:
        """One row more. Raises `ValueError` unless it has a cell for each column."""
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} cells for the {len(self.columns)} columns of {self.title!r}")
        if end_section:
            self.ends.append(len(self.rows))
        self.rows.append(list(cells))

    def to_rich(self) -> RichTable:
        """For the terminal."""
        made = RichTable(title=self.title, caption=self.caption or None, box=box.ROUNDED)
        for name in self.columns:
            made.add_column(name, justify="left" if name in self.left else "right")
        for number, row in enumerate(self.rows):
            made.add_row(*map(escape, row), end_section=number in self.ends)
        return made

    def to_markdown(self) -> str:
        """For a document; without the title, which is its heading."""
        rules = ["---" if name in self.left else "---:" for name in self.columns]
        lines = [self.columns, rules, *self.rows]
        text = "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
        return f"{text}\n\n{self.caption}\n" if self.caption else f"{text}\n"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, figures: dict[str, Any]) -> Table:
        """The table that `to_json` described."""
        return cls(**figures)


def table(title: str, *columns: str, left: tuple[str, ...] = ()) -> Table:
    """An empty table: figures to the right, the columns in `left` to the left."""
    return Table(title, list(columns), list(left))


def count(value: float | None, digits: int = 0) -> str:
    """A figure; `absent` if what it is of was not there."""
    return "absent" if value is None else f"{value:,.{digits}f}"


def ratio(value: float | None) -> str:
    """A ratio; a dash if one side was not there."""
    return "-" if value is None else f"{value:.2f}"
