"""What a user can mend before anything is rehearsed: printed as it is, without a traceback."""

from __future__ import annotations


class SetupError(Exception):
    """One thing that is wrong with the machine or with the project.

    Attributes:
        key: the file, command or package concerned, as the user knows it.
        wrong: what is wrong with it, in one sentence without a full stop.
        value: what was found.
        allowed: what would be right.
        fix: the next thing to do, a command where there is one.
    """

    def __init__(self, *, key: str, wrong: str, value: object = None, allowed: str = "", fix: str = "") -> None:
        self.key, self.wrong, self.value, self.allowed, self.fix = key, wrong, value, allowed, fix
        lines = [f"{key}: {wrong}"]
        if value is not None:
            lines.append(f"  value:   {value!r}")
        lines += [f"  {name + ':':<8} {text}" for name, text in (("allowed", allowed), ("fix", fix)) if text]
        super().__init__("\n".join(lines))
