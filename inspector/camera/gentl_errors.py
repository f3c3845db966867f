"""What the GenTL and GenApi libraries raise, for `except` clauses of our adapters."""

import re

from genicam import genapi, gentl

GENTL_ERRORS: tuple[type[Exception], ...] = (gentl.GenericException, genapi.GenericException)

_FROM_PRODUCER = re.compile(r"\(Message from the source: (.*?)\) \(ID:", re.DOTALL)

# Somebody else has the control privilege.
CONTROL_TAKEN: tuple[type[Exception], ...] = (
    gentl.AccessDeniedException,
    gentl.ResourceInUseException,
    gentl.BusyException,
)


def reason(error: Exception) -> str:
    """Return what a vendor's message says, without the error number, file and line around it."""
    text = str(error).strip() or type(error).__name__
    told = _FROM_PRODUCER.search(text)
    if told and told[1].strip():
        return told[1].strip()
    for end in (" : ", " (file ", " (Message from", "\n"):
        text = text.split(end)[0]
    return text.removeprefix("GenTL exception: ").rstrip(". ")
