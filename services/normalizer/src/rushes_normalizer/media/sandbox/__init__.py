"""Confines a child to its input, its scratch folder and nothing else: Landlock, seccomp and limits of Linux.

`policy` says what a child may touch, `landlock` and `seccomp` put it into the kernel's terms, `mechanisms` finds out
what the kernel enforces, and `launcher` applies it all in the child, before the program starts.
"""
