"""The processes of a cell: the table that names them, the supervisor, and one file of wiring each."""
