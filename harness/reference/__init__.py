"""The generated parts of `docs/reference`.

Input: the code's enums, schemas, definitions and command line. Output: Markdown. A test compares it with the pages.
"""
