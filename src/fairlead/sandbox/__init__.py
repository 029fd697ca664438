"""The fence around every process that runs a bundle's code.

Import from the modules: ``rules`` (what one may do), ``level`` (what holds on this machine), ``uids``; started as
``python -m fairlead.sandbox.run``. Standard library and msgspec only.
"""
