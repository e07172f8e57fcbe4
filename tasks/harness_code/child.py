"""The child process: gives up what it does not need, runs one program, says how it ended.

Started as a script by :mod:`harness_code.sandbox`, with an emptied environment and nothing of the
harness in reach. The program's text is a file of the folder, gone before the program runs, and
what to allow comes through a pipe; how it went is written to another.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module


def main() -> None:
    """Confine this process as the settings say, then run the program."""
    with open(int(sys.argv[1]), "rb") as told:  # noqa: PTH123
        settings = json.load(told)
    sys.argv[1:] = []
    sys.path[:] = [settings["package"], *sys.path[1:]]
    confine = import_module("confine")  # a script has no package to import it from

    result, folder = settings["result"], settings["folder"]
    missing = confine.isolate(lambda number: _say(result, {"process": number}))
    with open("program.py", encoding="utf-8") as file:  # noqa: PTH123
        source = file.read()
    os.remove("program.py")  # noqa: PTH107
    missing += confine.drop_privileges(folder, settings["user"])
    missing += confine.restrict_files(folder)
    missing += confine.limit(*settings["limits"])
    sys.path.pop(0)
    if settings["hook"]:
        sys.addaudithook(confine.audit(folder))
    for name in ("confine", "ctypes", "_ctypes"):
        sys.modules.pop(name, None)
    _say(result, {"ready": missing})
    _run(source, result, settings["token"])


def _run(source: str, result: int, token: str) -> None:
    reserve = [bytes(1 << 20)]
    try:
        exec(compile(source, "program.py", "exec"), {"__name__": "program"})
        answer = {"passed": token}
    except BaseException as error:
        reserve.clear()  # room to speak, after a program that took all memory
        answer = {"failed": f"{type(error).__name__}: {str(error)[:200]}"}
    _say(result, answer)
    os._exit(0)


def _say(result: int, what: object) -> None:
    os.write(result, json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    main()
