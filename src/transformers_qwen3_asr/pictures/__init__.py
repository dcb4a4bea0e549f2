"""
An alignment to look at: a page that plays the recording (`page`, with `page.html`, `page.css` and `page.js`; `sound`
is what it plays), and a plot of sound and words (`plot`, with matplotlib; `figures` writes its file). `reading` takes
the words out of a file. Nothing here knows a model.
"""

from .page import write_page
from .plot import write_plot

__all__ = ["write_page", "write_plot"]
