"""Compiles what the services import at their start, for the image whose files they cannot write.

    compile.py ROOT MODULE...

The compiled files go to ROOT, under the folders of their sources. The rest of the dependencies is not compiled: it
would be as large as all of this again, and nobody imports it.
"""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

# In a process of its own: marshalled bytes depend on which strings the process has interned.
COMPILE = """
import py_compile, sys
for line in sys.stdin:
    source, shown, compiled = line.split()
    py_compile.compile(source, compiled, shown, True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
"""


def main() -> None:
    root, modules = sys.argv[1], sys.argv[2:]
    for name in modules:
        importlib.import_module(name)
    sources = {module.__file__ for module in list(sys.modules.values()) if getattr(module, "__file__", None)}
    lines = []
    for source in sorted(name for name in sources if name and name.endswith(".py")):
        # Of Rushes itself, which stands under ROOT, or of the dependencies, which do not.
        shown = source.removeprefix(root)
        compiled = Path(root + importlib.util.cache_from_source(shown))
        compiled.parent.mkdir(parents=True, exist_ok=True)
        lines.append(f"{source} {shown} {compiled}\n")
    subprocess.run([sys.executable, "-c", COMPILE], input="".join(lines), text=True, check=True)
    sys.stdout.write(f"compiled {len(lines)} modules\n")


if __name__ == "__main__":
    main()
