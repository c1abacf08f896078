"""The progress of long work, as a bar on the terminal or in a notebook."""

import logging

from tqdm.auto import tqdm

_LOG = logging.getLogger("vidtok")


class Progress:
    """What the native library tells while it works; its threads call the methods.

    A bar appears if `show` is true and standard error is a terminal. Messages go to the logger `vidtok`.
    """

    def __init__(self, show, **options):
        self._options = {"disable": None if show else True, "leave": False, **options}
        self._bar = None

    def start(self, total, done, name):
        """Work of `total` units begins, of which `done` are finished."""
        self.finish()
        self._bar = tqdm(total=total, initial=done, desc=name, **self._options)

    def advance(self, count):
        """So many units more are finished."""
        if self._bar is not None:
            self._bar.update(count)

    def finish(self):
        """The work has ended."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def note(self, text):
        """The result differs from what one might expect."""
        _LOG.info(text)

    def warn(self, text):
        """A part of the work cannot be done."""
        _LOG.warning(text)
