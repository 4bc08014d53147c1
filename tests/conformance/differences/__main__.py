"""Writes the page of differences."""

from tests.conformance.differences import PAGE, write_page

PAGE.write_text(write_page(), "utf-8")
