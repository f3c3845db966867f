"""The arbiter's states as a Mermaid diagram, from the table that it runs on. Pure text."""

from inspector.decide.states import TRANSITIONS, PartState

BEGIN, END = "<!-- states: begin -->", "<!-- states: end -->"


def drawing() -> str:
    """Return the diagram and its table as Markdown, between the marks of docs/arbiter.md."""
    lines = [BEGIN, "```mermaid", "stateDiagram-v2"]
    for each in TRANSITIONS:
        before = "[*]" if each.before is PartState.UNKNOWN else each.before.value
        lines.append(f"    {before} --> {each.after.value}: {each.why.value}")
    lines += [f"    {PartState.JUDGED.value} --> [*]", "```", ""]
    lines += ["| state | moved by | to | the PLC hears |", "|---|---|---|---|"]
    lines += [
        f"| {each.before.value} | {each.why.value} | {each.after.value} | {each.says or '-'} |"
        for each in TRANSITIONS
    ]
    return "\n".join([*lines, END])


def redrawn(page: str) -> str:
    """Return the page with its drawing replaced. Raises ValueError when it has no marks."""
    head, _, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not end:
        raise ValueError(f"the page lacks {BEGIN} and {END}")
    return f"{head}{drawing()}{tail}"
