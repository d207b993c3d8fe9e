"""The documents of a run: versioned records of its results, and the folder that holds them.

Values come in and files go out, and the other way round. Records of earlier versions stay readable.
"""
