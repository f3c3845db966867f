"""What the GenTL and GenApi libraries raise, for `except` clauses of our adapters."""

from genicam import genapi, gentl

GENTL_ERRORS: tuple[type[Exception], ...] = (gentl.GenericException, genapi.GenericException)

# Somebody else has the control privilege.
CONTROL_TAKEN: tuple[type[Exception], ...] = (
    gentl.AccessDeniedException,
    gentl.ResourceInUseException,
    gentl.BusyException,
)


def reason(error: Exception) -> str:
    """Return the first sentence of a vendor's message, which goes on with file and line."""
    text = str(error).strip() or type(error).__name__
    for end in (" : ", " (file ", "\n"):
        text = text.split(end)[0]
    return text.rstrip(". ")
