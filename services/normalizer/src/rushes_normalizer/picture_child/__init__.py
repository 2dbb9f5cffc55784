"""The program that decodes one uploaded picture and draws its PNGs, in a process of its own.

`python -I picture_child '<JSON of a task>'` writes into its working folder and answers with one line of JSON
(`answers`). It imports nothing of the worker: a start costs 0.1 s, and what an upload may break is this process only.
"""
