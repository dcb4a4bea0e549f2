"""
An alignment to look at: a page that plays the recording (`page`, with `page.html`, `page.css` and `page.js`; `sound`
is what it plays). `reading` takes the words out of a file. Nothing here knows a model.
"""

from .page import write_page

__all__ = ["write_page"]
