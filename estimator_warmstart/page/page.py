"""Makes one file of a page's contents, style and script, and writes it.

The file forbids the browser everything but this script and this style, so that opening it loads and sends nothing, whatever
the names in it are. It has no markup from the contents: the script shows them as text.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import pkgutil
from typing import Any, Mapping

from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.files import FILE_ERRORS, checked_path, error_text, open_file, write_whole

_MARK = "<!DOCTYPE html><!-- estimator-warmstart -->"
_TITLES = {"plan": "Warm start", "diff": "Old and new model", "proof": "Proof of a warm start"}


def html_of(contents: Mapping[str, Any]) -> str:
    """Returns the page of what `contents_of_plans` or `contents_of_differences` made."""
    style, script = _part("page.css"), _part("page.js")
    report = contents["reports"][0] if contents["reports"] else {}
    subject = report.get("checkpoint") or report.get("old") or report.get("old_checkpoint") or ""
    title = f"{_TITLES[contents['kind']]}: {subject}" if subject else _TITLES[contents["kind"]]
    parts = {
        "mark": _MARK,
        "title": html.escape(title),
        "policy": f"default-src 'none'; base-uri 'none'; form-action 'none'; "
        f"style-src {_hash_of(style)}; script-src {_hash_of(script)}",
        "style": style,
        "script": script,
        "contents": _json_in_html(contents),
    }
    page = _part("page.html")
    pieces = page.split("$")  # $name$, and no other dollars.
    return "".join(parts[piece] if number % 2 else piece for number, piece in enumerate(pieces))


def check_page_path(argument: str, path: str) -> str:
    """Returns the path that a page is to be written to.

    Raises:
      WarmStartError: if there is a file that is not such a page, so that a slip of the pen destroys nothing.
    """
    path = checked_path(argument, path, "a file to be written")
    try:
        with open_file(path, "rb") as file:
            is_page = file.read(len(_MARK)) == _MARK.encode("ascii")
    except FILE_ERRORS as error:
        if _is_missing(error):
            return path
        raise WarmStartError(f"{argument}: {path} cannot be written: {error_text(error)}") from error
    if not is_page:
        raise WarmStartError(f"{argument}: {path} exists already and is not a page of this program; name another file")
    return path


def _is_missing(error: BaseException) -> bool:
    return isinstance(error, FileNotFoundError) or type(error).__name__ == "NotFoundError"


def write_page(path: str, contents: Mapping[str, Any]) -> None:
    """Writes a page, whole or not at all; may raise any of `FILE_ERRORS`."""
    write_whole(path, html_of(contents).encode("utf-8"))


def _part(name: str) -> str:
    data = pkgutil.get_data("estimator_warmstart.page", name)
    if data is None:
        raise WarmStartError(f"the package is not whole: page/{name} is missing")
    return data.decode("utf-8").replace("\r\n", "\n")


def _hash_of(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"


def _json_in_html(contents: Mapping[str, Any]) -> str:
    """Returns JSON in which no text can end its element, such as `</script>` or `<!--`."""
    text = json.dumps(contents, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
