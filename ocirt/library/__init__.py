"""What the library is made of. Its face is :mod:`ocirt`; docs/library.md tells how to use it, and why it works so.

Every operation is a generator that yields what it waits for (:mod:`.waiting`): :class:`ocirt.Container` waits by
poll(2), :class:`ocirt.aio.Container` by the event loop, and both run the same code.
"""
