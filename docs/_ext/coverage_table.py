"""``{coverage-table}``: the tables of `covered`, generated when the page is built."""

from pathlib import Path

import covered
from sphinx.util.docutils import SphinxDirective

from tests import table


class CoverageTable(SphinxDirective):
    """The tables, as part of the page."""

    def run(self):
        """The parsed text; the page is built again when the table changes."""
        self.env.note_dependency(str(Path(table.__file__)))
        lines = covered.text(table.TABLE, table.CONSTANT)
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def setup(app):
    """Sphinx asks for this."""
    app.add_directive("coverage-table", CoverageTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
