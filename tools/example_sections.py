"""An extension of griffe, which `make docs` loads: takes an `Example:` of a docstring for the `Examples:` that griffe knows."""

import re

import griffe


class ExampleSections(griffe.Extension):
    """Without this, griffe takes the section's doctests for Markdown, and their lists for links."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        if obj.docstring:
            obj.docstring.value = re.sub(r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE)
